//! The KV cache by layer: which layers draw on the pool together, and what a block takes in each.

use std::ops::Range;

use vramscope_core::{Architecture, Layer, Mixer};

use super::{CacheElement, CacheKind, KvPlan, OVERFLOW, are_one_kind, compressed, lay, layers_of_a_group, page};
use crate::EstimateError;
use crate::vllm::drafts::Draft;
use crate::vllm::input::EngineArgs;
use crate::weights::stages_of;
use crate::weights::tensors::Split;

/// Layers that share a table of blocks.
pub(crate) struct Sharing {
    pub(crate) kind: CacheKind,
    /// Places of the layers, a drafter's behind the model's, and the bytes that a block takes in each.
    pub(crate) layers: Vec<(u64, u64)>,
}

/// The cache of each stage's ranks, group by group.
///
/// # Errors
/// As [`super::kv_plan`].
pub(crate) fn by_layer(
    model: &Architecture,
    args: &EngineArgs,
    runs: &[Range<usize>],
) -> Result<Vec<Vec<Sharing>>, EstimateError> {
    let split = Split::ranks(args.tensor_parallel_size);
    let element = CacheElement::resolve(model, args)?;
    let stages = stages_of(model.layers.len(), args.pipeline_parallel_size)?;
    let groups = if model.has_compressed_attention() {
        compressed::by_layer(model, args)?
    } else {
        dealt(model, args, runs, &stages, split, element)?
    };
    let last = stages.len() - 1;
    let on = |index: usize, stage: &Range<usize>| -> Vec<Sharing> {
        let end = if index == last { u64::MAX } else { stage.end as u64 };
        let own = stage.start as u64..end;
        let of = |group: &Sharing| Sharing {
            kind: group.kind,
            layers: group.layers.iter().copied().filter(|(place, _)| own.contains(place)).collect(),
        };
        groups.iter().map(of).filter(|group| !group.layers.is_empty()).collect()
    };
    Ok(stages.iter().enumerate().map(|(index, stage)| on(index, stage)).collect())
}

/// As the engine groups layers: all together where they take the same blocks, else dealt out in turn.
fn dealt(
    model: &Architecture,
    args: &EngineArgs,
    runs: &[Range<usize>],
    stages: &[Range<usize>],
    split: Split,
    element: CacheElement,
) -> Result<Vec<Sharing>, EstimateError> {
    let laid = lay(model, args, runs, stages, split, element)?;
    let indices = indices(model, args, laid.block_size)?;
    // An index lies beside its layer's latents.
    let with_index = |place: u64, page: u64| {
        let index = indices.iter().find(|(run, _)| run.contains(&place)).map_or(0, |(_, bytes)| *bytes);
        page.checked_add(index).map(|bytes| (place, bytes)).ok_or(OVERFLOW)
    };
    let mut groups: Vec<Sharing> = Vec::new();
    let empty = |kind| Sharing { kind, layers: Vec::new() };
    if are_one_kind(&laid.buckets) {
        for bucket in &laid.buckets {
            if groups.is_empty() {
                groups.push(empty(bucket.spec.kind));
            }
            for place in bucket.runs.iter().cloned().flatten() {
                groups[0].layers.push(with_index(place, bucket.spec.page)?);
            }
        }
        groups.iter_mut().for_each(|group| group.layers.sort_unstable());
        return Ok(groups);
    }
    let buckets = page::equalize(laid.buckets)?;
    let size = layers_of_a_group(&buckets);
    for bucket in &buckets {
        let first = groups.len();
        let count = usize::try_from(bucket.layers().div_ceil(size)).unwrap_or(1).max(1);
        groups.extend((0..count).map(|_| empty(bucket.spec.kind)));
        for (turn, place) in bucket.runs.iter().cloned().flatten().enumerate() {
            groups[first + turn % count].layers.push(with_index(place, bucket.spec.page)?);
        }
    }
    Ok(groups)
}

/// Where layers with an index of sparse attention stand, and the bytes of its block.
fn indices(model: &Architecture, args: &EngineArgs, block_size: u64) -> Result<Vec<(Range<u64>, u64)>, EstimateError> {
    let draft = Draft::of(model, args.drafter.as_ref());
    let drafted = draft.iter().flat_map(Draft::layers);
    let own = model.layers.iter().map(|layer| (layer, 1));
    let mut place = 0_u64;
    let mut found = Vec::new();
    for (layer, times) in own.chain(drafted) {
        let run = place..place.checked_add(times).ok_or(OVERFLOW)?;
        place = run.end;
        if let Layer { mixer: Mixer::Latent(l), .. } = layer
            && let Some(index) = l.indexer.filter(|_| !l.expanded)
        {
            found.push((run, page::index(index, block_size).ok_or(OVERFLOW)?));
        }
    }
    Ok(found)
}

impl KvPlan {
    /// Bytes of one block of the pool on the ranks of a stage.
    pub(crate) fn stage_block(&self, stage: usize) -> u64 {
        self.stage_blocks.get(stage).copied().unwrap_or(0)
    }
}
