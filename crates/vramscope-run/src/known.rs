//! Everything that is known of a run: what the sections of a profile and the diagnostics are drawn from.

use vramscope_core::{Bytes, EngineFacts, FailureKind, LatencyResult, Milestone, Phase};
use vramscope_estimate::RankEvidence;
use vramscope_schema::v3::Figures;

use crate::derive::Derived;
use crate::evidence::Evidence;

/// Evidence and what was derived from it, in one place.
pub(crate) struct Known<'a> {
    pub(crate) evidence: &'a Evidence,
    pub(crate) facts: &'a EngineFacts,
    pub(crate) ranks: &'a RankEvidence<'a>,
    /// `None` without a GPU log.
    pub(crate) derived: Option<&'a Derived>,
    pub(crate) latency: Option<&'a LatencyResult>,
}

impl Known<'_> {
    /// The phase in which the run failed, as its conductor saw it; else the one in which the log's first failure stands,
    /// by what the log had reached before it.
    pub(crate) fn failing_phase(&self) -> Option<Phase> {
        if let Some(record) = &self.evidence.record {
            return record.failing_phase.map(Into::into);
        }
        let line = self.facts.failures.first()?.origin.line;
        let reached = |milestone| self.facts.event(milestone).is_some_and(|e| e.origin.line <= line);
        Some(if reached(Milestone::MeasureBegan) || reached(Milestone::FirstTraffic) {
            Phase::Measure
        } else if reached(Milestone::WarmupBegan) {
            Phase::Warmup
        } else if reached(Milestone::EngineReady) || reached(Milestone::ServerReady) {
            Phase::Ready
        } else if reached(Milestone::LoadBegan) || reached(Milestone::WeightsLoaded) {
            Phase::Load
        } else {
            Phase::Launch
        })
    }
}

/// The figures of a failure, by name.
pub(crate) fn failure_numbers(kind: &FailureKind) -> Figures {
    let bytes = |figures: Figures, list: &[(&str, Option<Bytes>)]| {
        list.iter().fold(figures, |f, (name, amount)| amount.map_or(f.clone(), |a| f.clone().bytes(name, a)))
    };
    let counts = |list: &[(&str, Option<u64>)]| {
        list.iter().fold(Figures::new(), |f, (name, n)| n.map_or(f.clone(), |n| f.clone().count(name, n)))
    };
    match *kind {
        FailureKind::MaxSeqLenExceedsKvCache { max_model_len, kv_cache_tokens } => {
            counts(&[("max_model_len_tokens", max_model_len), ("kv_cache_tokens", kv_cache_tokens)])
        }
        FailureKind::KvCacheTooSmallForMaxModelLen { max_model_len, needed, available, estimated_max_model_len } => {
            let lengths =
                [("max_model_len_tokens", max_model_len), ("estimated_max_model_len_tokens", estimated_max_model_len)];
            bytes(counts(&lengths), &[("needed", needed), ("available", available)])
        }
        FailureKind::FreeMemoryBelowUtilization { free, total, utilization, requested } => {
            let share =
                utilization.map_or(Figures::new(), |u| Figures::new().number("gpu_memory_utilization_share", u));
            bytes(share, &[("free", free), ("total", total), ("requested", requested)])
        }
        FailureKind::OutOfMemory { tried, capacity, free, process, allocated, reserved_unallocated } => {
            let list = [
                ("tried", tried),
                ("capacity", capacity),
                ("free", free),
                ("process", process),
                ("allocated", allocated),
                ("reserved_unallocated", reserved_unallocated),
            ];
            bytes(Figures::new(), &list)
        }
        _ => Figures::new(),
    }
}
