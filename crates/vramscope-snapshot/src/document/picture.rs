//! What pictures are made of: parts, stacks as a tree, use over the recorded time.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::parts::part_or_other;
use crate::{Curve, Flame, Names, Snapshot, Sums};

/// Frames of a tree at most: what is smaller is narrower than a pixel.
const MOST_FRAMES: usize = 1000;

/// What a part has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PartRow {
    /// What the memory is for; `other` where the stack fits no rule, absent where no stack was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Active blocks.
    pub blocks: u64,
    /// Their bytes, rounding included.
    pub active_bytes: u64,
    /// What was asked for in them, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_bytes: Option<u64>,
}

/// Stacks of active blocks as a tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct FlameDocument {
    /// Bytes of all stacks: `totals.active_bytes`.
    pub bytes: u64,
    /// How many frames there are in all.
    pub frames_unique: u64,
    /// Those with the most bytes, at most 1,000, each behind the one around it.
    pub frames: Vec<FlameRow>,
}

/// A frame of the tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct FlameRow {
    /// File, line and function; absent for all allocations of which no stack was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The frame that called it, as a place in this list before its own; absent of an outermost one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<u64>,
    /// Bytes of it and of all that it called, rounding included.
    pub bytes: u64,
    /// Bytes that were asked for right here, rounding included.
    pub own_bytes: u64,
    /// Allocations of it and of all that it called.
    pub count: u64,
    /// What all of its memory is for; absent where it is for several parts, or no stack was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
}

/// Use over the recorded time. Of spans of equally many events it has the moments of the lowest and the highest use and of the
/// most that was reserved, so that the highest of all is never lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CurveDocument {
    /// What `parts_bytes` of each moment is of, in the same order, the largest first. Null stands for what has no stack, or is
    /// older than the history and gone by now.
    pub parts: Vec<Option<String>>,
    /// Moments in order, at most 1,000, from before the first event to after the last. The last out-of-memories are among them.
    pub points: Vec<CurvePointRow>,
}

/// Use at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CurvePointRow {
    /// The number of the event after which it is, counted from 0; absent of the moment before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<u32>,
    /// When, in microseconds since 1970 UTC; absent where the release writes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_us: Option<i64>,
    /// What was asked for in blocks that were active then, in bytes.
    pub requested_bytes: u64,
    /// What the allocator had of the driver then, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved_bytes: Option<u64>,
    /// `requested_bytes` by part. They sum to it.
    pub parts_bytes: Vec<u64>,
}

impl PartRow {
    /// The parts of all active blocks, the largest first.
    pub(super) fn all(snapshot: &Snapshot) -> Vec<Self> {
        let mut rows: BTreeMap<Option<&'static str>, Self> = BTreeMap::new();
        let mut known = BTreeMap::new();
        for (_, block) in snapshot.all_blocks().filter(|(_, block)| block.state.is_active()) {
            // Stacks are few beside blocks, and their frames many.
            let of_stack = |stack| *known.entry(stack).or_insert_with(|| part_or_other(&snapshot.names, stack));
            let name = block.stack.map(of_stack);
            let empty = || Self { name: name.map(str::to_owned), blocks: 0, active_bytes: 0, requested_bytes: Some(0) };
            let row = rows.entry(name).or_insert_with(empty);
            row.blocks += 1;
            // The totals hold the same sums, so none can be too large.
            row.active_bytes = row.active_bytes.saturating_add(block.size);
            row.requested_bytes =
                row.requested_bytes.zip(block.requested).map(|(sum, requested)| sum.saturating_add(requested));
        }
        let mut rows: Vec<Self> = rows.into_values().collect();
        rows.sort_by_key(|row| Reverse(row.active_bytes));
        rows
    }
}

impl FlameDocument {
    pub(super) fn of(names: &Names, sums: &Sums, bytes: u64) -> Self {
        let flame = Flame::of(names, sums, MOST_FRAMES);
        let row = |frame: &crate::FlameFrame| FlameRow {
            name: frame.name.clone(),
            parent: frame.parent.map(|parent| parent as u64),
            bytes: frame.bytes,
            own_bytes: frame.own,
            count: frame.count,
            part: frame.part.map(str::to_owned),
        };
        Self { bytes, frames_unique: flame.all, frames: flame.frames.iter().map(row).collect() }
    }
}

impl CurveDocument {
    pub(super) fn of(curve: &Curve) -> Self {
        let row = |point: &crate::CurvePoint| CurvePointRow {
            event: point.event,
            time_us: point.time_us,
            requested_bytes: point.requested,
            reserved_bytes: point.reserved,
            parts_bytes: point.parts.clone(),
        };
        Self {
            parts: curve.parts.iter().map(|part| part.map(str::to_owned)).collect(),
            points: curve.points.iter().map(row).collect(),
        }
    }
}
