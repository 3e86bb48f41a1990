//! What a document is, told from what is in it.

use serde_json::Value;

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// One run: `schemas/profile.json`.
    Profile,
    /// A recording's statistics: `schemas/timeline-report.json`.
    Timeline,
    /// Many runs: `schemas/runs.json`.
    Runs,
    /// A load: `schemas/load.json`.
    Load,
    /// Experiments: `schemas/experiment.json`.
    Experiment,
    /// Two runs figure by figure: `schemas/comparison.json`.
    Comparison,
    /// Repeats against repeats: `schemas/against.json`.
    Against,
    /// How far several runs of one kind agree: `schemas/repeat.json`.
    Repeat,
    /// A profile beside a calculator's figures: `schemas/calculator-check.json`.
    Calculator,
    /// Why two KV caches differ: `schemas/explanation.json`.
    Explanation,
    /// A memory budget: `schemas/estimate.json`.
    Estimate,
    /// What a model in one packed file takes: `schemas/estimate-llama-cpp.json`.
    PackedEstimate,
    /// What a server takes that sizes its pool by a share of what is free: `schemas/estimate-sglang.json`.
    PoolEstimate,
    /// What fits: `schemas/fit.json`.
    Fit,
    /// Which settings of a packed model fit: `schemas/fit-llama-cpp.json`.
    PackedFit,
    /// Which settings of such a server serve requests: `schemas/fit-sglang.json`.
    PoolFit,
    /// A trace: `schemas/trace.json`.
    Trace,
    /// Two traces: `schemas/trace-diff.json`.
    TraceDiff,
    /// The traces of several ranks: `schemas/trace-ranks.json`.
    TraceRanks,
    /// An allocator's snapshot: `schemas/allocator-snapshot.json`.
    Snapshot,
    /// Several of them: `schemas/allocator-series.json`.
    SnapshotSeries,
    /// What is there for profiling: `schemas/doctor.json`.
    Doctor,
    /// A log's facts: `schemas/log-report.json`.
    Log,
    /// Devices at one instant: `schemas/gpu-snapshot.json`.
    Gpus,
    /// What a campaign is going to do: `schemas/campaign-plan.json`.
    Plan,
}

/// Each kind with the key by which it is known and with what it is called.
const KINDS: &[(&str, Kind, &str)] = &[
    ("vramscope_timeline_report", Kind::Timeline, "a recording's statistics"),
    ("vramscope_runs", Kind::Runs, "a table of runs"),
    ("vramscope_load", Kind::Load, "a load"),
    ("vramscope_experiment", Kind::Experiment, "a baseline of experiments"),
    ("vramscope_comparison", Kind::Comparison, "a comparison of two runs"),
    ("vramscope_against", Kind::Against, "a comparison of repeats"),
    ("vramscope_repeat", Kind::Repeat, "a repeat"),
    ("vramscope_calculator_check", Kind::Calculator, "a check of a calculator"),
    ("vramscope_explanation", Kind::Explanation, "an explanation"),
    ("vramscope_estimate", Kind::Estimate, "an estimate"),
    (crate::pages::llama_cpp::KEY, Kind::PackedEstimate, "an estimate of a packed model"),
    (crate::pages::sglang::KEY, Kind::PoolEstimate, "an estimate of a server's pool"),
    ("vramscope_fit", Kind::Fit, "a fit"),
    (crate::pages::llama_cpp::fit::KEY, Kind::PackedFit, "a fit of a packed model"),
    (crate::pages::sglang::fit::KEY, Kind::PoolFit, "a fit of a server's pool"),
    ("vramscope_trace_diff", Kind::TraceDiff, "a comparison of traces"),
    ("vramscope_trace_ranks", Kind::TraceRanks, "the traces of several ranks"),
    ("vramscope_trace", Kind::Trace, "a trace"),
    ("vramscope_snapshot_series", Kind::SnapshotSeries, "a series of allocator snapshots"),
    ("vramscope_snapshot", Kind::Snapshot, "an allocator snapshot"),
    ("vramscope_doctor", Kind::Doctor, "a doctor's report"),
    ("vramscope_gpus", Kind::Gpus, "a snapshot of devices"),
    ("vramscope_campaign_plan", Kind::Plan, "a campaign's plan"),
    ("profiler_version", Kind::Profile, "a profile"),
    ("engines", Kind::Log, "a log's report"),
];

impl Kind {
    /// What a document is; `None` for one that is none of ours.
    pub fn of(value: &Value) -> Option<Self> {
        let object = value.as_object()?;
        KINDS.iter().find(|(key, ..)| object.contains_key(*key)).map(|(_, kind, _)| *kind)
    }

    /// The version of a document of this kind, where that is a whole number.
    pub(crate) fn version(self, value: &Value) -> Option<u64> {
        let (key, ..) = KINDS.iter().find(|(_, kind, _)| *kind == self)?;
        value.get(*key)?.as_u64()
    }

    /// The newest version of documents of this kind that pages are made of.
    pub(crate) fn newest(self) -> u64 {
        if self == Self::Plan { 2 } else { 1 }
    }

    /// What it is called, with its article.
    pub fn title(self) -> &'static str {
        KINDS.iter().find(|(_, kind, _)| *kind == self).map_or("a document", |(.., title)| *title)
    }
}
