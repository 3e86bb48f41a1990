//! Memory that goes on growing after everything that an engine plans for is in place.
//!
//! An engine allocates in steps: pool, graphs, the first large batch. A leak goes on. So the time after the pool is cut
//! into equal parts, and of each the *lowest* level counts: a step lifts it once, a burst not at all, and a leak in nearly
//! every part. Levels are compared to what a framework's allocator takes at a time, so that its segments are no leak.

use std::collections::BTreeMap;
use std::time::Duration;

use vramscope_core::{Bytes, DeviceIndex, Milestone, Phase, Sample, Window};
use vramscope_schema::v3::{Diagnostic, Figures, Severity};

use super::{advise, diagnostic, long};
use crate::derive::Derived;
use crate::known::Known;

/// Parts into which the time is cut.
const PARTS: u32 = 20;
/// In so many of the steps from part to part the level rises at least, and in this share of them.
const LEAST_RISES: usize = 8;
const RISES_PCT: usize = 80;
/// A recording of fewer samples after the pool tells no growth from noise.
const LEAST_SAMPLES: usize = 100;
/// Growth of less than this is that of the allocator's segments.
const LEAST_GROWTH: u64 = 32 << 20;
/// One step of more than this share of the growth is an allocation that was planned.
const LARGEST_STEP_PCT: u64 = 50;
/// The second half grows by at least this share of what the first half grew.
const GOES_ON_PCT: u64 = 30;

/// A device's growth.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Growth {
    /// Since when it goes on.
    since: Duration,
    /// By how much the level rose from then to the end.
    grown: Bytes,
    /// In which time.
    over: Duration,
}

impl Growth {
    fn bytes_per_second(&self) -> f64 {
        self.grown.as_f64() / self.over.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// Memory grows while the engine works.
pub(super) fn grows(known: &Known<'_>) -> Option<Diagnostic> {
    // A process of the host touches its cache bit by bit; that is growth by design.
    let derived = known.derived.filter(|_| !known.is_on_cpu())?;
    let samples = derived.timeline.by_device(Window::ALL);
    let devices = derived.placement.active.iter().filter_map(|device| {
        let window = settled(derived, known, *device)?;
        let inside: Vec<&Sample> =
            samples.get(device)?.iter().copied().filter(|sample| window.contains(sample.at)).collect();
        Some((*device, window, growth(&inside)?))
    });
    let (device, window, growth) = devices.max_by(|a, b| a.2.bytes_per_second().total_cmp(&b.2.bytes_per_second()))?;
    let rate = growth.bytes_per_second();
    let process = process(derived, device, window, growth.grown);
    let by = process.as_ref().map_or(String::new(), |(pid, name)| match name {
        Some(name) => format!(", of process {pid} ({name})"),
        None => format!(", of process {pid}"),
    });
    let free = free_at_the_end(derived, device, samples.get(&device)?);
    let full_in = free.and_then(|free| Duration::try_from_secs_f64(free.as_f64() / rate).ok());
    let full = full_in.map_or(String::new(), |time| format!("; at this rate the device is full in {}", long(time)));
    let message = format!(
        "memory of device {device} grows by {:.1} MiB a minute since {:.0} s{by}: {} more in {:.0} s, after the KV pool \
         was allocated{full}",
        rate * 60.0 / f64::from(1 << 20),
        growth.since.as_secs_f64(),
        growth.grown,
        growth.over.as_secs_f64(),
    );
    let mut evidence = Figures::new()
        .bytes("grown", growth.grown)
        .number("bytes_per_second", rate)
        .time("since", growth.since)
        .time("grown_over", growth.over);
    if let Some((pid, _)) = process {
        evidence = evidence.count("process_id", u64::from(pid));
    }
    if let Some(full_in) = full_in {
        evidence = evidence.time("full_in", full_in);
    }
    let found = Diagnostic { evidence, ..diagnostic("memory_grows", Severity::Warning, message) };
    advise(
        found,
        "an engine at work takes no more memory than it planned: look for a leak in what was added to it, and for other \
         programs on the device",
    )
}

/// The time in which a device's memory should stand still: from when the pool is there, or the engine is ready, to when
/// it ends.
fn settled(derived: &Derived, known: &Known<'_>, device: DeviceIndex) -> Option<Window> {
    let timeline = &derived.timeline;
    let pool = derived.levels_of(device).and_then(|levels| levels.after_pool).map(|level| level.at);
    let starts = |phase: Phase| timeline.window(phase).map(|window| window.start);
    let ready = starts(Phase::Ready).or(starts(Phase::Warmup)).or(starts(Phase::Measure));
    let sized = known.facts.event(Milestone::KvPoolSized).is_some();
    let start = match (pool, ready) {
        (Some(pool), Some(ready)) => pool.max(ready),
        (Some(at), None) => at,
        (None, Some(at)) if sized || known.was_conducted() || known.was_attached() => at,
        _ => return None,
    };
    let end = [Phase::Shutdown, Phase::Settle].into_iter().find_map(starts).or(timeline.span().map(|span| span.end))?;
    (start < end).then_some(Window { start, end })
}

/// Whether the level of these samples goes on rising, in order of time.
fn growth(samples: &[&Sample]) -> Option<Growth> {
    if samples.len() < LEAST_SAMPLES {
        return None;
    }
    let (first, last) = (samples.first()?.at, samples.last()?.at);
    let part = last.checked_sub(first)?.checked_div(PARTS).filter(|part| !part.is_zero())?;
    let mut lows: Vec<u64> = Vec::new();
    for number in 0..PARTS {
        let start = first + part * number;
        let from = samples.partition_point(|sample| sample.at < start);
        let to = if number + 1 == PARTS { samples.len() } else { samples.partition_point(|s| s.at < start + part) };
        lows.push(samples[from..to].iter().map(|sample| sample.reading.used.get()).min()?);
    }
    // Warm-up and the first large batch lift the level once, at the beginning: what goes on is looked for behind them.
    (0..lows.len()).find_map(|skipped| {
        let lows = &lows[skipped..];
        let steps: Vec<u64> = lows.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        let rises = steps.iter().filter(|step| **step > 0).count();
        let falls = lows.windows(2).any(|pair| pair[1] < pair[0]);
        let grown = lows.last()?.checked_sub(*lows.first()?)?;
        let middle = lows[lows.len() / 2];
        let (early, late) = (middle.checked_sub(lows[0])?, lows.last()?.checked_sub(middle)?);
        let largest = *steps.iter().max()?;
        let goes_on = late >= early / 100 * GOES_ON_PCT && late > 0 && steps.last().is_some_and(|step| *step > 0);
        let spread_out = largest <= grown / 100 * LARGEST_STEP_PCT;
        let often = rises >= LEAST_RISES && rises * 100 >= steps.len() * RISES_PCT;
        let found = often && !falls && grown >= LEAST_GROWTH && goes_on && spread_out;
        let over = part * u32::try_from(steps.len()).ok()?;
        let since = first + part * u32::try_from(skipped).ok()?;
        found.then_some(Growth { since, grown: Bytes::new(grown), over })
    })
}

/// The process that grew by most of it, where the driver lists processes.
fn process(derived: &Derived, device: DeviceIndex, window: Window, grown: Bytes) -> Option<(u32, Option<String>)> {
    let mut held: BTreeMap<u32, (Bytes, Bytes, Option<String>)> = BTreeMap::new();
    let listed = derived.timeline.slow_samples().iter().filter(|s| s.device == device && window.contains(s.at));
    for process in listed.flat_map(|slow| slow.reading.processes.iter().flatten()) {
        let Some(used) = process.used else { continue };
        held.entry(process.pid)
            .and_modify(|(_, last, _)| *last = used)
            .or_insert_with(|| (used, used, process.name.clone()));
    }
    let growth = held.into_iter().filter_map(|(pid, (first, last, name))| Some((last.checked_sub(first)?, pid, name)));
    let (most, pid, name) = growth.max_by_key(|(growth, ..)| *growth)?;
    (most.get() >= grown.get() / 2).then_some((pid, name))
}

fn free_at_the_end(derived: &Derived, device: DeviceIndex, samples: &[&Sample]) -> Option<Bytes> {
    let most = samples.iter().map(|sample| sample.reading.used).max()?;
    derived.timeline.device(device)?.usable()?.checked_sub(most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vramscope_core::Reading;

    const MIB: u64 = 1 << 20;

    fn found(level: impl Fn(u64) -> u64) -> Option<Growth> {
        let samples: Vec<Sample> = (0..600)
            .map(|tick| {
                let reading = Reading { used: Bytes::new(level(u64::from(tick)) * MIB), ..Reading::default() };
                Sample { at: Duration::from_millis(100) * tick, tick, device: DeviceIndex(0), reading }
            })
            .collect();
        growth(&samples.iter().collect::<Vec<_>>())
    }

    #[test]
    fn a_leak_is_seen_with_its_slope_and_its_beginning() {
        let steady = found(|tick| 70_000 + tick / 2).unwrap();
        assert_eq!(steady.since, Duration::ZERO);
        assert!((steady.bytes_per_second() / f64::from(1 << 20) - 5.0).abs() < 0.3, "{steady:?}");
        // Warm-up lifts the level, bursts come and go, and segments come two at a time.
        let noisy = found(|tick| {
            let warm = if tick < 30 { 0 } else { 4_000 };
            let burst = if tick % 7 == 0 { 900 } else { 0 };
            70_000 + warm + burst + tick / 10 * 4
        });
        assert!(noisy.is_some_and(|growth| growth.since > Duration::ZERO), "{noisy:?}");
    }

    #[test]
    fn plateaus_steps_and_bursts_are_no_leak() {
        assert_eq!(found(|_| 70_000), None);
        assert_eq!(found(|tick| 70_000 + u64::from(tick > 300) * 2_000), None, "a planned step");
        assert_eq!(found(|tick| 70_000 + tick.min(100) * 20), None, "what grows at first and stands then");
        assert_eq!(found(|tick| 70_000 + (tick % 60) * 20), None, "what comes and goes");
        assert_eq!(found(|tick| 70_000 + tick / 60 * 2), None, "2 MiB at a time, ten times");
        assert_eq!(found(|tick| 70_000 + [0, 500, 500, 900, 900, 900][usize::try_from(tick / 100).unwrap()]), None);
    }
}
