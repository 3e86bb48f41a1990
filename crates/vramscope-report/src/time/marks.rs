//! Between which marks of a run something happened, and between which of them memory rose.

use super::parts::LOG_NS;
use super::recording::{Metric, Recording};
use super::source::Source;
use crate::document::Document;

/// A mark of the engine's log, or those of one instant together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) at_ns: u64,
    pub(crate) name: String,
}

/// A rise of the highest memory so far, between two marks; the first is absent where no mark was before it, and the last
/// where it ends with the peak.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rise {
    pub(crate) from: Option<Mark>,
    pub(crate) to: Option<Mark>,
    /// The highest before.
    pub(crate) above: u64,
    pub(crate) bytes: u64,
}

/// The marks around an instant, and the rises up to it in the order of time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Around {
    pub(crate) after: Option<Mark>,
    /// Within the log's resolution: nobody knows which came first.
    pub(crate) with: Option<Mark>,
    pub(crate) before: Option<Mark>,
    /// Since when memory was within a thousandth of what it was at the instant, where that is seconds earlier.
    pub(crate) near_since_ns: Option<u64>,
    pub(crate) rises: Vec<Rise>,
}

/// What the marks of a document or of its recording say of an instant; `None` where there are none.
pub(crate) fn around(document: &Document, place: usize, instant_ns: u64) -> Option<Around> {
    let source = Source::of(document, place)?;
    let recording = &source.recording;
    // Where a log begins and ends is no step of the engine.
    let step = |label: &str| !label.starts_with("first line") && !label.starts_with("last line");
    let events = recording.events.iter().filter(|event| step(&event.label));
    let all: Vec<Mark> = events.map(|event| Mark { at_ns: event.at_ns, name: name(&event.label) }).collect();
    let marks: Vec<Mark> = all.chunk_by(|one, two| one.at_ns == two.at_ns).map(together).collect();
    if marks.is_empty() {
        return None;
    }
    let (track, ..) = source.tracks.first()?;
    let column = Recording::column(*track, Metric::Memory);
    let near_since_ns = near_since(recording, column, instant_ns);
    let highest = |at_ns: u64| highest(recording, Recording::column(*track, Metric::Memory), at_ns);
    let mut rises = Vec::new();
    // What was there when the recording began did not rise in it.
    let (mut from, mut level): (Option<Mark>, u64) = (None, first(recording, column));
    for mark in marks.iter().filter(|mark| mark.at_ns <= instant_ns) {
        let now = highest(mark.at_ns);
        rises.push(Rise { from: from.take(), to: Some(mark.clone()), above: level, bytes: now.saturating_sub(level) });
        (from, level) = (Some(mark.clone()), now.max(level));
    }
    rises.push(Rise { from, to: None, above: level, bytes: highest(instant_ns).saturating_sub(level) });
    // A log cuts its times to whole seconds.
    let is_before = |mark: &&Mark| mark.at_ns.saturating_add(LOG_NS) <= instant_ns;
    Some(Around {
        after: marks.iter().rfind(is_before).cloned(),
        with: marks.iter().rfind(|mark| mark.at_ns <= instant_ns).filter(|mark| !is_before(mark)).cloned(),
        before: marks.iter().find(|mark| mark.at_ns > instant_ns).cloned(),
        near_since_ns,
        rises,
    })
}

/// Marks of one instant as one.
fn together(marks: &[Mark]) -> Mark {
    let (first, last) = (&marks[0], &marks[marks.len() - 1]);
    let name = if first.name == last.name {
        format!("“{}”", first.name)
    } else {
        format!("“{}”–“{}”", first.name, last.name)
    };
    Mark { at_ns: first.at_ns, name }
}

/// What was in use at the first reading.
fn first(recording: &Recording, column: usize) -> u64 {
    let first = recording.grid.columns[column].iter().find_map(|span| *span);
    first.and_then(|span| u64::try_from(span.min).ok()).unwrap_or(0)
}

/// The highest memory up to an instant.
fn highest(recording: &Recording, column: usize, at_ns: u64) -> u64 {
    let rows = recording.grid.rows.iter().zip(&recording.grid.columns[column]);
    let until = rows.take_while(|(row, _)| row.first_ns <= at_ns);
    let most = until.filter_map(|(_, span)| span.map(|span| span.max)).max().unwrap_or(0);
    u64::try_from(most).unwrap_or(0)
}

/// Since when memory was within a thousandth of its highest up to an instant; `None` where that is less than two seconds
/// before it.
fn near_since(recording: &Recording, column: usize, instant_ns: u64) -> Option<u64> {
    let most = highest(recording, column, instant_ns);
    let near = i64::try_from(most - most / 1000).ok()?;
    let rows = recording.grid.rows.iter().zip(&recording.grid.columns[column]);
    let until: Vec<_> = rows.take_while(|(row, _)| row.first_ns <= instant_ns).collect();
    // The last stretch that nothing interrupts: what was as high before memory fell again is another story.
    let near = until.iter().rev().take_while(|(_, span)| span.is_none_or(|span| span.min >= near));
    let first = near.filter(|(_, span)| span.is_some()).last().map(|(row, _)| row.first_ns)?;
    (most > 0 && first.saturating_add(2 * LOG_NS) <= instant_ns).then_some(first)
}

/// A mark's name without the line that it is from, which stands in the table of marks.
fn name(label: &str) -> String {
    let bare = label.find(" (line ").map_or(label, |at| &label[..at]);
    bare.strip_prefix("kv ").map_or_else(|| bare.to_owned(), |rest| format!("KV {rest}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::recording::Reading;
    use super::*;

    fn document(levels: &[u64], marks: &[u64]) -> Document {
        let mut recording = Recording::new(&[0]);
        for (tick, used) in (0..).zip(levels) {
            let reading = Reading { used_bytes: Some(*used), ..Reading::default() };
            recording.reading(0, tick, tick * 10 * LOG_NS, &reading);
        }
        for at in marks {
            recording.event(*at * LOG_NS, &format!("mark {at} (line 3)"), None);
        }
        Document::new("x", json!({"vramscope_timeline_report": 1})).unwrap().with_recording(recording)
    }

    proptest! {
        #[test]
        fn rises_up_to_an_instant_are_together_the_highest_memory_so_far(
            levels in prop::collection::vec(0u64..1000, 2..40),
            marks in prop::collection::vec(0u64..400, 1..8),
            instant in 0u64..400,
        ) {
            let around = around(&document(&levels, &marks), 0, instant * LOG_NS).unwrap();
            let so_far = (0..).step_by(10).zip(&levels).filter(|(at, _)| *at <= instant).map(|(_, used)| *used);
            let risen = so_far.max().unwrap() - levels[0];
            prop_assert_eq!(around.rises.iter().map(|rise| rise.bytes).sum::<u64>(), risen);
            prop_assert!(around.after.is_none_or(|mark| mark.at_ns < instant * LOG_NS));
            prop_assert!(around.before.is_none_or(|mark| mark.at_ns > instant * LOG_NS));
        }
    }

    #[test]
    fn what_was_there_before_did_not_rise_and_memory_that_fell_was_not_near_its_peak_since() {
        let around = |levels: &[u64], instant: u64| around(&document(levels, &[1]), 0, instant * LOG_NS).unwrap();
        let rises: Vec<(u64, u64)> =
            around(&[45_000, 45_000, 75_000], 20).rises.iter().map(|rise| (rise.above, rise.bytes)).collect();
        assert_eq!(rises, [(45_000, 0), (45_000, 30_000)]);
        assert_eq!(around(&[0, 70_000, 20_000, 70_050], 30).near_since_ns, None);
        assert_eq!(around(&[0, 70_000, 70_050, 70_050], 30).near_since_ns, Some(10 * LOG_NS));
    }

    #[test]
    fn a_peak_lies_between_two_marks() {
        let around = around(&document(&[0, 5, 50, 60, 60], &[5, 15, 15, 30, 35]), 0, 30 * LOG_NS).unwrap();
        let name = |mark: &Option<Mark>| mark.as_ref().map(|mark| mark.name.clone()).unwrap_or_default();
        assert_eq!(name(&around.after), "“mark 15”");
        assert_eq!((name(&around.with), name(&around.before)), ("“mark 30”".to_owned(), "“mark 35”".to_owned()));
        let rises: Vec<(String, String, u64)> =
            around.rises.iter().map(|rise| (name(&rise.from), name(&rise.to), rise.bytes)).collect();
        let said = |from: &str, to: &str, bytes| (from.to_owned(), to.to_owned(), bytes);
        let expected = [
            said("", "“mark 5”", 0),
            said("“mark 5”", "“mark 15”", 5),
            said("“mark 15”", "“mark 30”", 55),
            said("“mark 30”", "", 0),
        ];
        assert_eq!(rises, expected);
    }
}
