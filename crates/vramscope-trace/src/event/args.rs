//! The arguments that the analysis uses.

use super::salvage::lookup;
use crate::json::{Cursor, Stop, integer};

/// What a GPU operation states about itself. Device and stream stay text: identity is all that is asked of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct GpuArgs<'a> {
    pub device: Option<&'a [u8]>,
    pub stream: Option<&'a [u8]>,
    pub correlation: Option<u64>,
    pub bytes: Option<u64>,
    pub flops: Option<u64>,
}

/// What a memory event states.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MemoryArgs<'a> {
    pub device_type: Option<&'a [u8]>,
    pub device_id: Option<&'a [u8]>,
    pub allocated: Option<u64>,
    pub reserved: Option<u64>,
    pub change: Option<i64>,
}

/// Calls `take` with each plain value of an object. Where the object breaks, the wanted keys are looked for in its text.
fn each<'a>(args: &'a [u8], wanted: &[&'static [u8]], mut take: impl FnMut(&[u8], &'a [u8])) {
    let mut cursor = Cursor::new(args, 0);
    let mut walk = || -> Result<(), Stop> {
        cursor.pass(b'{')?;
        let mut first = true;
        while let Some(key) = cursor.key(first)? {
            first = false;
            if let Some(value) = cursor.value()?.plain() {
                take(key, value);
            }
        }
        Ok(())
    };
    if walk().is_err() {
        for &key in wanted {
            if let Some(value) = lookup(args, key) {
                take(key, value);
            }
        }
    }
}

/// Where floating-point operations stand: as torch's compiler writes them for its kernels (torch 2.11,
/// `_inductor/runtime/triton_heuristics.py` and `_inductor/analysis/profile_analysis.py`), and as other tools that
/// annotate traces spell it.
const FLOPS: [&[u8]; 2] = [b"kernel_flop", b"flops"];
/// What each of those keys holds, by which the few that have one are told from the many that have none.
const FLOPS_MARK: &[u8] = b"flop";

/// A whole number of operations; some writers spell it as a float.
fn operations(value: &[u8]) -> Option<u64> {
    integer(value.strip_suffix(b".0").unwrap_or(value))
}

/// The floating-point operations that an operator states.
pub(crate) fn flops(args: &[u8]) -> Option<u64> {
    memchr::memmem::find(args, FLOPS_MARK)?;
    let mut found = None;
    each(args, &FLOPS, |key, value| {
        if FLOPS.contains(&key) {
            found = operations(value);
        }
    });
    found
}

pub(crate) fn gpu_args(args: &[u8]) -> GpuArgs<'_> {
    let mut found = GpuArgs::default();
    let wanted: &[&[u8]] = &[b"device", b"stream", b"correlation", b"bytes", FLOPS[0], FLOPS[1]];
    each(args, wanted, |key, value| match key {
        b"device" => found.device = Some(value),
        b"stream" => found.stream = Some(value),
        b"correlation" => found.correlation = integer(value),
        b"bytes" => found.bytes = integer(value),
        key if FLOPS.contains(&key) => found.flops = operations(value),
        _ => {}
    });
    found
}

pub(crate) fn memory_args(args: &[u8]) -> MemoryArgs<'_> {
    let mut found = MemoryArgs::default();
    let wanted: &[&[u8]] = &[b"Device Type", b"Device Id", b"Total Allocated", b"Total Reserved", b"Bytes"];
    each(args, wanted, |key, value| match key {
        b"Device Type" => found.device_type = Some(value),
        b"Device Id" => found.device_id = Some(value),
        b"Total Allocated" => found.allocated = integer(value),
        b"Total Reserved" => found.reserved = integer(value),
        b"Bytes" => found.change = integer(value),
        _ => {}
    });
    found
}

/// The id that a call shares with what it launches.
pub(crate) fn correlation(args: &[u8]) -> Option<u64> {
    let mut found = None;
    each(args, &[b"correlation"], |key, value| {
        if key == b"correlation" {
            found = integer(value);
        }
    });
    found
}
