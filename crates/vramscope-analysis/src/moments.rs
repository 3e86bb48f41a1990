//! What the engine's log says, placed on the clock of the readings.

use std::time::Duration;

use vramscope_core::Milestone;

use crate::clock::LogClock;
use crate::evidence::Evidence;
use crate::evidence::gpu_log::Clock;

/// A milestone of the engine's log on the clock of the readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogMoment {
    /// What.
    pub milestone: Milestone,
    /// Since the anchor of the readings. A log prints whole seconds as a rule.
    pub at: Duration,
    /// Its line, counted from 1 over all files of the log.
    pub line: u64,
}

impl Evidence {
    /// The milestones of the engine's log that have a time, in the order of the log; none where the two clocks cannot be
    /// brought together.
    pub fn log_moments(&self) -> Vec<LogMoment> {
        let (Some(facts), Some(gpu)) = (self.facts(), &self.gpu) else { return Vec::new() };
        let Some(clock) = LogClock::fit(facts, gpu) else { return Vec::new() };
        let moment = |event: &vramscope_core::Event| {
            Some(LogMoment { milestone: event.milestone, at: clock.at(event.at?)?, line: event.origin.line })
        };
        facts.events.iter().filter_map(moment).collect()
    }

    /// A time of the wall clock, in nanoseconds since 1970 UTC, since the anchor of the readings; `None` before the anchor,
    /// and where the readings' clock is not that of the world.
    pub fn since_anchor(&self, unix_ns: i64) -> Option<Duration> {
        let gpu = self.gpu.as_ref().filter(|gpu| gpu.clock == Clock::Utc)?;
        let since = unix_ns.checked_sub(gpu.timeline.anchor_unix_ns()?)?;
        u64::try_from(since).ok().map(Duration::from_nanos)
    }
}
