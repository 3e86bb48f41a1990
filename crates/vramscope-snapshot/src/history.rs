//! What the recorded history says: the moment of highest use, what was alive then, and what came before an
//! out-of-memory.
//!
//! Torch writes the bytes that were asked for, unrounded, of allocations and their ends, so the curve is of requested
//! bytes of active blocks. Its end is anchored at the snapshot's blocks; its start follows. The history is a ring: it
//! may begin in the middle, with allocations alive whose begin is not in it.

use std::collections::{BTreeMap, HashMap};

use crate::curve::{Drawn, OUT_OF_MEMORIES};
use crate::holders::{Sum, Sums};
use crate::model::Snapshot;
use crate::{Action, Curve, Event, StackId};

/// A moment of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Moment {
    /// The number of the event after which it is, counted from 0; absent of the moment before the first.
    pub event: Option<u32>,
    /// When, in microseconds since 1970 UTC.
    pub time_us: Option<i64>,
    /// Bytes asked for in blocks that were active then.
    pub requested: u64,
    /// Bytes that the allocator had of the driver then.
    pub reserved: Option<u64>,
    /// What was alive then, by stack. Allocations older than the history stand under no stack, unless they are still
    /// there and their blocks have one.
    pub alive: Sums,
}

/// There was no memory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutOfMemory {
    /// The number of the event, counted from 0.
    pub event: u32,
    /// When, in microseconds since 1970 UTC.
    pub time_us: Option<i64>,
    /// Bytes that were asked for.
    pub asked: u64,
    /// Bytes that the driver had left.
    pub device_free: u64,
    /// Who asked.
    pub stack: Option<StackId>,
    /// The state then, if history and blocks fit together.
    pub moment: Option<Moment>,
    /// The events before it, the last one last.
    pub before: Vec<Event>,
    /// The largest free block then, in bytes: known where nothing happened between it and the snapshot.
    pub largest_free: Option<u64>,
}

/// What the history of one device says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct History {
    /// The device, as the process numbers it.
    pub device: u32,
    /// Events.
    pub events: u32,
    /// Events by action, with their bytes.
    pub actions: Vec<(Action, Sum)>,
    /// When the first and the last event were, in microseconds since 1970 UTC.
    pub time_us: Option<(i64, i64)>,
    /// The highest use, if history and blocks fit together.
    pub peak: Option<Moment>,
    /// The most that the allocator had of the driver in the recorded time, in bytes, if that fits together.
    pub most_reserved: Option<u64>,
    /// Use over the recorded time by part, if history and blocks fit together.
    pub curve: Option<Curve>,
    /// Allocations of the recorded time that were still there at its end, by stack.
    pub kept: Sums,
    /// All allocations of the recorded time, by stack.
    pub allocated: Sums,
    /// The last few out-of-memories.
    pub out_of_memory: Vec<OutOfMemory>,
    /// How many out-of-memories there were.
    pub out_of_memories: u64,
    /// Ends of allocations whose begin is not in the history: they are older.
    pub older: u64,
    /// Allocations that the history leaves alive and the blocks do not have, and allocations at an address in use: the
    /// history is not whole.
    pub unmatched: u64,
}

/// Moments of a curve at most: two to three for each pixel of a wide picture.
pub const CURVE_POINTS: usize = 1000;
/// The most bytes that are taken of the pool for small blocks (`kSmallSize`, c10/cuda/CUDACachingAllocator.h).
const SMALL: u64 = 1 << 20;
/// Events that are kept before each.
const EVENTS_BEFORE: usize = 10;

/// An allocation that is alive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Alive {
    pub(crate) size: u64,
    pub(crate) stack: Option<StackId>,
}

/// Allocations by address as events come.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    alive: HashMap<u64, Alive>,
    /// Bytes asked for, less those before the first event.
    pub(crate) requested: i128,
    /// Bytes of the driver, less those before the first event.
    pub(crate) reserved: i128,
}

/// What an event did.
enum Done {
    /// It began an allocation; with what was at its address, where that had not ended.
    Began(Option<Alive>),
    /// It ended one; absent where its begin is not in the history.
    Ended(Option<Alive>),
    /// It changed nothing that is asked for.
    Nothing,
}

impl Replayed {
    /// Takes an event.
    fn take(&mut self, event: &Event) -> Done {
        let size = i128::from(event.size);
        match event.action {
            Action::Alloc => {
                self.requested += size;
                let alive = Alive { size: event.size, stack: event.stack };
                return Done::Began(self.alive.insert(event.addr, alive));
            }
            Action::FreeCompleted => {
                self.requested -= size;
                return Done::Ended(self.alive.remove(&event.addr));
            }
            Action::SegmentAlloc | Action::SegmentMap => self.reserved += size,
            Action::SegmentFree | Action::SegmentUnmap => self.reserved -= size,
            _ => {}
        }
        Done::Nothing
    }
}

/// The histories of all devices that have one, with curves of no more than [`CURVE_POINTS`] moments.
pub fn histories(snapshot: &Snapshot) -> Vec<History> {
    histories_with(snapshot, CURVE_POINTS)
}

/// The same with curves of no more than so many moments; nine is the least.
pub fn histories_with(snapshot: &Snapshot, curve_points: usize) -> Vec<History> {
    let traced = (0..snapshot.traced_devices()).filter(|device| snapshot.event_count(*device) > 0);
    traced.filter_map(|device| Some(history(snapshot, device, u32::try_from(device).ok()?, curve_points))).collect()
}

fn history(snapshot: &Snapshot, trace: usize, device: u32, curve_points: usize) -> History {
    let mut course = Replayed::default();
    let mut drawn = Drawn::new(&snapshot.names, snapshot.event_count(trace), curve_points);
    let mut actions: BTreeMap<Action, Sum> = BTreeMap::new();
    let mut allocated = Allocated::of(snapshot, trace);
    let (mut unmatched, mut time_us) = (0, None);
    let (mut peak, mut most_reserved) = ((i128::MIN, 0), i128::MIN);
    // Allocations older than the history: when they ended, and their size.
    let mut older: Vec<(u32, u64)> = Vec::new();
    let mut failed: Vec<u32> = Vec::new();
    for (number, event) in (0..).zip(snapshot.events(trace)) {
        actions.entry(event.action).or_default().add(event.size);
        if let Some(time) = event.time_us {
            // Threads write times out of order.
            time_us = Some(time_us.map_or((time, time), |(first, last): (i64, i64)| (first.min(time), last.max(time))));
        }
        match event.action {
            Action::Alloc => allocated.add(&event),
            Action::Oom => {
                failed.push(number);
                drawn.failed(number, &event, &course);
            }
            _ => {}
        }
        let size = i128::from(event.size);
        match course.take(&event) {
            Done::Began(before) => {
                unmatched += u64::from(before.is_some());
                drawn.change(event.stack, size);
            }
            Done::Ended(begun) => {
                match begun {
                    None => older.push((number, event.size)),
                    // It is of another allocation, whose own end was left out.
                    Some(begun) => unmatched += u64::from(begun.size != event.size),
                }
                drawn.change(begun.and_then(|begun| begun.stack), -size);
            }
            Done::Nothing => {}
        }
        drawn.after(number, &event, &course);
        if course.requested > peak.0 {
            peak = (course.requested, number);
        }
        most_reserved = most_reserved.max(course.reserved);
    }
    let blocks = Now::of(snapshot, device);
    let differs = |(at, alive): &(&u64, &Alive)| blocks.active.get(at).is_none_or(|block| block.size != alive.size);
    unmatched += course.alive.iter().filter(differs).count() as u64;
    let mut kept = Sums::new();
    for alive in course.alive.values() {
        kept.entry(alive.stack).or_default().add(alive.size);
    }
    let survivors: Vec<Alive> =
        blocks.active.iter().filter(|(at, _)| !course.alive.contains_key(at)).map(|(_, alive)| *alive).collect();
    let start = blocks.requested.map(|end| end - course.requested).filter(|start| *start >= 0);
    let first_reserved = Some(blocks.reserved - course.reserved).filter(|first| *first >= 0);
    let out_of_memories = failed.len() as u64;
    let failed = failed.split_off(failed.len().saturating_sub(OUT_OF_MEMORIES));
    let whole = start.filter(|_| unmatched == 0);
    let anchor = Anchor { requested: whole, reserved: first_reserved, older, survivors };
    // Where the use only falls, it was highest before the first event.
    let at_start = peak.0 < 0;
    let mut moments = moments(snapshot, trace, whole.filter(|_| !at_start).map(|_| peak.1), &failed, &anchor);
    if whole.is_some() && at_start {
        moments.peak = moment(None, &Replayed::default(), &anchor);
    }
    // More asked for than there was: beginnings were left out of the history.
    let impossible = |peak: &Moment| peak.reserved.is_some_and(|reserved| peak.requested > reserved);
    if moments.peak.as_ref().is_some_and(impossible) {
        moments.peak = None;
        moments.failed.iter_mut().for_each(|failed| failed.moment = None);
        unmatched += 1;
    }
    let curve = moments.peak.is_some().then(|| drawn.finish(&course, &anchor)).flatten();
    History {
        device,
        events: snapshot.event_count(trace),
        actions: actions.into_iter().collect(),
        time_us,
        peak: moments.peak.take(),
        most_reserved: first_reserved.and_then(|first| u64::try_from(first + most_reserved).ok()),
        curve,
        kept,
        allocated: allocated.sums(),
        out_of_memory: moments.failed,
        out_of_memories,
        older: anchor.older.len() as u64,
        unmatched,
    }
}

/// Allocations by stack, while they are summed.
enum Allocated {
    /// By the stack's number, and one more for none: for millions of events.
    Table(Vec<Sum>),
    /// Where the file has more stacks than the device has events: of a thousand devices a table each takes long.
    Few(Sums),
}

impl Allocated {
    fn of(snapshot: &Snapshot, trace: usize) -> Self {
        let stacks = snapshot.names.stacks();
        if stacks > snapshot.event_count(trace) as usize {
            return Self::Few(Sums::new());
        }
        Self::Table(vec![Sum::default(); stacks + 1])
    }

    fn add(&mut self, event: &Event) {
        match self {
            Self::Table(table) => {
                let none = table.len() - 1;
                table[event.stack.map_or(none, |stack| stack.0 as usize)].add(event.size);
            }
            Self::Few(sums) => sums.entry(event.stack).or_default().add(event.size),
        }
    }

    fn sums(self) -> Sums {
        let table = match self {
            Self::Few(sums) => return sums,
            Self::Table(table) => table,
        };
        let none = table.len() - 1;
        let stack = |at: usize| u32::try_from(at).ok().filter(|_| at < none).map(StackId);
        let used = table.into_iter().enumerate().filter(|(_, sum)| sum.count > 0);
        used.map(|(at, sum)| (stack(at), sum)).collect()
    }
}

/// The blocks of a device when the snapshot was taken.
struct Now {
    active: HashMap<u64, Alive>,
    requested: Option<i128>,
    reserved: i128,
}

impl Now {
    fn of(snapshot: &Snapshot, device: u32) -> Self {
        let mut now = Self { active: HashMap::new(), requested: Some(0), reserved: 0 };
        for segment in snapshot.segments.iter().filter(|segment| segment.device == device) {
            now.reserved += i128::from(segment.total);
            for block in snapshot.blocks(segment).iter().filter(|block| block.state.is_active()) {
                let size = block.requested.unwrap_or(block.size);
                now.active.insert(block.address, Alive { size, stack: block.stack });
                let add = |sum: i128| block.requested.map(|requested| sum + i128::from(requested));
                now.requested = now.requested.and_then(add);
            }
        }
        now
    }
}

/// What was there before the first event.
pub(crate) struct Anchor {
    pub(crate) requested: Option<i128>,
    pub(crate) reserved: Option<i128>,
    /// Allocations that ended in the history: at which event, and their bytes.
    pub(crate) older: Vec<(u32, u64)>,
    /// Allocations that never ended.
    pub(crate) survivors: Vec<Alive>,
}

#[derive(Default)]
struct Moments {
    peak: Option<Moment>,
    failed: Vec<OutOfMemory>,
}

/// Goes through the history once more, and stops at the moments that are asked for.
fn moments(snapshot: &Snapshot, trace: usize, peak: Option<u32>, failed: &[u32], anchor: &Anchor) -> Moments {
    let mut found = Moments::default();
    let Some(last) = peak.into_iter().chain(failed.iter().copied()).max() else { return found };
    let mut course = Replayed::default();
    let mut before: Vec<Event> = Vec::new();
    for (number, event) in (0..=last).zip(snapshot.events(trace)) {
        course.take(&event);
        if peak == Some(number) {
            found.peak = moment(Some((number, &event)), &course, anchor);
        }
        if failed.contains(&number) {
            let from = before.len().saturating_sub(EVENTS_BEFORE);
            found.failed.push(OutOfMemory {
                event: number,
                time_us: event.time_us,
                asked: event.size,
                device_free: event.addr,
                stack: event.stack,
                moment: moment(Some((number, &event)), &course, anchor),
                before: before[from..].to_vec(),
                largest_free: largest_free(snapshot, trace, number, &event),
            });
        }
        if before.len() >= 2 * EVENTS_BEFORE {
            before.drain(..EVENTS_BEFORE);
        }
        before.push(event);
    }
    found
}

/// The state after an event, or before the first.
fn moment(after: Option<(u32, &Event)>, course: &Replayed, anchor: &Anchor) -> Option<Moment> {
    let requested = u64::try_from(anchor.requested? + course.requested).ok()?;
    let reserved = anchor.reserved.and_then(|first| u64::try_from(first + course.reserved).ok());
    let mut alive = Sums::new();
    for one in course.alive.values().chain(&anchor.survivors) {
        alive.entry(one.stack).or_default().add(one.size);
    }
    for (_, size) in anchor.older.iter().filter(|(end, _)| after.is_none_or(|(number, _)| *end > number)) {
        alive.entry(None).or_default().add(*size);
    }
    let time_us = after.and_then(|(_, event)| event.time_us);
    Some(Moment { event: after.map(|(number, _)| number), time_us, requested, reserved, alive })
}

/// The largest free block of the pool and stream that an allocation was asked of, if the blocks are still those of that
/// event. Releases that do not write an event's pool leave it open.
fn largest_free(snapshot: &Snapshot, trace: usize, number: u32, asked: &Event) -> Option<u64> {
    let pool = asked.pool?;
    let still = |event: &Event| matches!(event.action, Action::Oom | Action::Snapshot | Action::Annotate);
    let unchanged = snapshot.events(trace).skip(number as usize + 1).all(|event| still(&event));
    let device = u32::try_from(trace).ok()?;
    unchanged.then(|| {
        let of = |segment: &&crate::Segment| {
            let own = segment.pool.is_some_and(|own| (own.0, own.1) == pool);
            // What asks for more than a small block is never served out of the pool of small ones.
            own && segment.device == device && segment.stream == asked.stream && !(segment.small && asked.size > SMALL)
        };
        let segments = snapshot.segments.iter().filter(of);
        let free = segments.flat_map(|segment| snapshot.blocks(segment)).filter(|block| !block.state.is_active());
        free.map(|block| block.size).max().unwrap_or_default()
    })
}
