//! The feed-forward parts of a decoder: dense ones and experts, and which layer has which.

use std::collections::BTreeSet;

use serde_json::Value;
use vramscope_core::{Dense, Experts, FeedForward};

use crate::ConfigError;
use crate::family::{Family, Windows};
use crate::fields::{Fields, MOST};
use crate::layers::{Kind, bias, expect_length};
use crate::mixers;

/// The feed-forward parts that a model has, and which layer has which.
pub(crate) struct FeedForwards {
    dense: Option<Dense>,
    experts: Option<Experts>,
    sparse: Sparse,
    /// The first so many layers look a token's experts up, in a table of so many rows.
    looked_up: Option<(u64, u64)>,
}

/// Which layers have experts.
enum Sparse {
    /// As a list says, layer by layer.
    Listed(Vec<bool>),
    /// By a rule.
    Rule {
        first_dense: u64,
        step: u64,
        offset: u64,
        /// Layers that are dense although the rule gives them experts.
        listed_dense: BTreeSet<u64>,
    },
}

impl Sparse {
    fn read(fields: &Fields<'_>, count: u64) -> Result<Self, ConfigError> {
        if let Some(list) = fields.list("mlp_layer_types")? {
            expect_length(fields, "mlp_layer_types", list.len(), count)?;
            let kind = |value: &Value| match value.as_str() {
                Some("sparse" | "moe") => Ok(true),
                Some("dense" | "mlp") => Ok(false),
                _ => Err(fields.wrong("mlp_layer_types", "dense or sparse", value)),
            };
            return list.iter().map(kind).collect::<Result<_, _>>().map(Self::Listed);
        }
        if let Some(list) = fields.value(&["moe_layer_freq"]).and_then(Value::as_array) {
            // MiMo: 1 has experts, 0 is dense.
            expect_length(fields, "moe_layer_freq", list.len(), count)?;
            return Ok(Self::Listed(list.iter().map(|value| value.as_u64() != Some(0)).collect()));
        }
        let step = fields.positive(&["decoder_sparse_step", "interleave_moe_layer_step", "expert_layer_period"])?;
        let frequency = fields.positive(&["moe_layer_freq"])?;
        let offset = match (fields.number(&["expert_layer_offset"])?, frequency) {
            (Some(offset), _) => offset,
            (None, Some(_)) => 0,
            (None, None) => step.unwrap_or(1).saturating_sub(1),
        };
        Ok(Self::Rule {
            first_dense: fields
                .number(&["first_k_dense_replace", "num_dense_layers", "moe_layer_start_index"])?
                .unwrap_or(0),
            step: step.or(frequency).unwrap_or(1),
            offset,
            listed_dense: fields.list("mlp_only_layers")?.into_iter().flatten().filter_map(Value::as_u64).collect(),
        })
    }

    fn has(&self, index: u64) -> bool {
        match self {
            Self::Listed(list) => usize::try_from(index).ok().and_then(|i| list.get(i)).is_some_and(|sparse| *sparse),
            Self::Rule { first_dense, step, offset, listed_dense } => {
                index >= *first_dense && index % step == offset % step && !listed_dense.contains(&index)
            }
        }
    }
}

impl FeedForwards {
    pub(crate) fn read(fields: &mut Fields<'_>, family: &Family, count: u64) -> Result<Self, ConfigError> {
        let gated = gated(fields, family)?;
        let experts = experts(fields, family, gated)?;
        // Granite's hybrids name the dense width as that of a shared expert, where they have no routed ones.
        let shared_width = if experts.is_none() { fields.positive(&["shared_intermediate_size"])? } else { None };
        let named = fields.positive(&["intermediate_size_mlp"])?;
        let width = match named.or(shared_width) {
            Some(width) => Some(width),
            None => fields.positive(&["intermediate_size", "block_ff_dim", "n_inner", "ffn_hidden_size", "ffn_dim"])?,
        };
        let width = match width {
            Some(width) => Some(adjusted(fields, width)?),
            // GPT-2 and its like take four times the residual stream.
            None if family.four_times_wide => fields.positive(&["n_embd", "hidden_size"])?.map(|hidden| 4 * hidden),
            None => None,
        };
        let bias = bias(fields, family.mlp_bias)?;
        let dense = width.map(|width| Dense { width, gated, bias });
        // DeepSeek V4's.
        let looked_up = match fields.number(&["num_hash_layers"])? {
            Some(layers) => Some((layers, fields.required(&["vocab_size"])?)),
            None => None,
        };
        Ok(Self { dense, experts, sparse: Sparse::read(fields, count)?, looked_up })
    }

    /// The dense part that stands beside experts in the same layer (Gemma 4).
    pub(crate) fn beside_experts(&self, fields: &Fields<'_>) -> Result<Option<Dense>, ConfigError> {
        Ok(if fields.flag("enable_moe_block")? == Some(true) { self.dense } else { None })
    }

    pub(crate) fn of(&self, fields: &Fields<'_>, kind: Kind, index: u64) -> Result<FeedForward, ConfigError> {
        let dense = || self.dense.map(FeedForward::Dense).ok_or_else(|| fields.missing(&["intermediate_size"]));
        let Some(experts) = self.experts else {
            // A purely recurrent model has no feed-forward part at all.
            let none = kind == Kind::Recurrent && mixers::only_recurrent(fields);
            return if none { Ok(FeedForward::None) } else { dense() };
        };
        let experts = match self.looked_up.filter(|(layers, _)| index < *layers) {
            // What is looked up needs no correction.
            Some((_, table_rows)) => Experts { table_rows, router_bias: false, ..experts },
            None => experts,
        };
        match kind {
            Kind::DenseOnly => dense(),
            Kind::ExpertsOnly => Ok(FeedForward::Experts(experts)),
            _ if self.sparse.has(index) => Ok(FeedForward::Experts(experts)),
            _ => dense(),
        }
    }
}

/// A key that a feed-forward part's shape hangs on here and not in the engine's class, or otherwise: an activation that is
/// not the class's own (engines refuse some, and keep a gate that this one does not have), and Falcon's width, which its
/// class takes from the residual stream.
pub(crate) fn unlike_its_class(
    fields: &Fields<'_>,
    model_type: Option<&str>,
    hidden: u64,
) -> Result<Option<&'static str>, ConfigError> {
    const WITHOUT_GATE: [&str; 3] = ["relu", "relu2", "gelu_new"];
    const ACTIVATION: &str = "hidden_act";
    let without_gate = |name: Option<&str>| name.is_some_and(|name| WITHOUT_GATE.contains(&name));
    if let Some(own) = fields.own_of_class(ACTIVATION).and_then(Value::as_str) {
        let stated = fields.text(&[ACTIVATION])?;
        let other = own == "silu" && !matches!(stated, None | Some("silu" | "swish" | "swiglu"));
        if other || without_gate(stated) != without_gate(Some(own)) {
            return Ok(Some(ACTIVATION));
        }
    }
    let width = fields.number(&["ffn_hidden_size"])?;
    let falcon = model_type == Some("falcon") && width.is_some_and(|width| width != 4 * hidden);
    Ok(falcon.then_some("ffn_hidden_size"))
}

/// LFM2 states the width of an ungated part, of which the gated one that it has gets two thirds, rounded up.
fn adjusted(fields: &Fields<'_>, width: u64) -> Result<u64, ConfigError> {
    let unit = fields.positive(&["block_multiple_of"])?;
    let factor = fields.value(&["block_ffn_dim_multiplier"]).and_then(Value::as_f64).unwrap_or(1.0);
    if fields.flag("block_auto_adjust_ff_dim")? != Some(true) {
        return Ok(width);
    }
    #[expect(clippy::cast_precision_loss, reason = "a width is below 2^31")]
    let scaled = (2 * width / 3) as f64 * factor;
    let scaled = Some(scaled).filter(|scaled| (1.0..9e15).contains(scaled));
    let wrong = || fields.wrong("block_ffn_dim_multiplier", "a factor of a width", &Value::from(factor));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range by the test above")]
    let whole = scaled.ok_or_else(wrong)? as u64;
    fields.bounded("block_ff_dim", whole.next_multiple_of(unit.unwrap_or(256)), 1, MOST)
}

fn gated(fields: &Fields<'_>, family: &Family) -> Result<bool, ConfigError> {
    let activation = fields.text(&["hidden_act", "hidden_activation", "activation_function", "mlp_hidden_act"])?;
    Ok(family.gated && !matches!(activation, Some("relu2" | "relu" | "gelu_new")))
}

/// Model types whose class has dense parts alone (transformers 5.19, vLLM 0.33): it looks at no key of experts.
const DENSE: [&str; 37] = [
    "apertus",
    "bamba",
    "cohere",
    "cohere2",
    "ernie4_5",
    "falcon",
    "falcon_h1",
    "gemma",
    "gemma2",
    "gemma3",
    "gemma3_text",
    "glm",
    "glm4",
    "gpt2",
    "gpt_bigcode",
    "gptj",
    "granite",
    "hunyuan_v1_dense",
    "lfm2",
    "llama",
    "ministral",
    "mistral",
    "nemotron",
    "olmo",
    "olmo2",
    "olmo3",
    "phi3",
    "qwen2",
    "qwen2_5_vl",
    "qwen2_5_vl_text",
    "qwen2_vl",
    "qwen2_vl_text",
    "qwen3",
    "qwen3_5_text",
    "qwen3_vl_text",
    "seed_oss",
    "starcoder2",
];

fn experts(fields: &mut Fields<'_>, family: &Family, gated: bool) -> Result<Option<Experts>, ConfigError> {
    const COUNT: [&str; 5] =
        ["num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_moe_experts"];
    const PER_TOKEN: [&str; 7] = [
        "num_experts_per_tok",
        "num_experts_per_token",
        "experts_per_token",
        "moe_topk",
        "moe_k",
        "num_selected_experts",
        "top_k_experts",
    ];
    let model_type = fields.value_anywhere(&["model_type"]).and_then(Value::as_str);
    if model_type.is_some_and(|name| DENSE.contains(&name)) {
        return Ok(None);
    }
    let Some(count) = fields.number(&COUNT)?.filter(|&n| n > 1) else { return Ok(None) };
    let count = fields.bounded("num_experts", count, 1, 1 << 16)?;
    let per_token = fields.positive(&PER_TOKEN)?.ok_or_else(|| fields.missing(&PER_TOKEN[..1]))?;
    if per_token > count {
        let reason = format!("a token cannot visit {per_token} of {count} experts");
        return Err(fields.contradiction("num_experts_per_tok", "num_experts", reason));
    }
    let width = match fields.positive(&["moe_intermediate_size", "expert_intermediate_size"])? {
        Some(width) => width,
        None => fields.required(&["intermediate_size"])?,
    };
    let named = fields.number(&["shared_expert_intermediate_size", "shared_intermediate_size"])?;
    let each = fields.number(&["moe_shared_expert_intermediate_size"])?.unwrap_or(width);
    let shared =
        fields.number(&["n_shared_experts", "num_shared_experts", "num_shared_expert", "moe_num_shared_experts"])?;
    let llama4 = matches!(family.windows, Windows::Chunks);
    let shared_width = match (named, shared) {
        (Some(width), _) => width,
        (None, Some(number)) => number * each,
        // Llama 4 has one shared expert and no field for it.
        (None, None) if llama4 => width,
        (None, None) => 0,
    };
    let shared_gate = fields.has("shared_expert_intermediate_size");
    let corrected = fields.text(&["topk_method"])? == Some("noaux_tc")
        || fields.flag("use_routing_bias")? == Some(true)
        || fields.flag("use_moe_router_bias")? == Some(true);
    Ok(Some(Experts {
        count,
        per_token,
        width,
        gated,
        bias: family.expert_bias,
        shared_width,
        shared_gate,
        router_bias: family.router_bias || corrected,
        router_in_32_bits: family.router_in_32_bits,
        table_rows: 0,
        latent: fields.positive(&["moe_latent_size", "routed_expert_hidden_size"])?,
    }))
}
