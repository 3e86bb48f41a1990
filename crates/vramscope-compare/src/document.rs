//! The documents of comparisons, apart from the working types.

mod against;
mod calculator;
mod diff;
mod explanation;
mod repeat;
mod sweep;

pub use against::{AgainstDocument, IntervalDocument, JudgedDocument, UnansweredDocument};
pub use calculator::{CalculatorDocument, CheckedPartDocument};
pub use diff::{ChangeDocument, ComparisonDocument, ExceededDocument, SettingDocument};
pub use explanation::{
    AccountDocument, AmountDocument, ExplanationDocument, LedgerDocument, StartStepDocument, TermDocument,
};
pub use repeat::{RepeatDocument, RepeatedFigure};
pub use sweep::{CampaignRunDocument, PointDocument, RunDocument, RunsDocument, SeriesDocument};

#[cfg(feature = "json-schema")]
use schemars::Schema;
use serde_json::Number;

use crate::figure::Quantity;

/// The version of these documents.
const VERSION: u32 = 1;

/// The JSON Schema of [`ComparisonDocument`].
#[cfg(feature = "json-schema")]
pub fn comparison_json_schema() -> Schema {
    schemars::schema_for!(ComparisonDocument)
}

/// The JSON Schema of [`AgainstDocument`].
#[cfg(feature = "json-schema")]
pub fn against_json_schema() -> Schema {
    schemars::schema_for!(AgainstDocument)
}

/// The JSON Schema of [`CalculatorDocument`].
#[cfg(feature = "json-schema")]
pub fn calculator_json_schema() -> Schema {
    schemars::schema_for!(CalculatorDocument)
}

/// The JSON Schema of [`ExplanationDocument`].
#[cfg(feature = "json-schema")]
pub fn explanation_json_schema() -> Schema {
    schemars::schema_for!(ExplanationDocument)
}

/// The JSON Schema of [`RepeatDocument`].
#[cfg(feature = "json-schema")]
pub fn repeat_json_schema() -> Schema {
    schemars::schema_for!(RepeatDocument)
}

/// The JSON Schema of [`RunsDocument`].
#[cfg(feature = "json-schema")]
pub fn runs_json_schema() -> Schema {
    schemars::schema_for!(RunsDocument)
}

/// Memory as a whole number, anything else as it is; what is not finite is not known.
fn number(quantity: Quantity) -> Option<Number> {
    match quantity {
        Quantity::Memory(bytes) => Some(bytes.get().into()),
        Quantity::Number(number) => Number::from_f64(number),
    }
}
