//! When ticks are due: at fixed times from the anchor, so that the period does not drift, and never in bursts.

use std::time::Duration;

/// A tick that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    /// Its number, from 0.
    pub(crate) tick: u64,
    /// When it should begin.
    pub(crate) planned: Duration,
    /// How many ticks before it came too late and are left out.
    pub(crate) missed: u64,
}

/// Deadlines at whole multiples of a period.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    period: Duration,
    next: u64,
    begun: bool,
}

impl Schedule {
    /// The first deadline is at the anchor.
    pub(crate) fn new(period: Duration) -> Self {
        Self { period: period.max(Duration::from_nanos(1)), next: 0, begun: false }
    }

    /// When the next tick is due.
    pub(crate) fn deadline(&self) -> Duration {
        self.at(self.next)
    }

    /// Takes the tick that is due now. Of several that are, the latest: the others are missed, not made up for. Before
    /// the first one nothing was due: a thread may take its time to start.
    pub(crate) fn take(&mut self, now: Duration) -> Due {
        let latest = now.as_nanos() / self.period.as_nanos();
        let tick = u64::try_from(latest).unwrap_or(u64::MAX).max(self.next);
        let missed = if self.begun { tick - self.next } else { 0 };
        self.begun = true;
        self.next = tick.saturating_add(1);
        Due { tick, planned: self.at(tick), missed }
    }

    fn at(&self, tick: u64) -> Duration {
        let ns = self.period.as_nanos().saturating_mul(u128::from(tick));
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }
}

/// Of so many slow readings of a device one has the rare figures too. On an H100 they take 9 ms of processor time, and with
/// one slow reading a second this makes 0.1 % of a core of them for each device. Only a recording that was killed lacks its
/// last ones.
const RARE_EVERY: u64 = 10;

/// Whether the slow reading of this number, from 0, has the rare figures of the device at this place too: the first one of
/// every device, for a counter's difference needs its beginning, and then those of one device at a time, so that their
/// calls, which hold the driver for milliseconds, do not come together.
pub(crate) fn is_rare(slow_tick: u64, place: usize) -> bool {
    let place = u64::try_from(place).unwrap_or(u64::MAX) % RARE_EVERY;
    slow_tick == 0 || slow_tick % RARE_EVERY == place
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PERIOD: Duration = Duration::from_millis(100);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn lateness_does_not_move_later_deadlines() {
        let mut schedule = Schedule::new(PERIOD);
        assert_eq!(schedule.take(ms(3)), Due { tick: 0, planned: ms(0), missed: 0 });
        assert_eq!(schedule.deadline(), ms(100));
        assert_eq!(schedule.take(ms(199)), Due { tick: 1, planned: ms(100), missed: 0 });
        assert_eq!(schedule.deadline(), ms(200));
    }

    #[test]
    fn a_stall_skips_ticks_and_counts_them() {
        let mut schedule = Schedule::new(PERIOD);
        schedule.take(ms(0));
        assert_eq!(schedule.take(ms(450)), Due { tick: 4, planned: ms(400), missed: 3 });
        assert_eq!(schedule.deadline(), ms(500), "no burst");
    }

    #[test]
    fn a_tick_that_is_taken_early_is_the_next_one() {
        let mut schedule = Schedule::new(PERIOD);
        schedule.take(ms(0));
        assert_eq!(schedule.take(ms(99)).tick, 1, "timers may fire a little early");
    }

    #[test]
    fn rare_figures_come_first_with_all_devices_and_then_one_device_at_a_time() {
        let of = |place: usize| (0..=31).filter(|tick| is_rare(*tick, place)).collect::<Vec<u64>>();
        assert_eq!(of(0), [0, 10, 20, 30]);
        assert_eq!(of(1), [0, 1, 11, 21, 31]);
        assert_eq!(of(9), [0, 9, 19, 29]);
        assert_eq!(of(12), [0, 2, 12, 22], "more devices than turns share them");
        assert!((1..100).all(|tick| (0..10).filter(|place| is_rare(tick, *place)).count() == 1));
    }

    proptest! {
        #[test]
        fn every_tick_is_taken_or_missed_and_none_twice(steps in prop::collection::vec(0u64..1000, 1..200)) {
            let mut schedule = Schedule::new(PERIOD);
            let mut now = steps[0];
            let mut expected = schedule.take(ms(now)).tick + 1;
            for step in steps {
                now += step;
                let due = schedule.take(ms(now));
                prop_assert_eq!(due.tick, expected + due.missed);
                expected = due.tick + 1;
            }
        }
    }
}
