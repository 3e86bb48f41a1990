//! What the warm-up of a whole size leaves free in the framework's allocator.
//!
//! Before a whole graph is captured, its step runs once as it is, on the capturing stream, and the capture then gives back
//! all segments of which nothing is taken (`torch/cuda/graphs.py`). That happens inside the window in which the engine
//! measures a graph, so the second size's sample is negative by those segments (`v1/worker/gpu/cudagraph_utils.py` of 0.33).
//! Which there are depends on the order of the step's tensors: a small one that is taken while no segment of small ones has
//! room splits the accumulators' free block, and the next layer's accumulators then need a segment more.
//!
//! The order is that of the code which torch's compiler makes of such a piece (2.13, asked for a CPU: with and without norms
//! of queries and keys, with experts, with heads as wide together as the model and wider, with states that a head reads); it
//! names each tensor that is made, written over and given back. Histories that were recorded later (Llama-3.1-8B, Qwen2.5-7B,
//! Qwen2.5-VL-7B, Phi-4, Qwen3-30B-A3B; torch 2.14, an H200) show the segments that follow from it, all and no others, but
//! 2.14's code for the device makes the residual stream's sum before the norm, not behind it; with that order alone Qwen2.5-7B
//! would come out wrong, and what makes up for it was not found.

use std::cell::RefCell;
use std::ops::Range;

use vramscope_core::{Architecture, FeedForward, Layer, Mixer, OutputGate, Residual, WeightFormat};

use crate::allocator::{Allocator, Block};
use crate::vllm::resolve::Resolved;

/// Parts into which the attention kernel of Hopper splits a request's context while it is captured
/// (`VLLM_FLASH_ATTN_MAX_NUM_SPLITS_FOR_CUDA_GRAPH`).
pub(super) const SPLITS: u64 = 32;

/// Bytes that a token takes of a layer's tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Widths {
    /// Queries, keys and values as projected.
    projected: u64,
    /// Queries with their positions, and what was attended.
    query: u64,
    /// Keys with their positions.
    key: u64,
    /// The residual stream.
    hidden: u64,
    /// The feed-forward part's products; those of experts lie in their workspace.
    products: [u64; 2],
    /// The router's logits.
    routed: u64,
    /// The accumulators, and the logarithms of their sums.
    accumulators: [u64; 2],
}

impl Widths {
    /// `None` for a layer whose tensors were not followed.
    fn of(layer: &Layer, hidden: u64, engine: &Resolved) -> Option<Self> {
        let ranks = engine.tensor_parallel_size.max(1);
        let element = engine.element.bits() / 8;
        let plain = layer.beside.is_none() && layer.own_input == 0 && layer.streams == 1;
        let Mixer::Attention(attention) = layer.mixer else { return None };
        if !plain || attention.gate != OutputGate::None {
            return None;
        }
        let heads = attention.heads.div_ceil(ranks);
        let kept = attention.kv_heads.div_ceil(ranks);
        let (products, routed) = match &layer.feed_forward {
            FeedForward::Dense(dense) => {
                let width = dense.width.div_ceil(ranks) * element;
                ([if dense.gated { 2 * width } else { width }, width], 0)
            }
            FeedForward::Experts(experts) if experts.shared_width == 0 && experts.latent.is_none() => {
                ([0, 0], experts.count * element)
            }
            FeedForward::Experts(_) | FeedForward::None => return None,
        };
        Some(Self {
            projected: (heads * attention.head_dim + kept * (attention.head_dim + attention.value_dim)) * element,
            query: heads * attention.head_dim * element,
            key: kept * attention.head_dim * element,
            hidden: hidden * element,
            products,
            routed,
            accumulators: [heads * attention.value_dim, heads].map(|width| width * SPLITS * 4),
        })
    }
}

/// A step on its way through the allocator.
struct Step<'a> {
    allocator: &'a mut Allocator,
    tokens: u64,
    /// What attention writes to and the residual stream, which a piece takes in: its caller holds them until it is over.
    held: [Option<Block>; 2],
    /// The residual stream, unless it is the runner's own.
    residual: Option<Block>,
    /// The input of the next projection.
    normed: Block,
    /// The output of the last part, which is in the residual stream by now.
    added: Option<Block>,
    /// The outputs of both parts of a layer whose sum is stored twice, later than others.
    unsummed: Option<[Block; 2]>,
    /// Sums that a drafting head reads.
    states: Vec<Block>,
}

/// What decides how the next layer goes.
type State = (Vec<Block>, [Option<Block>; 4], Block);

impl<'a> Step<'a> {
    fn begin(allocator: &'a mut Allocator, tokens: u64, hidden: u64, embeds: bool) -> Self {
        let bytes = tokens.saturating_mul(hidden);
        let residual = embeds.then(|| allocator.take(bytes));
        let normed = allocator.take(bytes);
        Self { allocator, tokens, held: [None; 2], residual, normed, added: None, unsummed: None, states: Vec::new() }
    }

    fn take(&mut self, width: u64) -> Block {
        self.allocator.take(self.tokens.saturating_mul(width))
    }

    fn give(&mut self, blocks: impl IntoIterator<Item = Option<Block>>) {
        blocks.into_iter().flatten().for_each(|block| self.allocator.give(block));
    }

    /// Projects, rotates, and makes room for what will be attended. Compiled code writes a tensor over the one of its piece
    /// that was over last, where that is as large and the piece has its peak elsewhere, and keeps it for that; others it gives
    /// back when they are over (`AllocateLine` of `torch/_inductor/codegen/wrapper.py`).
    fn project(&mut self, widths: &Widths) -> [Block; 4] {
        let made = [widths.query, widths.key, widths.query];
        let alike = made.iter().filter(|width| **width == widths.hidden).count();
        let mut over = [None; 2];
        match self.added.take() {
            Some(added) if alike > 1 => over[0] = Some(added),
            added => self.give([added]),
        }
        let projected = self.take(widths.projected);
        if alike > 0 {
            over[1] = Some(self.normed);
        } else {
            self.allocator.give(self.normed);
        }
        let [query, key, attended] = made.map(|width| {
            let fits = width == widths.hidden;
            let again = over.iter_mut().rev().find(|block| fits && block.is_some()).and_then(Option::take);
            again.unwrap_or_else(|| self.take(width))
        });
        if let Some(outputs) = self.unsummed.take() {
            self.residual = Some(self.take(widths.hidden));
            let state = self.take(widths.hidden);
            self.states.push(state);
            self.give(outputs.map(Some));
        }
        [projected, query, key, attended]
    }

    /// The end of a piece, then attention, then the next piece up to the norm behind its last product. `read` is whether a
    /// drafting head reads what the layer gives out.
    fn layer(&mut self, widths: &Widths, read: bool, accumulates: bool) {
        let [projected, query, key, attended] = self.project(widths);
        let held = std::mem::replace(&mut self.held, [Some(attended), self.residual]);
        self.give(held);
        if accumulates {
            let both = widths.accumulators.map(|width| Some(self.take(width)));
            self.give(both);
        }
        self.give([projected, query, key].map(Some));
        let output = self.take(widths.hidden);
        let input = self.take(widths.hidden);
        // The last part's output and the next norm's, which with both sums of the residual stream is one kernel: the first
        // sum is never stored.
        let (last, normed) = if widths.routed > 0 {
            let logits = self.take(widths.routed);
            let last = self.take(widths.hidden);
            self.allocator.give(logits);
            (last, input)
        } else {
            let first = self.take(widths.products[0]);
            self.allocator.give(input);
            let second = self.take(widths.products[1]);
            self.allocator.give(first);
            let last = self.take(widths.hidden);
            self.allocator.give(second);
            (last, self.take(widths.hidden))
        };
        self.normed = normed;
        if read {
            (self.residual, self.unsummed) = (None, Some([output, last]));
            return;
        }
        self.residual = Some(self.take(widths.hidden));
        self.allocator.give(output);
        // What the experts' operation returns is not its caller's to write over.
        self.added = if widths.routed > 0 { None } else { Some(last) };
        if widths.routed > 0 {
            self.allocator.give(last);
        }
    }

    fn state(&self) -> State {
        let [attended, before] = self.held;
        (self.allocator.free_blocks().to_vec(), [attended, before, self.residual, self.added], self.normed)
    }

    /// So many equal layers. Blocks come to lie where they lay some layers before: from there on nothing is new.
    fn layers(&mut self, run: &Run, accumulates: bool) {
        let mut before: Vec<State> = Vec::new();
        let mut left = run.count;
        while left > 0 {
            let segments = self.allocator.segments_made();
            self.layer(&run.widths, run.read, accumulates);
            left -= 1;
            if self.allocator.segments_made() > segments {
                continue;
            }
            let state = self.state();
            match before.iter().rposition(|other| *other == state) {
                Some(place) => left %= (before.len() - place) as u64,
                None => before.push(state),
            }
        }
    }

    /// The end of the step. The runner's own copies of what it returns are made beside its last norm.
    fn end(mut self, copy: Option<u64>) {
        let [attended, before] = self.held;
        self.give([self.added, self.residual, attended, before]);
        if let Some(bytes) = copy {
            // They stay.
            for _ in 0..=self.states.len() {
                let _ = self.allocator.take(bytes);
            }
        }
        self.allocator.give(self.normed);
        let states = std::mem::take(&mut self.states);
        self.give(states.into_iter().map(Some));
    }
}

/// Layers of equal widths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    widths: Widths,
    count: u64,
    /// A drafting head reads what it gives out; it is one layer then.
    read: bool,
}

/// What the warm-ups go by.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sizes {
    layers: Vec<Run>,
    /// Bytes that a token takes of the residual stream.
    hidden: u64,
    tokens: [u64; 2],
    /// The step embeds its tokens. Pictures and sounds are merged into embeddings before it, in a tensor of the runner's own.
    embeds: bool,
    accumulates: bool,
}

impl Sizes {
    fn leaves(&self) -> u64 {
        let mut allocator = Allocator::new(None);
        let mut released = 0;
        for (place, tokens) in self.tokens.into_iter().enumerate() {
            let mut step = Step::begin(&mut allocator, tokens, self.hidden, self.embeds);
            self.layers.iter().for_each(|run| step.layers(run, self.accumulates));
            step.end((place == 0).then(|| tokens.saturating_mul(self.hidden)));
            released = allocator.release();
        }
        released
    }
}

thread_local! {
    /// The last answer: a search over lengths and shares asks for the same one again and again.
    static LAST: RefCell<Option<(Sizes, u64)>> = const { RefCell::new(None) };
}

/// Bytes of the free segments that the warm-up of the second whole size leaves, without those of the smallest tensors;
/// `None` where the order of the layers' tensors was not followed. `third` is whether an EAGLE-3 head drafts.
pub(super) fn leaves(
    model: &Architecture,
    engine: &Resolved,
    runs: &[Range<usize>],
    accumulates: bool,
    third: bool,
) -> Option<u64> {
    let followed = model.residual == Residual::InPlace
        && matches!(engine.format, WeightFormat::Plain | WeightFormat::Packed { .. })
        && engine.tensor_parallel_size == 1
        && (third || !engine.drafts_from_states)
        && engine.second_whole_tokens > 0;
    if !followed {
        return None;
    }
    let stage = model.layers.len().div_ceil(usize::try_from(engine.pipeline_parallel_size.max(1)).ok()?);
    let mut layers: Vec<Run> = Vec::new();
    let mut add = |widths: Widths, count: usize, read: bool| match layers.last_mut() {
        _ if count == 0 => {}
        Some(last) if last.widths == widths && !last.read && !read => last.count += count as u64,
        _ => layers.push(Run { widths, count: count as u64, read }),
    };
    let all = model.layers.len();
    // The layers behind which such a head reads (`get_eagle3_default_aux_hidden_state_layers`).
    let read = if third { [2, all / 2, all.checked_sub(3)?] } else { [0; 3] };
    // Small models may have one twice, or out of order.
    if third && (stage < all || !read.is_sorted_by(|one, next| one < next)) {
        return None;
    }
    for run in runs.iter().filter(|run| run.start < stage) {
        let widths = Widths::of(&model.layers[run.start], model.hidden_size, engine)?;
        if third && widths.routed > 0 {
            return None;
        }
        let (mut start, end) = (run.start, run.end.min(stage));
        for layer in read.into_iter().filter(|layer| run.start < *layer && *layer <= end) {
            add(widths, layer - start - 1, false);
            add(widths, 1, true);
            start = layer;
        }
        add(widths, end - start, false);
    }
    let sizes = Sizes {
        layers,
        hidden: model.hidden_size.saturating_mul(engine.element.bits() / 8),
        tokens: [engine.whole_tokens, engine.second_whole_tokens],
        embeds: model.tower.is_none() || engine.language_model_only,
        accumulates,
    };
    LAST.with_borrow_mut(|last| match last {
        Some((known, bytes)) if *known == sizes => Some(*bytes),
        _ => {
            let bytes = sizes.leaves();
            *last = Some((sizes, bytes));
            Some(bytes)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A dense model of 16 bits that captures whole steps of 512 and 496 tokens.
    fn dense(hidden: u64, width: u64, heads: u64, kept: u64, layers: u64) -> Sizes {
        let widths = Widths {
            projected: (heads + 2 * kept) * 256,
            query: heads * 256,
            key: kept * 256,
            hidden: 2 * hidden,
            products: [4 * width, 2 * width],
            routed: 0,
            accumulators: [heads * 128, heads].map(|width| width * SPLITS * 4),
        };
        let layers = vec![Run { widths, count: layers, read: false }];
        Sizes { layers, hidden: 2 * hidden, tokens: [512, 496], embeds: true, accumulates: true }
    }

    /// What the second sample of five recordings was negative by, without the 2 MiB of the smallest tensors and with up to
    /// 4 MiB that the driver takes for the graph: 268, 270, 236, 436 and 640 MiB. Two of them have the same layers, and
    /// only one of these embeds in the step.
    #[test]
    fn accumulators_are_made_twice_where_a_small_tensor_split_the_free_block() {
        let qwen = || dense(3584, 18_944, 28, 4, 28);
        let cases = [
            ("Llama-3.1-8B", dense(4096, 14_336, 32, 8, 32), 248 + 20, 268),
            ("Qwen3-8B", dense(4096, 12_288, 32, 8, 36), 248 + 20, 270),
            ("Qwen2.5-7B", qwen(), 218 + 20, 236),
            ("Qwen2.5-VL-7B", Sizes { embeds: false, ..qwen() }, 2 * 218, 436),
            ("Phi-4", dense(5120, 17_920, 40, 10, 40), 2 * 310 + 20, 640),
        ];
        for (name, sizes, left, recorded) in cases {
            assert_eq!(sizes.leaves(), left * MIB, "{name}");
            assert!((left + 2_u64).abs_diff(recorded) <= 4, "{name}");
        }
    }

    /// 514 MiB, with a head of EAGLE-3 that reads behind the layers 2, 16 and 29.
    #[test]
    fn states_that_a_head_reads_let_them_be_made_twice() {
        let llama = dense(4096, 14_336, 32, 8, 32);
        let run = |count: u64, read: bool| Run { count, read, ..llama.layers[0] };
        let layers = vec![
            run(1, false),
            run(1, true),
            run(13, false),
            run(1, true),
            run(12, false),
            run(1, true),
            run(3, false),
        ];
        assert_eq!(layers.iter().map(|run| run.count).sum::<u64>(), 32);
        assert_eq!(Sizes { layers, ..llama }.leaves(), (2 * 248 + 20) * MIB);
    }

    #[test]
    fn equal_layers_are_skipped_without_a_difference() {
        for (hidden, width, heads, kept) in [(3584, 18_944, 28, 4), (5120, 17_920, 40, 10), (2048, 8192, 32, 8)] {
            let whole = dense(hidden, width, heads, kept, 64);
            let one = Run { count: 1, ..whole.layers[0] };
            let one_by_one = Sizes { layers: vec![one; 64], ..whole.clone() };
            assert_eq!(whole.leaves(), one_by_one.leaves(), "{hidden}");
        }
    }
}
