//! The JSON document of a log: a flat summary of the whole input, and one rich report per engine start.

mod engine;
mod failure;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use engine::{
    BenchDocument, BufferDocument, EngineDocument, EventDocument, FigureDocument, PlacementDocument, ReportDocument,
    ReportsDocument, ScopeName, SettingDocument, ValueDocument, event, figure, milestone_name, setting, time_text,
};
pub use failure::{ConsequenceDocument, FailureDocument, RankFailureDocument, failure};

use crate::log_report::LogReport;

/// The version of the document.
pub const SCHEMA_VERSION: &str = "1.0";

/// What a log says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LogDocument {
    /// The version of this document, `major.minor`.
    pub schema_version: String,
    /// One flat answer for the whole input.
    pub summary: Summary,
    /// One report per engine start, in the order of the log.
    pub engines: Vec<EngineDocument>,
    /// Remarks about the whole input.
    pub notes: Vec<NoteDocument>,
    /// Lines that look like figures of memory and were not understood; only where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<Vec<UnknownDocument>>,
}

/// A remark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct NoteDocument {
    /// The line that it is about, counted from 1; absent where it is about the whole input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What.
    pub text: String,
}

/// A line that was not understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct UnknownDocument {
    /// The line, counted from 1.
    pub line: u64,
    /// Its message, without secrets, shortened.
    pub text: String,
}

/// One flat answer for the whole input. Lists are in order of appearance, one entry a printed line; memory is in GiB
/// with the digits of the line. `null` is what the log does not say.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Summary {
    /// The engine's version.
    pub engine_version: Option<String>,
    /// `V0` or `V1`, where the engine's words say so.
    pub engine_generation: Option<String>,
    /// Who made the device: `nvidia`, `amd`, `intel`, `google`, `ascend`, `cpu`.
    pub device_vendor: Option<String>,
    /// The model's name or folder.
    pub model: Option<String>,
    /// Element type of weights and activations, as printed (`torch.bfloat16`).
    pub dtype: Option<String>,
    /// Quantization of the weights; `null` also where the log says that there is none.
    pub quantization: Option<String>,
    /// Element type of the KV cache, as printed.
    pub kv_cache_dtype: Option<String>,
    /// Tensor-parallel ranks.
    pub tensor_parallel_size: Option<u64>,
    /// Pipeline-parallel stages.
    pub pipeline_parallel_size: Option<u64>,
    /// Data-parallel replicas.
    pub data_parallel_size: Option<u64>,
    /// Longest request in tokens.
    pub max_model_len: Option<u64>,
    /// Share of the device that the engine may use.
    pub gpu_memory_utilization: Option<f64>,
    /// Whether compilation and graphs are off.
    pub enforce_eager: Option<bool>,
    /// Whether prefixes are shared between requests.
    pub enable_prefix_caching: Option<bool>,
    /// Whether prompts are cut into chunks.
    pub enable_chunked_prefill: Option<bool>,
    /// The method of speculative decoding.
    pub speculative_method: Option<String>,
    /// Tokens of one KV block, where printed.
    pub block_size: Option<u64>,
    /// Total memory of one device, in GiB.
    pub total_gpu_memory_gib: Option<f64>,
    /// Weights of one worker, in GiB, one entry a printed line.
    pub weights_gib: Option<Vec<f64>>,
    /// Who printed each of them; `null` entries are the driver's.
    pub weights_workers: Option<Vec<Option<String>>>,
    /// Memory for the KV cache of one worker, in GiB, one entry a printed line.
    pub kv_cache_gib: Option<Vec<f64>>,
    /// Who printed each of them; `null` entries are the driver's.
    pub kv_cache_workers: Option<Vec<Option<String>>>,
    /// Blocks of the KV cache on one device; the smallest where several are printed.
    pub num_gpu_blocks: Option<u64>,
    /// Blocks of the swap space.
    pub num_cpu_blocks: Option<u64>,
    /// Tokens that the KV cache holds; the smallest where several are printed.
    pub kv_cache_tokens: Option<u64>,
    /// Requests of full length that fit; the fewest where several are printed.
    pub max_concurrency: Option<Concurrency>,
    /// Transient peak of the profile run of one worker, in GiB; a list where several workers print it.
    pub activations_gib: Option<OneOrMany>,
    /// Growth outside the framework's allocator of one worker, in GiB; a list where several workers print it.
    pub non_torch_gib: Option<OneOrMany>,
    /// Captured graphs of one worker, in GiB, negative where free memory rose; a list where several workers print it.
    pub cuda_graph_gib: Option<OneOrMany>,
    /// Seconds that capturing took; a list where several workers print it.
    pub cuda_graph_capture_secs: Option<OneOrMany>,
    /// The engine's own estimate of the graphs of one worker, in GiB.
    pub cuda_graph_estimated_gib: Option<f64>,
    /// The attention backend, as printed.
    pub attention_backend: Option<String>,
    /// Seconds that the engine's start took.
    pub init_engine_secs: Option<f64>,
    /// The final numbers of a benchmark.
    pub bench: Option<Bench>,
    /// Why the engine did not start, or stopped.
    pub failure: Option<FailureSummary>,
}

/// The largest number of requests of full length that the KV cache can hold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Concurrency {
    /// Tokens of one request.
    pub tokens: u64,
    /// How many of them fit.
    pub factor: f64,
}

/// One number, or several in order of appearance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum OneOrMany {
    /// One line printed it.
    One(f64),
    /// Several lines printed it.
    Many(Vec<f64>),
}

impl OneOrMany {
    /// From a list; `None` from an empty one.
    pub(crate) fn of(values: Vec<f64>) -> Option<Self> {
        match values.as_slice() {
            [] => None,
            [one] => Some(Self::One(*one)),
            _ => Some(Self::Many(values)),
        }
    }

    /// The first number.
    pub(crate) fn first(self) -> Option<f64> {
        match self {
            Self::One(one) => Some(one),
            Self::Many(many) => many.first().copied(),
        }
    }
}

/// The final numbers of a benchmark.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Bench {
    /// `latency`, `throughput` or `serve`.
    pub r#type: String,
    /// Its numbers: names ending in `_s` are seconds or per second as printed, `_ms` milliseconds, `_tok_s` tokens per
    /// second.
    #[serde(flatten)]
    pub numbers: BTreeMap<String, f64>,
}

/// Why the engine did not start, or stopped. Numbers are as printed; what is absent was not printed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct FailureSummary {
    /// The kind of failure.
    pub kind: String,
    /// The engine's message, for kinds that have no numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The model's length in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_seq_len: Option<u64>,
    /// Tokens that the KV cache can hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_cache_tokens: Option<u64>,
    /// What one request of that length needs, in GiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needed_gib: Option<f64>,
    /// What the KV cache has, in GiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_gib: Option<f64>,
    /// The longest length that would fit, by the engine's own estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_max_model_len: Option<u64>,
    /// Free memory at start, in GiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_gib: Option<f64>,
    /// Total memory of the device, in GiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_gib: Option<f64>,
    /// The share asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub utilization: Option<f64>,
    /// The amount asked for, in GiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_gib: Option<f64>,
    /// The allocation that failed, with its unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tried_to_allocate: Option<String>,
    /// The device's capacity, with its unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_capacity: Option<String>,
    /// Free memory, with its unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free: Option<String>,
    /// In use by the process, with its unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process_in_use: Option<String>,
    /// In use by tensors, with its unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocated_by_pytorch: Option<String>,
    /// Held by the allocator and not in use, with its unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved_unallocated: Option<String>,
}

impl LogDocument {
    /// The document of a report.
    pub fn of(report: &LogReport) -> Self {
        let note = |note: &crate::ParseNote| NoteDocument {
            line: (note.line > 0).then_some(note.line),
            text: note.text.clone(),
        };
        let unknown = |line: &crate::UnknownLine| UnknownDocument { line: line.line, text: line.text.clone() };
        Self {
            schema_version: SCHEMA_VERSION.to_owned(),
            summary: crate::summary::summary(report),
            engines: report.engines.iter().map(EngineDocument::of).collect(),
            notes: report.notes.iter().map(note).collect(),
            unknown: report.unknown.as_ref().map(|lines| lines.iter().map(unknown).collect()),
        }
    }
}

/// The JSON Schema of [`LogDocument`].
#[cfg(feature = "json-schema")]
pub fn json_schema() -> schemars::Schema {
    schemars::generate::SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<LogDocument>()
}
