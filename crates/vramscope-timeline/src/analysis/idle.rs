//! Times in which a device had nothing to do.

use std::time::Duration;

use crate::document::{IdlePeriod, IdleReport};

/// The longest periods that are listed.
const LISTED: usize = 20;

/// Gathers idle periods of one device from its samples in order of time.
#[derive(Debug)]
pub(super) struct IdleTimes {
    threshold: u8,
    least: Duration,
    /// Two samples further apart than this do not speak for the time between them.
    apart: Duration,
    last: Option<(Duration, bool)>,
    since: Option<Duration>,
    idle: Duration,
    observed: Duration,
    periods: u64,
    longest: Vec<(Duration, Duration)>,
}

impl IdleTimes {
    pub(super) fn new(threshold: u8, least: Duration, apart: Duration) -> Self {
        let (idle, observed) = (Duration::ZERO, Duration::ZERO);
        Self { threshold, least, apart, last: None, since: None, idle, observed, periods: 0, longest: Vec::new() }
    }

    /// A sample with its utilisation. A sample without breaks a period, as a gap does.
    pub(super) fn add(&mut self, at: Duration, utilization: Option<u8>) {
        let Some(utilization) = utilization else {
            self.end();
            self.last = None;
            return;
        };
        let is_idle = utilization <= self.threshold;
        match self.last {
            Some((before, was_idle)) if at.saturating_sub(before) <= self.apart => {
                let step = at.saturating_sub(before);
                self.observed += step;
                // A sample speaks for the time until the next one.
                if was_idle {
                    self.idle += step;
                }
                if was_idle && !is_idle {
                    self.close(at);
                } else if !was_idle && is_idle {
                    self.since = Some(at);
                }
            }
            _ => {
                self.end();
                self.since = is_idle.then_some(at);
            }
        }
        self.last = Some((at, is_idle));
    }

    /// Ends a period at the last sample that is known.
    fn end(&mut self) {
        if let Some((last, true)) = self.last {
            self.close(last);
        }
        self.since = None;
    }

    fn close(&mut self, end: Duration) {
        let Some(since) = self.since.take() else { return };
        let length = end.saturating_sub(since);
        if length < self.least || length.is_zero() {
            return;
        }
        self.periods += 1;
        self.longest.push((since, length));
        self.longest.sort_by_key(|(start, length)| (std::cmp::Reverse(*length), *start));
        self.longest.truncate(LISTED);
    }

    /// The report, or `None` where no utilisation was known.
    pub(super) fn report(mut self) -> Option<IdleReport> {
        self.end();
        if self.observed.is_zero() {
            return None;
        }
        let period = |(start, length): &(Duration, Duration)| IdlePeriod {
            start_s: start.as_secs_f64(),
            seconds: length.as_secs_f64(),
        };
        Some(IdleReport {
            threshold_pct: self.threshold,
            share: self.idle.as_secs_f64() / self.observed.as_secs_f64(),
            observed_seconds: self.observed.as_secs_f64(),
            periods: self.periods,
            longest: self.longest.iter().map(period).collect(),
            least_seconds: self.least.as_secs_f64(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(samples: &[(u64, Option<u8>)]) -> Option<IdleReport> {
        let seconds = Duration::from_secs;
        let mut idle = IdleTimes::new(5, seconds(2), seconds(3));
        samples.iter().for_each(|(at, utilization)| idle.add(seconds(*at), *utilization));
        idle.report()
    }

    #[test]
    fn a_period_lasts_from_its_first_idle_sample_to_the_first_busy_one() {
        let report =
            of(&[(0, Some(90)), (1, Some(0)), (2, Some(5)), (4, Some(6)), (5, Some(0)), (6, Some(99))]).unwrap();
        assert_eq!(report.longest, [IdlePeriod { start_s: 1.0, seconds: 3.0 }]);
        assert_eq!(report.periods, 1, "one second is shorter than the least length");
        assert!((report.share - 4.0 / 6.0).abs() < 1e-12, "{}", report.share);
    }

    #[test]
    fn a_gap_ends_a_period_and_is_not_observed() {
        let report = of(&[(0, Some(0)), (2, Some(0)), (12, Some(0)), (15, Some(0))]).unwrap();
        assert_eq!(report.periods, 2);
        assert!((report.observed_seconds - 5.0).abs() < 1e-12);
        assert!((report.share - 1.0).abs() < 1e-12);
    }

    #[test]
    fn without_utilisation_there_is_no_report() {
        assert_eq!(of(&[(0, None), (1, None)]), None);
        assert_eq!(of(&[(0, Some(0)), (1, None), (2, Some(0))]), None, "no two neighbours are known");
    }
}
