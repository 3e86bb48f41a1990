//! Version 2.0: three measurements from outside the process, a breakdown with confidence, latency.

use serde::Deserialize;

use crate::Amount;
use crate::earlier::{Count, Gpu, Time};
use crate::v1::GpuInfo;
use crate::v3::{ConfidenceLevels, ReportedValuesUsed};

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub(crate) struct Profile {
    pub(crate) profiler_version: Option<String>,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) model_info: Option<ModelInfo>,
    pub(crate) gpu_info: Option<GpuInfo>,
    pub(crate) memory_measurements: Option<MemoryMeasurements>,
    pub(crate) memory_breakdown: Option<MemoryBreakdown>,
    pub(crate) latency_stats: Option<LatencyStats>,
    pub(crate) engine_metadata: Option<EngineMetadata>,
    /// Known from the look at the version; here so that it does not count as unknown.
    #[serde(rename = "schema_version")]
    pub(crate) _schema_version: Option<String>,
}

/// When it was, and the profiler's command line.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) timestamp: Option<Time>,
    pub(crate) model: Option<String>,
    pub(crate) input_len: Option<Count>,
    pub(crate) output_len: Option<Count>,
    pub(crate) batch_size: Option<Count>,
    pub(crate) num_iters_warmup: Option<Count>,
    pub(crate) num_iters: Option<Count>,
    pub(crate) dtype: Option<String>,
    pub(crate) quantization: Option<String>,
    pub(crate) kv_cache_dtype: Option<String>,
    pub(crate) tensor_parallel_size: Option<u32>,
    pub(crate) gpu_memory_utilization: Option<Amount>,
    pub(crate) max_model_len: Option<Count>,
    pub(crate) enforce_eager: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub(crate) struct ModelInfo {
    pub(crate) model_name: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) num_parameters: Option<Count>,
    pub(crate) num_layers: Option<Count>,
    pub(crate) num_heads: Option<Count>,
    pub(crate) num_kv_heads: Option<Count>,
    pub(crate) head_dim: Option<Count>,
    pub(crate) hidden_size: Option<Count>,
    pub(crate) intermediate_size: Option<Count>,
    pub(crate) vocab_size: Option<Count>,
    pub(crate) dtype: Option<String>,
    pub(crate) quantization: Option<String>,
    pub(crate) kv_cache_dtype: Option<String>,
    pub(crate) prompt_length: Option<Count>,
    pub(crate) generated_length: Option<Count>,
    pub(crate) total_sequence_length: Option<Count>,
    pub(crate) batch_size: Option<Count>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub(crate) struct MemoryMeasurements {
    pub(crate) baseline: Option<MeasurementPoint>,
    pub(crate) post_warmup: Option<MeasurementPoint>,
    pub(crate) peak: Option<MeasurementPoint>,
    pub(crate) memory_increase_gb: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub(crate) struct MeasurementPoint {
    pub(crate) total_gb: Option<Amount>,
    pub(crate) per_gpu_stats: Option<PerGpuStats>,
    pub(crate) per_gpu_details: Option<Vec<Gpu>>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub(crate) struct PerGpuStats {
    #[serde(alias = "sum_gb")]
    pub(crate) sum: Option<Amount>,
    #[serde(alias = "max_gb")]
    pub(crate) max: Option<Amount>,
    #[serde(alias = "mean_gb")]
    pub(crate) mean: Option<Amount>,
    #[serde(alias = "stddev_gb")]
    pub(crate) stddev: Option<Amount>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub(crate) struct MemoryBreakdown {
    pub(crate) total_measured_gb: Option<Amount>,
    pub(crate) baseline_gb: Option<Amount>,
    pub(crate) net_increase_gb: Option<f64>,
    pub(crate) model_weights_gb: Option<Amount>,
    pub(crate) kv_cache_gb: Option<Amount>,
    pub(crate) activations_gb: Option<Amount>,
    pub(crate) framework_overhead_gb: Option<f64>,
    pub(crate) overhead_percentage: Option<f64>,
    pub(crate) estimation_method: Option<String>,
    pub(crate) confidence_levels: Option<ConfidenceLevels>,
    pub(crate) vllm_reported_values_used: Option<ReportedValuesUsed>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub(crate) struct LatencyStats {
    pub(crate) mean_latency_ms: Option<Amount>,
    pub(crate) median_latency_ms: Option<Amount>,
    pub(crate) min_latency_ms: Option<Amount>,
    pub(crate) max_latency_ms: Option<Amount>,
    pub(crate) tokens_per_second: Option<Amount>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub(crate) struct EngineMetadata {
    pub(crate) engine_version: Option<String>,
    pub(crate) engine_type: Option<String>,
}
