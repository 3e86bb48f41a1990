//! The recorded history, packed: a file of a gigabyte holds millions of events.

use std::ops::Range;

use crate::{StackId, TextId};

/// What the allocator did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Action {
    /// A tensor got memory.
    Alloc,
    /// A tensor gave its memory back.
    FreeRequested,
    /// Memory that was given back can be used again.
    FreeCompleted,
    /// The driver gave a segment.
    SegmentAlloc,
    /// A segment went back to the driver.
    SegmentFree,
    /// Pages were mapped into an expandable segment.
    SegmentMap,
    /// Pages of an expandable segment went back.
    SegmentUnmap,
    /// A snapshot was taken.
    Snapshot,
    /// There was no memory.
    Oom,
    /// The program described an allocation.
    Annotate,
    /// What no release up to 2.14 writes.
    Other,
}

/// Every action with torch's word, in the order of [`Action`].
const ACTIONS: [(Action, &str); 10] = [
    (Action::Alloc, "alloc"),
    (Action::FreeRequested, "free_requested"),
    (Action::FreeCompleted, "free_completed"),
    (Action::SegmentAlloc, "segment_alloc"),
    (Action::SegmentFree, "segment_free"),
    (Action::SegmentMap, "segment_map"),
    (Action::SegmentUnmap, "segment_unmap"),
    (Action::Snapshot, "snapshot"),
    (Action::Oom, "oom"),
    (Action::Annotate, "annotate"),
];

impl Action {
    /// The action of torch's word.
    pub fn of(word: &str) -> Self {
        ACTIONS.iter().find(|(_, name)| *name == word).map_or(Self::Other, |(action, _)| *action)
    }

    /// Torch's word; `other` for what is not known.
    pub fn name(self) -> &'static str {
        ACTIONS.iter().find(|(action, _)| *action == self).map_or("other", |(_, name)| name)
    }
}

/// One event of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// What happened.
    pub action: Action,
    /// The address; of [`Action::Oom`] the bytes that the driver had left.
    pub addr: u64,
    /// Bytes: those asked for, unrounded, of an allocation and its end; those of the segment or pages otherwise.
    pub size: u64,
    /// The stream, as torch numbers it.
    pub stream: u64,
    /// When, in microseconds since 1970 UTC; torch writes it since 2.2.
    pub time_us: Option<i64>,
    /// Who asked.
    pub stack: Option<StackId>,
    /// The pool, where the release writes it.
    pub pool: Option<(u64, u64)>,
    /// What the program said of it.
    pub note: Option<TextId>,
}

/// Events behind each other. Most fields differ little from those of the event before.
#[derive(Debug, Clone, Default)]
pub struct Events {
    bytes: Vec<u8>,
    count: u32,
    last: Last,
}

#[derive(Debug, Clone, Copy, Default)]
struct Last {
    addr: u64,
    time: i64,
    stream: u64,
    pool: (u64, u64),
}

const TIME: u8 = 1 << 4;
const STREAM: u8 = 1 << 5;
const POOL: u8 = 1 << 6;
const NOTE: u8 = 1 << 7;
/// Second byte: the pool is the one before, or there is a stack.
const SAME_POOL: u8 = 1;
const STACK: u8 = 2;

impl Events {
    /// How many there are.
    pub fn len(&self) -> u32 {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Appends one; none when there are as many as numbers.
    pub(crate) fn push(&mut self, event: &Event) -> Option<u32> {
        let number = Some(self.count).filter(|count| *count < 1 << 28)?;
        let pool = event.pool.filter(|pool| *pool != self.last.pool);
        let kind = ACTIONS.iter().position(|(action, _)| *action == event.action).unwrap_or(ACTIONS.len());
        let mut flags = u8::try_from(kind).unwrap_or(15);
        let mut more = 0;
        let mut set = |bit: u8, on: bool| flags |= if on { bit } else { 0 };
        set(TIME, event.time_us.is_some());
        set(STREAM, event.stream != self.last.stream);
        set(POOL, pool.is_some());
        set(NOTE, event.note.is_some());
        more |= if event.pool.is_some() && pool.is_none() { SAME_POOL } else { 0 };
        more |= if event.stack.is_some() { STACK } else { 0 };
        self.bytes.extend([flags, more]);
        self.signed(event.addr.wrapping_sub(self.last.addr).cast_signed());
        self.last.addr = event.addr;
        self.number(event.size);
        if let Some(time) = event.time_us {
            self.signed(time.wrapping_sub(self.last.time));
            self.last.time = time;
        }
        if event.stream != self.last.stream {
            self.number(event.stream);
            self.last.stream = event.stream;
        }
        if let Some(pool) = pool {
            self.number(pool.0);
            self.number(pool.1);
            self.last.pool = pool;
        }
        if let Some(StackId(stack)) = event.stack {
            self.number(u64::from(stack));
        }
        if let Some(TextId(note)) = event.note {
            self.number(u64::from(note));
        }
        self.count += 1;
        Some(number)
    }

    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.bytes.push(number.to_le_bytes()[0]);
    }

    fn signed(&mut self, number: i64) {
        self.number((number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned());
    }

    /// All events, in the order in which they happened.
    pub fn iter(&self) -> Replay<'_> {
        Replay { bytes: &self.bytes, last: Last::default(), left: self.count }
    }

    /// Where the events of each range begin, in one pass: ranges follow each other, and empty ones begin nowhere.
    pub(crate) fn starts(&self, ranges: &[Range<u32>]) -> Vec<Start> {
        let (mut replay, mut passed) = (self.iter(), 0);
        let mut start = |range: &Range<u32>| {
            if range.is_empty() {
                return Start::default();
            }
            while passed < range.start && replay.next().is_some() {
                passed += 1;
            }
            Start { offset: self.bytes.len() - replay.bytes.len(), last: replay.last }
        };
        ranges.iter().map(&mut start).collect()
    }

    /// So many events from a start on.
    pub(crate) fn from(&self, start: Start, count: u32) -> Replay<'_> {
        let bytes = self.bytes.get(start.offset..).unwrap_or_default();
        Replay { bytes, last: start.last, left: count }
    }
}

/// Where some events begin, and what those before left.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Start {
    offset: usize,
    last: Last,
}

/// Events one by one.
#[derive(Debug, Clone)]
pub struct Replay<'e> {
    bytes: &'e [u8],
    last: Last,
    left: u32,
}

impl Replay<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.bytes.split_first().unwrap_or((&0, &[]));
        self.bytes = rest;
        *first
    }

    fn number(&mut self) -> u64 {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte();
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        number
    }

    fn small(&mut self) -> u32 {
        u32::try_from(self.number()).unwrap_or(u32::MAX)
    }

    fn signed(&mut self) -> i64 {
        let number = self.number();
        (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
    }
}

impl Iterator for Replay<'_> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.left = self.left.checked_sub(1)?;
        let (flags, more) = (self.byte(), self.byte());
        self.last.addr = self.last.addr.wrapping_add(self.signed().cast_unsigned());
        let size = self.number();
        let time_us = (flags & TIME != 0).then(|| {
            self.last.time = self.last.time.wrapping_add(self.signed());
            self.last.time
        });
        if flags & STREAM != 0 {
            self.last.stream = self.number();
        }
        if flags & POOL != 0 {
            self.last.pool = (self.number(), self.number());
        }
        let stack = (more & STACK != 0).then(|| StackId(self.small()));
        let note = (flags & NOTE != 0).then(|| TextId(self.small()));
        Some(Event {
            action: ACTIONS.get(usize::from(flags & 15)).map_or(Action::Other, |(action, _)| *action),
            addr: self.last.addr,
            size,
            stream: self.last.stream,
            time_us,
            stack,
            pool: (flags & POOL != 0 || more & SAME_POOL != 0).then_some(self.last.pool),
            note,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl<'e> IntoIterator for &'e Events {
    type Item = Event;
    type IntoIter = Replay<'e>;

    fn into_iter(self) -> Replay<'e> {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event() -> impl Strategy<Value = Event> {
        let pool = prop_oneof![Just(None), Just(Some((0, 0))), any::<(u64, u64)>().prop_map(Some)];
        let rest = (pool, proptest::option::of(0..1u32 << 28), proptest::option::of(0..1u32 << 28));
        (0..=ACTIONS.len(), any::<u64>(), any::<u64>(), prop_oneof![Just(0), any::<u64>()], any::<Option<i64>>(), rest)
            .prop_map(|(action, addr, size, stream, time_us, (pool, stack, note))| Event {
                action: ACTIONS.get(action).map_or(Action::Other, |(action, _)| *action),
                addr,
                size,
                stream,
                time_us,
                stack: stack.map(StackId),
                pool,
                note: note.map(TextId),
            })
    }

    fn number(place: usize) -> u32 {
        u32::try_from(place).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_again(events in proptest::collection::vec(event(), 0..40)) {
            let mut packed = Events::default();
            for event in &events {
                packed.push(event).unwrap();
            }
            prop_assert_eq!(packed.iter().collect::<Vec<_>>(), events.clone());
            let (cut, all) = (events.len().min(7), events.len());
            let ranges = [0..0, 0..number(cut), number(cut)..number(all), 0..0];
            for (range, start) in ranges.iter().zip(packed.starts(&ranges)) {
                let here = packed.from(start, range.end - range.start).collect::<Vec<_>>();
                prop_assert_eq!(&here, &events[range.start as usize..range.end as usize]);
            }
        }
    }
}
