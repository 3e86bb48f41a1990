//! What driver calls cost.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// What one kind of driver call has cost. Quantiles are within one percent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallCost {
    /// Which call.
    pub call: &'static str,
    /// How often it was made.
    pub count: u64,
    /// All calls together.
    pub total: Duration,
    /// Half of them took no longer.
    pub p50: Duration,
    /// All but one in a hundred took no longer.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

/// Times driver calls. A backend has one for each handle; its memory is fixed by the number of calls it names.
///
/// ```
/// use vramscope_gpu::CallMeter;
/// let mut meter = CallMeter::new(&["memory"]);
/// let answer = meter.time(0, || 42);
/// assert_eq!((answer, meter.costs()[0].count), (42, 1));
/// ```
#[derive(Debug, Clone)]
pub struct CallMeter {
    calls: Vec<Call>,
}

#[derive(Debug, Clone)]
struct Call {
    name: &'static str,
    total: Duration,
    spread: Histogram<u64>,
}

impl CallMeter {
    /// A meter for these calls.
    pub fn new(names: &[&'static str]) -> Self {
        let calls = names.iter().map(|&name| Call { name, total: Duration::ZERO, spread: spread() }).collect();
        Self { calls }
    }

    /// Makes a call and notes what it took. A place that was not named is not noted.
    pub fn time<T>(&mut self, place: usize, call: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let answer = call();
        let took = start.elapsed();
        if let Some(call) = self.calls.get_mut(place) {
            call.total += took;
            call.spread.saturating_record(nanoseconds(took));
        }
        answer
    }

    /// Forgets what was noted.
    pub fn reset(&mut self) {
        for call in &mut self.calls {
            call.total = Duration::ZERO;
            call.spread.reset();
        }
    }

    /// The costs so far of the calls that were made.
    pub fn costs(&self) -> Vec<CallCost> {
        let made = self.calls.iter().filter(|call| !call.spread.is_empty());
        made.map(|call| {
            let at = |q: f64| Duration::from_nanos(call.spread.value_at_quantile(q));
            CallCost {
                call: call.name,
                count: call.spread.len(),
                total: call.total,
                p50: at(0.5),
                p99: at(0.99),
                max: Duration::from_nanos(call.spread.max()),
            }
        })
        .collect()
    }
}

/// A minute is the longest call told apart from longer ones.
const LONGEST_NS: u64 = 60_000_000_000;

fn spread() -> Histogram<u64> {
    let bounded = Histogram::new_with_bounds(1, LONGEST_NS, 2);
    bounded.unwrap_or_else(|_| unreachable!("the bounds and the precision are constants that the histogram accepts"))
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
