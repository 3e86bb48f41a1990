//! Energy: by the device's counter, and by integrating power beside it.

use std::time::Duration;

use crate::document::EnergyReport;

/// Counters move in steps of up to so long (measured on an H200): over less time a difference says nothing.
const COUNTER_STEP: Duration = Duration::from_millis(100);
/// Over so long the steps at both ends are less than a tenth of it, so that a larger difference to integrated power is
/// worth a note.
const WORTH_A_NOTE: Duration = Duration::from_secs(2);

/// Gathers one device's energy.
#[derive(Debug)]
pub(super) struct Energy {
    apart: Duration,
    first: Option<(Duration, u64)>,
    last: Option<(Duration, u64)>,
    /// A counter that went back was reset, and its difference says nothing.
    reset: bool,
    power: Option<(Duration, u32)>,
    joules: f64,
    integrated: Duration,
}

impl Energy {
    pub(super) fn new(apart: Duration) -> Self {
        let integrated = Duration::ZERO;
        Self { apart, first: None, last: None, reset: false, power: None, joules: 0.0, integrated }
    }

    /// A reading of the counter, in millijoules.
    pub(super) fn counter(&mut self, at: Duration, energy_mj: u64) {
        if self.last.is_some_and(|(_, last)| energy_mj < last) {
            self.reset = true;
        }
        self.first.get_or_insert((at, energy_mj));
        self.last = Some((at, energy_mj));
    }

    /// A reading of the power, in milliwatts; `None` is a gap.
    pub(super) fn power(&mut self, at: Duration, power_mw: Option<u32>) {
        if let (Some((before, left)), Some(right)) = (self.power, power_mw) {
            let step = at.saturating_sub(before);
            if step <= self.apart {
                self.joules += (f64::from(left) + f64::from(right)) / 2000.0 * step.as_secs_f64();
                self.integrated += step;
            }
        }
        self.power = power_mw.map(|power| (at, power));
    }

    /// The report and a note where the two disagree by more than a tenth, or `None` where neither is known.
    pub(super) fn report(&self) -> Option<(EnergyReport, Option<String>)> {
        let long = |first: Duration, last: Duration| last.saturating_sub(first) >= COUNTER_STEP;
        let span = self.first.zip(self.last).filter(|(first, last)| long(first.0, last.0) && !self.reset);
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 millijoules, 285 kWh times 10^3")]
        let counter = span.map(|(first, last)| (last.1 - first.1) as f64 / 1000.0);
        let seconds = span.map(|(first, last)| (last.0 - first.0).as_secs_f64());
        let integrated = (!self.integrated.is_zero()).then_some(self.joules);
        let report = EnergyReport {
            counter_j: counter,
            counter_seconds: seconds,
            integrated_j: integrated,
            integrated_seconds: integrated.map(|_| self.integrated.as_secs_f64()),
        };
        if self.reset {
            let note = "the energy counter went back, so its difference is left out".to_owned();
            return Some((report, Some(note)));
        }
        let sure = seconds.filter(|&seconds| seconds >= WORTH_A_NOTE.as_secs_f64());
        let means = counter.zip(sure).zip(integrated.zip(report.integrated_seconds));
        let note = means.and_then(|((counter, counted), (joules, seconds))| {
            let (by_counter, by_power) = (counter / counted, joules / seconds);
            let apart = (by_counter - by_power).abs() > 0.1 * by_counter.max(by_power);
            apart.then(|| {
                format!(
                    "mean power by the energy counter is {by_counter:.0} W and by the samples {by_power:.0} W: they \
                         disagree by more than a tenth"
                )
            })
        });
        (counter.is_some() || integrated.is_some()).then_some((report, note))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn power_is_integrated_by_trapezoids_and_gaps_are_left_out() {
        let mut energy = Energy::new(s(2));
        for (at, mw) in [(0, Some(100_000)), (1, Some(200_000)), (2, None), (3, Some(50_000)), (9, Some(50_000))] {
            energy.power(s(at), mw);
        }
        let (report, _) = energy.report().unwrap();
        assert!((report.integrated_j.unwrap() - 150.0).abs() < 1e-9);
        assert!((report.integrated_seconds.unwrap() - 1.0).abs() < 1e-9);
        assert_eq!(report.counter_j, None);
    }

    #[test]
    fn the_counter_is_a_difference_and_a_reset_one_is_left_out() {
        let mut energy = Energy::new(s(2));
        energy.counter(s(0), 5_000);
        energy.counter(s(10), 25_000);
        let (report, note) = energy.report().unwrap();
        assert_eq!((report.counter_j, report.counter_seconds, note), (Some(20.0), Some(10.0), None));
        energy.counter(s(11), 3);
        assert_eq!(energy.report().unwrap().0.counter_j, None);
    }

    #[test]
    fn over_less_time_than_its_steps_a_counter_says_nothing_and_over_few_of_them_nothing_worth_a_note() {
        let ms = Duration::from_millis;
        let mut energy = Energy::new(s(2));
        energy.counter(s(0), 5_000);
        energy.counter(ms(99), 5_000);
        (0..2).for_each(|at| energy.power(ms(at * 99), Some(70_000)));
        let (report, note) = energy.report().unwrap();
        assert_eq!((report.counter_j, report.counter_seconds, note), (None, None, None));
        energy.counter(ms(1_900), 100_000);
        let (report, note) = energy.report().unwrap();
        assert_eq!((report.counter_j, note), (Some(95.0), None));
        energy.counter(ms(2_000), 100_000);
        assert!(energy.report().unwrap().1.is_some());
    }

    #[test]
    fn two_figures_that_disagree_are_both_stated_with_a_note() {
        let mut energy = Energy::new(s(2));
        energy.counter(s(0), 0);
        energy.counter(s(10), 1_870_000);
        (0..=10).for_each(|at| energy.power(s(at), Some(327_000)));
        assert!(energy.report().unwrap().1.unwrap().contains("187 W"));
    }
}
