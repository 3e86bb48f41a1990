//! Tables of rotary positions, which engines keep on the device.
//!
//! Sizes follow vLLM 0.25, `model_executor/layers/rotary_embedding/*`: one table per distinct setting, shared by layers.

use serde_json::{Map, Value};
use vramscope_core::{Architecture, Layer, Mixer, RotaryTable, Span};

use crate::ConfigError;
use crate::fields::{Fields, MOST};

/// The distinct tables of a model.
pub(crate) fn read(fields: &Fields<'_>, model: &Architecture) -> Result<Vec<RotaryTable>, ConfigError> {
    if !rotates(fields, model)? {
        return Ok(Vec::new());
    }
    let Some(positions) = model.max_positions else { return Ok(Vec::new()) };
    if fields.text(&["position_embedding_type"]).ok().flatten() == Some("nope") || model.learned_positions > 0 {
        return Ok(Vec::new());
    }
    // Layers with a window have a table of their own.
    let local = fields.has("rope_local_base_freq")
        || fields.has("swa_rope_theta")
        // Their classes have one whatever the file says.
        || (matches!(model.family.as_deref(), Some("gemma3" | "gemma3_text" | "gemma4_text"))
            && !fields.has("rope_parameters"));
    if model.has_compressed_attention() {
        return compressed(fields, model, positions);
    }
    let scalings = scalings(fields)?;
    // Newer configs say by themselves what each kind of layers has.
    let local = local && scalings.iter().all(|(windowed, _)| windowed.is_none());
    let mut tables = Vec::new();
    for (windowed, scaling) in scalings {
        let scaled = scaling.map_or(Some(positions), |section| scaled(section, positions));
        // A factor that leads beyond any real length is not a table that an engine would build.
        let scaled = scaled.filter(|&n| n <= MOST).ok_or(ConfigError::OutOfRange {
            field: fields.path("rope_scaling.factor"),
            value: positions,
            least: 1,
            most: MOST,
        })?;
        let windowed = if local { Some(false) } else { windowed };
        if let Some(width) = width(fields, model, scaling, windowed) {
            let sectioned = scaling.is_some_and(|section| section.contains_key("mrope_section"));
            tables.push(RotaryTable { positions: scaled, width, sectioned, windowed, in_32_bits: false });
        }
    }
    // The index of sparse attention rotates halves, where latents rotate neighbours, unless the config says otherwise.
    let indexed = |layer: &Layer| matches!(layer.mixer, Mixer::Latent(latent) if latent.indexer.is_some());
    if model.layers.iter().any(indexed) && fields.flag("indexer_rope_interleave")? != Some(true) {
        tables.extend(tables.first().copied());
    }
    if let Some(width) = width(fields, model, None, Some(true)).filter(|_| local) {
        tables.push(RotaryTable { positions, width, sectioned: false, windowed: Some(true), in_32_bits: false });
    }
    Ok(tables)
}

/// Layers that compress have a table of their own, and only theirs is stretched (vLLM 0.33,
/// `models/deepseek_v4/common/rope.py`). transformers 5 writes the two sections that authors leave in one.
fn compressed(fields: &Fields<'_>, model: &Architecture, positions: u64) -> Result<Vec<RotaryTable>, ConfigError> {
    let sections = [fields.section("rope_scaling")?, fields.section("rope_parameters")?];
    let stated = sections.into_iter().flatten().next();
    let stretched = stated.map(|own| own.get("compress").and_then(Value::as_object).unwrap_or(own));
    let stretched = stretched.map_or(Some(positions), |section| scaled(section, positions)).filter(|&n| n <= MOST);
    let stretched = stretched.ok_or(ConfigError::OutOfRange {
        field: fields.path("rope_scaling.factor"),
        value: positions,
        least: 1,
        most: MOST,
    })?;
    let widths = |windowed: bool| {
        model.layers.iter().find_map(move |layer| match layer.mixer {
            Mixer::Compressed(own) => Some(own.rope_dim).filter(|_| own.compressor.is_none() == windowed),
            _ => None,
        })
    };
    let table = |positions, windowed| {
        let width = widths(windowed)?;
        Some(RotaryTable { positions, width, sectioned: false, windowed: Some(windowed), in_32_bits: true })
    };
    Ok([table(positions, true), table(stretched, false)].into_iter().flatten().collect())
}

/// A scaling with the kind of layers that it is for.
type Scaling<'a> = (Option<bool>, Option<&'a Map<String, Value>>);

/// The scalings of a model's distinct settings; `None` is plain.
fn scalings<'a>(fields: &Fields<'a>) -> Result<Vec<Scaling<'a>>, ConfigError> {
    let section = match fields.section("rope_scaling")? {
        Some(section) => Some(section),
        None => fields.section("rope_parameters")?,
    };
    let Some(section) = section else { return Ok(vec![(None, None)]) };
    // Newer configs have one section per kind of layer.
    let kind = |name: &str| match name {
        "sliding_attention" => Some(true),
        "full_attention" => Some(false),
        _ => None,
    };
    let nested = section.iter().filter_map(|(name, inner)| Some((kind(name), Some(inner.as_object()?))));
    let nested: Vec<Scaling<'a>> = nested.collect();
    Ok(if nested.is_empty() { vec![(None, Some(section))] } else { nested })
}

/// Ways of stretching positions that the engine knows (`layers/rotary_embedding/__init__.py` of 0.33); it refuses others.
const KINDS: [&str; 16] = [
    "default",
    "none",
    "linear",
    "ntk",
    "dynamic",
    "yarn",
    "deepseek_yarn",
    "deepseek_llama_scaling",
    "longrope",
    "su",
    "llama3",
    "mllama4",
    "mrope",
    "bailing_mrope",
    "proportional",
    "openpangu",
];

/// Whether positions are stretched in a way that the engine does not know.
pub(crate) fn is_of_unknown_kind(fields: &Fields<'_>) -> Result<bool, ConfigError> {
    let unknown = |section: &Map<String, Value>| {
        let kind = section.get("rope_type").or_else(|| section.get("type")).and_then(Value::as_str);
        kind.is_some_and(|kind| !KINDS.contains(&kind))
    };
    for name in ["rope_scaling", "rope_parameters"] {
        let Some(section) = fields.section(name)? else { continue };
        if unknown(section) || section.values().filter_map(Value::as_object).any(unknown) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Rows of a table under a scaling; `None` for a factor that makes no sense.
fn scaled(section: &Map<String, Value>, positions: u64) -> Option<u64> {
    let kind = section.get("rope_type").or_else(|| section.get("type")).and_then(Value::as_str).unwrap_or("default");
    let original = section.get("original_max_position_embeddings").and_then(Value::as_u64);
    let factor = section.get("factor").and_then(Value::as_f64).unwrap_or(1.0);
    let times = |n: u64| {
        #[expect(clippy::cast_precision_loss, reason = "lengths are below 2^31")]
        let rows = n as f64 * factor;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tested to be in range")]
        (rows.is_finite() && (1.0..1e15).contains(&rows)).then_some(rows as u64)
    };
    match kind {
        "linear" | "dynamic" => times(positions),
        "yarn" | "deepseek_yarn" => times(original.unwrap_or(positions)),
        // The short and the long table stand one after the other.
        "longrope" | "su" => original.unwrap_or(positions).checked_add(positions),
        _ => Some(positions),
    }
}

/// Whether any layer rotates.
fn rotates(fields: &Fields<'_>, model: &Architecture) -> Result<bool, ConfigError> {
    // Nemotron's and Jamba's hybrids attend without positions, Kimi's where its config says so.
    let plain = matches!(model.family.as_deref(), Some("nemotron_h" | "jamba" | "kimi_linear"))
        || fields.flag("mla_use_nope")? == Some(true)
        || fields.flag("alibi")? == Some(true);
    Ok(!plain)
}

/// The share of a head that a class rotates where the config does not say; `None` is all of it.
fn usual_share(family: &str, windowed: Option<bool>) -> Option<f64> {
    match family {
        "qwen3_next" | "qwen3_5_text" | "qwen3_5_moe_text" | "stablelm" | "gpt_neox" => Some(0.25),
        "bamba" | "glm" | "glm4" | "glm4_moe" | "glm4v_moe_text" | "nemotron" | "persimmon" | "phi" => Some(0.5),
        "mimo_v2_flash" => Some(0.334),
        "laguna" if windowed != Some(true) => Some(0.5),
        _ => None,
    }
}

/// The rotated width of a head in the layers that a table is for; `None` where there are none.
fn width(
    fields: &Fields<'_>,
    model: &Architecture,
    scaling: Option<&Map<String, Value>>,
    windowed: Option<bool>,
) -> Option<u64> {
    let of = |mixer: &Mixer| match mixer {
        Mixer::Attention(a) | Mixer::Parallel(a, _) => Some((a.head_dim, false, a.span != Span::Full)),
        Mixer::Latent(l) => Some((l.rope_dim, true, false)),
        // Its tables are read apart.
        Mixer::None | Mixer::Recurrent(_) | Mixer::Compressed(_) => None,
    };
    let mut layers = model.layers.iter().filter_map(|layer| of(&layer.mixer));
    let (width, latent, _) = layers.find(|(.., own)| windowed.is_none_or(|wanted| wanted == *own))?;
    if let Some(stated) = fields.value(&["rotary_dim"]).and_then(Value::as_u64).filter(|own| *own <= width) {
        return Some(stated);
    }
    let key = ["partial_rotary_factor", "rotary_pct"];
    let kind = scaling.and_then(|section| section.get("rope_type")).and_then(Value::as_str);
    let stated = scaling.and_then(|section| section.get(key[0])).or_else(|| fields.value(&key)).and_then(Value::as_f64);
    // A proportional table is as wide as the head; what is not rotated has angle zero.
    let share = stated.filter(|share| !latent && kind != Some("proportional") && (0.0..=1.0).contains(share));
    let usual = || if latent || stated.is_some() { None } else { usual_share(model.family.as_deref()?, windowed) };
    let Some(share) = share.or_else(usual) else { return Some(width) };
    #[expect(clippy::cast_precision_loss, reason = "a head's width is below 2^31")]
    let part = width as f64 * share;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not above the width")]
    Some(part as u64)
}
