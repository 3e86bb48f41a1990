//! Weights: how many parameters a model has, and what one rank holds of them.

mod format;
pub(crate) mod tensors;

use vramscope_core::{Architecture, Confidence, ElementType, Layer, WeightFormat};

use crate::figure::Figure;
use crate::input::EngineArgs;
use crate::{EstimateError, Part};
use tensors::{Split, Tensor};

/// Parameters of a model, by part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterCount {
    /// All, as a checkpoint counts them; a tied head counts once.
    pub total: u64,
    /// By part, in the order of [`Part`], without empty ones.
    pub parts: Vec<(Part, u64)>,
}

/// Weights of the ranks of one pipeline stage; they are alike.
#[derive(Debug, Clone, PartialEq)]
pub struct StageWeights {
    /// Bytes on each rank, as the engine reports them after loading.
    pub bytes: Figure,
    /// Bytes by part, without empty ones; they add up to the value.
    pub parts: Vec<(Part, u64)>,
    /// The stage's layers, counted from 0.
    pub layers: std::ops::Range<usize>,
}

/// Weights of an engine, one entry per pipeline stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// Stages in order.
    pub stages: Vec<StageWeights>,
}

impl Weights {
    /// The stage with the largest ranks; `None` never happens for a computed value.
    pub fn largest(&self) -> Option<&StageWeights> {
        self.stages.iter().max_by_key(|stage| stage.bytes.value)
    }
}

/// Sums by part.
#[derive(Debug, Default, Clone, Copy)]
struct Sums([u64; PARTS.len()]);

const PARTS: [Part; 11] = [
    Part::Embedding,
    Part::Head,
    Part::Attention,
    Part::Recurrence,
    Part::FeedForward,
    Part::Experts,
    Part::SharedExperts,
    Part::Router,
    Part::Norms,
    Part::Tower,
    Part::Buffers,
];

impl Sums {
    fn add(&mut self, part: Part, amount: Option<u64>) -> Result<(), EstimateError> {
        let overflow = EstimateError::Overflow { what: "the weights" };
        let slot = &mut self.0[part as usize];
        *slot = amount.and_then(|a| slot.checked_add(a)).ok_or(overflow)?;
        Ok(())
    }

    fn add_times(&mut self, other: &Self, times: u64) -> Result<(), EstimateError> {
        for (part, amount) in PARTS.iter().zip(other.0) {
            self.add(*part, amount.checked_mul(times))?;
        }
        Ok(())
    }

    fn total(&self) -> Result<u64, EstimateError> {
        let sum = self.0.iter().try_fold(0_u64, |sum, part| sum.checked_add(*part));
        sum.ok_or(EstimateError::Overflow { what: "the weights" })
    }

    fn parts(&self) -> Vec<(Part, u64)> {
        PARTS.iter().copied().zip(self.0).filter(|(_, amount)| *amount > 0).collect()
    }
}

/// Counts a model's parameters as its checkpoint does: without padding, without tables, a tied head once.
///
/// # Errors
/// [`EstimateError::Overflow`].
pub fn parameter_count(model: &Architecture) -> Result<ParameterCount, EstimateError> {
    let mut sums = Sums::default();
    let mut failed = None;
    let mut take = |tensor: Tensor| {
        if let Err(error) = sums.add(tensor.part, tensor.parameters()) {
            failed = Some(error);
        }
    };
    tensors::embedding(model, Split::WHOLE, &mut take);
    tensors::head(model, Split::WHOLE, !model.tied_head, &mut take);
    failed.map_or(Ok(()), Err)?;
    if let Some(tower) = model.tower {
        sums.add(Part::Tower, Some(tower.parameters))?;
    }
    for (layer, times) in model.runs() {
        let mut own = Sums::default();
        sum_layer(layer, model.hidden_size, Split::WHOLE, &mut |tensor| own.add(tensor.part, tensor.parameters()))?;
        sums.add_times(&own, times)?;
    }
    Ok(ParameterCount { total: sums.total()?, parts: sums.parts() })
}

/// Runs over a layer's tensors with a function that may fail.
fn sum_layer(
    layer: &Layer,
    hidden: u64,
    split: Split,
    add: &mut dyn FnMut(Tensor) -> Result<(), EstimateError>,
) -> Result<(), EstimateError> {
    let mut failed = Ok(());
    tensors::layer(layer, hidden, split, &mut |tensor| {
        if failed.is_ok() {
            failed = add(tensor);
        }
    })?;
    failed
}

/// The weights that each rank holds.
///
/// # Errors
/// Sizes that do not divide as the engine needs, a storage format that is not known, and sums past 64 bits.
pub fn weights_per_rank(model: &Architecture, args: &EngineArgs) -> Result<Weights, EstimateError> {
    args.check()?;
    let format = format_of(model, args)?;
    let dtype = args.element_type(model);
    let ranks = args.tensor_parallel_size * args.data_parallel_size;
    let experts = if args.enable_expert_parallel && model.has_experts() { ranks } else { 1 };
    let split = Split { tensor: args.tensor_parallel_size, experts, padded: true };
    let mut stages = Vec::new();
    let ranges = stages_of(model.layers.len(), args.pipeline_parallel_size)?;
    let last = ranges.len() - 1;
    for (index, range) in ranges.into_iter().enumerate() {
        let place = Place { first: index == 0, last: index == last };
        stages.push(stage(model, args, Storage { format, dtype }, split, range, place)?);
    }
    Ok(Weights { stages })
}

/// Where a stage stands in the pipeline.
#[derive(Debug, Clone, Copy)]
struct Place {
    first: bool,
    last: bool,
}

/// How numbers are stored.
#[derive(Debug, Clone, Copy)]
struct Storage {
    format: WeightFormat,
    dtype: ElementType,
}

fn stage(
    model: &Architecture,
    args: &EngineArgs,
    storage: Storage,
    split: Split,
    range: std::ops::Range<usize>,
    place: Place,
) -> Result<StageWeights, EstimateError> {
    let mut sums = Sums::default();
    let mut failed = Ok(());
    let mut take = |tensor: Tensor| {
        let added = sums.add(tensor.part, format::bytes(&tensor, storage.format, storage.dtype));
        failed = std::mem::replace(&mut failed, Ok(())).and(added);
    };
    if place.first || (place.last && model.tied_head) {
        tensors::embedding(model, split, &mut take);
    }
    if place.last {
        tensors::head(model, split, !model.tied_head, &mut take);
    }
    failed?;
    for run in model.layers[range.clone()].chunk_by(|a, b| a == b) {
        let mut own = Sums::default();
        let kept = run[0].kept;
        sum_layer(&run[0], model.hidden_size, split, &mut |tensor| {
            let keep = match tensor.part {
                Part::Attention | Part::Recurrence => kept.mixer,
                Part::FeedForward => kept.feed_forward,
                Part::Experts => kept.experts,
                Part::SharedExperts => kept.shared,
                _ => false,
            };
            let format = if keep { WeightFormat::Plain } else { storage.format };
            own.add(tensor.part, format::bytes(&tensor, format, storage.dtype))
        })?;
        sums.add_times(&own, run.len() as u64)?;
    }
    if place.first && !args.language_model_only {
        let tower = model.tower.map_or(0, |tower| tower.parameters);
        sums.add(Part::Tower, tower.checked_mul(storage.dtype.bits() / 8))?;
    }
    sums.add(Part::Buffers, buffers(model, storage.dtype, range.len() as u64))?;
    let exact = sums.total()?;
    let bytes =
        Figure::exact(exact, "tensor_shapes", "sum over tensors of rows x columns x bytes, as one rank holds them")
            .within(exact, exact + exact / 100, confidence(model));
    Ok(StageWeights { bytes, parts: sums.parts(), layers: range })
}

/// Rotary tables, and four scales of 4 bytes for each layer with a cache.
fn buffers(model: &Architecture, dtype: ElementType, layers: u64) -> Option<u64> {
    let table = |t: &vramscope_core::RotaryTable| t.positions.checked_mul(t.width)?.checked_mul(dtype.bits() / 8);
    let tables = model.rotary.iter().try_fold(0_u64, |sum, t| sum.checked_add(table(t)?))?;
    tables.checked_add(16 * layers)
}

fn confidence(model: &Architecture) -> Confidence {
    let counted = model.tower.is_none_or(|tower| tower.counted);
    if model.known_family && counted { Confidence::Computed } else { Confidence::Estimated }
}

/// The storage format: what the engine is told, else what the checkpoint declares.
pub(crate) fn format_of(model: &Architecture, args: &EngineArgs) -> Result<WeightFormat, EstimateError> {
    let declared = model.quantization.as_ref();
    let format = match (args.quantization.as_deref(), declared) {
        (None | Some("none"), None) => WeightFormat::Plain,
        (_, Some(declared)) => declared.format,
        (Some("fp8"), None) => WeightFormat::Byte { per_channel: false, static_input_scale: false },
        (Some("fp8_per_channel" | "ptpc_fp8" | "int8_per_channel_weight_only"), None) => {
            WeightFormat::Byte { per_channel: true, static_input_scale: false }
        }
        (Some("fp8_per_block"), None) => WeightFormat::ByteBlocks { rows: 128, columns: 128 },
        (Some("bitsandbytes"), None) => WeightFormat::Nf4 { double_quantized: false },
        (Some("mxfp4"), None) => WeightFormat::Mxfp4,
        (Some(method), None) => return Err(EstimateError::UnknownWeightFormat { method: method.to_owned() }),
    };
    match (format, declared) {
        (WeightFormat::Unknown, Some(declared)) => {
            Err(EstimateError::UnknownWeightFormat { method: declared.method.clone() })
        }
        (format, _) => Ok(format),
    }
}

/// The layers of each pipeline stage. The remainder goes to the stages before the last, from behind
/// (vLLM 0.25, `distributed/utils.py`).
pub(crate) fn stages_of(layers: usize, stages: u64) -> Result<Vec<std::ops::Range<usize>>, EstimateError> {
    let count = usize::try_from(stages).ok().filter(|count| *count >= 1 && *count <= layers);
    let count = count.ok_or(EstimateError::NotDivisible {
        what: "the layers",
        size: layers as u64,
        name: "--pipeline-parallel-size",
        ways: stages,
    })?;
    let mut sizes = vec![layers / count; count];
    for extra in 0..layers % count {
        // At most `count - 1` are left over, so the place is never below the first.
        sizes[count - 2 - extra] += 1;
    }
    let mut start = 0;
    let ranges = sizes.into_iter().map(|size| {
        let range = start..start + size;
        start = range.end;
        range
    });
    Ok(ranges.collect())
}
