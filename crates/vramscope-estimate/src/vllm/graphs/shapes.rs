//! Tensors that are alive in captured graphs, by the segments that they take of the framework's allocator.

use std::ops::Range;

use vramscope_core::{Architecture, FeedForward, LatentAttention, Layer, Mixer, Recurrent, WeightFormat};

use super::MIB;
use super::warm_up::{self, SPLITS};
use crate::device::GpuModel;
use crate::vllm::activations::Runner;
use crate::vllm::resolve::Resolved;

/// Tensors from 1 to 10 MiB share segments of this size.
const SEGMENT: u64 = 20 * MIB;
/// From this size a tensor has a segment of its own.
const LARGE: u64 = 10 * MIB;
/// Segments of the tensors up to 1 MiB.
const SMALL: u64 = 2 * MIB;
/// Heads wider than this run another kernel, which has no such accumulators; neither has the kernel that heeds sinks
/// (gpt-oss-20b).
const WIDEST_HEAD: u64 = 256;
/// What the second runner of 0.25 kept of whole graphs beside accumulators and the workspace of matrix products.
const BESIDE_WHOLE: u64 = 28 * MIB;
/// Tensors of a piece that fill more than this, at the largest size, let the accumulators be made twice in 0.25: the freed
/// block is split by one that found no other place. Seen with 19 to 26 MiB, not with 13.
const CROWDED: u64 = 16 * MIB;

/// Bytes of what is captured, at the largest size.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tensors {
    /// Tensors of the pieces.
    pieces: u64,
    /// The segment of the states that a step returns.
    states: u64,
    /// The attention's accumulators as often as they are there.
    pub(super) accumulators: u64,
    /// The accumulators once, whether the device's kernel has them or not.
    pub(super) split_once: u64,
    /// The accumulators of the second largest whole size.
    pub(super) second: u64,
    /// What that size's warm-up gives back.
    pub(super) given_back: u64,
    /// It follows from the order of a step's tensors.
    pub(super) followed: bool,
    /// The workspace of matrix products on the capturing stream.
    blas: u64,
}

impl Tensors {
    /// `third` is whether an EAGLE-3 head drafts.
    pub(super) fn of(
        model: &Architecture,
        engine: &Resolved,
        device: &GpuModel,
        runs: &[Range<usize>],
        third: bool,
    ) -> Self {
        let unit = engine.capture_tokens.saturating_mul(engine.element.bits() / 8);
        let (mut pieces, mut crowd, mut width, mut widest) = (0, 0, 0, 0);
        let sinks = model.layers.iter().any(|layer| matches!(layer.mixer, Mixer::Attention(a) if a.sinks));
        for layer in runs.iter().map(|run| &model.layers[run.start]) {
            let (own, mixer) = piece(model, engine, layer, unit);
            (pieces, crowd) = (pieces.max(own), crowd.max(mixer));
            let (accumulated, head) = accumulated(layer, engine.tensor_parallel_size);
            (width, widest) = (width.max(accumulated), widest.max(head));
        }
        let of = |tokens: u64| segment(tokens.saturating_mul(width).saturating_mul(SPLITS * 4));
        let plain = matches!(engine.format, WeightFormat::Plain | WeightFormat::Mxfp4);
        let splits = device.is_hopper() && widest <= WIDEST_HEAD && !sinks;
        let once = if widest <= WIDEST_HEAD { of(engine.whole_tokens) } else { 0 };
        let second = if splits { of(engine.second_whole_tokens) } else { 0 };
        // A head's own graphs, and those that check its drafts, accumulate beside (EAGLE-3 on Llama-3.1-8B).
        let heads = if engine.drafts_from_states && engine.version.from_minor(28) { 3 } else { 1 };
        let times =
            if !engine.version.from_minor(28) && engine.runner == Runner::V2 && crowd > CROWDED { 2 } else { 1 };
        let states = model.hidden_size.saturating_mul(unit);
        let leaves = if super::by_trial(engine) { warm_up::leaves(model, engine, runs, splits, third) } else { None };
        Self {
            pieces,
            states: if states > MIB { SEGMENT } else { SMALL },
            accumulators: if splits { once.saturating_mul(times.max(heads)) } else { 0 },
            split_once: once,
            second,
            given_back: match leaves {
                Some(bytes) => bytes + SMALL,
                // A segment of small ones with them, or about two where there are no accumulators.
                None if second > 0 => second + SEGMENT,
                None => 2 * SEGMENT,
            },
            followed: leaves.is_some(),
            blas: if plain { device.blas_workspace() } else { 0 },
        }
    }

    /// All tensors that a capture leaves.
    pub(super) fn captured(&self, engine: &Resolved) -> u64 {
        let graphs = self.pieces.saturating_add(self.accumulators);
        let head = if engine.drafts_from_states { self.pieces.saturating_add(self.blas) } else { 0 };
        // The states that a step returns have a segment outside the graphs' pool, of the second runner's own.
        let own = match (engine.runner, engine.version.from_minor(28)) {
            (Runner::V1, _) => SMALL,
            (Runner::V2, true) => self.states,
            (Runner::V2, false) if engine.whole_sizes == 0 => self.states + SMALL,
            (Runner::V2, false) => self.states + SMALL + self.blas + BESIDE_WHOLE,
        };
        graphs.saturating_add(own).saturating_add(self.blas).saturating_add(head)
    }
}

/// A tensor's own segment, or its bytes where it shares one.
fn segment(bytes: u64) -> u64 {
    if bytes >= LARGE { bytes.div_ceil(SMALL).saturating_mul(SMALL) } else { bytes }
}

/// Tensors of a piece with this layer, and the small ones alive at its mixer, in bytes.
fn piece(model: &Architecture, engine: &Resolved, layer: &Layer, unit: u64) -> (u64, u64) {
    let ranks = engine.tensor_parallel_size;
    let of = |width: u64| width.saturating_mul(unit);
    let (query, projected) = match &layer.mixer {
        Mixer::Attention(a) | Mixer::Parallel(a, _) => {
            let query = (a.heads * a.head_dim).div_ceil(ranks);
            (query, query + (a.kv_heads * (a.head_dim + a.value_dim)).div_ceil(ranks))
        }
        Mixer::Latent(LatentAttention { heads, nope_dim, rope_dim, kv_rank, .. }) => {
            let query = (heads * (nope_dim + rope_dim)).div_ceil(ranks);
            (query, query + kv_rank + rope_dim)
        }
        Mixer::Recurrent(recurrent) => (model.hidden_size, in_projection(recurrent).div_ceil(ranks)),
        Mixer::Compressed(c) => {
            let query = (c.heads * c.head_dim).div_ceil(ranks);
            (query, query + c.query_rank + c.head_dim)
        }
        Mixer::None => (0, 0),
    };
    let products = match &layer.feed_forward {
        FeedForward::Dense(dense) => {
            let width = dense.width.div_ceil(ranks);
            [if dense.gated { 2 * width } else { width }, width]
        }
        FeedForward::Experts(_) | FeedForward::None => [0, 0],
    };
    // What was attended, the queries, the residual, the last product's output and its norm.
    let mut shared = of(2 * query + 3 * model.hidden_size);
    let crowd = shared.saturating_add(of(projected));
    // The experts' products lie in their workspace; routing has a segment.
    let mut own = if matches!(layer.feed_forward, FeedForward::Experts(_)) { SEGMENT } else { 0 };
    for bytes in [projected, products[0], products[1]].map(of) {
        if bytes >= LARGE {
            own = own.saturating_add(segment(bytes));
        } else {
            shared = shared.saturating_add(bytes);
        }
    }
    // Of few tokens all tensors are small.
    let all_small = [query, projected, model.hidden_size, products[0]].map(of).iter().all(|bytes| *bytes <= MIB);
    let segments = if all_small { 0 } else { shared.div_ceil(SEGMENT).saturating_mul(SEGMENT) };
    (own.saturating_add(segments).saturating_add(SMALL), crowd)
}

/// Elements of a token that a recurrent layer projects its input to.
fn in_projection(recurrent: &Recurrent) -> u64 {
    match *recurrent {
        Recurrent::Mamba1 { inner, .. } => 2 * inner,
        Recurrent::Mamba2 { heads, head_dim, groups, state, .. } => 2 * heads * head_dim + 2 * groups * state + heads,
        Recurrent::GatedDelta { key_heads, value_heads, key_dim, value_dim, .. } => {
            2 * key_heads * key_dim + 2 * value_heads * value_dim
        }
        Recurrent::KimiDelta { heads, head_dim, .. } | Recurrent::Linear { heads, head_dim } => 3 * heads * head_dim,
        Recurrent::ShortConv { channels, .. } => 3 * channels,
    }
}

/// Elements of a request's token that attention accumulates in each split, and its widest head.
fn accumulated(layer: &Layer, ranks: u64) -> (u64, u64) {
    match &layer.mixer {
        Mixer::Attention(a) | Mixer::Parallel(a, _) => (a.heads.div_ceil(ranks) * a.value_dim, a.head_dim),
        Mixer::Latent(l) => (l.heads.div_ceil(ranks) * l.kv_rank, 0),
        Mixer::Compressed(c) => (c.heads.div_ceil(ranks) * c.head_dim, 0),
        Mixer::Recurrent(_) | Mixer::None => (0, 0),
    }
}
