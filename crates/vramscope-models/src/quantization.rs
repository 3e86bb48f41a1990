//! The `quantization_config` section: what format the linear layers have, and which parts are kept plain.

use serde_json::{Map, Value};
use vramscope_core::{Matrix, Quantization, StoredAs, WeightFormat};

use crate::defaults::Defaults;
use crate::fields::Fields;
use crate::stored::{MOST_EXPRESSIONS, MOST_PATTERNS, StorageRules, is_whole};
use crate::{ConfigError, Note, unread};

/// A checkpoint's quantization, and which matrices it stores otherwise.
pub(crate) struct Declared {
    pub(crate) quantization: Quantization,
    pub(crate) rules: StorageRules,
    /// Keys of the section that are not understood, or whose value is none that engines are known to serve.
    pub(crate) unread: Vec<String>,
}

/// What of a model's class decides how a section is read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Class<'a> {
    /// Experts stand beside a dense part.
    pub(crate) experts_apart: bool,
    /// DeepSeek V4's class, which has a method of its own for what is called `fp8`.
    pub(crate) deepseek_v4: bool,
    /// What the model's config says of its experts.
    pub(crate) expert_dtype: Option<&'a str>,
}

/// The head's name.
const HEAD: &str = "lm_head";

/// Keys that shape no weights: how scales were found, which program wrote them, how kernels are chosen.
const WITHOUT_EFFECT: [&str; 36] = [
    "sym",
    "true_sequential",
    "static_groups",
    "damp_percent",
    "damp_auto_increment",
    "meta",
    "producer",
    "kv_cache_scheme",
    "model_name_or_path",
    "tokenizer",
    "dataset",
    "nsamples",
    "seqlen",
    "model_seqlen",
    "batch_size",
    "iters",
    "lr",
    "minmax_lr",
    "gradient_accumulate_steps",
    "scale_dtype",
    "enable_minmax_tuning",
    "enable_quanted_input",
    "enable_norm_bias_tuning",
    "low_gpu_mem_usage",
    "low_cpu_mem_usage",
    "use_exllama",
    "exllama_config",
    "max_input_length",
    "cache_block_outputs",
    "load_in_4bit",
    "_load_in_4bit",
    "bnb_4bit_compute_dtype",
    "bnb_4bit_quant_storage",
    "bnb_4bit_quant_type",
    "llm_int8_threshold",
    "global_compression_ratio",
];

/// The formats of a checkpoint: the usual one, and those that entries name.
struct Formats {
    usual: WeightFormat,
    others: Vec<WeightFormat>,
    rules: StorageRules,
    head: StoredAs,
    unread: Vec<String>,
}

impl Formats {
    /// One format for all, but for what a list leaves alone.
    fn one(usual: WeightFormat) -> Self {
        Self { usual, others: Vec::new(), rules: StorageRules::default(), head: StoredAs::Plain, unread: Vec::new() }
    }

    /// States the format of what an entry names.
    fn name(&mut self, name: &str, format: StoredAs) {
        if name == HEAD || name.strip_suffix(HEAD).is_some_and(|before| before.ends_with('.')) {
            self.head = format;
        } else {
            self.rules.add(name, format);
        }
    }

    /// The place of a further format; as the usual one past the number that a layer can name.
    fn place(&mut self, format: WeightFormat) -> StoredAs {
        if format == WeightFormat::Plain {
            return StoredAs::Plain;
        }
        let known = self.others.iter().position(|other| *other == format).unwrap_or_else(|| {
            self.others.push(format);
            self.others.len() - 1
        });
        u8::try_from(known).map_or(StoredAs::Usual, StoredAs::Other)
    }
}

/// Reads the section; `None` where a config has none, or one that says that nothing is quantized.
///
pub(crate) fn read(
    section: &Map<String, Value>,
    class: Class<'_>,
    notes: &mut Vec<Note>,
) -> Result<Option<Declared>, ConfigError> {
    let mut fields = Fields::new(section, None, "quantization_config.", Defaults::NONE);
    let Some(method) = method(&fields)? else {
        fields.note("quant_method", "absent, so the engine takes the checkpoint for one that is not quantized");
        notes.extend(fields.into_notes());
        return Ok(None);
    };
    let method = method.to_ascii_lowercase();
    let ignored = ignored(&fields, &method)?;
    // These compare whole names (`is_layer_skipped`, `should_ignore_layer` of vLLM 0.33): a part of one leaves nothing alone.
    let by_whole_names =
        matches!(method.as_str(), "fp8" | "fbgemm_fp8" | "mxfp4" | "compressed-tensors" | "compressed_tensors")
            && !class.deepseek_v4;
    let heeded: Vec<&str> = ignored
        .iter()
        .copied()
        .filter(|pattern| !by_whole_names || pattern.starts_with("re:") || is_whole(pattern))
        .collect();
    let mut formats = match method.as_str() {
        "none" => return Ok(None),
        "awq" | "awq_marlin" => Formats::one(packed(&fields, fields.flag("zero_point")?.unwrap_or(true), false)?),
        "gptq" | "gptq_marlin" => gptq(&fields)?,
        "auto-round" | "auto_round" | "inc" => {
            Formats::one(packed(&fields, !fields.flag("sym")?.unwrap_or(true), false)?)
        }
        "fp8" | "deepseek_v4_fp8" if class.deepseek_v4 => deepseek_v4(&fields, class.expert_dtype)?,
        "fp8" | "deepseek_v4_fp8" => Formats::one(float8(&fields)?),
        "fbgemm_fp8" | "ptpc_fp8" => Formats::one(WeightFormat::Byte { per_channel: true, static_input_scale: false }),
        "mxfp4" | "gpt_oss_mxfp4" => experts_only(WeightFormat::Mxfp4),
        "bitsandbytes" => Formats::one(bitsandbytes(&fields)?),
        "modelopt" | "modelopt_fp4" | "modelopt_mixed" => modelopt(&fields)?,
        "compressed-tensors" | "compressed_tensors" => compressed_tensors(&fields, &heeded)?,
        _ => Formats::one(WeightFormat::Unknown),
    };
    heeded.iter().for_each(|pattern| formats.rules.add(pattern, StoredAs::Plain));
    if method.starts_with("modelopt")
        && formats.usual != WeightFormat::Plain
        && !ignored.iter().any(|pattern| pattern.contains(HEAD) || *pattern == "*")
    {
        // Of releases it differs whether a head that no list names is quantized.
        formats.unread.push(format!("exclude_modules without {HEAD}"));
    }
    if let WeightFormat::Packed { bits, group, .. } = formats.usual
        && matches!(method.as_str(), "awq" | "awq_marlin" | "gptq" | "gptq_marlin")
    {
        // What kernels of Hopper take (`quantization/utils/marlin_utils.py`); an engine asks for the key itself.
        let stated = fields.has("bits") || fields.has("w_bit");
        let known = bits == 4 || (bits == 8 && method.starts_with("gptq"));
        if !(stated && known) {
            formats.unread.push("bits".to_owned());
        }
        if !matches!(group, None | Some(32 | 64 | 128)) {
            formats.unread.push("group_size".to_owned());
        }
    }
    // `layers.1*` is layer 1, and 10 to 19 too.
    if ignored
        .iter()
        .any(|pattern| pattern.strip_suffix('*').is_some_and(|own| own.ends_with(|c: char| c.is_ascii_digit())))
    {
        formats.unread.push("exclude_modules with a part of a number".to_owned());
    }
    let mut others = Vec::new();
    unread::collect(&fields, section, "", &mut others);
    // ModelOpt's groups say what its algorithm says.
    let told = |key: &str| WITHOUT_EFFECT.contains(&key) || (method.starts_with("modelopt") && key == "config_groups");
    formats.unread.extend(others.into_iter().filter(|key| !told(key)));
    let unknown = |format: &WeightFormat| *format == WeightFormat::Unknown;
    if unknown(&formats.usual) || formats.others.iter().any(unknown) {
        formats.usual = WeightFormat::Unknown;
        fields.note("quant_method", format!("the size of weights stored by `{method}` is not known"));
    }
    let head = if fields.flag("lm_head")? == Some(true) { StoredAs::Usual } else { formats.head };
    let Formats { usual: format, others, rules, unread, .. } = formats;
    let declared = Declared {
        unread: unread.into_iter().map(|key| format!("quantization_config.{key}")).collect(),
        rules: rules.sorted(class.experts_apart),
        quantization: Quantization {
            method,
            format,
            others,
            head,
            kv_cache: kv_cache(&fields)?,
            beside_config: fields.has("quantization"),
        },
    };
    notes.extend(fields.into_notes());
    Ok(Some(declared))
}

/// The method. A section without its name is ModelOpt's older form if it says so (`producer`) and holds a section of its
/// own; of one that does not, vLLM takes no notice (`config/model.py`, 0.33).
fn method<'a>(fields: &Fields<'a>) -> Result<Option<&'a str>, ConfigError> {
    if let Some(method) = fields.text(&["quant_method"])? {
        return Ok(Some(method));
    }
    if !fields.has("quant_algo") && !fields.has("quantization") {
        return Err(fields.missing(&["quant_method"]));
    }
    let producer = fields.section("producer")?.and_then(|section| section.get("name")).and_then(Value::as_str);
    let Some(inner) = fields.section("quantization")?.filter(|_| producer == Some("modelopt")) else { return Ok(None) };
    let algorithm = inner.get("quant_algo").and_then(Value::as_str).unwrap_or_default();
    // Releases tell it apart by this name.
    Ok(Some(if algorithm.eq_ignore_ascii_case("MIXED_PRECISION") { "modelopt_mixed" } else { "modelopt" }))
}

/// A format that only routed experts are stored in.
fn experts_only(format: WeightFormat) -> Formats {
    let mut formats = Formats::one(format);
    for matrix in Matrix::ALL {
        if !matches!(matrix, Matrix::ExpertsGateUp | Matrix::ExpertsDown) {
            formats.rules.set(matrix, StoredAs::Plain);
        }
    }
    formats
}

/// GPTQ, with GPTQModel's overrides: `-:EXPRESSION` leaves modules alone, `+:EXPRESSION` (or a bare one) gives them
/// other bits or groups. The first that matches from the beginning of a name holds.
fn gptq(fields: &Fields<'_>) -> Result<Formats, ConfigError> {
    let index = fields.flag("desc_act")?.unwrap_or(false);
    let usual = packed(fields, true, index)?;
    let mut formats = Formats::one(usual);
    let Some(dynamic) = fields.section("dynamic")? else { return Ok(formats) };
    fields.bounded("dynamic", dynamic.len() as u64, 0, MOST_EXPRESSIONS as u64)?;
    for (key, value) in dynamic {
        let (left_alone, expression) = match key.split_once(':') {
            Some(("-", expression)) => (true, expression),
            Some(("+", expression)) => (false, expression),
            _ => (false, key.as_str()),
        };
        let format = match (left_alone, value.as_object()) {
            (true, _) => StoredAs::Plain,
            (false, Some(own)) => {
                let own = Fields::new(own, None, "quantization_config.dynamic.*.", Defaults::NONE);
                let WeightFormat::Packed { bits, group, .. } = usual else { continue };
                let bits = own.positive(&["bits"])?.unwrap_or(bits);
                let bits = own.bounded("bits", bits, 1, 8)?;
                let group = if own.has("group_size") { group_size(&own)? } else { group };
                let group_index = own.flag("desc_act")?.unwrap_or(index);
                formats.place(WeightFormat::Packed { bits, group, zero_point: true, group_index })
            }
            (false, None) => return Err(fields.wrong("dynamic", "an object for every expression", value)),
        };
        formats.rules.add(&format!("re:{expression}"), format);
    }
    Ok(formats)
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

/// Experts of 4 bits unless it is said otherwise, and scales that are exponents then (vLLM 0.25 to 0.33,
/// `models/deepseek_v4/quant_config.py`).
fn deepseek_v4(fields: &Fields<'_>, stated: Option<&str>) -> Result<Formats, ConfigError> {
    // transformers 5.24 moves the key here.
    let experts = match stated {
        Some(stated) => stated,
        None => fields.text(&["expert_dtype"])?.unwrap_or("fp4"),
    };
    let usual = float8(fields)?;
    let of_experts = match (experts, fields.text(&["moe_quant_algo"])?) {
        ("fp8", _) => return Ok(Formats::one(usual)),
        ("fp4", None | Some("")) => WeightFormat::Mxfp4,
        ("fp4", Some(algorithm)) if algorithm.eq_ignore_ascii_case("NVFP4") => WeightFormat::Nvfp4,
        _ => WeightFormat::Unknown,
    };
    let usual = match usual {
        WeightFormat::ByteBlocks { rows, columns, .. } => WeightFormat::ByteBlocks { rows, columns, scale: 1 },
        other => other,
    };
    let mut formats = Formats::one(usual);
    let place = formats.place(of_experts);
    [Matrix::ExpertsGateUp, Matrix::ExpertsDown].into_iter().for_each(|matrix| formats.rules.set(matrix, place));
    Ok(formats)
}

fn blocks(fields: &Fields<'_>, name: &str, block: &[Value]) -> Result<WeightFormat, ConfigError> {
    let side = |value: &Value| value.as_u64().filter(|side| (1..=1 << 20).contains(side));
    match block {
        [rows, columns] => match (side(rows), side(columns)) {
            (Some(rows), Some(columns)) => Ok(WeightFormat::ByteBlocks { rows, columns, scale: 4 }),
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

fn modelopt(fields: &Fields<'_>) -> Result<Formats, ConfigError> {
    let nested = fields.section("quantization")?;
    let inner = nested.map(|section| Fields::new(section, None, "quantization_config.quantization.", Defaults::NONE));
    let fields = inner.as_ref().unwrap_or(fields);
    let algorithm = fields.text(&["quant_algo"])?.unwrap_or_default();
    if !algorithm.eq_ignore_ascii_case("MIXED_PRECISION") {
        return Ok(Formats::one(modelopt_format(algorithm)));
    }
    // Only what is listed is quantized, each module by its own method.
    let mut formats = Formats::one(WeightFormat::Plain);
    formats.rules.usual(StoredAs::Plain);
    let Some(layers) = fields.section("quantized_layers")? else {
        return Ok(Formats::one(WeightFormat::Unknown));
    };
    fields.bounded("quantized_layers", layers.len() as u64, 0, MOST_PATTERNS as u64)?;
    for (name, value) in layers {
        let algorithm = value.get("quant_algo").and_then(Value::as_str).unwrap_or_default();
        let format = formats.place(modelopt_format(algorithm));
        formats.name(name, format);
    }
    Ok(formats)
}

fn modelopt_format(algorithm: &str) -> WeightFormat {
    match algorithm.to_ascii_uppercase().as_str() {
        "NVFP4" | "FP4" | "W4A16_NVFP4" => WeightFormat::Nvfp4,
        "FP8" => WeightFormat::Byte { per_channel: false, static_input_scale: true },
        "FP8_PER_CHANNEL_PER_TOKEN" => WeightFormat::Byte { per_channel: true, static_input_scale: false },
        "FP8_PB_WO" => WeightFormat::ByteBlocks { rows: 128, columns: 128, scale: 4 },
        "MXFP8" => WeightFormat::ByteBlocks { rows: 1, columns: 32, scale: 1 },
        _ => WeightFormat::Unknown,
    }
}

/// Groups name their modules by class (`Linear` is every one), by name, or by expression; a name rules over a class,
/// and the list of ignored modules over all. Where no group says `Linear`, what is not named is plain.
fn compressed_tensors(fields: &Fields<'_>, ignored: &[&str]) -> Result<Formats, ConfigError> {
    let Some(groups) = fields.section("config_groups")? else { return Ok(Formats::one(WeightFormat::Unknown)) };
    fields.bounded("config_groups", groups.len() as u64, 0, 64)?;
    let mut formats = Formats::one(WeightFormat::Plain);
    formats.rules.usual(StoredAs::Plain);
    ignored.iter().for_each(|pattern| formats.rules.add(pattern, StoredAs::Plain));
    let mut usual = None;
    let mut entries = 0;
    for group in groups.values().filter_map(Value::as_object) {
        let group = Fields::new(group, None, "quantization_config.config_groups.*.", Defaults::NONE);
        let format = group_format(&group, &mut formats.unread)?;
        let targets: Vec<&str> = group.list("targets")?.into_iter().flatten().filter_map(Value::as_str).collect();
        entries += targets.len();
        fields.bounded("targets", entries as u64, 0, MOST_PATTERNS as u64)?;
        let (classes, names): (Vec<&str>, Vec<&str>) = targets
            .into_iter()
            .partition(|target| !target.contains('.') && !target.starts_with("re:") && *target != HEAD);
        // The engine asks whether the name of a layer's class holds the target.
        if classes.iter().any(|class| LINEAR.iter().any(|own| own.contains(class))) {
            usual = usual.or(Some(format));
        } else if names.is_empty() {
            formats.unread.push("config_groups.*.targets".to_owned());
        }
        let place = formats.place(format);
        names.into_iter().for_each(|name| formats.name(name, place));
    }
    if let Some(usual) = usual {
        formats.usual = usual;
        formats.rules.usual(StoredAs::Usual);
    }
    Ok(formats)
}

/// The engine's classes of layers that groups mean.
const LINEAR: [&str; 6] = [
    "ReplicatedLinear",
    "ColumnParallelLinear",
    "MergedColumnParallelLinear",
    "QKVParallelLinear",
    "RowParallelLinear",
    "RoutedExperts",
];

fn group_format(group: &Fields<'_>, unread: &mut Vec<String>) -> Result<WeightFormat, ConfigError> {
    let Some(section) = group.section("weights")? else {
        unread.push("config_groups.*.weights".to_owned());
        return Ok(WeightFormat::Plain);
    };
    let weights = Fields::new(section, None, "quantization_config.config_groups.*.weights.", Defaults::NONE);
    let bits = weights.positive(&["num_bits"])?.unwrap_or(8);
    let bits = weights.bounded("num_bits", bits, 1, 16)?;
    if !matches!(bits, 4 | 8) {
        unread.push("config_groups.*.weights.num_bits".to_owned());
    }
    let float = weights.text(&["type"])? == Some("float");
    let strategy = weights.text(&["strategy"])?;
    if !float && strategy == Some("tensor") && bits < 8 {
        unread.push("config_groups.*.weights.strategy".to_owned());
    }
    let static_input_scale = match group.section("input_activations")? {
        Some(inputs) => Fields::new(inputs, None, "", Defaults::NONE).flag("dynamic").ok().flatten() == Some(false),
        None => false,
    };
    Ok(match (bits, float, strategy) {
        (4, true, _) if group_size(&weights)? == Some(32) => WeightFormat::Mxfp4,
        (4, true, _) => WeightFormat::Nvfp4,
        (8, true, Some("group")) if group_size(&weights)? == Some(32) => {
            WeightFormat::ByteBlocks { rows: 1, columns: 32, scale: 1 }
        }
        (8, _, Some("block")) => match weights.list("block_structure")? {
            Some(block) => blocks(&weights, "block_structure", block)?,
            None => WeightFormat::Unknown,
        },
        (8, _, Some("tensor")) => WeightFormat::Byte { per_channel: false, static_input_scale },
        // ModelOpt's own groups name no strategy: one scale per tensor, for weights and inputs.
        (8, true, None) => WeightFormat::Byte { per_channel: false, static_input_scale },
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
    // Some write the type's name in place of its description.
    let name = fields.value(&["kv_cache_scheme"]).and_then(Value::as_str).map(str::to_ascii_lowercase);
    if let Some(name) = name {
        return Ok(Some(name).filter(|name| name == "fp8" || name == "nvfp4"));
    }
    if let Some(scheme) = fields.section("kv_cache_scheme")? {
        let bits =
            Fields::new(scheme, None, "quantization_config.kv_cache_scheme.", Defaults::NONE).number(&["num_bits"])?;
        return Ok((bits == Some(8)).then(|| "fp8".to_owned()));
    }
    let algorithm = match fields.section("quantization")? {
        Some(section) => section.get("kv_cache_quant_algo").and_then(Value::as_str),
        None => fields.text(&["kv_cache_quant_algo"])?,
    };
    Ok(algorithm.map(str::to_ascii_lowercase).filter(|a| a == "fp8" || a == "nvfp4"))
}

/// The modules that the checkpoint leaves alone.
///
/// Each method has its own key for them; the first that is there and not empty counts. A key of another method is left for
/// those who look for what is not understood.
fn ignored<'a>(fields: &Fields<'a>, method: &str) -> Result<Vec<&'a str>, ConfigError> {
    const ANY: [&str; 6] = [
        "ignore",
        "ignored_layers",
        "modules_to_not_convert",
        "exclude_modules",
        "llm_int8_skip_modules",
        "modules_to_not_quantize",
    ];
    let names: &[&str] = match method {
        "awq" | "awq_marlin" => &["modules_to_not_convert"],
        "fp8" | "deepseek_v4_fp8" => &["ignored_layers", "modules_to_not_convert"],
        "fbgemm_fp8" => &["modules_to_not_convert"],
        "compressed-tensors" | "compressed_tensors" => &["ignore"],
        "bitsandbytes" => &["llm_int8_skip_modules"],
        name if name.starts_with("modelopt") => &["exclude_modules", "ignore"],
        _ => &ANY,
    };
    let mut patterns = Vec::new();
    for name in names {
        if !patterns.is_empty() {
            break;
        }
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
    Ok(patterns)
}
