//! Time: monotonic since an anchor, with the wall clock kept once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A clock that counts from the anchor of one recording.
pub(crate) trait Clock: Send + Sync {
    /// The time since the anchor.
    fn now(&self) -> Duration;

    /// The wall clock, in nanoseconds since 1970 UTC.
    fn unix_ns(&self) -> i64;

    /// Waits until a time, or until the signal. A time in the past is not waited for.
    fn wait_until(&self, deadline: Duration, stop: &Stop);
}

/// A signal to end, which wakes whoever waits.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    set: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Stop {
    /// Gives the signal.
    pub(crate) fn set(&self) {
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.set.store(true, Ordering::Release);
        drop(guard);
        self.wake.notify_all();
    }

    /// Whether it was given.
    pub(crate) fn is_set(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }

    /// Waits for it for so long at most.
    pub(crate) fn wait(&self, time: Duration) {
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_set() {
            // A wake-up without cause only means that the caller looks at its clock once more.
            drop(self.wake.wait_timeout(guard, time).unwrap_or_else(PoisonError::into_inner));
        }
    }
}

/// The system's clock.
#[derive(Debug)]
pub(crate) struct SystemClock {
    anchor: Instant,
}

impl SystemClock {
    /// A clock whose anchor is now, and the wall clock at the anchor.
    pub(crate) fn start() -> (Self, i64) {
        let clock = Self { anchor: Instant::now() };
        let unix_ns = clock.unix_ns();
        (clock, unix_ns)
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.anchor.elapsed()
    }

    fn unix_ns(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
    }

    fn wait_until(&self, deadline: Duration, stop: &Stop) {
        while !stop.is_set() {
            let left = deadline.saturating_sub(self.now());
            if left.is_zero() {
                return;
            }
            stop.wait(left);
        }
    }
}

/// A clock that moves only when it is told to, or when somebody waits for it.
#[derive(Debug, Default)]
pub(crate) struct SimulatedClock {
    now_ns: AtomicU64,
}

impl SimulatedClock {
    /// Moves on.
    pub(crate) fn advance(&self, time: Duration) {
        self.now_ns.fetch_add(nanoseconds(time), Ordering::AcqRel);
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.now_ns.load(Ordering::Acquire))
    }

    fn unix_ns(&self) -> i64 {
        i64::try_from(self.now_ns.load(Ordering::Acquire)).unwrap_or(i64::MAX)
    }

    fn wait_until(&self, deadline: Duration, _: &Stop) {
        self.now_ns.fetch_max(nanoseconds(deadline), Ordering::AcqRel);
    }
}

/// A time in nanoseconds; it saturates after 584 years.
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The processor time that the calling thread has used, or `None` where the system does not count it.
pub(crate) fn thread_cpu() -> Option<Duration> {
    #[cfg(unix)]
    {
        let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let seconds = u64::try_from(used.tv_sec).ok()?;
        Some(Duration::new(seconds, u32::try_from(used.tv_nsec).ok()?))
    }
    #[cfg(not(unix))]
    {
        None
    }
}
