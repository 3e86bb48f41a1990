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
/// The length that a family's class takes where its config states none: defaults of transformers 5.19, by model type.
/// Families whose class has no such key, as Mamba's, are not here.
const OF_CLASS: [(u64, &str); 15] = [
    (1024, "gpt2 gpt_bigcode biogpt"),
    (
        2048,
        "aria_text bitnet codegen dbrx deepseek_v2 diffllama dots1 exaone4 exaone_moe falcon gpt_neo gpt_neox gptj granite \
         granitemoe granitemoehybrid granitemoeshared hunyuan_v1_dense hunyuan_v1_moe llama mpt olmo olmo2 olmo3 opt phi",
    ),
    (
        4096,
        "arcee deepseek_v3 flex_olmo helium jetmoe kimi_k25 nemotron nemotron_h olmoe phi3 stablelm starcoder2 zamba2",
    ),
    (8192, "cohere cohere2 cohere2_moe falcon_h1 gemma gemma2 jais2"),
    (16_384, "afmoe persimmon"),
    (
        32_768,
        "gemma3n_text glm4v_text minicpm3 qwen2 qwen2_5_vl_text qwen2_moe qwen2_vl_text qwen3 qwen3_5_moe_text qwen3_5_text \
         qwen3_moe qwen3_next smollm3",
    ),
    (65_536, "apertus glm4v_moe_text olmo_hybrid"),
    (128_000, "lfm2 lfm2_moe qwen3_vl_moe_text qwen3_vl_text step3p5"),
    (
        131_072,
        "cwm ernie4_5 ernie4_5_moe gemma3_text gemma4_text glm glm4 glm4_moe gpt_oss hy_v3 laguna llama4_text longcat_flash \
         mimo_v2_flash minimax ministral mistral mixtral phimoe solar_open",
    ),
    (163_840, "deepseek_v32"),
    (196_608, "minimax_m2"),
    (202_752, "glm4_moe_lite glm_moe_dsa"),
    (262_144, "bamba jamba ministral3"),
    (524_288, "seed_oss"),
    (1_048_576, "deepseek_v4 kimi_linear mistral4"),
];
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
    let by_class = || fields.default_of(KEYS[0]).or_else(|| of_class(model_type?));
    let Some(stated) = above.or(smallest).or_else(by_class) else { return Ok(None) };
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

/// The length of a class by the model type.
fn of_class(model_type: &str) -> Option<u64> {
    OF_CLASS.iter().find(|(_, types)| types.split(' ').any(|own| own == model_type)).map(|(length, _)| *length)
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
