//! One step through the layers.
//!
//! What is alive together follows from `model_executor/models/*`: the caller of a layer still holds what it passed in,
//! a layer holds what its parts return, and a product is let go when its name is given to the next one.

use vramscope_core::{
    Architecture, Attention, CompressedAttention, Dense, Experts, FeedForward, LatentAttention, Layer, Matrix, Mixer,
    OutputGate, QkNorm, Recurrent, Residual, StoredAs, WeightFormat,
};

use super::{Context, OVERFLOW};
use crate::EstimateError;
use crate::weights::tensors::Split;

pub(super) const FORMULA: &str =
    "tokens x e x (held residual streams x hidden + widest products alive together) + expert workspace + tuning buffer";

/// The largest context that MLA decompresses at once, in tokens (`determine_chunked_prefill_workspace_size`).
const LATENT_CHUNK: u64 = 64 * 1024;

/// What the step's peak is made of.
pub(super) struct Step {
    /// Bytes alive together, without the BLAS workspace.
    pub(super) bytes: u64,
    /// The experts' workspace in it, which stays.
    pub(super) workspace: u64,
    /// Kernels are tuned while it runs, with a buffer of the size of the L2 cache.
    pub(super) tunes: bool,
}

pub(super) fn peak(context: &Context<'_>, layers: std::ops::Range<usize>) -> Result<Step, EstimateError> {
    let engine = context.engine;
    let replicas = engine.data_parallel_size;
    let split = Split::of_engine(engine.tensor_parallel_size, replicas, engine.expert_ranks > 1);
    let overlaps = engine.compiled && engine.version.from_minor(28);
    let (model, compiled) = (context.model, engine.compiled);
    let widths = Widths { model, split, holds: Holds::of(model), compiled, overlaps };
    let unit = engine.max_num_batched_tokens.checked_mul(engine.element.bits() / 8).ok_or(OVERFLOW)?;
    let mut workspace = 0;
    let mut bytes = 0_u64;
    let mut tunes = false;
    let own = context.runs.iter().map(|run| run.start.max(layers.start)..run.end.min(layers.end));
    for run in own.filter(|run| !run.is_empty()) {
        let layer = &context.model.layers[run.start];
        let own = workspace_of(context, layer, split)?;
        let latent = latent_chunk(context, layer, split)?;
        // The first layer with experts makes the workspace after its attention; the second one has both.
        let beside_mixer = if run.len() > 1 { workspace.max(own) } else { workspace };
        workspace = workspace.max(own);
        let mixer =
            widths.mixer(layer)?.checked_mul(unit).and_then(|b| b.checked_add(latent)?.checked_add(beside_mixer));
        let feed_forward = widths.feed_forward(layer, context.engine.format)?;
        let feed_forward = feed_forward.checked_mul(unit).and_then(|b| b.checked_add(routing(context, layer)));
        let feed_forward = feed_forward.and_then(|b| b.checked_add(quantized_inputs(context, layer, split)));
        let feed_forward = feed_forward.and_then(|b| b.checked_add(workspace));
        // Experts are one operation to the compiler, which tunes only what it generates itself.
        let tuned = engine.compiled && matches!(layer.feed_forward, FeedForward::Dense(_));
        let buffer = if tuned { context.device.l2_bytes } else { 0 };
        let (mixer, feed_forward) = (mixer.ok_or(OVERFLOW)?, feed_forward.ok_or(OVERFLOW)?);
        let largest = mixer.max(feed_forward).checked_add(buffer).ok_or(OVERFLOW)?;
        if largest > bytes {
            (bytes, tunes) = (largest, tuned);
        }
    }
    // A biased product goes through cuBLASLt, which has a workspace of its own.
    let biased =
        context.plain && context.model.layers.iter().any(|l| matches!(l.mixer, Mixer::Attention(a) if a.qkv_bias));
    bytes = bytes.checked_add(if biased { 1 << 20 } else { 0 }).ok_or(OVERFLOW)?;
    // The layers' own inputs are made before the first one and are there for all.
    let own_inputs = context.model.own_inputs();
    // What pictures and sounds were made into is held for the longest ones that a step may have.
    let encoded = context.model.tower.is_some() && !engine.language_model_only && engine.version.from_minor(28);
    let made_before = own_inputs.saturating_add(if encoded { context.model.hidden_size } else { 0 });
    bytes = made_before.checked_mul(unit).and_then(|made| bytes.checked_add(made)).ok_or(OVERFLOW)?;
    Ok(Step { bytes, workspace, tunes })
}

/// Copies of the hidden states that are held while a part of a layer runs.
#[derive(Debug, Clone, Copy)]
struct Holds {
    in_mixer: u64,
    in_feed_forward: u64,
}

impl Holds {
    fn of(model: &Architecture) -> Self {
        match model.residual {
            // The caller's states (normed in place) and the residual; after the mixer also its output.
            Residual::InPlace => Self { in_mixer: 2, in_feed_forward: 3 },
            // The caller's pair and the layer's own pair.
            Residual::Copied => Self { in_mixer: 4, in_feed_forward: 4 },
            // The caller's states, the sum and its norm.
            Residual::Separate => Self { in_mixer: 2, in_feed_forward: 3 },
        }
    }
}

/// Widths of what is alive, in elements per token.
struct Widths<'a> {
    model: &'a Architecture,
    split: Split,
    holds: Holds,
    compiled: bool,
    /// A piece's inputs outlive it.
    overlaps: bool,
}

impl Widths<'_> {
    fn mixer(&self, layer: &Layer) -> Result<u64, EstimateError> {
        let held = self.holds.in_mixer * self.model.hidden_size;
        Ok(match &layer.mixer {
            Mixer::None => held,
            Mixer::Attention(a) => held + self.attention(a)?,
            // Compiled, the residual alone is held, and the latent and its rotated part once (DeepSeek-V2-Lite).
            Mixer::Latent(l) if self.overlaps => self.model.hidden_size + self.latent(l)? - l.kv_rank - l.rope_dim,
            Mixer::Latent(l) => held + self.latent(l)?,
            Mixer::Compressed(c) => held + layer.streams * self.model.hidden_size + self.compressed(c),
            Mixer::Recurrent(r) if self.overlaps => (held + self.recurrent(r)).max(self.overlapping(r)),
            Mixer::Recurrent(r) => held + self.recurrent(r),
            Mixer::Parallel(a, r) => held + 2 * self.model.hidden_size + self.attention(a)?.max(self.recurrent(r)),
        })
    }

    /// Queries, keys and values; normed queries and keys; the attended values; the output.
    fn attention(&self, a: &Attention) -> Result<u64, EstimateError> {
        let t = self.split.tensor;
        let (heads, kv_heads) = (a.heads.div_ceil(t), self.split.kv_heads(a.kv_heads)?);
        let query = heads * a.head_dim;
        let gate = match a.gate {
            OutputGate::PerElement => 2 * query,
            OutputGate::PerHead => heads,
            _ => 0,
        };
        let normed = if a.qk_norm == QkNorm::None { 0 } else { query + kv_heads * a.head_dim };
        let kv = kv_heads * (a.head_dim + a.value_dim);
        Ok(query + gate + kv + normed + heads * a.value_dim + self.model.hidden_size)
    }

    /// Queries, the latent, its norm, its rotated part, the attended values.
    fn latent(&self, l: &LatentAttention) -> Result<u64, EstimateError> {
        let heads = l.heads.div_ceil(self.split.tensor);
        let compressed = l.query_rank.map_or(0, |rank| 2 * rank);
        let query = heads * (l.nope_dim + l.rope_dim) + compressed;
        Ok(query + 2 * l.kv_rank + 2 * l.rope_dim + heads * l.value_dim)
    }

    /// Queries and what was attended, of as many heads as the kernel takes; what went down on either way; values and gates
    /// of the tokens of a run in 32 bits. Read, and never recorded.
    fn compressed(&self, c: &CompressedAttention) -> u64 {
        let heads = c.heads.div_ceil(self.split.tensor).next_multiple_of(64);
        let down = c.query_rank + c.head_dim + (c.output_groups * c.output_rank).div_ceil(self.split.tensor);
        let runs =
            c.compressor.map_or(0, |own| 2 * own.runs() * (c.head_dim + own.indexer.map_or(0, |index| index.head_dim)));
        2 * heads * c.head_dim + down + 2 * runs
    }

    /// The projection and its scaled copy; or the projection, the states' output and two copies of what the
    /// convolution takes.
    fn recurrent(&self, r: &Recurrent) -> u64 {
        let t = self.split.tensor;
        let wide =
            |projected: u64, mixed: u64, inner: u64| (2 * projected).max(projected + inner + 2 * mixed).div_ceil(t);
        match *r {
            Recurrent::Mamba1 { inner, .. } => wide(2 * inner, inner, inner),
            Recurrent::Mamba2 { heads, head_dim, groups, state, .. } => {
                let inner = heads * head_dim;
                let mixed = inner + 2 * groups * state;
                wide(inner + mixed + heads, mixed, inner)
            }
            Recurrent::GatedDelta { key_heads, value_heads, key_dim, value_dim, .. } => {
                let (keys, values) = (key_heads * key_dim, value_heads * value_dim);
                wide(2 * keys + 2 * values, 2 * keys + values, values)
            }
            Recurrent::KimiDelta { heads, head_dim, .. } | Recurrent::Linear { heads, head_dim } => {
                wide(3 * heads * head_dim, 3 * heads * head_dim, heads * head_dim)
            }
            Recurrent::ShortConv { channels, .. } => wide(3 * channels, channels, channels),
        }
    }

    /// Two compiled pieces in turn: what the one before projected and put out is held while this one does, beside three
    /// states (an allocation history of 0.33.0, Nemotron 3).
    fn overlapping(&self, r: &Recurrent) -> u64 {
        let Recurrent::Mamba2 { heads, head_dim, groups, state, .. } = *r else { return 0 };
        let inner = heads * head_dim;
        let projected = 2 * inner + 2 * groups * state + heads;
        2 * (projected + inner).div_ceil(self.split.tensor) + 3 * self.model.hidden_size
    }

    fn feed_forward(&self, layer: &Layer, format: WeightFormat) -> Result<u64, EstimateError> {
        let hidden = self.model.hidden_size;
        // Streams beside the first are held too.
        let held = (self.holds.in_feed_forward + layer.streams - 1) * hidden;
        Ok(match &layer.feed_forward {
            FeedForward::None => held,
            FeedForward::Dense(dense) if self.compiled => self.compiled_input(layer) + self.products(dense).first,
            FeedForward::Dense(dense) => {
                held + self.products(dense).peak(hidden, self.model.holds_first_product, eight_bits(format))
            }
            FeedForward::Experts(experts) => held + self.experts(experts, hidden, format),
        })
    }

    /// A compiled piece begins at the attention's output: that, the residual before and the one after.
    fn compiled_input(&self, layer: &Layer) -> u64 {
        let attended = match &layer.mixer {
            Mixer::Attention(a) | Mixer::Parallel(a, _) => (a.heads * a.value_dim).div_ceil(self.split.tensor),
            Mixer::Latent(l) => (l.heads * l.value_dim).div_ceil(self.split.tensor),
            Mixer::Compressed(c) => (c.heads * c.head_dim).div_ceil(self.split.tensor),
            Mixer::None | Mixer::Recurrent(_) => self.model.hidden_size,
        };
        attended + 2 * self.model.hidden_size
    }

    fn products(&self, dense: &Dense) -> Products {
        let width = dense.width.div_ceil(self.split.tensor);
        let up = if dense.gated { 2 * width } else { width };
        Products { first: up + width, up, width }
    }

    /// The output beside what stays in place; experts whose kernel has no shared workspace make their own.
    fn experts(&self, e: &Experts, hidden: u64, format: WeightFormat) -> u64 {
        let shared = Dense { width: e.shared_width, gated: e.gated, bias: false };
        let shared = if e.shared_width > 0 { self.products(&shared).first + hidden } else { 0 };
        let own = if format == WeightFormat::Mxfp4 { e.per_token * (self.expert_width(e) + hidden) } else { 0 };
        (hidden + own).max(shared)
    }

    fn expert_width(&self, e: &Experts) -> u64 {
        if self.split.experts > 1 { e.width } else { e.width.div_ceil(self.split.tensor) }
    }
}

/// Widths of a feed-forward part's products.
struct Products {
    /// The first product and its activation.
    first: u64,
    up: u64,
    width: u64,
}

impl Products {
    /// Beside the held states: the activation's moment, or the last product's.
    fn peak(&self, hidden: u64, holds_first: bool, eight_bits: bool) -> u64 {
        // Layers of 8 bits convert their input, which takes half of it once more.
        let converted = if eight_bits { self.width.div_ceil(2) } else { 0 };
        let last = self.width + converted + hidden + if holds_first { self.up } else { 0 };
        self.first.max(last)
    }
}

/// What MLA decompresses of its cache in the profile run.
fn latent_chunk(context: &Context<'_>, layer: &Layer, split: Split) -> Result<u64, EstimateError> {
    let Mixer::Latent(l) = &layer.mixer else { return Ok(0) };
    let engine = context.engine;
    let slots = engine.max_num_seqs.saturating_mul(engine.block_size);
    let wanted = engine.max_model_len.saturating_mul(8).max(slots.saturating_mul(4)).min(LATENT_CHUNK);
    let per_token = l.heads.div_ceil(split.tensor) * (l.nope_dim + l.value_dim) * (engine.element.bits() / 8);
    // 0.33 no longer makes room for a block of each request, and its sparse attention decompresses nothing here.
    let chunk = match (engine.version.from_minor(28), l.sparse) {
        (true, true) => 0,
        (true, false) => wanted,
        (false, _) => wanted.max(slots),
    };
    chunk.checked_mul(per_token).ok_or(OVERFLOW)
}

/// Logits of the router, and weight and place of each visited expert.
fn routing(context: &Context<'_>, layer: &Layer) -> u64 {
    let FeedForward::Experts(e) = &layer.feed_forward else { return 0 };
    let element = context.engine.element.bits() / 8;
    context.engine.max_num_batched_tokens.saturating_mul(e.count * element + e.per_token * 12)
}

fn eight_bits(format: WeightFormat) -> bool {
    matches!(format, WeightFormat::Byte { .. } | WeightFormat::ByteBlocks { .. })
}

/// Experts of 8 bits convert what goes into their first and their second product (`fused_moe/experts/triton_moe.py`):
/// a byte an element, and for weights in blocks a scale for every 128.
fn quantized_inputs(context: &Context<'_>, layer: &Layer, split: Split) -> u64 {
    let FeedForward::Experts(e) = &layer.feed_forward else { return 0 };
    if !eight_bits(context.engine.format) || layer.stored.of(Matrix::ExpertsGateUp) == StoredAs::Plain {
        return 0;
    }
    let width = if split.experts > 1 { e.width } else { e.width.div_ceil(split.expert_width) };
    let elements = context.model.hidden_size + e.per_token * width;
    let scales =
        if matches!(context.engine.format, WeightFormat::ByteBlocks { .. }) { elements.div_ceil(32) } else { 4 };
    context.engine.max_num_batched_tokens.saturating_mul(elements + scales)
}

/// The workspace that experts share (`fused_moe/modular_kernel.py`, `workspace_shapes` of the kernel in use).
fn workspace_of(context: &Context<'_>, layer: &Layer, split: Split) -> Result<u64, EstimateError> {
    let FeedForward::Experts(e) = &layer.feed_forward else { return Ok(0) };
    if context.engine.format == WeightFormat::Mxfp4 && context.device.is_hopper() {
        return Ok(0);
    }
    let hidden = context.model.hidden_size;
    let width = if split.experts > 1 { e.width } else { e.width.div_ceil(split.expert_width) };
    let up = if e.gated { 2 * width } else { width };
    let widths = match context.engine.format {
        WeightFormat::Packed { .. } => width.max(hidden) + (2 * width).max(hidden),
        _ => width.max(hidden) + up.max(hidden),
    };
    let visits = context.engine.max_num_batched_tokens.checked_mul(e.per_token).ok_or(OVERFLOW)?;
    visits.checked_mul(widths).and_then(|n| n.checked_mul(context.engine.element.bits() / 8)).ok_or(OVERFLOW)
}
