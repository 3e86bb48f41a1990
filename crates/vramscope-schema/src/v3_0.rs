//! Version 3.0: version 2 and what the engine and the GPU tool said, still with bare `_gb` numbers.

use serde::Deserialize;
use serde_json::Value;

use crate::Amount;
use crate::earlier::{Count, Index, Shown};
use crate::v1::GpuInfo;
use crate::v2;

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub(crate) struct Profile {
    pub(crate) profiler_version: Option<String>,
    pub(crate) metadata: Option<v2::Metadata>,
    pub(crate) model_info: Option<v2::ModelInfo>,
    pub(crate) gpu_info: Option<GpuInfo>,
    pub(crate) memory_measurements: Option<v2::MemoryMeasurements>,
    pub(crate) memory_breakdown: Option<v2::MemoryBreakdown>,
    pub(crate) vllm_internal_metrics: Option<InternalMetrics>,
    pub(crate) memory_timeline: Option<Timeline>,
    pub(crate) detailed_gpu_metrics: Option<DetailedMetrics>,
    pub(crate) latency_stats: Option<v2::LatencyStats>,
    pub(crate) engine_metadata: Option<v2::EngineMetadata>,
    pub(crate) raw_logs: Option<Value>,
    /// Known from the look at the version; here so that it does not count as unknown.
    #[serde(rename = "schema_version")]
    pub(crate) _schema_version: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub(crate) struct InternalMetrics {
    pub(crate) num_gpu_blocks: Option<Count>,
    pub(crate) num_cpu_blocks: Option<Count>,
    pub(crate) block_size: Option<Count>,
    pub(crate) total_gpu_kv_cache_tokens: Option<Count>,
    pub(crate) total_gpu_kv_cache_gb: Option<Amount>,
    pub(crate) attention_backend: Option<String>,
    pub(crate) model_weights_gb: Option<Amount>,
    pub(crate) activations_gb: Option<Amount>,
    pub(crate) total_allocated_gb: Option<Amount>,
    pub(crate) gpu_memory_utilization: Option<Amount>,
    pub(crate) max_model_len: Option<Count>,
    pub(crate) cuda_graphs_enabled: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub(crate) struct Timeline {
    pub(crate) min_gb: Option<Amount>,
    pub(crate) max_gb: Option<Amount>,
    pub(crate) mean_gb: Option<Amount>,
    pub(crate) median_gb: Option<Amount>,
    pub(crate) p95_gb: Option<Amount>,
    pub(crate) num_samples: Option<Count>,
    pub(crate) timeline: Option<Vec<Point>>,
    pub(crate) extended: Option<Extended>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Point {
    pub(crate) timestamp: Option<f64>,
    pub(crate) memory_gb: Option<Amount>,
    pub(crate) power_w: Shown,
    pub(crate) temp_c: Shown,
    pub(crate) utilization_pct: Shown,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub(crate) struct Extended {
    pub(crate) power: Option<Power>,
    pub(crate) temperature: Option<Temperature>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Power {
    pub(crate) min_w: Shown,
    pub(crate) max_w: Shown,
    pub(crate) mean_w: Shown,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Temperature {
    pub(crate) min_c: Shown,
    pub(crate) max_c: Shown,
    pub(crate) mean_c: Shown,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub(crate) struct DetailedMetrics {
    pub(crate) tool: Option<String>,
    pub(crate) timestamp: Option<f64>,
    pub(crate) gpus: Option<Vec<DetailedGpu>>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DetailedGpu {
    pub(crate) gpu_id: Option<Index>,
    pub(crate) vram_used_mb: Shown,
    pub(crate) vram_free_mb: Shown,
    pub(crate) vram_total_mb: Shown,
    pub(crate) vram_percent: Shown,
    pub(crate) power_watts: Shown,
    pub(crate) hotspot_temp_c: Shown,
    pub(crate) memory_temp_c: Shown,
    pub(crate) gfx_utilization_pct: Shown,
    pub(crate) mem_utilization_pct: Shown,
    pub(crate) clock_gfx_mhz: Shown,
    pub(crate) clock_mem_mhz: Shown,
    pub(crate) processes: Option<Vec<Process>>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub(crate) struct Process {
    pub(crate) process_info: Option<String>,
    pub(crate) memory_usage: Option<ProcessMemory>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ProcessMemory {
    pub(crate) value: Shown,
    pub(crate) unit: Option<String>,
}
