//! What is wrong with a model's description.

/// A `config.json` from which no architecture can be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The text is larger than any real config.
    #[error("read the config: it has {bytes} bytes, more than the {limit} that a config may have")]
    TooLarge {
        /// Its size in bytes.
        bytes: usize,
        /// The largest size that is read.
        limit: usize,
    },
    /// The text is not JSON, or nested deeper than 128 levels.
    #[error("read the config as JSON: line {line}, column {column}")]
    Syntax {
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1.
        column: usize,
        /// What the JSON reader says.
        #[source]
        source: JsonError,
    },
    /// The text is JSON, but no object, or a section of it is none.
    #[error("read {}: expected an object, found {found}", whole_or(.field))]
    NotAnObject {
        /// The section; empty for the whole.
        field: String,
        /// What is there.
        found: String,
    },
    /// A field without which nothing can be said is absent.
    #[error("find `{field}` in the config: give it there or as an override")]
    Missing {
        /// The field, with its other spellings.
        field: String,
    },
    /// A field is of another type.
    #[error("read `{field}` of the config: expected {expected}, found {found}")]
    WrongType {
        /// The field.
        field: String,
        /// What should be there.
        expected: &'static str,
        /// What is there, shortened.
        found: String,
    },
    /// A number is outside what any model has.
    #[error("read `{field}` of the config: {value} is not between {least} and {most}")]
    OutOfRange {
        /// The field.
        field: String,
        /// The number.
        value: u64,
        /// The least number allowed.
        least: u64,
        /// The largest number allowed.
        most: u64,
    },
    /// Two fields contradict each other.
    #[error("reconcile `{field}` with `{other}` in the config: {reason}")]
    Contradiction {
        /// One field.
        field: String,
        /// The other field.
        other: String,
        /// Why both cannot hold.
        reason: String,
    },
}

/// How a section is named; an empty name is that of the whole.
fn whole_or(field: &str) -> String {
    if field.is_empty() { "the config".to_owned() } else { format!("`{field}` of the config") }
}

/// The JSON reader's own words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(pub(crate) String);

impl JsonError {
    /// Of a text that this reader does not take. Its place is told beside it.
    pub(crate) fn of(error: &serde_json::Error, text: &[u8]) -> Self {
        if text.iter().all(u8::is_ascii_whitespace) {
            return Self("it is empty; expected a JSON object".to_owned());
        }
        if error.is_eof() {
            return Self("it ends in the middle, as a file does whose copy was broken off".to_owned());
        }
        let said = error.to_string();
        Self(said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said).to_owned())
    }
}

/// Something that a reader did without being told to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Note {
    /// The field that it concerns.
    pub field: String,
    /// What was done, in one sentence.
    pub text: String,
}
