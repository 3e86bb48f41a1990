//! What the framework's allocator held, by its snapshots, beside what the card showed.

use vramscope_core::{ByteDelta, Bytes};
use vramscope_schema::v3::{AllocatorLedger, MemoryBreakdown};

use super::{gib, paragraph, title};
use crate::table::{Align, Table};

/// One table for the snapshot that tells of the peak, and a line for each other. `peak_ns` is when the peak was.
pub(super) fn tables(text: &mut String, breakdown: &MemoryBreakdown, peak_ns: Option<u64>, width: usize) {
    let ledgers = &breakdown.allocator;
    let peak = breakdown.total_measured_bytes;
    // That on the level of the peak, of several the nearest, as it is the one that parts are told by; else that with most
    // inside.
    let key = |ledger: &&AllocatorLedger| {
        let at_peak = ledger.at_peak == Some(true);
        let distance = peak_ns.zip(ledger.at_ns).filter(|_| at_peak).map_or(u64::MAX, |(peak, at)| peak.abs_diff(at));
        (at_peak, std::cmp::Reverse(distance), ledger.reserved_bytes)
    };
    let Some(shown) = ledgers.iter().max_by_key(key) else { return };
    title(text, "Inside the allocator");
    paragraph(text, "  ", &format!("{}{}", shown.file, when(shown)), width);
    text.push('\n');
    table(text, shown, peak, width);
    for ledger in ledgers.iter().filter(|ledger| !std::ptr::eq(*ledger, shown)) {
        let unexplained = match (ledger.unexplained_bytes, ledger.at_ns) {
            (Some(left), _) => format!(", {} unexplained of {} on the card", signed(left), card(ledger)),
            // The card held less by then: the engine slept, or had woken since.
            (None, Some(_)) => ", and no reading of the card is of it".to_owned(),
            (None, None) => String::new(),
        };
        let reserved = Bytes::new(ledger.reserved_bytes);
        paragraph(text, "  - ", &format!("{}{}: {reserved} reserved{unexplained}", ledger.file, when(ledger)), width);
    }
}

fn table(text: &mut String, ledger: &AllocatorLedger, peak: Option<u64>, width: usize) {
    let mut table = Table::new(&[("part", Align::Left), ("GiB", Align::Right), ("what it is", Align::Left)]);
    for part in ledger.parts.iter().filter(|part| part.size_bytes > 0) {
        let name = part.part.clone().unwrap_or_else(|| "no stack".to_owned());
        let what = match part.kept_bytes {
            0 => String::new(),
            kept => format!("{} of it free and kept for it", Bytes::new(kept)),
        };
        table.row([name, gib(part.size_bytes), what]);
    }
    let mut row = |name: &str, bytes: Option<u64>, what: &str| {
        if let Some(bytes) = bytes {
            table.row([name.to_owned(), gib(bytes), what.to_owned()]);
        }
    };
    row("releasable", Some(ledger.releasable_bytes), "free: empty_cache could give it back");
    row("split", Some(ledger.split_bytes), "free beside blocks in use");
    let rounding =
        ledger.rounding_bytes.map_or(String::new(), |bytes| format!("; {} of it rounding", Bytes::new(bytes)));
    row("= reserved", Some(ledger.reserved_bytes), &format!("the sum, exactly{rounding}"));
    row("context", ledger.runtime_context_bytes, "outside, as above");
    row("collectives", ledger.collectives_bytes.filter(|bytes| *bytes > 0), "outside, as above");
    row("baseline", ledger.baseline_bytes, "in use before the engine came");
    if let Some(left) = ledger.unexplained_bytes {
        let share = ledger.unexplained_pct.map_or(String::new(), |pct| format!("{pct:+.2} % of the device's peak"));
        let sign = if left < 0 { "-" } else { "+" };
        let amount = format!("{sign}{}", gib(ByteDelta::new(left).magnitude().get()));
        table.row(["unexplained".to_owned(), amount, share]);
    }
    if let Some(used) = ledger.used_bytes {
        let moved = ledger.moved_bytes.filter(|moved| *moved > 0);
        let moved = moved.map_or(String::new(), |moved| format!(", {} from the reading before", Bytes::new(moved)));
        table.row(["= card".to_owned(), gib(used), format!("read at or after the snapshot{moved}")]);
    }
    text.push_str(&table.render(width));
    if ledger.at_peak == Some(false) {
        let gap = peak.zip(ledger.used_bytes).map_or(String::new(), |(peak, used)| {
            format!(": the card held {} then, and {} at its peak", Bytes::new(used), Bytes::new(peak))
        });
        let words = format!("No snapshot is of the peak{gap}. Nothing above is told by it.");
        paragraph(text, "  ", &words, width);
    }
}

/// `, oom.pickle at 69.53 s, on the level of the peak`.
fn when(ledger: &AllocatorLedger) -> String {
    let at = ledger.at_ns.map_or(String::new(), |ns| format!(" from {:.2} s on", Bytes::new(ns).as_f64() / 1e9));
    let level = match ledger.at_peak {
        Some(true) => ", on the level of the peak",
        Some(false) => ", not at the peak",
        None => "",
    };
    format!("{at}{level}")
}

fn card(ledger: &AllocatorLedger) -> Bytes {
    Bytes::new(ledger.used_bytes.unwrap_or_default())
}

fn signed(bytes: i64) -> String {
    let sign = if bytes < 0 { "-" } else { "+" };
    format!("{sign}{}", ByteDelta::new(bytes).magnitude())
}
