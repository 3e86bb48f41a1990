//! Well-known models, by their Hugging Face ids.

use serde_json::{Map, Value};
use vramscope_core::Architecture;

use crate::config::{parse, read_shape};
use crate::{ConfigError, Note};

/// One model a line: id, parameters as counted from the shape, where the shape is from, and the fields of its config that
/// decide sizes.
const TABLE: &str = include_str!("database.jsonl");

/// Endings that name a tuning of a base model and leave its shape alone.
const TUNINGS: [&str; 8] = ["-instruct", "-chat", "-base", "-it", "-hf", "-thinking", "-pt", "-sft"];

/// How many suggestions an unknown id gets.
const SUGGESTIONS: usize = 3;

/// A model of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownModel {
    /// The id that was found.
    pub id: String,
    /// Parameters, as the shape counts them.
    pub parameters: u64,
    /// Where the shape is from, and how it was checked.
    pub source: String,
    config: Map<String, Value>,
}

/// An id that is not in the table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("find the model {id:?} in the database: {}", hint(.suggestions))]
#[non_exhaustive]
pub struct UnknownModel {
    /// The id as given.
    pub id: String,
    /// Ids that come close, the closest first.
    pub suggestions: Vec<&'static str>,
}

fn hint(suggestions: &[&str]) -> String {
    match suggestions {
        [] => "give a folder with its config.json, or its shape".to_owned(),
        near => format!("near ones are {}; or give a folder with its config.json", near.join(", ")),
    }
}

/// The ids of all models in the table, in order.
pub fn known_models() -> impl Iterator<Item = &'static str> {
    TABLE.lines().filter_map(id_of)
}

/// Finds a model by its id. Case does not count; the owner may be absent; a tuned variant of a known base model is found
/// as that.
///
/// ```
/// let model = vramscope_models::find_model("Meta-Llama/Llama-3.1-8b-instruct").unwrap();
/// assert_eq!(model.id, "meta-llama/Llama-3.1-8B");
/// let near = vramscope_models::find_model("Qwen/Qwen3-9B").unwrap_err();
/// assert_eq!(near.suggestions[0], "Qwen/Qwen3-8B");
/// ```
///
/// # Errors
/// [`UnknownModel`] with the ids that come close.
pub fn find_model(id: &str) -> Result<KnownModel, UnknownModel> {
    let exact =
        |wanted: &str| TABLE.lines().find(|line| id_of(line).is_some_and(|known| known.eq_ignore_ascii_case(wanted)));
    let named = |wanted: &str| {
        let same =
            |known: &str| bare(known) == bare(wanted) && (owner(known) == owner(wanted) || !wanted.contains('/'));
        TABLE.lines().find(|line| id_of(line).is_some_and(same))
    };
    let found = exact(id).or_else(|| named(id)).and_then(model);
    found.ok_or_else(|| UnknownModel { id: id.chars().take(200).collect(), suggestions: suggestions(id) })
}

impl KnownModel {
    /// The model's architecture, with notes of what was taken for granted.
    ///
    /// # Errors
    /// [`ConfigError`] where overrides contradict the shape.
    pub fn architecture(&self) -> Result<(Architecture, Vec<Note>), ConfigError> {
        read_shape(&self.config)
    }

    /// A `config.json` of it, with the fields that decide sizes and no others.
    pub fn config_json(&self) -> Vec<u8> {
        Value::Object(self.config.clone()).to_string().into_bytes()
    }

    /// The fields of its config.
    pub(crate) fn config(&self) -> &Map<String, Value> {
        &self.config
    }
}

fn id_of(line: &'static str) -> Option<&'static str> {
    line.strip_prefix("{\"id\":\"")?.split('"').next()
}

fn model(line: &str) -> Option<KnownModel> {
    let mut fields = parse(line.as_bytes()).ok()?;
    let Some(Value::Object(config)) = fields.remove("config") else { return None };
    Some(KnownModel {
        id: fields.get("id")?.as_str()?.to_owned(),
        parameters: fields.get("parameters")?.as_u64()?,
        source: fields.get("source")?.as_str()?.to_owned(),
        config,
    })
}

fn owner(id: &str) -> String {
    id.split_once('/').map_or(String::new(), |(owner, _)| owner.to_ascii_lowercase())
}

/// The name without its owner and without the name of a tuning.
fn bare(id: &str) -> String {
    let mut name = id.rsplit('/').next().unwrap_or(id).to_ascii_lowercase();
    for tuning in TUNINGS {
        if let Some(at) = name.find(tuning).filter(|at| name[at + tuning.len()..].bytes().all(is_version)) {
            name.truncate(at);
        }
    }
    name
}

/// What may follow the name of a tuning: a date or a version (`-2507`, `-v0.3`).
fn is_version(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'v')
}

/// The ids that come closest by edits, among those that come close at all.
fn suggestions(id: &str) -> Vec<&'static str> {
    let wanted: Vec<char> = bare(id).chars().take(100).collect();
    let mut near: Vec<(usize, &'static str)> = known_models()
        .map(|known| (distance(&wanted, &bare(known).chars().collect::<Vec<_>>()), known))
        .filter(|(edits, known)| 2 * edits <= bare(known).len().max(wanted.len()))
        .collect();
    near.sort_by_key(|(edits, known)| (*edits, *known));
    near.into_iter().take(SUGGESTIONS).map(|(_, known)| known).collect()
}

/// Levenshtein's distance.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let cost = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_model_of_a_known_family() {
        for id in known_models() {
            let (model, notes) = find_model(id).unwrap().architecture().unwrap();
            assert!(model.known_family, "{id}: {notes:?}");
        }
        assert_eq!(known_models().count(), TABLE.lines().count());
        assert!(known_models().map(str::to_ascii_lowercase).is_sorted(), "the table is in order");
    }

    #[test]
    fn tunings_dates_and_case_lead_to_the_base() {
        for (given, found) in [
            ("qwen/qwen3-8b", "Qwen/Qwen3-8B"),
            ("Qwen3-30B-A3B-Instruct-2507", "Qwen/Qwen3-30B-A3B"),
            ("google/gemma-2-9b-it", "google/gemma-2-9b"),
            ("mistralai/Mistral-7B-Instruct-v0.3", "mistralai/Mistral-7B-Instruct-v0.3"),
        ] {
            assert_eq!(find_model(given).map(|m| m.id), Ok(found.to_owned()), "{given}");
        }
    }

    #[test]
    fn another_owner_is_another_model() {
        assert!(find_model("nobody/Qwen3-8B").is_err(), "a repository of the same name may hold anything");
    }

    #[test]
    fn nonsense_gets_no_suggestions() {
        assert_eq!(find_model("x").unwrap_err().suggestions, Vec::<&str>::new());
        assert!(find_model("llama-3.1-8").unwrap_err().suggestions.contains(&"meta-llama/Llama-3.1-8B"));
    }
}
