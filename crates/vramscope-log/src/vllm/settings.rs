//! The engine's configuration and arguments, as far as they bear on memory and time. Everything else in those lines is
//! not kept: it may hold keys and tokens.

use vramscope_core::Origin;

use crate::vllm::python::{self, Pair};

/// From which line a setting comes. The order is the order of trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SettingSource {
    /// The engine's own configuration line: what is in force.
    Config,
    /// The arguments that differ from their defaults.
    NonDefaultArgs,
    /// All arguments, defaults included (before 0.9).
    Namespace,
}

/// A setting's value.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum SettingValue {
    /// Python's `None`.
    None,
    /// A switch.
    Flag(bool),
    /// A whole number.
    Count(u64),
    /// Another number.
    Number(f64),
    /// Text; an enum member by its name.
    Text(String),
}

/// One setting as printed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Setting {
    /// The name of today: what older releases call otherwise has been renamed.
    pub name: &'static str,
    /// The value.
    pub value: SettingValue,
    /// From which line.
    pub source: SettingSource,
    /// Where it stands.
    pub origin: Origin,
}

/// How a setting is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    Flag,
    Count,
    Number,
    Text,
    /// The method of speculative decoding, out of its configuration.
    SpeculativeMethod,
    /// The graph mode, out of the compilation configuration.
    CudagraphMode,
}

/// The settings that are kept: the name in the line, the name of today, and how it is read.
const KEPT: &[(&str, &str, Read)] = &[
    ("model", "model", Read::Text),
    ("dtype", "dtype", Read::Text),
    ("quantization", "quantization", Read::Text),
    ("kv_cache_dtype", "kv_cache_dtype", Read::Text),
    ("load_format", "load_format", Read::Text),
    ("device_config", "device_config", Read::Text),
    ("max_seq_len", "max_model_len", Read::Count),
    ("max_model_len", "max_model_len", Read::Count),
    ("tensor_parallel_size", "tensor_parallel_size", Read::Count),
    ("pipeline_parallel_size", "pipeline_parallel_size", Read::Count),
    ("data_parallel_size", "data_parallel_size", Read::Count),
    ("decode_context_parallel_size", "decode_context_parallel_size", Read::Count),
    ("prefill_context_parallel_size", "prefill_context_parallel_size", Read::Count),
    ("enable_expert_parallel", "enable_expert_parallel", Read::Flag),
    ("enforce_eager", "enforce_eager", Read::Flag),
    ("enable_prefix_caching", "enable_prefix_caching", Read::Flag),
    ("chunked_prefill_enabled", "enable_chunked_prefill", Read::Flag),
    ("enable_chunked_prefill", "enable_chunked_prefill", Read::Flag),
    ("speculative_config", "speculative_method", Read::SpeculativeMethod),
    ("compilation_config", "cudagraph_mode", Read::CudagraphMode),
    ("cudagraph_mode", "cudagraph_mode", Read::Text),
    ("gpu_memory_utilization", "gpu_memory_utilization", Read::Number),
    ("block_size", "block_size", Read::Count),
    ("swap_space", "swap_space", Read::Number),
    ("cpu_offload_gb", "cpu_offload_gb", Read::Number),
    ("kv_cache_memory_bytes", "kv_cache_memory_bytes", Read::Count),
    ("num_gpu_blocks_override", "num_gpu_blocks_override", Read::Count),
    ("max_num_batched_tokens", "max_num_batched_tokens", Read::Count),
    ("max_num_seqs", "max_num_seqs", Read::Count),
    ("enable_lora", "enable_lora", Read::Flag),
    ("max_loras", "max_loras", Read::Count),
    ("max_lora_rank", "max_lora_rank", Read::Count),
    ("enable_sleep_mode", "enable_sleep_mode", Read::Flag),
    ("use_v2_block_manager", "use_v2_block_manager", Read::Flag),
    ("distributed_executor_backend", "distributed_executor_backend", Read::Text),
];

/// Longest text that a setting may have; longer ones are shortened.
const MAX_TEXT: usize = 512;

/// The settings of a configuration line or of a `Namespace(…)`, from the text after its opening.
pub(crate) fn assignments(text: &str, source: SettingSource, origin: &Origin) -> Vec<Setting> {
    keep(&python::assignments(text), source, origin)
}

/// The settings of the arguments that differ from their defaults: a dict, or a `Namespace(…)`.
pub(crate) fn non_default(text: &str, origin: &Origin) -> Vec<Setting> {
    let text = text.trim_start();
    let pairs = match text.strip_prefix('{') {
        Some(dict) => python::dict(dict),
        None => python::assignments(text.strip_prefix("Namespace(").unwrap_or(text)),
    };
    let mut settings = keep(&pairs, SettingSource::NonDefaultArgs, origin);
    // `vllm serve MODEL` prints the model twice, and in some releases only by this name.
    if !settings.iter().any(|s| s.name == "model") {
        let tag = pairs.iter().find(|p| p.key == "model_tag" && !p.cut);
        if let Some(value) = tag.and_then(|p| python::text_of(p.value)) {
            let value = SettingValue::Text(shorten(value));
            settings.push(Setting {
                name: "model",
                value,
                source: SettingSource::NonDefaultArgs,
                origin: origin.clone(),
            });
        }
    }
    settings
}

fn keep(pairs: &[Pair<'_>], source: SettingSource, origin: &Origin) -> Vec<Setting> {
    let mut settings: Vec<Setting> = Vec::new();
    for pair in pairs {
        let Some((_, name, read)) = KEPT.iter().find(|kept| kept.0 == pair.key) else { continue };
        if settings.iter().any(|s| s.name == *name) {
            continue;
        }
        if let Some(value) = value(pair, *read) {
            settings.push(Setting { name, value, source, origin: origin.clone() });
        }
    }
    settings
}

fn value(pair: &Pair<'_>, read: Read) -> Option<SettingValue> {
    let whole_word = matches!(pair.value, "None" | "True" | "False");
    if pair.cut && !whole_word && !matches!(read, Read::SpeculativeMethod | Read::CudagraphMode) {
        return None;
    }
    if pair.value == "None" {
        return (read != Read::CudagraphMode).then_some(SettingValue::None);
    }
    match read {
        Read::Flag => python::bool_of(pair.value).map(SettingValue::Flag),
        Read::Count => pair.value.parse().ok().map(SettingValue::Count),
        Read::Number => pair.value.parse().ok().filter(|v: &f64| v.is_finite()).map(SettingValue::Number),
        Read::Text => python::text_of(pair.value).map(|text| SettingValue::Text(shorten(enum_member(text)))),
        Read::SpeculativeMethod => speculative_method(pair.value).map(|t| SettingValue::Text(shorten(t))),
        Read::CudagraphMode => {
            let inner = nested(pair.value);
            let mode = inner.iter().find(|p| p.key == "cudagraph_mode" && !p.cut)?;
            python::text_of(mode.value).map(|text| SettingValue::Text(shorten(cudagraph_mode(enum_member(text)))))
        }
    }
}

fn nested(value: &str) -> Vec<Pair<'_>> {
    match python::inside(value) {
        Some(inside) if value.starts_with('{') => python::dict(inside),
        Some(inside) => python::assignments(inside),
        None => Vec::new(),
    }
}

/// `SpeculativeConfig(method='mtp', …)`, `SpeculativeConfig(draft_model='[ngram]', …)` or the dict of an argument.
fn speculative_method(value: &str) -> Option<String> {
    let pairs = nested(value);
    let text = |key: &str| pairs.iter().find(|p| p.key == key && !p.cut).and_then(|p| python::text_of(p.value));
    text("method").or_else(|| {
        let draft = text("draft_model").or_else(|| text("model"))?;
        Some(if matches!(draft.as_str(), "[ngram]" | "ngram") { "ngram".to_owned() } else { "draft_model".to_owned() })
    })
}

/// `LoadFormat.AUTO` is `auto`; other text stays.
fn enum_member(text: String) -> String {
    match text.split_once('.') {
        Some(("LoadFormat", member)) => member.to_lowercase(),
        Some(("CUDAGraphMode", member)) => member.to_owned(),
        _ => text,
    }
}

/// The name of a mode that is printed as its value, as up to 0.11.1: a member's number, or those of the modes for prefill
/// and for decode.
fn cudagraph_mode(text: String) -> String {
    let value: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let name = match value.as_str() {
        "0" => "NONE",
        "1" => "PIECEWISE",
        "2" => "FULL",
        "[2,0]" | "(2,0)" => "FULL_DECODE_ONLY",
        "[2,1]" | "(2,1)" => "FULL_AND_PIECEWISE",
        _ => return text,
    };
    name.to_owned()
}

/// Cuts at a character what is left without secrets: the beginning of one that is cut would not be known for one.
fn shorten(text: String) -> String {
    let mut text = vramscope_core::redact(&text);
    if text.len() > MAX_TEXT {
        let end = (0..=MAX_TEXT).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(settings: &[Setting], name: &str) -> Option<SettingValue> {
        settings.iter().find(|s| s.name == name).map(|s| s.value.clone())
    }

    #[test]
    fn old_names_are_renamed_and_enums_are_plain() {
        let line = "model='m', max_seq_len=8192, load_format=LoadFormat.AUTO, chunked_prefill_enabled=True, \
                    compilation_config={'cudagraph_mode': <CUDAGraphMode.FULL_AND_PIECEWISE: (2, 1)>, 'x': 1}, seed=0";
        let settings = assignments(line, SettingSource::Config, &Origin::default());
        assert_eq!(get(&settings, "max_model_len"), Some(SettingValue::Count(8192)));
        assert_eq!(get(&settings, "load_format"), Some(SettingValue::Text("auto".into())));
        assert_eq!(get(&settings, "enable_chunked_prefill"), Some(SettingValue::Flag(true)));
        assert_eq!(get(&settings, "cudagraph_mode"), Some(SettingValue::Text("FULL_AND_PIECEWISE".into())));
        for (printed, mode) in [("1", "PIECEWISE"), ("[2,1]", "FULL_AND_PIECEWISE"), ("(2, 0)", "FULL_DECODE_ONLY")] {
            assert_eq!(cudagraph_mode(printed.to_owned()), mode);
        }
    }

    #[test]
    fn secrets_are_not_kept() {
        let settings =
            non_default("{'model': 'm', 'api_key': ['sk-verysecret'], 'hf_token': 'hf_abc'}", &Origin::default());
        assert!(!format!("{settings:?}").contains("secret"));
        assert_eq!(settings.len(), 1);
    }

    #[test]
    fn a_cut_value_is_not_a_value() {
        let settings = assignments("model='m', max_seq_len=81", SettingSource::Config, &Origin::default());
        assert_eq!(get(&settings, "max_model_len"), None);
        let settings = assignments("model='m', enforce_eager=True", SettingSource::Config, &Origin::default());
        assert_eq!(get(&settings, "enforce_eager"), Some(SettingValue::Flag(true)));
    }

    #[test]
    fn speculative_methods() {
        let method = |value: &str| speculative_method(value);
        assert_eq!(method("SpeculativeConfig(method='mtp', model='a', num_spec_tokens=3)").as_deref(), Some("mtp"));
        assert_eq!(method("SpeculativeConfig(draft_model='[ngram]', num_spec_tokens=3)").as_deref(), Some("ngram"));
        assert_eq!(method("{'method': 'eagle3', 'num_speculative_tokens': 2}").as_deref(), Some("eagle3"));
        assert_eq!(method("SpeculativeConfig(draft_model='x/y', num_spec_tokens=3)").as_deref(), Some("draft_model"));
    }
}
