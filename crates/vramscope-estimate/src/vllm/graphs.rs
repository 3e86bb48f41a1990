//! Memory of captured graphs, and what lies outside the framework's allocator.
//!
//! Neither follows from shapes: both are measured sizes, scaled by the number of layers and of captured sizes.

use vramscope_core::{Architecture, Confidence, Vendor};

use crate::calibration::{Calibration, Constant};
use crate::device::GpuModel;
use crate::figure::Figure;
use crate::vllm::activations::Runner;
use crate::vllm::input::EngineArgs;
use crate::vllm::resolve::{Resolved, estimates_graphs};

/// Graphs as they end up on the device.
pub(crate) fn captured(model: &Architecture, engine: &Resolved, calibration: &Calibration) -> Figure {
    if by_trial(engine) {
        let (size, layer) = (&calibration.graphs_kept_size, &calibration.graphs_kept_layer);
        return sized(size, layer, model, engine, "sizes_and_layers");
    }
    let each = match engine.runner {
        Runner::V1 => &calibration.graphs_v1,
        Runner::V2 => &calibration.graphs_v2,
    };
    scaled(each, model, engine, "layers_times_sizes", "layers of a stage x captured sizes x measured bytes of each")
}

/// What the engine takes off its budget for graphs: its own estimate by the first runner, nothing by the second.
pub(crate) fn budgeted(
    model: &Architecture,
    engine: &Resolved,
    device: &GpuModel,
    calibration: &Calibration,
) -> Figure {
    if by_trial(engine) && device.vendor == Vendor::Nvidia {
        let (size, layer) = (&calibration.graphs_trial_size, &calibration.graphs_trial_layer);
        let figure = sized(size, layer, model, engine, "engine_trial_capture");
        // Between 0.25, which takes nothing off for this runner, and 0.33 it is not known since when it does.
        return if engine.version.from_minor(33) {
            figure
        } else {
            let (value, high) = (figure.value / 2, figure.high);
            Figure { value, ..figure }.within(0, high, Confidence::Assumed)
        };
    }
    if !estimates_graphs(engine, device) {
        return Figure::exact(0, "not_budgeted", "this engine sets nothing aside for graphs");
    }
    // What the second of two graphs took, times the sizes: segments of the allocator decide it, not layers.
    let each = &calibration.graphs_v1_estimate;
    let sizes = engine.capture_sizes;
    let of = |bytes: u64| bytes.saturating_mul(sizes);
    let ranks = if engine.tensor_parallel_size > 1 { 2 } else { 1 };
    let formula = "captured sizes x measured bytes of each in the engine's estimate";
    let mut figure = Figure::exact(of(each.value), "engine_estimate", formula)
        .with(&[("captured_sizes", sizes), ("bytes_each", each.value)])
        .within(of(each.low), of(each.high).saturating_mul(ranks), Confidence::Assumed);
    // The engine counts at least 1 MiB for every graph but the first, once in pieces and once whole
    // (`v1/worker/gpu_model_runner.py`, `profile_cudagraph_memory`).
    let floor = engine.capture_sizes.saturating_sub(1) << 21;
    (figure.value, figure.low, figure.high) = (figure.value.max(floor), figure.low.max(floor), figure.high.max(floor));
    figure
}

/// Graphs under what changes their number or adds others: a drafter has its own, adapters are captured with and without,
/// ranks of one layer had 0.7 times as much as one on two H200, and a compilation that is told may capture next to none.
pub(crate) fn told(figure: Figure, args: &EngineArgs) -> Figure {
    const TOLD: [&str; 3] = ["--compilation-config", "--optimization-level", "--performance-mode"];
    let others = args.unmodelled.iter().any(|option| TOLD.iter().any(|name| option.starts_with(name)));
    let more = args.drafter.is_some() || args.lora.is_some();
    if figure.value == 0 || !(others || more || args.tensor_parallel_size > 1) {
        return figure;
    }
    let low = match (others, args.tensor_parallel_size > 1) {
        (true, _) => 0,
        (false, true) => figure.low / 10 * 6,
        (false, false) => figure.low,
    };
    let high = if more || others { figure.high.saturating_mul(2) } else { figure.high };
    figure.within(low, high, Confidence::Assumed)
}

/// Whether the second runner's graphs are captured once by trial and then for good, as in 0.33. Up to 0.28 that runner
/// estimates none (`v1/worker/gpu/model_runner.py`, `profile_cudagraph_memory`).
fn by_trial(engine: &Resolved) -> bool {
    engine.runner == Runner::V2 && engine.version.from_minor(29)
}

/// Graphs by their number and by layers: what each size takes, and what each layer adds to it.
fn sized(size: &Constant, layer: &Constant, model: &Architecture, engine: &Resolved, method: &'static str) -> Figure {
    let layers = (model.layers.len() as u64).div_ceil(engine.pipeline_parallel_size.max(1));
    let sizes = engine.capture_sizes;
    if sizes == 0 {
        return Figure::exact(0, "eager", "no graphs are captured");
    }
    let of = |of: fn(&Constant) -> u64| of(layer).saturating_mul(layers).saturating_add(of(size)).saturating_mul(sizes);
    // Recurrent layers hold what their kernels were captured with: a small hybrid had nearly twice as much.
    let more = if model.has_recurrence() || engine.tensor_parallel_size > 1 { 2 } else { 1 };
    let less = if model.has_experts() { of(|c| c.low) / 4 } else { 0 };
    // Few sizes or heads have less (0.44 with eight heads), a later stage of a pipeline more, than the two models that the
    // sizes were fitted to.
    let (least, most) = (of(|c| c.value) / 100 * 40, of(|c| c.value) / 100 * 150);
    let recorded = engine.version.is_recorded() && more == 1;
    Figure::exact(of(|c| c.value), method, "captured sizes x (bytes of a size + layers of a stage x bytes of a layer)")
        .with(&[("layers", layers), ("captured_sizes", sizes)])
        .within(
            of(|c| c.low).saturating_sub(less).min(least),
            of(|c| c.high).max(most).saturating_mul(more),
            if recorded { Confidence::Estimated } else { Confidence::Assumed },
        )
}

fn scaled(
    each: &Constant,
    model: &Architecture,
    engine: &Resolved,
    method: &'static str,
    formula: &'static str,
) -> Figure {
    let layers = (model.layers.len() as u64).div_ceil(engine.pipeline_parallel_size.max(1));
    let count = layers.saturating_mul(engine.capture_sizes);
    let times = |n: u64| n.saturating_mul(count);
    if count == 0 {
        return Figure::exact(0, "eager", "no graphs are captured");
    }
    // Collectives take memory while they are captured: two ranks had 1.68 times as much on two H100 (docs/profile.md).
    let (high, confidence) = match engine.tensor_parallel_size {
        0 | 1 => (times(each.high), Confidence::Estimated),
        _ => (times(each.high.max(each.value.saturating_mul(2))), Confidence::Assumed),
    };
    Figure::exact(times(each.value), method, formula)
        .with(&[("layers", layers), ("captured_sizes", engine.capture_sizes), ("bytes_each", each.value)])
        .within(times(each.low), high, confidence)
}

/// Growth outside the framework's allocator while the engine profiles.
pub(crate) fn non_torch(engine: &Resolved, device: &GpuModel, calibration: &Calibration) -> Figure {
    // Recorded on Hopper with 0.25 and 0.33; elsewhere the same figure stands with a wide interval.
    let recorded = device.is_hopper() && engine.version.is_recorded();
    let staged = engine.pipeline_parallel_size > 1 && engine.tensor_parallel_size == 1;
    let base = match (engine.version.counts_consumed(), recorded) {
        (true, _) => &calibration.non_torch_consumed,
        (false, true) if staged => &calibration.non_torch_pipeline,
        (false, true) => &calibration.non_torch,
        (false, false) => &calibration.non_torch_other,
    };
    let mut parts = vec![base];
    if estimates_graphs(engine, device) {
        parts.push(&calibration.non_torch_graphs);
    }
    if engine.tensor_parallel_size > 1 {
        parts.push(&calibration.non_torch_ranks);
    }
    let sum = |of: fn(&Constant) -> u64| parts.iter().map(|part| of(part)).fold(0_u64, u64::saturating_add);
    let confidence = if recorded { Confidence::Estimated } else { Confidence::Assumed };
    Figure::exact(
        sum(|c| c.value),
        "measured_growth",
        "kernels, handles and communicators outside the framework's allocator",
    )
    .with(&[("ranks", engine.tensor_parallel_size)])
    .within(sum(|c| c.low), sum(|c| c.high), confidence)
}

/// What the process holds before the engine takes its first snapshot.
pub(crate) fn context(calibration: &Calibration) -> Figure {
    let constant = &calibration.context;
    Figure::exact(constant.value, "measured_context", "the driver's context before the engine's first snapshot").within(
        constant.low,
        constant.high,
        Confidence::Assumed,
    )
}
