//! What a rank holds outside the framework's allocator: measured sizes.

use vramscope_core::Confidence;

use crate::calibration::{Calibration, Constant};
use crate::device::GpuModel;
use crate::figure::Figure;
use crate::vllm::resolve::{Resolved, estimates_graphs};

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
    // One and two ranks were recorded. What communicators of more take is not known: up to eight, the ranks of one machine,
    // they are given as much again for every two.
    let ranks = engine.tensor_parallel_size.saturating_mul(engine.pipeline_parallel_size);
    let beyond = ranks.div_ceil(2).clamp(1, 4);
    let more = (beyond - 1).saturating_mul(calibration.non_torch_ranks.high);
    let confidence = if recorded && beyond == 1 { Confidence::Estimated } else { Confidence::Assumed };
    Figure::exact(
        sum(|c| c.value),
        if beyond == 1 { "measured_growth" } else { "growth_of_fewer_ranks" },
        "kernels, handles and communicators outside the framework's allocator",
    )
    .with(&[("ranks", ranks)])
    .within(sum(|c| c.low), sum(|c| c.high).saturating_add(more), confidence)
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
