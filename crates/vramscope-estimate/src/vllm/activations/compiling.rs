//! Compiling the first step: a generated kernel is tried with arguments of its full size before anything else runs.
//!
//! Of the kernels that gather rows of an embedding the whole table is such an argument, which stands beside the weights
//! for that moment. Seen in allocation histories of 0.33.0 (torch 2.14, H200) and in the peaks of four recordings, to the
//! megabyte: Llama-3.1-8B, Qwen3-8B and Gemma 4 with 8,192 or 16,384 tokens. A warm compilation cache skips it.

use super::{Context, OVERFLOW};
use crate::EstimateError;

pub(super) const FORMULA: &str = "the embedding's table once more + its rows of a step, compiled for the first time";

/// Bytes alive together; 0 where nothing of the kind is compiled.
pub(super) fn peak(context: &Context<'_>, first_stage: bool) -> Result<u64, EstimateError> {
    let (model, engine) = (context.model, context.engine);
    // A multimodal model gathers its rows before the compiled part.
    let gathered_before = model.tower.is_some() && !engine.language_model_only;
    if !engine.compiled || !first_stage || gathered_before {
        return Ok(0);
    }
    let element = engine.element.bits() / 8;
    let of = |rows: u64, width: u64, outputs: u64| {
        let step = engine.max_num_batched_tokens.checked_mul(outputs)?;
        rows.div_ceil(engine.tensor_parallel_size).checked_add(step)?.checked_mul(width)?.checked_mul(element)
    };
    // The states and their norm leave the kernel of the model's embedding; the rows alone that of the layers' own inputs.
    let states = of(model.vocab_size, model.hidden_size, 2).ok_or(OVERFLOW)?;
    let own = model.own_inputs();
    let own = if own > 0 { of(model.own_input_vocab, own, 1).ok_or(OVERFLOW)? } else { 0 };
    Ok(states.max(own))
}
