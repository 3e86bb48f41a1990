//! Numbers that are finite and not negative.

#[cfg(feature = "json-schema")]
use std::borrow::Cow;
use std::time::Duration;

#[cfg(feature = "json-schema")]
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize};

/// A quantity that cannot be negative: a time, a power, a share. It is finite, so every amount can be written.
///
/// ```
/// use vramscope_schema::Amount;
/// assert_eq!(Amount::new(2.5).map(Amount::get), Some(2.5));
/// assert_eq!(Amount::new(-0.1), None);
/// assert_eq!(Amount::new(f64::NAN), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize)]
#[serde(transparent)]
pub struct Amount(f64);

impl Amount {
    /// The number, or `None` if it is negative, infinite or not a number: such a figure is not known.
    pub fn new(value: f64) -> Option<Self> {
        // `+ 0.0` turns the negative zero into zero.
        (value.is_finite() && value >= 0.0).then_some(Self(value + 0.0))
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// A time in seconds.
    pub fn seconds(time: Duration) -> Self {
        Self(time.as_secs_f64())
    }

    /// A time in milliseconds.
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds are exact below 2^53, which is 104 days")]
    pub fn milliseconds(time: Duration) -> Self {
        Self(time.as_nanos() as f64 / 1e6)
    }
}

impl From<u32> for Amount {
    fn from(value: u32) -> Self {
        Self(value.into())
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = f64::deserialize(deserializer)?;
        Self::new(value)
            .ok_or_else(|| D::Error::invalid_value(Unexpected::Float(value), &"a number that is not negative"))
    }
}

#[cfg(feature = "json-schema")]
impl JsonSchema for Amount {
    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_no_more_digits_than_it_was_measured_with() {
        let time = Duration::from_nanos(698_026_827);
        assert_eq!(Amount::milliseconds(time).get().to_string(), "698.026827");
        assert_eq!(Amount::seconds(time).get().to_string(), "0.698026827");
    }

    #[test]
    fn zero_has_no_sign() {
        assert!(Amount::new(-0.0).unwrap().get().is_sign_positive());
    }
}
