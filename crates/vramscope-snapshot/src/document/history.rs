//! The recorded history in a snapshot's document.

use serde::{Deserialize, Serialize};

use super::{CurveDocument, HolderRow, HoldersDocument};

/// The recorded history of one device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct HistoryDocument {
    /// The device, as the process numbers it.
    pub device: u32,
    /// Events.
    pub events: u64,
    /// When the first event was, in microseconds since 1970 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_us: Option<i64>,
    /// When the last event was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_us: Option<i64>,
    /// Events by what happened.
    pub actions: Vec<ActionRow>,
    /// Allocations per second over the recorded time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocations_per_second: Option<f64>,
    /// Bytes asked for per second over the recorded time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocated_bytes_per_second: Option<f64>,
    /// The moment of the highest use; absent where history and blocks do not fit together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak: Option<MomentDocument>,
    /// The most that the allocator had of the driver in the recorded time, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most_reserved_bytes: Option<u64>,
    /// Use over the recorded time, by part; absent where history and blocks do not fit together, and in documents of earlier
    /// releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub curve: Option<CurveDocument>,
    /// Allocations of the recorded time that were still there at its end, in bytes asked for.
    pub kept: HoldersDocument,
    /// All allocations of the recorded time, in bytes asked for.
    pub allocated: HoldersDocument,
    /// Out-of-memories in the recorded time.
    pub out_of_memories: u64,
    /// The last four of them.
    pub out_of_memory: Vec<OutOfMemoryDocument>,
    /// Allocations that ended in the recorded time and are older than it.
    pub older: u64,
}

/// Events of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ActionRow {
    /// Torch's word for what happened; `other` for what is not known.
    pub action: String,
    /// Events.
    pub count: u64,
    /// Their bytes: asked for, of allocations and their ends; of segments and pages otherwise. Of snapshots, what was reserved
    /// when they were taken, summed.
    pub bytes: u64,
}

/// A moment of the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct MomentDocument {
    /// The number of the event after which it is, counted from 0; absent of the moment before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<u32>,
    /// When, in microseconds since 1970 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_us: Option<i64>,
    /// What was asked for in blocks that were active then, in bytes.
    pub requested_bytes: u64,
    /// What the allocator had of the driver then, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved_bytes: Option<u64>,
    /// What was alive then. With the rest it sums to `requested_bytes`. A row without a name is what is older than the
    /// history and gone by now.
    pub alive: HoldersDocument,
}

/// There was no memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct OutOfMemoryDocument {
    /// The number of the event, counted from 0; absent in documents of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<u32>,
    /// When, in microseconds since 1970 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_us: Option<i64>,
    /// What was asked for, in bytes.
    pub asked_bytes: u64,
    /// What the driver had left, in bytes.
    pub device_free_bytes: u64,
    /// Who asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<HolderRow>,
    /// The largest free block of the default pool then, in bytes; known where nothing happened between it and the
    /// snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_free_bytes: Option<u64>,
    /// The state then; absent where history and blocks do not fit together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moment: Option<MomentDocument>,
    /// The events before it, the last one last.
    pub before: Vec<EventRow>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct EventRow {
    /// Torch's word for what happened.
    pub action: String,
    /// Its bytes.
    pub bytes: u64,
    /// When, in microseconds since 1970 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_us: Option<i64>,
    /// Where in the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}
