//! What keeps free memory, in documents.

use serde::{Deserialize, Serialize};

/// Free memory of the default pool that `torch.cuda.empty_cache` cannot give back, as blocks in use stand in the same
/// segments. Expandable segments give pages back and are not in it, nor are private pools.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PinnedDocument {
    /// What rows are by: `stack`, `function`, `file`, `module` or `part`.
    pub by: String,
    /// That memory, in bytes.
    pub bytes: u64,
    /// The segments that it is in.
    pub segments: u64,
    /// Who has blocks there; first who keeps most alone.
    pub rows: Vec<PinRow>,
    /// Holders that are not listed.
    pub rest_rows: u64,
}

/// Who has blocks in segments with free memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PinRow {
    /// Its name; absent where no stack was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Free bytes of segments in which nobody else has anything: with its blocks gone, they could be given back.
    pub alone_bytes: u64,
    /// Free bytes of the other segments in which it has blocks. They stand in the rows of all who have.
    pub with_others_bytes: u64,
    /// The segments of both.
    pub segments: u64,
    /// What it holds in them, in bytes.
    pub held_bytes: u64,
    /// Its stack, the innermost frame first; absent unless rows are by stack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frames: Vec<String>,
}
