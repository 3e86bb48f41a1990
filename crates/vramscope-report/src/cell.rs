//! What stands in a table or a sentence.

use serde_json::Number;

/// How something is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Tone {
    #[default]
    Plain,
    Good,
    Bad,
    Warning,
    /// There, and of less weight.
    Faint,
}

/// Text, or a figure with where it is from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    /// The pointer and the number behind it.
    pub(crate) source: Option<(String, Number)>,
    pub(crate) tone: Tone,
}

impl Cell {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), source: None, tone: Tone::Plain }
    }

    pub(crate) fn figure(text: String, pointer: String, number: Number) -> Self {
        Self { text, source: Some((pointer, number)), tone: Tone::Plain }
    }

    /// Nobody knows.
    pub(crate) fn absent() -> Self {
        Self { text: "–".to_owned(), source: None, tone: Tone::Faint }
    }

    pub(crate) fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }

    pub(crate) fn is_absent(&self) -> bool {
        self.source.is_none() && self.text == "–"
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}
