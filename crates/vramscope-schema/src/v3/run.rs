//! Who wrote the document, how the run was set up, the model and the GPUs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::{Phase, RunStatus, SourceKind};
use crate::Amount;

/// The program that wrote a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Generator {
    /// Its name.
    pub name: String,
    /// Its release.
    pub version: String,
}

/// When the run was, how it ended, and which files it is drawn from.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Metadata {
    /// The wall clock at the run's first evidence, RFC 3339. We write UTC; a document migrated from an earlier version
    /// keeps what was written there, possibly without a time zone.
    #[cfg_attr(
        feature = "json-schema",
        schemars(regex(pattern = r"^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?([Zz]|[+-]\d{2}:?\d{2})?$"))
    )]
    pub timestamp: Option<String>,
    /// The wall clock at the anchor from which every `_ns` time of this document counts. Unit: nanoseconds since 1970
    /// UTC.
    pub anchor_unix_ns: Option<i64>,
    /// From the first evidence to the last.
    pub duration_s: Option<Amount>,
    /// How the run ended. Absent where the document does not say.
    pub status: Option<RunStatus>,
    /// The phase in which a failed run failed.
    pub failing_phase: Option<Phase>,
    /// The files that the document is drawn from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    /// What a reader must know of the evidence, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A file that the document is drawn from.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Source {
    /// What kind of evidence it is.
    pub kind: SourceKind,
    /// Its name, relative to the folder that was analysed; never a path outside it.
    pub file: String,
    /// Its size on disk. Unit: bytes.
    pub bytes: Option<u64>,
    /// The SHA-256 of its content, in hexadecimal.
    #[cfg_attr(feature = "json-schema", schemars(regex(pattern = "^[0-9a-f]{64}$")))]
    pub sha256: Option<String>,
}

/// How the engine was set up and what was asked of it.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct RunConfig {
    /// The engine's settings, as its command line or its log gives them.
    pub engine: Option<EngineArgs>,
    /// What was asked of it.
    pub workload: Option<WorkloadInfo>,
}

/// The engine's settings. What is not known is absent; defaults are not filled in.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct EngineArgs {
    /// The model's name or folder.
    pub model: Option<String>,
    /// Element type of weights and activations.
    pub dtype: Option<String>,
    /// Quantization method of the weights.
    pub quantization: Option<String>,
    /// Element type of the KV cache.
    pub kv_cache_dtype: Option<String>,
    /// How weights are loaded.
    pub load_format: Option<String>,
    /// Ranks that split each layer. Unit: count.
    pub tensor_parallel_size: Option<u32>,
    /// Ranks that split the layers. Unit: count.
    pub pipeline_parallel_size: Option<u32>,
    /// Replicas of the engine. Unit: count.
    pub data_parallel_size: Option<u32>,
    /// The longest request. Unit: tokens.
    pub max_model_len: Option<u64>,
    /// The most requests in one step. Unit: count.
    pub max_num_seqs: Option<u64>,
    /// The most tokens in one step. Unit: tokens.
    pub max_num_batched_tokens: Option<u64>,
    /// The share of a device's memory that the engine may use. Unit: share, 0 to 1.
    pub gpu_memory_utilization: Option<Amount>,
    /// The size given for the KV-cache pool of one rank, in place of the utilization.
    pub kv_cache_memory_bytes: Option<u64>,
    /// Tokens of one KV block. Unit: tokens.
    pub block_size: Option<u64>,
    /// Whether compilation and graphs are off.
    pub enforce_eager: Option<bool>,
    /// Whether prefixes are shared between requests.
    pub enable_prefix_caching: Option<bool>,
    /// Whether prompts are cut into chunks.
    pub enable_chunked_prefill: Option<bool>,
    /// The method of speculative decoding.
    pub speculative_method: Option<String>,
    /// The CUDA-graph mode.
    pub cudagraph_mode: Option<String>,
    /// Any other setting, name to value as text. Never a credential.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub other: BTreeMap<String, String>,
}

/// What was asked of the engine.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct WorkloadInfo {
    /// Prompt tokens of one request. Unit: tokens.
    pub input_len: Option<u64>,
    /// Generated tokens of one request. Unit: tokens.
    pub output_len: Option<u64>,
    /// Requests in flight together. Unit: count.
    pub batch_size: Option<u64>,
    /// Iterations before the measured ones. Unit: count.
    pub num_iters_warmup: Option<u64>,
    /// Measured iterations. Unit: count.
    pub num_iters: Option<u64>,
    /// Requests in all, for a served workload. Unit: count.
    pub num_prompts: Option<u64>,
    /// Requests sent each second, for an open workload. Unit: requests per second.
    pub request_rate: Option<Amount>,
    /// The random seed. Unit: none, an arbitrary number.
    pub seed: Option<u64>,
}

/// The model.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct ModelInfo {
    /// Its name.
    pub name: Option<String>,
    /// Version 1's name for `name`; the same text.
    pub model_name: Option<String>,
    /// The architecture class (`LlamaForCausalLM`).
    pub architecture: Option<String>,
    /// Parameters of the whole model. Unit: count.
    pub num_parameters: Option<u64>,
    /// Layers. Unit: count.
    pub num_layers: Option<u64>,
    /// Query heads. Unit: count.
    pub num_heads: Option<u64>,
    /// Key and value heads. Unit: count.
    pub num_kv_heads: Option<u64>,
    /// The size of one head. Unit: elements.
    pub head_dim: Option<u64>,
    /// The width of the residual stream. Unit: elements.
    pub hidden_size: Option<u64>,
    /// The width inside the feed-forward layers. Unit: elements.
    pub intermediate_size: Option<u64>,
    /// Rows of the embedding. Unit: count.
    pub vocab_size: Option<u64>,
    /// The longest sequence that the model was made for. Unit: tokens.
    pub max_position_embeddings: Option<u64>,
    /// Routed experts. Unit: count.
    pub num_experts: Option<u64>,
    /// Element type of weights and activations.
    pub dtype: Option<String>,
    /// Quantization method of the weights.
    pub quantization: Option<String>,
    /// Element type of the KV cache.
    pub kv_cache_dtype: Option<String>,
    /// The prompt's length, for readers of version 1: `run_config.workload` has it too. Unit: tokens.
    pub prompt_length: Option<u64>,
    /// For readers of version 1: what `generate` returned, which counts the prompt; in documents that came from version 1
    /// it may not. Unit: tokens.
    pub generated_length: Option<u64>,
    /// Prompt and answer together, for readers of version 1. Unit: tokens.
    pub total_sequence_length: Option<u64>,
    /// Sequences together, for readers of version 1. Unit: count.
    pub batch_size: Option<u64>,
}

/// The GPUs.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct GpuInfo {
    /// How many the run used. Unit: count.
    pub num_gpus: Option<u32>,
    /// Memory in use on each GPU at the peak of the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpu_memory_per_device: Vec<DeviceMemory>,
    /// Memory that exists only because there are several GPUs: what they hold of weights, runtime contexts and
    /// collectives together, less what one GPU would hold of weights and one context. Absent for one GPU, and where the
    /// model is not known.
    pub multi_gpu_overhead_bytes: Option<i64>,
    /// How uneven the GPUs of the run are at the peak: (largest - smallest) / mean of the memory in use over the
    /// baseline. Absent for one GPU.
    pub imbalance_pct: Option<Amount>,
    /// What the driver says of each GPU.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceInfo>,
}

/// Memory of one GPU.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct DeviceMemory {
    /// Its index in the log. Unit: none, an index.
    pub gpu: Option<u32>,
    /// In use by everybody.
    pub used_bytes: Option<u64>,
    /// In use by the framework's tensors.
    pub allocated_bytes: Option<u64>,
    /// Held by the framework's allocator.
    pub reserved_bytes: Option<u64>,
    /// All memory of the GPU.
    pub total_bytes: Option<u64>,
}

/// What the driver says of one GPU.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct DeviceInfo {
    /// Its index in the log. Unit: none, an index.
    pub index: u32,
    /// Its identity, as the driver prints it.
    pub uuid: Option<String>,
    /// Its marketing name.
    pub name: Option<String>,
    /// Who made it: `nvidia`, `amd`, `intel`, or `cpu` for the host's own memory.
    pub vendor: Option<String>,
    /// Its place on the bus.
    pub pci_bus_id: Option<String>,
    /// The version of the kernel driver behind it.
    pub driver_version: Option<String>,
    /// How it is cut into parts, or what it is a part of. Absent for a whole GPU.
    pub partition: Option<PartitionInfo>,
    /// All memory that the driver reports for it.
    pub total_bytes: Option<u64>,
    /// The part that the driver holds back.
    pub reserved_bytes: Option<u64>,
    /// What a process can use: total less reserved. It is what CUDA calls the total.
    pub usable_bytes: Option<u64>,
}

/// How a GPU is cut into parts, or what it is a part of.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PartitionInfo {
    /// `mig_parent`: a whole GPU whose memory is shared out among slices. `mig_slice`: one of them. `amd`: a device as
    /// AMD's driver lists it under its partition modes.
    pub kind: String,
    /// The whole GPU of a slice. Unit: none, an index.
    pub parent: Option<u32>,
    /// The slice's GPU instance. Unit: none, an index.
    pub gpu_instance: Option<u32>,
    /// The compute instance inside it. Unit: none, an index.
    pub compute_instance: Option<u32>,
    /// AMD's compute partition mode (`SPX`, `CPX`).
    pub compute_mode: Option<String>,
    /// AMD's memory partition mode (`NPS1`, `NPS4`).
    pub memory_mode: Option<String>,
}
