//! Which statements tell of one event: memory that ran out on several ranks, or twice in the words of one process.

use vramscope_core::{Activity, Bytes, Failure, FailureKind, LogTime};

use super::Seen;
use crate::vllm::worker::Worker;

/// How far apart one process may say twice that memory ran out: the second is the end of the traceback of the first.
const ONE_TRACEBACK_LINES: u64 = 2000;
/// How long after the first rank another one may find no memory for the same reason. Ranks work in step; one that waits
/// for the others in a collective gives up later, but not for memory.
const ONE_EVENT_SECONDS: u32 = 60;

/// Whether memory ran out.
pub(super) fn is_exhausted(kind: &FailureKind) -> bool {
    matches!(kind, FailureKind::OutOfMemory { .. } | FailureKind::HostOutOfMemory { .. })
}

/// Whether one process said both: by its tag, else by its rank, else by the device that it names.
pub(super) fn of_one_process(one: &Failure, other: &Failure) -> bool {
    match (&one.origin.worker, &other.origin.worker) {
        (Some(one), Some(other)) => one == other,
        (None, None) => one.rank == other.rank && device(&one.message) == device(&other.message),
        _ => false,
    }
}

/// The device that torch names: its index among those that the process sees.
fn device(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("GPU ").or_else(|| message.split_once("(NPU "))?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    (digits > 0).then(|| &rest[..digits])
}

/// Whether both tell of one event.
pub(super) fn is_of_one_event(one: &Seen, other: &Seen) -> bool {
    let (first, second) = (&one.failure, &other.failure);
    if !is_exhausted(&first.kind)
        || std::mem::discriminant(&first.kind) != std::mem::discriminant(&second.kind)
        || !one.stands()
        || !other.stands()
    {
        return false;
    }
    if of_one_process(first, second) {
        return first.origin.line.abs_diff(second.origin.line) <= ONE_TRACEBACK_LINES;
    }
    match (one.at, other.at) {
        (Some(one), Some(other)) => seconds_apart(one, other).is_some_and(|apart| apart <= ONE_EVENT_SECONDS),
        _ => true,
    }
}

/// Seconds between two clocks of one month; `None` where they are further apart, or one of them lacks what the other has.
fn seconds_apart(one: LogTime, other: LogTime) -> Option<u32> {
    let same_month = one.month == other.month
        && one.utc_offset_minutes == other.utc_offset_minutes
        && one.year.is_none_or(|year| other.year.is_none_or(|other| other == year));
    let seconds = |t: LogTime| {
        ((u32::from(t.day) * 24 + u32::from(t.hour)) * 60 + u32::from(t.minute)) * 60 + u32::from(t.second)
    };
    same_month.then(|| seconds(one).abs_diff(seconds(other)))
}

/// Lays together what tells of one event, under the first statement.
pub(super) fn together(seen: Vec<Seen>) -> Vec<Seen> {
    let mut events: Vec<Seen> = Vec::new();
    for one in seen {
        match events.iter_mut().rev().find(|event| is_of_one_event(event, &one)) {
            Some(event) => {
                if let Some(retold) = event.join(one) {
                    events.push(retold);
                }
            }
            None => events.push(one),
        }
    }
    events
}

impl Seen {
    /// Takes another statement of this event: more words of a process that has spoken, or those of another one. Gives
    /// back what only passes on the words of others, and so follows from them.
    fn join(&mut self, other: Self) -> Option<Self> {
        let mut all = std::iter::once(&mut self.failure).chain(self.alike.iter_mut().map(|a| &mut a.failure));
        if let Some(known) = all.find(|known| of_one_process(known, &other.failure)) {
            complete(known, other.failure);
            return None;
        }
        if self.alike.is_empty() && is_retelling(&self.failure, &other.failure) {
            // Who failed speaks for himself.
            let retold = std::mem::replace(self, other);
            return Some(Self { retold: true, ..retold });
        }
        let all = std::iter::once(&self.failure).chain(self.alike.iter().map(|a| &a.failure));
        if all.into_iter().any(|known| is_retelling(&other.failure, known)) {
            return Some(Self { retold: true, ..other });
        }
        self.alike.push(other);
        None
    }
}

/// Whether a process that drives workers, or one without a tag, says what the worker said.
fn is_retelling(driver: &Failure, worker: &Failure) -> bool {
    let drives = |failure: &Failure| failure.origin.worker.as_deref().is_none_or(|tag| Worker::of(tag).is_engine());
    drives(driver)
        && !drives(worker)
        && driver.rank.is_none()
        && (driver.kind == worker.kind || !has_figures(&driver.kind))
}

/// Adds what the second statement of a process tells beyond its first.
fn complete(known: &mut Failure, other: Failure) {
    let certain = |activity: Option<Activity>| match activity {
        None => 0,
        Some(Activity::Starting | Activity::Serving | Activity::Profiling | Activity::LoadingWeights) => 1,
        Some(_) => 2,
    };
    if certain(other.activity) > certain(known.activity) {
        known.activity = other.activity;
    }
    // The line with the figures is the one to read.
    if has_figures(&other.kind) && !has_figures(&known.kind) {
        (known.message, known.origin) = (other.message, other.origin);
    }
    fill(&mut known.kind, &other.kind);
}

fn has_figures(kind: &FailureKind) -> bool {
    match kind {
        FailureKind::OutOfMemory { tried, free, capacity, .. } => tried.or(*free).or(*capacity).is_some(),
        FailureKind::HostOutOfMemory { tried, process } => tried.or(*process).is_some(),
        _ => false,
    }
}

/// Fills in the figures that the first statement lacks, unless the two are of different allocations.
fn fill(known: &mut FailureKind, other: &FailureKind) {
    let put = |slot: &mut Option<Bytes>, amount: &Option<Bytes>| *slot = slot.or(*amount);
    match (known, other) {
        (
            FailureKind::OutOfMemory { tried, capacity, free, process, allocated, reserved_unallocated },
            FailureKind::OutOfMemory {
                tried: other_tried,
                capacity: other_capacity,
                free: other_free,
                process: other_process,
                allocated: other_allocated,
                reserved_unallocated: other_reserved,
            },
        ) if tried.is_none() || other_tried.is_none() || *tried == *other_tried => {
            put(tried, other_tried);
            put(capacity, other_capacity);
            put(free, other_free);
            put(process, other_process);
            put(allocated, other_allocated);
            put(reserved_unallocated, other_reserved);
        }
        (
            FailureKind::HostOutOfMemory { tried, process },
            FailureKind::HostOutOfMemory { tried: other_tried, process: other_process },
        ) => {
            put(tried, other_tried);
            put(process, other_process);
        }
        _ => {}
    }
}
