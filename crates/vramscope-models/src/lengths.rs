//! The longest sequence, from all that configs have to say of it.
//!
//! The rules are those of vLLM, `config/model.py::_get_and_verify_max_len`, read off for 0.25 to 0.33 by building each
//! release's own configuration; other engines take the keys by themselves.

use serde_json::{Map, Value};
use vramscope_core::Lengths;

use crate::ConfigError;
use crate::fields::{Fields, MOST};

/// Keys that state a length; the smallest counts.
const KEYS: [&str; 9] = [
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "model_max_length",
    "max_target_positions",
    "max_sequence_length",
    "max_seq_length",
    "seq_len",
];
/// A key that stands above all others where it is there (Command R).
const ABOVE: &str = "model_max_length";
/// What is taken of EmbeddingGemma 2 unless somebody asks for more (`models/config.py`).
const OF_EMBEDDINGS: u64 = 8192;
/// What is in the place of a section for each kind of layer.
const KINDS: [&str; 2] = ["full_attention", "sliding_attention"];

/// The lengths; `None` where no key states one.
pub(crate) fn read(fields: &mut Fields<'_>, model_type: Option<&str>) -> Result<Option<Lengths>, ConfigError> {
    let mut smallest: Option<u64> = None;
    for key in KEYS {
        let stated = fields.positive(&[key])?;
        smallest = smallest.into_iter().chain(stated).min();
    }
    let above = fields.positive(&[ABOVE])?;
    let Some(stated) = above.or(smallest) else { return Ok(None) };
    let mut lengths =
        Lengths { stated, stretched: stated, stretched_but_for_yarn: stated, usual: None, accepted: above };
    if model_type.is_some_and(|name| name.starts_with("embedding_gemma2")) {
        lengths.usual = Some(lengths.stated.min(OF_EMBEDDINGS));
    }
    let section = match fields.section("rope_scaling")? {
        Some(section) => Some(section),
        None => fields.section("rope_parameters")?,
    };
    let Some(section) = section.filter(|_| !model_type.is_some_and(|name| name.contains("gemma3"))) else {
        return Ok(Some(lengths));
    };
    let nested: Vec<&Map<String, Value>> = KINDS.iter().filter_map(|kind| section.get(*kind)?.as_object()).collect();
    for rope in if nested.is_empty() { vec![section] } else { nested } {
        stretch(rope, fields, &mut lengths)?;
    }
    Ok(Some(lengths))
}

/// What one way of stretching positions makes of the lengths.
fn stretch(rope: &Map<String, Value>, fields: &Fields<'_>, lengths: &mut Lengths) -> Result<(), ConfigError> {
    let kind = ["rope_type", "type"].iter().find_map(|key| rope.get(*key)).and_then(Value::as_str).unwrap_or("default");
    let original = rope.get("original_max_position_embeddings").and_then(Value::as_u64);
    if matches!(kind, "su" | "longrope") {
        factors(rope, fields)?;
        // The older name is no longer taken for the newer one, which may have it outside.
        if kind == "su" && original.is_none() {
            return Err(fields.missing(&["rope_scaling.original_max_position_embeddings"]));
        }
        lengths.usual = fields.positive(&["original_max_position_embeddings"])?.or(lengths.usual);
        return Ok(());
    }
    let Some(told) = rope.get("factor").filter(|_| kind != "llama3") else { return Ok(()) };
    let Some(factor) = told.as_f64() else { return Ok(()) };
    let yarn = matches!(kind, "yarn" | "deepseek_yarn");
    let base = original.filter(|_| yarn).unwrap_or(lengths.stated);
    let most = "a factor above 0 with which positions stay below 2147483648";
    let times = times(base, factor).ok_or_else(|| fields.wrong("rope_scaling.factor", most, told))?;
    lengths.stretched = times;
    if !yarn {
        lengths.stretched_but_for_yarn = times;
    }
    Ok(())
}

/// LongRoPE has a factor for each pair of rotated elements; transformers refuses lists of another length.
fn factors(rope: &Map<String, Value>, fields: &Fields<'_>) -> Result<(), ConfigError> {
    let Some(heads) = fields.number(&["num_attention_heads"])?.filter(|heads| *heads > 0) else { return Ok(()) };
    let (Some(hidden), None) = (fields.number(&["hidden_size"])?, fields.number(&["qk_rope_head_dim"])?) else {
        return Ok(());
    };
    let head = fields.number(&["head_dim"])?.unwrap_or(hidden / heads);
    let outside = fields.value_anywhere(&["partial_rotary_factor"]);
    let share = rope.get("partial_rotary_factor").or(outside).and_then(Value::as_f64).unwrap_or(1.0);
    let Some(pairs) = times(head, share).map(|rotated| rotated / 2) else { return Ok(()) };
    for name in ["short_factor", "long_factor"] {
        let Some(list) = rope.get(name).and_then(Value::as_array) else { continue };
        if list.len() as u64 != pairs {
            let reason = format!("{} factors for {pairs} pairs of rotated elements", list.len());
            return Err(fields.contradiction(&format!("rope_scaling.{name}"), "head_dim", reason));
        }
    }
    Ok(())
}

/// `None` for a factor that makes no sense.
fn times(length: u64, factor: f64) -> Option<u64> {
    #[expect(clippy::cast_precision_loss, reason = "lengths are below 2^31")]
    let product = length as f64 * factor;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tested to be in range")]
    let whole = (product.is_finite() && (1.0..1e15).contains(&product)).then_some(product as u64);
    whole.filter(|&whole| whole <= MOST)
}
