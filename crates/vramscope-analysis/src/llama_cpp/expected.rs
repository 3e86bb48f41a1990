//! What a server of this model file with these arguments was to take, beside what it says that it took.

use std::collections::BTreeSet;

use vramscope_core::{BufferKind, Bytes, ComponentKind, Confidence, EngineFacts, PlaceFacts};
use vramscope_estimate::{
    Figure, GpuModel, LlamaCppBackend, LlamaCppBudget, LlamaCppLine, LlamaCppSetting, llama_cpp_fitted,
};
use vramscope_schema::v3::{Expectation, ExpectedMemory};

use crate::assemble::expectation::error_pct;
use crate::known::Known;

/// How the prediction is made, as a stable name.
const METHOD: &str = "llama_cpp_budget_v1";

/// A part of the budget, with the buffers that are it.
const PARTS: [(&str, &[&str], &[BufferKind]); 5] = [
    ("model_weights", &["weights"], &[BufferKind::Weights]),
    ("kv_cache", &["kv_cache", "window_kv_cache"], &[BufferKind::KvCache]),
    ("recurrent_state", &["recurrent_state"], &[BufferKind::RecurrentState]),
    ("compute_buffers", &["compute"], &[BufferKind::Compute]),
    ("output_buffers", &["output"], &[BufferKind::Output]),
];

/// Predicts from the model's header, the command line and the size of the device, never from what was allocated. `None`
/// where one of them is not at hand, and for a model that is split over several devices, which the budget does not do.
pub(crate) fn expectation(run: &Known<'_>) -> Option<Expectation> {
    let model = run.evidence.packed.as_ref()?;
    let facts = run.facts;
    if devices(facts) > 1 {
        return None;
    }
    let mut line = LlamaCppLine::read(&run.evidence.args.as_ref()?.words()).ok()?;
    let told = facts.version.as_ref().map(|version| version.value.as_str());
    line.args.build = told.and_then(|version| version.strip_prefix('b')?.parse().ok());
    let backend = backend(facts);
    let device = device(run, facts).filter(|_| backend != LlamaCppBackend::Host);
    let of_others = || {
        let derived = run.derived?;
        let all = derived.timeline.devices().first().map(|device| device.index);
        derived.baseline.as_ref()?.of(derived.placement.active.first().copied().or(all)?)
    };
    let others = of_others().filter(|_| !run.is_on_cpu());
    let setting = LlamaCppSetting { backend, device: device.as_ref(), others: others.unwrap_or(Bytes::ZERO) };
    let budget = llama_cpp_fitted(model, &line.args, setting).ok()?;
    Some(Expectation {
        method: METHOD.to_owned(),
        engine_version: told.map(str::to_owned),
        fits: budget.fits.or_else(|| fits_host(run, &budget))?,
        failure: None,
        memory: memory(run, &budget),
        counts: Vec::new(),
    })
}

/// Whether a server on the host alone finds room, where the machine's memory was read.
fn fits_host(run: &Known<'_>, budget: &LlamaCppBudget) -> Option<bool> {
    let of_host = run.derived?.timeline.devices().first().filter(|_| run.is_on_cpu())?;
    Some(budget.host_total.value <= of_host.total?.get())
}

/// How many devices the engine found or uses.
fn devices(facts: &EngineFacts) -> usize {
    let held = facts.buffers.iter().filter(|buffer| !buffer.on_host && !buffer.planned);
    let held = held.filter_map(|buffer| buffer.place.as_deref());
    // Of a name with a number, such as CUDA1; a buffer that is laid over several has none.
    let numbered = |name: &&str| name.ends_with(|c: char| c.is_ascii_digit());
    held.chain(facts.places.iter().map(|place| place.place.as_str())).filter(numbered).collect::<BTreeSet<&str>>().len()
}

/// What computes, by the names of places.
fn backend(facts: &EngineFacts) -> LlamaCppBackend {
    let held = facts.buffers.iter().filter(|buffer| !buffer.on_host).filter_map(|buffer| buffer.place.as_deref());
    let mut names = held.chain(facts.places.iter().map(|place| place.place.as_str()));
    match names.next() {
        None => LlamaCppBackend::Host,
        Some(name) if name.starts_with("Vulkan") => LlamaCppBackend::Vulkan,
        Some(_) => LlamaCppBackend::Cuda,
    }
}

/// The device: as the driver names it, else one of the size that the engine sees.
fn device(run: &Known<'_>, facts: &EngineFacts) -> Option<GpuModel> {
    let named = || crate::assemble::device(run);
    let software = facts.places.iter().any(PlaceFacts::is_software);
    let of_size = || Some(GpuModel::of_size(facts.places.first()?.total.as_ref()?.value));
    (if software { None } else { named() }).or_else(of_size)
}

fn memory(run: &Known<'_>, budget: &LlamaCppBudget) -> Vec<ExpectedMemory> {
    let facts = run.facts;
    let mut rows = Vec::new();
    for on_host in [false, true] {
        for (name, parts, kinds) in PARTS {
            let figures: Vec<Figure> = budget
                .parts
                .iter()
                .filter(|part| parts.contains(&part.name))
                .map(|part| if on_host { part.host.clone() } else { part.device.clone() })
                .collect();
            let Some(mut figure) = sum(&figures) else { continue };
            if on_host && name == "model_weights" {
                // The server prints the range of the file that it maps, not what of it is weights; what it rearranges
                // has a buffer of its own.
                let printed = budget.host_weights_printed.saturating_add(budget.host_weights_repacked);
                (figure.value, figure.low, figure.high) = (printed, printed.min(figure.low), printed.max(figure.high));
            }
            let here = facts.buffers.iter().filter(|b| b.on_host == on_host && !b.planned && kinds.contains(&b.kind));
            let sizes: Vec<Bytes> = here.map(|buffer| buffer.amount.value).collect();
            let observed = (!sizes.is_empty()).then(|| Bytes::checked_sum(sizes)).flatten();
            if figure.value == 0 && observed.is_none_or(|size| size == Bytes::ZERO) {
                continue;
            }
            let name = if on_host { format!("host_{name}") } else { name.to_owned() };
            rows.push(row(name, &figure, observed, "engine_buffers"));
        }
    }
    let total = run.derived.and_then(|derived| derived.attribution.as_ref()).map(|all| &all.total);
    if let Some(context) =
        total.and_then(|all| all.component(ComponentKind::RuntimeContext)).filter(|_| !run.is_on_cpu())
    {
        rows.push(row("runtime_context".to_owned(), &budget.driver, Some(context.size), context.basis.method));
    }
    rows
}

fn row(name: String, figure: &Figure, observed: Option<Bytes>, method: &str) -> ExpectedMemory {
    ExpectedMemory {
        name,
        predicted_bytes: figure.value,
        low_bytes: figure.low,
        high_bytes: figure.high,
        observed_bytes: observed.map(Bytes::get),
        error_pct: observed.and_then(|size| error_pct(figure.value, size.get())),
        confidence: figure.confidence.into(),
        predicted_method: figure.method.to_owned(),
        observed_method: observed.map(|_| method.to_owned()),
    }
}

/// Figures together, known as badly as the worst of them.
fn sum(figures: &[Figure]) -> Option<Figure> {
    let first = figures.first()?;
    let together = |of: fn(&Figure) -> u64| figures.iter().try_fold(0_u64, |sum, figure| sum.checked_add(of(figure)));
    let confidence = figures.iter().map(|figure| figure.confidence).min().unwrap_or(Confidence::Assumed);
    let mut all = first.clone();
    all.value = together(|figure| figure.value)?;
    all.low = together(|figure| figure.low)?;
    all.high = together(|figure| figure.high)?;
    all.confidence = confidence;
    Some(all)
}
