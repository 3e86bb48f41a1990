//! Sizes that no formula gives, from recordings.

use vramscope_core::upper_median;
use vramscope_estimate::{Budget, Calibration, Constant, EngineVersion, Runner, Setting, budget, find_device};

use super::recordings::Recording;

/// How much further than the recordings' own spread other models are expected, in per cent of the value.
const BEYOND: u64 = 15;
/// How far a size from a single recording may be off, as a factor up and down.
const LONE_FACTOR: u64 = 2;

/// The table with its fitted rows taken from these recordings; a row that they say nothing of is widened.
pub(super) fn fitted(runs: &[&Recording], base: &Calibration) -> Calibration {
    let mut table = base.clone();
    let context: Vec<u64> = runs.iter().filter_map(|run| run.truth.context).collect();
    if let Some(value) = upper_median(&mut context.clone()) {
        table.context.value = value.clamp(table.context.low, table.context.high);
    }
    let profiled = |run: &&&Recording| run.truth.graphs_budgeted.is_some_and(|bytes| bytes > 0);
    let (counting, runs_before): (Vec<&Recording>, Vec<&Recording>) =
        runs.iter().partition(|run| run.args.version.counts_consumed());
    let consumed: Vec<u64> = counting.iter().filter_map(|run| run.truth.non_torch).collect();
    if let Some(value) = upper_median(&mut consumed.clone()) {
        table.non_torch_consumed = spread(&consumed, value, 0, &table.non_torch_consumed);
    }
    let growth: Vec<u64> =
        runs_before.iter().filter(|run| !profiled(run)).filter_map(|run| run.truth.non_torch).collect();
    if let Some(value) = upper_median(&mut growth.clone()) {
        table.non_torch = spread(&growth, value, 0, &table.non_torch);
        table.non_torch_other.value = value.clamp(table.non_torch_other.low, table.non_torch_other.high);
    }
    let base_growth = table.non_torch.value;
    let more = runs_before.iter().filter(profiled).filter_map(|run| run.truth.non_torch?.checked_sub(base_growth));
    let more: Vec<u64> = more.collect();
    if let Some(value) = upper_median(&mut more.clone()) {
        let (low, high) = (0, table.non_torch_graphs.high.max(2 * value));
        table.non_torch_graphs = Constant { value, low, high, ..table.non_torch_graphs };
    }
    graphs(runs, &mut table);
    table
}

/// What the driver keeps of graphs, and the first runner's estimate of them, per size.
fn graphs(runs: &[&Recording], table: &mut Calibration) {
    type Field = fn(&mut Calibration) -> &mut Constant;
    // The constant with which a run's graphs come out as they were; nothing where the figure does not depend on it.
    let solved = |table: &Calibration, field: Field, run: &Recording| -> Option<u64> {
        const STEP: u64 = 1 << 10;
        let with = |more: u64| -> Option<i128> {
            let mut table = table.clone();
            field(&mut table).value += more;
            Some(i128::from(predicted(run, &table)?.cuda_graphs.value))
        };
        let (base, slope) = (with(0)?, with(STEP)? - with(0)?);
        let off = i128::from(run.truth.graphs.filter(|bytes| *bytes > 0)?) - base;
        let own = i128::from(field(&mut table.clone()).value);
        (slope > 0).then(|| u64::try_from(own + off * i128::from(STEP) / slope).ok()).flatten()
    };
    // Where pieces were captured by trial before, layers alone are left; so they come first.
    let layer: Field = |table| &mut table.graph_layer;
    let piece: Field = |table| &mut table.graph_piece;
    for (field, on_trial) in [(layer, true), (piece, false)] {
        let of_kind = runs.iter().filter(|run| run.args.version.counts_consumed() == on_trial);
        let units: Vec<u64> = of_kind.filter_map(|run| solved(table, field, run)).collect();
        if let Some(value) = upper_median(&mut units.clone()) {
            let row = field(table).clone();
            let beyond = value / 100 * BEYOND;
            *field(table) = Constant { value, low: value - beyond, high: value + beyond, ..row };
        }
    }
    let estimate: Vec<u64> = runs.iter().filter_map(|run| estimate_of_a_size(run, table)).collect();
    let unseen = table.graphs_v1_estimate.clone();
    table.graphs_v1_estimate = lone_or(&estimate, &unseen, &unseen);
}

/// A size from few recordings: a factor up and down. Without any, all that is known is that it lies between the engine's
/// floor of 1 MiB a graph, which is next to nothing for one layer, and what the other runner takes: the middle of that.
fn lone_or(units: &[u64], row: &Constant, other: &Constant) -> Constant {
    match upper_median(&mut units.to_vec()) {
        Some(value) => {
            Constant { value, low: value / LONE_FACTOR, high: value * LONE_FACTOR, source: row.source.clone() }
        }
        None => Constant { value: other.high / 2, low: 0, high: other.high, source: row.source.clone() },
    }
}

fn predicted(run: &Recording, table: &Calibration) -> Option<Budget> {
    let device = find_device("h200")?;
    budget(&run.architecture, &run.args, Setting { calibration: table, ..Setting::alone(device) }).ok()
}

/// The first runner's estimate over its sizes.
fn estimate_of_a_size(run: &Recording, table: &Calibration) -> Option<u64> {
    let engine = predicted(run, table)?.engine;
    let recorded = run.args.version >= EngineVersion::new(0, 21, 0) && engine.runner == Runner::V1;
    let bytes = run.truth.graphs_budgeted.filter(|bytes| *bytes > 0)?;
    recorded.then(|| bytes.checked_div(engine.capture_sizes)).flatten()
}

fn spread(units: &[u64], value: u64, beyond: u64, row: &Constant) -> Constant {
    let (least, most) = (units.iter().min().copied(), units.iter().max().copied());
    Constant {
        value,
        low: least.unwrap_or(value).min(value.saturating_sub(beyond)),
        high: most.unwrap_or(value).max(value + beyond),
        source: row.source.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_recordings_the_first_runners_estimate_is_anything_up_to_the_most_that_was_seen() {
        let (table, base) = (fitted(&[], Calibration::embedded()), Calibration::embedded());
        assert_eq!((table.graphs_v1_estimate.low, table.graphs_v1_estimate.high), (0, base.graphs_v1_estimate.high));
        assert_eq!(table.graph_layer, base.graph_layer);
        assert_eq!(table.non_torch, base.non_torch);
    }
}
