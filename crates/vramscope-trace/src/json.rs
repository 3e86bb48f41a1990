//! The few pieces of JSON that a trace needs, read from bytes in place.
//!
//! A general JSON library stops at the first defect; profilers have written unescaped quotes, `NaN` and broken UTF-8,
//! so this scanner tells *where* a text stops being JSON and lets the caller go on after it.

mod number;
mod scan;
mod text;

pub(crate) use number::{NotNanos, integer, nanos_of_micros};
pub(crate) use scan::{Cursor, Stop, Value};
pub(crate) use text::unescape;
