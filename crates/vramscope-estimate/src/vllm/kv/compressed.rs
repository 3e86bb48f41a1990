//! The cache of attention over compressed tokens.
//!
//! Follows vLLM: `models/deepseek_v4/{attention,compressor}.py`, `v1/attention/backends/mla/sparse_swa.py`, and the packed
//! groups of `v1/core/kv_cache_utils.py` (to 0.29) and `v1/core/kv_cache_planning.py` (since). A layer has up to five
//! caches: its window, what runs were compressed to, the runs that are not full yet, and the last two of its index.

use std::collections::BTreeMap;
use std::ops::Range;

use vramscope_core::{Architecture, CompressedAttention, Indexer, Mixer};

use super::layers::Sharing;
use super::{CacheElement, CacheKind, KvGroup, KvPlan, OVERFLOW, dealt_to, in_flight, page};
use crate::EstimateError;
use crate::vllm::input::EngineArgs;

/// Tokens of a block where nobody states them (`FLASHMLA_SPARSE_DSV4`).
pub(super) const USUAL_BLOCK: u64 = 256;
/// Tokens of a window's block.
const WINDOW_BLOCK: u64 = 64;
/// Pages are whole multiples of this.
const ALIGNMENT: u64 = 576;
/// Head and index for which the kernels were made.
const KERNEL_WIDTHS: [u64; 2] = [512, 128];

/// Sizes of the pages of one kind of layer; zero where it has none of these.
#[derive(Debug, Clone, Copy, Default)]
struct Pages {
    window: u64,
    compressed: u64,
    index: u64,
    /// Of runs that are not full yet.
    runs: u64,
    index_runs: u64,
}

impl Pages {
    fn of(c: &CompressedAttention, block_size: u64) -> Option<Self> {
        let token = vector(c);
        let window = aligned(WINDOW_BLOCK.checked_mul(token)?)?;
        let Some(own) = c.compressor else { return Some(Self { window, ..Self::default() }) };
        let slots = block_size / own.tokens;
        // Value and gate of each token, for each run that it is part of, in 32 bits.
        let run = |width: u64| aligned(runs_block(own.indexer).checked_mul(own.runs() * width)?.checked_mul(2 * 4)?);
        let (index, index_runs) = match own.indexer {
            Some(index) => (aligned(page::index(index, slots)?)?, run(index.head_dim)?),
            None => (0, 0),
        };
        Some(Self {
            window,
            compressed: aligned(slots.checked_mul(token)?)?,
            index,
            runs: run(c.head_dim)?,
            index_runs,
        })
    }
}

/// A vector: 8 bits but for its rotary part, a scale of a byte for every 64 of them, and one byte to fill up.
fn vector(c: &CompressedAttention) -> u64 {
    let plain = c.head_dim - c.rope_dim;
    plain + 2 * c.rope_dim + plain / 64 + 1
}

fn aligned(bytes: u64) -> Option<u64> {
    bytes.checked_next_multiple_of(ALIGNMENT)
}

/// Tokens of a block of runs that are not full, so that its page is about as large as the others (`compressor.py`).
const fn runs_block(indexer: Option<Indexer>) -> u64 {
    if indexer.is_some() { 4 } else { 8 }
}

/// Layers of some place by what they have.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    all: u64,
    selected: u64,
    all_seen: u64,
}

impl Counts {
    fn of<'a>(layers: impl Iterator<Item = &'a CompressedAttention>) -> Self {
        let mut counts = Self::default();
        for layer in layers {
            counts.all += 1;
            match layer.compressor {
                Some(own) if own.indexer.is_some() => counts.selected += 1,
                Some(_) => counts.all_seen += 1,
                None => {}
            }
        }
        counts
    }
}

fn attentions(model: &Architecture, layers: Range<usize>) -> impl Iterator<Item = &CompressedAttention> {
    model.layers[layers].iter().filter_map(|layer| match &layer.mixer {
        Mixer::Compressed(own) => Some(own),
        _ => None,
    })
}

/// Lays the cache out.
pub(super) fn plan(
    model: &Architecture,
    args: &EngineArgs,
    element: CacheElement,
    stages: &[Range<usize>],
) -> Result<KvPlan, EstimateError> {
    let block_size = args.block_size.unwrap_or(USUAL_BLOCK);
    let whole = 0..model.layers.len();
    let (mut selected, mut all_seen, mut window, mut usual_widths) = (None, None, 0, true);
    for own in attentions(model, whole.clone()) {
        let index = own.compressor.and_then(|own| own.indexer);
        usual_widths &=
            own.head_dim == KERNEL_WIDTHS[0] && index.is_none_or(|index| index.head_dim == KERNEL_WIDTHS[1]);
        window = own.window;
        match own.compressor {
            Some(compressor) if compressor.indexer.is_some() => selected = Some((*own, compressor)),
            Some(compressor) => all_seen = Some((*own, compressor)),
            None => {}
        }
    }
    let pages = |own: &CompressedAttention| Pages::of(own, block_size).ok_or(OVERFLOW);
    let of = |kind: Option<(CompressedAttention, _)>| kind.map_or(Ok(Pages::default()), |(own, _)| pages(&own));
    let (small, large) = (of(selected)?, of(all_seen)?);
    let widest = attentions(model, whole.clone()).map(pages).next().transpose()?.unwrap_or_default().window;
    let counts = Counts::of(attentions(model, whole));
    let size = layers_of_a_group(counts, args);
    let split = |layers: u64| layers.div_ceil(size.max(1));
    let mut groups = Vec::new();
    let mut add = |kind, layers: u64, block_size, page_bytes| {
        if layers > 0 {
            groups.push(KvGroup { kind, layers, block_size, page_bytes });
        }
    };
    let compressed = 2 * counts.selected + counts.all_seen;
    add(CacheKind::Compressed, compressed, block_size, small.compressed.max(small.index).max(large.compressed));
    let windows = split(counts.all);
    (0..windows).for_each(|i| add(CacheKind::Sliding(window), dealt_to(i, windows, counts.all), WINDOW_BLOCK, widest));
    if let Some((_, own)) = selected {
        let (page, span) = (small.runs.max(small.index_runs), CacheKind::Sliding(own.runs() * own.tokens));
        add(span, 2 * counts.selected, runs_block(own.indexer), page);
    }
    let seen_groups = split(counts.all_seen);
    if let Some((_, own)) = all_seen {
        let span = CacheKind::Sliding(own.tokens);
        (0..seen_groups).for_each(|i| {
            add(span, dealt_to(i, seen_groups, counts.all_seen), runs_block(own.indexer), large.runs);
        });
    }
    // The largest group of a stage sizes its block.
    let bytes_on = |stage: &Range<usize>| -> Option<u64> {
        let [before, upto] = [stage.start, stage.end].map(|end| Counts::of(attentions(model, 0..end)));
        let dealt = |groups: u64, before: u64, upto: u64| {
            (0..groups).map(|i| dealt_to(i, groups, upto) - dealt_to(i, groups, before)).max().unwrap_or(0)
        };
        let [picked, seen] = [upto.selected - before.selected, upto.all_seen - before.all_seen];
        let window_layers = dealt(windows, before.all, upto.all);
        let seen_layers = dealt(seen_groups, before.all_seen, upto.all_seen);
        let sum = |terms: [(u64, u64); 3]| {
            terms.into_iter().try_fold(0_u64, |sum, (layers, page)| sum.checked_add(layers.checked_mul(page)?))
        };
        if args.version.from_minor(28) {
            let of_compressed = sum([(picked, small.compressed), (picked, small.index), (seen, large.compressed)])?;
            let of_windows = sum([(window_layers, widest), (0, 0), (0, 0)])?;
            let of_runs = sum([(picked, small.runs), (picked, small.index_runs), (0, 0)])?;
            let of_seen = sum([(seen_layers, large.runs), (0, 0), (0, 0)])?;
            return Some(of_compressed.max(of_windows).max(of_runs).max(of_seen));
        }
        // Before, pages of a size lay side by side, and a group's went into the smallest that holds them.
        let wide = window_layers.max(picked).max(seen_layers);
        sum([(wide, widest), (picked, small.index), (seen, large.compressed)])
    };
    let stage_blocks: Vec<u64> = stages.iter().map(bytes_on).collect::<Option<_>>().ok_or(OVERFLOW)?;
    let between = args.version.from_minor(26) && !args.version.from_minor(28);
    let eight_bits = is_eight_bits(element, args);
    let checked = usual_widths && eight_bits && !between && args.version.from_minor(25) && stages.len() == 1;
    Ok(KvPlan {
        // Groups of layers that all compress alike, or not at all, were not tried, nor other blocks than the usual.
        approximate: !checked || counts.selected == 0 || block_size != USUAL_BLOCK,
        groups,
        block_size,
        bytes_per_block: stage_blocks.iter().copied().max().unwrap_or(0),
        stage_blocks,
        in_flight: args.max_num_batched_tokens.and_then(|step| in_flight(step, model, args)),
        state_blocks: 0,
        reckoned: if args.version.from_minor(28) {
            Vec::new()
        } else {
            reckoned(counts, windows, [small, large], widest)?
        },
    })
}

/// What a block takes in each layer of the model, group by group as [`plan`] has them, with the place of the layer.
pub(super) fn by_layer(model: &Architecture, args: &EngineArgs) -> Result<Vec<Sharing>, EstimateError> {
    let block_size = args.block_size.unwrap_or(USUAL_BLOCK);
    if block_size != USUAL_BLOCK && !args.version.from_minor(28) {
        return Err(EstimateError::BadArgument {
            name: "--per-layer",
            value: format!("with --block-size {block_size} in {}", args.version),
            expected: "blocks of 256 tokens, or 0.28 or newer: where pages of other sizes lay before is not followed by layer",
        });
    }
    let counts = Counts::of(attentions(model, 0..model.layers.len()));
    let size = layers_of_a_group(counts, args).max(1);
    let (windows, seen_groups) = (counts.all.div_ceil(size), counts.all_seen.div_ceil(size));
    let (mut all, mut seen) = (0, 0);
    // Of each group its place in the order: what was compressed, windows, runs that are selected, and the other runs.
    let mut groups: BTreeMap<(u8, u64), Sharing> = BTreeMap::new();
    for (place, layer) in (0_u64..).zip(&model.layers) {
        let Mixer::Compressed(own) = &layer.mixer else { continue };
        let pages = Pages::of(own, block_size).ok_or(OVERFLOW)?;
        let mut add = |order, kind, bytes| {
            groups.entry(order).or_insert(Sharing { kind, layers: Vec::new() }).layers.push((place, bytes))
        };
        add((1, all % windows), CacheKind::Sliding(own.window), pages.window);
        all += 1;
        let Some(compressor) = own.compressor else { continue };
        add((0, 0), CacheKind::Compressed, pages.compressed.checked_add(pages.index).ok_or(OVERFLOW)?);
        let span = CacheKind::Sliding(compressor.runs() * compressor.tokens);
        if compressor.indexer.is_some() {
            add((2, 0), span, pages.runs.checked_add(pages.index_runs).ok_or(OVERFLOW)?);
        } else {
            add((3, seen % seen_groups), CacheKind::Sliding(compressor.tokens), pages.runs);
            seen += 1;
        }
    }
    Ok(groups.into_values().collect())
}

/// Whether vectors are stored in the layout of 8 bits: where they are asked for, and since 0.30 by default.
pub(crate) fn is_eight_bits(element: CacheElement, args: &EngineArgs) -> bool {
    let left_to_it = args.kv_cache_dtype.as_deref().is_none_or(|name| name == "auto");
    matches!(element, CacheElement::Bits(8) | CacheElement::SparseLatent) || (left_to_it && args.version.from_minor(29))
}

/// Layers of a group, so that the fewest are filled up: not fewer than select (`_approximate_gcd`).
fn layers_of_a_group(counts: Counts, args: &EngineArgs) -> u64 {
    let mut least = counts.selected;
    let mut layers = vec![counts.all, counts.selected];
    layers.extend(Some(counts.all_seen).filter(|&n| n > 0));
    if !args.version.from_minor(30) {
        // The compressed vectors' own group counts too.
        least = least.max(counts.all_seen);
        layers.push(least);
    }
    let filled = |size: u64| layers.iter().map(|n| n.next_multiple_of(size) - n).sum::<u64>();
    // Of those that fill up as few, the largest.
    (least.max(1)..=counts.all.max(least)).rev().min_by_key(|&size| filled(size)).unwrap_or(1)
}

/// Bytes of a block of each group, by which releases before 0.28 reckon what a request takes.
fn reckoned(counts: Counts, windows: u64, [small, large]: [Pages; 2], widest: u64) -> Result<Vec<u64>, EstimateError> {
    let times = |layers: u64, page: u64| layers.checked_mul(page).ok_or(OVERFLOW);
    let compressed = times(counts.selected, small.compressed + small.index)?;
    let mut bytes = vec![compressed.checked_add(times(counts.all_seen, large.compressed)?).ok_or(OVERFLOW)?];
    for index in 0..windows {
        bytes.push(times(dealt_to(index, windows, counts.all), widest)?);
    }
    // Runs lie in pages of a window and of an index.
    bytes.push(times(counts.selected, widest + small.index)?);
    bytes.push(times(counts.all_seen, widest)?);
    Ok(bytes)
}
