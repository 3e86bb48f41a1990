//! Tensors of a checkpoint, without their data.

use vramscope_core::ElementType;

/// What is wrong with a checkpoint's header.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The reader failed, or the file ends within the header.
    #[error("read the header of the checkpoint")]
    Read(#[from] std::io::Error),
    /// The file does not begin as such a file must.
    #[error("recognize the checkpoint: {found} where {expected} should be")]
    NotOne {
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// A length or a count leads beyond the file or beyond what is read.
    #[error("read the header of the checkpoint: {what} is {value}, more than the {limit} that there can be")]
    TooLarge {
        /// Which one.
        what: &'static str,
        /// Its value.
        value: u64,
        /// The limit.
        limit: u64,
    },
    /// A tensor's entry makes no sense.
    #[error("read the tensor {name:?}: {reason}")]
    Tensor {
        /// Its name, shortened.
        name: String,
        /// Why not.
        reason: String,
    },
    /// The header is not the JSON that it should be.
    #[error("read the header of the checkpoint as JSON: {reason}")]
    Json {
        /// What the JSON reader says.
        reason: String,
    },
}

impl HeaderError {
    pub(crate) fn tensor(name: &str, reason: impl Into<String>) -> Self {
        Self::Tensor { name: name.chars().take(120).collect(), reason: reason.into() }
    }
}

/// One tensor as a checkpoint describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredTensor {
    /// Its name.
    pub name: String,
    /// How it is stored: `BF16`, `F8_E4M3`, `Q4_K`.
    pub kind: &'static str,
    /// Its element type, where each element is stored by itself.
    pub element: Option<ElementType>,
    /// Its shape.
    pub shape: Vec<u64>,
    /// Its size in the file.
    pub bytes: u64,
}

impl StoredTensor {
    /// Elements; `None` past 64 bits.
    pub fn elements(&self) -> Option<u64> {
        self.shape.iter().try_fold(1_u64, |product, side| product.checked_mul(*side))
    }
}

/// The tensors of a checkpoint, of one file or of several together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TensorTable {
    /// All tensors, in the order of the files.
    pub tensors: Vec<StoredTensor>,
}

impl TensorTable {
    /// Puts the tensors of another file to these.
    pub fn extend(&mut self, other: Self) {
        if self.tensors.is_empty() {
            // A list of millions is not copied to be put to nothing.
            self.tensors = other.tensors;
        } else {
            self.tensors.extend(other.tensors);
        }
    }

    /// Bytes of all tensors; `None` past 64 bits.
    pub fn bytes(&self) -> Option<u64> {
        self.tensors.iter().try_fold(0_u64, |sum, tensor| sum.checked_add(tensor.bytes))
    }

    /// Elements of all tensors, scales and indices included; `None` past 64 bits.
    pub fn elements(&self) -> Option<u64> {
        self.tensors.iter().try_fold(0_u64, |sum, tensor| sum.checked_add(tensor.elements()?))
    }

    /// Bytes that an engine loads: without the copy of a tied head and without layers that predict further tokens
    /// (those from `layers` on).
    pub fn loaded_bytes(&self, tied_head: bool, layers: u64) -> Option<u64> {
        let skipped = |name: &str| {
            let head = tied_head && (name == "lm_head.weight" || name == "output.weight");
            let layer = name.split_once("layers.").and_then(|(_, rest)| rest.split('.').next()?.parse::<u64>().ok());
            head || name.starts_with("mtp.") || layer.is_some_and(|layer| layer >= layers)
        };
        let kept = self.tensors.iter().filter(|tensor| !skipped(&tensor.name));
        kept.map(|tensor| tensor.bytes).try_fold(0_u64, u64::checked_add)
    }

    /// Bytes by how tensors are stored, the largest first.
    pub fn by_kind(&self) -> Vec<(&'static str, u64)> {
        let mut kinds: Vec<(&'static str, u64)> = Vec::new();
        for tensor in &self.tensors {
            match kinds.iter_mut().find(|(kind, _)| *kind == tensor.kind) {
                Some((_, bytes)) => *bytes = bytes.saturating_add(tensor.bytes),
                None => kinds.push((tensor.kind, tensor.bytes)),
            }
        }
        kinds.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        kinds
    }
}
