//! The document of `vramscope fit`.

use serde::{Deserialize, Serialize};

use super::{GpuDocument, ModelDocument};
use crate::vllm::fit::{Change, DeviceFit, Placement, serve_command};

/// Answers to the inverse questions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "json-schema", schemars(title = "vramscope fit"))]
pub struct FitDocument {
    /// The document's version.
    pub vramscope_fit: u32,
    /// The model.
    pub model: ModelDocument,
    /// The release of vLLM.
    pub engine_version: String,
    /// Tokens of one request that were asked for; absent is the model's longest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_tokens: Option<u64>,
    /// Requests that were asked for together.
    pub requests: u64,
    /// The device of each rank, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuDocument>,
    /// The placement on the fewest devices, if any is enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fewest: Option<Placed>,
    /// The longest `max_model_len` in tokens on the devices as given; absent if the engine starts with none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_model_len: Option<u64>,
    /// The most requests of the asked length together on the devices as given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most_requests: Option<u64>,
    /// The lowest share of the device that is enough, from 0 to 1; absent if none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lowest_utilization: Option<f64>,
    /// What each change would do on the devices as given.
    pub changes: Vec<ChangeRow>,
    /// Every device of the table, where all were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub devices: Vec<DeviceRow>,
}

/// A way to serve the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Placed {
    /// Devices in all.
    pub gpus: u64,
    /// Ranks that split each layer.
    pub tensor_parallel_size: u64,
    /// Ranks that split the sequence of layers.
    pub pipeline_parallel_size: u64,
    /// Requests of the asked length that fit together.
    pub concurrent_requests: u64,
    /// The KV cache on one rank, in bytes.
    pub kv_cache_bytes: u64,
    /// The answer holds over the whole interval.
    pub certain: bool,
    /// The command line.
    pub command: String,
}

/// A change and what it does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ChangeRow {
    /// `as_asked`, `fp8_kv_cache`, `fp8_weights`, `four_bit_weights` or `four_bit_weights_and_fp8_kv_cache`.
    pub change: String,
    /// The wish comes true with it.
    pub fits: bool,
    /// How, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placed: Option<Placed>,
}

/// A device and the fewest of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct DeviceRow {
    /// Its short name.
    pub key: String,
    /// Its name.
    pub name: String,
    /// All memory that the framework sees, in bytes.
    pub total_bytes: u64,
    /// The placement on the fewest of them; absent if 64 are not enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placed: Option<Placed>,
}

impl Placed {
    /// A placement of a model with this name.
    pub fn new(model: &str, placement: &Placement) -> Self {
        Self {
            gpus: placement.gpus,
            tensor_parallel_size: placement.args.tensor_parallel_size,
            pipeline_parallel_size: placement.args.pipeline_parallel_size,
            concurrent_requests: placement.concurrent_requests,
            kv_cache_bytes: placement.budget.kv_cache.value,
            certain: placement.budget.verdict.certain,
            command: serve_command(model, placement).join(" "),
        }
    }
}

impl ChangeRow {
    /// A change with its outcome.
    pub fn new(model: &str, change: Change, placement: Option<&Placement>) -> Self {
        let placed = placement.map(|placement| Placed::new(model, placement));
        Self { change: change.name().to_owned(), fits: placed.is_some(), placed }
    }
}

impl DeviceRow {
    /// A device with its outcome.
    pub fn new(model: &str, fit: &DeviceFit) -> Self {
        Self {
            key: fit.device.key.to_owned(),
            name: fit.device.name.to_owned(),
            total_bytes: fit.device.total.get(),
            placed: fit.placement.as_ref().map(|placement| Placed::new(model, placement)),
        }
    }
}
