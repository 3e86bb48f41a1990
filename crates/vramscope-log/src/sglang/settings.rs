//! The arguments that SGLang prints of itself: `ServerArgs(model_path='…', mem_fraction_static=0.87, …)`.

use vramscope_core::Origin;

use crate::vllm::python;
use crate::vllm::settings::{Setting, SettingSource, SettingValue};

/// How a value is read.
#[derive(Clone, Copy)]
enum As {
    Text,
    Count,
    Number,
    Flag,
}

/// What is kept.
const KEPT: &[(&str, As)] = &[
    ("model_path", As::Text),
    ("dtype", As::Text),
    ("quantization", As::Text),
    ("kv_cache_dtype", As::Text),
    ("mem_fraction_static", As::Number),
    ("context_length", As::Count),
    ("max_running_requests", As::Count),
    ("max_total_tokens", As::Count),
    ("chunked_prefill_size", As::Count),
    ("max_prefill_tokens", As::Count),
    ("page_size", As::Count),
    ("tp_size", As::Count),
    ("pp_size", As::Count),
    ("dp_size", As::Count),
    ("ep_size", As::Count),
    ("attention_backend", As::Text),
    ("speculative_algorithm", As::Text),
    ("disable_cuda_graph", As::Flag),
    ("cuda_graph_max_bs", As::Count),
    ("disable_radix_cache", As::Flag),
    ("enable_dp_attention", As::Flag),
    ("cpu_offload_gb", As::Number),
    ("enable_hierarchical_cache", As::Flag),
];

/// The settings of a text behind `ServerArgs(`.
pub(super) fn arguments(text: &str, origin: &Origin) -> Vec<Setting> {
    let mut settings = Vec::new();
    for pair in python::assignments(text) {
        let Some((name, read)) = KEPT.iter().find(|(name, _)| *name == pair.key).filter(|_| !pair.cut) else {
            continue;
        };
        if let Some(value) = value(pair.value, *read) {
            settings.push(Setting { name, value, source: SettingSource::Namespace, origin: origin.clone() });
        }
    }
    settings
}

fn value(text: &str, read: As) -> Option<SettingValue> {
    let text = text.trim();
    if text == "None" {
        return Some(SettingValue::None);
    }
    match read {
        As::Text => python::text_of(text).map(SettingValue::Text),
        As::Count => text.parse().ok().map(SettingValue::Count),
        As::Number => text.parse().ok().map(SettingValue::Number),
        As::Flag => python::bool_of(text).map(SettingValue::Flag),
    }
}
