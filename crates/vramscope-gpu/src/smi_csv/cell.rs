//! How one cell is read.

use std::fmt;

use vramscope_core::{ByteUnit, Bytes};

use super::columns::Head;
use crate::Figure;

/// Words by which drivers say that there is nothing to say, beside words in brackets.
const NOTHING: [&str; 8] = [
    "Not Supported",
    "ERR!",
    "Unknown Error",
    "GPU is lost",
    "GPU requires reset",
    "Insufficient Permissions",
    "None",
    "N/A",
];

/// Whether a cell says that the source has no such figure: it is empty, `N/A`, a known word, or a word in brackets
/// (`[Not Supported]`, `[Unknown Error]`, `[GPU requires reset]`).
#[inline]
pub fn is_absent(cell: &str) -> bool {
    // No such word begins with a digit, and nearly every cell of a log does.
    match cell.as_bytes().first() {
        None => true,
        Some(first) => !first.is_ascii_digit() && is_word_for_nothing(cell),
    }
}

fn is_word_for_nothing(cell: &str) -> bool {
    let cell = cell.trim();
    cell.is_empty()
        || cell.eq_ignore_ascii_case("n/a")
        || (cell.starts_with('[') && cell.ends_with(']'))
        || NOTHING.contains(&cell)
        || cell.starts_with("Requested functionality")
}

/// What a cell says, or `None` if it says that there is nothing to say, even where the word is cut off behind its bracket.
pub fn present(cell: &str) -> Option<&str> {
    let cell = cell.trim();
    (!is_absent(cell) && !cell.starts_with('[')).then_some(cell)
}

/// A cell that says neither a figure of its column nor that there is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{column} is {cell:?}, {fault}")]
#[non_exhaustive]
pub struct CellError {
    /// The column's name.
    pub column: String,
    /// The cell, cut short.
    pub cell: String,
    /// What is wrong with it.
    pub fault: CellFault,
}

/// What is wrong with a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CellFault {
    /// Words, or a number in a form that these tools do not print.
    NotANumber,
    /// Neither a date and time nor seconds since 1970.
    NotATime,
    /// A number that the figure cannot have.
    OutOfRange,
    /// A share of more than all.
    OverHundredPercent,
    /// A power without its unit.
    NoPowerUnit,
    /// An amount of memory without its unit.
    NoMemoryUnit,
}

impl fmt::Display for CellFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotANumber => "not a number",
            Self::NotATime => "not a time",
            Self::OutOfRange => "out of range",
            Self::OverHundredPercent => "more than 100 %",
            Self::NoPowerUnit => "without a known unit (expected W or mW)",
            Self::NoMemoryUnit => "without a known unit (expected MiB in the header or the cell)",
        })
    }
}

/// One cell of a row.
#[derive(Debug, Clone, Copy)]
pub struct Cell<'t>(&'t str);

impl<'t> Cell<'t> {
    /// A cell with or without blanks around it.
    pub fn new(cell: &'t str) -> Self {
        Self(cell.trim())
    }

    /// A cell of any bytes; what is no text is no figure either.
    #[inline]
    pub fn of_bytes(cell: &'t [u8]) -> Self {
        Self(std::str::from_utf8(cell.trim_ascii()).unwrap_or("\u{FFFD}"))
    }

    /// The cell as printed, without blanks around it.
    pub fn text(self) -> &'t str {
        self.0
    }

    /// The error of this cell.
    #[cold]
    pub fn error(self, head: &Head<'_>, fault: CellFault) -> CellError {
        CellError { column: head.name.to_owned(), cell: self.0.chars().take(40).collect(), fault }
    }

    /// The digits and the unit: the cell's own, else the header's.
    #[inline]
    fn number<'a>(self, head: &Head<'a>) -> Result<Option<(&'a str, Option<&'a str>)>, CellError>
    where
        't: 'a,
    {
        if is_absent(self.0) {
            return Ok(None);
        }
        let of_number = |byte: u8| byte.is_ascii_digit() || byte == b'.';
        let Some(end) = self.0.bytes().position(|byte| !of_number(byte)) else {
            return Ok(Some((self.0, head.unit)));
        };
        let (number, rest) = self.0.split_at(end);
        let unit = rest.trim_start();
        // A unit stands apart or is a known word; `1e3` and `0x10` are neither numbers nor units of these tools.
        let unit_is_word = unit.is_empty() || unit == "%" || (rest.len() > unit.len()) || unit.ends_with('B');
        if number.is_empty() || !unit_is_word {
            return Err(self.error(head, CellFault::NotANumber));
        }
        Ok(Some((number, if unit.is_empty() { head.unit } else { Some(unit) })))
    }

    /// A whole number as it stands.
    ///
    /// # Errors
    /// [`CellError`] if it is none, or out of the figure's range.
    #[inline]
    pub fn whole<T: TryFrom<u64>>(self, head: &Head<'_>) -> Result<Option<T>, CellError> {
        let Some((number, _)) = self.number(head)? else { return Ok(None) };
        let whole = number.parse::<u64>().ok().and_then(|n| T::try_from(n).ok());
        whole.map(Some).ok_or_else(|| self.error(head, CellFault::OutOfRange))
    }

    /// A share in percent.
    ///
    /// # Errors
    /// [`CellError`] if it is no whole number up to 100.
    #[inline]
    pub fn percent(self, head: &Head<'_>) -> Result<Option<u8>, CellError> {
        match self.whole::<u8>(head)? {
            Some(p) if p > 100 => Err(self.error(head, CellFault::OverHundredPercent)),
            percent => Ok(percent),
        }
    }

    /// A power in milliwatts, from `125552` mW or `125.55 W`.
    ///
    /// # Errors
    /// [`CellError`] if it is no number with a unit of power, or out of range.
    #[inline]
    pub fn power_mw(self, head: &Head<'_>) -> Result<Option<u32>, CellError> {
        let Some((number, unit)) = self.number(head)? else { return Ok(None) };
        let watts = watts_of(unit).ok_or_else(|| self.error(head, CellFault::NoPowerUnit))?;
        if let (Some("mW"), Ok(milliwatts)) = (unit, number.parse()) {
            return Ok(Some(milliwatts));
        }
        let milliwatts = number.parse::<f64>().map_or(f64::NAN, |value| (value * watts * 1000.0).round());
        if !(0.0..=f64::from(u32::MAX)).contains(&milliwatts) {
            return Err(self.error(head, CellFault::OutOfRange));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range by the test above")]
        Ok(Some(milliwatts as u32))
    }

    /// An amount of memory in the unit of the cell or the header.
    ///
    /// # Errors
    /// [`CellError`] if it is no number with a unit of memory, or out of range.
    #[inline]
    pub fn bytes(self, head: &Head<'_>) -> Result<Option<Bytes>, CellError> {
        let Some((number, unit)) = self.number(head)? else { return Ok(None) };
        let unit = byte_unit(unit).ok_or_else(|| self.error(head, CellFault::NoMemoryUnit))?;
        let amount = match unit {
            ByteUnit::B => number.parse().ok().map(Bytes::new),
            _ => number.parse().ok().and_then(|value| Bytes::from_unit(value, unit)),
        };
        amount.map(Some).ok_or_else(|| self.error(head, CellFault::OutOfRange))
    }

    /// The number in the form in which it is printed, in the unit of its column: MiB, W, %, MHz. `None` for words.
    ///
    /// # Errors
    /// [`CellError`] if neither the cell nor the header says in which unit a power or an amount of memory is: other tools
    /// write bytes or milliwatts under the same names.
    pub fn figure(self, head: &Head<'_>) -> Result<Option<Figure>, CellError> {
        let Some((figure, own)) = present(self.0).and_then(Figure::parse_with_unit) else { return Ok(None) };
        let unit = if own.is_empty() { head.unit } else { Some(own) };
        let fault = |fault| self.error(head, fault);
        match head.what.and_then(super::What::unit) {
            Some("MiB") => match byte_unit(unit) {
                None => Err(fault(CellFault::NoMemoryUnit)),
                Some(ByteUnit::MiB) => Ok(Some(figure)),
                Some(other) => Ok(Bytes::from_unit(figure.as_f64(), other).map(Figure::mib)),
            },
            Some("W") => match unit {
                Some("W") => Ok(Some(figure)),
                other => {
                    let watts = watts_of(other).ok_or_else(|| fault(CellFault::NoPowerUnit))?;
                    Ok(Some(Figure::Real(figure.as_f64() * watts)))
                }
            },
            _ => Ok(Some(figure)),
        }
    }
}

/// How many watts a unit of power is.
fn watts_of(unit: Option<&str>) -> Option<f64> {
    match unit {
        Some("W") => Some(1.0),
        Some("mW") => Some(0.001),
        _ => None,
    }
}

/// The unit of an amount of memory. What drivers before 331 print as MB, and `dmon` still does, is 2^20 bytes.
fn byte_unit(symbol: Option<&str>) -> Option<ByteUnit> {
    match symbol {
        Some("MB") => Some(ByteUnit::MiB),
        other => other.and_then(ByteUnit::from_symbol),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(head: &str, cell: &str) -> (Result<Option<u64>, CellFault>, Result<Option<Figure>, CellFault>) {
        let (head, cell) = (Head::parse(head), Cell::new(cell));
        let fault = |error: CellError| error.fault;
        (cell.bytes(&head).map(|b| b.map(Bytes::get)).map_err(fault), cell.figure(&head).map_err(fault))
    }

    #[test]
    fn both_forms_of_a_figure_say_the_same_and_know_its_unit() {
        let mib = |n: u64| (Ok(Some(n << 20)), Ok(Some(Figure::Whole(i64::try_from(n).unwrap()))));
        assert_eq!(memory("memory.used [MiB]", "300"), mib(300));
        assert_eq!(memory("memory.used", "300 MiB"), mib(300));
        assert_eq!(memory("memory.used [MB]", "300 MB"), mib(300), "a driver before 331 means MiB");
        assert_eq!(memory("memory.used [MiB]", "2 GiB"), mib(2048));
        let none = CellFault::NoMemoryUnit;
        assert_eq!(memory("memory.used", "300"), (Err(none), Err(none)));
        let power = Head::parse("power.draw");
        assert_eq!(Cell::new("125.5 W").power_mw(&power), Ok(Some(125_500)));
        assert_eq!(Cell::new("125500 mW").figure(&power), Ok(Some(Figure::Real(125.5))));
        assert_eq!(Cell::new("125.5").figure(&power).unwrap_err().fault, CellFault::NoPowerUnit);
    }

    #[test]
    fn nothing_is_nothing_and_a_cut_word_is_no_figure() {
        for nothing in ["", "N/A", "n/a", "[N/A]", "[Unknown Error]", "Not Supported", "ERR!", "GPU is lost"] {
            assert_eq!(memory("memory.used [MiB]", nothing), (Ok(None), Ok(None)), "{nothing:?}");
            assert_eq!(present(nothing), None, "{nothing:?}");
        }
        assert_eq!(memory("memory.used [MiB]", "[N/"), (Err(CellFault::NotANumber), Ok(None)));
        assert_eq!(present("[N/"), None);
    }

    #[test]
    fn an_error_names_the_column_and_the_cell() {
        let error = Cell::new("1e3").whole::<u32>(&Head::parse("index")).unwrap_err();
        assert_eq!(error.to_string(), "index is \"1e3\", not a number");
    }
}
