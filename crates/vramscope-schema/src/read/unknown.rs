//! Fields that a type does not know.

use std::collections::BTreeMap;

use serde_ignored::Path;
use serde_json::Value;

use crate::{Version, units};

/// More different unknown fields than any version adds; those beyond are counted and not named.
const MAX_FIELDS: usize = 200;

/// A field that the version's type does not have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct UnknownField {
    /// Its path; `[]` stands for every element of a list.
    pub(crate) field: String,
    /// How often it occurs.
    pub(crate) count: usize,
    /// Its value, where it is a single number or truth value.
    pub(crate) value: Option<Value>,
}

impl UnknownField {
    /// What to tell a person.
    pub(crate) fn note(&self, version: Version) -> String {
        let value = self.value.as_ref().map(|value| format!(" ({value})")).unwrap_or_default();
        let times = if self.count == 1 { String::new() } else { format!(", {} times", self.count) };
        format!("{}{value} is not known here (the document is of version {version}{times}); it is left out", self.field)
    }
}

/// Collects unknown fields during a parse.
pub(super) struct Collector {
    /// Whether memory stands in pairs, so that the derived half is known by the exact one.
    paired: bool,
    /// By path: how often, and where first.
    seen: BTreeMap<String, (usize, String)>,
    beyond: usize,
}

impl Collector {
    /// An empty collection for a document of this version.
    pub(super) fn new(version: Version) -> Self {
        Self { paired: version >= Version::WRITTEN, seen: BTreeMap::new(), beyond: 0 }
    }

    /// Takes note of an ignored field.
    pub(super) fn add(&mut self, path: &Path<'_>) {
        let mut name = String::new();
        let mut pointer = String::new();
        spell(path, &mut name, &mut pointer);
        if self.paired && units::derived_stem(&name).is_some() {
            return;
        }
        if self.seen.len() < MAX_FIELDS || self.seen.contains_key(&name) {
            self.seen.entry(name).or_insert((0, pointer)).0 += 1;
        } else {
            self.beyond += 1;
        }
    }

    /// The fields in the order of their paths, with their values.
    pub(super) fn finish(self, json: &[u8]) -> Vec<UnknownField> {
        if self.seen.is_empty() {
            return Vec::new();
        }
        let document: Value = serde_json::from_slice(json).unwrap_or_default();
        let plain = |value: &&Value| value.is_number() || value.is_boolean();
        let beyond = (self.beyond > 0).then(|| {
            let field = format!("more than {MAX_FIELDS} fields; each further one");
            UnknownField { field, count: self.beyond, value: None }
        });
        self.seen
            .into_iter()
            .map(|(field, (count, pointer))| {
                let value = document.pointer(&pointer).filter(plain).filter(|_| count == 1).cloned();
                UnknownField { field: super::short(&field), count, value }
            })
            .chain(beyond)
            .collect()
    }
}

/// Spells a path for people (`gpus[].name`) and as a JSON pointer (`/gpus/0/name`).
fn spell(path: &Path<'_>, name: &mut String, pointer: &mut String) {
    match path {
        Path::Root => {}
        Path::Seq { parent, index } => {
            spell(parent, name, pointer);
            name.push_str("[]");
            pointer.push_str(&format!("/{index}"));
        }
        Path::Map { parent, key } => {
            spell(parent, name, pointer);
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(key);
            pointer.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1")));
        }
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            spell(parent, name, pointer);
        }
    }
}
