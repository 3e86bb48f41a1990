//! What a device's driver and libraries take beside the server's own buffers.

use vramscope_core::{Confidence, PackedModel};

use super::args::LlamaCppArgs;
use super::cache::Context;
use super::kind::kind_named;
use super::place::{LlamaCppBackend, Offload, Place, place};
use super::shape::{LayerShape, Shape, layer_of};
use crate::GpuModel;
use crate::figure::Figure;

/// Context, modules, streams, pools and graphs on an H200 (CUDA 13, driver 580): 605.1 to 616.7 MiB in 27 runs whose
/// matrices are all quantized.
const QUANTIZED: u64 = 611 << 20;
/// The same where cuBLAS computes a product of plain matrices: 702.1 to 715.9 MiB in 31 runs, 718.1 to 727.9 in seven of a
/// hybrid.
const PLAIN: u64 = 711 << 20;
/// How far runs lay below and above these.
const LESS: u64 = 9 << 20;
const MORE: u64 = 18 << 20;

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
    const FORMULA: &str =
        "context, modules, pools and graphs, half of the largest copies; more where cuBLAS multiplies";
    if backend != LlamaCppBackend::Cuda {
        let assumed = "a software device has none; others were not measured";
        return Figure::exact(0, METHOD, assumed).within(0, 512 << 20, Confidence::Assumed);
    }
    let offload = Offload::of(shape, args, backend);
    let scores_apart = !args.fused_attention();
    let plain_scores = scores_apart && args.offload_cache && (0..shape.layers.len()).any(|at| offload.holds(at));
    let plain = plain_scores
        || model.tensors.iter().any(|tensor| {
            let product = tensor.sides.len() > 1 && kind_named(tensor.kind).is_some_and(|kind| !kind.is_quantized());
            product && place(&tensor.name, layer_of(tensor), args, offload) == Place::Device
        });
    let base = if plain { PLAIN } else { QUANTIZED };
    // Both are taken a layer at a time, as far as the cache is filled: how far is not known here.
    let copies = match (scores_apart, args.reserves_copies()) {
        (true, _) if plain_scores => most_scored(shape, context),
        (false, false) => most_copied(shape, args, context),
        _ => 0,
    };
    let value = base.saturating_add(copies / 2);
    let measured = device.is_hopper() && device.is_named();
    let confidence = if measured { Confidence::Estimated } else { Confidence::Assumed };
    let (less, more) = if measured { (LESS, MORE) } else { (350 << 20, 400 << 20) };
    let low = base.saturating_sub(less);
    let high = base.saturating_add(copies).saturating_add(more);
    Figure::exact(value, METHOD, FORMULA).with(&[("base", base), ("copies", copies)]).within(low, high, confidence)
}

/// The largest layer's keys and values as plain numbers of two bytes, where the cache is quantized.
fn most_copied(shape: &Shape, args: &LlamaCppArgs, context: &Context) -> u64 {
    let bytes = |layer: &LayerShape| {
        let cells = context.cells_of(layer).saturating_mul(context.streams).saturating_mul(layer.kv_heads);
        let side =
            |quantized: bool, head: u64| if quantized { cells.saturating_mul(head).saturating_mul(2) } else { 0 };
        let keys = side(args.kind_k().is_quantized(), layer.head_k);
        keys.saturating_add(side(args.kind_v().is_quantized(), layer.head_v))
    };
    shape.layers.iter().map(bytes).max().unwrap_or(0)
}

/// The largest layer's shares of all cells and their sums of values, both in two bytes, as cuBLAS is given them
/// (`ggml_cuda_mul_mat_cublas_impl`).
fn most_scored(shape: &Shape, context: &Context) -> u64 {
    let tokens = context.micro_batch.min(context.tokens);
    let bytes = |layer: &LayerShape| {
        let wide = context.cells_of(layer).saturating_add(layer.head_v);
        wide.saturating_mul(layer.heads).saturating_mul(tokens).saturating_mul(2)
    };
    shape.layers.iter().filter(|layer| layer.kv_heads > 0).map(bytes).max().unwrap_or(0)
}
