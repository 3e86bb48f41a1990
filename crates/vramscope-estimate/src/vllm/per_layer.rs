//! Memory by layer: weights, KV cache and recurrent state of each rank, and what stands outside layers.

use std::ops::Range;

use vramscope_core::{Architecture, Confidence, FeedForward, Layer, Mixer, Span};

use crate::figure::Figure;
use crate::vllm::budget::{Budget, Setting};
use crate::vllm::input::EngineArgs;
use crate::vllm::kv::layers::{self, Sharing};
use crate::vllm::kv::state;
use crate::weights::layers::{Alike, ByLayer, by_layer};
use crate::weights::tensors::Split;
use crate::{CacheKind, EstimateError, Part, StageWeights, Weights};

const OVERFLOW: EstimateError = EstimateError::Overflow { what: "the memory by layer" };

/// Memory by layer on the ranks of one pipeline stage; they are alike.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StageLayers {
    /// The stage's layers, counted from 0.
    pub layers: Range<usize>,
    /// The rank's weights: those of all its layers and what stands outside of them, exactly. Its interval and confidence
    /// hold for all of its parts.
    pub weights: Figure,
    /// The rank's KV cache: blocks x what a block takes on this stage. Its interval and confidence hold for all of its parts.
    pub kv_cache: Figure,
    /// Layers that are alike, in the order of their first.
    pub alike: Vec<AlikeLayers>,
    /// What stands outside layers, without empty ones.
    pub outside: Vec<OutsideLayers>,
    /// Who shares the KV cache.
    pub sharing: Vec<CacheSharing>,
}

/// Layers that are alike, and what each of them holds on a rank.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AlikeLayers {
    /// Where they stand in the model, counted from 0, in order.
    pub layers: Vec<Range<usize>>,
    /// What mixes tokens: `attention`, `sliding_attention`, `chunked_attention`, `latent_attention`,
    /// `compressed_attention`, `recurrence`, `attention_and_recurrence` or `none`.
    pub mixer: &'static str,
    /// The feed-forward part: `dense`, `experts` or `none`.
    pub feed_forward: &'static str,
    /// What tells them from others of the same name.
    pub traits: LayerTraits,
    /// Bytes of one layer's weights, without the allocator's rounding.
    pub weights: u64,
    /// The same by part, without empty ones.
    pub parts: Vec<(Part, u64)>,
    /// One layer's caches; empty where it has none, or reads another layer's.
    pub caches: Vec<LayerCache>,
    /// One sequence's recurrent state in one layer, in bytes, where it has one. It lies in a block of the KV cache.
    pub state: Option<Figure>,
}

/// What tells layers of one name apart, beside their sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LayerTraits {
    /// Tokens of the window or the chunk that attention sees as they are; absent where it sees all.
    pub window: Option<u64>,
    /// Tokens of which compressed attention makes one vector; absent where it sees none beyond its window.
    pub tokens_per_vector: Option<u64>,
    /// Whether tokens or vectors are selected by an index.
    pub indexed: bool,
    /// Whether a table names a token's experts, and no router chooses them.
    pub experts_by_table: bool,
}

impl LayerTraits {
    fn of(layer: &Layer) -> Self {
        let mut own = Self::default();
        match &layer.mixer {
            Mixer::Attention(attention) | Mixer::Parallel(attention, _) => match attention.span {
                Span::Full => {}
                Span::Sliding(tokens) | Span::Chunked(tokens) => own.window = Some(tokens),
            },
            Mixer::Latent(latent) => own.indexed = latent.indexer.is_some(),
            Mixer::Compressed(compressed) => {
                own.window = Some(compressed.window);
                own.tokens_per_vector = compressed.compressor.map(|compressor| compressor.tokens);
                own.indexed = compressed.compressor.is_some_and(|compressor| compressor.indexer.is_some());
            }
            Mixer::None | Mixer::Recurrent(_) => {}
        }
        own.experts_by_table = matches!(layer.feed_forward, FeedForward::Experts(experts) if experts.table_rows > 0);
        own
    }
}

impl AlikeLayers {
    /// How many they are.
    pub fn count(&self) -> u64 {
        self.layers.iter().map(|run| run.len() as u64).sum()
    }
}

/// A layer's cache in one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayerCache {
    /// What decides how many blocks a request takes.
    pub kind: CacheKind,
    /// Bytes of one block in the layer.
    pub block_bytes: u64,
    /// Bytes of all blocks in the layer. Groups share blocks: a layer has this only as far as its group has drawn them.
    pub bytes: u64,
}

/// What stands outside layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutsideLayers {
    /// The name of its [`Part`]; `share_remainder` for what rounding a checkpoint's share down by part leaves over.
    pub name: &'static str,
    /// Bytes of its weights.
    pub weights: u64,
    /// Bytes of all blocks of the KV cache in its layers; only a drafter has any.
    pub kv_cache: Option<u64>,
}

/// Layers that share a table of blocks. The blocks of all groups are of one pool, so each group's bytes and padding are the
/// whole KV cache.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheSharing {
    /// What decides how many blocks a request takes.
    pub kind: CacheKind,
    /// The model's layers on this stage, counted from 0, in order.
    pub layers: Vec<Range<usize>>,
    /// A drafter's layers.
    pub drafter_layers: u64,
    /// Bytes of all blocks in these layers.
    pub bytes: u64,
    /// Bytes that lie idle if the group draws all blocks, since other groups' blocks take more.
    pub padding: u64,
}

/// Takes weights and KV cache apart by layer, on every pipeline stage. `loaded` and `budget` must be of the same model,
/// arguments and device.
///
/// # Errors
/// As [`crate::budget`].
pub fn per_layer(
    model: &Architecture,
    args: &EngineArgs,
    setting: Setting<'_>,
    loaded: &Weights,
    budget: &Budget,
) -> Result<Vec<StageLayers>, EstimateError> {
    let weights = by_layer(model, args, setting.device, loaded)?;
    let caches = layers::by_layer(model, args, &loaded.runs)?;
    let mut stages = Vec::with_capacity(loaded.stages.len());
    for (index, ((stage, weights), caches)) in loaded.stages.iter().zip(weights).zip(caches).enumerate() {
        stages.push(Stage { model, args, budget, index }.layers(stage, weights, &caches)?);
    }
    Ok(stages)
}

/// One stage, while it is taken apart.
struct Stage<'a> {
    model: &'a Architecture,
    args: &'a EngineArgs,
    budget: &'a Budget,
    index: usize,
}

impl Stage<'_> {
    fn layers(&self, stage: &StageWeights, weights: ByLayer, caches: &[Sharing]) -> Result<StageLayers, EstimateError> {
        let kv_cache = self.kv_cache()?;
        let mut alike = Vec::with_capacity(weights.alike.len());
        for Alike { layers: runs, each: parts } in weights.alike {
            let Some(first) = runs.first().map(|run| run.start) else { continue };
            let layer = &self.model.layers[first];
            let own = self.caches(first as u64, caches)?;
            alike.push(AlikeLayers {
                layers: runs,
                mixer: mixer(&layer.mixer),
                feed_forward: feed_forward(layer),
                traits: LayerTraits::of(layer),
                weights: parts.iter().map(|(_, bytes)| bytes).sum(),
                parts,
                state: self.state(&layer.mixer, &own)?,
                caches: own,
            });
        }
        alike.sort_by_key(|own| own.layers.first().map(|run| run.start));
        let sharing: Vec<CacheSharing> =
            caches.iter().map(|group| self.sharing(group, kv_cache.value)).collect::<Result<_, _>>()?;
        let mut outside: Vec<OutsideLayers> = Vec::new();
        outside.extend(weights.outside.iter().map(|(part, bytes)| OutsideLayers {
            name: part.name(),
            weights: *bytes,
            kv_cache: None,
        }));
        if weights.remainder > 0 {
            outside.push(OutsideLayers { name: "share_remainder", weights: weights.remainder, kv_cache: None });
        }
        if let Some(bytes) = self.drafted(caches)? {
            let name = Part::Drafter.name();
            match outside.iter_mut().find(|own| own.name == name) {
                Some(own) => own.kv_cache = Some(bytes),
                None => outside.push(OutsideLayers { name, weights: 0, kv_cache: Some(bytes) }),
            }
        }
        Ok(StageLayers {
            layers: stage.layers.clone(),
            weights: stage.bytes.clone(),
            kv_cache,
            alike,
            outside,
            sharing,
        })
    }

    /// Every rank has as many blocks as the one with the least room; on other stages they may take less.
    fn kv_cache(&self) -> Result<Figure, EstimateError> {
        let of_pool = &self.budget.kv_cache;
        let (block, largest) = (self.budget.plan.stage_block(self.index), self.budget.plan.bytes_per_block);
        if block == largest {
            return Ok(of_pool.clone());
        }
        // The interval is the pool's, whose bytes the size of a block is part of; that of the number of blocks has it too.
        let share = |bytes: u64| {
            let scaled = u128::from(bytes) * u128::from(block) / u128::from(largest.max(1));
            u64::try_from(scaled).unwrap_or(u64::MAX)
        };
        Ok(Figure::exact(self.blocks(block)?, "whole_blocks", "blocks x bytes per block on the stage")
            .with(&[("bytes_per_block", block)])
            .within(share(of_pool.low), share(of_pool.high), of_pool.confidence))
    }

    fn blocks(&self, block_bytes: u64) -> Result<u64, EstimateError> {
        self.budget.num_gpu_blocks.value.checked_mul(block_bytes).ok_or(OVERFLOW)
    }

    fn caches(&self, place: u64, groups: &[Sharing]) -> Result<Vec<LayerCache>, EstimateError> {
        let mut caches = Vec::new();
        for group in groups {
            for (_, block_bytes) in group.layers.iter().copied().filter(|(own, _)| *own == place) {
                caches.push(LayerCache { kind: group.kind, block_bytes, bytes: self.blocks(block_bytes)? });
            }
        }
        Ok(caches)
    }

    fn sharing(&self, group: &Sharing, pool: u64) -> Result<CacheSharing, EstimateError> {
        let mut layers: Vec<Range<usize>> = Vec::new();
        let (mut drafter_layers, mut block) = (0, 0_u64);
        for (place, bytes) in &group.layers {
            block = block.checked_add(*bytes).ok_or(OVERFLOW)?;
            match usize::try_from(*place).ok().filter(|place| *place < self.model.layers.len()) {
                None => drafter_layers += 1,
                Some(place) => match layers.last_mut().filter(|run| run.end == place) {
                    Some(run) => run.end += 1,
                    None => layers.push(place..place + 1),
                },
            }
        }
        let bytes = self.blocks(block)?;
        let padding = pool.checked_sub(bytes).ok_or(OVERFLOW)?;
        Ok(CacheSharing { kind: group.kind, layers, drafter_layers, bytes, padding })
    }

    /// All blocks in a drafter's layers.
    fn drafted(&self, groups: &[Sharing]) -> Result<Option<u64>, EstimateError> {
        let behind = |(place, _): &&(u64, u64)| *place >= self.model.layers.len() as u64;
        let mut own = groups.iter().flat_map(|group| &group.layers).filter(behind).peekable();
        if own.peek().is_none() {
            return Ok(None);
        }
        let block = own.try_fold(0_u64, |sum, (_, bytes)| sum.checked_add(*bytes)).ok_or(OVERFLOW)?;
        self.blocks(block).map(Some)
    }

    /// A state was compared with the engine's plan only where it alone is the block; elsewhere it is known to fit its block.
    fn state(&self, mixer: &Mixer, caches: &[LayerCache]) -> Result<Option<Figure>, EstimateError> {
        let (Mixer::Recurrent(own) | Mixer::Parallel(_, own)) = mixer else { return Ok(None) };
        let bytes = state::bytes(own, self.model, self.args, Split::ranks(self.args.tensor_parallel_size))?;
        let block = caches.iter().find(|cache| cache.kind == CacheKind::Recurrent).map_or(bytes, |own| own.block_bytes);
        let known = self.model.known_family && self.model.unread.is_empty() && !self.budget.plan.approximate;
        let formula = "columns of the convolution + recurrent state, of one sequence";
        let figure = Figure::exact(bytes, "state_of_a_sequence", formula).with(&[("block_bytes", block)]);
        if !known {
            // Of a config that is not understood in full no rule was fitted: the state may be none of this, or twice it.
            let most = block.max(bytes.saturating_mul(2));
            return Ok(Some(figure.within(0, most, Confidence::Assumed)));
        }
        if block == bytes {
            return Ok(Some(figure));
        }
        // Elements half as wide are the next there are.
        Ok(Some(figure.within(bytes / 2, block, Confidence::Estimated)))
    }
}

fn mixer(mixer: &Mixer) -> &'static str {
    match mixer {
        Mixer::None => "none",
        Mixer::Attention(own) => match own.span {
            Span::Full => "attention",
            Span::Sliding(_) => "sliding_attention",
            Span::Chunked(_) => "chunked_attention",
        },
        Mixer::Latent(_) => "latent_attention",
        Mixer::Compressed(_) => "compressed_attention",
        Mixer::Recurrent(_) => "recurrence",
        Mixer::Parallel(..) => "attention_and_recurrence",
    }
}

fn feed_forward(layer: &Layer) -> &'static str {
    match layer.feed_forward {
        FeedForward::None => "none",
        FeedForward::Dense(_) => "dense",
        FeedForward::Experts(_) => "experts",
    }
}
