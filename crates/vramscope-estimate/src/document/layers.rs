//! Memory by layer, as `vramscope estimate --per-layer` has it. Sizes are bytes on each rank of a stage.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{FigureDocument, cache_kind};
use crate::{AlikeLayers, CacheSharing, OutsideLayers, StageLayers};

/// Memory by layer on each rank of one pipeline stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct StageLayersDocument {
    /// The stage's first layer, counted from 0.
    pub first_layer: u64,
    /// Its last layer.
    pub last_layer: u64,
    /// The rank's weights: those of all its layers and of what stands outside of them, exactly. How well it is known holds
    /// for all of its parts.
    pub weights_bytes: FigureDocument,
    /// The rank's KV cache, in whole blocks. How well it is known holds for all of its parts.
    pub kv_cache_bytes: FigureDocument,
    /// Layers that are alike, in the order of their first.
    pub layers: Vec<AlikeLayersDocument>,
    /// What stands outside layers.
    pub outside_layers: Vec<OutsideLayersDocument>,
    /// Groups of layers that share the KV cache: the bytes and the padding of each are the whole of it.
    pub kv_sharing: Vec<CacheSharingDocument>,
}

/// Layers one after another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct LayerRange {
    /// The first, counted from 0 in the whole model.
    pub first: u64,
    /// The last.
    pub last: u64,
}

/// Layers that are alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct AlikeLayersDocument {
    /// Which they are.
    pub layers: Vec<LayerRange>,
    /// How many they are.
    pub count: u64,
    /// What mixes tokens: `attention`, `sliding_attention`, `chunked_attention`, `latent_attention`,
    /// `compressed_attention`, `recurrence`, `attention_and_recurrence` or `none`.
    pub mixer: String,
    /// The feed-forward part: `dense`, `experts` or `none`.
    pub feed_forward: String,
    /// Tokens of the window or the chunk that attention sees as they are; absent where it sees all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub window: Option<u64>,
    /// Tokens of which compressed attention makes one vector; absent where it sees none beyond its window.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tokens_per_vector: Option<u64>,
    /// Whether tokens or vectors are selected by an index.
    #[serde(default)]
    pub indexed: bool,
    /// Whether a table names a token's experts, and no router chooses them.
    #[serde(default)]
    pub experts_by_table: bool,
    /// Weights of one of the layers, without the allocator's rounding.
    pub weights_bytes_each: u64,
    /// The same by part.
    pub parts_each: BTreeMap<String, u64>,
    /// Caches of one of the layers; empty where it has none, or reads another layer's.
    pub kv_caches: Vec<LayerCacheDocument>,
    /// One sequence's recurrent state in one of the layers, where it has one. It lies in a block of the KV cache.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub state_bytes_each: Option<FigureDocument>,
}

/// A layer's cache in one group of layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LayerCacheDocument {
    /// `full`, `latent`, `compressed`, `sliding`, `chunked` or `recurrent`.
    pub kind: String,
    /// Bytes of one block in the layer.
    pub block_bytes_each: u64,
    /// Bytes of all blocks of the pool in the layer; where groups share the pool, the most that it can have.
    pub bytes_each: u64,
}

/// What stands outside layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct OutsideLayersDocument {
    /// `embedding`, `head`, `norms`, `residual_streams`, `tower`, `buffers` (rotary tables and scalars), `adapters`,
    /// `drafter`, `allocator_rounding`, or `share_remainder`: what rounding a checkpoint's share down by part leaves over.
    pub part: String,
    /// Its bytes of the rank's weights.
    pub weights_bytes: u64,
    /// Bytes of all blocks of the KV cache in a drafter's layers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kv_cache_bytes: Option<u64>,
}

/// Layers that share a table of blocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CacheSharingDocument {
    /// `full`, `latent`, `compressed`, `sliding`, `chunked` or `recurrent`.
    pub kind: String,
    /// Tokens of the window or the chunk.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub window: Option<u64>,
    /// The model's layers on this stage that are of the group.
    pub layers: Vec<LayerRange>,
    /// Layers of a drafter in the group.
    pub drafter_layers: u64,
    /// Bytes of all blocks of the pool in these layers.
    pub bytes: u64,
    /// What lies idle if the group draws all blocks.
    pub padding_bytes: u64,
}

fn ranges(layers: &[Range<usize>]) -> Vec<LayerRange> {
    let of = |run: &Range<usize>| LayerRange { first: run.start as u64, last: run.end.saturating_sub(1) as u64 };
    layers.iter().map(of).collect()
}

impl From<&StageLayers> for StageLayersDocument {
    fn from(stage: &StageLayers) -> Self {
        Self {
            first_layer: stage.layers.start as u64,
            last_layer: stage.layers.end.saturating_sub(1) as u64,
            weights_bytes: (&stage.weights).into(),
            kv_cache_bytes: (&stage.kv_cache).into(),
            layers: stage.alike.iter().map(AlikeLayersDocument::from).collect(),
            outside_layers: stage.outside.iter().map(OutsideLayersDocument::from).collect(),
            kv_sharing: stage.sharing.iter().map(CacheSharingDocument::from).collect(),
        }
    }
}

impl From<&AlikeLayers> for AlikeLayersDocument {
    fn from(alike: &AlikeLayers) -> Self {
        let cache = |cache: &crate::LayerCache| LayerCacheDocument {
            kind: cache_kind(cache.kind).0.to_owned(),
            block_bytes_each: cache.block_bytes,
            bytes_each: cache.bytes,
        };
        Self {
            layers: ranges(&alike.layers),
            count: alike.count(),
            mixer: alike.mixer.to_owned(),
            feed_forward: alike.feed_forward.to_owned(),
            window: alike.traits.window,
            tokens_per_vector: alike.traits.tokens_per_vector,
            indexed: alike.traits.indexed,
            experts_by_table: alike.traits.experts_by_table,
            weights_bytes_each: alike.weights,
            parts_each: alike.parts.iter().map(|(part, bytes)| (part.name().to_owned(), *bytes)).collect(),
            kv_caches: alike.caches.iter().map(cache).collect(),
            state_bytes_each: alike.state.as_ref().map(FigureDocument::from),
        }
    }
}

impl From<&OutsideLayers> for OutsideLayersDocument {
    fn from(own: &OutsideLayers) -> Self {
        Self { part: own.name.to_owned(), weights_bytes: own.weights, kv_cache_bytes: own.kv_cache }
    }
}

impl From<&CacheSharing> for CacheSharingDocument {
    fn from(group: &CacheSharing) -> Self {
        let (kind, window) = cache_kind(group.kind);
        Self {
            kind: kind.to_owned(),
            window,
            layers: ranges(&group.layers),
            drafter_layers: group.drafter_layers,
            bytes: group.bytes,
            padding_bytes: group.padding,
        }
    }
}
