//! How well this client did: what of the figures may be its own.

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
    /// The CPU time of the thread that sends and reads.
    pub cpu: Duration,
    /// The part of the measurement that this thread was on a CPU, 0 to 1.
    pub busy: f64,
}

/// Looks at the loop while it works.
pub(crate) struct Watch {
    looks: JoinHandle<()>,
    lags: std::sync::Arc<std::sync::Mutex<Vec<Duration>>>,
    began: Instant,
    cpu_before: Duration,
}

impl Watch {
    /// Begins on the loop's own thread.
    pub(crate) fn start() -> Self {
        let lags = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let kept = lags.clone();
        let looks = tokio::spawn(async move {
            loop {
                let due = Instant::now() + LOOK;
                tokio::time::sleep_until(due.into()).await;
                let lag = Instant::now().saturating_duration_since(due).saturating_sub(RESOLUTION);
                let mut kept = kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if kept.len() < MOST_LOOKS {
                    kept.push(lag);
                }
            }
        });
        Self { looks, lags, began: Instant::now(), cpu_before: thread_cpu() }
    }

    pub(crate) fn end(self) -> ClientHealth {
        self.looks.abort();
        let cpu = thread_cpu().saturating_sub(self.cpu_before);
        let wall = self.began.elapsed().as_secs_f64();
        let lags = std::mem::take(&mut *self.lags.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        ClientHealth { loop_lag: Latency::of(lags), cpu, busy: if wall > 0.0 { cpu.as_secs_f64() / wall } else { 0.0 } }
    }
}

/// The CPU time of this thread so far.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, rest) = (u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0));
    Duration::new(seconds, rest)
}
