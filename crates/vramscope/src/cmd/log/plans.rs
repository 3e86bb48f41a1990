//! Which figures of plans a reader is shown: those of the plan that holds, and not what stands by place already.

use vramscope_core::EngineKind;
use vramscope_log::{EngineReport, Figure, Key};

/// Whether a figure is one to show beside the memory by place.
pub(super) fn holds(figure: &Figure, engine: &EngineReport) -> bool {
    let of_line = |key: Key| engine.figures.iter().filter(move |f| f.key == key && f.origin.line == figure.origin.line);
    // A row of a table: its parts stand by place where it is of the plan that was kept, and count for nothing where not.
    let of_table = || of_line(Key::PlannedTotal).any(|total| total.place.is_some());
    let is_kept = || {
        let mut planned = engine.facts.buffers.iter().filter(|buffer| buffer.planned);
        planned.any(|buffer| buffer.amount.origin.line == figure.origin.line)
    };
    // Whether only a part of the layers is on devices by the plan of that line.
    let in_part = || {
        let count = |key: Key| of_line(key).find_map(Figure::count);
        count(Key::LayersOnDevice).zip(count(Key::Layers)).is_some_and(|(on_device, all)| on_device < all)
    };
    match figure.key {
        // Nothing was allocated yet: what is left over is the plan itself, below zero.
        Key::Unaccounted => !of_table(),
        Key::PlannedTotal if of_table() => is_kept(),
        Key::PlannedWeights | Key::PlannedCompute if of_table() => false,
        // What the first trial came to, where a table of the plan that was kept says what that takes.
        Key::PlannedTotal if engine.facts.engine == Some(EngineKind::LlamaCpp) => {
            !engine.facts.buffers.iter().any(|buffer| buffer.planned)
        }
        Key::PlannedCompute => is_last(figure, engine) && !in_part(),
        Key::PlannedComputePartial => is_last(figure, engine) && in_part(),
        Key::PlannedTotal | Key::PlannedWeights | Key::PlannedKv => is_last(figure, engine),
        _ => true,
    }
}

/// Whether a figure of a plan is the last of its kind and place: a plan that is made anew replaces the one before.
fn is_last(figure: &Figure, engine: &EngineReport) -> bool {
    let mut later = engine.figures.iter().filter(|f| f.key == figure.key && f.place == figure.place);
    !later.any(|f| f.origin.line > figure.origin.line)
}
