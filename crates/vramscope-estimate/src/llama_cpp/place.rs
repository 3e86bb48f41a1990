//! Where the weights of a model lie: on the device, on the host, or rearranged there.
//!
//! Follows `llama_model::load_tensors` (2025-02 to 2026-11): embeddings stay on the host, the output goes to the device
//! first, then the last layers.

use vramscope_core::{PackedModel, PackedTensor};

use super::args::{LlamaCppArgs, LlamaCppKept};
use super::error::LlamaCppError;
use super::shape::{Shape, kind_of, layer_of};

/// Bytes that the host's buffers are multiples of (`TENSOR_ALIGNMENT`).
pub(crate) const HOST_ALIGNMENT: u64 = 32;
/// Elements to which the device pads rows of quantized tensors (`MATRIX_ROW_PADDING`, CUDA).
const ROW_PADDING: u64 = 512;

/// What computes on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LlamaCppBackend {
    /// NVIDIA's and, by the same sources, AMD's.
    Cuda,
    /// Vulkan.
    Vulkan,
    /// No device: the host alone.
    Host,
}

impl LlamaCppBackend {
    /// What offsets in a buffer of the device are multiples of.
    pub(crate) fn alignment(self) -> u64 {
        match self {
            Self::Cuda => 128,
            Self::Vulkan => 64,
            Self::Host => HOST_ALIGNMENT,
        }
    }

    /// The name as documents spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cuda => "cuda",
            Self::Vulkan => "vulkan",
            Self::Host => "host",
        }
    }

    /// There is a device beside the host.
    pub fn has_device(self) -> bool {
        self != Self::Host
    }
}

/// Where a tensor lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the device.
    Device,
    /// On the host, as in the file.
    Host,
    /// On the host, rearranged.
    Repacked,
}

/// Weights by where they lie, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Weights {
    pub(crate) device: u64,
    /// What lies on the host, each tensor once.
    pub(crate) host: u64,
    /// What the server prints for the host: with pages of the file, from the first tensor of the host to the last.
    pub(crate) host_printed: u64,
    pub(crate) repacked: u64,
}

/// How many layers lie on the device, and the first of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offload {
    /// Layers on the device, the output among them.
    pub(crate) layers: u64,
    /// The first repeating layer on the device.
    pub(crate) first: usize,
    /// The output lies there.
    pub(crate) output: bool,
}

impl Offload {
    pub(crate) fn of(shape: &Shape, args: &LlamaCppArgs, backend: LlamaCppBackend) -> Self {
        let all = u64::try_from(shape.layers.len()).unwrap_or(0) + 1;
        let layers = if backend.has_device() { args.gpu_layers.unwrap_or(all).min(all) } else { 0 };
        let first = usize::try_from(all - layers).unwrap_or(usize::MAX);
        Self { layers, first, output: layers > 0 }
    }

    pub(crate) fn holds(self, layer: usize) -> bool {
        layer >= self.first
    }
}

/// Where the tensor of that name lies.
pub(crate) fn place(name: &str, layer: Option<usize>, args: &LlamaCppArgs, offload: Offload) -> Place {
    let on_device = match layer {
        Some(layer) => offload.holds(layer) && !is_kept(name, layer, args),
        None if name.starts_with("token_embd")
            || name.starts_with("position_embd")
            || name.starts_with("token_types") =>
        {
            false
        }
        None if name.starts_with("per_layer_token_embd") => false,
        None if name.starts_with("rope_freqs") => offload.holds(0),
        None => offload.output,
    };
    if on_device { Place::Device } else { Place::Host }
}

/// Whether a tensor of a layer stays on the host though its layer lies on the device.
fn is_kept(name: &str, layer: usize, args: &LlamaCppArgs) -> bool {
    let Ok(layer) = u64::try_from(layer) else { return false };
    let expert = name.contains("_exps.") || name.contains("_chexps.");
    let kept = args
        .overflow
        .filter(|overflow| layer >= overflow.from)
        .map(|overflow| if layer == overflow.from { overflow.first } else { LlamaCppKept::Experts });
    let part = name.splitn(3, '.').nth(2).unwrap_or_default();
    let one_of = |parts: &[&str]| parts.iter().any(|begin| part.starts_with(begin));
    let kept = match kept {
        None => false,
        Some(LlamaCppKept::Experts) => expert,
        // The server's patterns end behind these words: they hold for routers and shared experts as well.
        Some(LlamaCppKept::Down) => one_of(&["ffn_down"]),
        Some(LlamaCppKept::DownAndGate) => one_of(&["ffn_down", "ffn_gate"]),
        Some(LlamaCppKept::FeedForward) => one_of(&["ffn_down", "ffn_gate", "ffn_up"]),
    };
    kept || (expert && layer < args.cpu_moe_layers)
}

/// Whether the host rearranges a matrix (`repack.cpp`, on x86 with AVX2).
fn is_repacked(name: &str, kind: &str, sides: &[u64]) -> bool {
    let eight = sides.get(1).is_some_and(|rows| rows.is_multiple_of(8));
    let product = name.ends_with(".weight") && sides.len() >= 2 && !name.starts_with("token_embd");
    product && eight && matches!(kind, "Q4_0" | "Q4_K" | "Q2_K" | "IQ4_NL" | "MXFP4")
}

/// What a tensor takes of a device, before it is aligned.
pub(crate) fn bytes_on_device(tensor: &PackedTensor, backend: LlamaCppBackend) -> Result<u64, LlamaCppError> {
    if backend != LlamaCppBackend::Cuda {
        return Ok(tensor.bytes);
    }
    let kind = kind_of(tensor)?;
    let over = tensor.sides.first().map_or(0, |side| side % ROW_PADDING);
    let padding = if kind.is_quantized() && over > 0 { kind.row(ROW_PADDING - over) } else { 0 };
    Ok(tensor.bytes.saturating_add(padding))
}

/// What the weights take.
pub(crate) fn weights(
    model: &PackedModel,
    shape: &Shape,
    args: &LlamaCppArgs,
    backend: LlamaCppBackend,
) -> Result<Weights, LlamaCppError> {
    let offload = Offload::of(shape, args, backend);
    let alignment = backend.alignment();
    let overflow = LlamaCppError::Overflow { what: "the weights" };
    let mut weights = Weights::default();
    let (mut first, mut last) = (u64::MAX, 0_u64);
    let mut printed = 0_u64;
    let add = |sum: &mut u64, bytes: u64, to: u64| {
        *sum = bytes.checked_next_multiple_of(to).and_then(|bytes| sum.checked_add(bytes))?;
        Some(())
    };
    let tied = model.tensor("output.weight").is_none();
    for tensor in &model.tensors {
        let layer = layer_of(tensor);
        // Layers behind the last one guess further tokens; they are loaded by who uses them.
        if layer.is_some_and(|layer| layer >= shape.layers.len()) {
            continue;
        }
        let on_device = bytes_on_device(tensor, backend)?;
        // With a device, its pinned memory stands before the rearranged one in the list of what is tried.
        let rearranges = args.repack && !backend.has_device();
        let at = match place(&tensor.name, layer, args, offload) {
            Place::Host if rearranges && is_repacked(&tensor.name, tensor.kind, &tensor.sides) => Place::Repacked,
            at => at,
        };
        let done = match at {
            Place::Device => add(&mut weights.device, on_device, alignment),
            Place::Host => {
                first = first.min(tensor.offset);
                last = last.max(tensor.offset.saturating_add(tensor.bytes));
                add(&mut printed, tensor.bytes, HOST_ALIGNMENT)
            }
            Place::Repacked => add(&mut weights.repacked, tensor.bytes, HOST_ALIGNMENT),
        };
        done.ok_or(overflow.clone())?;
        if tied && tensor.name == "token_embd.weight" && offload.output {
            add(&mut weights.device, on_device, alignment).ok_or(overflow.clone())?;
        }
    }
    weights.host = printed;
    weights.host_printed = if args.mmap { last.saturating_sub(first.min(last)) } else { printed };
    Ok(weights)
}
