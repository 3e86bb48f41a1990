//! Weights: how many parameters a model has, and what one rank holds of them.

mod compressed;
mod drafts;
pub(crate) mod format;
pub(crate) mod layers;
mod loading;
pub(crate) mod tensors;

use vramscope_core::{Architecture, Confidence, Layer, Mixer, Recurrent, WeightFormat};

use crate::device::GpuModel;
use crate::figure::Figure;
use crate::vllm::drafts::Draft;
use crate::vllm::input::EngineArgs;
use crate::vllm::trust::unmodelled;
use crate::vllm::{asked, classes, held, refused};
use crate::{EstimateError, Part, shape};
use format::{Kernel, Storage};
use loading::{Loading, Place};
use tensors::{Split, Tensor};

/// Parameters of a model, by part.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParameterCount {
    /// All, as a checkpoint counts them; a tied head counts once.
    pub total: u64,
    /// By part, in the order of [`Part`], without empty ones.
    pub parts: Vec<(Part, u64)>,
}

/// Weights of the ranks of one pipeline stage; they are alike.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
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
#[non_exhaustive]
pub struct Weights {
    /// Stages in order.
    pub stages: Vec<StageWeights>,
    /// Parameters of the whole model, as [`parameter_count`] counts them.
    pub parameters: u64,
    /// Runs of equal layers: comparing them is most of what a budget would do again.
    pub(crate) runs: Vec<std::ops::Range<usize>>,
}

impl Weights {
    /// The stage with the largest ranks; `None` never happens for a computed value.
    pub fn largest(&self) -> Option<&StageWeights> {
        self.stages.iter().max_by_key(|stage| stage.bytes.value)
    }
}

/// Sums by part.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Sums([u64; PARTS.len()]);

const PARTS: [Part; 15] = [
    Part::Embedding,
    Part::Head,
    Part::Attention,
    Part::Recurrence,
    Part::FeedForward,
    Part::Experts,
    Part::SharedExperts,
    Part::Router,
    Part::Norms,
    Part::Streams,
    Part::Tower,
    Part::Buffers,
    Part::Adapters,
    Part::Drafter,
    Part::Rounding,
];

/// How a model was counted of which not all is understood.
const UNREAD: &str = "sum over the tensors of one rank, without what the keys mean that are not understood";

const OVERFLOW: EstimateError = EstimateError::Overflow { what: "the weights" };

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
    count_of_checked(model, &shape::check(model)?)
}

/// As [`parameter_count`], of a model whose sizes were checked, with its runs of equal layers.
fn count_of_checked(model: &Architecture, runs: &[std::ops::Range<usize>]) -> Result<ParameterCount, EstimateError> {
    let mut sums = Sums::default();
    let mut failed = None;
    let mut take = |tensor: Tensor| {
        if let Err(error) = sums.add(tensor.part, tensor.parameters()) {
            failed = Some(error);
        }
    };
    tensors::embedding(model, Split::WHOLE, &mut take);
    tensors::head(model, Split::WHOLE, !model.tied_head, &mut take);
    compressed::joined(model, &mut take);
    failed.map_or(Ok(()), Err)?;
    if let Some(tower) = model.tower {
        sums.add(Part::Tower, Some(tower.parameters))?;
    }
    let mut kinds: Vec<(&Layer, u64)> = Vec::new();
    for (layer, times) in runs.iter().map(|run| (&model.layers[run.start], run.len() as u64)) {
        match kinds.iter_mut().find(|(kind, _)| *kind == layer) {
            Some((_, count)) => *count += times,
            None => kinds.push((layer, times)),
        }
    }
    for (layer, times) in kinds {
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

/// The weights that each rank holds, as the engine reports them after loading: with what the allocator's rounding adds.
/// A few formats take another form on some devices: [`weights_on_device`] knows them.
///
/// # Errors
/// Sizes that do not divide as the engine needs, a storage format that is not known, and sums past 64 bits.
pub fn weights_per_rank(model: &Architecture, args: &EngineArgs) -> Result<Weights, EstimateError> {
    weights(model, args, Kernel::Marlin)
}

/// As [`weights_per_rank`], in the form that weights take on a device.
///
/// # Errors
/// As [`weights_per_rank`].
pub fn weights_on_device(model: &Architecture, args: &EngineArgs, device: &GpuModel) -> Result<Weights, EstimateError> {
    weights(model, args, Kernel::of(device))
}

fn weights(model: &Architecture, args: &EngineArgs, kernel: Kernel) -> Result<Weights, EstimateError> {
    args.check()?;
    asked::check(args)?;
    let runs = shape::check(model)?;
    let dealt = args.enable_expert_parallel;
    // transformers' class of these counts eight experts where a config has none, and the engine believes it.
    let counts = model.family.as_deref() == Some("nemotron_h");
    if dealt && !model.has_experts() && !counts {
        return Err(EstimateError::BadArgument {
            name: "--enable-expert-parallel",
            value: "on".to_owned(),
            expected: "a model with experts; the engine refuses it for others",
        });
    }
    let split = Split::of_engine(args.tensor_parallel_size, args.data_parallel_size, dealt);
    if let Some(heads) = model.tower.and_then(|tower| tower.heads).filter(|_| !args.language_model_only) {
        split.of("the heads of the vision or audio tower", heads)?;
    }
    refused::check(model, args, split, kernel)?;
    let ranks = Ranks::of(model, args, split, kernel)?;
    let ranges = stages_of(model.layers.len(), args.pipeline_parallel_size)?;
    let last = ranges.len() - 1;
    let mut stages = Vec::with_capacity(ranges.len());
    for (index, layers) in ranges.into_iter().enumerate() {
        let place = Place { first: index == 0, last: index == last, layers };
        let sums = ranks.loading(model, args).run(args, &place, &runs)?;
        let bytes = match ranks.stored {
            Some(share) => share.of(&sums)?,
            None => figure(model, args, ranks.storage, &sums, sums.total()?),
        };
        stages.push(StageWeights { bytes, parts: loading::parts(&sums), layers: place.layers });
    }
    Ok(Weights { stages, parameters: count_of_checked(model, &runs)?.total, runs })
}

/// What the ranks of all stages have in common while they load.
#[derive(Debug, Clone, Copy)]
struct Ranks {
    split: Split,
    storage: Storage,
    stored: Option<StoredShare>,
}

impl Ranks {
    fn of(model: &Architecture, args: &EngineArgs, split: Split, kernel: Kernel) -> Result<Self, EstimateError> {
        let method = model.quantization.as_ref().map_or("", |q| q.method.as_str());
        let storage = Storage {
            format: format_of(model, args)?,
            dtype: args.element_type(model),
            zeros_used: method.starts_with("awq"),
            kernel,
        };
        Ok(Self { split, storage, stored: stored_share(model, storage)? })
    }

    fn loading<'a>(&self, model: &'a Architecture, args: &EngineArgs) -> Loading<'a> {
        match self.stored {
            Some(_) => {
                let plain = Storage { format: WeightFormat::Plain, ..self.storage };
                Loading::new(model, args, self.split, plain).uniform()
            }
            None => Loading::new(model, args, self.split, self.storage),
        }
    }
}

/// What a checkpoint stores, against what its shape would take in the plain format.
#[derive(Debug, Clone, Copy)]
struct StoredShare {
    stored: u64,
    plain: u64,
}

/// What ranks hold beside what a checkpoint stores.
const BESIDE_STORED: [Part; 3] = [Part::Buffers, Part::Adapters, Part::Drafter];

/// The tensor table decides where the format or the family is not known; elsewhere the count does.
fn stored_share(model: &Architecture, storage: Storage) -> Result<Option<StoredShare>, EstimateError> {
    let Some(stored) = model.stored_bytes else { return Ok(None) };
    if storage.format != WeightFormat::Unknown && model.known_family {
        return Ok(None);
    }
    let plain = parameter_count(model)?.total.checked_mul(storage.dtype.bits() / 8).ok_or(OVERFLOW)?;
    Ok(Some(StoredShare { stored, plain: plain.max(1) }))
}

impl StoredShare {
    /// What so many bytes of the plain format are stored in, rounded down.
    fn scaled(self, plain: u64) -> Option<u64> {
        u64::try_from(u128::from(plain) * u128::from(self.stored) / u128::from(self.plain)).ok()
    }

    /// A stage's part of what is stored, with its buffers.
    fn of(self, sums: &Sums) -> Result<Figure, EstimateError> {
        // The parts of a sum that fits 64 bits fit together.
        let total = sums.total()?;
        let extra = BESIDE_STORED.map(|part| sums.0[part as usize]).iter().sum::<u64>();
        let weights = total - extra - sums.0[Part::Rounding as usize];
        let value = self.scaled(weights).and_then(|bytes| bytes.checked_add(extra)).ok_or(OVERFLOW)?;
        let formula = "bytes stored in the checkpoint x the rank's share of the parameters + buffers";
        Ok(Figure::exact(value, "tensor_table", formula).with(&[("stored_bytes", self.stored)]).within(
            value - value / 100,
            value.saturating_add(value / 100 * 3),
            Confidence::Estimated,
        ))
    }
}

/// Tokens of a step by default, at most.
const MOST_TOKENS: u64 = 16_384;

/// The interval: none for plain weights of a known family, whose allocations are followed one by one.
fn figure(model: &Architecture, args: &EngineArgs, storage: Storage, sums: &Sums, total: u64) -> Figure {
    let counted = model.tower.is_none_or(|tower| tower.counted);
    if !model.unread.is_empty() || classes::lacks(model, args.version) {
        // What the keys mean is not known, so neither is how much of the model they shape, nor whether ranks split it:
        // transformers' class of GPT-BigCode has the feed-forward parts whole on each of four.
        return Figure::exact(total, "loaded_tensors", UNREAD).within(
            total / 3,
            total.saturating_mul(args.tensor_parallel_size.max(2)),
            Confidence::Assumed,
        );
    }
    let followed = match storage.format {
        WeightFormat::Plain => model.quantization.as_ref().is_none_or(|declared| declared.others.is_empty()),
        // What rewriting for the kernel leaves behind was followed in 0.25; in 0.33 it was 12 MiB less.
        WeightFormat::Packed { .. } => storage.kernel == Kernel::Machete && !args.version.from_minor(28),
        _ => false,
    };
    // A tower's tensors are counted together, not block by block; one recording of Kimi's recurrence had 8 MB more.
    let delta = |layer: &Layer| matches!(layer.mixer, Mixer::Recurrent(Recurrent::KimiDelta { .. }));
    let followed = followed && model.tower.is_none() && !model.layers.iter().any(delta);
    let permille = |n: u64| total / 1000 * n;
    // A tower that was counted by general rules may be half as large or twice.
    let tower = if counted { 0 } else { sums.0[Part::Tower as usize] };
    // What loading other formats leaves behind in the allocator was not recorded.
    let rounding = if followed { 0 } else { sums.0[Part::Rounding as usize] };
    let (low, high, confidence) = match (model.known_family, followed && args.lora.is_none()) {
        // As they are created: what their kernels make of them was never recorded.
        (true, _) if model.has_compressed_attention() => {
            (permille(20).max(rounding), permille(50), Confidence::Estimated)
        }
        (true, true) => (permille(1) / 10, permille(1) / 10, Confidence::Computed),
        (true, false) => (permille(2).max(rounding), permille(5), Confidence::Computed),
        // Of classes that no rule here was made for, one in four was off by more than 5 %, none by more than 20.
        (false, _) => (permille(200).max(rounding), permille(250), Confidence::Estimated),
    };
    // A draft or another config may weigh a quarter of the model more; offloaded, or without its tower, it weighs less.
    let (unknown_less, more, confidence) = match unmodelled(model, args).is_empty() {
        true => (0, 0, confidence),
        false => (total / 4 * 3, total / 4, confidence.min(Confidence::Estimated)),
    };
    let (low, high) = ((low + tower / 2).max(unknown_less), high.saturating_add(tower).saturating_add(more));
    let (less, own) = shared_by_drafter(model, args, storage, sums.0[Part::Drafter as usize]);
    let tokens = args.max_num_batched_tokens.unwrap_or(MOST_TOKENS);
    let deep = held::deep(model, args.language_model_only, tokens, storage.dtype);
    let copies = sparse_copies(model, args).saturating_add(deep);
    let (low, high) = (low + less, high.saturating_add(own).saturating_add(copies));
    let confidence = if less > 0 || copies > 0 { confidence.min(Confidence::Estimated) } else { confidence };
    let confidence = if counted { confidence } else { confidence.min(Confidence::Estimated) };
    Figure::exact(
        total,
        "loaded_tensors",
        "sum over the tensors of one rank of their blocks in the framework's allocator",
    )
    .within(total.saturating_sub(low), total.saturating_add(high), confidence)
}

/// What sparse attention may hold beside its weights: its projections once more in 16 bits, as they are and transposed, and
/// the places that each token of a step attends to. Recorded once, where some 350 MB of this were there for 17 GB.
fn sparse_copies(model: &Architecture, args: &EngineArgs) -> u64 {
    /// Tokens of a step, and places of a token (`index_topk`), at most.
    const PLACES: u64 = 16_384 * 2048 * 4;
    let copies = model.layers.iter().filter_map(|layer| match layer.mixer {
        Mixer::Latent(l) if l.sparse => {
            Some(l.heads.saturating_mul(l.nope_dim + l.value_dim).saturating_mul(l.kv_rank))
        }
        _ => None,
    });
    let elements = copies.fold(0_u64, u64::saturating_add);
    let selects = |layer: &Layer| match layer.mixer {
        Mixer::Latent(l) => l.sparse,
        Mixer::Compressed(c) => c.compressor.is_some_and(|own| own.indexer.is_some()),
        _ => false,
    };
    if !model.layers.iter().any(selects) {
        return 0;
    }
    (elements / args.tensor_parallel_size.max(1)).saturating_mul(4).saturating_add(PLACES)
}

/// What a drafter may hold less and more, as it shares its output and embedding with the model or not: a head's checkpoint
/// decides that, and it is not read.
fn shared_by_drafter(model: &Architecture, args: &EngineArgs, storage: Storage, held: u64) -> (u64, u64) {
    match Draft::of(model, args.drafter.as_ref()) {
        Some(Draft::Head { draft, .. }) => {
            let ranks = args.tensor_parallel_size.max(1);
            let table =
                |words: u64| words.saturating_mul(draft.architecture.hidden_size * storage.dtype.bits() / 8) / ranks;
            let head = draft.draft_vocab_size.filter(|_| !args.dummy_weights).map_or(0, table);
            (head.min(held) + held / 100, table(draft.architecture.vocab_size).saturating_add(held / 100))
        }
        // Checkpoints of 8 and 4 bits may keep the further layers in 16.
        Some(Draft::OwnLayers { .. }) if storage.format != WeightFormat::Plain => (held / 100, held.saturating_mul(3)),
        Some(_) => (held / 100, held / 100),
        None => (0, 0),
    }
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
        (Some("fp8_per_block"), None) => WeightFormat::ByteBlocks { rows: 128, columns: 128, scale: 4 },
        (Some("bitsandbytes"), None) => WeightFormat::Nf4 { double_quantized: false },
        (Some("mxfp4"), None) => WeightFormat::Mxfp4,
        (Some(method), None) => return Err(EstimateError::UnknownWeightFormat { method: method.to_owned() }),
    };
    match (format, declared) {
        (WeightFormat::Unknown, Some(declared)) if model.stored_bytes.is_none() => {
            Err(EstimateError::UnknownWeightFormat { method: declared.method.clone() })
        }
        (format, _) => Ok(format),
    }
}

/// The layers of each pipeline stage. The remainder goes to the stages before the last, from behind
/// (vLLM 0.25, `distributed/utils.py`).
pub(crate) fn stages_of(layers: usize, stages: u64) -> Result<Vec<std::ops::Range<usize>>, EstimateError> {
    let count = usize::try_from(stages).ok().filter(|count| *count >= 1 && *count <= layers);
    let count = count.ok_or_else(|| EstimateError::BadArgument {
        name: "--pipeline-parallel-size",
        value: stages.to_string(),
        expected: "at least 1 stage and at most one for each layer of the model",
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
