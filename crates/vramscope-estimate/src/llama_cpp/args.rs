//! The server's arguments, as far as they decide memory.

use super::kind::{Kind, cache_kind};

/// Tokens of the context and the batches, where not given (`common/common.h`).
const BATCH: u64 = 2048;
const MICRO_BATCH: u64 = 512;
/// Slots, where not given: one pool for four (`server.cpp`, "auto").
const AUTO_SLOTS: u64 = 4;
/// What fitting leaves free on each device, in bytes (`-fitt`).
const FIT_TARGET: u64 = 1024 << 20;
/// The least context to which fitting goes down (`-fitc`).
const FIT_CONTEXT: u64 = 4096;

/// What stays on the host of a layer that fitting puts on the device in part (`common/fit.cpp`, `LAYER_FRACTION_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LlamaCppKept {
    /// Experts.
    Experts,
    /// Down and gate projections, the router with them.
    DownAndGate,
    /// Down projections.
    Down,
    /// The whole feed-forward part, shared experts and router with it.
    FeedForward,
}

/// What fitting keeps on the host of a model with experts: those from one layer to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LlamaCppOverflow {
    /// The first layer of which something stays on the host.
    pub from: u64,
    /// What of that layer; of those behind it the experts.
    pub first: LlamaCppKept,
}

/// What a server is started with. A default is the server's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LlamaCppArgs {
    /// Tokens of the context; `None`: as many as the model was trained for, unless fitting lowers it.
    pub context: Option<u64>,
    /// The context is not lowered by fitting, although it is not given: `-c 0` asks for all that the model was trained for.
    pub keeps_context: bool,
    /// Requests at once; `None`: four, that share one pool.
    pub slots: Option<u64>,
    /// Layers on the device, the output layer among them; `None`: all, unless fitting lowers it.
    pub gpu_layers: Option<u64>,
    /// The type of cached keys.
    pub cache_k: String,
    /// The type of cached values.
    pub cache_v: String,
    /// Attention in one operator; `None`: where the device can.
    pub flash_attention: Option<bool>,
    /// Most tokens that are given to the model together.
    pub batch: u64,
    /// Most tokens that are computed together.
    pub micro_batch: u64,
    /// Layers with a window keep the whole context.
    pub full_window: bool,
    /// All requests share one pool; `None`: if the number of slots is not given.
    pub unified: Option<bool>,
    /// Layers, from the first, whose experts stay on the host.
    pub cpu_moe_layers: u64,
    /// What fitting keeps on the host; `None`: nothing beside what `cpu_moe_layers` says.
    pub overflow: Option<LlamaCppOverflow>,
    /// Weights of the host are pages of the file.
    pub mmap: bool,
    /// Weights of the host are rearranged for its instructions.
    pub repack: bool,
    /// The cache lies where its layer lies; else on the host.
    pub offload_cache: bool,
    /// Large operators on weights of the host are computed on the device.
    pub offload_operators: bool,
    /// What was not given is changed until it fits the device.
    pub fit: bool,
    /// Bytes that fitting leaves free on the device.
    pub fit_target: u64,
    /// The least context to which fitting goes down.
    pub fit_context: u64,
    /// The build, such as 10434; `None`: not known.
    pub build: Option<u64>,
    /// No device is used (`-dev none`), whatever is there.
    pub without_device: bool,
    /// The server is somebody else's build, patched and with kernels for more devices, of which no run was compared.
    pub rebuilt: bool,
    /// Options that take memory and are not modelled, as they were given.
    pub unmodelled: Vec<String>,
    /// Options that were given and not heeded.
    pub ignored: Vec<String>,
}

impl Default for LlamaCppArgs {
    fn default() -> Self {
        Self {
            context: None,
            keeps_context: false,
            slots: None,
            gpu_layers: None,
            cache_k: "f16".to_owned(),
            cache_v: "f16".to_owned(),
            flash_attention: None,
            batch: BATCH,
            micro_batch: MICRO_BATCH,
            full_window: false,
            unified: None,
            cpu_moe_layers: 0,
            overflow: None,
            mmap: true,
            repack: true,
            offload_cache: true,
            offload_operators: true,
            fit: true,
            fit_target: FIT_TARGET,
            fit_context: FIT_CONTEXT,
            build: None,
            without_device: false,
            rebuilt: false,
            unmodelled: Vec::new(),
            ignored: Vec::new(),
        }
    }
}

/// The build whose compute buffers were compared, all of them, with what it printed.
const CHECKED_BUILD: u64 = 10434;
/// The first build that is known to take words and embeddings in one batch. Which one between it and the other began
/// is not known.
const MIXED_INPUTS: u64 = 11549;
/// The first build that is known to reserve plain copies of a quantized cache with its compute buffer (#23907, merged
/// between 2026-05-30 and 2026-06-05; b9512 is of 2026-06-04). Before, they were taken when they were needed.
const RESERVED_COPIES: u64 = 9512;
/// The first build of those in which fitting gives each slot with a pool of its own the trained context (#27496, merged
/// after b10507 of 2026-08-20).
const CONTEXT_A_SLOT: u64 = 10508;
/// The oldest build that is known to choose slots, layers and context as it is computed here: Ollama 0.30.0 rests on it.
const OLDEST_READ: u64 = 9452;

impl LlamaCppArgs {
    /// Whether compute buffers of this build were compared. They differ by a tensor or two between builds.
    pub(crate) fn build_is_checked(&self) -> bool {
        self.build == Some(CHECKED_BUILD)
    }

    /// A build of which not even the choices that it makes by itself were read.
    pub(crate) fn is_of_old_build(&self) -> bool {
        self.build.is_some_and(|build| build < OLDEST_READ)
    }

    /// Something is taken of which no upper end is known.
    pub(crate) fn is_unbounded(&self) -> bool {
        !self.unmodelled.is_empty() || self.is_of_old_build()
    }

    /// Words and embeddings are taken in one batch, which adds a tensor of a batch of embeddings.
    pub(crate) fn mixes_inputs(&self) -> bool {
        self.build.is_some_and(|build| build >= MIXED_INPUTS)
    }

    /// Plain copies of a quantized cache are a part of the compute buffer.
    pub(crate) fn reserves_copies(&self) -> bool {
        self.build.is_none_or(|build| build >= RESERVED_COPIES)
    }

    /// Without a context given, each pool is as long as the model was trained for; else all together are.
    pub(crate) fn context_is_of_a_pool(&self) -> bool {
        self.fit && self.build.is_none_or(|build| build >= CONTEXT_A_SLOT)
    }

    /// Requests at once.
    pub fn slots_or_auto(&self) -> u64 {
        self.slots.unwrap_or(AUTO_SLOTS).max(1)
    }

    /// Whether all requests share one pool.
    pub fn is_unified(&self) -> bool {
        self.unified.unwrap_or(self.slots.is_none())
    }

    /// Attention in one operator.
    pub(crate) fn fused_attention(&self) -> bool {
        self.flash_attention.unwrap_or(true)
    }

    pub(crate) fn kind_k(&self) -> Kind {
        cache_kind(&self.cache_k).unwrap_or(Kind::F16)
    }

    pub(crate) fn kind_v(&self) -> Kind {
        cache_kind(&self.cache_v).unwrap_or(Kind::F16)
    }
}
