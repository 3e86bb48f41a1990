//! What a reader of the result should know and no field says.

/// A remark about the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseNote {
    /// The line that it is about, counted from 1; zero is the whole input.
    pub line: u64,
    /// What.
    pub text: String,
}

impl ParseNote {
    pub(crate) fn new(line: u64, text: impl Into<String>) -> Self {
        Self { line, text: text.into() }
    }
}
