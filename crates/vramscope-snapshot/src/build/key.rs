//! The keys of torch's dictionaries.

use crate::{Names, TextId};

macro_rules! keys {
    ($($key:ident $text:literal,)*) => {
        /// A key that is known.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Key { $($key,)* }

        /// All keys with their text, in the order of the enum.
        const KEYS: &[(Key, &str)] = &[$((Key::$key, $text),)*];
    };
}

// torch/csrc/cuda/Module.cpp and memory_snapshot.cpp, 2.1 to 2.14; the newest recorded: 2.14.0.
keys! {
    Action "action",
    ActiveSize "active_size",
    Addr "addr",
    Address "address",
    AllocConf "PYTORCH_CUDA_ALLOC_CONF",
    AllocatedSize "allocated_size",
    AllocatorSettings "allocator_settings",
    Blocks "blocks",
    CompileContext "compile_context",
    Device "device",
    DeviceFree "device_free",
    DeviceTraces "device_traces",
    ExpandableSegments "expandable_segments",
    ExternalAnnotations "external_annotations",
    Filename "filename",
    Frames "frames",
    FxNodeInfo "fx_node_info",
    FxNodeName "fx_node_name",
    FxNodeOp "fx_node_op",
    FxOriginalTrace "fx_original_trace",
    GarbageCollectionThreshold "garbage_collection_threshold",
    HostSegments "host_segments",
    HostTraces "host_traces",
    IsExpandable "is_expandable",
    Line "line",
    MaxSplitSize "max_split_size",
    Name "name",
    PoolId "pool_id",
    RequestedSize "requested_size",
    SegmentPoolId "segment_pool_id",
    SegmentType "segment_type",
    Segments "segments",
    Size "size",
    Stage "stage",
    State "state",
    Stream "stream",
    TimeUs "time_us",
    TotalSize "total_size",
    UserMetadata "user_metadata",
}

/// How many there are.
pub(super) const COUNT: usize = KEYS.len();

impl Key {
    /// Torch's word.
    pub(super) fn name(self) -> &'static str {
        KEYS[self as usize].1
    }
}

/// Which texts of a file are keys.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// By the text's number; one more than the place in [`KEYS`], or none of them.
    known: Vec<u8>,
}

impl Keys {
    pub(super) fn find(&mut self, text: TextId, names: &Names) -> Option<Key> {
        while self.known.len() <= text.0 as usize {
            #[expect(clippy::cast_possible_truncation, reason = "no more texts than numbers")]
            let words = names.text(TextId(self.known.len() as u32));
            let place = KEYS.iter().position(|(_, name)| *name == words).map_or(0, |place| place + 1);
            self.known.push(u8::try_from(place).unwrap_or_default());
        }
        let place = usize::from(self.known[text.0 as usize]).checked_sub(1)?;
        Some(KEYS[place].0)
    }
}
