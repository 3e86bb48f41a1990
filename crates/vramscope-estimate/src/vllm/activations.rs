//! The transient peak of the engine's profile run: one step of `max_num_batched_tokens` tokens, then the sampler.
//!
//! The peak is the largest sum of tensors that are alive together. Which ones are follows from the implementation: see
//! the sources named beside each phase. Read against vLLM 0.25.1.

mod compiling;
mod forward;
mod sampler;

use vramscope_core::{Architecture, Confidence, Layer, Mixer, WeightFormat};

use crate::EstimateError;
use crate::device::GpuModel;
use crate::figure::Figure;
use crate::vllm::drafts::{Draft, DraftMethod};
use crate::vllm::held;
use crate::vllm::input::EngineArgs;
use crate::vllm::resolve::Resolved;

const OVERFLOW: EstimateError = EstimateError::Overflow { what: "the activation peak" };

/// The part of the engine that runs a step; two generations live side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Runner {
    /// `v1/worker/gpu_model_runner.py`.
    V1,
    /// `v1/worker/gpu/model_runner.py`, the default for more and more models since 0.22.
    V2,
}

/// The variable that decides which runner is taken.
pub(crate) const CHOOSES_RUNNER: &str = "VLLM_USE_V2_MODEL_RUNNER";

/// Classes for which the second runner is the default although they have experts (0.24 to 0.29).
const SECOND_RUNNER: [&str; 6] = [
    "DeepseekV2ForCausalLM",
    "Qwen2MoeForCausalLM",
    "GraniteMoeForCausalLM",
    "InklingForCausalLM",
    "LongcatFlashNgramForCausalLM",
    "DeepseekV4ForCausalLM",
];

impl Runner {
    /// The runner that an engine takes (`config/vllm.py`, `use_v2_model_runner`): as a variable says, else the second one
    /// where it serves the model and its drafter.
    pub(crate) fn of(model: &Architecture, args: &EngineArgs) -> Self {
        let version = args.version;
        if let Some(second) = args.second_runner {
            return if second { Self::V2 } else { Self::V1 };
        }
        if !Self::second_drafts(args) {
            return Self::V1;
        }
        let class = model.class.as_deref().unwrap_or_default();
        let plain = !model.has_experts() && model.quantization.is_none();
        let second = match version.minor {
            _ if version.major > 0 => true,
            30.. => true,
            25..30 => !model.has_recurrence() && (!model.has_experts() || SECOND_RUNNER.contains(&class)),
            24 => {
                let dense = ["Qwen3ForCausalLM", "LlamaForCausalLM", "MistralForCausalLM"];
                dense.contains(&class) || SECOND_RUNNER[..3].contains(&class)
            }
            23 => plain && ["Qwen3ForCausalLM", "LlamaForCausalLM", "MistralForCausalLM"].contains(&class),
            22 => plain && class == "Qwen3ForCausalLM",
            _ => false,
        };
        if second { Self::V2 } else { Self::V1 }
    }

    /// Whether the second runner knows the drafter (`_get_v2_model_runner_unsupported_features`).
    fn second_drafts(args: &EngineArgs) -> bool {
        let Some(drafter) = &args.drafter else { return true };
        let whole = args.pipeline_parallel_size == 1;
        match drafter.method {
            DraftMethod::Eagle | DraftMethod::OwnLayers => true,
            DraftMethod::Eagle3 => whole || args.version.from_minor(30),
            DraftMethod::Suffix => false,
            DraftMethod::Lookup | DraftMethod::Model => args.version.from_minor(32),
            // Medusa and such; read in 0.25, 0.28, 0.30, 0.32 and 0.33.
            DraftMethod::Other => args.version.from_minor(33),
        }
    }
}

/// What a phase of the profile run depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) model: &'a Architecture,
    pub(crate) engine: &'a Resolved,
    pub(crate) device: &'a GpuModel,
    /// Linear layers are stored in the model's element type, so they go through cuBLAS.
    pub(crate) plain: bool,
    /// Runs of equal layers.
    pub(crate) runs: &'a [std::ops::Range<usize>],
}

/// The peak of one rank that holds these layers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Peak {
    pub(crate) figure: Figure,
    /// The experts' workspace, which stays allocated after the run.
    pub(crate) workspace: u64,
    /// All that stays and is no part of the figure.
    stays: u64,
}

/// The peak beside a drafter: the model's states that it takes in stay meanwhile, and its own step may take as much again.
/// A head may need the most while it is compiled. Recorded once.
pub(crate) fn beside(peak: Peak, draft: &Draft<'_>, context: &Context<'_>) -> Peak {
    let (engine, hidden) = (context.engine, context.model.hidden_size);
    let unit = engine.max_num_batched_tokens.saturating_mul(engine.element.bits() / 8);
    let (states, joined) = (draft.states().saturating_mul(unit), draft.joined(hidden).saturating_mul(unit));
    let Figure { value, low, high, .. } = peak.figure;
    let confidence = peak.figure.confidence.min(Confidence::Assumed);
    let compiles = engine.compiled && engine.version.counts_consumed();
    let tried = if compiles { draft.tried(hidden).saturating_mul(unit) } else { 0 };
    let tried = if tried > 0 { tried.saturating_add(context.device.l2_bytes).saturating_sub(peak.stays) } else { 0 };
    let value = value.saturating_add(states).max(tried);
    let high = high.saturating_add(states).saturating_add(joined).max(value);
    let figure = Figure { value, ..peak.figure };
    Peak { figure: figure.within(low, high, confidence), ..peak }
}

/// Computes the peak of a pipeline stage.
pub(crate) fn peak(
    context: Context<'_>,
    layers: std::ops::Range<usize>,
    last_stage: bool,
) -> Result<Peak, EstimateError> {
    let first_stage = layers.start == 0;
    let step = forward::peak(&context, layers)?;
    let sampling = if last_stage { sampler::peak(&context, step.workspace)? } else { 0 };
    let engine = context.engine;
    if engine.version.counts_consumed() {
        let compiling = compiling::peak(&context, first_stage)?;
        return Ok(above_what_stays(&context, &step, sampling, compiling));
    }
    let blas = if context.plain || sampling > step.bytes { context.device.blas_workspace() } else { 0 };
    let value = step.bytes.max(sampling).checked_add(blas + bookkeeping(engine)).ok_or(OVERFLOW)?;
    let (method, formula) = if sampling > step.bytes {
        ("sampler_phase", sampler::formula(engine))
    } else {
        ("forward_phase", forward::FORMULA)
    };
    // A warm compilation cache skips the tuning whose buffer of the size of the L2 cache counts into the peak.
    let tuning = if step.tunes && step.bytes >= sampling { context.device.l2_bytes } else { 0 };
    let (margins, sampler_margins) = (margins(&context), sampler_margins(&context, step.workspace));
    let rest = value - step.bytes.max(sampling);
    // The peak is the larger of the phases, and so are its bounds. A small model's forward phase is hardly more than the
    // tuning buffer, so its margin may take all that is left.
    let low = margins.low(step.bytes).saturating_sub(tuning).max(sampler_margins.low(sampling)).saturating_add(rest);
    let high = margins.high(step.bytes).max(sampler_margins.high(sampling)).saturating_add(rest);
    let decides = if sampling > step.bytes { sampler_margins } else { margins };
    let figure = Figure::exact(value, method, formula)
        .with(&[
            ("tokens", engine.max_num_batched_tokens),
            ("requests", engine.max_num_seqs),
            ("vocabulary", context.model.vocab_size),
            ("hidden_size", context.model.hidden_size),
            ("forward", step.bytes),
            ("sampler", sampling),
            ("blas_workspace", blas),
        ])
        .within(low.min(value), high, decides.confidence);
    Ok(Peak { figure, workspace: step.workspace, stays: 0 })
}

/// The peak above what is left allocated after the run, as engines count it that take all off their budget that is gone
/// from the device: what stays is no part of it. Matrix products have their workspace before the run begins, and what
/// kernels are tuned with is given back before.
fn above_what_stays(context: &Context<'_>, step: &forward::Step, sampling: u64, compiling: u64) -> Peak {
    let engine = context.engine;
    let tuning = if step.tunes { context.device.l2_bytes } else { 0 };
    let run = held::of_the_run(context.model, engine, context.device);
    let kept = run.saturating_add(step.workspace);
    let forward = (step.bytes - tuning).saturating_add(bookkeeping(engine)).saturating_sub(kept);
    let sampler = sampling.saturating_sub(step.workspace).saturating_add(SAMPLER_MORE);
    // The experts' workspace is made after the compilation.
    let compiled = compiling.saturating_sub(kept);
    let warm = forward.max(sampler);
    let value = warm.max(compiled);
    let (method, formula) = if compiled > warm {
        ("compilation", compiling::FORMULA)
    } else if forward >= sampler {
        ("forward_phase", forward::FORMULA)
    } else {
        ("sampler_phase", sampler::formula(engine))
    };
    let margins =
        if is_read(engine) { margins(context).above_what_stays() } else { Margins::new(250, 350, Confidence::Assumed) };
    let confidence = if compiled > warm { margins.confidence.min(Confidence::Estimated) } else { margins.confidence };
    let figure = Figure::exact(value, method, formula)
        .with(&[
            ("tokens", engine.max_num_batched_tokens),
            ("requests", engine.max_num_seqs),
            ("vocabulary", context.model.vocab_size),
            ("hidden_size", context.model.hidden_size),
            ("forward", step.bytes),
            ("sampler", sampling),
            ("compilation", compiling),
            ("stays", kept),
        ])
        .within(margins.low(warm), margins.high(value), confidence);
    Peak { figure, workspace: step.workspace, stays: kept }
}

/// Small tensors of the sampler's second pass, which goes through all of a request's settings: 6 to 8 MB in a recording.
const SAMPLER_MORE: u64 = 6 << 20;

/// Where each request starts, and two indices of them.
fn bookkeeping(engine: &Resolved) -> u64 {
    let requests = engine.max_num_seqs.min(engine.max_num_batched_tokens);
    [4 * (requests + 1), 4 * requests, 8 * requests].into_iter().map(crate::allocator::occupied).sum()
}

/// How far the true size of a phase may lie below and above, in per mille: by how closely the implementation was
/// followed.
#[derive(Debug, Clone, Copy)]
struct Margins {
    below: u64,
    above: u64,
    confidence: Confidence,
}

impl Margins {
    const fn new(below: u64, above: u64, confidence: Confidence) -> Self {
        Self { below, above, confidence }
    }

    /// At least as wide as seven dense models of 0.33 were off: what stays of a run is not the same in all.
    fn above_what_stays(self) -> Self {
        let confidence = self.confidence.min(Confidence::Estimated);
        Self { below: self.below.max(15), above: self.above.max(20), confidence }
    }

    fn low(self, bytes: u64) -> u64 {
        bytes - bytes / 1000 * self.below
    }

    fn high(self, bytes: u64) -> u64 {
        bytes.saturating_add(bytes / 1000 * self.above)
    }
}

/// Whether the formulas were read against this release.
fn is_read(engine: &Resolved) -> bool {
    engine.version.major == 0 && matches!(engine.version.minor, 24..28 | 33)
}

fn margins(context: &Context<'_>) -> Margins {
    let (model, engine) = (context.model, context.engine);
    let recurs = model.has_recurrence();
    let followed = model.known_family && !recurs && model.tower.is_none();
    let bytes = matches!(engine.format, WeightFormat::Byte { .. } | WeightFormat::ByteBlocks { .. });
    let formats = matches!(engine.format, WeightFormat::Plain | WeightFormat::Packed { .. });
    // Latent attention that is sparse or stands beside recurrences: recorded once each.
    let young = |layer: &Layer| matches!(layer.mixer, Mixer::Latent(l) if l.sparse || recurs);
    if is_read(engine) && model.layers.iter().any(young) {
        return Margins::new(300, 250, Confidence::Assumed);
    }
    if is_read(engine) && followed && engine.pipeline_parallel_size > 1 && engine.version.from_minor(28) {
        return Margins::new(60, 60, Confidence::Estimated);
    }
    match (is_read(engine), followed, formats && engine.tensor_parallel_size == 1) {
        (true, true, true) if engine.runner == Runner::V2 => Margins::new(5, 10, Confidence::Computed),
        (true, true, true) => Margins::new(20, 30, Confidence::Computed),
        // The compiler may join an activation with its conversion to 8 bits, and then holds half of it.
        (true, true, false) if bytes && engine.compiled => Margins::new(170, 60, Confidence::Estimated),
        (true, true, false) => Margins::new(40, 60, Confidence::Estimated),
        (true, false, _) => Margins::new(120, 200, Confidence::Estimated),
        (false, true, _) => Margins::new(150, 200, Confidence::Estimated),
        (false, false, _) => Margins::new(250, 350, Confidence::Assumed),
    }
}

/// Sampling is the same for all models; only the experts' workspace, which stays meanwhile, depends on their kernel.
fn sampler_margins(context: &Context<'_>, workspace: u64) -> Margins {
    let engine = context.engine;
    let kernel = workspace == 0 || matches!(engine.format, WeightFormat::Plain | WeightFormat::Packed { .. });
    match (is_read(engine), kernel && engine.tensor_parallel_size == 1) {
        (true, true) if engine.runner == Runner::V2 => Margins::new(5, 10, Confidence::Computed),
        // Recorded once, with drafts that are looked up.
        (true, _) if engine.drafted => Margins::new(100, 100, Confidence::Estimated),
        (true, true) => Margins::new(20, 30, Confidence::Computed),
        (true, false) => Margins::new(40, 60, Confidence::Estimated),
        (false, _) => Margins::new(150, 200, Confidence::Estimated),
    }
}

#[cfg(test)]
mod tests {
    use crate::{EngineArgs, EngineVersion, Setting, budget, find_device};

    #[test]
    fn a_model_smaller_than_the_tuning_buffer_may_have_no_peak_at_all() {
        // 4-bit layers have no BLAS workspace, so what tuning takes is all but the whole peak.
        let config = br#"{"model_type": "llama", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 1, "vocab_size": 8, "max_position_embeddings": 16, "quantization_config":
            {"quant_method": "awq", "bits": 4, "group_size": 8}}"#;
        let (model, _) = vramscope_models::read_config(config).unwrap();
        let args =
            EngineArgs { version: EngineVersion::RECORDED, max_num_batched_tokens: Some(16), ..EngineArgs::default() };
        let found = budget(&model, &args, Setting::alone(find_device("h200").unwrap())).unwrap();
        let peak = &found.activation_peak;
        assert!(peak.low < 1 << 20, "{peak:?}");
        assert!(peak.value > 60 << 20 && peak.value <= peak.high, "{peak:?}");
    }
}
