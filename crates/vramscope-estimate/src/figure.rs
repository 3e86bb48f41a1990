//! Numbers with their interval and their reason.

use vramscope_core::Confidence;

/// A computed number: the value, the interval in which the true one is expected, and how it came about.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Figure {
    /// The most likely value.
    pub value: u64,
    /// The least value that is still likely.
    pub low: u64,
    /// The largest value that is still likely.
    pub high: u64,
    /// How well it is known.
    pub confidence: Confidence,
    /// A short stable name of the method, `snake_case`.
    pub method: &'static str,
    /// The formula in words and symbols.
    pub formula: &'static str,
    /// What went into the formula.
    pub inputs: Vec<(&'static str, u64)>,
}

impl Figure {
    /// A number that follows from arithmetic alone.
    pub(crate) fn exact(value: u64, method: &'static str, formula: &'static str) -> Self {
        Self { value, low: value, high: value, confidence: Confidence::Computed, method, formula, inputs: Vec::new() }
    }

    /// Names what went in.
    pub(crate) fn with(mut self, inputs: &[(&'static str, u64)]) -> Self {
        self.inputs.extend_from_slice(inputs);
        self
    }

    /// Widens the interval.
    pub(crate) fn within(mut self, low: u64, high: u64, confidence: Confidence) -> Self {
        self.low = low.min(self.value);
        self.high = high.max(self.value);
        self.confidence = confidence;
        self
    }

    /// Whether a measured value lies in the interval.
    pub fn contains(&self, measured: u64) -> bool {
        (self.low..=self.high).contains(&measured)
    }
}
