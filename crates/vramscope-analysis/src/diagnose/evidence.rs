//! What the evidence cannot show.

use std::time::Duration;

use vramscope_core::{Basis, ComponentKind, Milestone, Phase};
use vramscope_schema::v3::{Diagnostic, Figures, Severity};

use super::{advise, advise_on, diagnostic, long};
use crate::advice::Topic;
use crate::clock::{self, Age};
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
    let advice = if known.was_attached() {
        "a server that runs already has no such time: let vramscope profile start the engine"
    } else {
        "start recording a second before the engine, and end it a few seconds after"
    };
    advise(found, advice)
}

/// The engine log's clock cannot be lined up with the samples.
pub(super) fn no_clock(known: &Known<'_>) -> Option<Diagnostic> {
    let derived = known.derived?;
    // What a server answers has no time.
    known.evidence.engine.as_ref().filter(|engine| !engine.facts.answered)?;
    if derived.alignment.is_some() {
        return None;
    }
    if let Some(age) = known.evidence.gpu.as_ref().and_then(|gpu| clock::age(known.facts, gpu)) {
        return log_of_another_time(known, age);
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

/// The engine log is whole, and of another time than the recording.
fn log_of_another_time(known: &Known<'_>, age: Age) -> Option<Diagnostic> {
    let (how, by) = match age {
        Age::Before(by) => ("ends", by),
        Age::After(by) => ("begins", by),
    };
    let side = if matches!(age, Age::Before(_)) { "before the recording begins" } else { "after the recording ends" };
    let message = format!(
        "the engine log {how} {} {side}; its figures are of that time, and phases are told by the samples alone",
        long(by)
    );
    let older = matches!(age, Age::Before(_));
    let code = if older { "log_is_older" } else { "log_is_newer" };
    let severity = if older && known.was_attached() { Severity::Info } else { Severity::Warning };
    let found = Diagnostic { evidence: Figures::new().time("log_apart", by), ..diagnostic(code, severity, message) };
    let advice = if known.was_attached() {
        "that is how a server's log is that has written nothing since; it tells how the server was started"
    } else {
        "see whether it is the log of this run; if it is, the clocks of the two machines differ"
    };
    advise(found, advice)
}

/// A recording has fewer samples than this part of those that its period promises.
const FEW: u64 = 2;
/// Of fewer samples than this, no word is made.
const MANY: u64 = 20;

/// The recording has far fewer samples than the period that was asked for promises.
pub(super) fn few_samples(known: &Known<'_>) -> Option<Diagnostic> {
    let timeline = &known.derived?.timeline;
    let (period, length) = (known.evidence.gpu.as_ref()?.asked_period?, timeline.span()?.length());
    let promised = u64::try_from(length.as_nanos().checked_div(period.as_nanos())?).ok()?;
    let there = u64::try_from(timeline.ticks().count()).ok()?;
    if promised < MANY || there.saturating_mul(FEW) >= promised {
        return None;
    }
    let message = format!(
        "{there} samples are there, of {promised} that one each {} ms makes in {:.1} s: a peak between them is not seen",
        period.as_millis(),
        length.as_secs_f64()
    );
    let evidence = Figures::new().count("samples_count", there).count("promised_samples_count", promised);
    let found = Diagnostic { evidence, ..diagnostic("few_samples", Severity::Warning, message) };
    advise(found, "sample less often, or look for what kept the sampler from its work: a busy machine, a slow driver")
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
    let is_measured = |method| ["rise_after_pool", Basis::ALLOCATOR_SNAPSHOT].contains(&method);
    let activations = attribution.total.component(ComponentKind::Activations);
    if !unseen || activations.is_some_and(|activations| is_measured(activations.basis.method)) {
        return None;
    }
    let message =
        "the allocation of the KV pool does not show as one step in the samples; activations at the peak are \
                   not measured"
            .to_owned();
    let found = diagnostic("pool_step_not_seen", Severity::Info, message);
    let advice = match (known.was_conducted(), known.was_attached()) {
        (true, _) => "sample more often: --interval 20ms",
        (_, true) => "a server that runs already has its pool: let vramscope profile start the engine",
        _ => "sample more often (100 ms or less) and from before the engine starts",
    };
    advise(found, advice)
}

/// `1 gap`, `2 gaps`.
fn counted(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}
