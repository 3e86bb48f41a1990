//! Why nothing can be computed of a packed model or a command line.

/// A file or arguments for which no figure can be stated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LlamaCppError {
    /// The file does not say what is needed.
    #[error("read the model's shape: its metadata has no `{key}`; is the file a whole model?")]
    MissingKey {
        /// The key, without the family in front.
        key: &'static str,
    },
    /// The file says what no model has.
    #[error("use the model's shape: `{key}` is {value}, which no model has")]
    Implausible {
        /// The key, without the family in front.
        key: &'static str,
        /// Its value.
        value: u64,
    },
    /// The file says it in a way that the server does not read.
    #[error("read the model's shape: `{key}` is not {expected}")]
    Unreadable {
        /// The key, without the family in front.
        key: &'static str,
        /// What it may be.
        expected: &'static str,
    },
    /// A tensor is not of the shape that the metadata says.
    #[error("use the tensor {tensor:?}: it has {found} rows where the metadata says {said}")]
    Contradiction {
        /// The tensor.
        tensor: String,
        /// Its rows.
        found: u64,
        /// What they would be.
        said: u64,
    },
    /// A tensor's type is not known.
    #[error("size the tensor {tensor:?}: its type {kind} is not known")]
    UnknownType {
        /// The tensor.
        tensor: String,
        /// The type, as the header spells it.
        kind: &'static str,
    },
    /// An argument is not what it may be.
    #[error("use --{name} {value}: expected {expected}")]
    BadArgument {
        /// The option.
        name: String,
        /// What was given.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// The server refuses these arguments together.
    #[error("start the server: it refuses {what}; {advice}")]
    Refused {
        /// What it refuses.
        what: &'static str,
        /// What to do instead.
        advice: &'static str,
    },
    /// A size does not fit 64 bits.
    #[error("compute {what}: the result does not fit 64 bits")]
    Overflow {
        /// What was computed.
        what: &'static str,
    },
}
