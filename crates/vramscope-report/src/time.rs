//! Memory over time: a recording in bounded memory, and the chart that is made of it.

mod beside;
mod data;
mod grid;
mod marks;
mod parts;
mod picture;
mod recording;
mod source;
mod words;

pub(crate) use beside::beside;
pub(crate) use marks::{Around, Mark, Rise, around};
pub use recording::{EngineState, Reading, Recording};

use crate::cell::Cell;
use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Section, Table, TimeChart};
use crate::pages::named::{MOST_ROWS, identity};
use crate::unit::{Unit, digits};
pub(crate) use picture::exact;
use picture::{lines, picture, seconds};
use recording::Metric;
use source::Source;

/// The section with memory over time, where the document or its recording has any.
pub(crate) fn section(document: &Document, place: usize) -> Option<Section> {
    let mut source = Source::of(document, place)?;
    let mut blocks = vec![Block::Time(Box::new(chart(&mut source, &document.root(place), data::LARGEST)?))];
    blocks.extend(marks(&source, &document.root(place)));
    Some(Section::new("Memory over time", blocks))
}

/// The chart alone, with data of no more than so many bytes.
fn chart(source: &mut Source, root: &Node<'_>, largest: usize) -> Option<TimeChart> {
    let data = data::fitted(source, largest);
    let svg = picture(source)?;
    let (track, name, stack) = source.tracks.first()?;
    let column = Recording::column(*track, Metric::Memory);
    let points: Vec<f64> = lines(&source.recording, &source.recording.grid.coarse(60), (*track, column))
        .concat()
        .iter()
        .map(|(_, value)| Unit::Memory.scaled(exact(u64::try_from(*value).unwrap_or(0))))
        .collect();
    Some(TimeChart {
        title: "Memory in use over time".to_owned(),
        words: source.words.take().unwrap_or_else(|| words::of(source)),
        rule: if stack.parts.is_empty() { String::new() } else { parts::RULE.to_owned() },
        svg,
        table: phases(root),
        sparks: vec![(format!("{name}, memory"), points)],
        data,
    })
}

/// The phases as a document has them.
pub(crate) fn phases(root: &Node<'_>) -> Option<Table> {
    let mut table = Table::new(
        "Phases in order, with memory in use on all GPUs together. Those too short for a name in the chart are here",
        &[
            "phase",
            "#begins",
            "#lasts",
            "#least in use",
            "#mean",
            "#peak",
            "#mean power",
            "#mean utilisation",
            "#readings",
            "begins with",
        ],
    );
    let all = root.at("phases").items();
    if all.len() > MOST_ROWS {
        table.caption += &format!(". The first {MOST_ROWS} of {} phases; all are in the document", all.len());
    }
    for phase in all.iter().take(MOST_ROWS) {
        let either = |one: Cell, two: Cell| if one.is_absent() { two } else { one };
        table.row([
            phase.at("phase").cell(),
            either(phase.at("start_ns").figure(Unit::Nanoseconds), phase.at("start_s").figure(Unit::Seconds)),
            either(phase.at("duration_s").figure(Unit::Seconds), phase.at("seconds").figure(Unit::Seconds)),
            phase.at("min_bytes").figure(Unit::Memory),
            phase.at("mean_bytes").figure(Unit::Memory),
            either(phase.at("peak_bytes").figure(Unit::Memory), phase.at("peak_used_bytes").figure(Unit::Memory)),
            phase.at("mean_power_w").figure(Unit::Watts),
            phase.at("mean_utilization_pct").figure(Unit::Percent),
            phase.at("num_samples").figure(Unit::Count),
            phase.at("marked_by").cell(),
        ]);
    }
    (!table.rows.is_empty()).then(|| table.without_empty_columns().at_most(MOST_ROWS))
}

/// Events and gaps as tables, for who does not point at them.
fn marks(source: &Source, root: &Node<'_>) -> Vec<Block> {
    let recording = &source.recording;
    let at = |at_ns: u64| Cell::text(format!("{} s", digits(seconds(at_ns))));
    let mut blocks = Vec::new();
    let mut events = Table::new(
        "Marks in the chart, in seconds since the recording's start",
        &["what", "#when", "where it is from"],
    );
    for event in recording.events.iter().take(MOST_ROWS) {
        events.row([
            Cell::text(&*event.label),
            at(event.at_ns),
            event.line.as_deref().map_or_else(Cell::absent, Cell::text),
        ]);
    }
    if !events.rows.is_empty() {
        events.caption += &left_out(recording.events.len(), recording.events_dropped);
        blocks.push(Block::Table(events.without_empty_columns()));
    }
    blocks.extend(gaps(root).or_else(|| gaps_of(recording)).map(Block::Table));
    if blocks.is_empty() { blocks } else { vec![Block::Folded { title: "Marks and gaps".to_owned(), blocks }] }
}

const GAPS: &str = "Spans without readings; they are never filled in";
const HEADS_OF_GAPS: [&str; 5] = ["cause", "#GPU", "#begins", "#ends", "#missed"];

/// The spans without readings that a document lists one by one.
pub(crate) fn gaps(root: &Node<'_>) -> Option<Table> {
    let mut table = Table::new(GAPS, &HEADS_OF_GAPS);
    for gap in root.at("gaps").items().iter().filter(|gap| gap.at("start_ns").is_there()) {
        let gpu = identity(&gap.at("gpu"));
        table.row([
            Cell::text(gap.at("cause").text().unwrap_or_default().replace('_', " ")),
            if gpu.is_absent() { "all".into() } else { gpu },
            gap.at("start_ns").figure(Unit::Nanoseconds),
            gap.at("end_ns").figure(Unit::Nanoseconds),
            gap.at("missed").figure(Unit::Count),
        ]);
    }
    (!table.rows.is_empty()).then(|| table.without_empty_columns().at_most(MOST_ROWS))
}

/// The same as a recording has them.
fn gaps_of(recording: &Recording) -> Option<Table> {
    let mut table = Table::new(GAPS, &HEADS_OF_GAPS);
    for gap in recording.gaps.iter().take(MOST_ROWS) {
        let ends = [gap.start_ns, gap.end_ns].map(|at_ns| Cell::text(Unit::Nanoseconds.show(exact(at_ns))));
        let gpu = gap.gpu.map_or_else(|| "all".to_owned(), |gpu| gpu.to_string());
        table.row([gap.cause.replace('_', " "), gpu].map(Cell::text).into_iter().chain(ends));
    }
    table.caption += &left_out(recording.gaps.len(), recording.gaps_dropped);
    (!table.rows.is_empty()).then(|| table.without_empty_columns())
}

/// How many rows found no room: those that are kept, and those that were dropped.
fn left_out(kept: usize, dropped: u64) -> String {
    let more = u64::try_from(kept.saturating_sub(MOST_ROWS)).unwrap_or(0) + dropped;
    if more > 0 { format!("; {more} more found no room here") } else { String::new() }
}

#[cfg(test)]
mod tests;
