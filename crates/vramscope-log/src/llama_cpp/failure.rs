//! Failures of llama.cpp, in its words and in those of the libraries under it.

use vramscope_core::{ByteUnit, Bytes, FailureKind};

use crate::number;
use crate::others::Desk;

/// Reads a line that may tell of a failure; gives whether it does.
pub(crate) fn read(text: &str, messages: &[&str], desk: &mut Desk<'_>) -> bool {
    let Some(kind) = kind(text, messages) else { return false };
    let message = super::timed(text).unwrap_or(text);
    desk.fail(kind, message);
    true
}

/// The same of a text that a launcher passes on, with the line that it stands on.
pub(crate) fn told(text: &str, desk: &mut Desk<'_>, whole: &str) -> bool {
    let Some(kind) = kind(text, &[text]).filter(|kind| *kind != FailureKind::Other) else { return false };
    desk.fail(kind, whole);
    true
}

fn out_of_memory(tried: Option<Bytes>) -> FailureKind {
    FailureKind::OutOfMemory {
        tried,
        capacity: None,
        free: None,
        process: None,
        allocated: None,
        reserved_unallocated: None,
    }
}

fn kind(text: &str, messages: &[&str]) -> Option<FailureKind> {
    let between = |before: &str, after: &str| {
        let rest = &text[text.find(before)? + before.len()..];
        Some(rest[..rest.find(after)?].trim())
    };
    // `allocating 590.07 MiB on device 0: cudaMalloc failed: out of memory`
    if text.contains("alloc") && text.contains("failed: out of memory") {
        return Some(out_of_memory(between("allocating ", " on device").and_then(mib)));
    }
    // The output buffer lies in host memory, and its size is in MiB.
    if text.contains("failed to allocate output buffer of size ") {
        let tried = between("failed to allocate output buffer of size ", " MiB").and_then(mib);
        return Some(FailureKind::HostOutOfMemory { tried, process: None });
    }
    if between("unable to allocate ", " buffer").is_some_and(super::is_host) {
        return Some(FailureKind::HostOutOfMemory { tried: None, process: None });
    }
    // `failed to allocate CUDA0 buffer of size 1879048192`: bytes, without a unit.
    if text.contains("failed to allocate ") && text.contains(" buffer of size ") {
        let at = text.find(" buffer of size ").map_or(text.len(), |at| at + " buffer of size ".len());
        let bytes = number::count(&text[at..]).map(|(bytes, _)| Bytes::new(bytes));
        let place = between("failed to allocate ", " buffer of size ").unwrap_or("");
        return Some(match super::is_host(place) {
            true => FailureKind::HostOutOfMemory { tried: bytes, process: None },
            false => out_of_memory(bytes),
        });
    }
    if text.contains("Device memory allocation of size ") && text.contains("failed") {
        let bytes = between("Device memory allocation of size ", " failed").and_then(number::count);
        return Some(out_of_memory(bytes.map(|(bytes, _)| Bytes::new(bytes))));
    }
    if text.contains("insufficient memory (attempted to allocate") {
        let tried = between("attempted to allocate ", " MB").and_then(mib);
        return Some(FailureKind::HostOutOfMemory { tried, process: None });
    }
    if text.contains("ErrorOutOfHostMemory") {
        return Some(FailureKind::HostOutOfMemory { tried: None, process: None });
    }
    let gone = [
        "unable to allocate ",
        "failed to allocate buffer for kv cache",
        "failed to allocate buffer for rs cache",
        "failed to allocate compute",
    ];
    if ["CUDA error: out of memory", "ROCm error: out of memory", "ErrorOutOfDeviceMemory"]
        .iter()
        .any(|words| text.contains(words))
        || gone.iter().any(|words| text.contains(words)) && !text.contains("unable to allocate backend")
    {
        return Some(out_of_memory(None));
    }
    // Vulkan has buffers of a size that its devices cannot use; no word speaks of memory.
    if text.contains("pre-allocated tensor (") && text.contains("cannot run the operation") {
        return Some(FailureKind::UnsupportedOnDevice);
    }
    if text.contains("does not support split buffers") {
        return Some(FailureKind::UnsupportedOnDevice);
    }
    if text.contains("unknown model architecture") {
        return Some(FailureKind::UnsupportedArchitecture);
    }
    let begins = |words: &str| messages.iter().any(|message| message.starts_with(words));
    if begins("error: invalid argument") || begins("error while handling argument") || begins("invalid argument: ") {
        return Some(FailureKind::BadArguments);
    }
    let other = [
        "failed to load model",
        "error loading model",
        "exiting due to model loading error",
        "failed to create context with model",
        // `tools/server/server-http.cpp`, `tools/server/server.cpp`.
        "couldn't bind HTTP server socket",
        "exiting due to HTTP server error",
        "failed to initialize the context",
        "llama_decode: failed to decode",
        "GGML_ASSERT(",
    ];
    other.iter().any(|words| text.contains(words)).then_some(FailureKind::Other)
}

/// Amounts without a unit, or with one that is a power of two.
fn mib(text: &str) -> Option<Bytes> {
    let n = number::number(text)?;
    Bytes::from_unit(n.value, ByteUnit::MiB)
}
