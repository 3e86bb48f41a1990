//! When requests are sent.

use std::time::Duration;

use crate::plan::{LoadPlan, MAX_REQUESTS, Prompts, Until};
use crate::random::Random;

/// The stream of random numbers that arrivals use.
const ARRIVALS: u64 = 1;

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Arrival {
    /// So many in flight always: as one ends, the next is sent.
    Concurrency(u64),
    /// By the clock, whether the server keeps up or not.
    Rate {
        /// Requests per second.
        per_s: f64,
        /// How they are spread.
        spacing: Spacing,
        /// Not more than so many in flight: those that are due meanwhile are held back, and that is counted.
        max_in_flight: Option<u64>,
    },
    /// As the requests of a trace came, from the first of them on.
    Trace {
        /// So many times as fast.
        speed: f64,
        /// Not more than so many in flight, as with a rate.
        max_in_flight: Option<u64>,
    },
}

/// The distances between requests sent by the clock.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Spacing {
    /// Exponentially distributed: a Poisson process, `--burstiness 1` of `vllm bench serve`.
    Poisson,
    /// All the same.
    Even,
    /// Gamma-distributed.
    Gamma {
        /// The shape: below 1 they come in bursts, 1 is Poisson, and the larger, the more even.
        burstiness: f64,
    },
}

impl LoadPlan {
    /// When each measured request is due, from the beginning of the measurement; `None` with a fixed concurrency, where
    /// each is due when another ends. For a count it is computed as `vllm bench serve` computes it: distances are summed
    /// and scaled so that the last request is due at `requests / rate`. For a time they are not scaled, and end with it.
    /// A ramp is laid over that: during it the rate rises evenly from 0, so that it delays what follows by half its
    /// length.
    pub fn due(&self) -> Option<Vec<Duration>> {
        let (per_s, spacing) = match self.arrival {
            Arrival::Rate { per_s, spacing, .. } => (per_s, spacing),
            Arrival::Trace { speed, .. } => return self.as_recorded(speed),
            Arrival::Concurrency(_) => return None,
        };
        let mut random = Random::of(self.seed, &[ARRIVALS, self.stream]);
        let mut sum = 0.0;
        let sums = std::iter::repeat_with(|| {
            sum += match spacing {
                Spacing::Even => 1.0,
                Spacing::Poisson => random.exponential(),
                Spacing::Gamma { burstiness } => random.gamma(burstiness),
            };
            sum
        });
        let most = usize::try_from(self.requests().unwrap_or(MAX_REQUESTS)).unwrap_or(usize::MAX);
        let sums = sums.take(most);
        let ramp = self.ramp_up.as_secs_f64();
        let due: Vec<f64> = match self.until {
            Until::Requests(requests) => {
                let sums: Vec<f64> = sums.collect();
                #[expect(clippy::cast_precision_loss, reason = "at most MAX_REQUESTS")]
                let all = requests as f64 / per_s;
                let scale = sums.last().filter(|sum| **sum > 0.0).map_or(0.0, |sum| all / sum);
                sums.into_iter().map(|sum| ramped(sum * scale, ramp)).collect()
            }
            Until::Elapsed(time) => {
                sums.map(|sum| ramped(sum / per_s, ramp)).take_while(|due| *due <= time.as_secs_f64()).collect()
            }
        };
        Some(due.into_iter().map(|due| Duration::try_from_secs_f64(due).unwrap_or(Duration::MAX)).collect())
    }
}

impl LoadPlan {
    /// When the requests of a trace are due.
    fn as_recorded(&self, speed: f64) -> Option<Vec<Duration>> {
        let Prompts::Data(data) = &self.prompts else { return None };
        let times = data.set.times(usize::try_from(data.first).unwrap_or(usize::MAX));
        let scaled = times.map(|at| Duration::try_from_secs_f64(at.as_secs_f64() / speed).unwrap_or(Duration::MAX));
        Some(match self.until {
            Until::Requests(requests) => scaled.take(usize::try_from(requests).unwrap_or(usize::MAX)).collect(),
            Until::Elapsed(time) => scaled.take_while(|due| *due <= time).collect(),
        })
    }
}

/// When something is due that would be at `time` if the rate had been full from the beginning.
fn ramped(time: f64, ramp: f64) -> f64 {
    if time < ramp / 2.0 { (2.0 * ramp * time).sqrt() } else { time + ramp / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(per_s: f64, spacing: Spacing, seed: u64, requests: u64) -> LoadPlan {
        let arrival = Arrival::Rate { per_s, spacing, max_in_flight: None };
        LoadPlan { arrival, seed, ..LoadPlan::new("m", 1, 1, requests) }
    }

    proptest! {
        #[test]
        fn arrivals_ascend_end_at_count_over_rate_and_repeat_with_their_seed(
            per_s in 0.01f64..1000.0, seed: u64, n in 1u32..300, burstiness in 0.05f64..20.0, ramp in 0u64..20,
        ) {
            for spacing in [Spacing::Poisson, Spacing::Even, Spacing::Gamma { burstiness }] {
                let plan = rate(per_s, spacing, seed, u64::from(n));
                let due = plan.due().unwrap();
                prop_assert_eq!(due.len(), n as usize);
                prop_assert!(due.is_sorted());
                let last = due.last().unwrap().as_secs_f64();
                prop_assert!((last - f64::from(n) / per_s).abs() <= 1e-6 * last.max(1.0));
                prop_assert_eq!(&due, &plan.due().unwrap());
                let ramped = LoadPlan { ramp_up: Duration::from_secs(ramp), ..plan }.due().unwrap();
                prop_assert!(ramped.is_sorted() && ramped.iter().zip(&due).all(|(late, full)| late >= full));
            }
        }
    }

    #[test]
    fn even_arrivals_are_even_and_other_seeds_and_streams_give_other_arrivals() {
        let due = rate(4.0, Spacing::Even, 1, 4).due().unwrap();
        assert_eq!(due.iter().map(Duration::as_millis).collect::<Vec<_>>(), [250, 500, 750, 1000]);
        let one = rate(4.0, Spacing::Poisson, 1, 9);
        assert_ne!(one.due(), rate(4.0, Spacing::Poisson, 2, 9).due());
        assert_ne!(one.due(), LoadPlan { stream: 1, ..one.clone() }.due());
        assert_eq!(LoadPlan::new("m", 1, 1, 1).due(), None);
    }

    #[test]
    fn a_time_ends_arrivals_and_a_ramp_halves_those_within_it() {
        let until = Until::Elapsed(Duration::from_secs(10));
        let plan = LoadPlan { until, ..rate(100.0, Spacing::Even, 0, 1) };
        assert_eq!(plan.due().unwrap().len(), 1000);
        let ramped = LoadPlan { ramp_up: Duration::from_secs(10), ..plan };
        assert_eq!(ramped.due().unwrap().len(), 500);
    }

    #[test]
    fn burstiness_is_the_shape_of_the_distances() {
        for burstiness in [0.25, 4.0] {
            let due = rate(1.0, Spacing::Gamma { burstiness }, 9, 50_000).due().unwrap();
            let gaps: Vec<f64> = due.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
            let mean = gaps.iter().sum::<f64>() / 49_999.0;
            let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / 49_999.0;
            assert!((variance * burstiness - 1.0).abs() < 0.1, "{burstiness}: {variance}");
        }
    }
}
