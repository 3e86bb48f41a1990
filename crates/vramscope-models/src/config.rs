//! Reads a model's `config.json`.

use std::borrow::Cow;

use serde_json::{Map, Value};
use vramscope_core::{Architecture, ElementType, Layer, QkNorm};

use crate::defaults::Defaults;
use crate::family::{self, Family};
use crate::fields::{Fields, HUGE, shortened};
use crate::stored::StorageRules;
use crate::{ConfigError, JsonError, Note, feed_forward, layers, lengths, quantization, rotary, saved, tower, unread};

/// The largest config that is read. Real ones have a few kilobytes; those with long lists of ignored modules a few
/// hundred.
pub const MOST_CONFIG_BYTES: usize = 8 << 20;

/// The file beside a `config.json` in which ModelOpt's checkpoints state their quantization.
pub const QUANTIZATION_FILE: &str = "hf_quant_config.json";

/// The type of a recurrent layer's state.
const STATE_TYPE: [&str; 2] = ["mamba_ssm_cache_dtype", "mamba_ssm_dtype"];

/// Sections that hold the language model of a multimodal one, in order of preference.
const TEXT_SECTIONS: [&str; 4] = ["text_config", "llm_config", "language_config", "thinker_config"];

/// Reads a model's `config.json` as Hugging Face repositories have it.
///
/// A multimodal model's language part is read from its own section. A family that is not known is read by the general
/// rules, and a note says so.
///
/// ```
/// let json = br#"{"model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
///     "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 8192,
///     "torch_dtype": "bfloat16"}"#;
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
    // Few configs have words for numbers; those are looked for where a text is refused.
    let read = serde_json::from_slice(json).or_else(|_| serde_json::from_slice(&without_words_for_numbers(json)));
    let value: Value = read.map_err(|error| ConfigError::Syntax {
        line: error.line(),
        column: error.column(),
        source: JsonError::of(&error, json),
    })?;
    match value {
        Value::Object(root) => Ok(root),
        other => Err(ConfigError::NotAnObject { field: String::new(), found: shortened(&other) }),
    }
}

/// Python writes `Infinity`, `-Infinity` and `NaN`, which are no JSON: in their place stand numbers that are no width, no
/// count and no length, so that whoever reads one as such refuses it.
fn without_words_for_numbers(json: &[u8]) -> Cow<'_, [u8]> {
    const WORDS: [(&[u8], &[u8]); 3] = [(b"-Infinity", b"-1e300"), (b"Infinity", HUGE.as_bytes()), (b"NaN", b"-1")];
    let mut plain = Cow::Borrowed(json);
    let (mut at, mut in_text) = (0, false);
    while let Some(&byte) = json.get(at) {
        match byte {
            b'"' => in_text = !in_text,
            b'\\' if in_text => at += 1,
            b'-' | b'I' | b'N' if !in_text => {
                if let Some((word, instead)) = WORDS.iter().find(|(word, _)| json[at..].starts_with(word)) {
                    let place = &mut plain.to_mut()[at..at + word.len()];
                    place.fill(b' ');
                    place[..instead.len()].copy_from_slice(instead);
                    at += word.len() - 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    plain
}

/// One config of a `config.json` and the [`QUANTIZATION_FILE`] beside it. A config that states its own quantization keeps
/// it, as engines do.
///
/// # Errors
/// As [`read_config`], for either text.
pub fn with_quantization(config: &[u8], beside: &[u8]) -> Result<Vec<u8>, ConfigError> {
    let mut root = parse(config)?;
    let has_own = |section: &Map<String, Value>| section.get("quantization_config").is_some_and(|own| !own.is_null());
    if has_own(&root) || text_section(&root).is_some_and(|(_, own)| has_own(own)) {
        return Ok(config.to_vec());
    }
    root.insert("quantization_config".to_owned(), Value::Object(parse(beside)?));
    Ok(Value::Object(root).to_string().into_bytes())
}

/// A config with other fields in place of its own, as `--hf-overrides` gives them: one that is a section in both keeps its
/// further fields, any other is replaced.
///
/// # Errors
/// As [`read_config`], for either text.
pub fn with_overrides(config: &[u8], fields: &[u8]) -> Result<Vec<u8>, ConfigError> {
    let mut root = parse(config)?;
    override_in(&mut root, parse(fields)?);
    Ok(Value::Object(root).to_string().into_bytes())
}

fn override_in(section: &mut Map<String, Value>, fields: Map<String, Value>) {
    for (name, value) in fields {
        let is_section = name.ends_with("_config") && name != "quantization_config";
        match (section.get_mut(&name), value) {
            (Some(Value::Object(own)), Value::Object(fields)) if is_section => override_in(own, fields),
            (_, value) => drop(section.insert(name, value)),
        }
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

/// Whether a class gives out vectors or grades, and no text.
fn pools(class: &str) -> bool {
    const ENDS: [&str; 7] = [
        "Model",
        "ForSequenceClassification",
        "ForTokenClassification",
        "ForMaskedLM",
        "RewardModel",
        "ForRetrieval",
        "ForEmbedding",
    ];
    /// Ends and names of classes that write text all the same.
    const WRITE: [&str; 7] =
        ["LMHeadModel", "ChatModel", "ChatGLMModel", "UltravoxModel", "MiDashengLMModel", "AudioModel", "OmniModel"];
    let any = |ends: &[&str]| ends.iter().any(|end| class.ends_with(end));
    any(&ENDS) && !any(&WRITE)
}

/// A key that decides what is not known here: one that a config leaves out and of which releases disagree what its class
/// then takes, or the kind of the model itself.
fn left_open(fields: &Fields<'_>, model_type: Option<&str>) -> Result<Option<&'static str>, ConfigError> {
    const SHARE: &str = "partial_rotary_factor";
    Ok(match model_type {
        Some("nemotron") if !fields.has("num_key_value_heads") => Some("num_key_value_heads"),
        // 0.25 rotates all of a head, 0.33 half.
        Some("laguna") if !fields.has(SHARE) => {
            let rope = fields.section("rope_parameters")?;
            let states = |section: &Map<String, Value>| {
                let inner = section.values().filter_map(Value::as_object).any(|kind| kind.contains_key(SHARE));
                inner || section.contains_key(SHARE)
            };
            (!rope.is_some_and(states)).then_some(SHARE)
        }
        // Engines have transformers' class of it, of which ranks split attention and not the rest.
        Some("gpt_bigcode") => Some("model_type"),
        _ => None,
    })
}

/// Rows of the table of the layers' own inputs.
fn own_input_vocab(fields: &mut Fields<'_>, layers: &[Layer]) -> Result<u64, ConfigError> {
    let stated = fields.number(&["vocab_size_per_layer_input"])?;
    match layers.iter().any(|layer| layer.own_input > 0) {
        true => stated.map_or_else(|| fields.required(&["vocab_size"]), Ok),
        false => Ok(0),
    }
}

/// Reads the object of a file, in which the model's class takes values of its own for what is left out.
pub(crate) fn read_root(root: &Map<String, Value>) -> Result<(Architecture, Vec<Note>), ConfigError> {
    read_with(root, Defaults::of)
}

/// Reads a shape: fields that state all that there is, so that what is left out is not there.
pub(crate) fn read_shape(root: &Map<String, Value>) -> Result<(Architecture, Vec<Note>), ConfigError> {
    read_with(root, |_, _| Defaults::default())
}

/// What a model type's class has for the top of a file, or for a section.
type OfClass = fn(Option<&str>, bool) -> Defaults;

fn read_with(root: &Map<String, Value>, of_class: OfClass) -> Result<(Architecture, Vec<Note>), ConfigError> {
    let (root, section) = (saved::as_published(root, root), text_section(root));
    let section = section.map(|(name, own)| (name, saved::as_published(own, &root)));
    match &section {
        Some((name, own)) => read_section(&root, prefix_of(name), own, of_class),
        None => read_section(&root, "", &root, of_class),
    }
}

/// Reads the object by its section of the language model, which may be the object itself.
fn read_section(
    root: &Map<String, Value>,
    prefix: &'static str,
    own: &Map<String, Value>,
    of_class: OfClass,
) -> Result<(Architecture, Vec<Note>), ConfigError> {
    let outer = Fields::new(root, None, "", Defaults::NONE);
    let probe = Fields::new(own, Some(root), prefix, Defaults::NONE);
    let is_top = std::ptr::eq(own, root);
    let model_type = match probe.text(&["model_type"])? {
        Some(name) => Some(name),
        None => outer.text(&["model_type"])?,
    };
    let known = model_type.and_then(family::find);
    let family = known.unwrap_or(&family::GENERAL);
    let defaults = of_class(model_type, is_top);
    let mut fields = Fields::new(own, Some(root), prefix, &defaults);
    if known.is_none() {
        let name = model_type.unwrap_or("no model_type");
        fields.note("model_type", format!("`{name}` is not a known family; the general rules for decoders are used"));
    }
    let mut notes = Vec::new();
    let section = match fields.section("quantization_config")? {
        Some(section) => Some(section),
        // The name of compressed-tensors' first releases, which engines still heed.
        None => fields.section("compression_config")?,
    };
    let declared = match section {
        Some(section) => {
            let deepseek_v4 = model_type == Some("deepseek_v4");
            let class = quantization::Class {
                experts_apart: fields.flag("enable_moe_block")? == Some(true),
                deepseek_v4,
                expert_dtype: if deepseek_v4 { fields.text(&["expert_dtype"])? } else { None },
            };
            quantization::read(section, class, &mut notes)?
        }
        None => None,
    };
    let (quantization, rules, mut unread) = match declared {
        Some(declared) => (Some(declared.quantization), declared.rules, declared.unread),
        None => (None, StorageRules::default(), Vec::new()),
    };
    let hidden = fields.required(&["hidden_size", "n_embd", "d_model", "dim"])?;
    let layers = layers::read(&mut fields, family, hidden, &rules)?;
    let mut model = Architecture {
        class: outer.list("architectures")?.and_then(|l| l.first()?.as_str()).map(str::to_owned),
        family: model_type.map(str::to_owned),
        known_family: known.is_some(),
        dtype: dtype(&mut fields)?,
        hidden_size: hidden,
        vocab_size: fields.required(&["vocab_size", "padded_vocab_size"])?,
        own_input_vocab: own_input_vocab(&mut fields, &layers)?,
        tied_head: tied(&fields, family)?,
        head_bias: matches!(model_type, Some("phi" | "gptj")),
        norm_parameters: family.outer_norm_vectors * hidden,
        learned_positions: learned_positions(&fields, model_type)?,
        max_positions: max_positions(&mut fields)?,
        lengths: lengths::read(&mut fields, model_type)?,
        layers,
        residual: family.residual,
        holds_first_product: family.holds_first_product,
        scaled_embedding: family.scaled_embedding,
        ends: model_type.map(family::pipeline_ends).unwrap_or_default(),
        rotary: Vec::new(),
        quantization,
        recurrent_state: match fields.text(&STATE_TYPE)? {
            Some(name) => element_type(name),
            // The engine's own default for this class (`models/config.py`).
            None => (model_type == Some("nemotron_h")).then_some(ElementType::F32),
        },
        tower: tower::read(&fields, root, hidden, &mut unread)?,
        stored_bytes: None,
        draft_layers: fields.number(&["num_nextn_predict_layers", "mtp_num_hidden_layers"])?.unwrap_or(0),
        unread,
    };
    model.rotary = rotary::read(&fields, &model)?;
    unread::collect(&fields, own, prefix, &mut model.unread);
    model.unread.extend(fields.left_open().into_iter().map(|key| fields.path(key)));
    if !is_top {
        unread::collect(&fields, root, "", &mut model.unread);
        // A section that is absent is made by the class.
        let defaults = of_class(outer.text(&["model_type"])?, true);
        model.unread.extend(defaults.left_open(root).into_iter().map(str::to_owned));
        if !root.contains_key("tie_word_embeddings") && head_is_open(&defaults, model.tied_head) {
            model.unread.push("tie_word_embeddings".to_owned());
        }
    }
    // What stands in place of the head was not looked at, nor what the engine then does not do.
    if model.class.as_deref().is_some_and(pools) {
        model.unread.push("architectures".to_owned());
    }
    let stated = fields.value_anywhere(&["dtype", "torch_dtype"]).and_then(Value::as_str);
    let computes = |name| matches!(element_type(name), Some(ElementType::F32 | ElementType::F16 | ElementType::Bf16));
    if stated.is_some_and(|name| name != "auto" && !computes(name)) {
        model.unread.push("dtype".to_owned());
    }
    if rotary::is_of_unknown_kind(&fields)? {
        model.unread.push("rope_type".to_owned());
    }
    // Classes of transformers 5 refuse these where they are null and the class has a value of its own.
    const NO_NULL: [&str; 3] = ["num_key_value_heads", "max_position_embeddings", "tie_word_embeddings"];
    let null = |key: &&str| own.get(*key).is_some_and(Value::is_null) && fields.own_of_class(key).is_some();
    model.unread.extend(NO_NULL.iter().filter(|key| null(key)).map(|key| fields.path(key)));
    if let Some(key) = feed_forward::unlike_its_class(&fields, model_type, hidden)? {
        model.unread.push(key.to_owned());
    }
    if fields.text(&STATE_TYPE)?.is_some_and(|name| element_type(name).is_none()) {
        model.unread.push(STATE_TYPE[0].to_owned());
    }
    if let Some(key) = left_open(&fields, model_type)? {
        model.unread.push(key.to_owned());
    }
    // Which of the matrices around own inputs a method stores in its format was not looked at.
    if model.own_inputs() > 0 && model.quantization.is_some() {
        model.unread.push("hidden_size_per_layer_input".to_owned());
    }
    if model.tower.is_some_and(|tower| tower.parameters == 0) {
        model.unread.push("vision_config".to_owned());
    }
    if !model.unread.is_empty() {
        let names = model.unread.iter().take(8).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let more = model.unread.len().saturating_sub(8);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        fields.note("config", format!("not understood, so every figure is an estimate: {names}{more}"));
    }
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

/// Whether the class above a section disagrees with it on the head: where a file says nothing at its top, engines follow
/// the one or the other.
fn head_is_open(above: &Defaults, tied: bool) -> bool {
    above.get(&["tie_word_embeddings"]).and_then(|(_, value)| value.as_bool()).is_some_and(|of_class| of_class != tied)
}

fn tied(fields: &Fields<'_>, family: &Family) -> Result<bool, ConfigError> {
    // The outer section decides where both state it.
    let Some(value) = fields.value_above(&["tie_word_embeddings", "tie_embedding"]) else { return Ok(family.tied) };
    value.as_bool().ok_or_else(|| fields.wrong("tie_word_embeddings", "true or false", value))
}

fn max_positions(fields: &mut Fields<'_>) -> Result<Option<u64>, ConfigError> {
    const NAMES: [&str; 5] =
        ["max_position_embeddings", "n_positions", "max_sequence_length", "seq_length", "max_seq_len"];
    match fields.positive(&NAMES[..1])? {
        Some(positions) => Ok(Some(positions)),
        None => fields.positive(&NAMES[1..]),
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
    fn pythons_words_for_numbers_are_read_over_and_text_is_left_alone() {
        let json = br#"{"a": [0.0, Infinity], "b": -Infinity, "c": NaN, "Infinity": "say \"NaN\" and Infinity"}"#;
        let root = parse(json).unwrap();
        assert_eq!(root["a"], serde_json::json!([0.0, 1e300]));
        assert_eq!((&root["b"], &root["c"]), (&Value::from(-1e300), &Value::from(-1)));
        assert_eq!(root["Infinity"], "say \"NaN\" and Infinity");
        assert!(matches!(parse(br#"{"a": Infinit}"#), Err(ConfigError::Syntax { line: 1, .. })));
        for (word, shown) in [("Infinity", "Infinity"), ("NaN", "-1")] {
            let refused = read_config(format!(r#"{{"model_type": "llama", "hidden_size": {word}}}"#).as_bytes());
            assert!(matches!(refused, Err(ConfigError::WrongType { found, .. }) if found == shown), "{word}");
        }
    }

    #[test]
    fn the_quantization_beside_a_config_counts_unless_it_states_its_own() {
        let beside = br#"{"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8", "exclude_modules": []}}"#;
        let config = br#"{"model_type": "llama", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1,
            "num_attention_heads": 1, "vocab_size": 64}"#;
        let (model, _) = read_config(&with_quantization(config, beside).unwrap()).unwrap();
        let quantization = model.quantization.unwrap();
        assert_eq!((quantization.method.as_str(), quantization.kv_cache.as_deref()), ("modelopt", Some("fp8")));
        let own = br#"{"quantization_config": {"quant_method": "awq"}}"#;
        assert_eq!(with_quantization(own, beside).unwrap(), own);
    }

    #[test]
    fn overrides_replace_fields_and_go_into_sections() {
        let config = br#"{"rope_scaling": {"factor": 2.0, "rope_type": "linear"}, "text_config": {"a": 1, "b": 2}}"#;
        let fields = br#"{"rope_scaling": {"rope_type": "yarn"}, "text_config": {"b": 3}, "c": 4}"#;
        let root = parse(&with_overrides(config, fields).unwrap()).unwrap();
        let expected =
            serde_json::json!({"rope_scaling": {"rope_type": "yarn"}, "text_config": {"a": 1, "b": 3}, "c": 4});
        assert_eq!(Value::Object(root), expected);
        assert!(with_overrides(config, b"[]").is_err());
    }

    #[test]
    fn a_text_above_the_limit_is_refused_before_it_is_read() {
        let text = vec![b' '; MOST_CONFIG_BYTES + 1];
        assert!(matches!(read_config(&text), Err(ConfigError::TooLarge { .. })));
    }
}
