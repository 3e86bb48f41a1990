//! Instants that the host of a run wrote down: `[["child_start", 1795324589409883072], …]`, nanoseconds since 1970 UTC.

use serde::Deserialize;
use vramscope_runs::{JsonError, read_json};

/// The mark at which all that an engine holds from its start on is allocated, and it computes for the first time next.
pub const ALLOCATED: &str = "allocated";

/// Names with their times.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Marks {
    marks: Vec<(String, i64)>,
}

/// Marks that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("read the host's marks: expected a JSON list of [name, nanoseconds since 1970]")]
pub struct MarksError {
    /// Why.
    #[from]
    source: JsonError,
}

/// Reads `marks.json`.
///
/// # Errors
/// [`MarksError`].
pub fn read(json: &[u8]) -> Result<Marks, MarksError> {
    Ok(read_json(json)?)
}

impl Marks {
    /// When a mark was set, in nanoseconds since 1970 UTC.
    pub fn unix_ns(&self, name: &str) -> Option<i64> {
        self.marks.iter().find(|mark| mark.0 == name).map(|mark| mark.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_by_name() {
        let marks = read(br#"[["child_start", 5], ["bench_end", 9]]"#).unwrap();
        assert_eq!((marks.unix_ns("bench_end"), marks.unix_ns("x")), (Some(9), None));
        assert!(read(br#"{"child_start": 5}"#).is_err());
    }
}
