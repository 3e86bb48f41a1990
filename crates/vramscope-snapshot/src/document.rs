//! The documents of `vramscope snapshot --format json`: one snapshot, and several as a series.
//!
//! Sizes are bytes, shares are from 0 to 1, times are microseconds since 1970 UTC as torch wrote them. What a snapshot
//! does not tell is absent, never 0.

mod convert;
mod history;
mod picture;
mod pinned;
mod series;

#[cfg(feature = "json-schema")]
use schemars::generate::SchemaSettings;
#[cfg(feature = "json-schema")]
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

pub use convert::Extract;
pub use history::{ActionRow, EventRow, HistoryDocument, MomentDocument, OutOfMemoryDocument};
pub use picture::{CurveDocument, CurvePointRow, FlameDocument, FlameRow, PartRow};
pub use pinned::{PinRow, PinnedDocument};
pub use series::{GrowthRow, PointRow, SeriesDocument, TrendDocument};

/// The version of these documents. A reader accepts the same number only.
pub const VERSION: u32 = 1;

/// What one snapshot says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct SnapshotDocument {
    /// The document's version.
    pub vramscope_snapshot: u32,
    /// The file that was read.
    pub file: File,
    /// How the allocator was set, where the file says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<SettingsDocument>,
    /// All devices, pools and streams together.
    pub totals: AmountsDocument,
    /// Each device, pool and stream, the largest of a device first. They sum to `totals`.
    pub pools: Vec<PoolRow>,
    /// Who holds the active blocks, the largest first. With the rest they sum to `totals.active_bytes`.
    pub holders: HoldersDocument,
    /// Which blocks in use keep free memory from being given back. Absent where none is kept so, and in documents of
    /// earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<PinnedDocument>,
    /// What the active blocks are for, the largest first. What was asked for in all of them, rounding, releasable and split
    /// sum to `totals.reserved_bytes`. Absent in documents of earlier releases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartRow>,
    /// The stacks of the active blocks as a tree. Absent in documents of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flame: Option<FlameDocument>,
    /// The recorded history of each device that has one.
    pub histories: Vec<HistoryDocument>,
    /// Pinned host memory, where that was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostDocument>,
    /// Marks that the program or the profiler set.
    pub annotations: u64,
    /// Everything odd about the file.
    pub notes: Vec<NoteRow>,
}

/// The file that was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct File {
    /// Its path as given.
    pub name: String,
    /// `pickle` or `json`.
    pub format: String,
    /// The protocol of a pickle, 2 to 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u8>,
    /// `plain`, `gzip` or `zstd`.
    pub compression: String,
    /// Size of the file, in bytes.
    pub file_bytes: u64,
    /// Size of what is in it, unpacked, in bytes.
    pub plain_bytes: u64,
    /// Different stacks in it.
    pub stacks: u64,
}

/// How the allocator was set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct SettingsDocument {
    /// The setting as text, as `PYTORCH_CUDA_ALLOC_CONF` gives it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Blocks from this size on are not split, in bytes; absent where there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_split_size_bytes: Option<u64>,
    /// The share of memory from which blocks are collected; 0 is never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub garbage_collection_threshold: Option<f64>,
    /// Whether segments are expandable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expandable_segments: Option<bool>,
}

/// Amounts of memory. `reserved = active + inactive`, `active = allocated + waiting`, `active = requested + rounding`,
/// `inactive = releasable + split`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct AmountsDocument {
    /// Segments.
    pub segments: u64,
    /// Blocks in use or waiting to be free.
    pub active_blocks: u64,
    /// Free blocks.
    pub free_blocks: u64,
    /// What the allocator has of the driver, in bytes.
    pub reserved_bytes: u64,
    /// Blocks that tensors have, in bytes.
    pub allocated_bytes: u64,
    /// Blocks in use or waiting to be free, in bytes.
    pub active_bytes: u64,
    /// What was asked for in active blocks, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_bytes: Option<u64>,
    /// What rounding up added to active blocks, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rounding_bytes: Option<u64>,
    /// Blocks that wait until another stream is done, in bytes.
    pub waiting_bytes: u64,
    /// Free blocks, in bytes.
    pub inactive_bytes: u64,
    /// Free memory that `torch.cuda.empty_cache` could give back, in bytes: whole segments, and whole pages of
    /// expandable ones, of the default pool.
    pub releasable_bytes: u64,
    /// Free memory that stays: beside blocks in use, or of a private pool, in bytes.
    pub split_bytes: u64,
    /// The largest free block, in bytes: what one tensor of its pool and stream can get without the driver.
    pub largest_free_bytes: u64,
    /// Ranges of expandable segments, in bytes; absent where the release does not say which they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expandable_bytes: Option<u64>,
}

/// One pool and stream of a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PoolRow {
    /// The device, as the process numbers it.
    pub device: u32,
    /// The pool's two numbers; `[0, 0]` is the default pool. Absent where the release does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<[u64; 2]>,
    /// `default`; `capture`, which a graph's capture made for itself; or `program`, which the program made
    /// (`graph_pool_handle` or `MemPool`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The stream, as torch numbers it; 0 is the default stream.
    pub stream: u64,
    /// What it holds.
    pub amounts: AmountsDocument,
    /// Where most of a private pool's active bytes were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mostly: Option<String>,
}

/// Who holds memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct HoldersDocument {
    /// What the rows are by: `stack`, `function`, `file`, `module` or `part`.
    pub by: String,
    /// The largest.
    pub rows: Vec<HolderRow>,
    /// Holders that are not listed.
    pub rest_rows: u64,
    /// What those hold, in bytes.
    pub rest_bytes: u64,
}

/// One holder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct HolderRow {
    /// Its name: where its stack is in the program, or the function, file, module or part. Absent where no stack was
    /// recorded. The part `other` is of stacks that no rule knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it holds, in bytes.
    pub bytes: u64,
    /// Its share of the whole, 0 to 1.
    pub share: f64,
    /// Allocations.
    pub count: u64,
    /// Its stack, the innermost frame first; absent unless rows are by stack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frames: Vec<String>,
}

/// Pinned host memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct HostDocument {
    /// Pieces that torch keeps.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of those in use.
    pub active_bytes: u64,
}

/// Something odd.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct NoteRow {
    /// What: `differing_segments`, `no_stacks`, `unmatched_history`, `older_allocations`, `unknown_fields` or
    /// `bytes_after_end`.
    pub kind: String,
    /// How often.
    pub count: u64,
    /// What it means.
    pub text: String,
}

/// The JSON Schema of the document of one snapshot.
#[cfg(feature = "json-schema")]
pub fn json_schema() -> Schema {
    schema::<SnapshotDocument>()
}

/// The JSON Schema of the document of a series.
#[cfg(feature = "json-schema")]
pub fn series_json_schema() -> Schema {
    schema::<SeriesDocument>()
}

/// The schema of a document as it is written.
#[cfg(feature = "json-schema")]
fn schema<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>()
}
