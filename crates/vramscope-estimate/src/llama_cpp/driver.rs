//! What a device's driver and libraries take beside the server's own buffers.

use vramscope_core::{Confidence, PackedModel, Vendor};

use super::args::LlamaCppArgs;
use super::cache::Context;
use super::kind::kind_named;
use super::place::{LlamaCppBackend, Offload, Place, place};
use super::shape::{Shape, layer_of};
use crate::GpuModel;
use crate::figure::Figure;

/// Context, modules, streams, pools and graphs on an H200 (CUDA 13, driver 580): 610.0 to 612.2 MiB in four runs whose
/// matrices are all quantized.
const QUANTIZED: u64 = 611 << 20;
/// The same where cuBLAS computes a product of plain matrices: 707.5 to 714.3 MiB in three runs.
const PLAIN: u64 = 711 << 20;
/// How far runs lay from these.
const SPREAD: u64 = 8 << 20;

/// The context alone, before anything is loaded (H200: 526.81 MiB of NVML in all runs).
const CONTEXT: u64 = 527 << 20;

/// What the driver holds when the server looks at what is free.
pub(crate) fn at_start(backend: LlamaCppBackend) -> u64 {
    if backend == LlamaCppBackend::Cuda { CONTEXT } else { 0 }
}

/// What the driver and its libraries take.
pub(crate) fn driver(
    model: &PackedModel,
    shape: &Shape,
    args: &LlamaCppArgs,
    context: &Context,
    backend: LlamaCppBackend,
    device: &GpuModel,
) -> Figure {
    const METHOD: &str = "llama_cpp_driver_share";
    const FORMULA: &str = "context, modules, pools and graphs; more where cuBLAS multiplies plain matrices";
    if backend != LlamaCppBackend::Cuda {
        let assumed = "a software device has none; others were not measured";
        return Figure::exact(0, METHOD, assumed).within(0, 512 << 20, Confidence::Assumed);
    }
    let offload = Offload::of(shape, args, backend);
    let plain = model.tensors.iter().any(|tensor| {
        let product = tensor.sides.len() > 1 && kind_named(tensor.kind).is_some_and(|kind| !kind.is_quantized());
        product && place(&tensor.name, layer_of(tensor), args, offload) == Place::Device
    });
    let base = if plain { PLAIN } else { QUANTIZED };
    // A quantized cache is turned into plain numbers, a layer at a time, as far as it is filled.
    let copies = most_copied(shape, args, context);
    let value = base.saturating_add(copies / 2);
    let measured = device.vendor == Vendor::Nvidia && device.capability == (9, 0);
    let confidence = if measured { Confidence::Estimated } else { Confidence::Assumed };
    let (less, more) = if measured { (SPREAD, SPREAD) } else { (350 << 20, 400 << 20) };
    let low = base.saturating_sub(less);
    let high = base.saturating_add(copies).saturating_add(more);
    Figure::exact(value, METHOD, FORMULA).with(&[("base", base), ("copies", copies)]).within(low, high, confidence)
}

/// The largest layer's keys and values as plain numbers, where the cache is quantized.
fn most_copied(shape: &Shape, args: &LlamaCppArgs, context: &Context) -> u64 {
    let bytes = |layer: &super::shape::LayerShape| {
        let cells = context.cells_of(layer).saturating_mul(context.streams).saturating_mul(layer.kv_heads);
        let side =
            |quantized: bool, head: u64| if quantized { cells.saturating_mul(head).saturating_mul(2) } else { 0 };
        let keys = side(args.kind_k().is_quantized(), layer.head_k);
        keys.saturating_add(side(args.kind_v().is_quantized(), layer.head_v))
    };
    if !args.fused_attention() { 0 } else { shape.layers.iter().map(bytes).max().unwrap_or(0) }
}
