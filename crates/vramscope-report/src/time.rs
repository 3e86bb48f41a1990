//! Memory over time: a recording in bounded memory, and the chart that is made of it.

mod data;
mod grid;
mod marks;
mod parts;
mod picture;
mod recording;
mod source;

pub(crate) use marks::{Around, Mark, Rise, around};
pub use recording::{EngineState, Reading, Recording};

use crate::cell::Cell;
use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Section, Table, TimeChart};
use crate::pages::named::MOST_ROWS;
use crate::unit::{Unit, digits};
use picture::{breaks, exact, picture, seconds, segments};
use recording::Metric;
use source::Source;

/// The section with memory over time, where the document or its recording has any.
pub(crate) fn section(document: &Document, place: usize) -> Option<Section> {
    let mut blocks = vec![Block::Time(Box::new(chart(document, place)?))];
    let source = Source::of(document, place)?;
    blocks.extend(marks(&source));
    Some(Section::new("Memory over time", blocks))
}

/// The chart alone.
pub(crate) fn chart(document: &Document, place: usize) -> Option<TimeChart> {
    let source = Source::of(document, place)?;
    let svg = picture(&source)?;
    let (track, name, stack) = source.tracks.first()?;
    let column = Recording::column(*track, Metric::Memory);
    let points: Vec<f64> = segments(&source.recording.grid.coarse(60), column, &breaks(&source.recording, *track))
        .concat()
        .iter()
        .map(|(_, value)| Unit::Memory.scaled(exact(u64::try_from(*value).unwrap_or(0))))
        .collect();
    Some(TimeChart {
        title: "Memory in use over time".to_owned(),
        words: words(&source),
        rule: if stack.parts.is_empty() { String::new() } else { parts::RULE.to_owned() },
        svg,
        table: phases(&document.root(place)),
        sparks: vec![(format!("{name}, memory"), points)],
        data: data::json(&source),
    })
}

/// What is to be seen, for who does not see it.
fn words(source: &Source) -> String {
    let recording = &source.recording;
    let grid = &recording.grid;
    let Some((track, name, stack)) = source.tracks.first() else {
        return String::new();
    };
    let span = grid.rows.last().map_or(0.0, |row| seconds(row.last_ns))
        - grid.rows.first().map_or(0.0, |row| seconds(row.first_ns));
    let mut words = format!("{name} over {} s", digits(span));
    if let Some((at, peak)) = source.peak(*track) {
        let phase = recording.phases.iter().find(|phase| (phase.start_ns..phase.end_ns).contains(&at));
        let phase = phase.map_or_else(String::new, |phase| format!(" (phase {})", phase.name));
        let peak = Unit::Memory.show(exact(u64::try_from(peak).unwrap_or(0)));
        words +=
            &format!(": most memory in use is {peak}, first reached {} s after the start{phase}", digits(seconds(at)));
        if let Some(capacity) = recording.capacity(*track) {
            words += &format!(", of {}", Unit::Memory.show(exact(capacity)));
        }
    }
    words += ".";
    let largest = stack.parts.iter().filter(|part| part.bytes > 0.0).max_by(|one, two| one.bytes.total_cmp(&two.bytes));
    if let Some(part) = largest {
        words += &format!(" The largest part is {} with {}.", part.name, Unit::Memory.show(part.bytes));
    }
    if !stack.parts.is_empty() {
        words += " Parts are those of the peak, each drawn from when the run's evidence has it and never above what was \
                  measured; what is measured beyond them is the residual.";
    }
    if !recording.gaps.is_empty() {
        let count = recording.gaps.len();
        words += &format!(
            " Nothing was read in {count} {}: lines are open there.",
            if count == 1 { "span" } else { "spans" }
        );
    }
    if !grid.is_whole() {
        let count = recording.ticks();
        words += &format!(
            " The {} readings are drawn as {} spans of time, each with its smallest and largest value, so that no peak is lost.",
            Unit::Count.show(exact(count)),
            Unit::Count.show(exact(u64::try_from(grid.rows.len()).unwrap_or(0)))
        );
    }
    words
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
    for phase in root.at("phases").items() {
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
fn marks(source: &Source) -> Vec<Block> {
    let recording = &source.recording;
    let at = |at_ns: u64| Cell::text(format!("{} s", digits(seconds(at_ns))));
    let mut blocks = Vec::new();
    let mut events = Table::new(
        "Marks in the chart, in seconds since the recording's start",
        &["what", "#when", "where it is from"],
    );
    for event in &recording.events {
        events.row([
            Cell::text(&*event.label),
            at(event.at_ns),
            event.line.as_deref().map_or_else(Cell::absent, Cell::text),
        ]);
    }
    if !events.rows.is_empty() {
        if recording.events_dropped > 0 {
            events.caption += &format!("; {} more found no room here", recording.events_dropped);
        }
        blocks.push(Block::Table(events.without_empty_columns()));
    }
    let mut gaps = Table::new("Spans without readings", &["cause", "#begins", "#lasts", "of"]);
    for gap in &recording.gaps {
        let of = gap.gpu.map_or_else(|| "all GPUs".to_owned(), |gpu| format!("GPU {gpu}"));
        let lasts = seconds(gap.end_ns - gap.start_ns);
        gaps.row([
            Cell::text(gap.cause.replace('_', " ")),
            at(gap.start_ns),
            Cell::text(format!("{} s", digits(lasts))),
            Cell::text(of),
        ]);
    }
    if !gaps.rows.is_empty() {
        if recording.gaps_dropped > 0 {
            gaps.caption += &format!("; {} more found no room here", recording.gaps_dropped);
        }
        blocks.push(Block::Table(gaps));
    }
    if blocks.is_empty() { blocks } else { vec![Block::Folded { title: "Marks and gaps".to_owned(), blocks }] }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Document {
        let mut recording = Recording::new(&[0]);
        recording.gap(50, 100, None, "missed_ticks");
        for (tick, at) in [0, 25, 50, 100, 125].into_iter().enumerate() {
            let reading = Reading { used_bytes: Some(1 << 30), power_w: Some(100.0), ..Reading::default() };
            recording.reading(0, u64::try_from(tick).unwrap(), at, &reading);
        }
        recording.event(30, "</script><img src=x onerror=alert(1)>", Some("<!--<script>\u{2028}"));
        let value = json!({"vramscope_timeline_report": 1});
        Document::new("x", value).unwrap().with_recording(recording)
    }

    #[test]
    fn a_gap_is_never_bridged() {
        let source = Source::of(&document(), 0).unwrap();
        let column = Recording::column(1, Metric::Memory);
        let lines = segments(&source.recording.grid, column, &breaks(&source.recording, 1));
        let times: Vec<Vec<u64>> = lines.iter().map(|line| line.iter().map(|(at, _)| *at).collect()).collect();
        assert_eq!(times, [vec![0, 25, 50], vec![100, 125]]);
    }

    #[test]
    fn nothing_foreign_ends_the_data() {
        let chart = chart(&document(), 0).unwrap();
        assert!(!chart.data.contains(['<', '>', '&']) && chart.data.contains("\\u003c/script\\u003e"));
        let html = crate::page(&[document()], None).unwrap().html();
        assert!(!html.contains("<img") && html.contains("uPlot"));
    }

    #[test]
    fn a_document_without_anything_over_time_has_no_section() {
        let value = json!({"vramscope_timeline_report": 1});
        let empty = Document::new("x", value).unwrap();
        assert!(section(&empty, 0).is_none() && section(&empty.with_recording(Recording::new(&[0])), 0).is_none());
    }
}
