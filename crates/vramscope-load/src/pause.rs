//! A short rest of the loop before it waits, so that one wake-up reads many connections.
//!
//! With hundreds of answers under way something comes every few microseconds, and to be woken for each costs more than to
//! read it. The kernel notes when a packet came, so a chunk that is read a little later is not told as later. What the rest
//! does delay is the next request of a fixed concurrency, so it is kept to a small part of what a request takes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// With fewer in flight a rest saves nothing.
const LEAST_IN_FLIGHT: usize = 64;
/// The longest rest. Chunks of one answer that come closer together get the time of the last of them.
const MOST_NS: u64 = 250_000;
/// A rest is at most this part of the mean time of a request: so much less can a fixed concurrency ask for.
const PART: u64 = 400;

/// How long the loop rests, in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Pause(AtomicU64);

impl Pause {
    /// Sets it by what is in flight and how long requests take.
    pub(crate) fn set(&self, in_flight: usize, mean_latency: Duration) {
        // Elsewhere the time of a read is the time of the chunk.
        let allowed = cfg!(target_os = "linux") && in_flight >= LEAST_IN_FLIGHT;
        let part = u64::try_from(mean_latency.as_nanos()).unwrap_or(u64::MAX) / PART;
        self.0.store(if allowed { part.min(MOST_NS) } else { 0 }, Relaxed);
    }

    /// Rests. The loop's thread calls it when nothing is left to do.
    pub(crate) fn rest(&self) {
        let rest = self.0.load(Relaxed);
        if rest > 0 {
            std::thread::sleep(Duration::from_nanos(rest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_is_a_small_part_of_what_requests_take_and_only_where_many_are_in_flight() {
        let pause = Pause::default();
        for (in_flight, ms, expected) in [(8, 1000, 0), (64, 1000, MOST_NS), (512, 10, 25_000), (512, 0, 0)] {
            pause.set(in_flight, Duration::from_millis(ms));
            assert_eq!(pause.0.load(Relaxed), if cfg!(target_os = "linux") { expected } else { 0 });
        }
    }
}
