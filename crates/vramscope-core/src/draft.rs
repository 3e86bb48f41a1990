//! The shape of what guesses tokens ahead.

use crate::Architecture;

/// A drafter with a config of its own: a whole model, or a head over the states of the model that it drafts for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftModel {
    /// Its layers and widths.
    pub architecture: Architecture,
    /// Tokens that its own head chooses among, where it says so; such a head is never the model's.
    pub draft_vocab_size: Option<u64>,
    /// Width of the model's states that a head takes in together, per token.
    pub inputs: u64,
}
