//! The document of `vramscope analyze --per-layer`.

use serde::{Deserialize, Serialize};

use super::StageLayersDocument;
use crate::StageLayers;

/// The version of this document. A reader accepts the same number only.
pub const RUN_LAYERS_VERSION: u32 = 1;

/// A run's memory by layer, by its own config, command line and release, beside what it states of the sums. Nothing is scaled
/// to what it states. Sizes are bytes on each rank of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct RunLayersDocument {
    /// The document's version.
    pub vramscope_run_layers: u32,
    /// The release of vLLM by whose rules it is computed.
    pub engine_version: String,
    /// Whether the run states that release; else it is the newest that is known here.
    pub version_stated: bool,
    /// The device's marketing name; `a device of this size` where the run names none that is known.
    pub gpu: String,
    /// Blocks of the KV cache by what the run states: as printed, by its metrics, or by the tokens that it prints; absent where
    /// nothing tells, and they are predicted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stated_blocks: Option<u64>,
    /// Each pipeline stage, as `vramscope estimate --per-layer` has it.
    pub per_layer: Vec<StageLayersDocument>,
    /// Sums that the run states of itself, beside those of the layers.
    pub beside: Vec<BesideRow>,
    /// What the figures do not say.
    pub notes: Vec<String>,
}

/// A sum beside what the run states of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct BesideRow {
    /// The stage, counted from 0.
    pub stage: u64,
    /// The rank that stated it, where it was one alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rank: Option<u32>,
    /// `weights` or `kv_cache`.
    pub what: String,
    /// The sum of all layers and of what stands outside of them, in bytes.
    pub summed_bytes: u64,
    /// What is stated, in bytes.
    pub stated_bytes: u64,
    /// Half the width of what the stated digits leave open, in bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resolution_bytes: Option<u64>,
    /// The sum less what is stated, in bytes.
    pub difference_bytes: i64,
    /// `log` or `allocator_snapshot`.
    pub source: String,
    /// The line of the log, or the snapshot's file.
    pub place: String,
}

/// Pipeline stages in the form of documents.
pub fn stage_layers(stages: &[StageLayers]) -> Vec<StageLayersDocument> {
    stages.iter().map(StageLayersDocument::from).collect()
}
