//! The profile document, version 3.1: everything that is known of one run.
//!
//! The types hold each amount of memory once, as `x_bytes`. The text of a document holds it twice: [`crate::write()`]
//! puts `x_gb` (10^9 bytes, six decimals) behind each `x_bytes`, [`crate::read`] checks the two against each other,
//! and [`crate::json_schema`] describes both. No field here is named `_gb`.
//!
//! A field that is `None`, and a list that is empty, is left out of the text: absent means "not known" and never zero.

mod breakdown;
mod detail;
mod engine;
mod evidence;
mod expectation;
mod from_core;
mod live;
mod logs;
mod measurement;
mod migration;
mod outcome;
mod run;
mod timeline;
mod words;

use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

pub use breakdown::{
    AllocatorLedger, AllocatorPart, BreakdownPart, ConfidenceLevels, DeviceBreakdown, MemoryBreakdown, PlaceBreakdown,
    ReportedValuesUsed,
};
pub use detail::{DetailedGpu, DetailedGpuMetrics, GpuProcess, ProcessMemory};
pub use engine::{EngineFact, EngineMetadata, EngineReported, EngineStep, VllmInternalMetrics};
pub use evidence::Figures;
pub use expectation::{Expectation, ExpectedCount, ExpectedMemory};
pub use live::{EngineMetricsInfo, HostInfo, ServedStats, TimeSpread};
pub use logs::{LogExcerpt, RawLogFile, RawLogs};
pub use measurement::{GpuMemory, MeasurementPoint, MemoryMeasurements, PerGpuStats};
pub use migration::{ConvertedFigure, Migration, UnitBasis};
pub use outcome::{Diagnostic, Failure, LatencyPercentile, LatencyStats};
pub use run::{
    DeviceInfo, DeviceMemory, EngineArgs, Generator, GpuInfo, Metadata, ModelInfo, PartitionInfo, RunConfig, Source,
    WorkloadInfo,
};
pub use timeline::{
    ClockRange, EnergyUse, ExtendedMetrics, GapInfo, GpuTimeline, MemoryTimeline, PercentRange, PhaseGpu, PhaseInfo,
    PowerRange, Reduction, TemperatureRange, TimelinePoint,
};
pub use words::{BasisUnit, Confidence, FactScope, GapCause, PartKind, Phase, RunStatus, Severity, SourceKind};

/// The version of the document that this program writes.
pub const SCHEMA_VERSION: &str = "3.1";

/// The generation of profiler that vramscope is, in the line of the earlier profilers' `profiler_version`: 1.0, 2.0, 3.0.
pub const PROFILER_VERSION: &str = "3.1";

/// One run: where the memory of its GPUs went, on what evidence, and what it cost in time.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Profile {
    /// The generation of the profiler that measured: `3.1` for vramscope, the earlier document's own for a migrated
    /// one.
    pub profiler_version: String,
    /// The version of this document: `major.minor`.
    #[cfg_attr(feature = "json-schema", schemars(extend("const" = SCHEMA_VERSION)))]
    pub schema_version: String,
    /// The program that wrote this document.
    pub generator: Generator,
    /// When the run was, how it ended, and which files it is drawn from.
    pub metadata: Metadata,
    /// How the engine was set up and what was asked of it.
    pub run_config: Option<RunConfig>,
    /// The model.
    pub model_info: Option<ModelInfo>,
    /// The GPUs.
    pub gpu_info: Option<GpuInfo>,
    /// Memory in use at three points of the run, as the driver counts it.
    pub memory_measurements: Option<MemoryMeasurements>,
    /// Where the peak went: peak = baseline + parts + residual, exactly.
    pub memory_breakdown: Option<MemoryBreakdown>,
    /// What vLLM reported of itself.
    pub vllm_internal_metrics: Option<VllmInternalMetrics>,
    /// What another engine reported of itself.
    pub engine_reported: Option<EngineReported>,
    /// Memory in use over the run.
    pub memory_timeline: Option<MemoryTimeline>,
    /// What the GPU tool showed of each GPU at one instant.
    pub detailed_gpu_metrics: Option<DetailedGpuMetrics>,
    /// The run in windows of time, in order. Absent where nothing tells them apart.
    pub phases: Option<Vec<PhaseInfo>>,
    /// Spans without samples, in order; never filled in. An empty list means that there was none.
    pub gaps: Option<Vec<GapInfo>>,
    /// What the requests cost in time.
    pub latency_stats: Option<LatencyStats>,
    /// What requests to a served engine cost in time.
    pub served_stats: Option<ServedStats>,
    /// The engine's own metrics endpoint over the measured requests.
    pub engine_metrics: Option<EngineMetricsInfo>,
    /// Which engine it was.
    pub engine_metadata: Option<EngineMetadata>,
    /// What ran the engine, and how the engine ended.
    pub host: Option<HostInfo>,
    /// The memory budget that was to be expected, beside what came.
    pub expectation: Option<Expectation>,
    /// Why the run failed, if it did.
    pub failure: Option<Failure>,
    /// What an operator should know, worst first. An empty list means that every check was silent.
    pub diagnostics: Option<Vec<Diagnostic>>,
    /// The engine's own output, in short.
    pub raw_logs: Option<RawLogs>,
    /// How this document came from an earlier version. Absent in documents that were born as they are.
    pub migration: Option<Migration>,
}

impl Profile {
    /// An empty document of this version, written by `generator`.
    pub fn new(generator: Generator, metadata: Metadata) -> Self {
        Self {
            profiler_version: PROFILER_VERSION.to_owned(),
            schema_version: SCHEMA_VERSION.to_owned(),
            generator,
            metadata,
            run_config: None,
            model_info: None,
            gpu_info: None,
            memory_measurements: None,
            memory_breakdown: None,
            vllm_internal_metrics: None,
            engine_reported: None,
            memory_timeline: None,
            detailed_gpu_metrics: None,
            phases: None,
            gaps: None,
            latency_stats: None,
            served_stats: None,
            engine_metrics: None,
            engine_metadata: None,
            host: None,
            expectation: None,
            failure: None,
            diagnostics: None,
            raw_logs: None,
            migration: None,
        }
    }
}
