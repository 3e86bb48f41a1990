//! A document that goes onto a page.

use serde_json::Value;

use crate::error::ReportError;
use crate::kind::Kind;
use crate::node::Node;

/// A JSON document that vramscope wrote, with the name under which people know it.
#[derive(Debug, Clone)]
pub struct Document {
    name: String,
    kind: Kind,
    value: Value,
}

impl Document {
    /// Takes a document that is in memory.
    ///
    /// # Errors
    /// If it is none of the documents that vramscope writes.
    pub fn new(name: impl Into<String>, value: Value) -> Result<Self, ReportError> {
        let name = name.into();
        match Kind::of(&value) {
            Some(kind) => Ok(Self { name, kind, value }),
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

    /// Its root, as one of the documents of a page.
    pub(crate) fn root(&self, place: usize) -> Node<'_> {
        Node::root(&self.value, place)
    }
}
