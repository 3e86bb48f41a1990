//! A part of a trace's time.

use crate::event::{Event, Kind};
use crate::json::nanos_of_micros;

/// From a time to another, in nanoseconds of the trace's own clock (its `ts` times 1000). An event belongs to the window
/// in which it begins, whole: windows side by side share no event and miss none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first nanosecond that belongs to it.
    pub from_ns: i64,
    /// The first nanosecond after it.
    pub to_ns: i64,
}

impl Window {
    /// Whether a time lies in it.
    pub fn contains(self, at_ns: i64) -> bool {
        self.from_ns <= at_ns && at_ns < self.to_ns
    }

    /// Whether an event begins in it. An event without a time belongs to no window; names of processes and threads
    /// belong to every window.
    pub(crate) fn takes(self, event: &Event<'_>, kind: Kind) -> bool {
        let begins = || event.ts.and_then(|text| nanos_of_micros(text).ok()).is_some_and(|at| self.contains(at));
        kind == Kind::Metadata || begins()
    }
}
