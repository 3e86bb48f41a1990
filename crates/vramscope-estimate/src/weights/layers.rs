//! Weights by layer, and what of a rank's weights stands outside layers.

use std::ops::Range;

use vramscope_core::Architecture;

use super::format::Kernel;
use super::loading;
use super::tensors::{Part, Split};
use super::{BESIDE_STORED, OVERFLOW, Ranks, StageWeights, Sums, Weights};
use crate::EstimateError;
use crate::device::GpuModel;
use crate::vllm::input::EngineArgs;

/// Layers that are alike: where they stand in the model, and what each of them holds.
pub(crate) struct Alike<T> {
    pub(crate) layers: Vec<Range<usize>>,
    pub(crate) each: T,
}

impl<T> Alike<T> {
    fn count(&self) -> u64 {
        self.layers.iter().map(|run| run.len() as u64).sum()
    }
}

/// A stage's weights on each of its ranks. Layers and the rest are the rank's weights exactly.
pub(crate) struct ByLayer {
    /// Layers that are alike.
    pub(crate) alike: Vec<Alike<Vec<(Part, u64)>>>,
    /// What stands outside layers.
    pub(crate) outside: Vec<(Part, u64)>,
    /// What rounding a checkpoint's share down, part by part, leaves over.
    pub(crate) remainder: u64,
}

/// Takes the weights of every stage apart.
///
/// # Errors
/// As [`super::weights_on_device`], of which `loaded` must come.
pub(crate) fn by_layer(
    model: &Architecture,
    args: &EngineArgs,
    device: &GpuModel,
    loaded: &Weights,
) -> Result<Vec<ByLayer>, EstimateError> {
    let split = Split::of_engine(args.tensor_parallel_size, args.data_parallel_size, args.enable_expert_parallel);
    let ranks = Ranks::of(model, args, split, Kernel::of(device))?;
    let of = |stage: &StageWeights| {
        let alike = ranks.loading(model, args).by_kind(stage.layers.clone(), &loaded.runs)?;
        take_apart(&ranks, stage, alike)
    };
    loaded.stages.iter().map(of).collect()
}

fn take_apart(ranks: &Ranks, stage: &StageWeights, alike: Vec<Alike<Sums>>) -> Result<ByLayer, EstimateError> {
    let mut in_layers = Sums::default();
    for own in &alike {
        in_layers.add_times(&own.each, own.count())?;
    }
    let rest = stage.parts.iter().map(|(part, bytes)| {
        // A layer's tensors were added up for the stage too.
        Ok((*part, bytes.checked_sub(in_layers.0[*part as usize]).ok_or(OVERFLOW)?))
    });
    let rest: Vec<(Part, u64)> = rest.collect::<Result<_, EstimateError>>()?;
    let shared = |parts: Vec<(Part, u64)>| -> Result<Vec<(Part, u64)>, EstimateError> {
        let Some(share) = ranks.stored else { return Ok(parts) };
        // The figure of what a checkpoint stores has no rounding of the allocator.
        let parts = parts.into_iter().filter(|(part, _)| *part != Part::Rounding);
        let of = |(part, bytes)| {
            let kept = BESIDE_STORED.contains(&part);
            Ok((part, if kept { bytes } else { share.scaled(bytes).ok_or(OVERFLOW)? }))
        };
        parts.map(of).collect()
    };
    let alike = alike.into_iter().map(|own| Ok(Alike { each: shared(loading::parts(&own.each))?, layers: own.layers }));
    let alike: Vec<_> = alike.collect::<Result<_, EstimateError>>()?;
    let mut outside = shared(rest)?;
    outside.retain(|(_, bytes)| *bytes > 0);
    let sum = |parts: &[(Part, u64)]| parts.iter().map(|(_, bytes)| bytes).sum::<u64>();
    let layers: u64 = alike.iter().map(|own| sum(&own.each) * own.count()).sum();
    let remainder = stage.bytes.value.checked_sub(layers).and_then(|rest| rest.checked_sub(sum(&outside)));
    Ok(ByLayer { alike, outside, remainder: remainder.ok_or(OVERFLOW)? })
}
