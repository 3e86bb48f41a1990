//! Sampling one token for as many requests as a step may have.
//!
//! V2: `v1/worker/gpu/model_runner.py` (`_dummy_sampler_run`), `v1/worker/gpu/sample/{sampler,gumbel}.py`.
//! V1: `v1/worker/gpu_model_runner.py` (`_dummy_sampler_run`), `v1/sample/{sampler,ops/topk_topp_sampler}.py`.

use super::{Context, OVERFLOW, Runner};
use crate::EstimateError;
use crate::allocator::occupied;
use crate::vllm::resolve::Resolved;

/// Columns of the vocabulary that one program of the second runner's sampling kernel covers.
const GUMBEL_BLOCK: u64 = 1024;
/// Bytes per logit with the sorting sampler of releases before 0.17: 38.4 to 39.6 in measurements of 0.11.
const SORTING_BYTES_PER_LOGIT: u64 = 39;

pub(super) fn formula(engine: &Resolved) -> &'static str {
    match (engine.runner, engine.version.from_minor(17)) {
        (Runner::V2, _) => {
            "tokens x hidden x e + requests x hidden x e + requests x vocabulary x (e + 4) + partial maxima"
        }
        (Runner::V1, true) => {
            "tokens x hidden x e + 2 x requests x hidden x e + requests x vocabulary x (e + 12, with drafts 3e + 24) \
             + multiprocessors x vocabulary x 4 + expert workspace"
        }
        (Runner::V1, false) => "tokens x hidden x e + requests x vocabulary x 39 (sorting sampler)",
    }
}

/// Bytes alive together at the peak of sampling, with the experts' workspace that stays from the step before.
pub(super) fn peak(context: &Context<'_>, workspace: u64) -> Result<u64, EstimateError> {
    let engine = context.engine;
    let element = engine.element.bits() / 8;
    let rows = engine.max_num_seqs.min(engine.max_num_batched_tokens);
    let hidden = context.model.hidden_size * element;
    let vocabulary = context.model.vocab_size;
    let logits = |bytes: u64| rows.checked_mul(vocabulary)?.checked_mul(bytes).map(occupied);
    let states = engine.max_num_batched_tokens.checked_mul(hidden);
    let sum = |parts: &[Option<u64>]| parts.iter().try_fold(0_u64, |sum, part| sum.checked_add((*part)?));
    let own_rows = rows.checked_mul(hidden);
    let gathering = gathering(engine, logits(element));
    let total = match (engine.runner, engine.version.from_minor(17)) {
        (Runner::V2, _) => {
            // An index of 8 and a value of 4 bytes per block of the vocabulary.
            let maxima = rows.checked_mul(vocabulary.div_ceil(GUMBEL_BLOCK)).and_then(|n| n.checked_mul(12));
            let sampling = sum(&[logits(element), logits(4), maxima]);
            sum(&[states, own_rows, sampling.max(gathering), Some(workspace)])
        }
        (Runner::V1, true) => {
            // Logits, their 32-bit copy, probabilities and noise; states of the sampled rows and random ones instead.
            let buffer =
                if rows >= 8 { context.device.multiprocessors.min(rows).checked_mul(4 * vocabulary) } else { Some(0) };
            let wide = logits(4).and_then(|bytes| bytes.checked_mul(3));
            // Guesses are checked beside: logits of two tokens a request, and a copy in 32 bits, probabilities and noise.
            let checking = if engine.drafted { logits(2 * element + 12) } else { Some(0) };
            let sampling = sum(&[logits(element), wide, buffer, checking]);
            sum(&[states, own_rows, own_rows, sampling.max(gathering), Some(workspace)])
        }
        (Runner::V1, false) => sum(&[states, logits(SORTING_BYTES_PER_LOGIT), Some(workspace)]),
    };
    total.ok_or(OVERFLOW)
}

/// Ranks gather their parts of the logits: a rank's own part, all parts behind each other, and those put in order
/// (`distributed/device_communicators/base_device_communicator.py`, `all_gather`). Only the last is left when sampling
/// begins.
fn gathering(engine: &Resolved, logits: Option<u64>) -> Option<u64> {
    let ranks = engine.tensor_parallel_size;
    if ranks < 2 {
        return Some(0);
    }
    let logits = logits?;
    logits.checked_mul(2)?.checked_add(logits.div_ceil(ranks))
}
