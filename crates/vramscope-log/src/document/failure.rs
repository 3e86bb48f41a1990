//! The failures of an engine in the document.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vramscope_core::{Activity, Bytes, Consequence, Failure, FailureKind, RankFailure};

/// A failure with its numbers and what to do about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct FailureDocument {
    /// The kind.
    pub kind: String,
    /// The engine's message, shortened.
    pub message: String,
    /// What to do about it.
    pub advice: String,
    /// The line, counted from 1.
    pub line: u64,
    /// The process tag on the line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// Amounts in bytes, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub bytes: BTreeMap<String, u64>,
    /// Other numbers, by name: lengths and tokens are counts, `utilization` is a share.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub numbers: BTreeMap<String, f64>,
    /// The rank whose process failed, where its tag tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<u32>,
    /// What the engine was at: `loading_weights`, `profiling` (there was no KV cache yet in both), `starting` (behind
    /// that, and the log says no more), `capturing_graphs`, `warming_up_sampler`, `serving`, `waking_up`. Only of memory
    /// that ran out, and where the log tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<String>,
    /// Each process that had this failure, this one included, in the order of ranks; absent where only one tells of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranks: Vec<RankFailureDocument>,
    /// What followed from it: the same told again by another process, and processes that ended because of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consequences: Vec<ConsequenceDocument>,
}

/// One process's part in a failure that several had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RankFailureDocument {
    /// Its rank, where its tag tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<u32>,
    /// The line, counted from 1.
    pub line: u64,
    /// The process tag on the line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// Amounts in bytes that it printed, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub bytes: BTreeMap<String, u64>,
}

/// What an engine said because of a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ConsequenceDocument {
    /// The kind that it would be by itself.
    pub kind: String,
    /// The engine's message, shortened.
    pub message: String,
    /// The line, counted from 1.
    pub line: u64,
    /// The process tag on the line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
}

/// One failure, as it stands in the document, with what to do about it.
pub fn failure(failure: &Failure, advice: String) -> FailureDocument {
    let consequence = |follows: &Consequence| ConsequenceDocument {
        kind: follows.kind.name().to_owned(),
        message: follows.message.clone(),
        line: follows.origin.line,
        worker: follows.origin.worker.clone(),
    };
    let each = |each: &RankFailure| RankFailureDocument {
        rank: each.rank,
        line: each.origin.line,
        worker: each.origin.worker.clone(),
        bytes: amounts(&each.kind),
    };
    let mut bytes = amounts(&failure.kind);
    if let Some(Activity::WakingUp { freed: Some(freed) }) = failure.activity {
        bytes.insert("freed_by_sleep".to_owned(), freed.get());
    }
    FailureDocument {
        kind: failure.kind.name().to_owned(),
        message: failure.message.clone(),
        advice,
        line: failure.origin.line,
        worker: failure.origin.worker.clone(),
        bytes,
        numbers: numbers(&failure.kind),
        rank: failure.rank,
        activity: failure.activity.map(|activity| activity.name().to_owned()),
        ranks: failure.ranks.iter().map(each).collect(),
        consequences: failure.consequences.iter().map(consequence).collect(),
    }
}

/// The amounts of memory of a failure, by name.
fn amounts(kind: &FailureKind) -> BTreeMap<String, u64> {
    let list: &[(&str, Option<Bytes>)] = match kind {
        FailureKind::KvCacheTooSmallForMaxModelLen { needed, available, .. } => {
            &[("needed", *needed), ("available", *available)]
        }
        FailureKind::FreeMemoryBelowUtilization { free, total, requested, .. } => {
            &[("free", *free), ("total", *total), ("requested", *requested)]
        }
        FailureKind::FreeMemoryGrew { initial, current } => &[("initial", *initial), ("current", *current)],
        FailureKind::HostOutOfMemory { tried, process } => &[("tried", *tried), ("process", *process)],
        FailureKind::OutOfMemory { tried, capacity, free, process, allocated, reserved_unallocated } => &[
            ("tried", *tried),
            ("capacity", *capacity),
            ("free", *free),
            ("process", *process),
            ("allocated", *allocated),
            ("reserved_unallocated", *reserved_unallocated),
        ],
        _ => &[],
    };
    list.iter().filter_map(|(name, amount)| Some(((*name).to_owned(), (*amount)?.get()))).collect()
}

/// The other numbers of a failure, by name.
fn numbers(kind: &FailureKind) -> BTreeMap<String, f64> {
    #[expect(clippy::cast_precision_loss, reason = "lengths in tokens are far below 2^53")]
    let count = |count: Option<u64>| count.map(|count| count as f64);
    let list: &[(&str, Option<f64>)] = match kind {
        FailureKind::MaxSeqLenExceedsKvCache { max_model_len, kv_cache_tokens } => {
            &[("max_model_len", count(*max_model_len)), ("kv_cache_tokens", count(*kv_cache_tokens))]
        }
        FailureKind::KvCacheTooSmallForMaxModelLen { max_model_len, estimated_max_model_len, .. } => {
            &[("max_model_len", count(*max_model_len)), ("estimated_max_model_len", count(*estimated_max_model_len))]
        }
        FailureKind::FreeMemoryBelowUtilization { utilization, .. } => &[("utilization", *utilization)],
        _ => &[],
    };
    list.iter().filter_map(|(name, number)| Some(((*name).to_owned(), (*number)?))).collect()
}
