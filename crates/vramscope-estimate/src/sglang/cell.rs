//! Bytes of one token in the pool, on one rank.

use vramscope_core::{Architecture, Attention, LatentAttention, Mixer, Span, WeightFormat};

use super::args::SgLangArgs;
use super::error::SgLangError;
use crate::device::GpuModel;
use crate::vllm::input::EngineArgs;
use crate::weights::stages_of;

const OVERFLOW: SgLangError = SgLangError::Overflow { what: "a token of the pool" };

/// Tokens of a window's pool for each of the full one, where nobody says (since 0.4.10).
const WINDOW_SHARE: f64 = 0.8;

/// Classes whose layers with a window have a pool of their own, and the release since which (0.5.N); those between the
/// releases that were read count from the first that has them.
const WITH_WINDOW_POOL: &[(&str, u16)] = &[
    ("Llama4ForConditionalGeneration", 9),
    ("GptOssForCausalLM", 9),
    ("MiMoV2FlashForCausalLM", 9),
    ("Step3p5ForCausalLM", 9),
    ("Gemma4ForCausalLM", 12),
    ("Gemma4ForConditionalGeneration", 12),
    ("LagunaForCausalLM", 12),
    ("Step3p7ForConditionalGeneration", 14),
    ("Gemma4UnifiedForConditionalGeneration", 14),
    ("MellumForCausalLM", 16),
];

/// What a token takes in the pool.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct SgLangCell {
    /// Bytes in the layers that keep all tokens, on the rank with most layers.
    pub bytes: u64,
    /// Bytes in the layers with a pool of their own for a window; 0 without such a pool.
    pub window_bytes: u64,
    /// Tokens of the window's pool for each of the other.
    pub window_share: f64,
    /// Layers with a state of fixed size stand beside them.
    pub has_states: bool,
    /// One compressed vector a token and layer.
    pub is_latent: bool,
    /// By rules that no source confirms of such a model.
    pub approximate: bool,
}

impl SgLangCell {
    /// A cell of so many bytes and nothing beside it, such as a log states.
    pub fn of_bytes(bytes: u64) -> Self {
        Self { bytes, window_bytes: 0, window_share: 0.0, has_states: false, is_latent: false, approximate: false }
    }

    /// No log of a pool of this kind was computed: those that were are of dense attention.
    pub(super) fn is_unconfirmed(&self) -> bool {
        self.approximate || self.has_states || self.is_latent || self.window_bytes > 0
    }

    /// Bytes for one token of the larger pool.
    pub(super) fn shared_bytes(&self) -> f64 {
        let of = |bytes: u64| vramscope_core::Bytes::new(bytes).as_f64();
        if self.bytes == 0 { of(self.window_bytes) } else { of(self.bytes) + self.window_share * of(self.window_bytes) }
    }
}

/// The cell of a model.
///
/// # Errors
/// [`SgLangError::UnknownPool`]: attention over compressed tokens, no attention at all;
/// [`SgLangError::BadArgument`]: an element type that is not known.
pub fn sglang_cell(
    model: &Architecture,
    args: &SgLangArgs,
    device: Option<&GpuModel>,
) -> Result<SgLangCell, SgLangError> {
    crate::shape::check(model)?;
    if model.has_compressed_attention() {
        return Err(SgLangError::UnknownPool { what: "attention over compressed tokens" });
    }
    let windowed = has_window_pool(model, args);
    let bits = element_bits(model, args, device)?;
    let mut most: Option<SgLangCell> = None;
    for stage in stages_of(model.layers.len(), args.pp_size)? {
        let mut cell = SgLangCell { window_share: window_share(args), ..SgLangCell::of_bytes(0) };
        let mut first = None;
        for layer in &model.layers[stage] {
            let (full, own_window) = match layer.mixer {
                Mixer::None | Mixer::Compressed(_) => continue,
                Mixer::Recurrent(_) => {
                    cell.has_states = true;
                    continue;
                }
                Mixer::Parallel(a, _) => {
                    cell.has_states = true;
                    (attention(&a, args, bits)?, false)
                }
                Mixer::Attention(a) => {
                    // Where layers differ and have one pool, all are sized as the config's own heads, which may be either.
                    cell.approximate |= !windowed && *first.get_or_insert(heads(&a)) != heads(&a);
                    (attention(&a, args, bits)?, windowed && a.span != Span::Full)
                }
                Mixer::Latent(l) => {
                    cell.is_latent = true;
                    cell.approximate |= l.indexer.is_some() || l.sparse;
                    (latent(&l, model, bits)?, false)
                }
            };
            let sum = if own_window { &mut cell.window_bytes } else { &mut cell.bytes };
            *sum = sum.checked_add(full).ok_or(OVERFLOW)?;
        }
        if most.is_none_or(|most| cell.shared_bytes() > most.shared_bytes()) {
            most = Some(cell);
        }
    }
    let cell = most.filter(|cell| cell.bytes > 0 || cell.window_bytes > 0);
    cell.ok_or(SgLangError::UnknownPool { what: "no layer with attention" })
}

fn heads(a: &Attention) -> (u64, u64, u64) {
    (a.kv_heads, a.head_dim, a.value_dim)
}

/// Whether layers with a window have a pool of their own.
fn has_window_pool(model: &Architecture, args: &SgLangArgs) -> bool {
    let class = model.class.as_deref().unwrap_or_default();
    let known = WITH_WINDOW_POOL.iter().any(|(name, since)| *name == class && args.version.from(5, *since));
    known && !args.disable_hybrid_swa_memory
}

fn window_share(args: &SgLangArgs) -> f64 {
    args.swa_full_tokens_ratio.unwrap_or(WINDOW_SHARE)
}

/// Keys and values of a layer. Until 0.5.3 values are taken to be as wide as keys.
fn attention(a: &Attention, args: &SgLangArgs, bits: u64) -> Result<u64, SgLangError> {
    let values = if args.version.from(5, 9) { a.value_dim } else { a.head_dim };
    let heads = (a.kv_heads / args.attention_ranks().max(1)).max(1);
    heads.checked_mul((a.head_dim + values).checked_mul(bits).ok_or(OVERFLOW)? / 8).ok_or(OVERFLOW)
}

/// The compressed vector of a layer, on every rank. Sparse attention's index keeps 8 bits and a scale of 4 bytes for every
/// 128 of them, for all layers; in 8 bits the vector has such scales too, and its rotary part stays in 16.
fn latent(l: &LatentAttention, model: &Architecture, bits: u64) -> Result<u64, SgLangError> {
    let is_indexer = |mixer: &Mixer| if let Mixer::Latent(l) = mixer { l.indexer } else { None };
    let indexer = model.layers.iter().find_map(|layer| is_indexer(&layer.mixer));
    let vector = match indexer {
        Some(_) if bits == 8 => l.kv_rank + l.kv_rank / 128 * 4 + l.rope_dim * 2,
        _ => (l.kv_rank + l.rope_dim).checked_mul(bits).ok_or(OVERFLOW)? / 8,
    };
    let index = indexer.map_or(0, |indexer| indexer.head_dim + indexer.head_dim / 128 * 4);
    vector.checked_add(index).ok_or(OVERFLOW)
}

/// Bits of an element of the pool.
pub(super) fn element_bits(
    model: &Architecture,
    args: &SgLangArgs,
    device: Option<&GpuModel>,
) -> Result<u64, SgLangError> {
    let own = engine_args(args).element_type(model).bits();
    let sparse = model.layers.iter().any(|layer| matches!(layer.mixer, Mixer::Latent(l) if l.indexer.is_some()));
    Ok(match args.kv_cache_dtype.as_deref() {
        // What the checkpoint declares counts since 0.5.3.
        None if declares_8_bits(model) && args.version.from(5, 3) => 8,
        // Sparse attention takes 8 bits on Blackwell.
        None if sparse && device.is_some_and(|device| device.capability.0 >= 10) => 8,
        None => own,
        Some("bf16" | "bfloat16" | "float16") => 16,
        Some("fp8_e5m2" | "fp8_e4m3") => 8,
        Some(name) => {
            let value = name.chars().take(40).collect();
            let expected = "auto, bfloat16, fp8_e5m2 or fp8_e4m3; other types are not computed here";
            return Err(SgLangError::BadArgument { name: "kv-cache-dtype".to_owned(), value, expected });
        }
    })
}

/// Only checkpoints of ModelOpt name an 8-bit cache in the way that is looked for.
fn declares_8_bits(model: &Architecture) -> bool {
    model.quantization.as_ref().is_some_and(|own| {
        let modelopt = own.method.starts_with("modelopt") || own.format == WeightFormat::Nvfp4;
        modelopt && own.kv_cache.as_deref().is_some_and(|name| name.to_ascii_lowercase().starts_with("fp8"))
    })
}

/// The arguments by which weights are counted, which both engines load alike.
pub(super) fn engine_args(args: &SgLangArgs) -> EngineArgs {
    EngineArgs {
        tensor_parallel_size: args.tp_size,
        pipeline_parallel_size: args.pp_size,
        enable_expert_parallel: args.ep_size > 1,
        dtype: args.dtype,
        quantization: args.quantization.clone(),
        ..EngineArgs::default()
    }
}
