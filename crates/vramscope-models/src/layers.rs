//! The layers of a decoder: which kind each one is.

use std::collections::BTreeSet;

use serde_json::Value;
use vramscope_core::{Dense, Experts, FeedForward, Layer, Mixer, Span};

use crate::ConfigError;
use crate::family::{Bias, Family, Windows};
use crate::fields::Fields;
use crate::ignore::Ignored;
use crate::mixers;

/// No model has more layers.
const MOST_LAYERS: u64 = 1024;

/// Names of a layer's kind in lists such as `layer_types`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Full,
    Sliding,
    Chunked,
    Recurrent,
    Conv,
    /// A feed-forward part and nothing else.
    DenseOnly,
    ExpertsOnly,
}

/// All layers in order.
pub(crate) fn read(
    fields: &mut Fields<'_>,
    family: &Family,
    hidden: u64,
    ignored: &Ignored,
) -> Result<Vec<Layer>, ConfigError> {
    let declared = fields.positive(&["num_hidden_layers", "n_layer", "n_layers", "num_layers"])?;
    let count = match (declared, pattern_text(fields)?) {
        (Some(count), _) => count,
        (None, Some(pattern)) => pattern.chars().count() as u64,
        (None, None) => fields.required(&["num_hidden_layers"])?,
    };
    let count = fields.bounded("num_hidden_layers", count, 1, MOST_LAYERS)?;
    let kinds = kinds(fields, family, count)?;
    let mixers = mixers::Mixers::read(fields, family, hidden)?;
    let feed_forward = FeedForwards::read(fields, family)?;
    let lone = fields.has("hybrid_override_pattern");
    let mut layers = Vec::with_capacity(kinds.len());
    for (index, kind) in (0_u64..).zip(kinds) {
        let mixer = mixers.of(fields, kind, index, count)?;
        let with_mixer_only = lone && mixer != Mixer::None;
        let feed_forward = if with_mixer_only { FeedForward::None } else { feed_forward.of(fields, kind, index)? };
        layers.push(Layer {
            mixer,
            feed_forward,
            norm_parameters: family.norm_vectors * hidden,
            kept: ignored.kept(index),
        });
    }
    Ok(layers)
}

/// Nemotron-H names its layers by letters.
fn pattern_text<'a>(fields: &Fields<'a>) -> Result<Option<&'a str>, ConfigError> {
    fields.text(&["hybrid_override_pattern"])
}

fn kinds(fields: &mut Fields<'_>, family: &Family, count: u64) -> Result<Vec<Kind>, ConfigError> {
    if let Some(pattern) = pattern_text(fields)? {
        return from_letters(fields, pattern, count);
    }
    for name in ["layer_types", "layers_block_type"] {
        if let Some(list) = fields.list(name)? {
            return from_list(fields, name, list, count);
        }
    }
    if let Some(interval) = fields.positive(&["full_attention_interval"])? {
        return Ok(every(count, interval, Kind::Recurrent));
    }
    if let Some(list) = fields.list("attn_type_list")? {
        // MiniMax: 0 is linear attention, 1 is full.
        expect_length(fields, "attn_type_list", list.len(), count)?;
        let kind = |v: &Value| if v.as_u64() == Some(0) { Kind::Recurrent } else { Kind::Full };
        return Ok(list.iter().map(kind).collect());
    }
    if let Some(list) = fields.list("attn_layer_indices")? {
        return Ok(listed(list, count, 0));
    }
    if let Some(period) = fields.positive(&["attn_layer_period"])? {
        let offset = fields.number(&["attn_layer_offset"])?.unwrap_or(0);
        let attention = |i: u64| i % period == offset % period;
        return Ok((0..count).map(|i| if attention(i) { Kind::Full } else { Kind::Recurrent }).collect());
    }
    if let Some(section) = fields.section("linear_attn_config")? {
        let full = section.get("full_attn_layers").and_then(Value::as_array);
        return Ok(listed(full.map(Vec::as_slice).unwrap_or_default(), count, 1));
    }
    if mixers::only_recurrent(fields) {
        return Ok(vec![Kind::Recurrent; usize::try_from(count).unwrap_or(0)]);
    }
    windows(fields, family, count)
}

fn windows(fields: &mut Fields<'_>, family: &Family, count: u64) -> Result<Vec<Kind>, ConfigError> {
    let windowed = mixers::window(fields)?.is_some();
    let all = |kind| (0..count).map(|_| kind).collect();
    Ok(match family.windows {
        Windows::Chunks if fields.has("attention_chunk_size") => {
            let step = fields.positive(&["no_rope_layer_interval"])?.unwrap_or(4);
            match fields.list("no_rope_layers")?.filter(|list| !list.is_empty()) {
                // Ones are layers with rotary positions: those attend to chunks.
                Some(list) => {
                    expect_length(fields, "no_rope_layers", list.len(), count)?;
                    list.iter().map(|v| if v.as_u64() == Some(0) { Kind::Full } else { Kind::Chunked }).collect()
                }
                None => every(count, step, Kind::Chunked),
            }
        }
        Windows::AllButEvery(usual) if windowed => {
            let step = fields.positive(&["sliding_window_pattern", "_sliding_window_pattern"])?;
            every(count, step.unwrap_or(usual), Kind::Sliding)
        }
        Windows::FromLayer if windowed && fields.flag("use_sliding_window")? == Some(true) => {
            let first = fields.number(&["max_window_layers"])?.unwrap_or(count);
            (0..count).map(|i| if i >= first { Kind::Sliding } else { Kind::Full }).collect()
        }
        Windows::All if windowed && fields.flag("use_sliding_window")? != Some(false) => all(Kind::Sliding),
        _ => all(Kind::Full),
    })
}

/// Full attention in the layers of a list, whose first layer is `first`; a recurrence in all others.
fn listed(list: &[Value], count: u64, first: u64) -> Vec<Kind> {
    let full: BTreeSet<u64> = list.iter().filter_map(Value::as_u64).collect();
    (0..count).map(|i| if full.contains(&(i + first)) { Kind::Full } else { Kind::Recurrent }).collect()
}

/// Full attention in every `step`-th layer, `other` between.
fn every(count: u64, step: u64, other: Kind) -> Vec<Kind> {
    (1..=count).map(|i| if i % step == 0 { Kind::Full } else { other }).collect()
}

fn from_letters(fields: &Fields<'_>, pattern: &str, count: u64) -> Result<Vec<Kind>, ConfigError> {
    expect_length(fields, "hybrid_override_pattern", pattern.chars().count(), count)?;
    let kind = |letter: char| match letter {
        'M' => Some(Kind::Recurrent),
        '*' => Some(Kind::Full),
        '-' => Some(Kind::DenseOnly),
        'E' => Some(Kind::ExpertsOnly),
        _ => None,
    };
    let unknown = || fields.wrong("hybrid_override_pattern", "letters M, *, - and E", &Value::from(pattern));
    pattern.chars().map(|letter| kind(letter).ok_or_else(unknown)).collect()
}

fn from_list(fields: &mut Fields<'_>, name: &str, list: &[Value], count: u64) -> Result<Vec<Kind>, ConfigError> {
    expect_length(fields, name, list.len(), count)?;
    let kind = |value: &Value| match value.as_str()? {
        "full_attention" | "attention" | "global_attention" | "global" | "hybrid" => Some(Kind::Full),
        "sliding_attention" | "local_attention" | "local" | "sliding_window" => Some(Kind::Sliding),
        "chunked_attention" => Some(Kind::Chunked),
        "linear_attention" | "mamba" | "mamba2" | "recurrent" | "gated_delta_net" | "m" => Some(Kind::Recurrent),
        "conv" => Some(Kind::Conv),
        _ => None,
    };
    let unknown =
        |value| fields.wrong(name, "a kind of layer such as full_attention, sliding_attention or mamba", value);
    list.iter().map(|value| kind(value).ok_or_else(|| unknown(value))).collect()
}

fn expect_length(fields: &Fields<'_>, name: &str, length: usize, count: u64) -> Result<(), ConfigError> {
    if length as u64 == count {
        return Ok(());
    }
    Err(fields.contradiction(name, "num_hidden_layers", format!("{length} entries for {count} layers")))
}

/// Reads a bias rule.
pub(crate) fn bias(fields: &Fields<'_>, rule: Bias) -> Result<bool, ConfigError> {
    match rule {
        Bias::Never => Ok(false),
        Bias::Always => Ok(true),
        Bias::Field(name, default) => Ok(fields.flag(name)?.unwrap_or(default)),
    }
}

/// The feed-forward parts that a model has, and which layer has which.
struct FeedForwards {
    dense: Option<Dense>,
    experts: Option<Experts>,
    first_dense: u64,
    step: u64,
    offset: u64,
    /// Layers that are dense although the pattern gives them experts.
    listed_dense: BTreeSet<u64>,
}

impl FeedForwards {
    fn read(fields: &mut Fields<'_>, family: &Family) -> Result<Self, ConfigError> {
        let gated = gated(fields, family)?;
        let experts = experts(fields, family, gated)?;
        // Granite's hybrids name the dense width as that of a shared expert, where they have no routed ones.
        let shared_width = if experts.is_none() { fields.positive(&["shared_intermediate_size"])? } else { None };
        let named = fields.positive(&["intermediate_size_mlp"])?;
        let width = match named.or(shared_width) {
            Some(width) => Some(width),
            None => fields.positive(&["intermediate_size", "n_inner", "ffn_hidden_size", "ffn_dim"])?,
        };
        let bias = bias(fields, family.mlp_bias)?;
        let dense = width.map(|width| Dense { width, gated, bias });
        let sparse = fields.positive(&["decoder_sparse_step", "interleave_moe_layer_step", "expert_layer_period"])?;
        let frequency = fields.positive(&["moe_layer_freq"]).ok().flatten();
        let offset = match (fields.number(&["expert_layer_offset"])?, frequency) {
            (Some(offset), _) => offset,
            (None, Some(_)) => 0,
            (None, None) => sparse.unwrap_or(1).saturating_sub(1),
        };
        Ok(Self {
            dense,
            experts,
            first_dense: fields
                .number(&["first_k_dense_replace", "num_dense_layers", "moe_layer_start_index"])?
                .unwrap_or(0),
            step: sparse.or(frequency).unwrap_or(1),
            offset,
            listed_dense: fields.list("mlp_only_layers")?.into_iter().flatten().filter_map(Value::as_u64).collect(),
        })
    }

    fn of(&self, fields: &Fields<'_>, kind: Kind, index: u64) -> Result<FeedForward, ConfigError> {
        let dense = || self.dense.map(FeedForward::Dense).ok_or_else(|| fields.missing(&["intermediate_size"]));
        let Some(experts) = self.experts else {
            // A purely recurrent model has no feed-forward part at all.
            let none = kind == Kind::Recurrent && mixers::only_recurrent(fields);
            return if none { Ok(FeedForward::None) } else { dense() };
        };
        let sparse = index >= self.first_dense
            && index % self.step == self.offset % self.step
            && !self.listed_dense.contains(&index);
        match kind {
            Kind::DenseOnly => dense(),
            Kind::ExpertsOnly => Ok(FeedForward::Experts(experts)),
            _ if sparse => Ok(FeedForward::Experts(experts)),
            _ => dense(),
        }
    }
}

fn gated(fields: &Fields<'_>, family: &Family) -> Result<bool, ConfigError> {
    let activation = fields.text(&["hidden_act", "hidden_activation", "activation_function", "mlp_hidden_act"])?;
    Ok(family.gated && !matches!(activation, Some("relu2" | "relu" | "gelu_new")))
}

fn experts(fields: &mut Fields<'_>, family: &Family, gated: bool) -> Result<Option<Experts>, ConfigError> {
    const COUNT: [&str; 5] =
        ["num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_moe_experts"];
    const PER_TOKEN: [&str; 6] = [
        "num_experts_per_tok",
        "num_experts_per_token",
        "experts_per_token",
        "moe_topk",
        "moe_k",
        "num_selected_experts",
    ];
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
    let corrected = fields.text(&["topk_method"])? == Some("noaux_tc");
    Ok(Some(Experts {
        count,
        per_token,
        width,
        gated,
        bias: family.expert_bias,
        shared_width,
        shared_gate,
        router_bias: family.router_bias || corrected,
    }))
}

/// The window that a kind of layer has.
pub(crate) fn span(fields: &mut Fields<'_>, kind: Kind) -> Result<Span, ConfigError> {
    match kind {
        Kind::Sliding => match mixers::window(fields)? {
            Some(window) => Ok(Span::Sliding(window)),
            None => Err(fields.missing(&["sliding_window"])),
        },
        Kind::Chunked => Ok(Span::Chunked(fields.required(&["attention_chunk_size"])?)),
        _ => Ok(Span::Full),
    }
}
