//! Loading, allocation by allocation: what the engine reports as the size of the loaded model.

use std::ops::Range;

use vramscope_core::{Architecture, Layer, Mixer, PipelineEnds, RotaryTable, Span, StoredAs, WeightFormat};

use super::compressed;
use super::drafts;
use super::format::{Kernel, Pieces, Repack, Storage, pieces};
use super::layers::Alike;
use super::tensors::{self, Part, Split, Tensor};
use super::{PARTS, Sums};
use crate::EstimateError;
use crate::allocator::{self, Allocator, Block, Mark};
use crate::vllm::drafts::Draft;
use crate::vllm::input::EngineArgs;

/// vLLM's `max_split_size_mb` while it loads.
const UNSPLIT_WHILE_LOADING: u64 = 20 << 20;
/// Scalars beside each layer with a cache: scales of queries, keys, values and probabilities.
const SCALES_PER_LAYER: u64 = 4;
/// How many layers back a repetition is looked for.
const LOOK_BACK: usize = 24;

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
    /// The further formats of a mixed checkpoint.
    others: &'a [WeightFormat],
    allocator: Allocator,
    sums: Sums,
    /// Packed weights and their zero points.
    repacks: Vec<(Repack, [Option<Block>; 2])>,
    tables_made: Vec<bool>,
    tables_left: usize,
    /// How many times longer a table is whose positions have sections.
    ahead: u64,
    /// Follows every allocation, also those that can be shown to change nothing: for tests of that.
    literal: bool,
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
            others: model.quantization.as_ref().map_or(&[][..], |q| &q.others),
            allocator: Allocator::new(unsplit),
            sums: Sums::default(),
            repacks: Vec::new(),
            tables_made: vec![false; model.rotary.len()],
            tables_left: model.rotary.len(),
            ahead: ahead(model, args),
            literal: false,
            known: Vec::new(),
        }
    }

    /// The same, with every matrix in the one format.
    pub(crate) fn uniform(self) -> Self {
        Self { others: &[], ..self }
    }

    /// Goes through the allocations of a stage; returns the bytes by part, with the allocator's rounding among them.
    /// `runs` says where the model's runs of equal layers lie.
    pub(crate) fn run(
        mut self,
        args: &EngineArgs,
        place: &Place,
        runs: &[Range<usize>],
    ) -> Result<Sums, EstimateError> {
        let (model, split, storage) = (self.model, self.split, self.storage);
        let mut failed = Ok(());
        if place.first || model.ends != PipelineEnds::Outer || (place.last && model.tied_head) {
            tensors::embedding(model, split, &mut |t| failed = also(&mut failed, self.make(t, storage)));
        }
        let kinds = self.kinds(place.layers.clone(), runs)?;
        self.layers(&kinds)?;
        if model.scaled_embedding {
            self.keep(Part::Buffers, storage.dtype.bits() / 8)?;
        }
        if place.last || model.ends == PipelineEnds::Everywhere {
            let head = model.quantization.as_ref().map_or(StoredAs::Plain, |q| q.head);
            let storage = Storage { format: self.stored_as(head), ..storage };
            tensors::head(model, split, !model.tied_head, &mut |t| failed = also(&mut failed, self.make(t, storage)));
        }
        compressed::joined(model, &mut |t| failed = also(&mut failed, self.make(t, storage)));
        failed?;
        // Towers stand on every stage up to 0.32, on the first alone in 0.33.
        if (place.first || !args.version.from_minor(33)) && !args.language_model_only {
            let parameters = self.model.tower.map_or(0, |tower| {
                let split = tower.split.min(tower.parameters);
                tower.parameters - split + split.div_ceil(self.split.tensor)
            });
            let bytes = parameters.checked_mul(self.storage.dtype.bits() / 8).ok_or(super::OVERFLOW)?;
            self.keep(Part::Tower, bytes)?;
        }
        self.repack();
        if let Some(lora) = args.lora {
            self.adapters(lora, place)?;
        }
        if let Some(draft) = Draft::of(self.model, args.drafter.as_ref()).filter(|_| place.last) {
            self.draft(&draft, args)?;
        }
        let rounding = self.allocator.allocated().saturating_sub(self.sums.total()?);
        self.sums.add(Part::Rounding, Some(rounding))?;
        Ok(self.sums)
    }

    /// What each layer of a stage holds, without the allocator's rounding: those that are alike together, with their places.
    pub(crate) fn by_kind(
        mut self,
        stage: Range<usize>,
        runs: &[Range<usize>],
    ) -> Result<Vec<Alike<Sums>>, EstimateError> {
        let kinds = self.kinds(stage.clone(), runs)?;
        let mut alike: Vec<_> =
            self.known.iter().map(|(_, needs)| Alike { layers: Vec::new(), each: needs.sums }).collect();
        for (place, kind) in stage.zip(kinds) {
            match alike[kind].layers.last_mut().filter(|run: &&mut Range<usize>| run.end == place) {
                Some(run) => run.end += 1,
                None => alike[kind].layers.push(place..place + 1),
            }
        }
        Ok(alike)
    }

    /// Goes through the layers. As long as nothing is given back, the sizes of the free blocks decide all that follows:
    /// once they are what they were some layers ago, and the same layers follow as followed then, these repeat.
    fn layers(&mut self, kinds: &[usize]) -> Result<(), EstimateError> {
        let known = std::mem::take(&mut self.known);
        for (kind, (_, needs)) in known.iter().enumerate() {
            self.sums.add_times(&needs.sums, kinds.iter().filter(|own| **own == kind).count() as u64)?;
        }
        let packed = known.iter().map(|(_, needs)| needs.large.len()).max().unwrap_or(0);
        let repeats = !self.literal && known.iter().all(|(_, needs)| needs.repeats());
        if !repeats {
            self.repacks.reserve(packed * kinds.len());
        }
        let least = known.iter().flat_map(|(_, needs)| &needs.large).map(Need::bytes).min().unwrap_or(0);
        let mut past: Vec<(usize, Mark)> = Vec::new();
        let mut next = 0;
        while let Some(&kind) = kinds.get(next) {
            let (layer, needs) = &known[kind];
            self.fill(&layer.mixer, needs)?;
            next += 1;
            if !repeats || self.tables_left > 0 {
                continue;
            }
            let recent = past.iter().rev().take(LOOK_BACK);
            if let Some((start, mark)) = recent.into_iter().find(|(_, mark)| self.allocator.is_as_at(mark, least)) {
                let period = next - start;
                let again = kinds[next..].iter().zip(&kinds[*start..]).take_while(|(own, then)| own == then).count();
                self.allocator.repeat(mark, least, (again / period) as u64);
                next += again / period * period;
                past.clear();
            }
            past.push((next, self.allocator.mark(least)));
        }
        Ok(())
    }

    /// Which of the known kinds each layer of a stage is of; kinds that are new become known.
    fn kinds(&mut self, stage: Range<usize>, runs: &[Range<usize>]) -> Result<Vec<usize>, EstimateError> {
        let mut kinds = Vec::with_capacity(stage.len());
        for run in runs {
            let own = run.start.max(stage.start)..run.end.min(stage.end);
            if own.is_empty() {
                continue;
            }
            let layer = &self.model.layers[own.start];
            let kind = match self.known.iter().position(|(known, _)| *known == layer) {
                Some(kind) => kind,
                None => {
                    let needs = self.needs(layer)?;
                    self.known.push((layer, needs));
                    self.known.len() - 1
                }
            };
            kinds.extend(std::iter::repeat_n(kind, own.len()));
        }
        Ok(kinds)
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
            let format = self.format_of(layer, &tensor);
            failed = also(&mut failed, needs.add(tensor, Storage { format, ..self.storage }));
        })?;
        // The class of what is compressed makes none.
        if matches!(layer.mixer, Mixer::Attention(_) | Mixer::Parallel(..) | Mixer::Latent(_)) {
            needs.sums.add(Part::Buffers, Some(4 * SCALES_PER_LAYER))?;
            needs.small = needs.small.saturating_add(SCALES_PER_LAYER * allocator::occupied(4));
        }
        failed.map(|()| needs)
    }

    /// The format of a layer's tensor.
    fn format_of(&self, layer: &Layer, tensor: &Tensor) -> WeightFormat {
        self.stored_as(tensor.place.map_or(StoredAs::Usual, |place| layer.stored.of(place)))
    }

    fn stored_as(&self, stored: StoredAs) -> WeightFormat {
        match stored {
            StoredAs::Plain => WeightFormat::Plain,
            StoredAs::Other(place) => self.others.get(usize::from(place)).copied().unwrap_or(self.storage.format),
            _ => self.storage.format,
        }
    }

    /// Allocates what a layer needs.
    fn fill(&mut self, mixer: &Mixer, needs: &Needs) -> Result<(), EstimateError> {
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
                self.repacks.push((repack, [blocks[0], blocks[1]]));
            }
        }
    }

    /// Makes the tensors of one matrix.
    fn make(&mut self, tensor: Tensor, storage: Storage) -> Result<(), EstimateError> {
        let mut needs = Needs::default();
        needs.add(tensor, storage)?;
        self.sums.add_times(&needs.sums, 1)?;
        self.fill(&Mixer::None, &needs)
    }

    /// A tensor that stays as it is.
    fn keep(&mut self, part: Part, bytes: u64) -> Result<(), EstimateError> {
        if bytes > 0 {
            self.allocator.take(bytes);
        }
        self.sums.add(part, Some(bytes))
    }

    /// The rotary tables that a layer is the first to need.
    fn tables(&mut self, mixer: &Mixer) -> Result<(), EstimateError> {
        let windowed = match mixer {
            Mixer::Attention(a) | Mixer::Parallel(a, _) => a.span != Span::Full,
            Mixer::Latent(_) => false,
            Mixer::Compressed(own) => own.compressor.is_none(),
            Mixer::None | Mixer::Recurrent(_) => return Ok(()),
        };
        if self.tables_left == 0 {
            return Ok(());
        }
        for place in 0..self.model.rotary.len() {
            let mut table = self.model.rotary[place];
            if table.sectioned {
                table.positions = table.positions.checked_mul(self.ahead).ok_or(super::OVERFLOW)?;
            }
            let wanted = table.windowed.is_none_or(|only| only == windowed);
            if wanted && !std::mem::replace(&mut self.tables_made[place], true) {
                self.tables_left -= 1;
                self.table(table)?;
            }
        }
        Ok(())
    }

    /// A rotary table is computed in 32 bits: angles, their cosines and sines, both side by side; then converted.
    fn table(&mut self, table: RotaryTable) -> Result<(), EstimateError> {
        let halves = table.positions.checked_mul(table.width).and_then(|n| n.checked_mul(2)).ok_or(super::OVERFLOW)?;
        let steps = [2 * table.width, 4 * table.positions, halves, halves, halves];
        let blocks = steps.map(|size| self.allocator.take(size));
        let wide = halves.checked_mul(2).ok_or(super::OVERFLOW)?;
        let joined = self.allocator.take(wide);
        blocks.into_iter().for_each(|block| self.allocator.give(block));
        if table.in_32_bits {
            return self.sums.add(Part::Buffers, Some(wide));
        }
        let bytes = halves / 2 * (self.storage.dtype.bits() / 8);
        self.keep(Part::Buffers, bytes)?;
        self.allocator.give(joined);
        Ok(())
    }

    /// Packed weights are rewritten for their kernel, one matrix after the other. Scales and index keep their blocks.
    fn repack(&mut self) {
        for (repack, [weight, mut zeros]) in std::mem::take(&mut self.repacks) {
            if repack.reorder && self.unpacks_apart(repack) {
                self.reorder_apart(repack, weight);
            } else if repack.reorder {
                let (new_weight, new_zeros) = self.reorder(repack);
                self.give_all([weight, zeros]);
                zeros = Some(new_zeros);
                self.rewrite(repack, Some(new_weight));
            } else {
                self.rewrite(repack, weight);
            }
            if repack.widen {
                self.widen(repack, zeros);
            }
        }
    }

    /// A contiguous copy, then the kernel's own order.
    fn rewrite(&mut self, repack: Repack, weight: Option<Block>) {
        let copy = self.allocator.take(repack.weight_bytes);
        self.allocator.take(repack.weight_bytes);
        self.give_all([weight, Some(copy)]);
    }

    /// Whether unpacked values never come from the free blocks that packed ones or zero points come from.
    fn unpacks_apart(&self, repack: Repack) -> bool {
        let unpacked = repack.elements.saturating_mul(4);
        let apart = |other: u64| self.allocator.keeps_apart(unpacked, other);
        let zeros = repack.scales.saturating_mul(4);
        // By Marlin's way, a shape was found whose blocks did mix: there all are followed.
        self.storage.kernel == Kernel::Machete
            && !self.literal
            && apart(repack.weight_bytes)
            && apart(zeros)
            && allocator::small(repack.zero_bytes).is_some()
    }

    /// As [`Self::reorder`] and [`Self::rewrite`], where unpacked values and packed ones never come from the same free
    /// blocks: the former pass, and only the latter are followed.
    fn reorder_apart(&mut self, repack: Repack, weight: Option<Block>) {
        self.allocator.pass_two(repack.elements.saturating_mul(4));
        let zeros = repack.scales.saturating_mul(4);
        let zeros_apart = allocator::small(zeros).is_some() || self.allocator.keeps_apart(repack.weight_bytes, zeros);
        let old = weight.filter(|_| zeros_apart);
        if old.is_some_and(|old| self.allocator.take_three_keep_one(old, repack.weight_bytes)) {
            return self.allocator.pass_two(zeros);
        }
        let new = self.allocator.take(repack.weight_bytes);
        self.allocator.pass_two(zeros);
        self.give_all([weight]);
        self.rewrite(repack, Some(new));
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

    /// What guesses tokens ahead, loaded when the model is there.
    fn draft(&mut self, draft: &Draft<'_>, args: &EngineArgs) -> Result<(), EstimateError> {
        let (model, split, storage) = (self.model, self.split, self.storage);
        let mut failed = Ok(());
        // Layers of the model's own kind are stored as the model is, a draft's own in plain elements.
        let own = matches!(draft, Draft::OwnLayers { .. });
        drafts::tensors(draft, model, split, !args.dummy_weights, &mut |layer, tensor| {
            let format = match layer.filter(|_| own) {
                Some(layer) => self.format_of(layer, &tensor),
                None => WeightFormat::Plain,
            };
            let tensor = Tensor { part: Part::Drafter, ..tensor };
            failed = also(&mut failed, self.make(tensor, Storage { format, ..storage }));
        })?;
        failed?;
        if let Some(own) = draft.own_model() {
            for table in &own.rotary {
                let width = table.width.checked_mul(storage.dtype.bits() / 8).ok_or(super::OVERFLOW)?;
                self.keep(Part::Drafter, table.positions.checked_mul(width).ok_or(super::OVERFLOW)?)?;
            }
        }
        Ok(())
    }

    /// Room for adapters on every linear layer, the embedding and the head.
    fn adapters(&mut self, lora: crate::vllm::input::Lora, place: &Place) -> Result<(), EstimateError> {
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

/// Positions of images and films may run four times ahead of the tokens (`rotary_embedding/mrope.py`). Qwen's classes
/// since the third generation know in 0.33 that theirs do not (`qwen3_vl.py`, `mrope_positions_factor`), in 0.25 not.
fn ahead(model: &Architecture, args: &EngineArgs) -> u64 {
    let family = model.family.as_deref().unwrap_or_default();
    let knows = ["qwen3_vl", "qwen3_5"].iter().any(|known| family.starts_with(known));
    if knows && args.version.from_minor(32) { 1 } else { 4 }
}

impl Need {
    fn bytes(&self) -> u64 {
        match self {
            Self::Tensor(bytes) => *bytes,
            Self::Packed(_, made) => made.iter().copied().min().unwrap_or(0),
        }
    }
}

impl Needs {
    /// Nothing of it is given back later.
    fn repeats(&self) -> bool {
        self.large.iter().all(|need| matches!(need, Need::Tensor(_)))
    }

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vramscope_core::ElementType;

    use super::*;

    /// The sums of a model that is loaded on one rank.
    fn load(model: &Architecture, storage: Storage, literal: bool) -> Vec<(Part, u64)> {
        let args = EngineArgs::default();
        let place = Place { first: true, last: true, layers: 0..model.layers.len() };
        let mut loading = Loading::new(model, &args, Split::ranks(1), storage);
        loading.literal = literal;
        parts(&loading.run(&args, &place, &model.run_ranges()).unwrap())
    }

    fn awq(kernel: Kernel) -> Storage {
        let format = WeightFormat::Packed { bits: 4, group: Some(128), zero_point: true, group_index: false };
        Storage { format, dtype: ElementType::F16, zeros_used: true, kernel }
    }

    #[test]
    fn shortcuts_change_nothing_for_known_models() {
        for id in vramscope_models::known_models() {
            let (model, _) = vramscope_models::find_model(id).unwrap().architecture().unwrap();
            let plain = Storage { format: WeightFormat::Plain, ..awq(Kernel::Machete) };
            for storage in [plain, awq(Kernel::Machete), awq(Kernel::Marlin)] {
                assert_eq!(load(&model, storage, false), load(&model, storage, true), "{id}, {storage:?}");
            }
        }
    }

    /// A shape by which a shortcut was once found to leave 29 MB too much.
    #[test]
    fn shortcuts_change_nothing_where_they_did() {
        let config = br#"{"model_type": "gemma2", "hidden_size": 8192, "intermediate_size": 2560,
            "num_hidden_layers": 33, "num_attention_heads": 8, "num_key_value_heads": 2, "vocab_size": 192,
            "max_position_embeddings": 8192, "sliding_window": 4096, "sliding_window_pattern": 1}"#;
        let (model, _) = vramscope_models::read_config(config).unwrap();
        assert_eq!(load(&model, awq(Kernel::Marlin), false), load(&model, awq(Kernel::Marlin), true));
    }

    proptest! {
        #[test]
        fn shortcuts_change_nothing(
            (hidden, width, vocab) in (1_u64..40, 1_u64..120, 1_u64..1000),
            (layers, kv_heads, window) in (1_u64..70, 0_u32..4, 1_u64..6),
            packed in any::<bool>(),
            hopper in any::<bool>(),
        ) {
            let config = serde_json::json!({
                "model_type": "gemma2", "hidden_size": hidden * 256, "intermediate_size": width * 256,
                "num_hidden_layers": layers, "num_attention_heads": 8, "num_key_value_heads": 1 << kv_heads,
                "vocab_size": vocab * 64, "max_position_embeddings": 8192, "sliding_window": 4096,
                "sliding_window_pattern": window,
            });
            let (model, _) = vramscope_models::read_config(config.to_string().as_bytes()).unwrap();
            let awq = awq(if hopper { Kernel::Machete } else { Kernel::Marlin });
            let storage = if packed { awq } else { Storage { format: WeightFormat::Plain, ..awq } };
            prop_assert_eq!(load(&model, storage, false), load(&model, storage, true));
        }
    }
}
