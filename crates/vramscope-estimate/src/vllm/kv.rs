//! The KV cache: pages, groups of layers, blocks.
//!
//! Follows vLLM: `v1/kv_cache_interface.py`, and the grouping in `v1/core/kv_cache_utils.py` (to 0.29) and
//! `v1/core/kv_cache_planning.py` (since).

mod page;
mod state;

use vramscope_core::{Architecture, Attention, Mixer, Span};

use crate::EstimateError;
use crate::vllm::drafts::Draft;
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
    /// Bytes of one block in one layer, per rank.
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
}

/// One layer's cache before grouping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Spec {
    kind: CacheKind,
    block_size: u64,
    page: u64,
}

/// Lays out the KV cache. Models without any (purely feed-forward ones) have no groups.
///
/// # Errors
/// Unknown element types, sizes that do not divide, and layers whose pages cannot be made equal.
pub fn kv_plan(model: &Architecture, args: &EngineArgs) -> Result<KvPlan, EstimateError> {
    args.check()?;
    crate::shape::check(model)?;
    let split = Split::ranks(args.tensor_parallel_size);
    let element = CacheElement::resolve(model, args)?;
    let mut block_size = args.block_size.unwrap_or_else(|| usual_block(model, args, element));
    let mut state_page = None;
    if model.has_recurrence() {
        let aligned = state::align(model, args, split, element, block_size)?;
        block_size = aligned.block_size;
        state_page = Some(aligned.page);
    }
    let mut buckets: Vec<(Spec, u64)> = Vec::new();
    let mut indexed = 0_u64;
    let draft = Draft::of(model, args.drafter.as_ref());
    let drafted = draft.iter().flat_map(Draft::layers);
    for (layer, times) in model.runs().chain(drafted) {
        let add = |spec: Spec, buckets: &mut Vec<(Spec, u64)>| match buckets.iter_mut().find(|(s, _)| *s == spec) {
            Some((_, count)) => *count += times,
            None => buckets.push((spec, times)),
        };
        let recurrent = state_page.map(|page| Spec { kind: CacheKind::Recurrent, block_size, page });
        match layer.mixer {
            Mixer::None => {}
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
                    let pages = page::index(index, block_size).and_then(|page| page.checked_mul(times));
                    indexed = pages.and_then(|pages| pages.checked_add(indexed)).ok_or(OVERFLOW)?;
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
        buckets = all_full(&buckets);
    }
    let mut plan = KvPlan {
        groups: Vec::new(),
        block_size,
        bytes_per_block: 0,
        // A drafter's layers stand on the last stage alone, which the shares of stages do not know.
        approximate: !state::is_checked(model, args) || (draft.is_some() && args.pipeline_parallel_size > 1),
        in_flight: args.max_num_batched_tokens.and_then(|step| in_flight(step, args)),
        state_blocks: args.num_speculative_tokens.saturating_add(state::blocks(model, args)),
    };
    group(&mut plan, buckets, model, args)?;
    plan.bytes_per_block = plan.bytes_per_block.checked_add(indexed).ok_or(OVERFLOW)?;
    Ok(plan)
}

/// Tokens of a block where nobody states them: what the kernel wants that the engine takes on Hopper.
fn usual_block(model: &Architecture, args: &EngineArgs, element: CacheElement) -> u64 {
    let eight_bits = element == CacheElement::Bits(8);
    let any = |wanted: &dyn Fn(&Mixer) -> bool| model.layers.iter().any(|layer| wanted(&layer.mixer));
    // FlashMLA's: for sparse attention, and for latents of 8 bits.
    let latent = any(&|mixer| matches!(mixer, Mixer::Latent(l) if l.sparse || (eight_bits && !l.expanded)));
    // Triton's, since 0.33, for wide heads of 8 bits.
    let wide = eight_bits
        && args.version.from_minor(33)
        && any(&|mixer| matches!(mixer, Mixer::Attention(a) if a.head_dim > 256));
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
fn in_flight(step: u64, args: &EngineArgs) -> Option<u64> {
    let overlapping = match (args.version.from_minor(26), args.async_scheduling.unwrap_or(true)) {
        (false, _) => 1,
        (true, true) => args.pipeline_parallel_size + 1,
        (true, false) => args.pipeline_parallel_size,
    };
    step.checked_mul(overlapping)
}

/// Engines before 0.25 do not use their hybrid manager with chunked layers unless told to
/// (`VLLM_ALLOW_CHUNKED_LOCAL_ATTN_WITH_HYBRID_KV_CACHE`, which is on by default in 0.25.1, 0.32.0 and 0.33.0).
fn hybrid_manager_off(buckets: &[(Spec, u64)], args: &EngineArgs) -> bool {
    let chunked = buckets.iter().any(|(spec, _)| matches!(spec.kind, CacheKind::Chunked(_)));
    args.disable_hybrid_kv_cache_manager.unwrap_or(chunked && !args.version.from_minor(25))
}

/// Layers with a window become full ones, where full ones exist beside them.
fn all_full(buckets: &[(Spec, u64)]) -> Vec<(Spec, u64)> {
    let has_full = buckets.iter().any(|(spec, _)| spec.kind == CacheKind::Full);
    let mut merged: Vec<(Spec, u64)> = Vec::new();
    for (spec, count) in buckets {
        let windowed = matches!(spec.kind, CacheKind::Sliding(_) | CacheKind::Chunked(_));
        let kind = if has_full && windowed { CacheKind::Full } else { spec.kind };
        let spec = Spec { kind, ..*spec };
        match merged.iter_mut().find(|(s, _)| *s == spec) {
            Some((_, sum)) => *sum += count,
            None => merged.push((spec, *count)),
        }
    }
    merged
}

fn group(
    plan: &mut KvPlan,
    buckets: Vec<(Spec, u64)>,
    model: &Architecture,
    args: &EngineArgs,
) -> Result<(), EstimateError> {
    let stages = stages_of(model.layers.len(), args.pipeline_parallel_size)?;
    // Every stage has its share of each group; the largest share sizes the pool.
    let share = |layers: u64| layers.div_ceil(stages.len() as u64);
    let alike = |a: &CacheKind, b: &CacheKind| a == b;
    if buckets.windows(2).all(|pair| alike(&pair[0].0.kind, &pair[1].0.kind)) {
        // One kind of slot: one group, whatever the pages' sizes.
        let mut bytes = 0_u64;
        for (spec, count) in &buckets {
            bytes = spec.page.checked_mul(share(*count)).and_then(|b| bytes.checked_add(b)).ok_or(OVERFLOW)?;
            plan.groups.push(KvGroup {
                kind: spec.kind,
                layers: *count,
                block_size: spec.block_size,
                page_bytes: spec.page,
            });
        }
        plan.bytes_per_block = bytes;
        return Ok(());
    }
    let buckets = page::equalize(buckets)?;
    let smallest = buckets.iter().map(|(_, count)| *count).min().unwrap_or(1);
    let largest = buckets.iter().map(|(_, count)| *count).max().unwrap_or(1);
    // Nearly equal buckets are padded up to the larger one.
    let size = if 2 * largest < 3 * smallest { largest } else { smallest };
    for (spec, count) in &buckets {
        let groups = count.div_ceil(size);
        for index in 0..groups {
            // Layers are dealt out in turn, so that pipeline stages get equal shares.
            let layers = (count - index).div_ceil(groups);
            plan.groups.push(KvGroup { kind: spec.kind, layers, block_size: spec.block_size, page_bytes: spec.page });
        }
    }
    let most = plan.groups.iter().map(|group| share(group.layers)).max().unwrap_or(0);
    let page = buckets.first().map_or(0, |(spec, _)| spec.page);
    plan.bytes_per_block = most.checked_mul(page).ok_or(OVERFLOW)?;
    Ok(())
}

impl KvPlan {
    /// States the tokens of a step, where the arguments leave them to the engine's default.
    pub(crate) fn set_step(&mut self, tokens: u64, args: &EngineArgs) {
        self.in_flight = in_flight(tokens, args);
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
        self.groups.iter().try_fold(0_u64, |sum, group| sum.checked_add(self.blocks_of_group(group, tokens)?))
    }

    fn all_one_kind(&self) -> bool {
        self.groups.windows(2).all(|pair| pair[0].kind == pair[1].kind && pair[0].page_bytes != pair[1].page_bytes)
    }

    fn blocks_of_group(&self, group: &KvGroup, tokens: u64) -> Option<u64> {
        Some(match group.kind {
            CacheKind::Full | CacheKind::Latent => tokens.div_ceil(group.block_size),
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
