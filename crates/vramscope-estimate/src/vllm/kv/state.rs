//! States of recurrent layers.
//!
//! Shapes follow vLLM 0.25, `model_executor/layers/mamba/mamba_utils.py`; the alignment of pages
//! `platforms/interface.py`.

use vramscope_core::{Architecture, ElementType, Mixer, Recurrent};

use super::{CacheElement, OVERFLOW, page};
use crate::EstimateError;
use crate::vllm::input::EngineArgs;
use crate::weights::tensors::Split;

/// The block size and the page that attention and recurrent layers then share.
pub(crate) struct Aligned {
    pub(crate) block_size: u64,
    pub(crate) page: u64,
}

/// Raises the block size until a page of attention holds a state.
pub(crate) fn align(
    model: &Architecture,
    args: &EngineArgs,
    split: Split,
    element: CacheElement,
    block_size: u64,
) -> Result<Aligned, EstimateError> {
    let mut state = 0;
    let mut token = 0;
    for (layer, _) in model.runs() {
        match layer.mixer {
            Mixer::Recurrent(r) => state = state.max(bytes(&r, model, args, split)?),
            Mixer::Parallel(a, r) => {
                state = state.max(bytes(&r, model, args, split)?);
                token = token.max(page::attention(&a, split, element, 1)?);
            }
            Mixer::Attention(a) => token = token.max(page::attention(&a, split, element, 1)?),
            Mixer::Latent(l) => token = token.max(page::latent(&l, element, 1)?),
            Mixer::None | Mixer::Compressed(_) => {}
        }
    }
    if token == 0 {
        // Without attention nothing has to match.
        return Ok(Aligned { block_size, page: state });
    }
    let smallest = if model.has_latent_attention() {
        128
    } else if checkpointed_delta(model, args) {
        64
    } else {
        16
    };
    let unit = block_size.max(smallest);
    let block_size = unit.checked_mul(state.div_ceil(unit * token)).ok_or(OVERFLOW)?.max(block_size);
    Ok(Aligned { block_size, page: block_size.checked_mul(token).ok_or(OVERFLOW)? })
}

/// The recurrences of a model, layer by layer.
fn kinds(model: &Architecture) -> impl Iterator<Item = Recurrent> {
    model.layers.iter().filter_map(|layer| match layer.mixer {
        Mixer::Recurrent(r) | Mixer::Parallel(_, r) => Some(r),
        _ => None,
    })
}

/// States stand at block boundaries, so that prefixes can be shared: by default since 0.28 (0.25 does not), but not in classes
/// that never have attention.
fn aligned(model: &Architecture, args: &EngineArgs) -> bool {
    let attends = !matches!(model.family.as_deref(), Some("mamba" | "mamba2" | "falcon_mamba"));
    let usual = args.version.from_minor(28) && attends;
    args.enable_prefix_caching.unwrap_or(usual)
}

/// Since 0.33 gated delta nets keep checkpoints of a long prompt where their prefill kernel is FlashInfer's, as it is on
/// Hopper by default (`qwen_gdn_linear_attn.py`); its steps are 64 tokens.
fn checkpointed_delta(model: &Architecture, args: &EngineArgs) -> bool {
    let delta = kinds(model).any(|kind| matches!(kind, Recurrent::GatedDelta { .. }));
    delta && aligned(model, args) && args.version.from_minor(33)
}

/// Blocks of a recurrent group that a request takes, without those of drafts.
pub(crate) fn blocks(model: &Architecture, args: &EngineArgs) -> u64 {
    if !aligned(model, args) {
        return 1;
    }
    // Mamba 2 keeps one block of checkpoints since 0.32 (`mamba_mixer2.py`, `num_prefill_checkpoint_blocks`).
    let mamba2 = kinds(model).any(|kind| matches!(kind, Recurrent::Mamba2 { .. })) && args.version.from_minor(32);
    // Kimi's delta attention since 0.30, where its kernel is FlashKDA's, as on Hopper by default (`kimi_k3/nvidia/kda.py`).
    let kimi = kinds(model).any(|kind| matches!(kind, Recurrent::KimiDelta { .. })) && args.version.from_minor(30);
    2 + u64::from(mamba2 || kimi || checkpointed_delta(model, args))
}

/// Whether the rules for states were checked against the release: 0.26 and 0.27 were not.
pub(crate) fn is_checked(model: &Architecture, args: &EngineArgs) -> bool {
    let between = args.version.from_minor(26) && !args.version.from_minor(28);
    !(between && args.enable_prefix_caching.is_none() && model.has_recurrence())
}

/// Bytes of one sequence's state in one layer, per rank.
pub(crate) fn bytes(
    r: &Recurrent,
    model: &Architecture,
    args: &EngineArgs,
    split: Split,
) -> Result<u64, EstimateError> {
    let own = args.element_type(model).bits() / 8;
    let told = args.mamba_ssm_cache_dtype.or(model.recurrent_state);
    let recurrent = told.map_or(own, |t| t.bits() / 8);
    let t = split.tensor;
    let extra = args.num_speculative_tokens;
    let (conv, state, state_bytes) = match *r {
        Recurrent::Mamba1 { inner, state, conv, .. } => ((inner / t) * (conv - 1), (inner / t) * state, recurrent),
        Recurrent::Mamba2 { heads, head_dim, groups, state, conv, .. } => {
            // Where ranks do not divide the groups, each rank has the groups of its heads.
            let groups = if groups.is_multiple_of(t) { groups } else { t };
            let channels = heads * head_dim + 2 * groups * state;
            ((channels / t) * (conv - 1 + extra), (heads / t) * head_dim * state, recurrent)
        }
        Recurrent::GatedDelta { key_heads, value_heads, key_dim, value_dim, conv } => {
            let channels = 2 * key_heads * key_dim + value_heads * value_dim;
            ((channels / t) * (conv - 1 + extra), (value_heads / t) * value_dim * key_dim, recurrent)
        }
        Recurrent::KimiDelta { heads, head_dim, conv } => {
            let width = (heads / t) * head_dim;
            (3 * width * (conv - 1 + extra), width * head_dim, told.map_or(4, |e| e.bits() / 8))
        }
        Recurrent::Linear { heads, head_dim } => {
            (0, (heads / t) * head_dim * head_dim, told.unwrap_or(ElementType::F32).bits() / 8)
        }
        Recurrent::ShortConv { channels, conv, .. } => ((channels / t) * (conv - 1 + extra), 0, own),
    };
    let conv = conv.checked_mul(own).ok_or(OVERFLOW)?;
    state.checked_mul(state_bytes).and_then(|s| s.checked_add(conv)).ok_or(OVERFLOW)
}
