//! Failed readings of one device, gathered into gaps.

use std::time::Duration;

use vramscope_core::{DeviceIndex, Gap, GapCause, Window};
use vramscope_gpu::{GpuError, GpuErrorKind};

/// A gap and what the driver said.
pub(super) type Stated = (Gap, Option<String>);

/// The failures of one device since its last good reading.
#[derive(Debug)]
pub(super) struct DeviceGaps {
    pub(super) device: DeviceIndex,
    last_good: Option<Duration>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    start: Duration,
    missed: u64,
    cause: GapCause,
    error: String,
}

impl DeviceGaps {
    pub(super) fn new(device: DeviceIndex) -> Self {
        Self { device, last_good: None, open: None }
    }

    /// A reading succeeded: the gap before it, if there was one, is over.
    pub(super) fn succeeded(&mut self, at: Duration) -> Option<Stated> {
        let closed = self.open.take().map(|open| self.state(open, at));
        self.last_good = Some(at);
        closed
    }

    /// A reading failed. The loss of a device is stated at once, other failures when they are over.
    pub(super) fn failed(&mut self, at: Duration, error: &GpuError) -> Option<Stated> {
        let cause = if error.kind() == GpuErrorKind::Lost { GapCause::DeviceLost } else { GapCause::FailedRead };
        let start = self.last_good.unwrap_or(at);
        let (device, message) = (self.device, error.to_string());
        let turned = self.open.as_ref().is_none_or(|open| open.cause != cause);
        if cause == GapCause::DeviceLost && turned {
            let before = self.open.take().map_or(0, |open| open.missed);
            // From here on only the rest is counted.
            self.open = Some(Open { start: at, missed: 0, cause, error: message.clone() });
            let window = Window { start, end: at };
            return Some((Gap { window, device: Some(device), cause, missed: before + 1 }, Some(message)));
        }
        let open = self.open.get_or_insert(Open { start, missed: 0, cause, error: message });
        open.missed += 1;
        None
    }

    /// The recording ends.
    pub(super) fn end(mut self, now: Duration) -> Option<Stated> {
        let open = self.open.take().filter(|open| open.missed > 0)?;
        Some(self.state(open, now))
    }

    fn state(&self, open: Open, end: Duration) -> Stated {
        let window = Window { start: open.start, end };
        let gap = Gap { window, device: Some(self.device), cause: open.cause, missed: open.missed };
        (gap, Some(open.error))
    }
}
