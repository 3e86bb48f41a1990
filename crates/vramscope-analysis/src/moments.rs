//! Times of the wall clock on the clock of the readings.

use std::time::Duration;

use crate::evidence::Evidence;
use crate::evidence::gpu_log::Clock;

impl Evidence {
    /// A time of the wall clock, in nanoseconds since 1970 UTC, since the anchor of the readings; `None` before the anchor,
    /// and where the readings' clock is not that of the world.
    pub fn since_anchor(&self, unix_ns: i64) -> Option<Duration> {
        let gpu = self.gpu.as_ref().filter(|gpu| gpu.clock == Clock::Utc)?;
        let since = unix_ns.checked_sub(gpu.timeline.anchor_unix_ns()?)?;
        u64::try_from(since).ok().map(Duration::from_nanos)
    }
}
