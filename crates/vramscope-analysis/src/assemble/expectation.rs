//! The budget that was to be expected, beside what came.

use crate::attribution::Evidenced;
use vramscope_core::{Bytes, ComponentKind, Confidence, EngineKind, Fact};
use vramscope_estimate::{
    Budget, Calibration, CommandLine, EngineArgs, EngineVersion, Figure, GpuModel, Setting, budget,
};
use vramscope_schema::v3::{Expectation, ExpectedCount, ExpectedMemory};

use crate::budget as seen;
use crate::device::gpu_model;
use crate::known::Known;
use crate::{llama_cpp, model};

/// How the prediction is made, as a stable name.
const METHOD: &str = "vramscope_budget_v1";

/// Predicts from the command line (else from what the log says of the settings), the model and the device, never from
/// what the engine measured. Nothing is predicted where there is no GPU or the model is not known.
pub(super) fn expectation(run: &Known<'_>) -> Option<Expectation> {
    if run.evidence.engine_kind() == Some(EngineKind::LlamaCpp) {
        return llama_cpp::expected::expectation(run);
    }
    // The rules are those of one engine.
    if run.evidence.is_other_than(EngineKind::Vllm) {
        return None;
    }
    let architecture = run.evidence.architecture.as_ref()?;
    let args = args(run);
    let device = device(run)?;
    let others = run.derived?.baseline.as_ref().and_then(|point| point.of(device.0)).unwrap_or(Bytes::ZERO);
    let setting = Setting { device: &device.1, others, calibration: Calibration::embedded() };
    let budget = budget(architecture, &args, setting).ok()?;
    Some(Expectation {
        method: METHOD.to_owned(),
        engine_version: Some(args.version.to_string()),
        fits: budget.verdict.fits,
        failure: budget.verdict.failure.as_ref().map(|failure| failure.name().to_owned()),
        memory: memory(run, &budget),
        counts: counts(run, &budget),
    })
}

/// The settings as the engine was told them.
pub(super) fn args(run: &Known<'_>) -> EngineArgs {
    let logged = model::engine_args(run.facts);
    let Some(told) = &run.evidence.args else { return logged };
    let written = told.engine_version.as_ref().and_then(|version| version.parse::<EngineVersion>().ok());
    let version = run.facts.version.as_ref().map(|_| logged.version).or(written).unwrap_or(EngineVersion::NEWEST);
    let mut words: Vec<String> = told.subcommand.split_whitespace().map(str::to_owned).collect();
    words.extend(told.flags.iter().map(|flag| match &flag.value {
        Some(value) => format!("--{}={value}", flag.name),
        None => format!("--{}", flag.name),
    }));
    // What it was told it has taken, or its log says why not.
    let base = EngineArgs { version, allow_long_max_model_len: true, ..EngineArgs::default() };
    CommandLine::read(&words, base).map_or(logged, |line| line.args)
}

/// The first device of the run: its size as measured, what else matters by its name.
pub(super) fn device(run: &Known<'_>) -> Option<(vramscope_core::DeviceIndex, GpuModel)> {
    let derived = run.derived?;
    let index = derived.placement.active.first().or(derived.timeline.devices().first().map(|d| &d.index)).copied()?;
    let device = derived.timeline.device(index)?;
    Some((index, gpu_model(device)?))
}

fn memory(run: &Known<'_>, budget: &Budget) -> Vec<ExpectedMemory> {
    let part = |kind| run.ranks.part(0, kind);
    let logged = |facts: &[Fact<Bytes>]| {
        let fact = facts.last()?;
        Some(Evidenced {
            size: fact.value,
            resolution: fact.resolution,
            confidence: Confidence::Reported,
            basis: vramscope_core::Basis {
                method: "engine_log",
                detail: String::new(),
                log_lines: vec![fact.origin.line],
            },
        })
    };
    // What the engine's log calls consumed holds what grew outside the allocator too.
    let mut held = budget.held.clone();
    if held.value > 0 {
        held.value = held.value.saturating_add(budget.non_torch.value);
        held.low = held.low.saturating_add(budget.non_torch.low);
        held.high = held.high.saturating_add(budget.non_torch.high);
        held.confidence = held.confidence.min(budget.non_torch.confidence);
    }
    // A part that the run shows to be none of the kind is not compared: graphs of an eager engine.
    let rows = [
        ("requested", &budget.requested, seen::requested(run)),
        ("model_weights", &budget.weights, part(ComponentKind::Weights)),
        ("held", &held, part(ComponentKind::Held)),
        ("activation_peak", &budget.activation_peak, seen::activation_peak(run)),
        ("cuda_graphs", &budget.cuda_graphs, part(ComponentKind::CudaGraphs)),
        ("cuda_graphs_budgeted", &budget.cuda_graphs_budgeted, logged(&run.facts.graphs_estimated)),
        ("non_torch", &budget.non_torch, logged(&run.facts.non_torch)),
        ("kv_cache", &budget.kv_cache, part(ComponentKind::KvCache)),
    ];
    // What was computed of the model by the same rule is no observation, and would agree with itself.
    let seen = |figure: &Figure, observed: Option<Evidenced>| {
        observed.filter(|amount| amount.confidence == Confidence::Measured || amount.basis.method != figure.method)
    };
    rows.into_iter()
        .map(|(name, figure, observed)| (name, figure, seen(figure, observed)))
        .map(|(name, figure, observed)| ExpectedMemory {
            name: name.to_owned(),
            predicted_bytes: figure.value,
            low_bytes: figure.low,
            high_bytes: figure.high,
            observed_bytes: observed.as_ref().map(|amount| amount.size.get()),
            error_pct: observed.as_ref().and_then(|amount| error_pct(figure.value, amount.size.get())),
            confidence: figure.confidence.into(),
            predicted_method: figure.method.to_owned(),
            observed_method: observed.map(|amount| amount.basis.method.to_owned()),
        })
        .collect()
}

fn counts(run: &Known<'_>, budget: &Budget) -> Vec<ExpectedCount> {
    let tokens = run.facts.kv_tokens.iter().map(|fact| fact.value).min();
    let rows: [(&str, &Figure, Option<u64>); 2] = [
        ("num_gpu_blocks", &budget.num_gpu_blocks, super::engine::blocks(run)),
        ("kv_cache_tokens", &budget.kv_cache_tokens, tokens),
    ];
    rows.into_iter()
        .map(|(name, figure, observed)| ExpectedCount {
            name: name.to_owned(),
            predicted: figure.value,
            low: figure.low,
            high: figure.high,
            observed,
            error_pct: observed.and_then(|seen| error_pct(figure.value, seen)),
        })
        .collect()
}

/// (predicted - observed) / observed; `None` where nothing was observed.
pub(crate) fn error_pct(predicted: u64, observed: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a relative error needs no more than 53 bits")]
    (observed > 0).then(|| (predicted as f64 - observed as f64) / observed as f64 * 100.0)
}
