//! The cells of a log that its own clock and our own recordings have beside those of nvidia-smi.

use vramscope_core::Throttle;
use vramscope_gpu::smi_csv::{Cell, CellError, CellFault, Head, is_absent};

use crate::evidence::civil;

/// A time in nanoseconds since 1970, in the clock of the log.
pub(super) fn time(cell: Cell<'_>, head: &Head<'_>) -> Result<i64, CellError> {
    let nanoseconds = match head.unit {
        Some("ns") => cell.text().parse::<i64>().ok(),
        _ => civil::parse_unix_ns(cell.text()),
    };
    nanoseconds.filter(|ns| *ns >= 0).ok_or_else(|| cell.error(head, CellFault::NotATime))
}

/// What holds the clocks back: names apart by spaces, `none` where nothing does.
pub(super) fn throttle(cell: Cell<'_>) -> Option<Throttle> {
    if is_absent(cell.text()) {
        return None;
    }
    let names = cell.text().split_ascii_whitespace().filter(|name| *name != "none");
    Some(names.fold(Throttle::NONE, |set, name| set.with(Throttle::from_name(name).unwrap_or(Throttle::OTHER))))
}
