//! How well this client did: what of the figures may be its own.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinHandle;

use crate::report::Latency;

/// How often the loop is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// The resolution of the runtime's timer: a look is late by up to this on an idle machine.
const RESOLUTION: Duration = Duration::from_millis(1);
/// More looks than these, nearly an hour and a half, are not kept.
const MOST_LOOKS: usize = 1 << 20;

/// How the client was during the measurement.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ClientHealth {
    /// How late the loop that sends and reads came to a timer, beyond the timer's resolution of 1 ms. A chunk that
    /// comes while the loop is busy is read as late as this.
    pub loop_lag: Option<Latency>,
    /// How much later than they came chunks were read. Their times are those of coming, not of reading, so this alone
    /// makes no figure wrong; `None` where the system does not say when something came.
    pub read_after: Option<ReadAfter>,
    /// The CPU time of the thread that sends and reads.
    pub cpu: Duration,
    /// The part of the measurement that this thread was on a CPU, 0 to 1.
    pub busy: f64,
}

/// How late reads were, to a power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadAfter {
    /// Reads.
    pub n: u64,
    /// Half of them were not later than this.
    pub p50: Duration,
    /// 99 % of them were not later than this.
    pub p99: Duration,
    /// None was later than this.
    pub max: Duration,
}

/// Counts reads by how late they are: one counter for each power of two of nanoseconds.
#[derive(Debug)]
pub(crate) struct Reads([AtomicU64; 64]);

impl Default for Reads {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Reads {
    pub(crate) fn note(&self, late: Duration) {
        let ns = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX).max(1);
        if let Some(counter) = self.0.get(ns.ilog2() as usize) {
            counter.fetch_add(1, Relaxed);
        }
    }

    fn summary(&self) -> Option<ReadAfter> {
        let counts: Vec<u64> = self.0.iter().map(|counter| counter.load(Relaxed)).collect();
        let n: u64 = counts.iter().sum();
        // The upper end of the class that the share falls into.
        let at = |part: u64| {
            let mut seen = 0;
            let class = counts.iter().position(|count| {
                seen += count;
                seen.saturating_mul(100) >= n.saturating_mul(part)
            });
            Duration::from_nanos(2u64.saturating_pow(u32::try_from(class.unwrap_or(63)).unwrap_or(63) + 1))
        };
        (n > 0).then(|| ReadAfter { n, p50: at(50), p99: at(99), max: at(100) })
    }
}

/// Looks at the loop while it works.
pub(crate) struct Watch {
    reads: Arc<Reads>,
    looks: JoinHandle<()>,
    lags: Arc<Mutex<Vec<Duration>>>,
    began: Instant,
    cpu_before: Duration,
}

impl Watch {
    /// Begins on the loop's own thread.
    pub(crate) fn start() -> Self {
        let lags = Arc::new(Mutex::new(Vec::new()));
        let kept = lags.clone();
        let looks = tokio::spawn(async move {
            loop {
                let due = Instant::now() + LOOK;
                tokio::time::sleep_until(due.into()).await;
                let lag = Instant::now().saturating_duration_since(due).saturating_sub(RESOLUTION);
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() < MOST_LOOKS {
                    kept.push(lag);
                }
            }
        });
        let reads = Arc::default();
        Self { reads, looks, lags, began: Instant::now(), cpu_before: thread_cpu() }
    }

    /// Where reads are counted.
    pub(crate) fn reads(&self) -> Arc<Reads> {
        self.reads.clone()
    }

    pub(crate) fn end(self) -> ClientHealth {
        self.looks.abort();
        let cpu = thread_cpu().saturating_sub(self.cpu_before);
        let wall = self.began.elapsed().as_secs_f64();
        let lags = std::mem::take(&mut *self.lags.lock().unwrap_or_else(PoisonError::into_inner));
        ClientHealth {
            loop_lag: Latency::of(lags),
            read_after: self.reads.summary(),
            cpu,
            busy: if wall > 0.0 { cpu.as_secs_f64() / wall } else { 0.0 },
        }
    }
}

/// The CPU time of this thread so far.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, rest) = (u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0));
    Duration::new(seconds, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_reads_are_told_to_a_power_of_two() {
        let reads = Reads::default();
        assert_eq!(reads.summary(), None);
        for _ in 0..98 {
            reads.note(Duration::from_nanos(1000));
        }
        reads.note(Duration::from_millis(3));
        reads.note(Duration::from_millis(9));
        let summary = reads.summary().unwrap();
        assert_eq!((summary.n, summary.p50), (100, Duration::from_nanos(1024)));
        assert_eq!((summary.p99, summary.max), (Duration::from_nanos(1 << 22), Duration::from_nanos(1 << 24)));
    }
}
