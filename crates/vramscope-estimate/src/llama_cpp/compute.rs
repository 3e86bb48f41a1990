//! The compute buffers: what the graph of the largest batch takes.

use vramscope_core::PackedModel;

use super::args::LlamaCppArgs;
use super::cache::Context;
use super::error::LlamaCppError;
use super::graph::{Graph, Op};
use super::model::largest;
use super::place::{HOST_ALIGNMENT, LlamaCppBackend, Offload};
use super::schedule::{Backends, Reserved, reserve};
use super::shape::Shape;

/// What the graph of the largest batch takes of each backend, the host's last; with so many copies of each input, so that
/// several batches are in flight.
pub(crate) fn compute(
    model: &PackedModel,
    shape: &Shape,
    args: &LlamaCppArgs,
    context: &Context,
    backend: LlamaCppBackend,
    copies: usize,
) -> Result<Reserved, LlamaCppError> {
    let offload = Offload::of(shape, args, backend);
    let alignments =
        if backend.has_device() { vec![backend.alignment(), HOST_ALIGNMENT] } else { vec![HOST_ALIGNMENT] };
    let mut graph = largest(model, shape, args, context, offload, alignments.len() - 1)?;
    if backend == LlamaCppBackend::Cuda && args.reserves_copies() {
        reserve_copies(&mut graph, args);
    }
    let reorders = backend == LlamaCppBackend::Vulkan;
    let backends = Backends {
        alignments,
        offload: args.offload_operators,
        copies,
        reorders,
        keeps: backend == LlamaCppBackend::Cuda,
    };
    Ok(reserve(graph, &backends))
}

/// Up to so many tokens of a pool, attention reads a quantized cache as it is (`fattn.cu`, from compute capability 8.9).
const READ_AS_IT_IS: u64 = 2;
/// What copies begin at multiples of.
const COPY_ALIGNMENT: u64 = 128;

/// Behind the result of attention stand keys and values as plain numbers of two bytes, where the cache holds others
/// (`ggml_cuda_flash_attn_ext_get_alloc_size`).
fn reserve_copies(graph: &mut Graph, args: &LlamaCppArgs) {
    for id in 0..graph.tensors.len() {
        let tensor = graph.at(id);
        let (Op::FlashAttention, [queries, keys, values, ..]) = (tensor.op, tensor.sources.as_slice()) else {
            continue;
        };
        if graph.at(*queries).ne[1] <= READ_AS_IT_IS {
            continue;
        }
        let bytes = tensor.bytes();
        let mut end = bytes;
        // Values that are a part of the keys have no copy of their own.
        let apart = graph.at(*keys).view != graph.at(*values).view;
        for (source, kind, copied) in [(keys, &args.cache_k, true), (values, &args.cache_v, apart)] {
            if copied && kind != "f16" {
                let copy = graph.at(*source).elements().saturating_mul(2);
                end = end.checked_next_multiple_of(COPY_ALIGNMENT).unwrap_or(end).saturating_add(copy);
            }
        }
        graph.tensors[id].behind = end - bytes;
    }
}
