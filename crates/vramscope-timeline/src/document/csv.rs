//! The samples of a timeline as CSV, with the timeline file's names as columns.
//!
//! A cell without text is a figure that the source does not have. What has no place in this form: the header but for
//! devices' indexes, marks, gaps, slow readings, the cost, and ticks; rows of all devices at one instant follow each
//! other. Reading it finds ticks and gaps again by the times.

use std::io::{self, Write};

use vramscope_core::{Sample, Throttle, Timeline};

use super::convert::{self, Anchor};
use super::lines;

/// The columns.
pub const COLUMNS: [&str; 16] = [
    "timestamp_ns",
    "gpu_index",
    "used_bytes",
    "free_bytes",
    "total_bytes",
    "reserved_bytes",
    "power_mw",
    "power_avg_mw",
    "temp_c",
    "temp_mem_c",
    "util_gpu_pct",
    "util_mem_pct",
    "sm_clock_mhz",
    "mem_clock_mhz",
    "energy_mj",
    "throttle",
];

/// Writes the line of columns.
///
/// # Errors
/// What the destination says.
pub fn write_head(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", COLUMNS.join(","))
}

/// Writes one sample. Times are nanoseconds since 1970 UTC where the anchor is known, else since the anchor.
///
/// # Errors
/// What the destination says.
pub fn write_row(out: &mut impl Write, anchor_unix_ns: Option<i64>, sample: &Sample) -> io::Result<()> {
    write_line(out, &convert::sample_line(Anchor::new(anchor_unix_ns), sample))
}

/// Writes one sample as the timeline file has it.
///
/// # Errors
/// What the destination says.
pub fn write_line(out: &mut impl Write, line: &lines::Sample) -> io::Result<()> {
    let taken = line.used_bytes.checked_add(line.reserved_bytes.unwrap_or(0));
    let free = line.total_bytes.zip(taken).and_then(|(total, taken)| total.checked_sub(taken));
    let cell = |value: Option<u64>| value.map(|value| value.to_string()).unwrap_or_default();
    let small = |value: Option<u32>| cell(value.map(u64::from));
    let percent = |value: Option<u8>| cell(value.map(u64::from));
    // Nothing that holds the clocks back is not the same as not knowing.
    let throttle = match line.throttle {
        None => String::new(),
        Some(Throttle::NONE) => "none".into(),
        Some(set) => set.names().collect::<Vec<_>>().join(" "),
    };
    writeln!(
        out,
        "{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{throttle}",
        line.timestamp_ns,
        line.gpu_index,
        line.used_bytes,
        cell(free),
        cell(line.total_bytes),
        cell(line.reserved_bytes),
        small(line.power_mw),
        small(line.power_avg_mw),
        small(line.temp_c),
        small(line.temp_mem_c),
        percent(line.util_gpu_pct),
        percent(line.util_mem_pct),
        small(line.sm_clock_mhz),
        small(line.mem_clock_mhz),
        cell(line.energy_mj),
    )
}

/// Writes all samples of a timeline.
///
/// # Errors
/// What the destination says.
pub fn write(out: &mut impl Write, timeline: &Timeline) -> io::Result<()> {
    write_head(out)?;
    timeline.samples().iter().try_for_each(|sample| write_row(out, timeline.anchor_unix_ns(), sample))
}
