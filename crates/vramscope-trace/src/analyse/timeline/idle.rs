//! Why a GPU is idle.
//!
//! A gap ends with an operation. Until the call that launched it began, the GPU had nothing to do because of the host:
//! it waited for the GPU (`sync`, the thread was in a blocking call) or it was busy elsewhere (`host`). From the call
//! on, the operation was under way and did not run: launch latency, or a dependency (`launched`). An operation whose
//! call is not in the trace tells nothing (`unknown`).

use std::collections::{HashMap, VecDeque};

use crate::names::NameId;
use crate::record::{TimedOp, Wait};
use crate::runs::Merged;
use crate::{Cause, TraceError};

/// Idle time by cause, in nanoseconds, and the number of gaps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Idle {
    parts: [i64; Cause::COUNT],
    pub gaps: u64,
}

impl Idle {
    pub(super) fn add(&mut self, parts: &[i64; Cause::COUNT]) {
        for (sum, part) in self.parts.iter_mut().zip(parts) {
            *sum += part;
        }
        self.gaps += 1;
    }

    pub(crate) fn of(&self, cause: Cause) -> i64 {
        self.parts[cause.place()]
    }

    pub(crate) fn total(&self) -> i64 {
        self.parts.iter().sum()
    }
}

/// One gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    pub from: i64,
    pub to: i64,
    pub parts: [i64; Cause::COUNT],
    pub before: Option<NameId>,
    pub after: NameId,
}

impl Gap {
    /// The cause of most of it.
    pub(crate) fn cause(&self) -> Cause {
        let longest = |best: Cause, next: Cause| {
            if self.parts[next.place()] > self.parts[best.place()] { next } else { best }
        };
        Cause::ALL.into_iter().reduce(longest).unwrap_or(Cause::Other)
    }
}

/// The blocking calls of all threads, read along with the gaps.
pub(super) struct Waits<'a> {
    reader: Merged<'a, Wait>,
    open: HashMap<NameId, VecDeque<(i64, i64)>>,
}

impl<'a> Waits<'a> {
    pub(super) fn new(reader: Merged<'a, Wait>) -> Self {
        Self { reader, open: HashMap::new() }
    }

    /// Splits the gap before an operation by cause. Gaps are asked for in order of time.
    pub(super) fn split(&mut self, from: i64, op: &TimedOp) -> Result<[i64; Cause::COUNT], TraceError> {
        let mut parts = [0; Cause::COUNT];
        let to = op.start;
        let Some((launched, thread)) = op.launched else {
            parts[Cause::Other.place()] = to - from;
            return Ok(parts);
        };
        let launched = launched.clamp(from, to);
        parts[Cause::KernelWait.place()] = to - launched;
        let sync = self.waited(thread, from, launched)?;
        parts[Cause::Sync.place()] = sync;
        parts[Cause::HostBound.place()] = launched - from - sync;
        Ok(parts)
    }

    /// How long a thread was in blocking calls between two times.
    fn waited(&mut self, thread: NameId, from: i64, to: i64) -> Result<i64, TraceError> {
        while self.reader.peek().is_some_and(|next| next.start < to) {
            if let Some(wait) = self.reader.next()? {
                self.open.entry(wait.thread).or_default().push_back((wait.start, wait.end));
            }
        }
        // No later gap begins before this one, so what has ended is not needed again, on any thread.
        self.open.retain(|_, waits| {
            waits.retain(|&(_, end)| end > from);
            !waits.is_empty()
        });
        let mut covered = from;
        let mut sum = 0;
        for &(start, end) in self.open.get(&thread).into_iter().flatten() {
            let (start, end) = (start.max(covered), end.min(to));
            if end > start {
                sum += end - start;
                covered = end;
            }
        }
        Ok(sum)
    }
}
