//! Several runs over time, each in a chart of its own and all on one clock.

use super::data::LARGEST;
use super::picture::seconds;
use super::source::Source;
use super::{chart, words};
use crate::document::Document;
use crate::page::{Block, Section};
use crate::unit::digits;

/// More charts are not seen together.
const MOST: usize = 6;

/// The phases at whose beginning runs are laid over each other, best first, with what begins there.
const MARKS: &[(&str, &str)] =
    &[("ready", "was ready"), ("measure", "began its work"), ("load", "began to load"), ("launch", "was started")];

/// The section with the memory of several runs over time, laid over each other at the best mark that all of them have.
/// `names` are those of the documents.
pub(crate) fn beside(documents: &[Document], names: &[&str]) -> Option<Section> {
    let mut runs: Vec<(usize, Source)> = (0..documents.len())
        .filter_map(|place| Some((place, Source::of(&documents[place], place)?)))
        .take(MOST)
        .collect();
    if runs.len() < 2 {
        return None;
    }
    let starts = |phase: &str| -> Option<Vec<u64>> { runs.iter().map(|(_, run)| run.begins(phase)).collect() };
    let mark = MARKS.iter().find_map(|(phase, what)| Some((*what, starts(phase)?)));
    let at = mark.as_ref().map_or_else(|| vec![0; runs.len()], |(_, starts)| starts.clone());
    let latest = at.iter().copied().max().unwrap_or(0);
    for ((_, run), at) in runs.iter_mut().zip(&at) {
        run.words = Some(words::of(run));
        run.later(latest - at);
    }
    let spans = runs.iter().filter_map(|(_, run)| run.span());
    let clock = spans.reduce(|one, two| (one.0.min(two.0), one.1.max(two.1)))?;
    let mark = mark.map(|(what, _)| (what, latest));
    let mut blocks = vec![Block::Text(said(mark, documents.len(), runs.len()))];
    for ((place, run), at) in runs.iter_mut().zip(&at) {
        run.clock = Some(clock);
        let begins = digits(seconds(latest - at));
        let mut one = chart(run, &documents[*place].root(*place), LARGEST / MOST)?;
        names.get(*place).copied().unwrap_or_default().clone_into(&mut one.title);
        one.words += &format!(" Its own clock begins at {begins} s of the charts' clock.");
        blocks.push(Block::Time(Box::new(one)));
    }
    Some(Section::new("Memory over time, on one clock", blocks))
}

/// What stands above the charts.
fn said(mark: Option<(&str, u64)>, all: usize, drawn: usize) -> String {
    let mut words = match mark {
        Some((what, at)) => format!(
            "Each run has a chart, and all charts have one clock, on which each engine {what} at {} s.",
            digits(seconds(at))
        ),
        None => "Each run has a chart, and all charts have one clock, on which each recording begins at 0 s: no phase \
                 is known of all of them at which they could be laid over each other."
            .to_owned(),
    };
    words += " What is chosen in one chart is chosen in all.";
    if drawn < all {
        words += &format!(" Drawn are {drawn} of {all} runs");
        words += if drawn < all.min(MOST) { "; the others have no readings over time." } else { "." };
    }
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::time::{Reading, Recording};

    fn run(ready_s: u64, used: u64) -> Document {
        let second = 1_000_000_000;
        let mut recording = Recording::new(&[0]);
        recording.phase("launch", 0, ready_s * second);
        recording.phase("ready", ready_s * second, (ready_s + 2) * second);
        for at in 0..ready_s + 10 {
            let reading = Reading { used_bytes: Some(used + at), ..Reading::default() };
            recording.reading(0, at, at * second, &reading);
        }
        Document::new("a", json!({"profiler_version": "3.1.0"})).unwrap().with_recording(recording)
    }

    #[test]
    fn runs_stand_on_one_clock_and_words_keep_the_time_of_each() {
        let section = beside(&[run(30, 1 << 30), run(12, 1 << 31)], &["slow", "fast"]).unwrap();
        let charts: Vec<_> = section
            .blocks
            .iter()
            .filter_map(|block| if let Block::Time(chart) = block { Some(chart) } else { None })
            .collect();
        assert_eq!(charts.iter().map(|chart| chart.title.as_str()).collect::<Vec<_>>(), ["slow", "fast"]);
        let data: Vec<serde_json::Value> =
            charts.iter().map(|chart| serde_json::from_str(&chart.data).unwrap()).collect();
        let ready = |place: usize| data[place]["phases"][1][1].as_u64();
        assert_eq!((ready(0), ready(1)), (Some(30_000_000_000), Some(30_000_000_000)));
        assert_eq!(data[0]["clock"], json!([0, 39_000_000_000u64]));
        assert_eq!(data[0]["clock"], data[1]["clock"]);
        // The fast one's peak is its last reading: 21 s of its own clock, 39 s of the charts'.
        assert!(charts[1].words.contains("21 s after the start") && charts[1].words.contains("begins at 18 s"));
        assert_eq!(data[1]["tracks"][0]["peak"][0], json!(39_000_000_000u64));
    }

    #[test]
    fn without_a_phase_of_all_each_begins_at_0() {
        let mut one = Recording::new(&[0]);
        for at in 0..4 {
            one.reading(0, at, at * 1000, &Reading { used_bytes: Some(7), ..Reading::default() });
        }
        let bare = Document::new("b", json!({"profiler_version": "3.1.0"})).unwrap().with_recording(one);
        let section = beside(&[run(30, 1 << 30), bare], &["a", "b"]).unwrap();
        let Block::Text(text) = &section.blocks[0] else { panic!("a sentence first") };
        assert!(text.contains("begins at 0 s"), "{text}");
    }
}
