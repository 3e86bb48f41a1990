//! Many runs for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anstyle::Style;
use vramscope_compare::{AXES, Point, Row, Series, Sweep};
use vramscope_core::Bytes;
use vramscope_schema::RunState;
use vramscope_schema::v3::RunStatus;

use crate::cmd::compare::{label, value};
use crate::table::{Align, Table, wrap};

/// Figures of the table, the most wanted first; what does not fit the terminal is left out from the end.
const COLUMNS: [(&str, &str); 8] = [
    ("peak_bytes", "peak GiB"),
    ("tokens_per_second", "tokens/s"),
    ("time_to_first_token_median_ms", "TTFT ms"),
    ("time_per_output_token_median_ms", "TPOT ms"),
    ("mean_latency_ms", "latency ms"),
    ("kv_cache_bytes", "KV GiB"),
    ("model_weights_bytes", "weights GiB"),
    ("measure_utilization_pct", "busy %"),
];
/// What the last column, the run's name and its other settings, needs at least.
const NAME_ROOM: usize = 24;
/// Settings besides the axes that are shown behind a run's name; more make a table unreadable.
const SHOWN: usize = 2;
/// What follows from the model.
const OF_THE_MODEL: [&str; 1] = ["num_parameters"];
/// The longest bar.
const BAR: usize = 30;

/// The whole report, at most `width` columns wide.
pub(super) fn sweep(sweep: &Sweep, width: usize) -> String {
    let mut text = String::new();
    let common: Vec<String> = sweep.common().iter().map(|(name, value)| format!("{name} {value}")).collect();
    let n = sweep.rows.len();
    let folder = folder(sweep);
    let of = folder.as_ref().map_or(String::new(), |folder| format!(" in {}", folder.display()));
    let head = format!("{n} run{}{of}", if n == 1 { "" } else { "s" });
    title(&mut text, &head);
    if !common.is_empty() && n > 1 {
        for line in wrap(&format!("all with {}", common.join(" · ")), width.saturating_sub(2)) {
            let _ = writeln!(text, "  {line}");
        }
    }
    text.push_str(&table(sweep, width));
    let varying = sweep.varying();
    let left: Vec<&str> = others(&varying).skip(SHOWN).collect();
    if !left.is_empty() {
        let words = format!("they differ in {} too: --format csv and json have every setting", left.join(", "));
        for line in wrap(&words, width.saturating_sub(2)) {
            let _ = writeln!(text, "  {line}");
        }
    }
    for series in &sweep.series {
        along(&mut text, series, width);
    }
    for (caution, names) in doubts(sweep) {
        let runs = if names.len() > 3 { format!("{} runs", names.len()) } else { names.join(", ") };
        for line in wrap(&format!("note: {runs}: {caution}"), width.saturating_sub(2)) {
            let _ = writeln!(text, "  {line}");
        }
    }
    for (name, failure, log) in failures(sweep) {
        let _ = writeln!(text, "  {}", one_line(&format!("{name}: {failure}"), width.saturating_sub(2)));
        if let Some(log) = log {
            let _ = writeln!(text, "    the engine's log: {log}");
        }
    }
    text
}

/// Why runs of a campaign did not go well, and the log that tells more of it.
fn failures(sweep: &Sweep) -> impl Iterator<Item = (&str, &str, Option<&str>)> {
    sweep.rows.iter().filter_map(|row| {
        let run = row.campaign.as_ref()?;
        Some((row.name.as_str(), run.failure.as_deref()?, run.log.as_deref()))
    })
}

/// As much of a text as there is room for in a line.
fn one_line(text: &str, width: usize) -> String {
    let mut lines = wrap(text, width.saturating_sub(2)).into_iter();
    let first = lines.next().unwrap_or_default();
    if lines.next().is_some() { format!("{first} …") } else { first }
}

/// What is doubtful, each with the runs of which it holds. How a run ended stands in the table.
fn doubts(sweep: &Sweep) -> BTreeMap<&str, Vec<&str>> {
    let mut doubts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let finished = |row: &&Row| !matches!(row.status, Some(RunStatus::Failed | RunStatus::Interrupted));
    for row in sweep.rows.iter().filter(finished) {
        for caution in &row.cautions {
            doubts.entry(caution).or_default().push(&row.name);
        }
    }
    doubts
}

fn table(sweep: &Sweep, width: usize) -> String {
    let varying = sweep.varying();
    let axes: Vec<&str> = AXES.into_iter().filter(|axis| varying.contains(axis)).collect();
    let known = |figure: &str| sweep.rows.iter().any(|row| row.figures.contains_key(figure));
    let mut columns: Vec<(&str, &str)> = COLUMNS.into_iter().filter(|(figure, _)| known(figure)).collect();
    let taken = |columns: &[(&str, &str)]| {
        let axes: usize = axes.iter().map(|axis| short(axis).len().max(5) + 2).sum();
        2 + axes + columns.iter().map(|(_, head)| head.len() + 2).sum::<usize>()
    };
    while columns.len() > 1 && taken(&columns) + NAME_ROOM > width {
        columns.pop();
    }
    let heads = axes.iter().map(|axis| (short(axis), Align::Right));
    let heads = heads.chain(columns.iter().map(|(_, head)| (*head, Align::Right)));
    let heads: Vec<_> = heads.chain([("run", Align::Left)]).collect();
    let folder = folder(sweep);
    let mut table = Table::new(&heads);
    for row in &sweep.rows {
        let set = axes.iter().map(|axis| row.settings.get(axis).cloned().unwrap_or_else(|| "-".to_owned()));
        let figures = columns.iter().map(|(figure, _)| row.figures.get(figure).map_or("-".to_owned(), |v| value(*v)));
        table.row(set.chain(figures).chain([named(row, folder.is_some(), &varying)]));
    }
    table.render(width)
}

/// The folder in which all runs lie, if there are several runs.
fn folder(sweep: &Sweep) -> Option<PathBuf> {
    let parent = |row: &Row| Path::new(&row.name).parent().filter(|p| !p.as_os_str().is_empty()).map(Path::to_owned);
    let first = parent(sweep.rows.first().filter(|_| sweep.rows.len() > 1)?)?;
    sweep.rows.iter().all(|row| parent(row).as_ref() == Some(&first)).then_some(first)
}

/// A row's name with what else tells it apart; without its folder where that is said above.
fn named(row: &Row, alone: bool, varying: &[&'static str]) -> String {
    let file = Path::new(&row.name).file_name().filter(|_| alone).map(|name| name.to_string_lossy().into_owned());
    let file = file.map(|name| name.trim_end_matches(".json").to_owned());
    let others = others(varying).take(SHOWN);
    let others = others.filter_map(|name| Some(format!("{name} {}", row.settings.get(name)?)));
    let failed = match (row.campaign.as_ref().map(|run| run.state), row.status) {
        (Some(RunState::Complete), _) => None,
        (Some(RunState::Failed), _) | (None, Some(RunStatus::Failed)) => Some("FAILED".to_owned()),
        (None, Some(RunStatus::Interrupted)) => Some("interrupted".to_owned()),
        // It may have been cut off before it had its pool: its figures are no whole run's.
        (None, Some(RunStatus::Partial)) => Some("partial".to_owned()),
        (Some(state), _) => Some(state.name().to_owned()),
        (None, _) => None,
    };
    [file.unwrap_or_else(|| row.name.clone())].into_iter().chain(failed).chain(others).collect::<Vec<_>>().join(" · ")
}

/// The settings in which runs differ besides the axes.
fn others<'s>(varying: &'s [&'static str]) -> impl Iterator<Item = &'static str> + 's {
    varying.iter().copied().filter(|name| !AXES.contains(name) && !OF_THE_MODEL.contains(name))
}

/// One axis: a table with a bar for each point.
fn along(text: &mut String, series: &Series, width: usize) {
    let fixed: Vec<String> = series.fixed.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let fixed = if fixed.is_empty() { String::new() } else { format!(" ({})", fixed.join(", ")) };
    let _ = writeln!(text);
    for line in wrap(&format!("Along {}{fixed}", label(series.axis)), width) {
        title(text, &line);
    }
    let mut table = Table::new(&[
        (short(series.axis), Align::Right),
        ("tokens/s", Align::Right),
        ("", Align::Right),
        ("latency ms", Align::Right),
        ("", Align::Right),
        ("peak GiB", Align::Right),
        ("tokens/s", Align::Left),
    ]);
    let most = series.points.iter().filter_map(|point| point.tokens_per_second).fold(0.0, f64::max);
    let times = |factor: Option<f64>| factor.map_or(String::new(), |factor| format!("{factor:.2}x"));
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
    for point in &series.points {
        table.row([
            point.value.to_string(),
            number(point.tokens_per_second),
            times(point.speedup),
            number(point.mean_latency_ms),
            times(point.slowdown),
            point.peak_bytes.map_or("-".to_owned(), |bytes| format!("{:.2}", bytes / f64::from(1 << 30))),
            bar(point, most, width.saturating_sub(60).clamp(8, BAR)),
        ]);
    }
    text.push_str(&table.render(width));
    if let Some(value) = series.slows_at {
        let axis = label(series.axis);
        let words = format!("at {axis} {value} less than half of the added load became throughput");
        for line in wrap(&words, width.saturating_sub(2)) {
            let _ = writeln!(text, "  {line}");
        }
    }
}

fn bar(point: &Point, most: f64, room: usize) -> String {
    let Some(rate) = point.tokens_per_second.filter(|_| most > 0.0) else { return String::new() };
    let cells = Bytes::new(u64::try_from(room).unwrap_or(0)).as_f64();
    let filled =
        (1..=room).filter(|cell| Bytes::new(u64::try_from(*cell).unwrap_or(0)).as_f64() <= rate / most * cells);
    "#".repeat(filled.count().max(1))
}

/// The head of an axis' column.
fn short(axis: &str) -> &'static str {
    match axis {
        "batch_size" => "batch",
        "input_len" => "in",
        "output_len" => "out",
        "tensor_parallel_size" => "tp",
        _ => "",
    }
}

fn title(text: &mut String, words: &str) {
    let bold = Style::new().bold();
    let _ = writeln!(text, "{bold}{words}{bold:#}");
}
