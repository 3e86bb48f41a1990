//! Memory that an engine names by what it holds and where it lies.

use super::Fact;
use crate::{ByteDelta, Bytes};

/// What a buffer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum BufferKind {
    /// The model's weights.
    Weights,
    /// Weights of what turns images or sound into tokens, which some engines load apart.
    ProjectorWeights,
    /// The KV cache.
    KvCache,
    /// State of recurrent layers.
    RecurrentState,
    /// KV cache and state of recurrent layers together, where the engine does not take them apart.
    Context,
    /// What one step computes with.
    Compute,
    /// What a step leaves: logits and embeddings.
    Output,
    /// Captured graphs.
    Graphs,
    /// Communication between ranks, and what the driver sets up for a process.
    Communication,
    /// All of it together, where the engine says no more.
    Total,
}

impl BufferKind {
    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::ProjectorWeights => "projector_weights",
            Self::KvCache => "kv_cache",
            Self::RecurrentState => "recurrent_state",
            Self::Context => "context",
            Self::Compute => "compute",
            Self::Output => "output",
            Self::Graphs => "graphs",
            Self::Communication => "communication",
            Self::Total => "total",
        }
    }
}

/// Memory that an engine names by what it holds and where it lies. Buffers of one kind and place add up: of what is
/// printed again when it is resized there is one.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Buffer {
    /// What it holds.
    pub kind: BufferKind,
    /// Where it lies, by the engine's name for it (`CUDA0`, `CPU_Mapped`); `None` where the line names no place, which is
    /// the device of the rank that printed it.
    pub place: Option<String>,
    /// Whether that is memory of the host.
    pub on_host: bool,
    /// It belongs to a second model that drafts tokens for the first.
    pub of_draft: bool,
    /// A plan that was made before anything was allocated. It is not among what is.
    pub planned: bool,
    /// It is printed as a layout, and nothing before it in the log says that this one is kept: it may be what is
    /// allocated, or a plan.
    pub unconfirmed: bool,
    /// How much.
    pub amount: Fact<Bytes>,
}

impl Buffer {
    /// One on a device that was allocated.
    pub fn new(kind: BufferKind, place: Option<String>, amount: Fact<Bytes>) -> Self {
        Self { kind, place, on_host: false, of_draft: false, planned: false, unconfirmed: false, amount }
    }

    /// Whether it is device memory that was allocated.
    pub fn is_on_device(&self) -> bool {
        !self.on_host && !self.planned
    }
}

/// What an engine says of a device that it found.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PlaceFacts {
    /// The engine's name for it (`CUDA0`), as its buffers name it.
    pub place: String,
    /// What the device calls itself (`NVIDIA H200`).
    pub device: Option<Fact<String>>,
    /// Where it is on the PCI bus (`0000:04:00.0`).
    pub pci_bus_id: Option<Fact<String>>,
    /// Its memory, as the engine sees it.
    pub total: Option<Fact<Bytes>>,
    /// What was free when the engine looked first.
    pub free_at_first: Option<Fact<Bytes>>,
    /// What was in use when the engine ended and lay in none of its buffers: the driver's share, kernels, pools, and what
    /// others hold. Negative where more was free than its buffers leave.
    pub outside_at_end: Option<Fact<ByteDelta>>,
}

impl PlaceFacts {
    /// One of which nothing is known yet.
    pub fn new(place: String) -> Self {
        Self { place, device: None, pci_bus_id: None, total: None, free_at_first: None, outside_at_end: None }
    }

    /// Whether a program computes there in place of a GPU: its memory is the host's. Mesa and SwiftShader call theirs so.
    pub fn is_software(&self) -> bool {
        let software = ["llvmpipe", "lavapipe", "swiftshader", "softpipe"];
        let name = self.device.as_ref().map(|device| device.value.to_lowercase()).unwrap_or_default();
        software.iter().any(|word| name.contains(word))
    }
}
