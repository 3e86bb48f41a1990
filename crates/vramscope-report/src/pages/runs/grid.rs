//! Runs that differ in two settings, as a grid.

use std::collections::{BTreeMap, BTreeSet};

use super::{AXES, Runs};
use crate::cell::Cell;
use crate::node::Node;
use crate::page::{Block, Picture, Table};
use crate::pages::figure::{derived, float};
use crate::svg::{Heat, HeatCell};
use crate::unit::Unit;

/// More columns or rows than this have no room for their figures.
const MOST: usize = 24;
/// Settings that follow from an axis.
const FOLLOW: [&str; 1] = ["num_prompts"];
const FIGURES: [(&str, &str, Unit); 3] = [
    ("tokens_per_second", "Tokens per second", Unit::PerSecond),
    ("mean_latency_ms", "Mean latency", Unit::Milliseconds),
    ("peak_bytes", "Memory at the peak", Unit::Memory),
];

/// The measured runs by two values.
type Cells<'a, 'd> = BTreeMap<(u64, u64), Vec<&'a Node<'d>>>;

/// Grids of the two axes over which the most pairs of values were measured, all else equal.
pub(super) fn pictures(runs: &Runs<'_>) -> Vec<Block> {
    let mut best: Option<(usize, usize, Cells<'_, '_>, usize)> = None;
    for (x, (axis, _)) in AXES.iter().enumerate() {
        for (y, (other, _)) in AXES.iter().enumerate().skip(x + 1) {
            let groups = groups(runs, axis, other);
            let many = groups.iter().filter(|cells| is_grid(cells)).count();
            let largest = groups.into_iter().filter(is_grid).max_by_key(BTreeMap::len);
            if let Some(cells) = largest
                && best.as_ref().is_none_or(|(_, _, most, _)| cells.len() > most.len())
            {
                best = Some((x, y, cells, many));
            }
        }
    }
    let Some((x, y, cells, many)) = best else { return Vec::new() };
    let mut blocks: Vec<Block> =
        FIGURES.iter().filter_map(|figure| picture(&cells, AXES[x], AXES[y], *figure)).map(Block::Picture).collect();
    if many > 1 && !blocks.is_empty() {
        let left = many - 1;
        let words = format!(
            "These are the largest group of runs that are equal in all else; {left} other {} of such runs {} in the table.",
            if left == 1 { "group" } else { "groups" },
            if left == 1 { "is" } else { "are" }
        );
        blocks.push(Block::Text(words));
    }
    blocks
}

fn is_grid(cells: &Cells<'_, '_>) -> bool {
    let distinct = |of: fn(&(u64, u64)) -> u64| {
        let mut all: Vec<u64> = cells.keys().map(of).collect();
        all.sort_unstable();
        all.dedup();
        all.len()
    };
    distinct(|pair| pair.0) > 1 && distinct(|pair| pair.1) > 1 && cells.len() > 3
}

/// The measured runs that are equal in all but two settings, each group by the values of these.
fn groups<'a, 'd>(runs: &'a Runs<'d>, axis: &str, other: &str) -> Vec<Cells<'a, 'd>> {
    let rest: Vec<&str> =
        runs.varying.iter().copied().filter(|name| *name != axis && *name != other && !FOLLOW.contains(name)).collect();
    let mut groups: BTreeMap<Vec<Option<String>>, Cells<'a, 'd>> = BTreeMap::new();
    for run in runs.all.iter().filter(|run| Runs::is_measured(run)) {
        let settings = run.at("settings");
        let value = |name: &str| settings.at(name).words()?.parse::<u64>().ok();
        let (Some(x), Some(y)) = (value(axis), value(other)) else { continue };
        let key = rest.iter().map(|name| settings.at(name).words()).collect();
        groups.entry(key).or_default().entry((x, y)).or_default().push(run);
    }
    groups.into_values().collect()
}

/// At most so many values, spread over all of them with both ends.
fn spread_over(all: Vec<u64>) -> Vec<u64> {
    if all.len() <= MOST {
        return all;
    }
    (0..MOST).map(|place| all[place * (all.len() - 1) / (MOST - 1)]).collect()
}

fn picture(
    cells: &Cells<'_, '_>,
    (_, across): (&str, &str),
    (_, down): (&str, &str),
    (key, title, unit): (&str, &str, Unit),
) -> Option<Picture> {
    let distinct = |of: fn(&(u64, u64)) -> u64| {
        let mut all: Vec<u64> = cells.keys().map(of).collect();
        all.sort_unstable();
        all.dedup();
        spread_over(all)
    };
    let (xs, ys) = (distinct(|pair| pair.0), distinct(|pair| pair.1));
    let mean = |x: u64, y: u64| -> Option<f64> {
        let values: Vec<f64> = cells.get(&(x, y))?.iter().filter_map(|run| Runs::figure(run, key)).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / float(values.len()))
    };
    let known: Vec<(f64, u64, u64)> =
        ys.iter().flat_map(|y| xs.iter().map(|x| (*x, *y))).filter_map(|(x, y)| Some((mean(x, y)?, x, y))).collect();
    let least = known.iter().min_by(|a, b| a.0.total_cmp(&b.0))?;
    let most = known.iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
    if known.len() < 4 {
        return None;
    }
    // A grid of one figure shows nothing: the pictures of its axes say that it stays the same.
    if most.0 - least.0 <= most.0.abs() * 0.01 {
        return None;
    }
    let left = |all: fn(&(u64, u64)) -> u64, shown: &[u64], name: &str| {
        let all: BTreeSet<u64> = cells.keys().map(all).collect();
        let some = format!(" {} of {} values of {name} are shown.", shown.len(), all.len());
        if all.len() > shown.len() { some } else { String::new() }
    };
    let left = left(|pair| pair.0, &xs, across) + &left(|pair| pair.1, &ys, down);
    let words = format!(
        "{title} by {across} and {down}: from {} ({across} {}, {down} {}) to {} ({across} {}, {down} {}).{left}",
        unit.show(least.0),
        least.1,
        least.2,
        unit.show(most.0),
        most.1,
        most.2
    );
    let mut heads = vec![down.to_owned()];
    heads.extend(xs.iter().map(|x| format!("#{across} {x}")));
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let mut table = Table::new(format!("{title}; a mean where several runs are of one pair"), &heads);
    let mut grid = Heat {
        x: across.to_owned(),
        y: down.to_owned(),
        columns: xs.iter().map(ToString::to_string).collect(),
        rows: ys.iter().map(ToString::to_string).collect(),
        cells: Vec::new(),
    };
    for y in &ys {
        let shown = |x: &u64| match cells.get(&(*x, *y)).map(Vec::as_slice) {
            Some([one]) => one.at("figures").at(key).figure(unit),
            _ => derived(mean(*x, *y), unit),
        };
        table.row([Cell::text(y.to_string())].into_iter().chain(xs.iter().map(shown)));
        grid.cells
            .push(xs.iter().map(|x| mean(*x, *y).map(|value| HeatCell { value, text: unit.show(value) })).collect());
    }
    Some(Picture { title: title.to_owned(), words, svg: grid.draw(), table: Some(table), sparks: Vec::new() })
}
