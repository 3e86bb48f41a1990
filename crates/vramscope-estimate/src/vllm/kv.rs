//! The KV cache: pages, groups of layers, blocks.
//!
//! Follows vLLM: `v1/kv_cache_interface.py`, and the grouping in `v1/core/kv_cache_utils.py` (to 0.29) and
//! `v1/core/kv_cache_planning.py` (since).

pub(crate) mod compressed;
pub(crate) mod layers;
mod page;
pub(crate) mod state;

use std::ops::Range;

use vramscope_core::{Architecture, Attention, Mixer, Span};

use crate::EstimateError;
use crate::vllm::activations::Runner;
use crate::vllm::drafts::{Draft, DraftMethod};
use crate::vllm::input::EngineArgs;
use crate::weights::stages_of;
use crate::weights::tensors::Split;
pub(crate) use page::CacheElement;

/// What decides how many blocks a layer's cache takes for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CacheKind {
    /// One slot per token.
    Full,
    /// One compressed slot per token.
    Latent,
    /// One slot per run of tokens.
    Compressed,
    /// Slots for the last tokens.
    Sliding(u64),
    /// Slots for the tokens of a chunk.
    Chunked(u64),
    /// A state of fixed size.
    Recurrent,
}

/// Layers that share a table of blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KvGroup {
    /// What decides how many blocks a request takes.
    pub kind: CacheKind,
    /// Layers of the whole model in this group.
    pub layers: u64,
    /// Tokens of one block.
    pub block_size: u64,
    /// Bytes of one block in one layer, per rank; in the widest where layers differ.
    pub page_bytes: u64,
}

/// How an engine lays out its KV cache on one rank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvPlan {
    /// The groups; every group draws its blocks from the one pool.
    pub groups: Vec<KvGroup>,
    /// Tokens of one block of the attention layers: the engine's `block_size`.
    pub block_size: u64,
    /// Bytes of one block of the pool, on the rank with most layers.
    pub bytes_per_block: u64,
    /// The layout is one that is not reproduced exactly.
    pub approximate: bool,
    in_flight: Option<u64>,
    /// Blocks that a request's state takes in a recurrent group.
    state_blocks: u64,
    /// Bytes of a block of each group, where a request is reckoned in bytes and told in blocks of the first group.
    reckoned: Vec<u64>,
    /// Bytes of one block of the pool on the ranks of each stage.
    stage_blocks: Vec<u64>,
}

/// One layer's cache before grouping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Spec {
    kind: CacheKind,
    block_size: u64,
    page: u64,
}

impl Spec {
    fn group(&self, layers: u64) -> KvGroup {
        KvGroup { kind: self.kind, layers, block_size: self.block_size, page_bytes: self.page }
    }
}

/// Layers whose caches are alike.
#[derive(Debug, Clone)]
struct Bucket {
    spec: Spec,
    /// Places of the layers in the model, in order; a drafter's stand behind them.
    runs: Vec<Range<u64>>,
}

impl Bucket {
    fn layers(&self) -> u64 {
        self.runs.iter().map(|run| run.end - run.start).sum()
    }

    fn layers_on(&self, stages: &[Range<usize>], stage: usize) -> u64 {
        self.runs.iter().map(|run| layers_on(run, stages, stage)).sum()
    }
}

/// Lays out the KV cache. Models without any (purely feed-forward ones) have no groups.
///
/// # Errors
/// Unknown element types, sizes that do not divide, and layers whose pages cannot be made equal.
pub fn kv_plan(model: &Architecture, args: &EngineArgs) -> Result<KvPlan, EstimateError> {
    plan_of_checked(model, args, &crate::shape::check(model)?)
}

/// As [`kv_plan`], of a model whose sizes were checked, with its runs of equal layers.
pub(crate) fn plan_of_checked(
    model: &Architecture,
    args: &EngineArgs,
    runs: &[Range<usize>],
) -> Result<KvPlan, EstimateError> {
    args.check()?;
    let split = Split::ranks(args.tensor_parallel_size);
    let element = CacheElement::resolve(model, args)?;
    if model.has_compressed_attention() {
        let stages = stages_of(model.layers.len(), args.pipeline_parallel_size)?;
        return compressed::plan(model, args, element, &stages);
    }
    let stages = stages_of(model.layers.len(), args.pipeline_parallel_size)?;
    let laid = lay(model, args, runs, &stages, split, element)?;
    let mut plan = KvPlan {
        groups: Vec::new(),
        block_size: laid.block_size,
        bytes_per_block: 0,
        approximate: !state::is_checked(model, args),
        in_flight: args.max_num_batched_tokens.and_then(|step| in_flight(step, model, args)),
        state_blocks: args.num_speculative_tokens.saturating_add(state::blocks(model, args)),
        reckoned: Vec::new(),
        stage_blocks: Vec::new(),
    };
    group(&mut plan, laid.buckets, &laid.indexed, &stages)?;
    Ok(plan)
}

/// Caches of layers before they are grouped.
struct Laid {
    block_size: u64,
    buckets: Vec<Bucket>,
    /// Bytes of a block of the indices of sparse attention, on each stage.
    indexed: Vec<u64>,
}

fn lay(
    model: &Architecture,
    args: &EngineArgs,
    runs: &[Range<usize>],
    stages: &[Range<usize>],
    split: Split,
    element: CacheElement,
) -> Result<Laid, EstimateError> {
    let mut block_size = args.block_size.unwrap_or_else(|| usual_block(model, args, element));
    let mut state_page = None;
    if model.has_recurrence() {
        let aligned = state::align(model, args, split, element, block_size)?;
        block_size = aligned.block_size;
        state_page = Some(aligned.page);
    }
    let mut buckets: Vec<Bucket> = Vec::new();
    let mut indexed = vec![0_u64; stages.len()];
    let draft = Draft::of(model, args.drafter.as_ref());
    let drafted = draft.iter().flat_map(Draft::layers);
    let mut place = 0_u64;
    for (layer, times) in runs.iter().map(|run| (&model.layers[run.start], run.len() as u64)).chain(drafted) {
        let run = place..place.checked_add(times).ok_or(OVERFLOW)?;
        place = run.end;
        let add = |spec: Spec, buckets: &mut Vec<Bucket>| match buckets.iter_mut().find(|bucket| bucket.spec == spec) {
            Some(bucket) => bucket.runs.push(run.clone()),
            None => buckets.push(Bucket { spec, runs: vec![run.clone()] }),
        };
        let recurrent = state_page.map(|page| Spec { kind: CacheKind::Recurrent, block_size, page });
        match layer.mixer {
            // What compresses is laid out apart.
            Mixer::None | Mixer::Compressed(_) => {}
            Mixer::Attention(a) if a.shares_cache => {}
            Mixer::Attention(a) => add(attention_spec(&a, split, element, block_size)?, &mut buckets),
            Mixer::Latent(l) if l.expanded => {
                let page = page::expanded(&l, split, element, block_size)?;
                add(Spec { kind: CacheKind::Full, block_size, page }, &mut buckets);
            }
            Mixer::Latent(l) => {
                let page = page::latent(&l, element, block_size)?;
                add(Spec { kind: CacheKind::Latent, block_size, page }, &mut buckets);
                if let Some(index) = l.indexer {
                    let page = page::index(index, block_size).ok_or(OVERFLOW)?;
                    for (stage, sum) in indexed.iter_mut().enumerate() {
                        let layers = layers_on(&run, stages, stage);
                        *sum = page.checked_mul(layers).and_then(|pages| pages.checked_add(*sum)).ok_or(OVERFLOW)?;
                    }
                }
            }
            Mixer::Recurrent(_) => recurrent.into_iter().for_each(|spec| add(spec, &mut buckets)),
            Mixer::Parallel(a, _) => {
                add(attention_spec(&a, split, element, block_size)?, &mut buckets);
                recurrent.into_iter().for_each(|spec| add(spec, &mut buckets));
            }
        }
    }
    if hybrid_manager_off(&buckets, args) {
        buckets = all_full(buckets);
    }
    Ok(Laid { block_size, buckets, indexed })
}

/// Tokens of a block where nobody states them: what the kernel wants that the engine takes on Hopper.
fn usual_block(model: &Architecture, args: &EngineArgs, element: CacheElement) -> u64 {
    let eight_bits = element == CacheElement::Bits(8);
    let any = |wanted: &dyn Fn(&Mixer) -> bool| model.layers.iter().any(|layer| wanted(&layer.mixer));
    // FlashMLA's: for sparse attention, and for latents of 8 bits.
    let latent = any(&|mixer| matches!(mixer, Mixer::Latent(l) if l.sparse || (eight_bits && !l.expanded)));
    // FlashAttention's, since 0.32, for the widest heads that it takes, in 8 bits.
    let wide = eight_bits
        && args.version.from_minor(32)
        && any(&|mixer| matches!(mixer, Mixer::Attention(a) if a.head_dim == 512));
    if latent || wide { 64 } else { 16 }
}

const OVERFLOW: EstimateError = EstimateError::Overflow { what: "the KV cache" };

fn attention_spec(a: &Attention, split: Split, element: CacheElement, block_size: u64) -> Result<Spec, EstimateError> {
    let kind = match a.span {
        Span::Full => CacheKind::Full,
        Span::Sliding(window) => CacheKind::Sliding(window),
        Span::Chunked(chunk) => CacheKind::Chunked(chunk),
    };
    Ok(Spec { kind, block_size, page: page::attention(a, split, element, block_size)? })
}

/// Tokens in flight over those computed: one step's until 0.25, those of all overlapping steps since.
fn in_flight(step: u64, model: &Architecture, args: &EngineArgs) -> Option<u64> {
    step.checked_mul(if args.version.from_minor(26) { overlapping(model, args) } else { 1 })
}

/// Steps that overlap (`config/vllm.py`, `max_concurrent_batches`): a stage has one each, and scheduling ahead adds one, to
/// the first runner only without a pipeline.
fn overlapping(model: &Architecture, args: &EngineArgs) -> u64 {
    let stages = args.pipeline_parallel_size;
    let ahead = args.async_scheduling.unwrap_or_else(|| schedules_ahead(model, args));
    if ahead && (stages == 1 || Runner::of(model, args) == Runner::V2) { stages.saturating_add(1) } else { stages }
}

/// Whether steps are scheduled ahead where nobody says: not beside drafters that the engine, until 0.32, or its first
/// runner, since 0.33, does not know to.
fn schedules_ahead(model: &Architecture, args: &EngineArgs) -> bool {
    let Some(drafter) = &args.drafter else { return true };
    let heads = matches!(drafter.method, DraftMethod::OwnLayers | DraftMethod::Eagle | DraftMethod::Eagle3);
    let known = heads || (drafter.method == DraftMethod::Model && args.version.from_minor(28));
    known || (args.version.from_minor(33) && Runner::of(model, args) == Runner::V2)
}

/// Engines before 0.25 do not use their hybrid manager with chunked layers unless told to
/// (`VLLM_ALLOW_CHUNKED_LOCAL_ATTN_WITH_HYBRID_KV_CACHE`, which is on by default in 0.25.1, 0.32.0 and 0.33.0).
fn hybrid_manager_off(buckets: &[Bucket], args: &EngineArgs) -> bool {
    let chunked = buckets.iter().any(|bucket| matches!(bucket.spec.kind, CacheKind::Chunked(_)));
    args.disable_hybrid_kv_cache_manager.unwrap_or(chunked && !args.version.from_minor(25))
}

/// Layers with a window become full ones, where full ones exist beside them.
fn all_full(buckets: Vec<Bucket>) -> Vec<Bucket> {
    let has_full = buckets.iter().any(|bucket| bucket.spec.kind == CacheKind::Full);
    let mut merged: Vec<Bucket> = Vec::new();
    for Bucket { spec, runs } in buckets {
        let windowed = matches!(spec.kind, CacheKind::Sliding(_) | CacheKind::Chunked(_));
        let kind = if has_full && windowed { CacheKind::Full } else { spec.kind };
        let spec = Spec { kind, ..spec };
        match merged.iter_mut().find(|bucket| bucket.spec == spec) {
            Some(bucket) => {
                bucket.runs.extend(runs);
                // Layers are dealt out in the model's order.
                bucket.runs.sort_by_key(|run| run.start);
            }
            None => merged.push(Bucket { spec, runs }),
        }
    }
    merged
}

/// How many layers of a run stand on a stage; what a drafter adds behind the model's layers stands on the last one.
fn layers_on(run: &Range<u64>, stages: &[Range<usize>], stage: usize) -> u64 {
    let own = &stages[stage];
    let end = if stage + 1 == stages.len() { u64::MAX } else { own.end as u64 };
    run.end.min(end).saturating_sub(run.start.max(own.start as u64))
}

fn group(
    plan: &mut KvPlan,
    buckets: Vec<Bucket>,
    indexed: &[u64],
    stages: &[Range<usize>],
) -> Result<(), EstimateError> {
    if are_one_kind(&buckets) {
        // One kind of slot: one group, whatever the pages' sizes. The fullest stage sizes the pool.
        for (stage, index) in indexed.iter().enumerate() {
            let mut bytes = *index;
            for bucket in &buckets {
                let layers = bucket.layers_on(stages, stage);
                bytes = bucket.spec.page.checked_mul(layers).and_then(|b| bytes.checked_add(b)).ok_or(OVERFLOW)?;
            }
            plan.stage_blocks.push(bytes);
        }
        plan.bytes_per_block = plan.stage_blocks.iter().copied().max().unwrap_or(0);
        plan.groups.extend(buckets.iter().map(|bucket| bucket.spec.group(bucket.layers())));
        return Ok(());
    }
    let buckets = page::equalize(buckets)?;
    let size = layers_of_a_group(&buckets);
    plan.stage_blocks = vec![0; stages.len()];
    let page = buckets.first().map_or(0, |bucket| bucket.spec.page);
    for bucket in &buckets {
        let groups = bucket.layers().div_ceil(size);
        for index in 0..groups {
            // Layers are dealt out in turn, so that pipeline stages get about equal shares.
            plan.groups.push(bucket.spec.group((bucket.layers() - index).div_ceil(groups)));
        }
        let (mut before, mut dealt) = (0, 0);
        for (stage, pages) in indexed.iter().enumerate() {
            dealt += bucket.layers_on(stages, stage);
            // Of layers dealt in turn, the stage's share of the group that has most of them.
            let most = (0..groups).map(|group| dealt_to(group, groups, dealt) - dealt_to(group, groups, before)).max();
            let bytes = page.checked_mul(most.unwrap_or(0)).and_then(|bytes| bytes.checked_add(*pages));
            plan.stage_blocks[stage] = plan.stage_blocks[stage].max(bytes.ok_or(OVERFLOW)?);
            before = dealt;
        }
    }
    plan.bytes_per_block = plan.stage_blocks.iter().copied().max().unwrap_or(0);
    Ok(())
}

/// Whether all take the same blocks of a request, and so one table of them serves all.
fn are_one_kind(buckets: &[Bucket]) -> bool {
    buckets.windows(2).all(|pair| pair[0].spec.kind == pair[1].spec.kind)
}

fn layers_of_a_group(buckets: &[Bucket]) -> u64 {
    let smallest = buckets.iter().map(Bucket::layers).min().unwrap_or(1);
    let largest = buckets.iter().map(Bucket::layers).max().unwrap_or(1);
    // Nearly equal buckets are padded up to the larger one.
    if 2 * largest < 3 * smallest { largest } else { smallest }
}

/// How many of so many layers, dealt out in turn to `groups`, a group gets.
fn dealt_to(group: u64, groups: u64, layers: u64) -> u64 {
    layers.saturating_sub(group).div_ceil(groups)
}

impl KvPlan {
    /// States the tokens of a step, where the arguments leave them to the engine's default.
    pub(crate) fn set_step(&mut self, tokens: u64, model: &Architecture, args: &EngineArgs) {
        self.in_flight = in_flight(tokens, model, args);
    }

    /// Whether all layers take the same blocks, so that a block is a fixed number of tokens.
    pub fn is_uniform(&self) -> bool {
        let first = self.groups.first().map(|group| group.kind);
        self.groups.iter().all(|group| Some(group.kind) == first)
            && matches!(first, Some(CacheKind::Full | CacheKind::Latent))
    }

    /// Blocks that `tokens` fill in a uniform cache; `None` for a mixed one, where it depends on the requests.
    pub fn blocks_of_tokens(&self, tokens: u64) -> Option<u64> {
        self.is_uniform().then(|| tokens.div_ceil(self.block_size))
    }

    /// Bytes of a pool of so many blocks, per rank; `None` past 64 bits.
    pub fn pool_bytes(&self, blocks: u64) -> Option<u64> {
        blocks.checked_mul(self.bytes_per_block)
    }

    /// Whole blocks in so many bytes.
    pub fn blocks_in(&self, bytes: u64) -> u64 {
        bytes.checked_div(self.bytes_per_block).unwrap_or(0)
    }

    /// Blocks that the engine sets aside for one request of `tokens` while it is being computed; `None` where windows
    /// make it depend on `max_num_batched_tokens` and that is not known.
    pub fn blocks_per_request(&self, tokens: u64) -> Option<u64> {
        if self.is_uniform() || self.all_one_kind() {
            // One table of blocks serves all layers.
            return self.groups.first().map_or(Some(0), |group| self.blocks_of_group(group, tokens));
        }
        if let Some(first) = self.reckoned.first().filter(|first| **first > 0) {
            let of = |(group, bytes): (&KvGroup, &u64)| self.blocks_of_group(group, tokens)?.checked_mul(*bytes);
            let mut groups = self.groups.iter().zip(&self.reckoned);
            return Some(groups.try_fold(0_u64, |sum, group| sum.checked_add(of(group)?))?.div_ceil(*first));
        }
        self.groups.iter().try_fold(0_u64, |sum, group| sum.checked_add(self.blocks_of_group(group, tokens)?))
    }

    fn all_one_kind(&self) -> bool {
        self.groups.windows(2).all(|pair| pair[0].kind == pair[1].kind && pair[0].page_bytes != pair[1].page_bytes)
    }

    fn blocks_of_group(&self, group: &KvGroup, tokens: u64) -> Option<u64> {
        Some(match group.kind {
            CacheKind::Full | CacheKind::Latent | CacheKind::Compressed => tokens.div_ceil(group.block_size),
            CacheKind::Sliding(window) => {
                let held = window.saturating_sub(1).checked_add(self.in_flight?)?;
                // A window need not begin where a block does.
                held.min(tokens).div_ceil(group.block_size).checked_add(1)?
            }
            CacheKind::Chunked(chunk) => chunk.checked_add(self.in_flight?)?.min(tokens).div_ceil(group.block_size),
            CacheKind::Recurrent => self.state_blocks,
        })
    }
}
