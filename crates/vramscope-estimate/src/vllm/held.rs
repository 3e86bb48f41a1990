//! What a rank keeps beside its weights when the profile run is over, in engines that count it.
//!
//! Since 0.27 the engine takes off its budget all that is gone from the device since its first snapshot
//! (`utils/mem_utils.py`, `total_consumed`): the runner's tables, workspaces, what the allocator holds in reserve, and
//! what grew outside of it. Tables follow 0.33, `v1/worker/gpu/{states,input_batch,structured_outputs}.py` and
//! `v1/worker/gpu/sample/{penalties,logit_bias,bad_words}.py`.

use vramscope_core::{Architecture, Confidence};

use crate::allocator::occupied;
use crate::calibration::Calibration;
use crate::figure::Figure;
use crate::vllm::activations::Runner;
use crate::vllm::resolve::Resolved;

/// Workspaces of matrix products and two megabytes of the sampler's, kept after the profile run: 66 MiB in six of seven
/// recordings, 34 MiB for LFM2.
const WORKSPACES: u64 = (66 << 20) + 2048;
/// How much less and more was kept of the run in 17 recordings of as many models and settings: 32 to 144 MiB.
const WORKSPACES_DIFFER: (u64, u64) = (40 << 20, 100 << 20);
/// Bytes of a request's own rows: tables of allowed tokens, biases, stop tokens and bad words (17,412), and what the
/// second runner keeps of a request beside (548, as recorded).
const PER_REQUEST: u64 = 17_960;
/// Bytes of a token in the step's inputs.
const PER_TOKEN: u64 = 13;
/// Bytes of a token and expert that routing keeps: a 16-bit and a 32-bit logit.
const PER_ROUTE: u64 = 6;

/// Bytes that stay after the profile run without the experts' workspace: the run's own peak does not count them again.
pub(crate) fn of_the_run(model: &Architecture, engine: &Resolved) -> u64 {
    let experts = model.layers.iter().filter_map(|layer| match layer.feed_forward {
        vramscope_core::FeedForward::Experts(e) => Some(e.count),
        _ => None,
    });
    let routes = experts.max().unwrap_or(0).saturating_mul(engine.max_num_batched_tokens);
    WORKSPACES.saturating_add(routes.saturating_mul(PER_ROUTE))
}

/// What stays, without weights and without what grew outside the allocator. `workspace` is the experts'.
pub(crate) fn held(model: &Architecture, engine: &Resolved, workspace: u64, calibration: &Calibration) -> Figure {
    if !engine.version.counts_consumed() {
        return Figure::exact(0, "not_counted", "this engine does not count what its runner keeps");
    }
    let slack = &calibration.allocator_slack;
    let run = of_the_run(model, engine).saturating_add(workspace);
    let value =
        runner(model, engine).saturating_add(states(model, engine)).saturating_add(run).saturating_add(slack.value);
    let one = engine.tensor_parallel_size == 1 && engine.pipeline_parallel_size == 1;
    let recorded = engine.version.is_recorded() && engine.runner == Runner::V2 && one;
    let (below, above) = match (recorded, model.has_experts()) {
        (true, false) => (slack.value + WORKSPACES_DIFFER.0, slack.high + WORKSPACES_DIFFER.1),
        // Kernels of experts differ in what they keep.
        (true, true) => (slack.value + WORKSPACES_DIFFER.0, slack.high + WORKSPACES_DIFFER.1 + run / 50),
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
