//! The table of runs.

use super::{AXES, Runs, STATES};
use crate::cell::{Cell, Tone};
use crate::node::Node;
use crate::page::{Block, Table};
use crate::pages::figure::brief;
use crate::pages::named::{unit, words as title};
use crate::unit::Unit;

/// Settings that have a column; those of the axes come first. Each further one makes all rows longer.
const MOST_SETTINGS: usize = 8;
/// The fastest have a table of their own where there are more runs than these.
const MANY: usize = 30;
const FASTEST: usize = 10;
/// The figures that have a column.
const FIGURES: [&str; 12] = [
    "tokens_per_second",
    "mean_latency_ms",
    "requests_per_second",
    "time_to_first_token_median_ms",
    "time_to_first_token_p99_ms",
    "time_per_output_token_median_ms",
    "end_to_end_p99_ms",
    "failed_requests",
    "peak_bytes",
    "model_weights_bytes",
    "kv_cache_bytes",
    "kv_cache_tokens",
];

/// The settings in which runs differ and that have a column.
fn shown<'d>(runs: &Runs<'d>) -> Vec<&'d str> {
    let mut all = runs.varying.clone();
    // What follows from the model is said by its name.
    all.retain(|name| *name != "num_parameters");
    all.sort_by_key(|name| AXES.iter().position(|(axis, _)| axis == name).unwrap_or(AXES.len()));
    let model = all.iter().position(|name| *name == "model").map(|place| all.remove(place));
    all.truncate(MOST_SETTINGS);
    model.into_iter().chain(all).collect()
}

fn state(run: &Node<'_>) -> Cell {
    let Some(state) = Runs::state(run) else { return Cell::absent() };
    let words = STATES.iter().find(|(its, _)| *its == state).map_or(state, |(_, words)| words);
    let words = if state == "unfit" { "does not fit" } else { words };
    Cell::text(words).tone(match state {
        "failed" => Tone::Bad,
        "interrupted" | "unfit" | "partial" => Tone::Warning,
        "running" | "pending" => Tone::Faint,
        _ => Tone::Plain,
    })
}

fn with_rows<'a, 'd: 'a>(runs: &Runs<'d>, caption: &str, rows: impl Iterator<Item = &'a Node<'d>>) -> Table {
    // What tells runs apart and what came of it stand first; the other settings behind it.
    let axis = |name: &&str| AXES.iter().any(|(axis, _)| axis == name);
    let (first, rest): (Vec<&str>, Vec<&str>) =
        shown(runs).into_iter().partition(|name| *name == "model" || axis(name));
    let head = |name: &&str| format!("{}{}", if axis(name) { "#" } else { "" }, name.replace('_', " "));
    let mut heads = vec!["run".to_owned(), "state".to_owned(), "#attempts".to_owned()];
    heads.extend(first.iter().map(head));
    heads.extend(FIGURES.iter().map(|name| format!("#{}", title(name))));
    heads.extend(rest.iter().map(head));
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let mut table = Table::new(caption, &heads);
    for run in rows {
        let mut row = vec![Cell::text(runs.name(run)), state(run)];
        row.push(run.path("campaign/attempts").figure(crate::unit::Unit::Count));
        let setting = |name: &&str| {
            run.at("settings").at(name).words().map_or_else(Cell::absent, |words| Cell::text(brief(&words)))
        };
        row.extend(first.iter().map(setting));
        row.extend(FIGURES.iter().map(|name| run.at("figures").at(name).figure(unit(name).unwrap_or(Unit::Plain))));
        row.extend(rest.iter().map(setting));
        table.row(row);
    }
    table.without_empty_columns()
}

pub(super) fn table(runs: &Runs<'_>) -> Table {
    // Rows beyond the bound are counted, and need no cells.
    with_rows(
        runs,
        "Every run with the settings in which runs differ; memory is that of all GPUs together",
        runs.all.iter(),
    )
}

/// The fastest of many.
pub(super) fn fastest(runs: &Runs<'_>) -> Option<Table> {
    if runs.all.len() <= MANY {
        return None;
    }
    let mut known: Vec<(f64, &Node<'_>)> =
        runs.all.iter().filter_map(|run| Some((Runs::figure(run, "tokens_per_second")?, run))).collect();
    known.sort_by(|a, b| b.0.total_cmp(&a.0));
    known.truncate(FASTEST);
    let rows = known.iter().map(|(_, run)| *run);
    (!known.is_empty()).then(|| with_rows(runs, "The runs with the most tokens per second", rows))
}

/// What all runs have in common.
pub(super) fn common(runs: &Runs<'_>) -> Option<Block> {
    let first = runs.all.first()?;
    let mut table = Table::new("Settings that all runs have in common", &["setting", "value"]);
    for (name, value) in first.at("settings").members() {
        if !runs.varying.contains(&name) {
            table.row([Cell::text(name.replace('_', " ")), value.cell()]);
        }
    }
    let title = "What all runs have in common".to_owned();
    (!table.rows.is_empty()).then(|| Block::Folded { title, blocks: vec![Block::Table(table)] })
}
