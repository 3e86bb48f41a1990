//! Sorted batches as one sorted sequence.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use super::Packed;
use super::pool::Window;
use crate::TraceError;

#[cfg(test)]
thread_local! {
    static READ: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Records that this thread has read back so far: what a law about work counts, where time would depend on the machine.
#[cfg(test)]
pub(crate) fn records_read() -> u64 {
    READ.with(std::cell::Cell::get)
}

/// All records of several batches in order.
pub(crate) struct Merged<'a, T: Packed> {
    heads: BinaryHeap<Reverse<Head<T>>>,
    batches: Vec<Reading<'a, T>>,
}

/// The first record of a batch, with the batch's number.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Head<T> {
    record: T,
    batch: usize,
}

struct Reading<'a, T: Packed> {
    window: Window<'a>,
    state: T::State,
}

impl<T: Packed> Reading<'_, T> {
    fn next(&mut self) -> Result<Option<T>, TraceError> {
        let state = &mut self.state;
        self.window.take(|input| T::unpack(state, input))
    }
}

impl<'a, T: Packed> Merged<'a, T> {
    pub(super) fn new(windows: impl Iterator<Item = Window<'a>>) -> Result<Self, TraceError> {
        let mut merged = Self { heads: BinaryHeap::new(), batches: Vec::new() };
        for window in windows {
            let mut reading = Reading { window, state: T::State::default() };
            if let Some(record) = reading.next()? {
                merged.heads.push(Reverse(Head { record, batch: merged.batches.len() }));
                merged.batches.push(reading);
            }
        }
        Ok(merged)
    }

    /// The next record.
    pub(crate) fn next(&mut self) -> Result<Option<T>, TraceError> {
        let Some(mut top) = self.heads.peek_mut() else { return Ok(None) };
        #[cfg(test)]
        READ.with(|read| read.set(read.get() + 1));
        let record = top.0.record;
        // A batch mostly goes on being the first, and then the heap need not move anything.
        match self.batches[top.0.batch].next()? {
            Some(following) => top.0.record = following,
            None => {
                PeekMut::pop(top);
            }
        }
        Ok(Some(record))
    }

    /// The next record, without taking it.
    pub(crate) fn peek(&self) -> Option<&T> {
        self.heads.peek().map(|head| &head.0.record)
    }
}
