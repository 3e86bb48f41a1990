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
    #[error("read `{field}` of the config: expected an object, found {found}")]
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

/// The JSON reader's own words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(pub(crate) String);

/// Something that a reader did without being told to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Note {
    /// The field that it concerns.
    pub field: String,
    /// What was done, in one sentence.
    pub text: String,
}
