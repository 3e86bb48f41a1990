//! What the evidence cannot show.

use std::time::Duration;

use vramscope_core::{ComponentKind, Milestone, Phase};
use vramscope_schema::v3::{Diagnostic, Figures, Severity};

use super::{advise, advise_on, diagnostic};
use crate::advice::Topic;
use crate::known::Known;

/// A gap of this length is worth a word even where few samples are missing in all.
const LONG_GAP: Duration = Duration::from_secs(1);

/// The recording begins with the engine already there.
pub(super) fn no_baseline(known: &Known<'_>) -> Option<Diagnostic> {
    let derived = known.derived?;
    if derived.timeline.window(Phase::Baseline).is_some() {
        return None;
    }
    let (message, severity) = if derived.baseline.is_some() {
        ("the recording begins after the engine; the level after its end stands for the baseline", Severity::Info)
    } else {
        (
            "the recording shows no time without the engine: what others hold is counted as the engine's",
            Severity::Warning,
        )
    };
    let found = diagnostic("no_baseline", severity, message.to_owned());
    let attached = known.evidence.record.as_ref().is_some_and(|record| record.host.kind == "attach");
    let advice = if attached {
        "a server that runs already has no such time: let vramscope profile start the engine"
    } else {
        "start recording a second before the engine, and end it a few seconds after"
    };
    advise(found, advice)
}

/// The engine log's clock cannot be lined up with the samples.
pub(super) fn no_clock(known: &Known<'_>) -> Option<Diagnostic> {
    let derived = known.derived?;
    known.evidence.engine.as_ref()?;
    if derived.alignment.is_some() {
        return None;
    }
    let has_clock = known.facts.events.iter().any(|e| e.at.is_some());
    let message = if has_clock {
        "the times in the engine log do not meet those of the GPU log in any time zone; phases are told by the samples \
         alone"
    } else {
        "the engine log has no times; phases are told by the samples alone"
    };
    let found = diagnostic("no_common_clock", Severity::Warning, message.to_owned());
    advise_on(found, known, Topic::NoCommonClock)
}

/// The recording has holes.
pub(super) fn gaps(known: &Known<'_>) -> Option<Diagnostic> {
    let timeline = &known.derived?.timeline;
    let missed = timeline.gaps().iter().map(|gap| gap.missed).fold(0, u64::saturating_add);
    let longest = timeline.gaps().iter().map(|gap| gap.window.length()).max()?;
    let ticks = u64::try_from(timeline.ticks().count()).ok()?;
    let part = |of: u64| missed.saturating_mul(of) > ticks;
    if !part(100) && longest < LONG_GAP {
        return None;
    }
    let severity = if part(20) { Severity::Warning } else { Severity::Info };
    let message = format!(
        "{} in the recording, the longest {:.2} s; {missed} samples are missing beside {ticks} that are there",
        counted(timeline.gaps().len(), "gap"),
        longest.as_secs_f64()
    );
    let evidence = Figures::new().count("missed_samples_count", missed).time("longest_gap", longest);
    let found = Diagnostic { evidence, ..diagnostic("recording_has_gaps", severity, message) };
    advise(found, "a peak inside a gap is not seen; driver calls that block are a usual cause while an engine starts")
}

/// The pool's allocation does not show, so that what rose after it cannot be told.
pub(super) fn pool_not_seen(known: &Known<'_>) -> Option<Diagnostic> {
    let derived = known.derived?;
    known.facts.event(Milestone::KvPoolSized)?;
    let attribution = derived.attribution.as_ref()?;
    attribution.total.component(ComponentKind::KvCache)?;
    let unseen = derived.placement.active.iter().any(|&d| derived.levels_of(d).is_none_or(|l| l.after_pool.is_none()));
    if !unseen
        || attribution.total.component(ComponentKind::Activations).is_some_and(|c| c.basis.method == "rise_after_pool")
    {
        return None;
    }
    let message =
        "the allocation of the KV pool does not show as one step in the samples; activations at the peak are \
                   not measured"
            .to_owned();
    let found = diagnostic("pool_step_not_seen", Severity::Info, message);
    advise(found, "sample more often (100 ms or less) and from before the engine starts")
}

/// `1 gap`, `2 gaps`.
fn counted(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}
