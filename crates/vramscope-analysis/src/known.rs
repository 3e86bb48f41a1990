//! Everything that is known of a run: what the sections of a profile and the diagnostics are drawn from.

use crate::attribution::RankEvidence;
use vramscope_core::{Bytes, EngineFacts, Failure, FailureKind, LatencyResult, Milestone, Phase, Vendor};
use vramscope_schema::v3::Figures;

use crate::derive::Derived;
use crate::evidence::Evidence;
use vramscope_runs::RunRecord;

/// Kinds of failure that come from outside the engine.
const OUTSIDE: &[&str] =
    &["interrupted", "device_lost", "recording_not_written", "container_gone", "docker_unavailable"];

/// Evidence and what was derived from it, in one place.
pub(crate) struct Known<'a> {
    pub(crate) evidence: &'a Evidence,
    pub(crate) facts: &'a EngineFacts,
    pub(crate) ranks: &'a RankEvidence<'a>,
    /// `None` without a GPU log.
    pub(crate) derived: Option<&'a Derived>,
    pub(crate) latency: Option<&'a LatencyResult>,
}

/// Whether the engine ran already when the recording began.
pub(crate) fn attached(evidence: &Evidence) -> bool {
    evidence.record.as_ref().is_some_and(|record| record.host.kind == "attach")
}

impl Known<'_> {
    /// Whether there is no GPU: what was sampled are processes of the host, or the engine says so.
    pub(crate) fn is_on_cpu(&self) -> bool {
        let devices = self.derived.map_or(&[][..], |derived| derived.timeline.devices());
        let sampled = !devices.is_empty() && devices.iter().all(|device| device.vendor == Some(Vendor::Cpu));
        sampled || self.facts.platform.as_ref().is_some_and(|platform| platform.value == "cpu")
    }

    /// Whether this program conducted the run, so that it knows all there is to know of it.
    pub(crate) fn was_conducted(&self) -> bool {
        self.evidence.record.as_ref().is_some_and(|record| record.host.kind != "attach")
    }

    /// Whether the engine ran already when the recording began.
    pub(crate) fn was_attached(&self) -> bool {
        attached(self.evidence)
    }

    /// The failure of the engine's log that ended the run: the first one, since later ones are mostly its consequences.
    /// The log of a run that its conductor saw end well may still hold complaints of the shutdown, and who stops a run, or
    /// loses its device or its disk, makes the engine complain.
    pub(crate) fn logged_failure(&self) -> Option<&Failure> {
        let from_outside = |record: &RunRecord| {
            let seen = record.failure.as_ref();
            seen.is_none_or(|seen| OUTSIDE.contains(&seen.kind.as_str()))
        };
        let outside = self.evidence.record.as_ref().is_some_and(from_outside);
        self.facts.failures.first().filter(|_| !outside)
    }

    /// The phase in which the run failed: the one in which the log's first failure stands, or the later one that its
    /// conductor saw, who knows of requests what a log does not say. An engine that ends because it failed is not
    /// failing at its end.
    pub(crate) fn failing_phase(&self) -> Option<Phase> {
        let seen = self.evidence.record.as_ref().and_then(|record| record.failing_phase).map(Phase::from);
        match self.phase_of(self.logged_failure()) {
            None => seen,
            logged => logged.max(seen.filter(|phase| *phase < Phase::Shutdown)),
        }
    }

    /// The phase in which a failure stands, by what the log had reached before it.
    fn phase_of(&self, failure: Option<&Failure>) -> Option<Phase> {
        let line = failure?.origin.line;
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
        FailureKind::HostOutOfMemory { tried, process } => {
            bytes(Figures::new(), &[("tried", tried), ("process", process)])
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
