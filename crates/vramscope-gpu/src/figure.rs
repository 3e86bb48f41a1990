//! A number as its source printed it.

#[cfg(feature = "json-schema")]
use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use vramscope_core::{ByteUnit, Bytes};

/// A number that keeps the form of its source: `53` stays whole, `53.0` stays a fraction.
///
/// ```
/// use vramscope_gpu::Figure;
/// assert_eq!(Figure::parse("433.78 W"), Some(Figure::Real(433.78)));
/// assert_eq!(Figure::parse("(1725Mhz)"), Some(Figure::Whole(1725)));
/// assert_eq!(Figure::parse("[N/A]"), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Figure {
    /// A whole number.
    Whole(i64),
    /// A number with a fraction, even if it is `.0`.
    Real(f64),
}

#[cfg(feature = "json-schema")]
impl schemars::JsonSchema for Figure {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Figure".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "number" })
    }
}

impl Figure {
    /// The number that a text begins with, apart from an opening bracket; what follows is its unit. `None` for `N/A`,
    /// words, and anything that is not a finite number.
    pub fn parse(text: &str) -> Option<Self> {
        Self::parse_with_unit(text).map(|(figure, _)| figure)
    }

    /// The number with whatever follows it, without blanks and a closing bracket.
    pub fn parse_with_unit(text: &str) -> Option<(Self, &str)> {
        let text = text.trim();
        let text = text.strip_prefix('(').map_or(text, |rest| rest.trim_end_matches(')'));
        let number = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+');
        let end = text.find(|c| !number(c)).unwrap_or(text.len());
        let (digits, unit) = text.split_at(end);
        let exponent = unit.starts_with(['e', 'E']) && unit[1..].starts_with(|c: char| c.is_ascii_digit() || c == '-');
        let (digits, unit) = if exponent {
            let more = unit[1..].find(|c| !number(c)).map_or(unit.len(), |n| n + 1);
            (&text[..end + more], &unit[more..])
        } else {
            (digits, unit)
        };
        let figure = match digits.parse() {
            Ok(whole) => Self::Whole(whole),
            Err(_) => Self::Real(digits.parse::<f64>().ok().filter(|n| n.is_finite())?),
        };
        Some((figure, unit.trim()))
    }

    /// An amount of memory in MiB: whole where it is, else with two decimals.
    pub fn mib(bytes: Bytes) -> Self {
        let unit = ByteUnit::MiB.bytes();
        match i64::try_from(bytes.get() / unit) {
            Ok(whole) if bytes.get().is_multiple_of(unit) => Self::Whole(whole),
            _ => Self::Real(two_decimals(bytes.in_unit(ByteUnit::MiB))),
        }
    }

    /// A thousandth of a number (milliwatts in watts, millijoules in joules).
    pub fn thousandth(value: u64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 thousandths")]
        Self::Real(value as f64 / 1000.0)
    }

    /// As a float.
    pub fn as_f64(self) -> f64 {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "exact below 2^53; no figure of a GPU comes near")]
            Self::Whole(whole) => whole as f64,
            Self::Real(real) => real,
        }
    }

    /// As a count, if it is a whole number and not negative.
    pub fn as_u64(self) -> Option<u64> {
        match self {
            Self::Whole(whole) => u64::try_from(whole).ok(),
            Self::Real(real) if real.fract() == 0.0 => Bytes::from_unit(real, ByteUnit::B).map(Bytes::get),
            Self::Real(_) => None,
        }
    }
}

impl From<u32> for Figure {
    fn from(value: u32) -> Self {
        Self::Whole(i64::from(value))
    }
}

fn two_decimals(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_the_source_is_kept() {
        let text = |figure: Option<Figure>| serde_json::to_string(&figure).unwrap();
        assert_eq!(text(Figure::parse("49.0")), "49.0");
        assert_eq!(text(Figure::parse("49")), "49");
        assert_eq!(text(Figure::parse("-7 C")), "-7");
        assert_eq!(text(Figure::parse("28.159")), "28.159");
        assert_eq!(text(Figure::parse("1.5e3 J")), "1500.0");
        assert_eq!(Figure::parse_with_unit("16 ecc"), Some((Figure::Whole(16), "ecc")));
    }

    #[test]
    fn words_are_not_numbers() {
        for word in ["N/A", "", "Not Active", "-", "1.2.3", "nan", "inf", "[Unknown Error]", "ERR!"] {
            assert_eq!(Figure::parse(word), None, "{word:?}");
        }
    }

    #[test]
    fn mebibytes_have_two_decimals_at_most() {
        assert_eq!(Figure::mib(Bytes::new(445_550_592)), Figure::Real(424.91));
        assert_eq!(Figure::mib(Bytes::new(34_342_961_152)), Figure::Whole(32752));
    }
}
