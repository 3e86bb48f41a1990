//! Why nothing can be computed.

use crate::EstimateError;

/// A model or arguments for which no figure can be stated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SgLangError {
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
    /// A cache of this kind is laid out by rules that are not known here.
    #[error("size the pool: {what}, whose pool is not computed here; read the server's own lines with `vramscope log`")]
    UnknownPool {
        /// What the model has.
        what: &'static str,
    },
    /// Something must be given.
    #[error("compute {what}: {missing}")]
    Missing {
        /// What was computed.
        what: &'static str,
        /// What is missing, and how it is given.
        missing: &'static str,
    },
    /// A size does not fit 64 bits.
    #[error("compute {what}: the result does not fit 64 bits")]
    Overflow {
        /// What was computed.
        what: &'static str,
    },
    /// The model's weights cannot be computed.
    #[error(transparent)]
    Model(#[from] EstimateError),
}
