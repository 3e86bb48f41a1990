//! Between which marks of a run something happened, and between which of them memory rose.

use super::recording::{Metric, Recording};
use super::source::Source;
use crate::document::Document;

/// A mark of the engine's log.
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
    pub(crate) bytes: u64,
}

/// The marks around the peak, and the rises up to it in the order of time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Around {
    pub(crate) after: Option<Mark>,
    pub(crate) before: Option<Mark>,
    pub(crate) rises: Vec<Rise>,
}

/// What the marks of a document or of its recording say of an instant; `None` where there are none.
pub(crate) fn around(document: &Document, place: usize, instant_ns: u64) -> Option<Around> {
    let source = Source::of(document, place)?;
    let recording = &source.recording;
    // Where a log begins and ends is no step of the engine.
    let step = |label: &str| !label.starts_with("first line") && !label.starts_with("last line");
    let events = recording.events.iter().filter(|event| step(&event.label));
    let marks: Vec<Mark> = events.map(|event| Mark { at_ns: event.at_ns, name: name(&event.label) }).collect();
    if marks.is_empty() {
        return None;
    }
    let (track, ..) = source.tracks.first()?;
    let highest = |at_ns: u64| highest(recording, Recording::column(*track, Metric::Memory), at_ns);
    let mut rises = Vec::new();
    let (mut from, mut level): (Option<Mark>, u64) = (None, 0);
    // Of marks of one instant, the first ends what was before them, and the last begins what comes.
    for together in marks.chunk_by(|one, two| one.at_ns == two.at_ns).filter(|marks| marks[0].at_ns <= instant_ns) {
        let now = highest(together[0].at_ns);
        rises.push(Rise { from: from.take(), to: together.first().cloned(), bytes: now.saturating_sub(level) });
        (from, level) = (together.last().cloned(), now.max(level));
    }
    rises.push(Rise { from, to: None, bytes: highest(instant_ns).saturating_sub(level) });
    Some(Around {
        after: marks.iter().rfind(|mark| mark.at_ns <= instant_ns).cloned(),
        before: marks.iter().find(|mark| mark.at_ns > instant_ns).cloned(),
        rises,
    })
}

/// The highest memory up to an instant.
fn highest(recording: &Recording, column: usize, at_ns: u64) -> u64 {
    let rows = recording.grid.rows.iter().zip(&recording.grid.columns[column]);
    let until = rows.take_while(|(row, _)| row.first_ns <= at_ns);
    let most = until.filter_map(|(_, span)| span.map(|span| span.max)).max().unwrap_or(0);
    u64::try_from(most).unwrap_or(0)
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
            recording.reading(0, tick, tick * 10, &reading);
        }
        for at in marks {
            recording.event(*at, &format!("mark {at} (line 3)"), None);
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
            let around = around(&document(&levels, &marks), 0, instant).unwrap();
            let so_far = (0..).step_by(10).zip(&levels).filter(|(at, _)| *at <= instant).map(|(_, used)| *used);
            prop_assert_eq!(around.rises.iter().map(|rise| rise.bytes).sum::<u64>(), so_far.max().unwrap());
            prop_assert!(around.after.is_none_or(|mark| mark.at_ns <= instant));
            prop_assert!(around.before.is_none_or(|mark| mark.at_ns > instant));
        }
    }

    #[test]
    fn a_peak_lies_between_two_marks() {
        let around = around(&document(&[0, 5, 50, 60, 60], &[5, 15, 35]), 0, 30).unwrap();
        let name = |mark: &Option<Mark>| mark.as_ref().map(|mark| mark.name.clone()).unwrap_or_default();
        assert_eq!((name(&around.after), name(&around.before)), ("mark 15".to_owned(), "mark 35".to_owned()));
        let rises: Vec<(String, String, u64)> =
            around.rises.iter().map(|rise| (name(&rise.from), name(&rise.to), rise.bytes)).collect();
        let said = |from: &str, to: &str, bytes| (from.to_owned(), to.to_owned(), bytes);
        assert_eq!(rises, [said("", "mark 5", 0), said("mark 5", "mark 15", 5), said("mark 15", "", 55)]);
    }
}
