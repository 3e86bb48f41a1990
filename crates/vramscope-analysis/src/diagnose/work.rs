//! How the devices were used while the engine worked.

use std::time::Duration;

use vramscope_core::{Phase, Throttle, Window};
use vramscope_schema::v3::{Diagnostic, Figures, LatencyStats, Severity};

use super::{advise, advise_on, diagnostic};
use crate::advice::Topic;
use crate::known::Known;

/// Below this share of the driver's windows with a kernel running, a device waits for work.
const UNDERUSED_PCT: f64 = 50.0;
/// A driver's share is a mean over up to a second before it is read: so much of the work is left out at its beginning,
/// and less than so much behind that says nothing.
const DRIVERS_WINDOW: Duration = Duration::from_secs(1);
const LEAST_WORK: Duration = Duration::from_secs(2);
/// Fewer readings than this say nothing of a share.
const LEAST_READINGS: usize = 10;
/// A reason that held the clocks for less than this share of the work is not worth a word.
const HELD_PCT: f64 = 5.0;
/// A standard deviation beyond this share of the mean is wide.
const WIDE_PCT: f64 = 10.0;
/// The slowest iteration takes so many times the fastest one.
const WIDE_TIMES: f64 = 1.5;
/// Fewer iterations than this have no spread.
const LEAST_ITERATIONS: u64 = 3;
/// From this share of hits on, the times are those of a warm cache.
const WARM_PCT: f64 = 5.0;

/// The time in which the engine did what was measured.
fn work(known: &Known<'_>) -> Option<Window> {
    known.derived?.timeline.window(Phase::Measure)
}

/// A device waited for work more than it worked.
pub(super) fn underused(known: &Known<'_>) -> Option<Diagnostic> {
    let derived = known.derived.filter(|_| !known.is_on_cpu())?;
    let whole = work(known)?;
    let window = Window { start: whole.start + DRIVERS_WINDOW, ..whole };
    if window.end < window.start + LEAST_WORK {
        return None;
    }
    let active = &derived.placement.active;
    let busy: Vec<f64> = derived
        .timeline
        .samples()
        .iter()
        .filter(|s| window.contains(s.at) && (active.is_empty() || active.contains(&s.device)))
        .filter_map(|s| s.reading.utilization_pct.map(f64::from))
        .collect();
    let count = u32::try_from(busy.len()).ok().filter(|_| busy.len() >= LEAST_READINGS)?;
    let mean = busy.iter().sum::<f64>() / f64::from(count);
    if mean >= UNDERUSED_PCT {
        return None;
    }
    let message = format!("a kernel ran in {mean:.0} % of the measured time: the device waited for work in the rest");
    let evidence = Figures::new().number("utilization_pct", mean).count("readings_count", u64::from(count));
    let found = Diagnostic { evidence, ..diagnostic("gpu_underused", Severity::Info, message) };
    advise_on(found, known, Topic::Underused)
}

/// Something held the clocks below what the devices can do.
pub(super) fn held_back(known: &Known<'_>) -> Option<Diagnostic> {
    const HEAT: Throttle = Throttle::THERMAL.with(Throttle::HARDWARE_THERMAL);
    const SUPPLY: Throttle = Throttle::HARDWARE.with(Throttle::POWER_BRAKE);
    let window = work(known)?;
    let samples = known.derived?.timeline.samples().iter().filter(|s| window.contains(s.at));
    let reasons: Vec<Throttle> = samples.filter_map(|s| s.reading.throttle).collect();
    let count = u32::try_from(reasons.len()).ok().filter(|_| reasons.len() >= LEAST_READINGS)?;
    let share = |of: Throttle| {
        let held = reasons.iter().filter(|held| Throttle::ALL.iter().any(|(one, _)| of.has(*one) && held.has(*one)));
        f64::from(u32::try_from(held.count()).unwrap_or(u32::MAX)) / f64::from(count) * 100.0
    };
    let causes = [
        (HEAT, "the temperature limit", Severity::Warning, "look at the cooling: fans, dust, the air in the case"),
        (SUPPLY, "the power supply", Severity::Warning, "look at the power cables and the supply"),
        (
            Throttle::POWER,
            "the power limit",
            Severity::Info,
            "that is usual under full load; nvidia-smi -q -d POWER shows the limit, and -pl sets it",
        ),
    ];
    let (share, what, severity, what_to_do) = causes
        .into_iter()
        .map(|(reason, what, severity, advice)| (share(reason), what, severity, advice))
        .find(|(share, ..)| *share >= HELD_PCT)?;
    let message = format!("{what} held the clocks down in {share:.0} % of the measured time");
    let evidence = Figures::new().number("held_back_pct", share).count("readings_count", u64::from(count));
    let found = Diagnostic { evidence, ..diagnostic("clocks_held_back", severity, message) };
    advise(found, what_to_do)
}

/// The measured iterations took times that are far apart.
pub(super) fn latency_varies(known: &Known<'_>) -> Option<Diagnostic> {
    let stats = LatencyStats::from(known.latency?);
    let iterations = stats.num_iterations.filter(|n| *n >= LEAST_ITERATIONS)?;
    let (mean, least, most) = (stats.mean_latency_ms?.get(), stats.min_latency_ms?.get(), stats.max_latency_ms?.get());
    let deviation = stats.stddev_latency_ms.map_or(0.0, |deviation| deviation.get() / mean * 100.0);
    if mean <= 0.0 || (deviation <= WIDE_PCT && most <= least * WIDE_TIMES) {
        return None;
    }
    let message = format!(
        "{iterations} iterations took from {least:.1} to {most:.1} ms, with a standard deviation of {deviation:.0} % of \
         the mean: the mean alone says little"
    );
    let evidence = Figures::new()
        .number("min_latency_ms", least)
        .number("max_latency_ms", most)
        .number("stddev_pct", deviation)
        .count("iterations_count", iterations);
    let found = Diagnostic { evidence, ..diagnostic("latency_varies", Severity::Warning, message) };
    advise(found, "measure more iterations after more of warm-up, and see that nothing else uses the machine")
}

/// Prompts that the engine did not have to compute make a measurement look better than it is.
pub(super) fn cache_hits(known: &Known<'_>) -> Option<Diagnostic> {
    let metrics = crate::assemble::engine_metrics(known)?;
    let hits = metrics.prefix_cache_hit_pct?.get();
    if hits < WARM_PCT {
        return None;
    }
    let message = format!("{hits:.0} % of the prompt tokens came from the prefix cache: they cost no computation");
    let evidence = Figures::new().number("prefix_cache_hit_pct", hits).count("readings_count", metrics.num_samples);
    let found = Diagnostic { evidence, ..diagnostic("prefix_cache_hits", Severity::Info, message) };
    advise(found, "for the times of prompts that are new to the engine, send other ones, or switch prefix caching off")
}
