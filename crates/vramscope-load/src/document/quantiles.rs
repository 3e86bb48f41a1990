//! How a level's times are spread, as rows of one table.

use serde::{Deserialize, Serialize};

use crate::report::{Latency, QUANTILES, Summary};

/// One quantile of each of a level's times; quantiles are of type 7.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct QuantileDocument {
    /// Which: the share of times that are no larger. Unit: none, 0 to 1.
    pub quantile: f64,
    /// Of time to first token. Unit: milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttft_ms: Option<f64>,
    /// Of mean time per output token. Unit: milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpot_ms: Option<f64>,
    /// Of times between chunks. Unit: milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub itl_ms: Option<f64>,
    /// Of the time from sending to the last token. Unit: milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e2e_ms: Option<f64>,
    /// Of the time from being due to the last token. Unit: milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e2e_from_due_ms: Option<f64>,
}

impl QuantileDocument {
    /// The table of a level, smallest first; empty where no request was completed.
    pub(super) fn all_of(summary: &Summary) -> Vec<Self> {
        let Summary { ttft, tpot, itl, e2el, e2el_from_due, .. } = summary;
        if [ttft, tpot, itl, e2el, e2el_from_due].iter().all(|times| times.is_none()) {
            return Vec::new();
        }
        let row = |(place, quantile): (usize, &f64)| {
            let of = |times: &Option<Latency>| times.map(|times| times.quantiles_ms[place]);
            Self {
                quantile: *quantile,
                ttft_ms: of(ttft),
                tpot_ms: of(tpot),
                itl_ms: of(itl),
                e2e_ms: of(e2el),
                e2e_from_due_ms: of(e2el_from_due),
            }
        };
        QUANTILES.iter().enumerate().map(row).collect()
    }
}
