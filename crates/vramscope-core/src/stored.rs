//! Where a layer's matrices stand, and in which format each is stored.

/// A matrix of a layer that a checkpoint may store in a format of its own. What an engine joins is one matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Matrix {
    /// Queries, keys and values.
    QueryKeyValue,
    /// The output of attention.
    Output,
    /// The way down of an output that is compressed before it is put out.
    OutputDown,
    /// Latent attention's way down, for queries and keys.
    LatentDown,
    /// Latent attention's queries on their way up.
    QueryUp,
    /// Latent attention's keys and values on their way up.
    KeyValueUp,
    /// The index of sparse attention.
    Index,
    /// A recurrence's inputs.
    RecurrentIn,
    /// A recurrence's small projections: gates, rates, time steps.
    RecurrentGates,
    /// A recurrence's output.
    RecurrentOut,
    /// Gate and first product of a dense part.
    GateUp,
    /// Last product of a dense part.
    Down,
    /// Gate and first product of routed experts.
    ExpertsGateUp,
    /// Last product of routed experts.
    ExpertsDown,
    /// Gate and first product of shared experts.
    SharedGateUp,
    /// Last product of shared experts.
    SharedDown,
    /// The ways into and out of latent experts.
    LatentExperts,
}

impl Matrix {
    /// All, in the order of their places.
    pub const ALL: [Self; 17] = [
        Self::QueryKeyValue,
        Self::Output,
        Self::OutputDown,
        Self::LatentDown,
        Self::QueryUp,
        Self::KeyValueUp,
        Self::Index,
        Self::RecurrentIn,
        Self::RecurrentGates,
        Self::RecurrentOut,
        Self::GateUp,
        Self::Down,
        Self::ExpertsGateUp,
        Self::ExpertsDown,
        Self::SharedGateUp,
        Self::SharedDown,
        Self::LatentExperts,
    ];
}

/// In which of a checkpoint's formats a matrix is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum StoredAs {
    /// In the format of the whole checkpoint.
    #[default]
    Usual,
    /// In the model's element type.
    Plain,
    /// In a further format of a mixed checkpoint, by its place in [`crate::Quantization::others`].
    Other(u8),
}

/// In which format each matrix of a layer is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Stored([StoredAs; Matrix::ALL.len()]);

impl Stored {
    /// Every matrix in the same format.
    pub const fn all(format: StoredAs) -> Self {
        Self([format; Matrix::ALL.len()])
    }

    /// The format of a matrix.
    pub const fn of(&self, matrix: Matrix) -> StoredAs {
        self.0[matrix as usize]
    }

    /// States the format of a matrix.
    pub const fn set(&mut self, matrix: Matrix, format: StoredAs) {
        self.0[matrix as usize] = format;
    }
}
