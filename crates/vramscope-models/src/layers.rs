//! The layers of a decoder: which kind each one is.

use std::collections::BTreeSet;

use serde_json::Value;
use vramscope_core::{FeedForward, Layer, Mixer, Span};

use crate::ConfigError;
use crate::family::{Bias, Family, Windows};
use crate::feed_forward::FeedForwards;
use crate::fields::Fields;
use crate::mixers;
use crate::stored::StorageRules;

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
    storage: &StorageRules,
) -> Result<Vec<Layer>, ConfigError> {
    let declared = fields.positive(&["num_hidden_layers", "n_layer", "n_layers", "num_layers"])?;
    let count = match (declared, pattern_text(fields)?, fields.list(LIST_OF_BLOCKS)?) {
        (Some(count), _, _) => count,
        (None, Some(pattern), _) => pattern.chars().count() as u64,
        (None, None, Some(list)) => list.len() as u64,
        (None, None, None) => fields.required(&["num_hidden_layers"])?,
    };
    let count = fields.bounded("num_hidden_layers", count, 1, MOST_LAYERS)?;
    let kinds = kinds(fields, family, count)?;
    let mixers = mixers::Mixers::read(fields, family, hidden)?;
    let feed_forward = FeedForwards::read(fields, family, count)?;
    let lone = family.lone_parts || fields.has("hybrid_override_pattern");
    let beside_experts = feed_forward.beside_experts(fields)?;
    // Other families have such inputs too, and other parts around them that are not known here.
    let gemma4 = fields.text(&["model_type"])? == Some("gemma4_text");
    let own_input = if gemma4 { fields.number(&["hidden_size_per_layer_input"])? } else { None };
    // GLM 5 Next and Hy 4 have such streams too, and other parts around them that are not known here.
    let deepseek4 = fields.text(&["model_type"])? == Some("deepseek_v4");
    let streams = if deepseek4 { Some(fields.required(&["hc_mult"])?) } else { None };
    let mut layers = Vec::with_capacity(kinds.len());
    for (index, kind) in (0_u64..).zip(kinds) {
        let mixer = mixers.of(fields, kind, index, count)?;
        let with_mixer_only = lone && mixer != Mixer::None;
        let feed_forward = if with_mixer_only { FeedForward::None } else { feed_forward.of(fields, kind, index)? };
        let beside = match feed_forward {
            FeedForward::Experts(_) => beside_experts,
            _ => None,
        };
        // Each of the two parts side by side has norms of its own, and the router a scale.
        let norms = family.norm_vectors + if beside.is_some() { 4 } else { 0 };
        layers.push(Layer {
            mixer,
            feed_forward,
            beside,
            norm_parameters: norms * hidden,
            own_input: own_input.unwrap_or(0),
            streams: streams.unwrap_or(1),
            stored: storage.of_layer(index),
        });
    }
    Ok(layers)
}

/// Where hybrids list the kinds of their blocks; some then state no number of layers.
const LIST_OF_BLOCKS: &str = "layers_block_type";

/// Nemotron-H names its layers by letters.
fn pattern_text<'a>(fields: &Fields<'a>) -> Result<Option<&'a str>, ConfigError> {
    fields.text(&["hybrid_override_pattern"])
}

fn kinds(fields: &mut Fields<'_>, family: &Family, count: u64) -> Result<Vec<Kind>, ConfigError> {
    if let Some(pattern) = pattern_text(fields)? {
        return from_letters(fields, pattern, count);
    }
    for name in ["layer_types", LIST_OF_BLOCKS] {
        if let Some(list) = fields.list(name)? {
            return from_list(fields, name, list, count);
        }
    }
    if let Some(list) = fields.list("hybrid_layer_pattern")? {
        // MiMo: 1 has a window, 0 sees all.
        expect_length(fields, "hybrid_layer_pattern", list.len(), count)?;
        let kind = |v: &Value| if v.as_u64() == Some(0) { Kind::Full } else { Kind::Sliding };
        return Ok(list.iter().map(kind).collect());
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
        "full_attention"
        | "attention"
        | "global_attention"
        | "global"
        | "hybrid"
        | "indexed_attention"
        | "deepseek_sparse_attention" => Some(Kind::Full),
        "sliding_attention" | "local_attention" | "local" | "sliding_window" => Some(Kind::Sliding),
        "chunked_attention" => Some(Kind::Chunked),
        "linear_attention" | "mamba" | "mamba2" | "recurrent" | "gated_delta_net" | "m" => Some(Kind::Recurrent),
        "conv" => Some(Kind::Conv),
        "moe" => Some(Kind::ExpertsOnly),
        "mlp" => Some(Kind::DenseOnly),
        _ => None,
    };
    let unknown =
        |value| fields.wrong(name, "a kind of layer such as full_attention, sliding_attention or mamba", value);
    list.iter().map(|value| kind(value).ok_or_else(|| unknown(value))).collect()
}

pub(crate) fn expect_length(fields: &Fields<'_>, name: &str, length: usize, count: u64) -> Result<(), ConfigError> {
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
