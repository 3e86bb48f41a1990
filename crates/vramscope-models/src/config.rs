//! Reads a model's `config.json`.

use serde_json::{Map, Value};
use vramscope_core::{Architecture, ElementType, QkNorm};

use crate::family::{self, Family};
use crate::fields::{Fields, shortened};
use crate::ignore::Ignored;
use crate::{ConfigError, JsonError, Note, layers, lengths, quantization, rotary, tower};

/// The largest config that is read. Real ones have a few kilobytes; those with long lists of ignored modules a few
/// hundred.
pub const MOST_CONFIG_BYTES: usize = 8 << 20;

/// Sections that hold the language model of a multimodal one, in order of preference.
const TEXT_SECTIONS: [&str; 4] = ["text_config", "llm_config", "language_config", "thinker_config"];

/// Reads a model's `config.json` as Hugging Face repositories have it.
///
/// A multimodal model's language part is read from its own section. A family that is not known is read by the general
/// rules, and a note says so.
///
/// ```
/// let json = br#"{"model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
///     "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "torch_dtype": "bfloat16"}"#;
/// let (model, notes) = vramscope_models::read_config(json).unwrap();
/// assert_eq!(model.layers.len(), 32);
/// assert!(notes.is_empty());
/// ```
///
/// # Errors
/// [`ConfigError`] names the field, what was expected and what was found. Nesting deeper than 128 levels and texts
/// above [`MOST_CONFIG_BYTES`] are refused.
pub fn read_config(json: &[u8]) -> Result<(Architecture, Vec<Note>), ConfigError> {
    read_root(&parse(json)?)
}

/// The text as an object.
pub(crate) fn parse(json: &[u8]) -> Result<Map<String, Value>, ConfigError> {
    if json.len() > MOST_CONFIG_BYTES {
        return Err(ConfigError::TooLarge { bytes: json.len(), limit: MOST_CONFIG_BYTES });
    }
    let value: Value = serde_json::from_slice(json).map_err(|error| ConfigError::Syntax {
        line: error.line(),
        column: error.column(),
        source: JsonError(error.to_string()),
    })?;
    match value {
        Value::Object(root) => Ok(root),
        other => Err(ConfigError::NotAnObject { field: String::new(), found: shortened(&other) }),
    }
}

/// The section with the language model's fields, and its prefix in messages.
pub(crate) fn text_section(root: &Map<String, Value>) -> Option<(&'static str, &Map<String, Value>)> {
    let found = TEXT_SECTIONS.iter().find_map(|name| Some((*name, root.get(*name)?.as_object()?)));
    match found {
        Some(("thinker_config", section)) => text_section(section).or(Some(("thinker_config", section))),
        found => found,
    }
}

/// Reads the object.
pub(crate) fn read_root(root: &Map<String, Value>) -> Result<(Architecture, Vec<Note>), ConfigError> {
    let outer = Fields::new(root, None, "", &[]);
    let (prefix, own) = match text_section(root) {
        Some((name, own)) => (prefix_of(name), own),
        None => ("", root),
    };
    let probe = Fields::new(own, Some(root), prefix, &[]);
    let model_type = match probe.text(&["model_type"])? {
        Some(name) => Some(name),
        None => outer.text(&["model_type"])?,
    };
    let known = model_type.and_then(family::find);
    let family = known.unwrap_or(&family::GENERAL);
    let mut fields = Fields::new(own, Some(root), prefix, family.defaults);
    if known.is_none() {
        let name = model_type.unwrap_or("no model_type");
        fields.note("model_type", format!("`{name}` is not a known family; the general rules for decoders are used"));
    }
    let mut notes = Vec::new();
    let declared = match fields.section("quantization_config")? {
        Some(section) => quantization::read(section, &mut notes)?,
        None => None,
    };
    let (quantization, ignored) = match declared {
        Some(declared) => (Some(declared.quantization), declared.ignored),
        None => (None, Ignored::default()),
    };
    let hidden = fields.required(&["hidden_size", "n_embd", "d_model", "dim"])?;
    let layers = layers::read(&mut fields, family, hidden, &ignored)?;
    let mut model = Architecture {
        class: outer.list("architectures")?.and_then(|l| l.first()?.as_str()).map(str::to_owned),
        family: model_type.map(str::to_owned),
        known_family: known.is_some(),
        dtype: dtype(&mut fields)?,
        hidden_size: hidden,
        vocab_size: fields.required(&["vocab_size", "padded_vocab_size"])?,
        tied_head: tied(&fields, family)?,
        head_bias: model_type == Some("phi"),
        norm_parameters: family.outer_norm_vectors * hidden,
        learned_positions: learned_positions(&fields, model_type)?,
        max_positions: max_positions(&mut fields)?,
        lengths: lengths::read(&mut fields, model_type)?,
        layers,
        residual: family.residual,
        holds_first_product: family.holds_first_product,
        scaled_embedding: family.scaled_embedding,
        rotary: Vec::new(),
        quantization,
        recurrent_state: fields.text(&["mamba_ssm_cache_dtype"])?.and_then(element_type),
        tower: tower::read(&fields, root, hidden)?,
        stored_bytes: None,
        draft_layers: fields.number(&["num_nextn_predict_layers", "mtp_num_hidden_layers"])?.unwrap_or(0),
    };
    model.rotary = rotary::read(&fields, &model)?;
    if model.layers.iter().any(|l| l.norm_parameters > 0) && family.qk_norm == QkNorm::None && known.is_none() {
        fields.note("model_type", "biases and norms of queries and keys are taken as in Llama");
    }
    notes.splice(0..0, fields.into_notes());
    Ok((model, notes))
}

fn prefix_of(section: &str) -> &'static str {
    match section {
        "llm_config" => "llm_config.",
        "language_config" => "language_config.",
        "thinker_config" => "thinker_config.",
        _ => "text_config.",
    }
}

fn dtype(fields: &mut Fields<'_>) -> Result<Option<ElementType>, ConfigError> {
    let Some(value) = fields.value_anywhere(&["dtype", "torch_dtype"]) else { return Ok(None) };
    let name = value.as_str().ok_or_else(|| fields.wrong("dtype", "text", value))?;
    let found = element_type(name);
    if found.is_none() {
        fields.note("dtype", format!("`{name}` is not a known element type"));
    }
    Ok(found)
}

/// The element type with this name in configs and engine arguments.
pub(crate) fn element_type(name: &str) -> Option<ElementType> {
    Some(match name.strip_prefix("torch.").unwrap_or(name) {
        "float32" | "float" => ElementType::F32,
        "float16" | "half" => ElementType::F16,
        "bfloat16" => ElementType::Bf16,
        "float8_e4m3fn" | "float8_e5m2" | "fp8" => ElementType::F8,
        _ => return None,
    })
}

fn tied(fields: &Fields<'_>, family: &Family) -> Result<bool, ConfigError> {
    let Some(value) = fields.value_anywhere(&["tie_word_embeddings"]) else { return Ok(family.tied) };
    value.as_bool().ok_or_else(|| fields.wrong("tie_word_embeddings", "true or false", value))
}

fn max_positions(fields: &mut Fields<'_>) -> Result<Option<u64>, ConfigError> {
    const NAMES: [&str; 5] =
        ["max_position_embeddings", "n_positions", "max_sequence_length", "seq_length", "max_seq_len"];
    match fields.positive(&NAMES[..1])? {
        Some(positions) => Ok(Some(positions)),
        None => Ok(fields.positive(&NAMES[1..])?.or_else(|| fields.default_of(NAMES[0]))),
    }
}

fn learned_positions(fields: &Fields<'_>, model_type: Option<&str>) -> Result<u64, ConfigError> {
    let positions = fields.positive(&["n_positions", "max_position_embeddings"]).ok().flatten().unwrap_or(0);
    Ok(match model_type {
        Some("gpt2" | "gpt_bigcode") => positions,
        // OPT has two rows more than positions.
        Some("opt") => positions + 2,
        _ => 0,
    })
}

#[cfg(test)]
mod tests {
    use vramscope_core::Mixer;

    use super::*;

    #[test]
    fn a_list_of_ones_and_zeros_tells_full_from_linear_attention() {
        let config = br#"{"model_type": "minimax_text_01", "hidden_size": 64, "intermediate_size": 64,
            "num_hidden_layers": 3, "num_attention_heads": 2, "head_dim": 32, "vocab_size": 64, "attn_type_list": [0, 1, 0]}"#;
        let (model, notes) = read_config(config).unwrap();
        let linear: Vec<bool> = model.layers.iter().map(|layer| matches!(layer.mixer, Mixer::Recurrent(_))).collect();
        assert_eq!((linear, model.known_family, notes.len()), (vec![true, false, true], true, 0));
    }

    #[test]
    fn a_text_above_the_limit_is_refused_before_it_is_read() {
        let text = vec![b' '; MOST_CONFIG_BYTES + 1];
        assert!(matches!(read_config(&text), Err(ConfigError::TooLarge { .. })));
    }
}
