//! What a snapshot holds, as types.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::events::{Replay, Start};
use crate::{Compression, Events, Names, StackId, TextId};

/// A pool of the allocator: `(0, 0)` is the default one. The first number counts pools that a graph's capture made for
/// itself, the second those that the program made (`torch.cuda.graph_pool_handle`, `torch.cuda.MemPool`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId(pub u64, pub u64);

impl PoolId {
    /// The pool of all that asks for no other.
    pub const DEFAULT: Self = Self(0, 0);

    /// Whether memory of it is for its own users alone.
    pub fn is_private(self) -> bool {
        self != Self::DEFAULT
    }
}

/// Memory that the driver gave in one piece (`cudaMalloc`), or one mapped range of an expandable segment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Segment {
    /// The device, as the process numbers it.
    pub device: u32,
    /// Where it begins.
    pub address: u64,
    /// All bytes of it.
    pub total: u64,
    /// Bytes of blocks in use, as torch wrote the sum.
    pub allocated: u64,
    /// Bytes of blocks in use or waiting to be free, as torch wrote the sum.
    pub active: u64,
    /// Bytes that were asked for in active blocks, as torch wrote the sum; absent where the release writes none.
    pub requested: Option<u64>,
    /// The stream whose allocations it serves, as torch numbers it.
    pub stream: u64,
    /// Whether it is of the pool for allocations up to 1 MiB.
    pub small: bool,
    /// The pool; absent where the release writes none.
    pub pool: Option<PoolId>,
    /// Whether it is a range of an expandable segment; absent where the release writes it not.
    pub expandable: Option<bool>,
    /// Who made the allocator ask the driver.
    pub stack: Option<StackId>,
    /// Its blocks, as numbers into the snapshot's blocks.
    pub(crate) blocks: Range<usize>,
}

/// What a block is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// A tensor has it.
    Allocated,
    /// Its tensor is gone, and another stream may still read it.
    Waiting,
    /// Free.
    Inactive,
}

impl State {
    /// Whether it cannot be used for another tensor.
    pub fn is_active(self) -> bool {
        self != Self::Inactive
    }
}

/// A piece of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Block {
    /// Where it begins.
    pub address: u64,
    /// Its bytes.
    pub size: u64,
    /// Bytes that were asked for; absent where the release writes none.
    pub requested: Option<u64>,
    /// What it is used for.
    pub state: State,
    /// Who asked for it, if that was recorded.
    pub stack: Option<StackId>,
}

/// A mark that the program or the profiler set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Annotation {
    /// Its name.
    pub name: TextId,
    /// `START` or `END`, where written.
    pub stage: Option<TextId>,
    /// The device.
    pub device: Option<u32>,
    /// Microseconds since 1970 UTC.
    pub time_us: Option<i64>,
}

/// How the allocator was set.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Settings {
    /// The setting as text: `PYTORCH_CUDA_ALLOC_CONF` or its successor.
    pub text: Option<String>,
    /// Blocks from this size on are not split, in bytes; absent where there is no limit.
    pub max_split_size: Option<u64>,
    /// From which share of memory on blocks are collected; 0 is never.
    pub garbage_collection_threshold: Option<f64>,
    /// Whether segments are expandable.
    pub expandable_segments: Option<bool>,
}

/// How the file was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// A pickle of this protocol.
    Pickle(u8),
    /// JSON of the same lists and dictionaries.
    Json,
}

/// The events of one device among all.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Trace {
    pub(crate) start: Start,
    pub(crate) count: u32,
}

/// A snapshot as it was read.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Snapshot {
    /// The file's name.
    pub name: String,
    /// How it was written.
    pub format: Format,
    /// How it was packed.
    pub compression: Compression,
    /// The file's bytes.
    pub file_bytes: u64,
    /// Its bytes when unpacked.
    pub plain_bytes: u64,
    /// Texts, frames and stacks.
    pub names: Names,
    /// All segments, in the order of the file.
    pub segments: Vec<Segment>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) events: Events,
    /// The events of each device.
    pub(crate) traces: Vec<Trace>,
    /// Marks of the program.
    pub annotations: Vec<Annotation>,
    /// How the allocator was set; absent where the file says nothing of it.
    pub settings: Option<Settings>,
    /// Bytes of pinned host memory that are in use, where that was recorded.
    pub host: Option<HostMemory>,
    /// Fields, and words for what an event was, that are not known here, each with how often it was met.
    pub unknown: BTreeMap<String, u64>,
    /// Whether bytes follow the snapshot's end.
    pub followed: bool,
}

/// Pinned host memory, which torch can record beside the device's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostMemory {
    /// Pieces that torch keeps.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of those in use.
    pub active_bytes: u64,
}

impl Snapshot {
    /// The blocks of a segment, by address.
    pub fn blocks(&self, segment: &Segment) -> &[Block] {
        &self.blocks[segment.blocks.clone()]
    }

    /// Every block with its segment.
    pub fn all_blocks(&self) -> impl Iterator<Item = (&Segment, &Block)> {
        self.segments.iter().flat_map(|segment| self.blocks(segment).iter().map(move |block| (segment, block)))
    }

    /// Devices for which the file has a list of events, empty or not.
    pub fn traced_devices(&self) -> usize {
        self.traces.len()
    }

    /// How many events of a device were recorded.
    pub fn event_count(&self, device: usize) -> u32 {
        self.traces.get(device).map_or(0, |trace| trace.count)
    }

    /// The recorded events of a device, the oldest first.
    pub fn events(&self, device: usize) -> Replay<'_> {
        let trace = self.traces.get(device).copied().unwrap_or_default();
        self.events.from(trace.start, trace.count)
    }
}
