//! The closed vocabularies of the document. A word never changes its meaning; a new word is a new minor version.

use serde::{Deserialize, Serialize};
use vramscope_core::ComponentKind;

/// Declares a vocabulary of the document that mirrors one of `core`.
macro_rules! mirror {
    ($(#[$doc:meta])* $name:ident of $core:ty { $($(#[$word:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$word])* $variant),+ }

        impl From<$name> for $core {
            fn from(word: $name) -> Self {
                match word { $($name::$variant => Self::$variant),+ }
            }
        }
    };
}

mirror! {
    /// What the engine was doing, seen from the GPU.
    Phase of vramscope_core::Phase {
        /// Before the engine exists.
        Baseline,
        /// From the engine's first sign of life until it begins to load the model.
        Launch,
        /// Loading weights, profiling, allocating the KV-cache pool, capturing graphs.
        Load,
        /// The engine could serve, and nothing has been asked of it.
        Ready,
        /// Requests that are not measured.
        Warmup,
        /// Requests that are measured.
        Measure,
        /// The engine is stopping.
        Shutdown,
        /// The engine is gone.
        Settle,
    }
}

impl From<vramscope_core::Phase> for Phase {
    fn from(phase: vramscope_core::Phase) -> Self {
        use vramscope_core::Phase as Core;
        match phase {
            Core::Baseline => Self::Baseline,
            Core::Launch => Self::Launch,
            Core::Load => Self::Load,
            Core::Ready => Self::Ready,
            Core::Warmup => Self::Warmup,
            Core::Measure => Self::Measure,
            Core::Shutdown => Self::Shutdown,
            Core::Settle => Self::Settle,
        }
    }
}

mirror! {
    /// How well a figure is known.
    Confidence of vramscope_core::Confidence {
        /// A usual value, without evidence from this run.
        Assumed,
        /// From a fitted rule.
        Estimated,
        /// By exact arithmetic from facts of this run.
        Computed,
        /// Printed by the engine, within the printed resolution.
        Reported,
        /// Read from the device.
        Measured,
    }
}

impl From<vramscope_core::Confidence> for Confidence {
    fn from(confidence: vramscope_core::Confidence) -> Self {
        use vramscope_core::Confidence as Core;
        match confidence {
            Core::Assumed => Self::Assumed,
            Core::Estimated => Self::Estimated,
            Core::Computed => Self::Computed,
            Core::Reported => Self::Reported,
            Core::Measured => Self::Measured,
        }
    }
}

/// A named part of used memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PartKind {
    /// Parameters and buffers of the model.
    ModelWeights,
    /// The KV-cache pool, used or not.
    KvCache,
    /// State of recurrent layers, used or not.
    RecurrentState,
    /// What a rank keeps beside its weights once its profile run is over, in engines that count it: tables of its runner
    /// and sampler, workspaces, states, and what grew outside the framework's allocator meanwhile.
    Held,
    /// Working memory of forward passes and sampling.
    Activations,
    /// Buffers that an engine allocates at its start for one step to compute in.
    ComputeBuffers,
    /// Buffers for what a step leaves: logits and embeddings.
    OutputBuffers,
    /// Memory held by captured CUDA or HIP graphs.
    CudaGraphs,
    /// Driver context, loaded kernels and library workspaces outside the framework's allocator.
    RuntimeContext,
    /// Buffers of NCCL or RCCL and of custom all-reduce.
    Collectives,
}

impl PartKind {
    /// The document's word for a component, or `None` for a kind that this version of the document has no word for.
    pub fn of(kind: ComponentKind) -> Option<Self> {
        Some(match kind {
            ComponentKind::Weights => Self::ModelWeights,
            ComponentKind::KvCache => Self::KvCache,
            ComponentKind::RecurrentState => Self::RecurrentState,
            ComponentKind::Held => Self::Held,
            ComponentKind::Activations => Self::Activations,
            ComponentKind::Compute => Self::ComputeBuffers,
            ComponentKind::Output => Self::OutputBuffers,
            ComponentKind::CudaGraphs => Self::CudaGraphs,
            ComponentKind::RuntimeContext => Self::RuntimeContext,
            ComponentKind::Collectives => Self::Collectives,
            _ => return None,
        })
    }
}

/// Why there is no sample where one was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum GapCause {
    /// The read failed.
    FailedRead,
    /// The sampler came too late, or the recording has a hole.
    MissedTicks,
    /// The GPU is gone: no reading of it succeeds any more.
    DeviceLost,
    /// The readings were taken, but whoever keeps them could not follow.
    Dropped,
}

impl GapCause {
    /// The document's word for a cause, or `None` for one that this version of the document has no word for.
    pub fn of(cause: vramscope_core::GapCause) -> Option<Self> {
        use vramscope_core::GapCause as Core;
        Some(match cause {
            Core::FailedRead => Self::FailedRead,
            Core::MissedTicks => Self::MissedTicks,
            Core::DeviceLost => Self::DeviceLost,
            Core::Dropped => Self::Dropped,
            _ => return None,
        })
    }
}

/// How the run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// The run did what it was to do.
    Complete,
    /// The engine or the run failed; `failure` says why, and the rest holds what was seen until then.
    Failed,
    /// The run ended well or is not known to have failed, and some evidence is missing.
    Partial,
    /// Somebody stopped the run; what was seen until then is there.
    Interrupted,
}

/// What kind of evidence a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SourceKind {
    /// What the engine printed.
    EngineLog,
    /// Readings of the GPUs over time.
    GpuLog,
    /// The model's `config.json`, or the header of its weights.
    ModelConfig,
    /// The engine's command line.
    EngineArgs,
    /// A benchmark's result.
    Benchmark,
    /// A torch-profiler trace.
    Trace,
    /// The engine's own metrics endpoint.
    EngineMetrics,
    /// What the engine's server answered when it was asked for its settings and its memory.
    EngineAnswer,
    /// What the conductor of the run wrote down: its host, its outcome, its marks.
    HostRecord,
    /// What the transformers probe wrote.
    Probe,
    /// A snapshot of PyTorch's allocator.
    AllocatorSnapshot,
    /// An earlier profile document.
    Profile,
}

/// How much a diagnostic matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Something is wasted or doubtful.
    Warning,
    /// The run or its result is broken.
    Error,
}

/// Which ranks a reported value speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FactScope {
    /// The rank that printed it.
    ThisRank,
    /// Each rank, printed by one for all.
    PerRank,
    /// All ranks of one engine together.
    AllRanks,
}

/// The unit that a bare `_gb` or `_mb` number of an earlier document was counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub enum BasisUnit {
    /// 10^9 bytes.
    #[serde(rename = "GB")]
    Gb,
    /// 2^30 bytes.
    #[serde(rename = "GiB")]
    Gib,
    /// 10^6 bytes.
    #[serde(rename = "MB")]
    Mb,
    /// 2^20 bytes.
    #[serde(rename = "MiB")]
    Mib,
}
