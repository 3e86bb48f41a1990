//! A value that a log line states, with everything around it that a reader may want to check.

use vramscope_core::{ByteDelta, LogTime, Origin, Scope};

use crate::key::Key;

/// An amount of memory as printed and as meant.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Memory {
    /// The amount that the engine means. Graphs and free memory can be negative.
    pub bytes: ByteDelta,
    /// The number as printed.
    pub printed: f64,
    /// Digits after its point.
    pub decimals: u8,
    /// The unit as printed; `None` where the line leaves it out. The engine divides by powers of two whatever it
    /// writes: its `GB` is GiB.
    pub unit: Option<String>,
}

impl Memory {
    /// The number and its unit as printed.
    pub fn text(&self) -> String {
        let number = format!("{:.*}", usize::from(self.decimals), self.printed);
        self.unit.as_ref().map_or_else(|| number.clone(), |unit| format!("{number} {unit}"))
    }

    /// The amount in GiB, with the digits that were printed where they were printed in GiB (or in what the engine
    /// calls GB), and rounded to four digits otherwise.
    pub fn gib(&self) -> f64 {
        match self.unit.as_deref() {
            None | Some("GiB" | "GB") => self.printed,
            Some(_) => (self.bytes.as_f64() / 1_073_741_824.0 * 10_000.0).round() / 10_000.0,
        }
    }
}

/// A printed value.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Memory.
    Memory(Memory),
    /// A whole number.
    Count(u64),
    /// Another number; the key says of what.
    Number(f64),
    /// Text.
    Text(String),
}

/// One fact as printed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Figure {
    /// What it is.
    pub key: Key,
    /// The value.
    pub value: Value,
    /// Half a step of the last printed digit, in the value's unit (bytes for memory).
    pub resolution: Option<f64>,
    /// For which ranks it speaks.
    pub scope: Scope,
    /// Where the memory lies, by the engine's name for it (`CUDA0`, `CPU`), of engines that say so.
    pub place: Option<String>,
    /// Where it stands.
    pub origin: Origin,
    /// When it was printed.
    pub at: Option<LogTime>,
    /// How many more processes printed the same, where Ray says `[repeated 6x across cluster]`.
    pub repeated: u32,
}

impl Figure {
    /// The memory, if it is one.
    pub fn memory(&self) -> Option<&Memory> {
        match &self.value {
            Value::Memory(memory) => Some(memory),
            _ => None,
        }
    }

    /// The whole number, if it is one.
    pub fn count(&self) -> Option<u64> {
        match self.value {
            Value::Count(count) => Some(count),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn number(&self) -> Option<f64> {
        match self.value {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}
