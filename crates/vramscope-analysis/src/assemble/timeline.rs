//! The timeline, its phases and its gaps.

use std::collections::BTreeMap;
use std::time::Duration;

use vramscope_core::{Bytes, DeviceIndex, Phase, Reading, Sample, Stats, Timeline, Window};
use vramscope_schema::Amount;
use vramscope_schema::v3::{
    ClockRange, EnergyUse, ExtendedMetrics, GapInfo, GpuTimeline, MemoryTimeline, PercentRange, PhaseGpu, PhaseInfo,
    PowerRange, Reduction, TemperatureRange, TimelinePoint,
};

use crate::derive::Derived;
use crate::evidence::gpu_log::Clock;
use crate::known::Known;

/// A profile shows at most so many ticks; all of them are in the GPU log beside it, and the statistics are over all.
const MOST_POINTS: usize = 1000;

pub(super) fn memory_timeline(run: &Known<'_>) -> Option<MemoryTimeline> {
    let derived = run.derived?;
    let timeline = &derived.timeline;
    let stats = timeline.total_used(Window::ALL)?;
    let utc = run.evidence.gpu.as_ref().is_some_and(|gpu| gpu.clock == Clock::Utc);
    let (points, reduction) = points(timeline, timeline.anchor_unix_ns().filter(|_| utc));
    Some(MemoryTimeline {
        period_ms: timeline.period().map(Amount::milliseconds),
        timeline: points,
        reduction,
        extended: extended(timeline),
        per_gpu: per_gpu(timeline),
        ..MemoryTimeline::from(&stats)
    })
}

fn per_gpu(timeline: &Timeline) -> Vec<GpuTimeline> {
    timeline.used_by_device(Window::ALL).iter().map(|(device, stats)| GpuTimeline::of(*device, stats)).collect()
}

/// The complete ticks, thinned out to the smallest and largest total of each stretch where there are too many: a peak
/// or a valley is never lost.
fn points(timeline: &Timeline, anchor: Option<i64>) -> (Vec<TimelinePoint>, Option<Reduction>) {
    let devices = timeline.devices().len();
    let ticks: Vec<&[Sample]> = timeline.ticks().filter(|tick| tick.len() == devices).collect();
    let used = |tick: &&&[Sample]| tick.iter().map(|s| s.reading.used.get()).fold(0, u64::saturating_add);
    if ticks.len() <= MOST_POINTS {
        return (ticks.iter().map(|tick| point(tick, anchor)).collect(), None);
    }
    let stretch = ticks.len().div_ceil(MOST_POINTS / 2);
    let mut kept: Vec<TimelinePoint> = Vec::new();
    for chunk in ticks.chunks(stretch) {
        let (low, high) = (chunk.iter().min_by_key(used), chunk.iter().max_by_key(used));
        let mut pair: Vec<&&[Sample]> = low.into_iter().chain(high).collect();
        pair.sort_by_key(|tick| tick.first().map(|s| s.at));
        pair.dedup_by_key(|tick| tick.first().map(|s| s.at));
        kept.extend(pair.into_iter().map(|tick| point(tick, anchor)));
    }
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let reduction = Reduction { kept: count(kept.len()), of: count(ticks.len()), method: "min_max".to_owned() };
    (kept, Some(reduction))
}

fn point(tick: &[Sample], anchor: Option<i64>) -> TimelinePoint {
    let at = tick.first().map_or(Duration::ZERO, |s| s.at);
    let power: Option<f64> = tick.iter().map(|s| s.reading.power_mw.map(|mw| f64::from(mw) / 1e3)).sum();
    let busy: Option<f64> = tick.iter().map(|s| s.reading.utilization_pct.map(f64::from)).sum();
    let gpus = f64::from(u32::try_from(tick.len()).unwrap_or(1).max(1));
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 with a fraction, as the key is defined")]
    let wall = |anchor: i64| anchor as f64 / 1e9 + at.as_secs_f64();
    TimelinePoint {
        timestamp: anchor.map(wall),
        at_ns: nanoseconds(at),
        memory_bytes: Bytes::checked_sum(tick.iter().map(|s| s.reading.used)).map(Bytes::get),
        power_w: power.and_then(Amount::new),
        temp_c: tick.iter().filter_map(|s| s.reading.temperature_c).max().map(f64::from),
        utilization_pct: busy.and_then(|sum| Amount::new(short(sum / gpus))),
    }
}

fn extended(timeline: &Timeline) -> Option<ExtendedMetrics> {
    let of = |quantity: fn(&Reading) -> Option<u64>| timeline.summary(Window::ALL, quantity);
    let metrics = ExtendedMetrics {
        power: of(|r| r.power_mw.map(u64::from)).as_ref().map(PowerRange::of_milliwatts),
        temperature: of(|r| r.temperature_c.map(u64::from)).as_ref().map(TemperatureRange::from),
        memory_temperature: of(|r| r.memory_temperature_c.map(u64::from)).as_ref().map(TemperatureRange::from),
        utilization: of(|r| r.utilization_pct.map(u64::from)).as_ref().map(PercentRange::from),
        memory_utilization: of(|r| r.memory_utilization_pct.map(u64::from)).as_ref().map(PercentRange::from),
        sm_clock: of(|r| r.sm_clock_mhz.map(u64::from)).as_ref().map(ClockRange::from),
        memory_clock: of(|r| r.memory_clock_mhz.map(u64::from)).as_ref().map(ClockRange::from),
        energy: energy(timeline).map(|total| EnergyUse { total_j: Amount::new(total) }),
    };
    (metrics != ExtendedMetrics::default()).then_some(metrics)
}

/// What the devices' energy counters advanced from the first reading to the last, in joules. One reading is no advance,
/// and a counter that goes back (a driver reload) gives no figure.
fn energy(timeline: &Timeline) -> Option<f64> {
    let fast = timeline.samples().iter().filter_map(|s| Some((s.device, (s.at, s.reading.energy_mj?))));
    let slow = timeline.slow_samples().iter().filter_map(|s| Some((s.device, (s.at, s.reading.energy_mj?))));
    // The first and the last count of each device; of two at one time the later one stands.
    let mut ends: BTreeMap<DeviceIndex, [(Duration, u64); 2]> = BTreeMap::new();
    for (device, count) in fast.chain(slow) {
        let [first, last] = ends.entry(device).or_insert([count; 2]);
        if count.0 <= first.0 {
            *first = count;
        }
        if count.0 >= last.0 {
            *last = count;
        }
    }
    let mut total = 0u64;
    for device in timeline.devices() {
        let [first, last] = ends.get(&device.index)?;
        if first.0 == last.0 {
            return None;
        }
        total = total.checked_add(last.1.checked_sub(first.1)?)?;
    }
    let joules = Bytes::new(total).as_f64() / 1e3;
    (!timeline.devices().is_empty()).then_some(joules)
}

pub(super) fn phases(run: &Known<'_>) -> Option<Vec<PhaseInfo>> {
    let derived = run.derived?;
    let marked: Vec<PhaseInfo> = Phase::ALL
        .into_iter()
        .filter_map(|phase| Some(phase_info(derived, phase, derived.timeline.window(phase)?)))
        .collect();
    (!marked.is_empty()).then_some(marked)
}

/// The longest time over which drivers say how busy a device was (`nvmlUtilization_t`: a sixth of a second to a second): in
/// a shorter phase they speak of the one before.
const UTILIZATION_PERIOD: Duration = Duration::from_secs(1);

fn phase_info(derived: &Derived, phase: Phase, window: Window) -> PhaseInfo {
    let timeline = &derived.timeline;
    let devices = timeline.devices();
    let power = timeline.summary(window, |r| r.power_mw.map(u64::from));
    let told = window.length() >= UTILIZATION_PERIOD;
    let busy = timeline.summary(window, |r| r.utilization_pct.map(u64::from)).filter(|_| told);
    let of_device = |(device, stats): (&DeviceIndex, &Stats)| {
        let whole = GpuTimeline::of(*device, stats);
        PhaseGpu {
            gpu: device.0,
            peak_bytes: whole.max_bytes,
            mean_bytes: whole.mean_bytes,
            min_bytes: whole.min_bytes,
        }
    };
    let all = f64::from(u32::try_from(devices.len()).unwrap_or(1));
    let apart = if devices.len() > 1 { timeline.used_by_device(window) } else { BTreeMap::new() };
    PhaseInfo {
        mean_power_w: power.and_then(|s| Amount::new(short(s.mean / 1e3 * all))),
        mean_utilization_pct: busy.and_then(|s| Amount::new(short(s.mean))),
        per_gpu: apart.iter().map(of_device).collect(),
        ..PhaseInfo::of(phase, window, timeline.total_used(window).as_ref())
    }
}

pub(super) fn gaps(derived: &Derived) -> Vec<GapInfo> {
    derived.timeline.gaps().iter().filter_map(GapInfo::of).collect()
}

fn nanoseconds(at: Duration) -> Option<u64> {
    u64::try_from(at.as_nanos()).ok()
}

/// Three decimals: readings are whole numbers of a thousandth at best.
fn short(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use vramscope_core::{Device, SlowReading, SlowSample};

    use super::*;

    fn counted(counts: &[(u64, Option<u64>)]) -> Timeline {
        let mut timeline = Timeline::new(None);
        timeline.describe(Device::unnamed(DeviceIndex(0)));
        for &(second, energy_mj) in counts {
            let reading = SlowReading { energy_mj, ..SlowReading::default() };
            timeline.push_slow(SlowSample { at: Duration::from_secs(second), device: DeviceIndex(0), reading });
        }
        timeline
    }

    #[test]
    fn energy_is_what_the_counter_of_slow_readings_advanced() {
        assert_eq!(energy(&counted(&[(0, Some(5_000)), (1, None), (7, Some(12_500)), (8, None)])), Some(7.5));
        assert_eq!(energy(&counted(&[(0, Some(5_000)), (7, Some(5_000))])), Some(0.0), "read twice, not used");
    }

    #[test]
    fn one_reading_and_a_counter_that_went_back_are_no_energy() {
        assert_eq!(energy(&counted(&[(0, Some(5_000)), (1, None)])), None);
        assert_eq!(energy(&counted(&[(0, Some(5_000)), (7, Some(3))])), None);
        assert_eq!(energy(&counted(&[(0, None)])), None);
    }
}
