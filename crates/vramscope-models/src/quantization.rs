//! The `quantization_config` section: what format the linear layers have, and which parts are kept plain.

use serde_json::{Map, Value};
use vramscope_core::{Quantization, WeightFormat};

use crate::fields::Fields;
use crate::ignore::{Ignored, MOST_EXPRESSIONS, MOST_PATTERNS};
use crate::{ConfigError, Note};

/// A checkpoint's quantization with the list of modules that it leaves alone.
pub(crate) struct Declared {
    pub(crate) quantization: Quantization,
    pub(crate) ignored: Ignored,
}

/// Reads the section; `None` where a config has none, or one that says that nothing is quantized.
pub(crate) fn read(section: &Map<String, Value>, notes: &mut Vec<Note>) -> Result<Option<Declared>, ConfigError> {
    let mut fields = Fields::new(section, None, "quantization_config.", &[]);
    let method = method(&fields)?.to_ascii_lowercase();
    let format = match method.as_str() {
        "none" => return Ok(None),
        "awq" | "awq_marlin" => packed(&fields, fields.flag("zero_point")?.unwrap_or(true), false)?,
        "gptq" | "gptq_marlin" => packed(&fields, true, fields.flag("desc_act")?.unwrap_or(false))?,
        "auto-round" | "auto_round" | "inc" => packed(&fields, !fields.flag("sym")?.unwrap_or(true), false)?,
        "fp8" | "deepseek_v4_fp8" => float8(&fields)?,
        "fbgemm_fp8" | "ptpc_fp8" => WeightFormat::Byte { per_channel: true, static_input_scale: false },
        "mxfp4" | "gpt_oss_mxfp4" => WeightFormat::Mxfp4,
        "bitsandbytes" => bitsandbytes(&fields)?,
        "modelopt" | "modelopt_fp4" | "modelopt_mixed" => modelopt(&fields)?,
        "compressed-tensors" | "compressed_tensors" => compressed_tensors(&fields)?,
        _ => WeightFormat::Unknown,
    };
    if format == WeightFormat::Unknown {
        fields.note("quant_method", format!("the size of weights stored by `{method}` is not known"));
    }
    let head = fields.flag("lm_head")?.unwrap_or(false);
    let declared = Declared {
        ignored: ignored(&fields)?,
        quantization: Quantization { method, format, head, kv_cache: kv_cache(&fields)? },
    };
    notes.extend(fields.into_notes());
    Ok(Some(declared))
}

fn method<'a>(fields: &Fields<'a>) -> Result<&'a str, ConfigError> {
    if let Some(method) = fields.text(&["quant_method"])? {
        return Ok(method);
    }
    if fields.has("quant_algo") || fields.has("quantization") {
        return Ok("modelopt");
    }
    Err(fields.missing(&["quant_method"]))
}

fn packed(fields: &Fields<'_>, zero_point: bool, group_index: bool) -> Result<WeightFormat, ConfigError> {
    let bits = fields.positive(&["bits", "w_bit"])?.unwrap_or(4);
    let bits = fields.bounded("bits", bits, 1, 8)?;
    Ok(WeightFormat::Packed { bits, group: group_size(fields)?, zero_point, group_index })
}

/// The group size; -1 means one group per column.
fn group_size(fields: &Fields<'_>) -> Result<Option<u64>, ConfigError> {
    if fields.value(&["group_size"]).and_then(Value::as_i64) == Some(-1) {
        return Ok(None);
    }
    fields.positive(&["group_size", "q_group_size"])
}

fn float8(fields: &Fields<'_>) -> Result<WeightFormat, ConfigError> {
    if let Some(block) = fields.list("weight_block_size")? {
        return blocks(fields, "weight_block_size", block);
    }
    let static_input_scale = fields.text(&["activation_scheme"])? == Some("static");
    Ok(WeightFormat::Byte { per_channel: false, static_input_scale })
}

fn blocks(fields: &Fields<'_>, name: &str, block: &[Value]) -> Result<WeightFormat, ConfigError> {
    let side = |value: &Value| value.as_u64().filter(|side| (1..=1 << 20).contains(side));
    match block {
        [rows, columns] => match (side(rows), side(columns)) {
            (Some(rows), Some(columns)) => Ok(WeightFormat::ByteBlocks { rows, columns }),
            _ => Err(fields.wrong(name, "two positive numbers", rows)),
        },
        _ => Err(fields.wrong(name, "two positive numbers", &Value::Array(block.to_vec()))),
    }
}

fn bitsandbytes(fields: &Fields<'_>) -> Result<WeightFormat, ConfigError> {
    if fields.flag("load_in_8bit")? == Some(true) {
        return Ok(WeightFormat::Byte { per_channel: true, static_input_scale: false });
    }
    let double_quantized = fields.flag("bnb_4bit_use_double_quant")?.unwrap_or(false);
    Ok(WeightFormat::Nf4 { double_quantized })
}

fn modelopt(fields: &Fields<'_>) -> Result<WeightFormat, ConfigError> {
    let nested = fields.section("quantization")?;
    let algorithm = match nested {
        Some(section) => Fields::new(section, None, "quantization_config.quantization.", &[]).text(&["quant_algo"])?,
        None => fields.text(&["quant_algo"])?,
    };
    Ok(match algorithm.map(str::to_ascii_uppercase).as_deref() {
        Some("NVFP4" | "FP4") => WeightFormat::Nvfp4,
        Some("FP8") => WeightFormat::Byte { per_channel: false, static_input_scale: true },
        Some("FP8_PER_CHANNEL_PER_TOKEN") => WeightFormat::Byte { per_channel: true, static_input_scale: false },
        Some("FP8_PB_WO") => WeightFormat::ByteBlocks { rows: 128, columns: 128 },
        Some("MXFP8") => WeightFormat::ByteBlocks { rows: 1, columns: 32 },
        _ => WeightFormat::Unknown,
    })
}

/// The first config group decides: mixed checkpoints name theirs by target, which only the tensor table resolves.
fn compressed_tensors(fields: &Fields<'_>) -> Result<WeightFormat, ConfigError> {
    let Some(groups) = fields.section("config_groups")? else { return Ok(WeightFormat::Unknown) };
    let Some(Value::Object(group)) = groups.values().next() else { return Ok(WeightFormat::Unknown) };
    let group = Fields::new(group, None, "quantization_config.config_groups.*.", &[]);
    let Some(weights) = group.section("weights")? else { return Ok(WeightFormat::Plain) };
    let weights = Fields::new(weights, None, "quantization_config.config_groups.*.weights.", &[]);
    let bits = weights.positive(&["num_bits"])?.unwrap_or(8);
    let bits = weights.bounded("num_bits", bits, 1, 16)?;
    let float = weights.text(&["type"])? == Some("float");
    let strategy = weights.text(&["strategy"])?;
    let static_input_scale = match group.section("input_activations")? {
        Some(inputs) => Fields::new(inputs, None, "", &[]).flag("dynamic").ok().flatten() == Some(false),
        None => false,
    };
    Ok(match (bits, float, strategy) {
        (4, true, _) if group_size(&weights)? == Some(32) => WeightFormat::Mxfp4,
        (4, true, _) => WeightFormat::Nvfp4,
        (8, _, Some("block")) => match weights.list("block_structure")? {
            Some(block) => blocks(&weights, "block_structure", block)?,
            None => WeightFormat::Unknown,
        },
        (8, _, Some("tensor")) => WeightFormat::Byte { per_channel: false, static_input_scale },
        (8, _, Some("channel") | None) => WeightFormat::Byte { per_channel: true, static_input_scale },
        (bits, false, _) => WeightFormat::Packed {
            bits,
            group: group_size(&weights)?,
            zero_point: weights.flag("symmetric")? == Some(false),
            group_index: weights.text(&["actorder"]).ok().flatten() == Some("group"),
        },
        _ => WeightFormat::Unknown,
    })
}

/// What the checkpoint wants the KV cache to be stored in.
fn kv_cache(fields: &Fields<'_>) -> Result<Option<String>, ConfigError> {
    if let Some(scheme) = fields.section("kv_cache_scheme")? {
        let bits = Fields::new(scheme, None, "quantization_config.kv_cache_scheme.", &[]).number(&["num_bits"])?;
        return Ok((bits == Some(8)).then(|| "fp8".to_owned()));
    }
    let algorithm = match fields.section("quantization")? {
        Some(section) => section.get("kv_cache_quant_algo").and_then(Value::as_str),
        None => fields.text(&["kv_cache_quant_algo"])?,
    };
    Ok(algorithm.map(str::to_ascii_lowercase).filter(|a| a == "fp8" || a == "nvfp4"))
}

fn ignored(fields: &Fields<'_>) -> Result<Ignored, ConfigError> {
    const NAMES: [&str; 6] = [
        "ignore",
        "ignored_layers",
        "modules_to_not_convert",
        "exclude_modules",
        "llm_int8_skip_modules",
        "modules_to_not_quantize",
    ];
    let mut patterns = Vec::new();
    for name in NAMES {
        for item in fields.list(name)?.into_iter().flatten() {
            patterns.push(item.as_str().ok_or_else(|| fields.wrong(name, "a list of names", item))?);
        }
    }
    if let Some(nested) = fields.section("quantization")?.and_then(|s| s.get("exclude_modules")?.as_array()) {
        patterns.extend(nested.iter().filter_map(Value::as_str));
    }
    let expressions = patterns.iter().filter(|pattern| pattern.starts_with("re:")).count();
    let (count, most) = match expressions {
        0..=MOST_EXPRESSIONS => (patterns.len(), MOST_PATTERNS),
        _ => (expressions, MOST_EXPRESSIONS),
    };
    fields.bounded("ignore", count as u64, 0, most as u64)?;
    Ok(Ignored::new(&patterns))
}
