//! What a trace says about itself, before and after its events.

use vramscope_core::Bytes;

use crate::json::{Cursor, Stop, Value, integer, unescape};

/// The trace's own description. Everything is as written; what is not written is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceInfo {
    /// This process's rank in its group.
    pub rank: Option<i64>,
    /// The size of the group.
    pub world_size: Option<i64>,
    /// The library that the group communicates with (`nccl`).
    pub backend: Option<String>,
    /// The GPUs of the host, by their id in this trace.
    pub gpus: Vec<GpuInfo>,
    /// The GPU runtime, told from its version key.
    pub platform: Option<Platform>,
    /// Whether python stacks were recorded.
    pub with_stack: Option<bool>,
    /// Whether tensor shapes were recorded.
    pub record_shapes: Option<bool>,
    /// Whether memory events were recorded.
    pub profile_memory: Option<bool>,
    /// Whether FLOP counts were recorded.
    pub with_flops: Option<bool>,
    /// The wall clock at time zero of the events, in nanoseconds since 1970 UTC.
    pub base_time_ns: Option<i64>,
    /// The version of vLLM, where it wrote one.
    pub vllm_version: Option<String>,
}

/// One GPU as the trace lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GpuInfo {
    /// The id that events name.
    pub id: String,
    /// The product; HIP traces may leave it empty.
    pub name: Option<String>,
    /// Memory of the GPU.
    pub memory: Option<Bytes>,
}

/// Whose GPU runtime wrote the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// NVIDIA.
    Cuda,
    /// AMD.
    Hip,
}

impl Platform {
    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cuda => "cuda",
            Self::Hip => "hip",
        }
    }
}

/// What follows the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderEnd {
    /// Events begin at this offset, in an array that is a member of an object.
    Events(usize),
    /// Events begin at this offset, in an array that is the whole file.
    BareEvents(usize),
    /// The object ends without events.
    NoEvents,
}

impl TraceInfo {
    /// Reads everything up to the first event.
    pub(crate) fn read_header(&mut self, text: &[u8]) -> Result<HeaderEnd, Stop> {
        let start = if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let mut cursor = Cursor::new(text, start);
        if cursor.peek()? == b'[' {
            return Ok(HeaderEnd::BareEvents(cursor.at() + 1));
        }
        cursor.pass(b'{')?;
        let mut first = true;
        while let Some(key) = cursor.key(first)? {
            first = false;
            if key == b"traceEvents" && cursor.peek()? == b'[' {
                return Ok(HeaderEnd::Events(cursor.at() + 1));
            }
            self.set(key, cursor.value()?);
        }
        Ok(HeaderEnd::NoEvents)
    }

    /// Reads everything after the bracket that closes the events.
    pub(crate) fn read_trailer(&mut self, text: &[u8]) -> Result<Trailer, Stop> {
        let mut cursor = Cursor::new(text, 0);
        let mut trailer = Trailer::default();
        while let Some(key) = cursor.key(false)? {
            trailer.more_events |= key == b"traceEvents";
            self.set(key, cursor.value()?);
        }
        Ok(trailer)
    }

    fn set(&mut self, key: &[u8], value: Value<'_>) {
        match key {
            b"distributedInfo" => self.set_group(value),
            b"deviceProperties" => self.gpus = gpus(value),
            b"with_stack" => self.with_stack = flag(value),
            b"record_shapes" => self.record_shapes = flag(value),
            b"profile_memory" => self.profile_memory = flag(value),
            b"with_flops" => self.with_flops = flag(value),
            b"baseTimeNanoseconds" => self.base_time_ns = value.plain().and_then(integer),
            b"vllm_version" => self.vllm_version = text(value),
            b"cupti_version" | b"cuda_runtime_version" => self.platform = Some(Platform::Cuda),
            b"roctracer_version" | b"hip_runtime_version" => self.platform = Some(Platform::Hip),
            _ => {}
        }
    }

    fn set_group(&mut self, value: Value<'_>) {
        members(value, |key, value| match key {
            b"rank" => self.rank = value.plain().and_then(integer),
            b"world_size" => self.world_size = value.plain().and_then(integer),
            b"backend" => self.backend = text(value),
            _ => {}
        });
    }
}

/// What stands after the events, beside descriptions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Trailer {
    /// A second array of events, which is not read.
    pub more_events: bool,
}

fn gpus(value: Value<'_>) -> Vec<GpuInfo> {
    let Value::Nested(list) = value else { return Vec::new() };
    let mut found = Vec::new();
    let mut cursor = Cursor::new(list, 0);
    let mut walk = || -> Result<(), Stop> {
        cursor.pass(b'[')?;
        while cursor.peek()? != b']' {
            let mut gpu = GpuInfo::default();
            members(cursor.value()?, |key, value| match key {
                b"id" => gpu.id = text(value).unwrap_or_default(),
                b"name" => gpu.name = text(value).filter(|name| !name.is_empty()),
                b"totalGlobalMem" => gpu.memory = value.plain().and_then(integer).map(Bytes::new),
                _ => {}
            });
            found.push(gpu);
            if cursor.peek()? == b',' {
                cursor.pass(b',')?;
            }
        }
        Ok(())
    };
    // The list was skipped as a whole before, so it is well formed up to its commas; what was read stays.
    let _ = walk();
    found
}

fn members<'a>(value: Value<'a>, mut take: impl FnMut(&'a [u8], Value<'a>)) {
    let Value::Nested(object) = value else { return };
    let mut cursor = Cursor::new(object, 0);
    if cursor.pass(b'{').is_err() {
        return;
    }
    let mut first = true;
    while let Ok(Some(key)) = cursor.key(first) {
        first = false;
        match cursor.value() {
            Ok(value) => take(key, value),
            Err(_) => return,
        }
    }
}

fn text(value: Value<'_>) -> Option<String> {
    value.plain().filter(|&raw| raw != b"null").map(|raw| unescape(raw).into_owned())
}

fn flag(value: Value<'_>) -> Option<bool> {
    match value.plain()? {
        b"1" | b"true" => Some(true),
        b"0" | b"false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_up_to_the_events() {
        let text = br#"
        {"deviceProperties": [{"id": 2, "name": "", "totalGlobalMem": 206141652992}, {"id": 3, "name": "B"}],
         "roctracer_version": 4.1, "with_stack": 1, "distributedInfo": {"rank": 1, "world_size": 2, "pg_config": [{}]},
         "traceEvents": [ {"ph""#;
        let mut info = TraceInfo::default();
        let end = info.read_header(text).unwrap();
        assert!(matches!(end, HeaderEnd::Events(at) if text[at - 1] == b'['));
        assert_eq!((info.rank, info.world_size, info.platform), (Some(1), Some(2), Some(Platform::Hip)));
        assert_eq!((info.gpus[0].id.as_str(), info.gpus[0].name.as_deref()), ("2", None));
        assert_eq!(info.gpus[1].name.as_deref(), Some("B"));
        assert_eq!((info.with_stack, info.profile_memory), (Some(true), None));
    }

    #[test]
    fn an_array_is_a_trace_and_another_object_is_none() {
        let mut info = TraceInfo::default();
        assert_eq!(info.read_header(b" [ {"), Ok(HeaderEnd::BareEvents(2)));
        assert_eq!(info.read_header(br#"{"a": 1}"#), Ok(HeaderEnd::NoEvents));
        assert_eq!(info.read_header(br#"{"a": [1"#), Err(Stop::End));
    }

    #[test]
    fn descriptions_after_the_events_count_too() {
        let mut info = TraceInfo::default();
        let trailer = info.read_trailer(br#", "vllm_version": "0.32.0", "traceEvents": [] } "#).unwrap();
        assert!(trailer.more_events);
        assert_eq!(info.vllm_version.as_deref(), Some("0.32.0"));
    }
}
