//! What decides sizes of a model, read of a GGUF file's metadata and tensors.
//!
//! Follows `llama-model.cpp` and `src/models/` (2026-08 to 2026-11).

use vramscope_core::{PackedModel, PackedTensor};

use super::error::LlamaCppError;
use super::kind::{Kind, kind_named};

/// More layers than any model has.
pub(crate) const MOST_LAYERS: u64 = 4096;
/// Larger than any model's residual, vocabulary or trained context; products of two fit 64 bits.
const MOST_SIDE: u64 = 1 << 28;
/// More heads, wider heads and more experts than any model has: heads times width times cells fit 64 bits.
const MOST_HEADS: u64 = 1 << 14;

/// How the graph of a family differs from norm, attention, sum, norm, feed-forward, sum; weights that a file has or has
/// not say the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Family {
    name: &'static str,
    /// Embeddings are scaled.
    pub(crate) scaled_embeddings: bool,
    /// Queries are scaled before attention.
    pub(crate) scaled_queries: bool,
    /// Weights of chosen experts are made to sum to one.
    pub(crate) normed_experts: bool,
    /// Shares of experts are made of the chosen ones alone.
    pub(crate) late_shares: bool,
    /// The norm between attention and feed-forward is the one behind attention.
    pub(crate) one_norm: bool,
    /// Only the tokens that are answered are kept from the last attention on; else from the last layer on.
    pub(crate) early_outputs: bool,
}

/// The usual graph.
const PLAIN: Family = Family {
    name: "llama",
    scaled_embeddings: false,
    scaled_queries: false,
    normed_experts: true,
    late_shares: false,
    one_norm: false,
    early_outputs: true,
};
const GEMMA: Family = Family { name: "gemma", scaled_embeddings: true, scaled_queries: true, ..PLAIN };
/// Families whose compute buffers were compared with what a server prints, of build 10434 or, the last two, of 2026-10.
const FAMILIES: &[Family] = &[
    PLAIN,
    GEMMA,
    Family { name: "gemma2", ..GEMMA },
    Family { name: "gemma3", ..GEMMA },
    Family { name: "qwen2", ..PLAIN },
    Family { name: "qwen3", ..PLAIN },
    Family { name: "qwen3moe", ..PLAIN },
    Family { name: "qwen2moe", normed_experts: false, ..PLAIN },
    Family { name: "phi3", scaled_queries: true, ..PLAIN },
    Family { name: "deepseek2", normed_experts: false, ..PLAIN },
    Family { name: "granitehybrid", ..PLAIN },
    Family { name: "gpt-oss", normed_experts: false, late_shares: true, one_norm: true, early_outputs: false, ..PLAIN },
];

/// One layer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LayerShape {
    pub(crate) heads: u64,
    pub(crate) kv_heads: u64,
    pub(crate) head_k: u64,
    pub(crate) head_v: u64,
    /// It looks at a window only.
    pub(crate) window: bool,
    /// It keeps a state of fixed size instead of keys and values.
    pub(crate) state: Option<State>,
}

/// What a recurrent layer keeps of a sequence, in elements of 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    /// The last inputs of the convolution.
    pub(crate) convolution: u64,
    /// The state itself.
    pub(crate) recurrent: u64,
}

impl State {
    /// What so many sequences take, in bytes.
    pub(crate) fn bytes(self, slots: u64) -> u64 {
        self.convolution.saturating_add(self.recurrent).saturating_mul(slots).saturating_mul(4)
    }
}

/// A model's shape.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shape {
    pub(crate) family: String,
    pub(crate) layers: Vec<LayerShape>,
    pub(crate) hidden: u64,
    pub(crate) vocabulary: u64,
    pub(crate) experts: u64,
    pub(crate) experts_used: u64,
    pub(crate) trained_context: u64,
    /// Tokens that a layer with a window looks back; 0 without.
    pub(crate) window: u64,
    /// Keys and values are one compressed vector.
    pub(crate) latent: bool,
    /// The graph of this family is known, and which it is.
    pub(crate) graph: Option<Family>,
    /// Logits are capped at the end (`tanh`).
    pub(crate) capped_logits: bool,
    /// Attention scores are capped.
    pub(crate) capped_scores: bool,
    /// Weights of experts are scaled.
    pub(crate) experts_scaled: bool,
    /// Attention is not told where tokens stand.
    pub(crate) unplaced: bool,
    pub(crate) scales: Scales,
}

/// What a file's own factors scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Scales {
    pub(crate) embeddings: bool,
    /// What attention and feed-forward add.
    pub(crate) residuals: bool,
    pub(crate) logits: bool,
}

/// Every how many layers one looks at everything, by family (`set_swa_pattern`); with that one first or last.
const PERIODS: &[(&str, u64, bool)] = &[
    ("gemma2", 2, false),
    ("gemma3", 6, false),
    ("gpt-oss", 2, false),
    ("cohere2", 4, false),
    ("exaone4", 4, false),
    ("llama4", 4, false),
    ("olmo2", 4, false),
    ("smallthinker", 4, true),
];

impl Scales {
    /// Only Granite's graphs look at them.
    fn read(model: &PackedModel) -> Self {
        let given = |key: &str| {
            model.family == "granitehybrid" && model.own_real(key).is_some_and(|factor| factor.abs() > f64::EPSILON)
        };
        Self { embeddings: given("embedding_scale"), residuals: given("residual_scale"), logits: given("logit_scale") }
    }
}

impl Shape {
    pub(crate) fn read(model: &PackedModel) -> Result<Self, LlamaCppError> {
        let need = |key: &'static str| model.own(key).ok_or(LlamaCppError::MissingKey { key });
        let count = need("block_count")?;
        if count == 0 || count > MOST_LAYERS {
            return Err(LlamaCppError::Implausible { key: "block_count", value: count });
        }
        let layers = usize::try_from(count).unwrap_or(0);
        let hidden = need("embedding_length")?;
        let by_layer = |key: &'static str| match model.own_by_layer(key, layers) {
            None if model.metadata.contains_key(&format!("{}.{key}", model.family)) => {
                Err(LlamaCppError::Unreadable { key, expected: "a whole number, or a list of one for each layer" })
            }
            list => Ok(list),
        };
        let heads = by_layer("attention.head_count")?.unwrap_or_else(|| vec![0; layers]);
        if heads.iter().all(|heads| *heads == 0) && model.tensors.iter().any(|tensor| tensor.name.contains(".attn_k")) {
            return Err(LlamaCppError::MissingKey { key: "attention.head_count" });
        }
        let kv_heads = by_layer("attention.head_count_kv")?.unwrap_or_else(|| heads.clone());
        let usual = heads.iter().copied().max().filter(|most| *most > 0).map_or(0, |most| hidden / most);
        let head_k = model.own("attention.key_length").unwrap_or(usual);
        let head_v = model.own("attention.value_length").unwrap_or(usual);
        let latent_rank = model.own("attention.kv_lora_rank").filter(|rank| *rank > 0);
        let latent = latent_rank.is_some() && model.own("attention.key_length_mla").is_some();
        let window = model.own("attention.sliding_window").unwrap_or(0);
        let windows = Self::windows(model, layers, window);
        let state = Self::state(model);
        let mut read = Vec::with_capacity(layers);
        for at in 0..layers {
            let attends = heads[at] > 0 && kv_heads[at] > 0;
            let keeps_state = state.is_some() && Self::is_recurrent(model, at);
            let attends = attends && (!keeps_state || Self::is_parallel(model));
            read.push(LayerShape {
                heads: heads[at],
                kv_heads: if attends { kv_heads[at] } else { 0 },
                head_k,
                head_v,
                window: windows[at],
                state: state.filter(|_| keeps_state),
            });
        }
        let family = model.family.clone();
        let shape = Self {
            layers: read,
            hidden,
            vocabulary: Self::vocabulary(model)?,
            experts: model.own("expert_count").unwrap_or(0),
            experts_used: model.own("expert_used_count").unwrap_or(0),
            trained_context: need("context_length")?,
            window: if windows.contains(&true) { window } else { 0 },
            latent,
            graph: Self::graph_of(model),
            capped_logits: model.own_real("final_logit_softcapping").is_some_and(|cap| cap > 0.0),
            capped_scores: model.own_real("attn_logit_softcapping").is_some_and(|cap| cap > 0.0),
            unplaced: family == "granitehybrid" && model.own("rope.scaling.finetuned") == Some(0),
            scales: Scales::read(model),
            experts_scaled: model
                .own_real("expert_weights_scale")
                .is_some_and(|scale| scale != 0.0 && (scale - 1.0).abs() > f64::EPSILON),
            family,
        };
        shape.check()?;
        shape.compare(model)?;
        Ok(shape)
    }

    /// Holds keys and values against their matrices, in families whose graphs are known.
    fn compare(&self, model: &PackedModel) -> Result<(), LlamaCppError> {
        if self.graph.is_none() || self.latent {
            return Ok(());
        }
        for tensor in &model.tensors {
            let Some(layer) = layer_of(tensor).and_then(|layer| self.layers.get(layer)) else { continue };
            let width = match tensor.name.rsplit_once("attn_") {
                Some((_, "k.weight")) => layer.head_k,
                Some((_, "v.weight")) => layer.head_v,
                _ => continue,
            };
            let (found, said) = (tensor.sides.get(1).copied().unwrap_or(1), layer.kv_heads.saturating_mul(width));
            if found != said {
                return Err(LlamaCppError::Contradiction { tensor: tensor.name.clone(), found, said });
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), LlamaCppError> {
        let sides = [
            ("embedding_length", self.hidden),
            ("vocab_size", self.vocabulary),
            ("context_length", self.trained_context),
        ];
        let mut small = vec![("expert_count", self.experts), ("expert_used_count", self.experts_used)];
        for layer in &self.layers {
            small.push(("attention.head_count", layer.heads));
            small.push(("attention.key_length", layer.head_k));
            small.push(("attention.value_length", layer.head_v));
            small.push(("attention.head_count_kv", layer.kv_heads));
        }
        if let Some((key, value)) = small.into_iter().find(|(_, value)| *value > MOST_HEADS) {
            return Err(LlamaCppError::Implausible { key, value });
        }
        match sides.into_iter().find(|(_, value)| *value >= MOST_SIDE) {
            Some((key, value)) => Err(LlamaCppError::Implausible { key, value }),
            None => Ok(()),
        }
    }

    /// The graph of the family, where this model has nothing that it is not known with.
    fn graph_of(model: &PackedModel) -> Option<Family> {
        let own = |key: &str| model.own(key).unwrap_or(0);
        // Other shares than a softmax, groups of experts and biases of their choice add operators; old files have keys and
        // values unfolded.
        let chosen =
            own("expert_gating_func") <= 1 && own("expert_group_count") <= 1 && own("expert_weights_norm") == 0;
        let biased = model.tensors.iter().any(|tensor| tensor.name.contains("exp_probs_b"));
        let folded = own("attention.key_length_mla") > 0;
        let known = model.family != "deepseek2" || (chosen && !biased && folded);
        FAMILIES.iter().copied().find(|family| known && family.name == model.family)
    }

    fn vocabulary(model: &PackedModel) -> Result<u64, LlamaCppError> {
        let embedding = model.tensor("token_embd.weight").and_then(|tensor| tensor.sides.get(1)).copied();
        let listed = model.length("tokenizer.ggml.tokens");
        listed.or(embedding).or_else(|| model.own("vocab_size")).ok_or(LlamaCppError::MissingKey { key: "vocab_size" })
    }

    /// Which layers look at a window only.
    fn windows(model: &PackedModel, layers: usize, window: u64) -> Vec<bool> {
        if window == 0 {
            return vec![false; layers];
        }
        if let Some(list) = model.own_by_layer("attention.sliding_window_pattern", layers) {
            // A list has an entry a layer; one number is the period.
            if model.own("attention.sliding_window_pattern").is_none() {
                return list.into_iter().map(|entry| entry > 0).collect();
            }
        }
        let given = model.own("attention.sliding_window_pattern").filter(|period| *period > 0);
        let known = PERIODS.iter().find(|(family, ..)| *family == model.family);
        let Some((period, first)) = given.map(|p| (p, false)).or(known.map(|(_, p, first)| (*p, *first))) else {
            return vec![false; layers];
        };
        (0_u64..).take(layers).map(|at| if first { at % period != 0 } else { at % period < period - 1 }).collect()
    }

    /// The state of a recurrent layer (`hparams.n_embd_r`, `n_embd_s`).
    fn state(model: &PackedModel) -> Option<State> {
        let kernel = model.own("ssm.conv_kernel")?;
        let (size, inner) = (model.own("ssm.state_size")?, model.own("ssm.inner_size")?);
        let groups = model.own("ssm.group_count").unwrap_or(0);
        let wide = inner.checked_add(groups.checked_mul(size)?.checked_mul(2)?)?;
        let convolution = kernel.saturating_sub(1).checked_mul(wide)?;
        Some(State { convolution, recurrent: size.checked_mul(inner)? })
    }

    fn is_recurrent(model: &PackedModel, layer: usize) -> bool {
        model.tensors.iter().any(|tensor| {
            tensor
                .name
                .strip_prefix("blk.")
                .and_then(|rest| rest.split_once('.'))
                .is_some_and(|(number, rest)| number.parse::<usize>() == Ok(layer) && rest.starts_with("ssm_"))
        })
    }

    /// Attention and recurrence stand beside each other in one layer.
    fn is_parallel(model: &PackedModel) -> bool {
        model.family == "falcon-h1"
    }

    /// Whether any layer keeps a state.
    pub(crate) fn has_state(&self) -> bool {
        self.layers.iter().any(|layer| layer.state.is_some())
    }
}

/// The layer that a tensor belongs to.
pub(crate) fn layer_of(tensor: &PackedTensor) -> Option<usize> {
    tensor.name.strip_prefix("blk.")?.split('.').next()?.parse().ok()
}

/// The type of a tensor's elements.
pub(crate) fn kind_of(tensor: &PackedTensor) -> Result<Kind, LlamaCppError> {
    kind_named(tensor.kind).ok_or_else(|| LlamaCppError::UnknownType { tensor: tensor.name.clone(), kind: tensor.kind })
}
