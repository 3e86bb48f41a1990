//! A document that goes onto a page.

use serde_json::Value;

use crate::error::ReportError;
use crate::kind::Kind;
use crate::node::Node;
use crate::time::Recording;

/// A JSON document that vramscope wrote, with the name under which people know it.
#[derive(Debug, Clone)]
pub struct Document {
    name: String,
    kind: Kind,
    value: Value,
    recording: Option<Recording>,
}

impl Document {
    /// Takes a document that is in memory.
    ///
    /// # Errors
    /// If it is none of the documents that vramscope writes.
    pub fn new(name: impl Into<String>, value: Value) -> Result<Self, ReportError> {
        let name = name.into();
        match Kind::of(&value) {
            Some(kind) => Ok(Self { name, kind, value, recording: None }),
            None => Err(ReportError::Unknown { name }),
        }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// If the text is no JSON, or none of the documents that vramscope writes.
    pub fn read(name: impl Into<String>, text: &[u8]) -> Result<Self, ReportError> {
        let name = name.into();
        match serde_json::from_slice(text) {
            Ok(value) => Self::new(name, value),
            Err(source) => Err(ReportError::NoJson { name, source }),
        }
    }

    /// The document with what was read over time, in place of what it has of that itself.
    #[must_use]
    pub fn with_recording(mut self, mut recording: Recording) -> Self {
        recording.finish();
        self.recording = Some(recording);
        self
    }

    /// Under which name people know it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The document itself.
    pub fn value(&self) -> &Value {
        &self.value
    }

    pub(crate) fn recording(&self) -> Option<&Recording> {
        self.recording.as_ref()
    }

    /// Its root, as one of the documents of a page.
    pub(crate) fn root(&self, place: usize) -> Node<'_> {
        Node::root(&self.value, place)
    }
}
