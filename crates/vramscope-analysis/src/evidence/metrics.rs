//! The engine's own metrics over a run: `metrics.jsonl` of a recording folder, one reading a line.

use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;
use vramscope_runs::{JsonError, read_json};

/// No recording has more readings: a week, one a second.
const MOST_READINGS: usize = 700_000;

/// One reading. A figure that the engine does not have is absent.
#[skip_serializing_none]
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct MetricsReading {
    /// When, in nanoseconds since 1970 UTC.
    pub timestamp_ns: i64,
    /// Share of the KV-cache pool in use, 0 to 1.
    pub kv_cache_usage_ratio: Option<f64>,
    /// Requests that run.
    pub running: Option<f64>,
    /// Requests that wait.
    pub waiting: Option<f64>,
    /// Tokens that the prefix cache held, since the engine started.
    pub prefix_cache_hits: Option<f64>,
    /// Tokens that the prefix cache was asked for, since the engine started.
    pub prefix_cache_queries: Option<f64>,
    /// The share of hits as older engines state it, 0 to 1.
    pub prefix_cache_hit_ratio: Option<f64>,
    /// Requests that lost their place, since the engine started.
    pub preemptions: Option<f64>,
    /// Prompt tokens, since the engine started.
    pub prompt_tokens: Option<f64>,
    /// Generated tokens, since the engine started.
    pub generation_tokens: Option<f64>,
    /// Blocks of the KV cache of one engine: of several, the fewest.
    pub kv_blocks: Option<u64>,
    /// Tokens of one block.
    pub kv_block_tokens: Option<u64>,
}

/// Metrics that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// A line that is no reading.
    #[error("read the engine's metrics: line {line} is no reading; expected a JSON object with timestamp_ns")]
    Line {
        /// The line, from 1.
        line: usize,
        /// Why.
        #[source]
        source: JsonError,
    },
    /// More than a recording can have.
    #[error("read the engine's metrics: there are more than {MOST_READINGS} readings")]
    TooMany,
}

/// Reads `metrics.jsonl`. A last line that is cut off, as when the recorder was killed, is left out.
///
/// # Errors
/// [`MetricsError`].
pub fn read(text: &[u8]) -> Result<Vec<MetricsReading>, MetricsError> {
    let mut readings = Vec::new();
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    for (place, line) in text[..whole].split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        if readings.len() == MOST_READINGS {
            return Err(MetricsError::TooMany);
        }
        let reading = read_json(line)
            .map_err(|error: JsonError| MetricsError::Line { line: place + 1, source: error.on_line(place + 1) })?;
        readings.push(reading);
    }
    Ok(readings)
}

/// Whether the last line has no end, so that [`read`] leaves it out.
pub(crate) fn ends_within_a_line(text: &[u8]) -> bool {
    !text.is_empty() && !text.ends_with(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_last_line_is_left_out_and_another_is_refused() {
        let readings = read(b"{\"timestamp_ns\": 5, \"running\": 2}\n\n{\"timestamp_ns\": 6}\n{\"times").unwrap();
        assert_eq!(readings.len(), 2);
        assert!(ends_within_a_line(b"{}") && !ends_within_a_line(b"{}\n") && !ends_within_a_line(b""));
        assert_eq!((readings[0].running, readings[1].running), (Some(2.0), None));
        assert!(matches!(read(b"{}\n{\"timestamp_ns\": 1}\n"), Err(MetricsError::Line { line: 1, .. })));
    }
}
