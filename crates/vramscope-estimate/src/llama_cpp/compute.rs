//! The compute buffers: what the graph of the largest batch takes.

use vramscope_core::PackedModel;

use super::args::LlamaCppArgs;
use super::cache::Context;
use super::error::LlamaCppError;
use super::model::largest;
use super::place::{HOST_ALIGNMENT, LlamaCppBackend, Offload};
use super::schedule::{Backends, Reserved, reserve};
use super::shape::Shape;

/// What the graph of the largest batch takes of each backend, the host's last.
pub(crate) fn compute(
    model: &PackedModel,
    shape: &Shape,
    args: &LlamaCppArgs,
    context: &Context,
    backend: LlamaCppBackend,
) -> Result<Reserved, LlamaCppError> {
    let offload = Offload::of(shape, args, backend);
    let alignments =
        if backend.has_device() { vec![backend.alignment(), HOST_ALIGNMENT] } else { vec![HOST_ALIGNMENT] };
    let graph = largest(model, shape, args, context, offload, alignments.len() - 1)?;
    let reorders = backend == LlamaCppBackend::Vulkan;
    let backends = Backends { alignments, offload: args.offload_operators, copies: 1, reorders };
    Ok(reserve(graph, &backends))
}
