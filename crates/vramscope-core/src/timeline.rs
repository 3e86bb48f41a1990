//! All samples of a run, with its phase marks and its gaps.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::{
    Bytes, Device, DeviceIndex, Phase, PhaseMark, Reading, Sample, SlowSample, Stats, Summary, Window, upper_median,
};

/// Why there is no sample where one was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapCause {
    /// The backend's read failed.
    FailedRead,
    /// The sampler came too late for the tick, or the recording has a hole.
    MissedTicks,
    /// The device is gone: no reading of it succeeds any more.
    DeviceLost,
    /// The readings were taken, but whoever keeps them could not follow.
    Dropped,
}

impl GapCause {
    /// All causes.
    pub const ALL: [Self; 4] = [Self::FailedRead, Self::MissedTicks, Self::DeviceLost, Self::Dropped];

    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FailedRead => "failed_read",
            Self::MissedTicks => "missed_ticks",
            Self::DeviceLost => "device_lost",
            Self::Dropped => "dropped",
        }
    }
}

/// A span without samples. It is reported as such and never filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// From the last sample before it to the first one after it.
    pub window: Window,
    /// The device without samples; `None` when it is all of them.
    pub device: Option<DeviceIndex>,
    /// Why.
    pub cause: GapCause,
    /// How many samples are missing, by the timeline's own period.
    pub missed: u64,
}

/// Memory in use on all devices together at one tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TickTotal {
    /// When, since the anchor (the first sample of the tick).
    pub at: Duration,
    /// The sum over devices.
    pub used: Bytes,
}

/// Samples in order of time, with marks and gaps. Times count from one anchor; the wall clock is kept once.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    anchor_unix_ns: Option<i64>,
    devices: Vec<Device>,
    samples: Vec<Sample>,
    slow: Vec<SlowSample>,
    marks: Vec<PhaseMark>,
    gaps: Vec<Gap>,
}

/// A sample that does not fit into the timeline being built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimelineError {
    /// Ticks must not go back.
    #[error("append a sample of tick {tick}: the timeline is already at tick {last}")]
    TickGoesBack {
        /// The sample's tick.
        tick: u32,
        /// The last tick in the timeline.
        last: u32,
    },
    /// Marks must not go back.
    #[error("mark the phase {phase} at {at:?}: the phase before began at {last:?}")]
    MarkGoesBack {
        /// The phase to be marked.
        phase: Phase,
        /// When it should begin.
        at: Duration,
        /// When the phase before it begins.
        last: Duration,
    },
}

impl Timeline {
    /// An empty timeline. `anchor_unix_ns` is the wall clock at the anchor, in nanoseconds since 1970 UTC, if known.
    pub fn new(anchor_unix_ns: Option<i64>) -> Self {
        Self { anchor_unix_ns, ..Self::default() }
    }

    /// Appends a sample; its tick must not lie before the last one.
    ///
    /// # Errors
    /// [`TimelineError::TickGoesBack`].
    pub fn push(&mut self, sample: Sample) -> Result<(), TimelineError> {
        if let Some(last) = self.samples.last().filter(|last| sample.tick < last.tick) {
            return Err(TimelineError::TickGoesBack { tick: sample.tick, last: last.tick });
        }
        if let Err(place) = self.place_of(sample.device) {
            self.devices.insert(place, Device::unnamed(sample.device));
        }
        self.samples.push(sample);
        Ok(())
    }

    /// States what is known of a device; replaces an earlier statement of the same index.
    pub fn describe(&mut self, device: Device) {
        match self.place_of(device.index) {
            Ok(place) => self.devices[place] = device,
            Err(place) => self.devices.insert(place, device),
        }
    }

    /// Where a device stands among [`Self::devices`], or would stand.
    fn place_of(&self, device: DeviceIndex) -> Result<usize, usize> {
        self.devices.binary_search_by_key(&device, |known| known.index)
    }

    /// Marks the beginning of a phase. A phase marked at the same instant as the one before replaces nothing: the one
    /// before has no length.
    ///
    /// # Errors
    /// [`TimelineError::MarkGoesBack`].
    pub fn mark(&mut self, mark: PhaseMark) -> Result<(), TimelineError> {
        if let Some(last) = self.marks.last().filter(|last| mark.at < last.at) {
            return Err(TimelineError::MarkGoesBack { phase: mark.phase, at: mark.at, last: last.at });
        }
        self.marks.push(mark);
        Ok(())
    }

    /// Appends a slow reading. Their order is the order of arrival.
    pub fn push_slow(&mut self, sample: SlowSample) {
        self.slow.push(sample);
    }

    /// Notes a span without samples.
    pub fn note_gap(&mut self, gap: Gap) {
        self.gaps.push(gap);
    }

    /// What it says of these devices, with all marks and with the gaps that are not of other devices.
    pub fn of_devices(&self, devices: &BTreeSet<DeviceIndex>) -> Self {
        let among = |device: DeviceIndex| devices.contains(&device);
        Self {
            anchor_unix_ns: self.anchor_unix_ns,
            devices: self.devices.iter().filter(|device| among(device.index)).cloned().collect(),
            samples: self.samples.iter().filter(|sample| among(sample.device)).copied().collect(),
            slow: self.slow.iter().filter(|sample| among(sample.device)).cloned().collect(),
            marks: self.marks.clone(),
            gaps: self.gaps.iter().filter(|gap| gap.device.is_none_or(among)).copied().collect(),
        }
    }

    /// The wall clock at the anchor, in nanoseconds since 1970 UTC.
    pub fn anchor_unix_ns(&self) -> Option<i64> {
        self.anchor_unix_ns
    }

    /// The devices seen, by index.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// What is known of a device, if it was seen.
    pub fn device(&self, device: DeviceIndex) -> Option<&Device> {
        self.place_of(device).ok().and_then(|place| self.devices.get(place))
    }

    /// All samples, in order of ticks.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The slow readings, in order of arrival.
    pub fn slow_samples(&self) -> &[SlowSample] {
        &self.slow
    }

    /// The phase marks, in order of time.
    pub fn marks(&self) -> &[PhaseMark] {
        &self.marks
    }

    /// The gaps, in order of notice.
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// From the first sample to just after the last one; `None` without samples.
    pub fn span(&self) -> Option<Window> {
        let first = self.samples.iter().map(|s| s.at).min()?;
        let last = self.samples.iter().map(|s| s.at).max()?;
        Some(Window { start: first, end: last + Duration::from_nanos(1) })
    }

    /// The window of a phase: from its mark to the next one, or to the end of the timeline. `None` if it was not marked.
    pub fn window(&self, phase: Phase) -> Option<Window> {
        let place = self.marks.iter().position(|m| m.phase == phase)?;
        let start = self.marks[place].at;
        let end = self.marks.get(place + 1).map(|next| next.at).or_else(|| self.span().map(|s| s.end))?;
        Some(Window { start, end: end.max(start) })
    }

    /// The ticks in order, each as the samples of all devices at that instant.
    pub fn ticks(&self) -> impl Iterator<Item = &[Sample]> {
        self.samples.chunk_by(|a, b| a.tick == b.tick)
    }

    /// The sum over devices at each complete tick in the window. A tick in which a device is missing has no total.
    pub fn totals(&self, window: Window) -> impl Iterator<Item = TickTotal> {
        let devices = self.devices.len();
        self.ticks().filter_map(move |tick| {
            let at = tick.first()?.at;
            if tick.len() != devices || !window.contains(at) {
                return None;
            }
            Bytes::checked_sum(tick.iter().map(|s| s.reading.used)).map(|used| TickTotal { at, used })
        })
    }

    /// Statistics of the memory in use on all devices together, over the complete ticks of the window.
    pub fn total_used(&self, window: Window) -> Option<Stats> {
        let mut used: Vec<u64> = self.totals(window).map(|t| t.used.get()).collect();
        Stats::of(&mut used)
    }

    /// The complete tick with the largest total in the window: the first one, if there are several.
    pub fn peak(&self, window: Window) -> Option<TickTotal> {
        self.totals(window).reduce(|best, next| if next.used > best.used { next } else { best })
    }

    /// Statistics of the memory in use on one device.
    pub fn device_used(&self, device: DeviceIndex, window: Window) -> Option<Stats> {
        let mut used: Vec<u64> = self.of_device(device, window).map(|s| s.reading.used.get()).collect();
        Stats::of(&mut used)
    }

    /// Statistics of the memory in use on each device that has samples in the window, from one pass over all of them.
    pub fn used_by_device(&self, window: Window) -> BTreeMap<DeviceIndex, Stats> {
        let used = self.by_device(window).into_iter().filter_map(|(device, samples)| {
            let mut used: Vec<u64> = samples.iter().map(|s| s.reading.used.get()).collect();
            Some((device, Stats::of(&mut used)?))
        });
        used.collect()
    }

    /// The samples in the window, apart by device. For one device [`Self::of_device`] is cheaper; for all of them this
    /// is, since it goes through the samples once.
    pub fn by_device(&self, window: Window) -> BTreeMap<DeviceIndex, Vec<&Sample>> {
        let mut apart: BTreeMap<DeviceIndex, Vec<&Sample>> = BTreeMap::new();
        for sample in self.samples.iter().filter(|s| window.contains(s.at)) {
            apart.entry(sample.device).or_default().push(sample);
        }
        apart
    }

    /// The samples of one device in the window.
    pub fn of_device(&self, device: DeviceIndex, window: Window) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |s| s.device == device && window.contains(s.at))
    }

    /// Statistics of any other quantity, over all devices' readings in the window that have it.
    ///
    /// ```
    /// # use vramscope_core::{Timeline, Window};
    /// # let timeline = Timeline::new(None);
    /// let power = timeline.summary(Window::ALL, |reading| reading.power_mw.map(u64::from));
    /// assert!(power.is_none(), "an empty timeline has no power");
    /// ```
    pub fn summary(&self, window: Window, quantity: impl Fn(&Reading) -> Option<u64>) -> Option<Summary> {
        let mut values: Vec<u64> =
            self.samples.iter().filter(|s| window.contains(s.at)).filter_map(|s| quantity(&s.reading)).collect();
        Summary::of(&mut values)
    }

    /// The usual time between two ticks: the median step. `None` with fewer than two ticks.
    pub fn period(&self) -> Option<Duration> {
        let mut starts = self.ticks().filter_map(|tick| tick.first().map(|s| s.at));
        let mut last = starts.next()?;
        let mut steps: Vec<Duration> = Vec::new();
        for at in starts {
            steps.push(at.saturating_sub(last));
            last = at;
        }
        upper_median(&mut steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at_ms: u64, tick: u32, device: u32, used: u64) -> Sample {
        Sample {
            at: Duration::from_millis(at_ms),
            tick,
            device: DeviceIndex(device),
            reading: Reading { used: Bytes::new(used), ..Reading::default() },
        }
    }

    fn two_devices() -> Timeline {
        let mut t = Timeline::new(None);
        for s in [
            sample(0, 0, 0, 1),
            sample(0, 0, 1, 10),
            sample(100, 1, 0, 100),
            sample(200, 2, 0, 5),
            sample(201, 2, 1, 50),
        ] {
            t.push(s).unwrap();
        }
        t
    }

    #[test]
    fn a_tick_without_a_device_has_no_total() {
        let t = two_devices();
        let totals: Vec<u64> = t.totals(Window::ALL).map(|t| t.used.get()).collect();
        assert_eq!(totals, [11, 55], "the tick at 100 ms lacks device 1 and must not count as a total of 100");
        assert_eq!(t.peak(Window::ALL).unwrap().used, Bytes::new(55));
        assert_eq!(t.device_used(DeviceIndex(0), Window::ALL).unwrap().max, Bytes::new(100));
    }

    #[test]
    fn devices_apart_are_what_each_device_alone_is() {
        let mut t = two_devices();
        t.describe(Device { total: Some(Bytes::new(99)), ..Device::unnamed(DeviceIndex(1)) });
        t.describe(Device::unnamed(DeviceIndex(7)));
        let window = Window { start: Duration::ZERO, end: Duration::from_millis(201) };
        for device in [0, 1, 7].map(DeviceIndex) {
            assert_eq!(t.used_by_device(window).get(&device).copied(), t.device_used(device, window));
            let alone: Vec<&Sample> = t.of_device(device, window).collect();
            assert_eq!(t.by_device(window).remove(&device).unwrap_or_default(), alone);
            assert_eq!(t.device(device).map(|d| d.index), Some(device));
        }
        assert_eq!(t.device(DeviceIndex(1)).and_then(|d| d.total), Some(Bytes::new(99)));
        assert_eq!((t.device(DeviceIndex(2)), t.devices().len()), (None, 3));
    }

    #[test]
    fn a_phase_lasts_to_the_next_mark_and_the_last_to_the_end() {
        let mut t = two_devices();
        t.mark(PhaseMark { phase: Phase::Baseline, at: Duration::ZERO }).unwrap();
        t.mark(PhaseMark { phase: Phase::Load, at: Duration::from_millis(150) }).unwrap();
        let baseline = t.window(Phase::Baseline).unwrap();
        assert!(baseline.contains(Duration::from_millis(100)) && !baseline.contains(Duration::from_millis(150)));
        assert!(t.window(Phase::Load).unwrap().contains(Duration::from_millis(201)));
        assert_eq!(t.window(Phase::Measure), None);
    }

    #[test]
    fn time_does_not_go_back() {
        let mut t = two_devices();
        assert!(matches!(t.push(sample(300, 1, 0, 1)), Err(TimelineError::TickGoesBack { tick: 1, last: 2 })));
        t.mark(PhaseMark { phase: Phase::Load, at: Duration::from_secs(2) }).unwrap();
        assert!(t.mark(PhaseMark { phase: Phase::Ready, at: Duration::from_secs(1) }).is_err());
    }

    #[test]
    fn the_period_is_the_median_step() {
        assert_eq!(two_devices().period(), Some(Duration::from_millis(100)));
        assert_eq!(Timeline::new(None).period(), None);
    }
}
