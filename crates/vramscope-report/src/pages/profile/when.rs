//! When the peak was, and between which marks of the engine's log memory rose to it.

use crate::cell::Cell;
use crate::document::Document;
use crate::node::Node;
use crate::pages::figure::listed;
use crate::pages::run::Run;
use crate::time::{self, Around, Mark, Rise};
use crate::unit::Unit;

/// When the peak was, and in which phases memory rose to it.
pub(super) fn sentence(run: &Run<'_>, document: &Document) -> Option<Vec<Cell>> {
    let at = run.root.path("memory_measurements/peak/at_ns");
    let instant = at.number()?;
    let mut text: Vec<Cell> =
        vec!["The peak came ".into(), at.figure(Unit::Nanoseconds), " after the recording began".into()];
    // Only its name: what a phase is for need not be what happened in it.
    if let Some(phase) = run.phase_at(instant) {
        text.push(format!(", in the phase {}", phase.at("phase").text().unwrap_or("?")).into());
    }
    text.push(".".into());
    let marks = at.count().and_then(|at| time::around(document, 0, at));
    match marks.map(|around| why(&around)) {
        Some(words) => text.push(words.into()),
        None => text.extend(rise(run, instant)),
    }
    Some(text)
}

/// The phase with the largest rise of the highest level so far, and what the phase of the peak added to it.
fn rise(run: &Run<'_>, instant: f64) -> Vec<Cell> {
    let before = |phase: &Node<'_>| phase.at("start_ns").number().is_some_and(|start| start <= instant);
    let phases: Vec<Node<'_>> = run.root.at("phases").items().into_iter().filter(before).collect();
    let mut highest: Option<Node<'_>> = None;
    let mut rises: Vec<(Node<'_>, Option<Node<'_>>, f64)> = Vec::new();
    for phase in phases {
        let peak = phase.at("peak_bytes");
        let Some(level) = peak.number() else { continue };
        let from = highest.as_ref().and_then(Node::number).unwrap_or(0.0);
        if highest.is_none() || level > from {
            rises.push((phase, highest.clone(), level - from));
            highest = Some(peak);
        }
    }
    let Some((last, ..)) = rises.last() else { return Vec::new() };
    let last_name = last.at("phase").text();
    let largest = rises.iter().skip(1).max_by(|a, b| a.2.total_cmp(&b.2));
    let Some((phase, Some(from), _)) = largest else { return Vec::new() };
    let name = phase.at("phase").text().unwrap_or("?");
    let mut text: Vec<Cell> =
        vec![format!(" After the first phase the largest rise was in the phase {name}, from ").into()];
    text.extend([from.figure(Unit::Memory), " to ".into(), phase.at("peak_bytes").figure(Unit::Memory)]);
    if last_name == Some(name) {
        text.push(".".into());
        return text;
    }
    text.push("; ".into());
    if let Some((last, Some(from), _)) = rises.last() {
        text.extend([format!("{} raised it from ", last.at("phase").text().unwrap_or("the last phase")).into()]);
        text.extend([from.figure(Unit::Memory), " to the peak of ".into(), last.at("peak_bytes").figure(Unit::Memory)]);
    }
    text.push(".".into());
    text
}

/// A mark with when it was.
fn marked(mark: &Mark) -> String {
    format!("{} ({})", mark.name, at(mark.at_ns))
}

#[expect(clippy::cast_precision_loss, reason = "a time to be read")]
fn at(ns: u64) -> String {
    Unit::Nanoseconds.show(ns as f64)
}

#[expect(clippy::cast_precision_loss, reason = "an amount to be read")]
fn amount(bytes: u64) -> String {
    Unit::Memory.show(bytes as f64)
}

/// Between which marks the peak was, where memory rose most before it, and what came last.
fn why(around: &Around) -> String {
    let mut places = Vec::new();
    places.extend(around.after.as_ref().map(|mark| format!("after {}", marked(mark))));
    places.extend(around.with.as_ref().map(|mark| format!("within a second of {}", marked(mark))));
    places.extend(around.before.as_ref().map(|mark| format!("before {}", marked(mark))));
    let mut text = format!(" By the engine's log that is {}.", listed(&places));
    if let Some(since) = around.near_since_ns {
        text.push_str(&format!(" Within a thousandth of it memory was since {}.", at(since)));
    }
    let between = |rise: &Rise| match (&rise.from, &rise.to) {
        (Some(from), Some(to)) => format!("between {} and {}", marked(from), marked(to)),
        (None, Some(to)) => format!("before {}", marked(to)),
        (Some(from), None) => format!("between {} and the peak", marked(from)),
        (None, None) => "before the peak".to_owned(),
    };
    let Some(largest) = around.rises.iter().max_by_key(|rise| rise.bytes).filter(|rise| rise.bytes > 0) else {
        return text;
    };
    // Above what was once in use, not above what was in use just before: a trial run may have been there already.
    text.push_str(&format!(
        " The highest level so far rose most {}: from {} to {}",
        between(largest),
        amount(largest.above),
        amount(largest.above + largest.bytes)
    ));
    // A few pages are no step on the way to a peak.
    let steps = |rise: &&Rise| rise.bytes > 0 && rise.bytes >= largest.bytes / 100;
    if let Some(last) = around.rises.iter().rfind(steps).filter(|last| *last != largest) {
        text.push_str(&format!("; it last rose by {}, {}", amount(last.bytes), between(last)));
    }
    text.push_str(". A log's times are exact to a second.");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_names_the_marks_around_the_peak_and_those_of_the_largest_and_of_the_last_rise() {
        let mark =
            |name: &str, seconds: u64| Some(Mark { at_ns: seconds * 1_000_000_000, name: format!("“{name}”") });
        let rise = |from, to, above: u64, gib: u64| Rise { from, to, above: above << 30, bytes: gib << 30 };
        let (loaded, sized, captured) =
            (mark("weights loaded", 3), mark("KV pool sized", 20), mark("graphs captured", 30));
        let rises = vec![
            rise(None, loaded.clone(), 0, 15),
            rise(loaded, sized.clone(), 15, 2),
            rise(sized, captured.clone(), 17, 111),
            rise(captured.clone(), None, 128, 2),
        ];
        let mut around =
            Around { after: captured, with: None, before: mark("engine ready", 43), near_since_ns: None, rises };
        let said = " By the engine's log that is after “graphs captured” (30 s) and before “engine ready” (43 s). The highest \
             level so far rose most between “KV pool sized” (20 s) and “graphs captured” (30 s): from 17.00 GiB to 128.00 GiB";
        let last = "; it last rose by 2.00 GiB, between “graphs captured” (30 s) and the peak";
        let end = ". A log's times are exact to a second.";
        assert_eq!(why(&around), format!("{said}{last}{end}"));
        // A page more than what was there long before is no other moment.
        let since = Around { near_since_ns: Some(31_000_000_000), ..around.clone() };
        assert!(why(&since).contains("Within a thousandth of it memory was since 31 s."));
        // Two MiB more are no step of their own.
        around.rises[3].bytes = 2 << 20;
        assert_eq!(why(&around), format!("{said}{end}"));
    }
}
