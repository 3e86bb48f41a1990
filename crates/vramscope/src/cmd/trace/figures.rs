//! Figures as people read them.

use vramscope_core::without_controls;

/// A part of a whole; 0 of nothing.
#[expect(clippy::cast_precision_loss, reason = "for display")]
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

pub(super) fn percent(part: u64, whole: u64) -> String {
    format!("{:.1} %", ratio(part, whole) * 100.0)
}

/// `+5.0 %`.
pub(super) fn signed_share(share: f64) -> String {
    format!("{:+.1} %", share * 100.0)
}

/// Nanoseconds as milliseconds.
pub(super) fn millis(ns: f64) -> String {
    format!("{:.3}", ns / 1e6)
}

pub(super) fn ms(ns: u64) -> String {
    format!("{}.{:03}", ns / 1_000_000, ns / 1_000 % 1_000)
}

pub(super) fn us(ns: f64) -> String {
    format!("{:.1}", ns / 1e3)
}

/// A number with the prefix of its magnitude, for a unit behind it.
pub(super) fn scaled(number: f64) -> String {
    let prefixes = [(1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let fitting = prefixes.into_iter().find(|(least, _)| number >= *least);
    fitting.map_or_else(|| format!("{number:.0} "), |(least, prefix)| format!("{:.2} {prefix}", number / least))
}

pub(super) fn size(bytes: u64) -> String {
    let units = [(1u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.into_iter().find(|(unit, _)| bytes >= *unit);
    unit.map_or_else(|| format!("{bytes} B"), |(unit, name)| format!("{:.2} {name}", ratio(bytes, unit)))
}

/// A name cut to a length.
pub(super) fn short(name: &str, length: usize) -> String {
    let name = without_controls(name).replace(['\n', '\t'], " ");
    if name.chars().count() <= length {
        return name;
    }
    name.chars().take(length.saturating_sub(1)).chain(['…']).collect()
}
