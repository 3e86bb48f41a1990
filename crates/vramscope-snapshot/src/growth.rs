//! What grew from one snapshot to the next, and what keeps growing in a series.

mod trend;

use std::collections::{BTreeMap, HashMap};

pub use trend::{Per, Trend};

use crate::holders::{By, Sum, frames, label};
use crate::model::Snapshot;
use crate::{StackId, active_by_stack};

/// One snapshot of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Point {
    /// The file's name.
    pub name: String,
    /// The time of its last event, in microseconds since 1970 UTC.
    pub time_us: Option<i64>,
    /// Its active blocks.
    pub active: Sum,
    /// Bytes of its segments.
    pub reserved: u64,
}

/// What one holder has in each snapshot.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Grown {
    /// The holder's name; absent where no stack was recorded.
    pub label: Option<String>,
    /// The frames of its stack, the innermost first; empty unless sums are by stack.
    pub frames: Vec<String>,
    /// What it has, snapshot by snapshot.
    pub sums: Vec<Sum>,
    /// How it goes on; absent where there are too few snapshots to tell.
    pub trend: Option<Trend>,
}

impl Grown {
    /// Bytes that the last snapshot has more than the first.
    pub fn change(&self) -> i64 {
        let bytes = |sum: Option<&Sum>| sum.map_or(0, |sum| i64::try_from(sum.bytes).unwrap_or(i64::MAX));
        bytes(self.sums.last()) - bytes(self.sums.first())
    }

    /// Allocations that the last snapshot has more than the first.
    pub fn count_change(&self) -> i64 {
        let count = |sum: Option<&Sum>| sum.map_or(0, |sum| i64::try_from(sum.count).unwrap_or(i64::MAX));
        count(self.sums.last()) - count(self.sums.first())
    }

    /// Whether it keeps growing, as far as the series tells.
    pub fn grows(&self) -> bool {
        self.trend.is_some_and(|trend| trend.grows)
    }
}

/// A series of snapshots, in the order of their times where all say them.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Series {
    /// The snapshots.
    pub points: Vec<Point>,
    /// Every holder that is not the same in all, the largest growth first.
    pub rows: Vec<Grown>,
    /// The trend of all active blocks together.
    pub total: Option<Trend>,
    /// Whether the order given was not that of the times.
    pub reordered: bool,
    /// Snapshots that were given more than once, by time and content; each counts once.
    pub repeated: usize,
    /// The fewest snapshots of which any row could be said to keep growing.
    pub needed: usize,
    /// Snapshots that have hardly any of the largest blocks of the one before, by device, address and size: perhaps
    /// they are of another process.
    pub apart: usize,
    /// Whether the snapshots are of different devices.
    pub other_devices: bool,
}

/// What a series keeps of one snapshot, so that not all need be in memory at once.
#[derive(Debug, Clone)]
pub struct Taken {
    point: Point,
    sums: BTreeMap<Key, Sum>,
    /// The largest active blocks: device, address and size.
    largest: Vec<(u32, u64, u64)>,
    devices: Vec<u32>,
}

/// Blocks by which a process is known again. Those that live as long as it does are among its largest.
const KNOWN_BY: usize = 256;
/// Less than one of so many in common is hardly any.
const APART: usize = 16;

/// A holder by its name and its frames.
type Key = (Option<String>, Vec<String>);

impl Taken {
    /// Takes what a series needs.
    pub fn of(snapshot: &Snapshot, by: By) -> Self {
        let mut sums: BTreeMap<Key, Sum> = BTreeMap::new();
        let mut active = Sum::default();
        let by_stack: HashMap<Option<StackId>, Sum> = active_by_stack(snapshot, None, None);
        for (stack, sum) in by_stack {
            let name = stack.and_then(|stack| label(&snapshot.names, stack, by));
            let stack = stack.filter(|_| by == By::Stack).map(|stack| frames(&snapshot.names, stack));
            sums.entry((name, stack.unwrap_or_default())).or_default().join(sum);
            active.join(sum);
        }
        let devices = 0..snapshot.traced_devices();
        let last = |device| snapshot.events(device).filter_map(|event| event.time_us).last();
        let reserved = snapshot.segments.iter().fold(0u64, |sum, segment| sum.saturating_add(segment.total));
        let point = Point { name: snapshot.name.clone(), time_us: devices.filter_map(last).max(), active, reserved };
        let mut largest: Vec<_> = snapshot
            .all_blocks()
            .filter(|(_, block)| block.state.is_active())
            .map(|(segment, block)| (segment.device, block.address, block.size))
            .collect();
        if largest.len() > KNOWN_BY {
            largest.select_nth_unstable_by_key(KNOWN_BY, |block| std::cmp::Reverse(block.2));
            largest.truncate(KNOWN_BY);
        }
        largest.sort_unstable();
        let mut devices: Vec<u32> = snapshot.segments.iter().map(|segment| segment.device).collect();
        devices.sort_unstable();
        devices.dedup();
        Self { point, sums, largest, devices }
    }

    /// Whether both have blocks and hardly any in common. Two ranks of an engine, which allocate alike, have been seen to
    /// share one of 361.
    fn is_apart(&self, other: &Self) -> bool {
        let common = self.largest.iter().filter(|block| other.largest.binary_search(block).is_ok()).count();
        let fewer = self.largest.len().min(other.largest.len());
        fewer > 0 && common * APART < fewer
    }

    /// Whether it is another one once more, and not a later one in which nothing has changed.
    fn is_again(&self, other: &Self) -> bool {
        let same = self.point.time_us.is_some() && self.point.time_us == other.point.time_us;
        same && self.point.reserved == other.point.reserved && self.sums == other.sums
    }
}

impl Series {
    /// Whether anything keeps growing: a row, or all of them together.
    pub fn grows(&self) -> bool {
        self.total.is_some_and(|total| total.grows) || self.rows.iter().any(Grown::grows)
    }

    /// Whether there are too few snapshots to say of any row that it grows.
    pub fn too_few(&self) -> bool {
        self.points.len() < self.needed
    }
}

impl Series {
    /// Joins snapshots. Two are compared in the order given.
    pub fn of(mut taken: Vec<Taken>) -> Self {
        let before: Vec<Option<i64>> = taken.iter().map(|one| one.point.time_us).collect();
        if taken.len() > 2 && before.iter().all(Option::is_some) {
            taken.sort_by_key(|one| one.point.time_us);
        }
        let reordered = taken.iter().map(|one| one.point.time_us).ne(before);
        let given = taken.len();
        taken.dedup_by(|next, one| next.is_again(one));
        let repeated = given - taken.len();
        let apart = taken.windows(2).filter(|pair| pair[1].is_apart(&pair[0])).count();
        let mut with_memory = taken.iter().map(|one| &one.devices).filter(|devices| !devices.is_empty());
        let first = with_memory.next();
        let other_devices =
            with_memory.any(|devices| first.is_some_and(|first| !devices.iter().any(|device| first.contains(device))));
        let keys: std::collections::BTreeSet<&Key> = taken.iter().flat_map(|one| one.sums.keys()).collect();
        let course = |key: &Key| taken.iter().map(|one| one.sums.get(key).copied().unwrap_or_default()).collect();
        let mut rows: Vec<Grown> = keys
            .into_iter()
            .map(|key| Grown { label: key.0.clone(), frames: key.1.clone(), sums: course(key), trend: None })
            .filter(|row| row.sums.windows(2).any(|pair| pair[0] != pair[1]))
            .collect();
        let times: Vec<Option<i64>> = taken.iter().map(|one| one.point.time_us).collect();
        // All together are a course too.
        let tried = rows.len() + 1;
        for row in &mut rows {
            row.trend = Trend::of(&row.sums.iter().map(|sum| sum.bytes).collect::<Vec<_>>(), &times, tried);
        }
        rows.sort_by(|a, b| {
            let key = |row: &Grown| (std::cmp::Reverse(row.grows()), std::cmp::Reverse(row.change()));
            key(a).cmp(&key(b)).then_with(|| (&a.label, &a.frames).cmp(&(&b.label, &b.frames)))
        });
        let points: Vec<Point> = taken.into_iter().map(|one| one.point).collect();
        let total = Trend::of(&points.iter().map(|point| point.active.bytes).collect::<Vec<_>>(), &times, tried);
        Self { points, rows, total, reordered, repeated, needed: trend::needed(tried), apart, other_devices }
    }
}
