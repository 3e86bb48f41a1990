//! The document of several ranks together.

use serde::{Deserialize, Serialize};

use super::convert::ratio;
use super::{TraceDocument, VERSION};

/// Several traces of one run, one a rank.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RanksDocument {
    /// The document's version.
    pub vramscope_trace_ranks: u32,
    /// The ranks beside each other, by rank.
    pub ranks: Vec<Rank>,
    /// How far the ranks are apart.
    pub spread: Vec<Spread>,
    /// The rank that others wait for: it spends the least time in communication where the others spend more. Absent
    /// where ranks do not communicate or hardly differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub straggler: Option<String>,
    /// Each trace's own document, by rank.
    pub traces: Vec<TraceDocument>,
}

/// One rank's GPU time, summed over its devices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Rank {
    /// The rank, where the trace says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<i64>,
    /// The file.
    pub file: String,
    /// From the first to the last operation, in nanoseconds.
    pub span_ns: u64,
    /// Some operation ran, in nanoseconds.
    pub busy_ns: u64,
    /// Some kernel that is no communication ran, in nanoseconds.
    pub compute_ns: u64,
    /// Some communication kernel ran, in nanoseconds.
    pub communication_ns: u64,
    /// Only communication ran, in nanoseconds.
    pub exposed_communication_ns: u64,
    /// The verdict on this rank.
    pub bound: String,
}

/// One figure over all ranks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Spread {
    /// `busy`, `compute` or `communication`.
    pub name: String,
    /// The least, in nanoseconds.
    pub min_ns: u64,
    /// The most, in nanoseconds.
    pub max_ns: u64,
    /// The most less the least, as a share of the most, 0 to 1.
    pub imbalance: f64,
}

/// From this difference in communication time on, the rank with the least is called the straggler.
const STRAGGLING: f64 = 0.10;

impl RanksDocument {
    /// Puts documents of one run side by side.
    pub fn of(mut traces: Vec<TraceDocument>) -> Self {
        traces.sort_by(|a, b| (a.exact.rank, &a.file.name).cmp(&(b.exact.rank, &b.file.name)));
        let ranks: Vec<Rank> = traces.iter().map(rank).collect();
        let spread = vec![
            spread("busy", &ranks, |rank| rank.busy_ns),
            spread("compute", &ranks, |rank| rank.compute_ns),
            spread("communication", &ranks, |rank| rank.communication_ns),
        ];
        let least = ranks.iter().min_by_key(|rank| rank.communication_ns);
        let uneven = spread.last().is_some_and(|s| s.imbalance >= STRAGGLING);
        let straggler = least.filter(|_| uneven && ranks.len() > 1);
        let straggler = straggler.map(|r| r.rank.map_or_else(|| r.file.clone(), |rank| format!("rank {rank}")));
        Self { vramscope_trace_ranks: VERSION, ranks, spread, straggler, traces }
    }
}

fn rank(trace: &TraceDocument) -> Rank {
    let sum = |of: fn(&super::Time) -> u64| trace.devices.iter().map(|device| of(&device.whole)).sum();
    Rank {
        rank: trace.exact.rank,
        file: trace.file.name.clone(),
        span_ns: sum(|time| time.span_ns),
        busy_ns: sum(|time| time.busy_ns),
        compute_ns: sum(|time| time.compute_ns),
        communication_ns: sum(|time| time.communication_ns),
        exposed_communication_ns: sum(|time| time.exposed_communication_ns),
        bound: trace.verdict.bound.clone(),
    }
}

fn spread(name: &str, ranks: &[Rank], of: impl Fn(&Rank) -> u64) -> Spread {
    let min_ns = ranks.iter().map(&of).min().unwrap_or(0);
    let max_ns = ranks.iter().map(&of).max().unwrap_or(0);
    Spread { name: name.into(), min_ns, max_ns, imbalance: ratio(max_ns - min_ns, max_ns) }
}
