//! Version 1.0, which names no version: one breakdown, taken inside the process with the framework's own counters.

use serde::Deserialize;

use crate::Amount;
use crate::earlier::{Count, Gpu};

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Profile {
    pub(crate) profiler_version: Option<String>,
    pub(crate) memory_breakdown: MemoryBreakdown,
    pub(crate) model_info: Option<ModelInfo>,
    pub(crate) gpu_info: Option<GpuInfo>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub(crate) struct MemoryBreakdown {
    pub(crate) model_weights_gb: Option<Amount>,
    pub(crate) kv_cache_gb: Option<Amount>,
    pub(crate) activations_gb: Option<Amount>,
    /// The remainder of the total; negative where the parts claim more.
    pub(crate) framework_overhead_gb: Option<f64>,
    pub(crate) total_gb: Option<Amount>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub(crate) struct ModelInfo {
    pub(crate) model_name: Option<String>,
    pub(crate) dtype: Option<String>,
    pub(crate) num_parameters: Option<Count>,
    pub(crate) prompt_length: Option<Count>,
    pub(crate) generated_length: Option<Count>,
    pub(crate) total_sequence_length: Option<Count>,
    pub(crate) batch_size: Option<Count>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub(crate) struct GpuInfo {
    pub(crate) num_gpus: Option<u32>,
    pub(crate) gpu_memory_per_device: Option<Vec<Gpu>>,
    /// A difference of two counts; negative where they disagree.
    pub(crate) multi_gpu_overhead_gb: Option<f64>,
}
