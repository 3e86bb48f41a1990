//! Use over the recorded history, by part, in as many moments as people look at.
//!
//! Events are taken in spans of equal number. Of each span the lowest and the highest use are kept, and the most that the
//! allocator had of the driver: the highest of all is never lost, however long the history is.

use crate::history::{Anchor, Replayed};
use crate::parts::part_or_other;
use crate::{Event, Names, StackId};

/// Use at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CurvePoint {
    /// The number of the event after which it is, counted from 0; absent of the moment before the first.
    pub event: Option<u32>,
    /// When, in microseconds since 1970 UTC.
    pub time_us: Option<i64>,
    /// Bytes asked for in blocks that were active then.
    pub requested: u64,
    /// Bytes that the allocator had of the driver then.
    pub reserved: Option<u64>,
    /// `requested` by part, in the order of the curve's parts.
    pub parts: Vec<u64>,
}

/// Use over the recorded history.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Curve {
    /// The parts; none stands for what has no stack, or is older than the history and gone by now.
    pub parts: Vec<Option<&'static str>>,
    /// Moments in order, from before the first event to after the last.
    pub points: Vec<CurvePoint>,
}

/// Points of a span: the lowest, the highest, the most reserved.
const OF_A_SPAN: usize = 3;
/// Points beside those of spans: the start, the end, and the last out-of-memories.
const BESIDE: usize = 2 + OUT_OF_MEMORIES;
/// Out-of-memories that have a point of their own, the last ones.
pub(crate) const OUT_OF_MEMORIES: usize = 4;

/// A moment, by what changed since the history began.
#[derive(Debug, Clone)]
struct Since {
    event: u32,
    time_us: Option<i64>,
    requested: i128,
    reserved: i128,
    parts: Vec<i128>,
}

/// A curve while events come.
pub(crate) struct Drawn<'n> {
    names: &'n Names,
    parts: Vec<Option<&'static str>>,
    /// By the stack's number: the place of its part, once it was met.
    of_stack: Vec<Option<u8>>,
    now: Vec<i128>,
    /// Events of a span.
    every: u32,
    span: Vec<Since>,
    points: Vec<Since>,
    failed: Vec<Since>,
    last: Option<(u32, Option<i64>)>,
}

impl<'n> Drawn<'n> {
    /// A curve of so many events in no more than about so many points.
    pub(crate) fn new(names: &'n Names, events: u32, most: usize) -> Self {
        let spans = u32::try_from(most.saturating_sub(BESIDE) / OF_A_SPAN).unwrap_or(u32::MAX).max(1);
        Self {
            names,
            parts: vec![None],
            of_stack: vec![None; names.stacks()],
            now: vec![0],
            every: events.div_ceil(spans).max(1),
            span: Vec::new(),
            points: Vec::new(),
            failed: Vec::new(),
            last: None,
        }
    }

    /// The place of a stack's part.
    fn place(&mut self, stack: Option<StackId>) -> usize {
        let Some(stack) = stack else { return 0 };
        if let Some(place) = self.of_stack[stack.0 as usize] {
            return usize::from(place);
        }
        let part = Some(part_or_other(self.names, stack));
        let place = self.parts.iter().position(|known| *known == part).unwrap_or_else(|| {
            self.parts.push(part);
            self.now.push(0);
            self.parts.len() - 1
        });
        // The names of parts are a few dozen.
        self.of_stack[stack.0 as usize] = u8::try_from(place).ok();
        place
    }

    /// What is asked for in a stack's name changes by so much.
    pub(crate) fn change(&mut self, stack: Option<StackId>, by: i128) {
        let place = self.place(stack);
        self.now[place] += by;
    }

    /// The state after an event, of which the changes are taken.
    pub(crate) fn after(&mut self, number: u32, event: &Event, course: &Replayed) {
        if number.is_multiple_of(self.every) {
            self.close();
        }
        let (requested, reserved) = (course.requested, course.reserved);
        let higher = |at: usize| match (self.span.get(at), at) {
            (None, _) => true,
            (Some(lowest), 0) => requested < lowest.requested,
            (Some(highest), 1) => requested > highest.requested,
            (Some(most), _) => reserved > most.reserved,
        };
        let places: [usize; OF_A_SPAN] = [0, 1, 2];
        for (at, _) in places.map(|at| (at, higher(at))).into_iter().filter(|(_, higher)| *higher) {
            let since = self.since(number, event.time_us, course);
            match self.span.get_mut(at) {
                Some(kept) => *kept = since,
                None => self.span.push(since),
            }
        }
        self.last = Some((number, event.time_us));
    }

    fn since(&self, event: u32, time_us: Option<i64>, course: &Replayed) -> Since {
        let (requested, reserved) = (course.requested, course.reserved);
        Since { event, time_us, requested, reserved, parts: self.now.clone() }
    }

    /// The state at an out-of-memory is kept, whatever its span has.
    pub(crate) fn failed(&mut self, number: u32, event: &Event, course: &Replayed) {
        if self.failed.len() == OUT_OF_MEMORIES {
            self.failed.remove(0);
        }
        self.failed.push(self.since(number, event.time_us, course));
    }

    fn close(&mut self) {
        self.points.append(&mut self.span);
    }

    /// The curve, of a history that fits its blocks; none where a sum is below zero all the same.
    pub(crate) fn finish(mut self, course: &Replayed, anchor: &Anchor) -> Option<Curve> {
        self.close();
        let (first, mut start) = (anchor.requested?, vec![0; self.parts.len()]);
        for survivor in &anchor.survivors {
            let place = self.place(survivor.stack);
            start.resize(self.parts.len(), 0);
            start[place] += i128::from(survivor.size);
        }
        start[0] += anchor.older.iter().map(|(_, size)| i128::from(*size)).sum::<i128>();
        if let Some((number, time_us)) = self.last {
            self.points.push(self.since(number, time_us, course));
        }
        self.points.append(&mut self.failed);
        self.points.sort_by_key(|point| point.event);
        self.points.dedup_by_key(|point| point.event);
        let before = Since { event: 0, time_us: None, requested: 0, reserved: 0, parts: Vec::new() };
        let point = |since: &Since, event: Option<u32>| {
            let change = |place: usize| since.parts.get(place).copied().unwrap_or_default();
            let parts = start.iter().enumerate().map(|(place, first)| u64::try_from(first + change(place)).ok());
            Some(CurvePoint {
                event,
                time_us: since.time_us,
                requested: u64::try_from(first + since.requested).ok()?,
                reserved: anchor.reserved.and_then(|first| u64::try_from(first + since.reserved).ok()),
                parts: parts.collect::<Option<_>>()?,
            })
        };
        let later = self.points.iter().map(|since| point(since, Some(since.event)));
        let points = std::iter::once(point(&before, None)).chain(later).collect::<Option<Vec<_>>>()?;
        Some(Curve { parts: self.parts, points }.without_empty_parts())
    }
}

impl Curve {
    /// Parts that have nothing at any moment say nothing. The largest come first.
    fn without_empty_parts(self) -> Self {
        let most = |place: usize| self.points.iter().map(|point| point.parts[place]).max().unwrap_or_default();
        let mut places: Vec<usize> = (0..self.parts.len()).filter(|place| most(*place) > 0).collect();
        places.sort_by_key(|place| (std::cmp::Reverse(most(*place)), self.parts[*place]));
        let points = self.points.iter().map(|point| CurvePoint {
            parts: places.iter().map(|place| point.parts[*place]).collect(),
            ..point.clone()
        });
        Self { parts: places.iter().map(|place| self.parts[*place]).collect(), points: points.collect() }
    }

    /// The moment of the highest use.
    pub fn highest(&self) -> Option<&CurvePoint> {
        // The first of those that are as high, as the history's own.
        self.points.iter().rev().max_by_key(|point| point.requested)
    }
}
