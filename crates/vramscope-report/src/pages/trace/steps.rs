//! Steps of the engine: how long each took, and which took unusually long.

use super::time::name_cell;
use crate::cell::{Cell, Tone};
use crate::node::Node;
use crate::page::{Block, Picture, Section, Table};
use crate::svg::{Plot, Series, Shape};
use crate::unit::Unit;

/// What steps compute, with its colour.
const KINDS: &[(&str, usize)] = &[("prefill", 1), ("decode", 3), ("mixed", 4), ("empty", 0), ("unknown", 8)];

/// Points of one kind at most. Of more, the shortest and longest of each group are shown, so that none of them is lost.
const MOST_POINTS: usize = 400;
/// A step of more than so many times the median of its kind stands out.
const STANDS_OUT: f64 = 2.0;

/// The colour of what a step computes.
pub(super) fn colour(kind: &str) -> usize {
    KINDS.iter().find(|(name, _)| *name == kind).map_or(0, |(_, colour)| *colour)
}

pub(super) fn section(root: &Node<'_>) -> Option<Section> {
    let steps = root.at("steps");
    steps.at("count").count().filter(|count| *count > 0)?;
    let list = steps.at("list").items();
    let mut blocks = vec![Block::Text(source(&steps))];
    blocks.extend(picture(&steps, &list).map(Block::Picture));
    blocks.push(Block::Table(kinds(&steps)));
    blocks.extend(outliers(&steps, &list));
    blocks.extend(all(&steps));
    Some(Section::new("Steps", blocks))
}

fn source(steps: &Node<'_>) -> String {
    let told = match steps.at("source").text() {
        Some("engine_annotation") => "the engine marked them",
        Some("profiler_step") => "the profiler marked them",
        Some("gpu_annotation") => "marks on the GPU's side tell them",
        Some("detected") => "they are detected: a kernel of the model after sampling begins one",
        _ => "the trace does not say how they were told apart",
    };
    let count = steps.at("count").figure(Unit::Count).text;
    format!("{count} {}: {told}.", if count == "1" { "step" } else { "steps" })
}

/// The time of a step: its GPU work where it has some, else its mark.
fn length(step: &Node<'_>) -> Option<f64> {
    step.at("gpu_span_ns").number().or_else(|| step.at("cpu_ns").number())
}

fn picture(steps: &Node<'_>, list: &[Node<'_>]) -> Option<Picture> {
    if list.len() < 2 {
        return None;
    }
    let mut series = Vec::new();
    for (kind, colour) in KINDS {
        #[expect(clippy::cast_precision_loss, reason = "a number of steps")]
        let point = |(place, step): (usize, &Node<'_>)| Some((place as f64 + 1.0, length(step)? / 1e6));
        let of_kind = |(_, step): &(usize, &Node<'_>)| step.at("kind").text() == Some(kind);
        let points: Vec<(f64, f64)> = list.iter().enumerate().filter(of_kind).filter_map(point).collect();
        if !points.is_empty() {
            let points = thinned(points);
            series.push(Series {
                name: (*kind).to_owned(),
                points,
                spread: Vec::new(),
                shape: Shape::Points,
                colour: *colour,
            });
        }
    }
    let longest = list.iter().enumerate().filter_map(|(place, step)| Some((place, step, length(step)?)));
    let (place, step, ns) = longest.max_by(|a, b| a.2.total_cmp(&b.2))?;
    let medians: Vec<String> = (steps.at("kinds").items().iter())
        .filter_map(|kind| Some(format!("{} {}", kind.at("kind").text()?, Unit::Time.show(median(kind)?))))
        .collect();
    let words = format!(
        "Medians: {}. The longest is step {} ({}) with {}.",
        medians.join(", "),
        place + 1,
        step.at("kind").text().unwrap_or("unknown"),
        Unit::Time.show(ns)
    );
    let lengths = || list.iter().filter_map(length).filter(|ns| *ns > 0.0);
    let wide = lengths().fold(0.0, f64::max) > 100.0 * lengths().fold(f64::INFINITY, f64::min);
    let sparks = vec![("each step".to_owned(), list.iter().map(|step| length(step).unwrap_or(f64::NAN)).collect())];
    let plot = Plot { x: "step".to_owned(), y: "ms".to_owned(), log_y: wide, series, ..Plot::default() };
    Some(Picture { title: "Time of each step".to_owned(), words, svg: plot.draw(), table: None, sparks })
}

/// Of each group of points the lowest and the highest.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    if points.len() <= MOST_POINTS {
        return points;
    }
    let size = (points.len() * 2).div_ceil(MOST_POINTS);
    let ends = |group: &[(f64, f64)]| {
        let by = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        [group.iter().min_by(by).copied(), group.iter().max_by(by).copied()]
    };
    let mut kept: Vec<(f64, f64)> = points.chunks(size).flat_map(ends).flatten().collect();
    kept.dedup();
    kept
}

fn median(kind: &Node<'_>) -> Option<f64> {
    kind.at("gpu_span_p50_ns").number().or_else(|| kind.at("cpu_p50_ns").number())
}

fn kinds(steps: &Node<'_>) -> Table {
    let mut table = Table::new(
        "Steps by what they compute. GPU: from a step's first to its last operation. Busy: summed over devices",
        &[
            "kind",
            "#steps",
            "#with GPU work",
            "#on the CPU, median",
            "#GPU, median",
            "#busy, median",
            "#busy, 95th percentile",
            "#busy, all",
            "#kernels",
        ],
    );
    for kind in steps.at("kinds").items().iter().take(20) {
        let mut row = vec![name_cell(&kind.at("kind"))];
        row.extend(["count", "with_gpu"].map(|key| kind.at(key).figure(Unit::Count)));
        let times = ["cpu_p50_ns", "gpu_span_p50_ns", "gpu_busy_p50_ns", "gpu_busy_p95_ns", "gpu_busy_ns"];
        row.extend(times.map(|key| kind.at(key).figure(Unit::Time)));
        row.push(kind.at("kernels").figure(Unit::Count));
        table.row(row);
    }
    table.without_empty_columns()
}

const HEADS: &[&str] =
    &["#step", "kind", "#prompt tokens", "#generated tokens", "#on the CPU", "#GPU", "#busy", "#kernels", "mark"];

fn row(place: usize, step: &Node<'_>) -> Vec<Cell> {
    let mut row = vec![Cell::text((place + 1).to_string()), name_cell(&step.at("kind"))];
    row.extend(["context_tokens", "generation_tokens"].map(|key| step.at(key).figure(Unit::Count)));
    row.extend(["cpu_ns", "gpu_span_ns", "gpu_busy_ns"].map(|key| step.at(key).figure(Unit::Time)));
    row.push(step.at("kernels").figure(Unit::Count));
    row.push(name_cell(&step.at("name")));
    row
}

/// Steps that took much longer than others of their kind.
fn outliers(steps: &Node<'_>, list: &[Node<'_>]) -> Option<Block> {
    let kinds = steps.at("kinds").items();
    let limit = |step: &Node<'_>| {
        let kind = kinds.iter().find(|kind| kind.at("kind").text() == step.at("kind").text())?;
        median(kind).map(|median| median * STANDS_OUT)
    };
    let mut long: Vec<(usize, f64)> = (list.iter().enumerate())
        .filter_map(|(place, step)| {
            Some((place, length(step)?)).filter(|(_, ns)| limit(step).is_some_and(|limit| *ns > limit))
        })
        .collect();
    if list.len() < 3 {
        return None;
    }
    if long.is_empty() {
        return Some(Block::Text("No step took more than twice the median of its kind.".to_owned()));
    }
    long.sort_by(|a, b| b.1.total_cmp(&a.1));
    let caption = format!("Steps that took more than twice the median of their kind: {}", long.len());
    let mut table = Table::new(caption, HEADS);
    for (place, _) in long.iter().take(20) {
        let mut cells = row(*place, &list[*place]);
        let time = if cells[5].is_absent() { 4 } else { 5 };
        cells[time].tone = Tone::Warning;
        table.row(cells);
    }
    Some(Block::Table(table.without_empty_columns()))
}

fn all(steps: &Node<'_>) -> Option<Block> {
    let (list, rest) = super::first(&steps.at("list"), super::MOST_ROWS, steps.at("count").count());
    let mut table = Table::new("Steps in order of time", HEADS);
    list.iter().enumerate().for_each(|(place, step)| table.row(row(place, step)));
    (!table.rows.is_empty()).then(|| super::folded("Each step", table, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_peak_is_lost(values in prop::collection::vec(0u32..100_000, 0..3000)) {
            let points: Vec<(f64, f64)> = values.iter().map(|value| (f64::from(*value), f64::from(*value))).collect();
            let kept = thinned(points.clone());
            prop_assert!(kept.len() <= MOST_POINTS + 2);
            let highest = |points: &[(f64, f64)]| points.iter().map(|point| point.1).fold(0.0, f64::max);
            prop_assert!((highest(&kept) - highest(&points)).abs() < 1e-9);
        }
    }
}
