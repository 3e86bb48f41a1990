//! Whether the figures of a load are the server's, or the client's own.

use std::time::Duration;

use crate::arrival::Arrival;
use crate::error::FailureKind;
use crate::report::{LATE, LoadReport};

/// A thread that is on a CPU for more of the time than this has no time left for more.
pub const BUSY: f64 = 0.9;
/// More late requests than this part are not chance.
pub const LATE_PART: f64 = 0.01;
/// Reads that are later than this, at their 99th percentile, may run chunks together.
pub const READ_LATE: Duration = Duration::from_millis(20);
/// The same where the system does not say when a chunk came, so that its time is that of the read.
pub const LOOP_LATE: Duration = Duration::from_millis(5);

/// What speaks against a client.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ClientLimit {
    /// Its thread was on a CPU for more than [`BUSY`] of the measurement.
    Busy {
        /// For so much of it.
        busy: f64,
    },
    /// By the clock, more than [`LATE_PART`] of the requests were sent more than [`LATE`] after they were due and
    /// allowed.
    Late {
        /// So many.
        late: u64,
        /// Of so many.
        sent: u64,
    },
    /// 1 % of the reads came later than [`READ_LATE`] after the chunk: such chunks may have been read as one.
    ReadsLate {
        /// The 99th percentile, to a power of two.
        p99: Duration,
    },
    /// The system does not say when chunks come, and the loop was later than [`LOOP_LATE`] at its 99th percentile.
    LoopLate {
        /// The 99th percentile, in milliseconds.
        p99_ms: f64,
    },
    /// Requests failed for want of something on this side.
    OwnLimit {
        /// So many.
        failed: u64,
    },
}

impl LoadReport {
    /// What speaks against this client. Where there is anything, the figures may be the client's, not the server's.
    pub fn client_limits(&self) -> Vec<ClientLimit> {
        let health = &self.health;
        let sent = self.requests.len() as u64;
        let mut limits = Vec::new();
        if health.busy > BUSY {
            limits.push(ClientLimit::Busy { busy: health.busy });
        }
        let late = self.requests.iter().filter(|record| record.lateness() > LATE).count() as u64;
        #[expect(clippy::cast_precision_loss, reason = "at most MAX_REQUESTS")]
        let is_much = late as f64 > sent as f64 * LATE_PART;
        // With a fixed concurrency a turn comes when it is taken, and nothing is late against a clock.
        if !matches!(self.plan.arrival, Arrival::Concurrency(_)) && is_much {
            limits.push(ClientLimit::Late { late, sent });
        }
        match (health.read_after, health.loop_lag) {
            (Some(reads), _) if reads.p99 > READ_LATE => limits.push(ClientLimit::ReadsLate { p99: reads.p99 }),
            (None, Some(lag)) if lag.p99_ms > LOOP_LATE.as_secs_f64() * 1e3 => {
                limits.push(ClientLimit::LoopLate { p99_ms: lag.p99_ms });
            }
            _ => {}
        }
        let own = |kind: FailureKind| kind == FailureKind::OwnLimit;
        let failed = self.requests.iter().filter(|r| r.outcome.as_ref().is_err_and(|f| own(f.kind))).count() as u64;
        if failed > 0 {
            limits.push(ClientLimit::OwnLimit { failed });
        }
        limits
    }
}

impl std::fmt::Display for ClientLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Busy { busy } => write!(f, "its thread was busy for {:.0} % of the time", busy * 100.0),
            Self::Late { late, sent } => write!(f, "{late} of {sent} requests were sent more than {LATE:?} late"),
            Self::ReadsLate { p99 } => write!(f, "1 % of the chunks were read more than about {p99:?} after they came"),
            Self::LoopLate { p99_ms } => write!(f, "its loop came {p99_ms:.1} ms late (p99), and so did its times"),
            Self::OwnLimit { failed } => {
                write!(f, "{failed} requests failed for want of files, ports or memory on this side")
            }
        }
    }
}
