//! Slices that overlap, side by side: within a thread a viewer takes slices that nest alone.

use super::{MOST_LANES, Moment};

/// The end of the last slice of each lane.
#[derive(Debug, Clone, Default)]
pub(super) struct Lanes {
    ends: Vec<Moment>,
}

impl Lanes {
    /// The first lane that is free from the start on. Slices come in order of their starts. `None` when there are too many.
    pub(super) fn take(&mut self, start: Moment, end: Moment) -> Option<usize> {
        let end = end.max(start);
        let free = self.ends.iter().position(|last| *last <= start);
        if let Some(lane) = free {
            self.ends[lane] = end;
            return Some(lane);
        }
        if self.ends.len() == MOST_LANES {
            return None;
        }
        self.ends.push(end);
        Some(self.ends.len() - 1)
    }
}
