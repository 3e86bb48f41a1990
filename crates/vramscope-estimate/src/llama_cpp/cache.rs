//! What a server keeps of its requests: keys and values, and the states of recurrent layers.
//!
//! Follows `llama-kv-cache.cpp`, `llama-kv-cache-iswa.cpp` and `llama-memory-recurrent.cpp` (2025-09 to 2026-11).

use super::args::LlamaCppArgs;
use super::error::LlamaCppError;
use super::place::Offload;
use super::shape::{LayerShape, Shape};

/// Slots beyond which the server refuses to start (`LLAMA_MAX_SEQ`).
const MOST_SLOTS: u64 = 256;
/// The server counts tokens in 31 bits.
const MOST_TOKENS: u64 = 1 << 31;
/// More tokens than any device computes together.
const MOST_BATCH: u64 = 1 << 24;
/// Cells are rounded up to this.
pub(crate) const CELLS: u64 = 256;

/// The context as the server lays it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Context {
    /// Tokens of all slots together.
    pub(crate) tokens: u64,
    /// Most tokens of one request.
    pub(crate) of_slot: u64,
    pub(crate) slots: u64,
    pub(crate) unified: bool,
    /// Pools: one that all share, or one a slot.
    pub(crate) streams: u64,
    /// Most tokens that are computed together.
    pub(crate) micro_batch: u64,
    /// Cells of a pool, for layers that look at everything.
    pub(crate) cells: u64,
    /// Cells of a pool, for layers with a window.
    pub(crate) window_cells: u64,
}

impl Context {
    pub(crate) fn of(shape: &Shape, args: &LlamaCppArgs) -> Result<Self, LlamaCppError> {
        let slots = args.slots_or_auto();
        let unified = args.is_unified();
        let limits = [
            ("parallel", slots, MOST_SLOTS, "at most 256"),
            ("ctx-size", args.context.unwrap_or(0), MOST_TOKENS, "at most 2147483648"),
            ("ubatch-size", args.micro_batch.min(args.batch), MOST_BATCH, "at most 16777216"),
        ];
        if let Some((name, value, _, expected)) = limits.into_iter().find(|(_, value, most, _)| value > most) {
            return Err(LlamaCppError::BadArgument { name: name.to_owned(), value: value.to_string(), expected });
        }
        let overflow = LlamaCppError::Overflow { what: "the context" };
        let streams = if unified { 1 } else { slots };
        let trained = if args.context_is_of_a_pool() { streams } else { 1 };
        let trained = shape.trained_context.saturating_mul(trained).min(MOST_TOKENS);
        let asked = args.context.filter(|context| *context > 0).unwrap_or(trained);
        let cells = (asked / streams).max(1).checked_next_multiple_of(CELLS).ok_or(overflow.clone())?;
        let tokens = cells.checked_mul(streams).ok_or(overflow.clone())?;
        let batch = args.batch.min(tokens).max(1);
        let micro_batch = if args.micro_batch == 0 { batch } else { args.micro_batch.min(batch) };
        let back = shape.window.checked_mul(if unified { slots } else { 1 });
        let back = back.and_then(|back| back.checked_add(micro_batch)).ok_or(overflow.clone())?;
        let least = cells.min(back).checked_next_multiple_of(CELLS).ok_or(overflow)?;
        let window_cells = if args.full_window { cells } else { least };
        Ok(Self { tokens, of_slot: cells, slots, unified, streams, micro_batch, cells, window_cells })
    }

    pub(crate) fn cells_of(&self, layer: &LayerShape) -> u64 {
        if layer.window { self.window_cells } else { self.cells }
    }
}

/// The cache by where it lies, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cache {
    /// Keys and values of layers that look at everything.
    pub(crate) device: u64,
    pub(crate) host: u64,
    /// The same of layers with a window.
    pub(crate) window_device: u64,
    pub(crate) window_host: u64,
    /// States of recurrent layers.
    pub(crate) state_device: u64,
    pub(crate) state_host: u64,
}

impl Cache {
    pub(crate) fn of(
        shape: &Shape,
        context: &Context,
        args: &LlamaCppArgs,
        offload: Offload,
    ) -> Result<Self, LlamaCppError> {
        let mut cache = Self::default();
        for (at, layer) in shape.layers.iter().enumerate() {
            let on_device = args.offload_cache && offload.holds(at);
            let bytes =
                Self::of_layer(shape, layer, context, args).ok_or(LlamaCppError::Overflow { what: "the cache" })?;
            let sum = match (layer.window, on_device) {
                (false, true) => &mut cache.device,
                (false, false) => &mut cache.host,
                (true, true) => &mut cache.window_device,
                (true, false) => &mut cache.window_host,
            };
            *sum = sum.checked_add(bytes).ok_or(LlamaCppError::Overflow { what: "the cache" })?;
            if let Some(state) = layer.state {
                let sum = if on_device { &mut cache.state_device } else { &mut cache.state_host };
                *sum = sum.saturating_add(state.bytes(context.slots));
            }
        }
        Ok(cache)
    }

    /// Keys and values of one layer, in bytes.
    pub(crate) fn of_layer(shape: &Shape, layer: &LayerShape, context: &Context, args: &LlamaCppArgs) -> Option<u64> {
        let cells = context.cells_of(layer).checked_mul(context.streams)?;
        let keys = args.kind_k().row(layer.head_k.checked_mul(layer.kv_heads)?);
        // A compressed vector holds both; values are a part of it.
        let values = if shape.latent { 0 } else { args.kind_v().row(layer.head_v.checked_mul(layer.kv_heads)?) };
        cells.checked_mul(keys.checked_add(values)?)
    }
}
