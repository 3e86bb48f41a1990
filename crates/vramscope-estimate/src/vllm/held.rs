//! What a rank keeps beside its weights when the profile run is over, in engines that count it.
//!
//! Since 0.27 the engine takes off its budget all that is gone from the device since its first snapshot
//! (`utils/mem_utils.py`, `total_consumed`): the runner's tables, workspaces, what the allocator holds in reserve, and
//! what grew outside of it. Tables follow 0.33, `v1/worker/gpu/{states,input_batch,structured_outputs}.py` and
//! `v1/worker/gpu/sample/{penalties,logit_bias,bad_words}.py`.

use vramscope_core::{Architecture, Confidence, ElementType};

use crate::allocator::occupied;
use crate::calibration::Calibration;
use crate::device::GpuModel;
use crate::figure::Figure;
use crate::vllm::activations::Runner;
use crate::vllm::resolve::Resolved;

/// How much more the sampler's buffer may hold: it takes a free block that is up to this much larger, since large ones are
/// not split. Of 18 recordings five had 8 to 20 MiB more, the rest nothing.
const LARGER_BLOCK: u64 = 20 << 20;
/// What else may stay, less and more, and what the allocator's reserve was seen to differ by.
const OTHERS_DIFFER: (u64, u64) = (8 << 20, 60 << 20);
/// Tables of the sampler's cut-off.
const CUT_OFF_TABLES: u64 = 2048;
/// Bytes of a request's own rows: tables of allowed tokens, biases, stop tokens and bad words (17,412), and what the
/// second runner keeps of a request beside (548, as recorded).
const PER_REQUEST: u64 = 17_960;
/// Bytes of a token in the step's inputs.
const PER_TOKEN: u64 = 13;
/// Bytes of a token and expert that routing keeps: a 16-bit and a 32-bit logit.
const PER_ROUTE: u64 = 6;

/// Bytes that stay after the profile run without the experts' workspace: the run's own peak does not count them again.
pub(crate) fn of_the_run(model: &Architecture, engine: &Resolved, device: &GpuModel) -> u64 {
    let experts = model.layers.iter().filter_map(|layer| match layer.feed_forward {
        vramscope_core::FeedForward::Experts(e) => Some(e.count),
        _ => None,
    });
    let routes = experts.max().unwrap_or(0).saturating_mul(engine.max_num_batched_tokens);
    // A row of 32-bit logits for each program that cuts off what is unlikely (`v1/sample/ops/topk_topp_triton.py`).
    let programs = device.multiprocessors.min(engine.max_num_seqs);
    let buffer = programs.saturating_mul(model.vocab_size).saturating_mul(4);
    const SEGMENT: u64 = 2 << 20;
    let buffer = if buffer < 5 * SEGMENT { buffer } else { buffer.div_ceil(SEGMENT).saturating_mul(SEGMENT) };
    buffer.saturating_add(CUT_OFF_TABLES).saturating_add(routes.saturating_mul(PER_ROUTE))
}

/// What stays, without weights and without what grew outside the allocator. `workspace` is the experts'.
pub(crate) fn held(
    model: &Architecture,
    engine: &Resolved,
    device: &GpuModel,
    workspace: u64,
    calibration: &Calibration,
) -> Figure {
    if !engine.version.counts_consumed() {
        return match deep(model, engine.language_model_only, engine.max_num_batched_tokens, engine.element) {
            0 => Figure::exact(0, "not_counted", "this engine does not count what its runner keeps"),
            // This one counts them among the weights.
            deep => Figure::exact(deep, "tower_layers", "tower's layers in the decoder x tokens x hidden x element")
                .within(0, deep, Confidence::Estimated),
        };
    }
    let slack = &calibration.allocator_slack;
    let run = of_the_run(model, engine, device).saturating_add(workspace);
    let deep = deep(model, engine.language_model_only, engine.max_num_batched_tokens, engine.element);
    let value = runner(model, engine)
        .saturating_add(states(model, engine))
        .saturating_add(run)
        .saturating_add(slack.value)
        .saturating_add(deep);
    let one = engine.tensor_parallel_size == 1 && engine.pipeline_parallel_size == 1;
    let recorded = engine.version.is_recorded() && engine.runner == Runner::V2 && one;
    let (below, above) = match (recorded, model.has_experts()) {
        (true, false) => (deep + slack.value + OTHERS_DIFFER.0, slack.high + LARGER_BLOCK + OTHERS_DIFFER.1),
        // Kernels of experts differ in what they keep.
        (true, true) => (deep + slack.value + OTHERS_DIFFER.0, slack.high + LARGER_BLOCK + OTHERS_DIFFER.1 + run / 50),
        // Tables stand on the last stage, states on all but the first.
        (false, _) => (value / 10 * 9, value / 2),
    };
    let confidence = if recorded { Confidence::Estimated } else { Confidence::Assumed };
    Figure::exact(
        value,
        "runner_and_workspaces",
        "requests x (vocabulary x 4.25 + 17960) + tokens x 13 + workspaces + allocator's reserve",
    )
    .with(&[
        ("requests", engine.max_num_seqs),
        ("vocabulary", model.vocab_size),
        ("tokens", engine.max_num_batched_tokens),
        ("workspaces", run),
    ])
    .within(value.saturating_sub(below), value.saturating_add(above), confidence)
}

/// Room for a step's outputs of the tower's layers that the decoder's first layers add, which a class makes when it is
/// created, beside its weights (`deepstack_input_embeds` of `models/qwen3_vl.py`). Read in 0.25.1 and 0.33.0, not recorded.
pub(crate) fn deep(model: &Architecture, language_model_only: bool, tokens: u64, element: ElementType) -> u64 {
    let layers = model.tower.filter(|_| !language_model_only).map_or(0, |tower| tower.deep);
    layers.saturating_mul(tokens).saturating_mul(model.hidden_size).saturating_mul(element.bits() / 8)
}

/// States of a step's tokens that the runner keeps room for: what pictures and sounds are merged into, what a head drafts
/// from, what the stage before sends (twice).
fn states(model: &Architecture, engine: &Resolved) -> u64 {
    let merged = u64::from(model.tower.is_some() && !engine.language_model_only);
    let drafted = u64::from(engine.drafts_from_states);
    let sent = if engine.pipeline_parallel_size > 1 { 2 } else { 0 };
    let each =
        engine.max_num_batched_tokens.saturating_mul(model.hidden_size).saturating_mul(engine.element.bits() / 8);
    each.saturating_mul(merged + drafted + sent)
}

/// The runner's tables: counts of generated tokens, a bit for each token of the prompt and of a grammar, and the rows of
/// requests and steps.
fn runner(model: &Architecture, engine: &Resolved) -> u64 {
    let (requests, vocabulary) = (engine.max_num_seqs, model.vocab_size);
    let counts = occupied(requests.saturating_mul(vocabulary).saturating_mul(4));
    let bits = occupied(requests.saturating_mul(vocabulary.div_ceil(32)).saturating_mul(4));
    let rows = requests.saturating_mul(PER_REQUEST);
    let steps = engine.max_num_batched_tokens.saturating_mul(PER_TOKEN);
    // The first runner has no table of counts before somebody asks for penalties.
    let counts = if engine.runner == Runner::V2 { counts } else { 0 };
    counts.saturating_add(bits.saturating_mul(2)).saturating_add(rows).saturating_add(steps)
}
