//! Single allocations of the recorded time: those that held the most memory for the longest.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::model::Snapshot;
use crate::{Action, Event, PoolId, StackId};

/// An allocation, from when to when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Life {
    /// When it began, in microseconds since 1970 UTC: the beginning of the history, of one that is older.
    pub from_us: i64,
    /// When it ended: the end of the history, of one that is still there.
    pub to_us: i64,
    /// Bytes that were asked for.
    pub bytes: u64,
    /// Who asked, if that was recorded.
    pub stack: Option<StackId>,
    /// The pool; absent where the release does not write it with events, of allocations that have ended.
    pub pool: Option<PoolId>,
    /// The stream, as torch numbers it; absent where only the end was recorded.
    pub stream: Option<u64>,
    /// Whether it is older than the history.
    pub older: bool,
    /// Whether it was still there when the snapshot was taken.
    pub still_there: bool,
}

impl Life {
    /// Bytes x microseconds.
    fn weight(&self) -> u128 {
        let length = u64::try_from(self.to_us.saturating_sub(self.from_us)).unwrap_or_default();
        u128::from(self.bytes) * u128::from(length)
    }
}

/// The heaviest of those that came by.
struct Heaviest {
    most: usize,
    kept: BinaryHeap<Reverse<(u128, Life)>>,
}

impl Heaviest {
    fn push(&mut self, life: Life) {
        self.kept.push(Reverse((life.weight(), life)));
        if self.kept.len() > self.most {
            self.kept.pop();
        }
    }
}

/// The allocations of a device with the largest product of bytes and time, no more than so many, in the order in which they
/// began. None where the history is empty or its release writes no times.
pub fn lives(snapshot: &Snapshot, device: usize, most: usize) -> Option<Vec<Life>> {
    let mut times = snapshot.events(device).filter_map(|event| event.time_us);
    let first = times.next()?;
    let (first, last) = times.fold((first, first), |(low, high), time| (low.min(time), high.max(time)));
    let mut heaviest = Heaviest { most, kept: BinaryHeap::new() };
    let mut alive: HashMap<u64, Event> = HashMap::new();
    let pool = |event: &Event| event.pool.map(|(first, second)| PoolId(first, second));
    for event in snapshot.events(device) {
        let now = event.time_us.unwrap_or(first);
        match event.action {
            Action::Alloc => {
                alive.insert(event.addr, event);
            }
            Action::FreeCompleted => {
                let begun = alive.remove(&event.addr);
                heaviest.push(Life {
                    from_us: begun.and_then(|begun| begun.time_us).unwrap_or(first),
                    to_us: now,
                    bytes: event.size,
                    stack: begun.and_then(|begun| begun.stack),
                    pool: begun.as_ref().and_then(pool).or_else(|| pool(&event)),
                    stream: begun.map(|begun| begun.stream),
                    older: begun.is_none(),
                    still_there: false,
                });
            }
            _ => {}
        }
    }
    let of_device = |segment: &crate::Segment| usize::try_from(segment.device) == Ok(device);
    for (segment, block) in
        snapshot.all_blocks().filter(|(segment, block)| of_device(segment) && block.state.is_active())
    {
        let begun = alive.get(&block.address);
        heaviest.push(Life {
            from_us: begun.and_then(|begun| begun.time_us).unwrap_or(first),
            to_us: last,
            bytes: block.requested.unwrap_or(block.size),
            stack: begun.and_then(|begun| begun.stack).or(block.stack),
            pool: segment.pool,
            stream: Some(segment.stream),
            older: begun.is_none(),
            still_there: true,
        });
    }
    let mut lives: Vec<Life> = heaviest.kept.into_iter().map(|Reverse((_, life))| life).collect();
    lives.sort_by_key(|life| (life.from_us, Reverse(life.to_us), Reverse(life.bytes), *life));
    Some(lives)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Source;

    #[test]
    fn what_held_most_for_longest_is_kept_whether_it_ended_or_is_older_or_still_there() {
        let text =
            br#"{"segments": [{"device": 0, "address": 0, "total_size": 100, "allocated_size": 60, "active_size": 60,
          "segment_pool_id": [0, 1], "stream": 7, "blocks": [
            {"address": 0, "size": 50, "requested_size": 50, "state": "active_allocated", "frames": []},
            {"address": 50, "size": 10, "requested_size": 10, "state": "active_allocated", "frames": []},
            {"address": 60, "size": 40, "requested_size": 0, "state": "inactive", "frames": []}]}],
          "device_traces": [[
            {"action": "free_completed", "addr": 90, "size": 4, "stream": 0, "time_us": 100, "frames": []},
            {"action": "alloc", "addr": 60, "size": 40, "stream": 0, "time_us": 200, "frames": []},
            {"action": "alloc", "addr": 50, "size": 10, "stream": 7, "time_us": 300, "frames": []},
            {"action": "free_completed", "addr": 60, "size": 40, "stream": 0, "time_us": 600, "frames": []}]]}"#;
        let snapshot = Snapshot::read(&Source::memory("made up", text.to_vec())).unwrap();
        let told: Vec<_> = lives(&snapshot, 0, 3)
            .unwrap()
            .iter()
            .map(|life| (life.from_us, life.to_us, life.bytes, life.older, life.still_there))
            .collect();
        assert_eq!(told, [(100, 600, 50, true, true), (200, 600, 40, false, false), (300, 600, 10, false, true)]);
        assert_eq!(lives(&snapshot, 0, 1).unwrap().len(), 1);
        assert_eq!(lives(&snapshot, 1, 1), None, "nothing was recorded of it");
    }
}
