//! How one cell of a GPU log is read.

use vramscope_core::{ByteUnit, Bytes, Throttle};

use super::columns::Head;
use crate::evidence::civil;

/// One cell of a row.
pub(super) struct Cell<'a>(&'a str);

impl<'a> Cell<'a> {
    pub(super) fn new(cell: &'a [u8]) -> Self {
        Self(std::str::from_utf8(cell.trim_ascii()).unwrap_or("\u{FFFD}"))
    }

    /// Whether the source says that it has no such figure: empty, `N/A`, or a word in brackets (`[Not Supported]`,
    /// `[Unknown Error]`, `[GPU requires reset]`).
    fn is_absent(&self) -> bool {
        self.0.is_empty() || self.0.eq_ignore_ascii_case("n/a") || (self.0.starts_with('[') && self.0.ends_with(']'))
    }

    /// The digits and the unit: the cell's own, else the header's.
    fn number(&self, head: &'a Head) -> Result<Option<(&'a str, Option<&'a str>)>, String> {
        if self.is_absent() {
            return Ok(None);
        }
        let end = self.0.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(self.0.len());
        let (number, rest) = self.0.split_at(end);
        let unit = rest.trim_start();
        // A unit stands apart or is a known word; `1e3` and `0x10` are neither numbers nor units of these tools.
        let unit_is_word = unit.is_empty() || unit == "%" || (rest.len() > unit.len()) || unit.ends_with('B');
        if number.is_empty() || !unit_is_word {
            return Err(self.bad(head, "not a number"));
        }
        Ok(Some((number, if unit.is_empty() { head.unit.as_deref() } else { Some(unit) })))
    }

    /// A time in nanoseconds since 1970, in the clock of the log.
    pub(super) fn time(&self, head: &Head) -> Result<i64, String> {
        let nanoseconds = match head.unit.as_deref() {
            Some("ns") => self.0.parse::<i64>().ok(),
            _ => civil::parse_unix_ns(self.0),
        };
        nanoseconds.filter(|ns| *ns >= 0).ok_or_else(|| self.bad(head, "not a time"))
    }

    /// A whole number as it stands.
    pub(super) fn whole<T: TryFrom<u64>>(&self, head: &'a Head) -> Result<Option<T>, String> {
        let Some((number, _)) = self.number(head)? else { return Ok(None) };
        let whole = number.parse::<u64>().ok().and_then(|n| T::try_from(n).ok());
        whole.map(Some).ok_or_else(|| self.bad(head, "out of range"))
    }

    /// A share in percent.
    pub(super) fn percent(&self, head: &'a Head) -> Result<Option<u8>, String> {
        match self.whole::<u8>(head)? {
            Some(p) if p > 100 => Err(self.bad(head, "more than 100 %")),
            percent => Ok(percent),
        }
    }

    /// What holds the clocks back: names apart by spaces, `none` where nothing does.
    pub(super) fn throttle(&self) -> Option<Throttle> {
        if self.is_absent() {
            return None;
        }
        let names = self.0.split_ascii_whitespace().filter(|name| *name != "none");
        Some(names.fold(Throttle::NONE, |set, name| set.with(Throttle::from_name(name).unwrap_or(Throttle::OTHER))))
    }

    /// A power in milliwatts, from `125552` mW or `125.55 W`.
    pub(super) fn power_mw(&self, head: &'a Head) -> Result<Option<u32>, String> {
        let Some((number, unit)) = self.number(head)? else { return Ok(None) };
        let factor = match unit {
            Some("W") => 1000.0,
            Some("mW") => 1.0,
            _ => return Err(self.bad(head, "without a known unit (expected W or mW)")),
        };
        let milliwatts = number.parse::<f64>().map_or(f64::NAN, |value| (value * factor).round());
        if !(0.0..=f64::from(u32::MAX)).contains(&milliwatts) {
            return Err(self.bad(head, "out of range"));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range by the test above")]
        Ok(Some(milliwatts as u32))
    }

    /// An amount of memory in the unit of the cell or the header.
    pub(super) fn bytes(&self, head: &'a Head) -> Result<Option<Bytes>, String> {
        let Some((number, unit)) = self.number(head)? else { return Ok(None) };
        let unit = unit.and_then(ByteUnit::from_symbol);
        let unit =
            unit.ok_or_else(|| self.bad(head, "without a known unit (expected MiB in the header or the cell)"))?;
        let amount = match unit {
            ByteUnit::B => number.parse().ok().map(Bytes::new),
            _ => number.parse().ok().and_then(|value| Bytes::from_unit(value, unit)),
        };
        amount.map(Some).ok_or_else(|| self.bad(head, "out of range"))
    }

    fn bad(&self, head: &Head, what: &str) -> String {
        let shown: String = self.0.chars().take(40).collect();
        format!("{} is {shown:?}, {what}", head.name)
    }
}
