//! Bytes of one block in one layer.

use vramscope_core::{Architecture, Attention, Indexer, LatentAttention};

use super::{Bucket, OVERFLOW};
use crate::EstimateError;
use crate::vllm::input::EngineArgs;
use crate::weights::tensors::Split;

/// How keys and values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CacheElement {
    /// So many bits each.
    Bits(u64),
    /// So many bits each, and a scale of 4 bytes for every token and head, for keys and for values.
    ScaledPerHead(u64),
    /// Packed 4-bit floats with an 8-bit scale per 16.
    Nvfp4,
    /// The 656 bytes a token of sparse latent attention.
    SparseLatent,
}

impl CacheElement {
    /// What the engine takes for these arguments.
    pub(crate) fn resolve(model: &Architecture, args: &EngineArgs) -> Result<Self, EstimateError> {
        let own = Self::Bits(args.element_type(model).bits());
        if keeps_own_element(model, args) {
            return Ok(own);
        }
        let declared = model.quantization.as_ref().and_then(|q| q.kv_cache.as_deref());
        let name = match args.kv_cache_dtype.as_deref() {
            None | Some("auto") => match declared {
                None => return Ok(own),
                Some(declared) => declared,
            },
            Some(name) => name,
        };
        Ok(match name {
            "bfloat16" | "float16" => Self::Bits(16),
            "fp8" | "fp8_e4m3" | "fp8_e5m2" | "fp8_inc" => Self::Bits(8),
            "fp8_ds_mla" => Self::SparseLatent,
            "int8_per_token_head" | "fp8_per_token_head" => Self::ScaledPerHead(8),
            "int4_per_token_head" => Self::ScaledPerHead(4),
            "nvfp4" => Self::Nvfp4,
            _ => return Err(EstimateError::UnknownKvCacheDtype { name: name.to_owned() }),
        })
    }

    /// Bytes of a vector of so many elements, without scales that stand apart.
    fn vector(self, width: u64) -> u64 {
        match self {
            Self::Bits(bits) | Self::ScaledPerHead(bits) => (width * bits).div_ceil(8),
            Self::Nvfp4 => width / 2 + width / 16,
            Self::SparseLatent => 656,
        }
    }
}

/// Classes that do not pass what is asked of the cache on to their layers: Falcon's, in all releases that were looked at,
/// and MiMo V2's until 0.30.
fn keeps_own_element(model: &Architecture, args: &EngineArgs) -> bool {
    match model.family.as_deref() {
        Some("falcon" | "RefinedWeb" | "RefinedWebModel") => true,
        Some("mimo_v2" | "mimo_v2_flash") => !args.version.from_minor(31),
        _ => false,
    }
}

/// Keys and values of a block.
pub(crate) fn attention(
    a: &Attention,
    split: Split,
    element: CacheElement,
    block_size: u64,
) -> Result<u64, EstimateError> {
    let scales = if matches!(element, CacheElement::ScaledPerHead(_)) { 8 } else { 0 };
    let slot = element.vector(a.head_dim) + element.vector(a.value_dim) + scales;
    let heads = split.kv_heads(a.kv_heads)?;
    slot.checked_mul(heads).and_then(|b| b.checked_mul(block_size)).ok_or(OVERFLOW)
}

/// One latent vector per token, whole on every rank.
pub(crate) fn latent(l: &LatentAttention, element: CacheElement, block_size: u64) -> Result<u64, EstimateError> {
    let scales = if matches!(element, CacheElement::ScaledPerHead(_)) { 8 } else { 0 };
    (element.vector(l.kv_rank + l.rope_dim) + scales).checked_mul(block_size).ok_or(OVERFLOW)
}

/// Keys and values of all heads of latent attention: values are padded to the width of keys.
pub(crate) fn expanded(
    l: &LatentAttention,
    split: Split,
    element: CacheElement,
    block_size: u64,
) -> Result<u64, EstimateError> {
    let scales = if matches!(element, CacheElement::ScaledPerHead(_)) { 8 } else { 0 };
    let slot = 2 * element.vector(l.nope_dim + l.rope_dim) + scales;
    let heads = split.of("the attention heads", l.heads)?;
    slot.checked_mul(heads).and_then(|bytes| bytes.checked_mul(block_size)).ok_or(OVERFLOW)
}

/// The index of sparse attention: 8 bits each and a 32-bit scale per 128.
pub(crate) fn index(index: Indexer, block_size: u64) -> Option<u64> {
    block_size.checked_mul(index.head_dim + 4 * index.head_dim.div_ceil(128))
}

/// Makes the pages of mixed layers equal: a smaller page gets more tokens if it divides the largest.
pub(crate) fn equalize(mut buckets: Vec<Bucket>) -> Result<Vec<Bucket>, EstimateError> {
    let largest = buckets.iter().map(|bucket| bucket.spec.page).max().unwrap_or(0);
    for Bucket { spec, .. } in &mut buckets {
        if spec.page == 0 || !largest.is_multiple_of(spec.page) {
            return Err(EstimateError::UnequalPages { small: spec.page, large: largest });
        }
        spec.block_size = spec.block_size.checked_mul(largest / spec.page).ok_or(OVERFLOW)?;
        spec.page = largest;
    }
    Ok(buckets)
}
