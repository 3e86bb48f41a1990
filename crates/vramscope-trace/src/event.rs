//! One trace event as it stands in the file.

mod args;
mod salvage;

pub(crate) use args::{MemoryArgs, correlation, flops, gpu_args, memory_args};
pub(crate) use salvage::{last_boundary, lookup, next_boundary, salvage};

use crate::json::{Cursor, Stop, Value};

/// The fields of an event, not yet interpreted. Texts are without quotes but with escapes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Event<'a> {
    pub phase: Option<&'a [u8]>,
    pub category: Option<&'a [u8]>,
    pub name: Option<&'a [u8]>,
    pub pid: Option<&'a [u8]>,
    pub tid: Option<&'a [u8]>,
    pub ts: Option<&'a [u8]>,
    pub dur: Option<&'a [u8]>,
    /// The object with its brackets.
    pub args: Option<&'a [u8]>,
    /// It holds `NaN` or an infinity.
    pub not_json: bool,
    /// It is not valid JSON, and its fields were found by their names.
    pub repaired: bool,
}

/// What an event is to the analysis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A kernel on a GPU.
    Kernel,
    /// A copy by a GPU.
    Copy,
    /// A fill by a GPU.
    Fill,
    /// A call of the CUDA or HIP runtime or driver.
    Call,
    /// An operator of the framework on the CPU.
    Operator,
    /// A span that the program named, on the CPU.
    Annotation,
    /// The GPU's side of such a span.
    GpuAnnotation,
    /// A python frame.
    Python,
    /// A change of allocated memory.
    Memory,
    /// Time that the profiler itself took.
    Overhead,
    /// The beginning or end of a span, to be paired.
    BeginEnd,
    /// Names of processes and threads.
    Metadata,
    /// Anything else.
    Other,
}

impl<'a> Event<'a> {
    /// Reads the object at the cursor.
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Stop> {
        let mut event = Self::default();
        cursor.pass(b'{')?;
        let mut first = true;
        while let Some(key) = cursor.key(first)? {
            first = false;
            event.set(key, cursor.value()?);
        }
        event.not_json = cursor.passed_not_json();
        Ok(event)
    }

    fn set(&mut self, key: &[u8], value: Value<'a>) {
        match key {
            b"args" => {
                if let Value::Nested(args) = value {
                    self.args = Some(args);
                }
            }
            b"ph" => self.phase = value.plain(),
            b"cat" => self.category = value.plain(),
            b"name" => self.name = value.plain(),
            b"pid" => self.pid = value.plain(),
            b"tid" => self.tid = value.plain(),
            b"ts" => self.ts = value.plain(),
            b"dur" => self.dur = value.plain(),
            _ => {}
        }
    }

    /// What it is. Kineto's categories of all versions; those before 2022 began with a capital.
    pub(crate) fn kind(&self) -> Kind {
        match self.phase {
            Some(b"X") => {}
            Some(b"M") => return Kind::Metadata,
            Some(b"B" | b"E") => return Kind::BeginEnd,
            Some(b"i" | b"I") if self.name == Some(b"[memory]") => return Kind::Memory,
            _ => return Kind::Other,
        }
        match self.category.unwrap_or_default() {
            b"kernel" | b"Kernel" => Kind::Kernel,
            b"gpu_memcpy" | b"Memcpy" => Kind::Copy,
            b"gpu_memset" | b"Memset" => Kind::Fill,
            b"cuda_runtime" | b"cuda_driver" | b"Runtime" => Kind::Call,
            b"cpu_op" | b"Operator" => Kind::Operator,
            b"user_annotation" => Kind::Annotation,
            b"gpu_user_annotation" => Kind::GpuAnnotation,
            b"python_function" => Kind::Python,
            b"overhead" => Kind::Overhead,
            _ => Kind::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Event<'_> {
        Event::read(&mut Cursor::new(text.as_bytes(), 0)).unwrap()
    }

    #[test]
    fn fields_are_found_in_any_order() {
        let event = read(r#"{"args":{"name":"no","ts":1},"dur":2,"ts":1.5,"name":"k","cat":"kernel","ph":"X"}"#);
        assert_eq!((event.kind(), event.name, event.ts), (Kind::Kernel, Some(&b"k"[..]), Some(&b"1.5"[..])));
        assert_eq!(event.args, Some(&br#"{"name":"no","ts":1}"#[..]));
    }

    #[test]
    fn an_operator_with_a_stream_is_no_gpu_operation() {
        let event = read(r#"{"ph":"X","cat":"cpu_op","name":"triton_launcher","args":{"stream":7}}"#);
        assert_eq!(event.kind(), Kind::Operator);
        assert_eq!(read(r#"{"ph":"X","cat":"gpu_user_annotation","name":"step"}"#).kind(), Kind::GpuAnnotation);
    }
}
