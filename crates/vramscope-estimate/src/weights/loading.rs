//! Loading, allocation by allocation: what the engine reports as the size of the loaded model.

use vramscope_core::{Architecture, Layer, Mixer, RotaryTable, Span, WeightFormat};

use super::format::{Pieces, Repack, Storage, pieces};
use super::tensors::{self, Part, Split, Tensor};
use super::{PARTS, Sums};
use crate::EstimateError;
use crate::allocator::{self, Allocator, Block};
use crate::input::EngineArgs;

/// vLLM's `max_split_size_mb` while it loads.
const UNSPLIT_WHILE_LOADING: u64 = 20 << 20;
/// Scalars beside each layer with a cache: scales of queries, keys, values and probabilities.
const SCALES_PER_LAYER: u64 = 4;

/// Where a stage stands in the pipeline, and which layers it has.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) first: bool,
    pub(crate) last: bool,
    pub(crate) layers: std::ops::Range<usize>,
}

/// One rank while it loads.
pub(crate) struct Loading<'a> {
    model: &'a Architecture,
    split: Split,
    storage: Storage,
    allocator: Allocator,
    sums: Sums,
    repacks: Vec<(Repack, [Option<Block>; 4])>,
    tables_made: Vec<bool>,
    /// What the layers so far needed, one entry for all that are alike.
    known: Vec<(&'a Layer, Needs)>,
}

/// What a layer allocates.
#[derive(Debug, Default)]
struct Needs {
    sums: Sums,
    /// Tensors from the small pool, which wastes nothing: their blocks together.
    small: u64,
    /// The others in order.
    large: Vec<Need>,
    /// Where among the large ones the tables are made that an attention is the first to need.
    tables_at: Option<usize>,
}

/// One allocation, or those of one packed matrix.
#[derive(Debug, Clone, Copy)]
enum Need {
    Tensor(u64),
    Packed(Repack, [u64; 4]),
}

impl<'a> Loading<'a> {
    pub(crate) fn new(model: &'a Architecture, args: &EngineArgs, split: Split, storage: Storage) -> Self {
        let unsplit = args.version.from_minor(21).then_some(UNSPLIT_WHILE_LOADING);
        Self {
            model,
            split,
            storage,
            allocator: Allocator::new(unsplit),
            sums: Sums::default(),
            repacks: Vec::new(),
            tables_made: vec![false; model.rotary.len()],
            known: Vec::new(),
        }
    }

    /// Goes through the allocations of a stage; returns the bytes by part, with the allocator's rounding among them.
    pub(crate) fn run(mut self, args: &EngineArgs, place: &Place) -> Result<Sums, EstimateError> {
        let (model, split, storage) = (self.model, self.split, self.storage);
        let mut failed = Ok(());
        if place.first || (place.last && model.tied_head) {
            tensors::embedding(model, split, &mut |t| failed = also(&mut failed, self.make(t, storage)));
        }
        for layer in &model.layers[place.layers.clone()] {
            self.layer(layer)?;
        }
        if model.scaled_embedding {
            self.keep(Part::Buffers, storage.dtype.bits() / 8)?;
        }
        if place.last {
            tensors::head(model, split, !model.tied_head, &mut |t| failed = also(&mut failed, self.make(t, storage)));
        }
        failed?;
        if place.first && !args.language_model_only {
            let parameters = self.model.tower.map_or(0, |tower| tower.parameters);
            let bytes = parameters.checked_mul(self.storage.dtype.bits() / 8).ok_or(super::OVERFLOW)?;
            self.keep(Part::Tower, bytes)?;
        }
        self.repack();
        if let Some(lora) = args.lora {
            self.adapters(lora, place)?;
        }
        let rounding = self.allocator.allocated().saturating_sub(self.sums.total()?);
        self.sums.add(Part::Rounding, Some(rounding))?;
        Ok(self.sums)
    }

    fn layer(&mut self, layer: &'a Layer) -> Result<(), EstimateError> {
        let place = match self.known.iter().position(|(known, _)| *known == layer) {
            Some(place) => place,
            None => {
                let needs = self.needs(layer)?;
                self.known.push((layer, needs));
                self.known.len() - 1
            }
        };
        let mut known = std::mem::take(&mut self.known);
        let done = self.fill(&layer.mixer, &known[place].1);
        std::mem::swap(&mut self.known, &mut known);
        done
    }

    /// Lists what a layer needs.
    fn needs(&self, layer: &Layer) -> Result<Needs, EstimateError> {
        let mut failed = Ok(());
        let mut needs = Needs::default();
        tensors::layer(layer, self.model.hidden_size, self.split, &mut |tensor| {
            let is_mixer = matches!(tensor.part, Part::Attention | Part::Recurrence | Part::Norms);
            if !is_mixer && needs.tables_at.is_none() {
                // Tables are made within the first attention that needs them, before the feed-forward part.
                needs.tables_at = Some(needs.large.len());
            }
            let kept = match tensor.part {
                Part::Attention | Part::Recurrence => layer.kept.mixer,
                Part::FeedForward => layer.kept.feed_forward,
                Part::Experts => layer.kept.experts,
                Part::SharedExperts => layer.kept.shared,
                _ => false,
            };
            let format = if kept { WeightFormat::Plain } else { self.storage.format };
            failed = also(&mut failed, needs.add(tensor, Storage { format, ..self.storage }));
        })?;
        failed.map(|()| needs)
    }

    /// Allocates what a layer needs.
    fn fill(&mut self, mixer: &Mixer, needs: &Needs) -> Result<(), EstimateError> {
        self.sums.add_times(&needs.sums, 1)?;
        self.allocator.take_small(needs.small);
        let tables_at = needs.tables_at.unwrap_or(needs.large.len());
        let (before, after) = needs.large.split_at(tables_at);
        before.iter().for_each(|need| self.take(*need));
        self.tables(mixer)?;
        after.iter().for_each(|need| self.take(*need));
        Ok(())
    }

    fn take(&mut self, need: Need) {
        match need {
            Need::Tensor(size) => {
                self.allocator.take(size);
            }
            Need::Packed(repack, made) => {
                let blocks = made.map(|size| (size > 0).then(|| self.allocator.take(size)));
                self.repacks.push((repack, blocks));
            }
        }
    }

    /// Makes the tensors of one matrix.
    fn make(&mut self, tensor: Tensor, storage: Storage) -> Result<(), EstimateError> {
        let mut needs = Needs::default();
        needs.add(tensor, storage)?;
        self.fill(&Mixer::None, &needs)
    }

    /// A tensor that stays as it is.
    fn keep(&mut self, part: Part, bytes: u64) -> Result<(), EstimateError> {
        if bytes > 0 {
            self.allocator.take(bytes);
        }
        self.sums.add(part, Some(bytes))
    }

    /// The rotary tables that a layer is the first to need, and the scalars beside its cache.
    fn tables(&mut self, mixer: &Mixer) -> Result<(), EstimateError> {
        let windowed = match mixer {
            Mixer::Attention(a) | Mixer::Parallel(a, _) => a.span != Span::Full,
            Mixer::Latent(_) => false,
            Mixer::None | Mixer::Recurrent(_) => return Ok(()),
        };
        for place in 0..self.model.rotary.len() {
            let table = self.model.rotary[place];
            let wanted = table.windowed.is_none_or(|only| only == windowed);
            if wanted && !std::mem::replace(&mut self.tables_made[place], true) {
                self.table(table)?;
            }
        }
        for _ in 0..SCALES_PER_LAYER {
            self.keep(Part::Buffers, 4)?;
        }
        Ok(())
    }

    /// A rotary table is computed in 32 bits: angles, their cosines and sines, both side by side; then converted.
    fn table(&mut self, table: RotaryTable) -> Result<(), EstimateError> {
        let halves = table.positions.checked_mul(table.width).and_then(|n| n.checked_mul(2)).ok_or(super::OVERFLOW)?;
        let steps = [2 * table.width, 4 * table.positions, halves, halves, halves];
        let blocks = steps.map(|size| self.allocator.take(size));
        let joined = self.allocator.take(2 * halves);
        blocks.into_iter().for_each(|block| self.allocator.give(block));
        let bytes = halves / 2 * (self.storage.dtype.bits() / 8);
        self.keep(Part::Buffers, bytes)?;
        self.allocator.give(joined);
        Ok(())
    }

    /// Packed weights are rewritten for their kernel, one matrix after the other. Scales and index keep their blocks.
    fn repack(&mut self) {
        for (repack, [mut weight, mut zeros, _, _]) in std::mem::take(&mut self.repacks) {
            if repack.reorder {
                let (new_weight, new_zeros) = self.reorder(repack);
                self.give_all([weight, zeros]);
                (weight, zeros) = (Some(new_weight), Some(new_zeros));
            }
            // A contiguous copy, then the kernel's own order.
            let copy = self.allocator.take(repack.weight_bytes);
            self.allocator.take(repack.weight_bytes);
            self.give_all([weight, Some(copy)]);
            if repack.widen {
                self.widen(repack, zeros);
            }
        }
    }

    fn give_all<const N: usize>(&mut self, blocks: [Option<Block>; N]) {
        blocks.into_iter().flatten().for_each(|block| self.allocator.give(block));
    }

    /// AWQ's order of weights is undone: unpacked to 32 bits, permuted, packed again.
    fn reorder(&mut self, repack: Repack) -> (Block, Block) {
        let (unpacked, weight) = self.unpack(repack.elements.saturating_mul(4), repack.weight_bytes, false);
        let (zeros_unpacked, zeros) = self.unpack(repack.scales.saturating_mul(4), repack.zero_bytes, true);
        self.give_all([Some(unpacked), Some(zeros_unpacked)]);
        (weight, zeros)
    }

    /// Shift, mask, permute, for zero points transpose; shift back and sum. Returns the unpacked values, still held,
    /// and the packed ones.
    fn unpack(&mut self, wide: u64, packed: u64, transpose: bool) -> (Block, Block) {
        let shifted = self.allocator.take(wide);
        let masked = self.allocator.take(wide);
        self.allocator.give(shifted);
        let mut values = self.allocator.take(wide);
        self.allocator.give(masked);
        if transpose {
            let transposed = self.allocator.take(wide);
            self.allocator.give(values);
            values = transposed;
        }
        let back = self.allocator.take(wide);
        let packed = self.allocator.take(packed);
        self.allocator.give(back);
        (values, packed)
    }

    /// Zero points become 16-bit numbers, multiplied by their scales.
    fn widen(&mut self, repack: Repack, zeros: Option<Block>) {
        let unpacked = self.allocator.take(repack.scales.saturating_mul(4));
        // Shifted and masked eight times; once is enough to see which blocks there are afterwards.
        let shifted = self.allocator.take(repack.zero_bytes);
        let masked = self.allocator.take(repack.zero_bytes);
        self.give_all([Some(shifted), Some(masked)]);
        let scaled = self.allocator.take(2 * repack.scales);
        let converted = self.allocator.take(2 * repack.scales);
        self.allocator.take(2 * repack.scales);
        self.give_all([Some(scaled), Some(converted), Some(unpacked), zeros]);
    }

    /// Room for adapters on every linear layer, the embedding and the head.
    fn adapters(&mut self, lora: crate::input::Lora, place: &Place) -> Result<(), EstimateError> {
        let unit = lora.max_loras.checked_mul(lora.max_rank).and_then(|n| n.checked_mul(2)).ok_or(super::OVERFLOW)?;
        let mut takes: Vec<u64> = Vec::new();
        let mut add = |tensor: Tensor| {
            if tensor.linear && tensor.copies == 1 {
                takes.extend(std::iter::repeat_n(tensor.columns, usize::try_from(tensor.joined).unwrap_or(1)));
                takes.push(tensor.rows);
            }
        };
        for layer in &self.model.layers[place.layers.clone()] {
            tensors::layer(layer, self.model.hidden_size, self.split, &mut add)?;
        }
        let vocabulary = self.split.vocabulary(self.model.vocab_size);
        takes.extend([vocabulary, self.model.hidden_size].repeat(2));
        for width in takes {
            self.keep(Part::Adapters, width.checked_mul(unit).ok_or(super::OVERFLOW)?)?;
        }
        Ok(())
    }
}

impl Needs {
    fn add(&mut self, tensor: Tensor, storage: Storage) -> Result<(), EstimateError> {
        let pieces: Pieces = pieces(&tensor, storage).ok_or(super::OVERFLOW)?;
        self.sums.add(tensor.part, pieces.kept_bytes())?;
        if let Some(repack) = pieces.repack {
            self.large.push(Need::Packed(repack, pieces.made));
            return Ok(());
        }
        for size in pieces.kept.into_iter().filter(|size| *size > 0) {
            match allocator::small(size) {
                Some(block) => self.small = self.small.saturating_add(block),
                None => self.large.push(Need::Tensor(size)),
            }
        }
        Ok(())
    }
}

/// Keeps the first failure.
fn also(failed: &mut Result<(), EstimateError>, next: Result<(), EstimateError>) -> Result<(), EstimateError> {
    std::mem::replace(failed, Ok(())).and(next)
}

/// The parts of a sum, largest first for tables.
pub(crate) fn parts(sums: &Sums) -> Vec<(Part, u64)> {
    PARTS.iter().copied().zip(sums.0).filter(|(_, amount)| *amount > 0).collect()
}
