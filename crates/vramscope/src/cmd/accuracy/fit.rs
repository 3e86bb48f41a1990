//! Sizes that no formula gives, from recordings.

use vramscope_core::upper_median;
use vramscope_estimate::{Calibration, Constant, EngineVersion, Runner, Setting, budget, find_device};

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
    let growth: Vec<u64> = runs.iter().filter(|run| !profiled(run)).filter_map(|run| run.truth.non_torch).collect();
    if let Some(value) = upper_median(&mut growth.clone()) {
        table.non_torch = spread(&growth, value, 0, &table.non_torch);
        table.non_torch_other.value = value.clamp(table.non_torch_other.low, table.non_torch_other.high);
    }
    let base_growth = table.non_torch.value;
    let more = runs.iter().filter(profiled).filter_map(|run| run.truth.non_torch?.checked_sub(base_growth));
    let more: Vec<u64> = more.collect();
    if let Some(value) = upper_median(&mut more.clone()) {
        let (low, high) = (0, table.non_torch_graphs.high.max(2 * value));
        table.non_torch_graphs = Constant { value, low, high, ..table.non_torch_graphs };
    }
    graphs(runs, &mut table);
    table
}

/// Graphs, per layer and size, and the first runner's estimate of them, per size. A runner without recordings takes the
/// other's, widened.
fn graphs(runs: &[&Recording], table: &mut Calibration) {
    type Count = fn(&Recording) -> Option<(Runner, u64)>;
    let of = |runner: Runner, count: Count, figure: fn(&Recording) -> Option<u64>| -> Vec<u64> {
        let units = runs.iter().filter_map(|run| {
            let (own, count) = count(run)?;
            (own == runner && count > 0).then(|| Some(figure(run)? / count)).flatten()
        });
        units.filter(|unit| *unit > 0).collect()
    };
    let second = of(Runner::V2, layers_and_sizes, |run| run.truth.graphs);
    let first = of(Runner::V1, layers_and_sizes, |run| run.truth.graphs);
    let estimate = of(Runner::V1, sizes, |run| run.truth.graphs_budgeted);
    if let Some(value) = upper_median(&mut second.clone()) {
        table.graphs_v2 = spread(&second, value, value / 100 * BEYOND, &table.graphs_v2);
    }
    let other = table.graphs_v2.clone();
    table.graphs_v1 = lone_or(&first, &table.graphs_v1, &other);
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

/// The runner and layers x captured sizes.
fn layers_and_sizes(run: &Recording) -> Option<(Runner, u64)> {
    let (runner, sizes) = sizes(run)?;
    Some((runner, run.architecture.layers.len() as u64 * sizes))
}

/// The runner and captured sizes.
fn sizes(run: &Recording) -> Option<(Runner, u64)> {
    let device = find_device("h200")?;
    let found = budget(&run.architecture, &run.args, Setting::alone(device)).ok()?;
    let recorded = run.args.version >= EngineVersion::new(0, 21, 0);
    recorded.then_some((found.engine.runner, found.engine.capture_sizes))
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
    fn without_recordings_the_first_runners_graphs_are_anything_up_to_the_second_ones() {
        let table = fitted(&[], Calibration::embedded());
        assert_eq!((table.graphs_v1.low, table.graphs_v1.high), (0, table.graphs_v2.high));
        assert_eq!(table.graphs_v1.value, table.graphs_v2.high / 2);
        assert_eq!(table.non_torch, Calibration::embedded().non_torch);
    }
}
