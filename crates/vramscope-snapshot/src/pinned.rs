//! What keeps free memory from being given back: a segment goes back to the driver whole, and one small block in it keeps
//! it all.

use std::collections::HashMap;

use crate::holders::{By, frames, label};
use crate::model::{PoolId, Snapshot};
use crate::{Segment, StackId};

/// Who has blocks in segments with free memory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Pin {
    /// The holder's name; absent where no stack was recorded.
    pub label: Option<String>,
    /// The frames of its stack, the innermost first; empty unless rows are by stack.
    pub frames: Vec<String>,
    /// Free bytes of segments in which nobody else has anything.
    pub alone: u64,
    /// Free bytes of the other segments in which it has blocks.
    pub with_others: u64,
    /// The segments of both.
    pub segments: u64,
    /// What it holds in them, in bytes.
    pub held: u64,
}

/// Free memory of the default pool that stands beside blocks in use. Of expandable segments pages go back one by one, and
/// private pools give nothing back while they live, so neither is in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Pins {
    /// That memory, in bytes.
    pub bytes: u64,
    /// The segments that it is in.
    pub segments: u64,
    /// Who has blocks there; first who keeps most alone.
    pub rows: Vec<Pin>,
}

impl Pins {
    /// Looks at every segment.
    pub fn of(snapshot: &Snapshot, by: By) -> Self {
        let mut pins = Self::default();
        let mut rows = Rows { names: &snapshot.names, by, of_stack: HashMap::new(), of_label: HashMap::new() };
        let mut here: Vec<(usize, u64)> = Vec::new();
        for segment in snapshot.segments.iter().filter(|segment| gives_back_whole(segment)) {
            let blocks = snapshot.blocks(segment);
            let free = blocks.iter().filter(|block| !block.state.is_active());
            let free = free.fold(0, |sum: u64, block| sum.saturating_add(block.size));
            if free == 0 {
                continue;
            }
            here.clear();
            for block in blocks.iter().filter(|block| block.state.is_active()) {
                here.push((rows.row(block.stack, &mut pins.rows), block.size));
            }
            here.sort_unstable();
            let Some(&(first, _)) = here.first() else { continue };
            pins.bytes = pins.bytes.saturating_add(free);
            pins.segments += 1;
            let alone = here.iter().all(|(row, _)| *row == first);
            for own in here.chunk_by(|a, b| a.0 == b.0) {
                let pin = &mut pins.rows[own[0].0];
                let kept = if alone { &mut pin.alone } else { &mut pin.with_others };
                *kept = kept.saturating_add(free);
                pin.segments += 1;
                pin.held = own.iter().fold(pin.held, |sum, (_, size)| sum.saturating_add(*size));
            }
        }
        pins.rows.sort_by(|a, b| {
            let key = |pin: &Pin| std::cmp::Reverse((pin.alone, pin.with_others, pin.held));
            key(a).cmp(&key(b)).then_with(|| (&a.label, &a.frames).cmp(&(&b.label, &b.frames)))
        });
        pins
    }
}

/// Whether a segment goes back to the driver whole or not at all.
fn gives_back_whole(segment: &Segment) -> bool {
    !segment.pool.unwrap_or(PoolId::DEFAULT).is_private() && segment.expandable != Some(true)
}

/// Finds the row of a stack.
struct Rows<'s> {
    names: &'s crate::Names,
    by: By,
    of_stack: HashMap<Option<StackId>, usize>,
    of_label: HashMap<Option<String>, usize>,
}

impl Rows<'_> {
    fn row(&mut self, stack: Option<StackId>, rows: &mut Vec<Pin>) -> usize {
        if let Some(row) = self.of_stack.get(&stack) {
            return *row;
        }
        let label = stack.and_then(|stack| label(self.names, stack, self.by));
        let known = if self.by == By::Stack { None } else { self.of_label.get(&label).copied() };
        let row = known.unwrap_or_else(|| {
            let stack = stack.filter(|_| self.by == By::Stack);
            let frames = stack.map(|stack| frames(self.names, stack)).unwrap_or_default();
            rows.push(Pin { label: label.clone(), frames, ..Pin::default() });
            rows.len() - 1
        });
        self.of_stack.insert(stack, row);
        self.of_label.insert(label, row);
        row
    }
}
