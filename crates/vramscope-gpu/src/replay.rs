//! A backend that plays a recorded timeline.

use std::collections::BTreeMap;
use std::time::Duration;

use vramscope_core::{
    Device, DeviceIndex, GapCause, GpuProcess, Reading, Sample, SlowReading, SlowSample, Timeline, Window,
};

use crate::{BackendInfo, GpuBackend, GpuError};

/// How a recording is played.
pub enum Pace {
    /// Each reading is the next sample, however fast one asks.
    EachSample,
    /// The reading at the time that the function answers, counted from the recording's first sample.
    Clock(Box<dyn Fn() -> Duration + Send>),
}

impl std::fmt::Debug for Pace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::EachSample => "EachSample",
            Self::Clock(_) => "Clock",
        })
    }
}

/// Plays a recording. Where the recording has a gap, reading fails as it did then; after its end it fails for good.
///
/// ```
/// use std::time::Duration;
/// use vramscope_core::{Bytes, DeviceIndex, Reading, Sample, Timeline};
/// use vramscope_gpu::{GpuBackend as _, Pace, Replay};
///
/// let mut timeline = Timeline::new(None);
/// let reading = Reading { used: Bytes::new(7), ..Reading::default() };
/// timeline.push(Sample { at: Duration::ZERO, tick: 0, device: DeviceIndex(0), reading }).unwrap();
/// let mut replay = Replay::new(timeline, Pace::EachSample);
/// assert_eq!(replay.read(DeviceIndex(0)).unwrap().used, Bytes::new(7));
/// assert!(replay.read(DeviceIndex(0)).is_err(), "the recording is over");
/// ```
#[derive(Debug)]
pub struct Replay {
    timeline: Timeline,
    devices: BTreeMap<DeviceIndex, Recorded>,
    /// Of all samples together, found once.
    span: Option<Window>,
    pace: Pace,
}

/// One device's part of the recording.
#[derive(Debug, Default)]
struct Recorded {
    samples: Vec<Sample>,
    slow: Vec<SlowSample>,
    /// How many samples were given out, where time does not say which is the next.
    given: usize,
}

impl Replay {
    /// Plays this recording at this pace.
    pub fn new(timeline: Timeline, pace: Pace) -> Self {
        let mut devices: BTreeMap<DeviceIndex, Recorded> =
            timeline.devices().iter().map(|device| (device.index, Recorded::default())).collect();
        for sample in timeline.samples() {
            devices.entry(sample.device).or_default().samples.push(*sample);
        }
        for slow in timeline.slow_samples() {
            // A device of slow readings alone cannot be read.
            if let Some(recorded) = devices.get_mut(&slow.device) {
                recorded.slow.push(slow.clone());
            }
        }
        let span = timeline.span();
        Self { timeline, devices, span, pace }
    }

    fn now(&self) -> Option<Duration> {
        match &self.pace {
            Pace::EachSample => None,
            Pace::Clock(now) => self.span.map_or(Duration::ZERO, |span| span.start).checked_add(now()),
        }
    }

    fn in_gap(&self, device: DeviceIndex, at: Duration) -> Option<GapCause> {
        let concerns = |gap: &&vramscope_core::Gap| gap.device.is_none_or(|d| d == device);
        let inside = |gap: &&vramscope_core::Gap| gap.window.start < at && at < gap.window.end;
        self.timeline.gaps().iter().filter(concerns).find(inside).map(|gap| gap.cause)
    }
}

impl GpuBackend for Replay {
    fn name(&self) -> &'static str {
        "replay"
    }

    fn devices(&self) -> &[Device] {
        self.timeline.devices()
    }

    fn read(&mut self, device: DeviceIndex) -> Result<Reading, GpuError> {
        let now = self.now();
        let recorded = self.devices.get_mut(&device).ok_or(GpuError::NoSuchDevice { device })?;
        let Some(now) = now else {
            let sample = recorded.samples.get(recorded.given).ok_or(GpuError::NotRecorded { device })?;
            recorded.given += 1;
            return Ok(sample.reading);
        };
        if self.span.is_none_or(|span| now >= span.end) {
            return Err(GpuError::NotRecorded { device });
        }
        match self.in_gap(device, now) {
            Some(GapCause::DeviceLost) => {
                return Err(GpuError::Lost { device, what: "memory", detail: "as it was in the recording".into() });
            }
            Some(_) => return Err(GpuError::NotRecorded { device }),
            None => {}
        }
        let samples = self.devices.get(&device).map(|recorded| recorded.samples.as_slice()).unwrap_or_default();
        let after = samples.partition_point(|s| s.at <= now);
        let sample = after.checked_sub(1).and_then(|before| samples.get(before));
        sample.map(|s| s.reading).ok_or(GpuError::NotRecorded { device })
    }

    fn processes(&mut self, device: DeviceIndex) -> Result<Vec<GpuProcess>, GpuError> {
        self.read_slow(device)?.processes.ok_or(GpuError::Unsupported { device, what: "processes" })
    }

    fn read_slow(&mut self, device: DeviceIndex) -> Result<SlowReading, GpuError> {
        let samples = &self.devices.get(&device).ok_or(GpuError::NoSuchDevice { device })?.slow;
        let now = self.now().unwrap_or(Duration::MAX);
        let after = samples.partition_point(|s| s.at <= now);
        Ok(after.checked_sub(1).and_then(|before| samples.get(before)).map(|s| s.reading.clone()).unwrap_or_default())
    }

    fn info(&self) -> BackendInfo {
        BackendInfo { notes: vec!["readings of an earlier recording".into()], ..BackendInfo::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use vramscope_core::{Bytes, Gap, Window};

    fn recording() -> Timeline {
        let mut timeline = Timeline::new(None);
        for (tick, at_ms, used) in [(0, 500, 1), (1, 600, 2), (2, 900, 3)] {
            let reading = Reading { used: Bytes::new(used), ..Reading::default() };
            let at = Duration::from_millis(at_ms);
            timeline.push(Sample { at, tick, device: DeviceIndex(0), reading }).unwrap();
        }
        timeline.note_gap(Gap {
            window: Window { start: Duration::from_millis(600), end: Duration::from_millis(900) },
            device: None,
            cause: GapCause::MissedTicks,
            missed: 2,
        });
        timeline
    }

    #[test]
    fn a_gap_in_the_recording_is_a_failed_reading_and_never_the_value_before_it() {
        let clock = Arc::new(AtomicU64::new(0));
        let hand = Arc::clone(&clock);
        let now = Box::new(move || Duration::from_millis(hand.load(Ordering::Relaxed)));
        let mut replay = Replay::new(recording(), Pace::Clock(now));
        let mut at = |ms| {
            clock.store(ms, Ordering::Relaxed);
            replay.read(DeviceIndex(0)).map(|r| r.used.get()).ok()
        };
        assert_eq!([at(0), at(99), at(100), at(250), at(400)], [Some(1), Some(1), Some(2), None, Some(3)]);
        assert_eq!(at(401), None, "the recording is over");
    }
}
