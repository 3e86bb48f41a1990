//! The document of an estimate for llama.cpp.
//!
//! Sizes are bytes. What is not known is absent.

use serde::{Deserialize, Serialize};

use super::budget::LlamaCppBudget;
use super::place::LlamaCppBackend;
use crate::document::FigureDocument;

/// The version of this document. A reader accepts the same number only.
pub(crate) const VERSION: u32 = 1;

/// What a server of llama.cpp takes of a device and of the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "json-schema", schemars(title = "vramscope estimate for llama.cpp"))]
#[non_exhaustive]
pub struct LlamaCppDocument {
    /// The document's version.
    pub vramscope_estimate_llama_cpp: u32,
    /// The engine: `llama.cpp`.
    pub engine_type: String,
    /// The file.
    pub model: String,
    /// The model's family, as the file names it.
    pub family: String,
    /// The build that is assumed; absent where none was named.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub build: Option<u64>,
    /// What computes: `cuda`, `vulkan` or `host`.
    pub backend: String,
    /// The device's short name; absent without one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gpu: Option<String>,
    /// The server's settings, with what fitting changed.
    pub settings: LlamaCppSettings,
    /// The engine that starts the server, with what it was told; absent where the server itself was asked about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub started_by: Option<LlamaCppStarter>,
    /// The parts of the memory.
    pub parts: Vec<LlamaCppPartRow>,
    /// What the driver and its libraries take of the device.
    pub driver_bytes: FigureDocument,
    /// Everything on the device, the driver's share among it.
    pub device_total_bytes: FigureDocument,
    /// Everything on the host.
    pub host_total_bytes: FigureDocument,
    /// What the server prints for weights on the host: with pages of the file, an address range.
    pub host_weights_printed_bytes: u64,
    /// What the device has for the server; absent without one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub available_bytes: Option<u64>,
    /// Whether it fits; absent without a device.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fits: Option<bool>,
    /// The same answer holds over the whole interval; absent without a device.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub certain: Option<bool>,
    /// The most layers that fit the device with these settings; absent without one, or where not even none fit.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub most_layers: Option<u64>,
    /// What fitting changed, one sentence each.
    pub changes: Vec<String>,
    /// What was taken for granted, one sentence each.
    pub notes: Vec<String>,
    /// Arguments that were given and not heeded, with or without an effect on memory.
    pub ignored: Vec<String>,
}

/// A server's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LlamaCppSettings {
    /// Tokens of all slots together.
    pub ctx_size: u64,
    /// Most tokens of one request.
    pub ctx_size_of_slot: u64,
    /// Requests at once.
    pub parallel: u64,
    /// All requests share one pool.
    pub kv_unified: bool,
    /// Tokens that are computed together.
    pub ubatch_size: u64,
    /// The type of cached keys.
    pub cache_type_k: String,
    /// The type of cached values.
    pub cache_type_v: String,
    /// Layers on the device, the output among them.
    pub gpu_layers: u64,
    /// All layers, the output among them.
    pub layers: u64,
    /// Layers whose experts stay on the host.
    pub cpu_moe_layers: u64,
}

impl LlamaCppSettings {
    /// Those of a budget.
    pub(crate) fn of(budget: &LlamaCppBudget) -> Self {
        Self {
            ctx_size: budget.context,
            ctx_size_of_slot: budget.context_of_slot,
            parallel: budget.slots,
            kv_unified: budget.unified,
            ubatch_size: budget.micro_batch,
            cache_type_k: budget.args.cache_k.clone(),
            cache_type_v: budget.args.cache_v.clone(),
            gpu_layers: budget.layers_on_device,
            layers: budget.layers,
            cpu_moe_layers: budget.expert_layers_on_host,
        }
    }
}

/// An engine that starts the server with a command line of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LlamaCppStarter {
    /// The engine: `ollama`.
    pub engine_type: String,
    /// Its release.
    pub version: String,
    /// Tokens of one request.
    pub num_ctx: u64,
    /// Requests at once.
    pub num_parallel: u64,
    /// Tokens that are computed together; absent where that is the server's own choice.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub num_batch: Option<u64>,
    /// The server's command line, as far as it decides memory.
    pub command: String,
}

/// One part of the memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LlamaCppPartRow {
    /// `weights`, `kv_cache`, `window_kv_cache`, `recurrent_state`, `compute` or `output`.
    pub name: String,
    /// On the device.
    pub device_bytes: FigureDocument,
    /// On the host.
    pub host_bytes: FigureDocument,
}

/// What a document is about.
#[derive(Debug, Clone, Copy)]
pub struct LlamaCppSubject<'s> {
    /// The file as it was named.
    pub model: &'s str,
    /// The family as the file names it.
    pub family: &'s str,
    /// What computes.
    pub backend: LlamaCppBackend,
    /// The device's short name.
    pub gpu: Option<&'s str>,
    /// The most layers that fit.
    pub most_layers: Option<u64>,
}

impl LlamaCppDocument {
    /// The document of a budget.
    pub fn new(subject: LlamaCppSubject<'_>, budget: &LlamaCppBudget) -> Self {
        let parts = budget.parts.iter().map(|part| LlamaCppPartRow {
            name: part.name.to_owned(),
            device_bytes: (&part.device).into(),
            host_bytes: (&part.host).into(),
        });
        Self {
            vramscope_estimate_llama_cpp: VERSION,
            engine_type: "llama.cpp".to_owned(),
            model: subject.model.to_owned(),
            family: subject.family.to_owned(),
            build: budget.args.build,
            backend: subject.backend.name().to_owned(),
            gpu: subject.gpu.map(str::to_owned),
            settings: LlamaCppSettings::of(budget),
            started_by: None,
            parts: parts.collect(),
            driver_bytes: (&budget.driver).into(),
            device_total_bytes: (&budget.device_total).into(),
            host_total_bytes: (&budget.host_total).into(),
            host_weights_printed_bytes: budget.host_weights_printed,
            available_bytes: budget.available,
            fits: budget.fits,
            certain: budget.certain(),
            most_layers: subject.most_layers,
            changes: budget.changes.clone(),
            notes: budget.notes.clone(),
            ignored: budget.args.ignored.clone(),
        }
    }
}

/// The JSON Schema of [`LlamaCppDocument`].
#[cfg(feature = "json-schema")]
pub fn llama_cpp_json_schema() -> schemars::Schema {
    schemars::schema_for!(LlamaCppDocument)
}
