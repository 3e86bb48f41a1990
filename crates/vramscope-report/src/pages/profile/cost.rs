//! What a run cost: in time, in energy, phase by phase.

use crate::cell::Cell;
use crate::node::Node;
use crate::page::{Block, Picture, Section, Table};
use crate::pages::named::{self, MOST_ROWS};
use crate::pages::run::Run;
use crate::svg::{Plot, Series, Shape};
use crate::unit::Unit;

/// Fewer iterations have no distribution.
const FEWEST: usize = 5;

/// More points than a picture has places for them.
const MOST_POINTS: usize = 1000;

pub(super) fn section(run: &Run<'_>) -> Option<Section> {
    let mut blocks = Vec::new();
    let figures = headline(run);
    if !figures.is_empty() {
        blocks.push(Block::Headline(figures));
    }
    blocks.extend(iterations(run));
    blocks.extend(served(run));
    let metrics =
        named::table("The engine's own metrics over the measured requests", &[run.root.at("engine_metrics")], &[]);
    blocks.extend(metrics.map(Block::Table));
    blocks.extend(readings(run).map(Block::Table));
    (!blocks.is_empty()).then(|| Section::new("What it cost in time and energy", blocks))
}

fn headline(run: &Run<'_>) -> Vec<(String, Cell)> {
    let at = |path: &str, unit: Unit| run.root.path(path).figure(unit);
    let figures = [
        ("Output tokens each second", at("latency_stats/tokens_per_second", Unit::Plain)),
        ("Requests each second", at("latency_stats/requests_per_second", Unit::Plain)),
        ("An iteration takes (median)", at("latency_stats/median_latency_ms", Unit::Milliseconds)),
        ("First token after (median)", at("served_stats/time_to_first_token/median_ms", Unit::Milliseconds)),
        ("Each token after (median)", at("served_stats/time_per_output_token/median_ms", Unit::Milliseconds)),
        ("Energy of the recording", at("memory_timeline/extended/energy/total_j", Unit::Joules)),
        ("The run took", at("metadata/duration_s", Unit::Seconds)),
    ];
    figures.into_iter().filter(|(_, cell)| !cell.is_absent()).map(|(name, cell)| (name.to_owned(), cell)).collect()
}

/// How long an iteration takes.
fn iterations(run: &Run<'_>) -> Vec<Block> {
    let stats = run.root.at("latency_stats");
    let mut table = Table::new(
        "The time of an iteration: all requests of a batch, from the first token asked to the last one given",
        &["figure", "#value"],
    );
    let mut row = |name: &str, cell: Cell| {
        if !cell.is_absent() {
            table.row([Cell::text(name), cell]);
        }
    };
    row("measured iterations", stats.at("num_iterations").figure(Unit::Count));
    for name in ["min", "mean", "median", "max", "stddev"] {
        row(name, stats.at(&format!("{name}_latency_ms")).figure(Unit::Milliseconds));
    }
    for one in stats.at("percentiles").items().iter().take(MOST_ROWS) {
        let name = one.at("percentile").words().unwrap_or_default();
        row(&format!("percentile {name}"), one.at("latency_ms").figure(Unit::Milliseconds));
    }
    let mut blocks = Vec::new();
    blocks.extend(distribution(&stats).map(Block::Picture));
    if !table.rows.is_empty() {
        blocks.push(Block::Table(table));
    }
    blocks
}

/// Which share of the iterations took no longer than a time. Iterations are much alike: their times are drawn by how far
/// they are off the median.
fn distribution(stats: &Node<'_>) -> Option<Picture> {
    let iterations = stats.at("iterations_ms").items();
    let mut times: Vec<f64> = iterations.iter().filter_map(Node::number).collect();
    if times.len() < FEWEST {
        return None;
    }
    let in_order = times.clone();
    times.sort_by(f64::total_cmp);
    let (count, step) = (times.len(), times.len().div_ceil(MOST_POINTS));
    let median = stats.at("median_latency_ms").number().unwrap_or(times[(count - 1) / 2]);
    if median <= 0.0 {
        return None;
    }
    let off = |time: f64| (time / median - 1.0) * 100.0;
    #[expect(clippy::cast_precision_loss, reason = "a count of iterations")]
    let share = |place: usize| (place + 1) as f64 / count as f64 * 100.0;
    let mut points: Vec<(f64, f64)> = vec![(off(times[0]), 0.0)];
    let kept = times.iter().enumerate().filter(|(place, _)| place % step == 0 || place + 1 == count);
    points.extend(kept.map(|(place, time)| (off(*time), share(place))));
    let series = Series { name: "iterations".to_owned(), points, spread: Vec::new(), shape: Shape::Step, colour: 1 };
    let plot = Plot {
        x: format!("% off the median of {}", Unit::Milliseconds.show(median)),
        y: "% of iterations that took no longer".to_owned(),
        series: vec![series],
        ..Plot::default()
    };
    let mut table = Table::new("Each measured iteration, in order", &["#iteration", "#time"]);
    for (place, one) in iterations.iter().enumerate().take(MOST_ROWS + 1) {
        table.row([Cell::text((place + 1).to_string()), one.figure(Unit::Milliseconds)]);
    }
    if count > MOST_ROWS {
        table = table.at_most(MOST_ROWS);
        table.caption = format!("The first {MOST_ROWS} of {count} measured iterations; all are in the document");
    }
    let words = format!(
        "{count} iterations took between {} and {}, half of them no longer than {}.",
        Unit::Milliseconds.show(times[0]),
        Unit::Milliseconds.show(times[count - 1]),
        Unit::Milliseconds.show(median)
    );
    Some(Picture {
        title: "How iterations are spread".to_owned(),
        words,
        svg: plot.draw(),
        table: Some(table),
        sparks: vec![("iterations in order".to_owned(), in_order)],
    })
}

/// What requests to a served engine cost, as their sender saw it.
fn served(run: &Run<'_>) -> Vec<Block> {
    const TIMES: &[(&str, &str)] = &[
        ("time_to_first_token", "time to the first token"),
        ("time_per_output_token", "time per output token"),
        ("inter_token_latency", "between two chunks"),
        ("end_to_end", "the whole request"),
        ("client_queue_time", "the sender was late by"),
    ];
    let stats = run.root.at("served_stats");
    let heads = ["time", "#mean", "#median", "#p95", "#p99", "#deviation"];
    let mut table = Table::new("Requests as their sender saw them", &heads);
    for (key, name) in TIMES {
        let time = stats.at(key);
        if time.is_there() {
            let figures = ["mean_ms", "median_ms", "p95_ms", "p99_ms", "stddev_ms"];
            let cells = figures.map(|figure| time.at(figure).figure(Unit::Milliseconds));
            table.row([Cell::text(*name)].into_iter().chain(cells));
        }
    }
    let mut blocks = Vec::new();
    if !table.rows.is_empty() {
        blocks.push(Block::Table(table.without_empty_columns()));
    }
    blocks.extend(named::table("Requests sent and answered", std::slice::from_ref(&stats), &[]).map(Block::Table));
    blocks.extend(named::table("Why requests failed", &[stats.at("failures")], &[]).map(Block::Table));
    blocks
}

/// Power, temperature, utilisation and clocks.
fn readings(run: &Run<'_>) -> Option<Table> {
    const ROWS: &[(&str, &str, &str, Unit)] = &[
        ("power", "power of one GPU", "w", Unit::Watts),
        ("temperature", "core temperature", "c", Unit::Celsius),
        ("memory_temperature", "memory temperature", "c", Unit::Celsius),
        ("utilization", "time with a kernel running", "pct", Unit::Percent),
        ("memory_utilization", "time with memory traffic", "pct", Unit::Percent),
        ("sm_clock", "shader clock", "mhz", Unit::Megahertz),
        ("memory_clock", "memory clock", "mhz", Unit::Megahertz),
    ];
    let extended = run.root.path("memory_timeline/extended");
    let mut table = Table::new("Readings over the whole recording", &["reading", "#least", "#mean", "#p95", "#most"]);
    for (key, name, end, unit) in ROWS {
        let range = extended.at(key);
        if range.is_there() {
            let cells = ["min", "mean", "p95", "max"].map(|figure| range.at(&format!("{figure}_{end}")).figure(*unit));
            table.row([Cell::text(*name)].into_iter().chain(cells));
        }
    }
    (!table.rows.is_empty()).then(|| table.without_empty_columns())
}
