//! A document that goes onto a page.

use serde_json::Value;
use vramscope_core::{REDACTED, is_secret_name, redact, redact_args};

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
    /// Secrets in it are hidden: who made it may not have known them as such.
    ///
    /// # Errors
    /// If it is none of the documents that vramscope writes, or one of a later version.
    pub fn new(name: impl Into<String>, mut value: Value) -> Result<Self, ReportError> {
        let name = redact(&name.into());
        let Some(kind) = Kind::of(&value) else { return Err(ReportError::Unknown { name }) };
        if let Some(version) = kind.version(&value).filter(|version| *version > kind.newest()) {
            return Err(ReportError::Newer { name, version });
        }
        hide_secrets(&mut value);
        Ok(Self { name, kind, value, recording: None })
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

/// Hides secrets wherever a document has them: in texts, behind the flags of command lines, under names of secrets.
fn hide_secrets(value: &mut Value) {
    match value {
        Value::String(text) => {
            let shown = redact(text);
            if shown != *text {
                *text = shown;
            }
        }
        Value::Array(list) if !list.is_empty() && list.iter().all(Value::is_string) => {
            let words: Vec<String> = list.iter().filter_map(Value::as_str).map(redact).collect();
            *list = redact_args(words.iter().map(String::as_str)).into_iter().map(Value::String).collect();
        }
        Value::Array(list) => list.iter_mut().for_each(hide_secrets),
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                match member {
                    // Documents call the name of an entry its key.
                    Value::String(text) if name != "key" && is_secret_name(name) => REDACTED.clone_into(text),
                    member => hide_secrets(member),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_secret_of_a_document_reaches_a_page() {
        let value = json!({"vramscope_runs": 1, "series": [], "runs": [{
            "name": "http://me:hunter2hunter2@host/v1",
            "settings": {"api_key": "abcdefgh12345678", "model": "m", "key": "h200"},
            "cautions": ["Authorization: Bearer abcdefgh12345678abcdefgh", "--api-key", "sesame-open-sesame"],
        }]});
        let document = Document::new("http://me:hunter2hunter2@host/", value).unwrap();
        let text = format!("{} {}", document.name(), document.value());
        for secret in ["hunter2hunter2", "abcdefgh12345678", "sesame-open-sesame"] {
            assert!(!text.contains(secret), "{text}");
        }
        let settings = &document.value()["runs"][0]["settings"];
        assert_eq!((&settings["model"], &settings["key"]), (&json!("m"), &json!("h200")));
    }

    #[test]
    fn a_document_of_a_later_version_is_no_empty_page() {
        let newer = Document::new("runs.json", json!({"vramscope_runs": 2, "runs": [], "series": []}));
        assert!(matches!(newer, Err(ReportError::Newer { version: 2, .. })));
    }
}
