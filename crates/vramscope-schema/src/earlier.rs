//! What the documents before 3.1 have in common: counts written as floats, readings written as words, GPUs described
//! loosely. Reading them is generous about form and strict about meaning.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use crate::Amount;

/// A count that Python may have written as `6.7e9`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count(pub(crate) u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole;
        impl Visitor<'_> for Whole {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a count")
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Count, E> {
                Ok(Count(value))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Count, E> {
                let whole = value.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&value);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "whole, not negative and at most 2^53 by the test"
                )]
                let count = value as u64;
                if whole { Ok(Count(count)) } else { Err(E::invalid_value(Unexpected::Float(value), &self)) }
            }
        }
        deserializer.deserialize_any(Whole)
    }
}

/// A reading that a tool may have shown as `N/A`, which is no reading.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Shown(pub(crate) Option<f64>);

impl Shown {
    /// The reading of a quantity that cannot be negative.
    pub(crate) fn amount(self) -> Option<Amount> {
        self.0.and_then(Amount::new)
    }
}

impl<'de> Deserialize<'de> for Shown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;
        impl Visitor<'_> for Reading {
            type Value = Shown;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or \"N/A\"")
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Shown, E> {
                Ok(Shown(Some(value)))
            }

            #[expect(clippy::cast_precision_loss, reason = "a reading is far below 2^53")]
            fn visit_u64<E: Error>(self, value: u64) -> Result<Shown, E> {
                Ok(Shown(Some(value as f64)))
            }

            #[expect(clippy::cast_precision_loss, reason = "a reading is far below 2^53")]
            fn visit_i64<E: Error>(self, value: i64) -> Result<Shown, E> {
                Ok(Shown(Some(value as f64)))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Shown, E> {
                let absent = value.trim_matches(['[', ']']).trim();
                let known = ["", "N/A", "n/a", "NA", "None", "Not Supported", "Unknown"].contains(&absent);
                if known { Ok(Shown(None)) } else { Err(E::invalid_value(Unexpected::Str(value), &self)) }
            }

            fn visit_unit<E: Error>(self) -> Result<Shown, E> {
                Ok(Shown(None))
            }
        }
        deserializer.deserialize_any(Reading)
    }
}

/// The place of a GPU: a number, or a name that ends in one (`card0`, `GPU 0`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Index(pub(crate) u32);

impl<'de> Deserialize<'de> for Index {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Place;
        impl Visitor<'_> for Place {
            type Value = Index;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the index of a GPU, or a name that ends in it")
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Index, E> {
                u32::try_from(value).map(Index).map_err(|_| E::invalid_value(Unexpected::Unsigned(value), &self))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Index, E> {
                let digits = value.trim_start_matches(|c: char| !c.is_ascii_digit());
                digits.parse().map(Index).map_err(|_| E::invalid_value(Unexpected::Str(value), &self))
            }
        }
        deserializer.deserialize_any(Place)
    }
}

/// One GPU of a list: a bare number is its memory in use.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Gpu(pub(crate) GpuFields);

/// The fields under which the earlier profilers and the tools they asked describe one GPU.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub(crate) struct GpuFields {
    #[serde(alias = "gpu_id", alias = "gpu_index", alias = "index")]
    pub(crate) gpu: Option<Index>,
    #[serde(alias = "memory_used_gb", alias = "memory_gb")]
    pub(crate) used_gb: Option<Amount>,
    #[serde(alias = "memory_free_gb")]
    pub(crate) free_gb: Option<Amount>,
    #[serde(alias = "memory_allocated_gb")]
    pub(crate) allocated_gb: Option<Amount>,
    #[serde(alias = "memory_reserved_gb")]
    pub(crate) reserved_gb: Option<Amount>,
    #[serde(alias = "memory_total_gb")]
    pub(crate) total_gb: Option<Amount>,
}

impl<'de> Deserialize<'de> for Gpu {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entry;
        impl<'de> Visitor<'de> for Entry {
            type Value = Gpu;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a GPU: an object, or its memory in GB as a number that is not negative")
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Gpu, E> {
                let used_gb = Amount::new(value).ok_or_else(|| E::invalid_value(Unexpected::Float(value), &self))?;
                Ok(Gpu(GpuFields { used_gb: Some(used_gb), ..GpuFields::default() }))
            }

            #[expect(clippy::cast_precision_loss, reason = "gigabytes are far below 2^53")]
            fn visit_u64<E: Error>(self, value: u64) -> Result<Gpu, E> {
                self.visit_f64(value as f64)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Gpu, A::Error> {
                GpuFields::deserialize(MapAccessDeserializer::new(map)).map(Gpu)
            }
        }
        deserializer.deserialize_any(Entry)
    }
}

/// A time: text as Python's `isoformat` writes it, or seconds since 1970.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Time {
    Text(String),
    UnixSeconds(f64),
}

impl Time {
    /// What stands in the document.
    pub(crate) fn as_written(&self) -> String {
        match self {
            Self::Text(text) => crate::read::short(&format!("{text:?}")),
            Self::UnixSeconds(seconds) => seconds.to_string(),
        }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time, as text or in seconds since 1970")
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Time, E> {
                Ok(Time::Text(value.to_owned()))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Time, E> {
                Ok(Time::UnixSeconds(value))
            }

            #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^53")]
            fn visit_u64<E: Error>(self, value: u64) -> Result<Time, E> {
                Ok(Time::UnixSeconds(value as f64))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<T: serde::de::DeserializeOwned>(json: &str) -> Option<T> {
        serde_json::from_str(json).ok()
    }

    #[test]
    fn counts_are_whole_however_they_are_written() {
        assert_eq!(of("6.7e9"), Some(Count(6_700_000_000)));
        assert_eq!((of::<Count>("6.5"), of::<Count>("-1"), of::<Count>("1e300")), (None, None, None));
    }

    #[test]
    fn a_word_is_no_reading_unless_it_says_so() {
        assert_eq!(
            (of("\"N/A\""), of("\"[N/A]\""), of("null")),
            (Some(Shown(None)), Some(Shown(None)), Some(Shown(None)))
        );
        assert_eq!((of("-3"), of::<Shown>("\"hot\"")), (Some(Shown(Some(-3.0))), None));
    }

    #[test]
    fn a_gpu_is_told_by_number_or_name() {
        assert_eq!((of("1"), of("\"card1\""), of("\"GPU 1\"")), (Some(Index(1)), Some(Index(1)), Some(Index(1))));
        assert_eq!((of::<Index>("\"none\""), of::<Index>("-1"), of::<Index>("\"a1b2\"")), (None, None, None));
    }
}
