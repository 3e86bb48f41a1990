//! The pages of a served engine beside its completions, in the shape of vLLM 0.12 and later.

use std::fmt::Write as _;

use serde_json::json;

/// What an engine counts of itself.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Counts {
    /// Requests that run now.
    pub running: u64,
    /// Requests that wait now.
    pub waiting: u64,
    /// Used part of the KV cache, 0 to 1.
    pub kv_cache_usage: f64,
    /// Prompt tokens since the start.
    pub prompt_tokens: u64,
    /// Prompt tokens found in the prefix cache since the start.
    pub prefix_hit_tokens: u64,
    /// Generated tokens since the start.
    pub generation_tokens: u64,
    /// Requests ended since the start.
    pub finished: u64,
}

/// `/metrics`.
pub fn metrics_page(model: &str, counts: &Counts) -> String {
    let figures = [
        ("num_requests_running", counts.running.to_string()),
        ("num_requests_waiting", counts.waiting.to_string()),
        ("kv_cache_usage_perc", counts.kv_cache_usage.to_string()),
        ("prefix_cache_queries_total", counts.prompt_tokens.to_string()),
        ("prefix_cache_hits_total", counts.prefix_hit_tokens.to_string()),
        ("num_preemptions_total", "0".into()),
        ("prompt_tokens_total", counts.prompt_tokens.to_string()),
        ("generation_tokens_total", counts.generation_tokens.to_string()),
        ("request_success_total", counts.finished.to_string()),
    ];
    let mut page = String::new();
    for (name, value) in figures {
        let _ = writeln!(page, "vllm:{name}{{engine=\"0\",model_name=\"{model}\"}} {value}");
    }
    page
}

/// `/v1/models`: the model and its adapters.
pub fn models_page(model: &str, adapters: &[String], max_model_len: u64) -> String {
    let base = json!({"id": model, "object": "model", "owned_by": "vllm", "root": model, "parent": null,
                      "max_model_len": max_model_len});
    let adapters = adapters.iter().map(|id| json!({"id": id, "object": "model", "owned_by": "vllm", "parent": model}));
    let all: Vec<_> = std::iter::once(base).chain(adapters).collect();
    json!({"object": "list", "data": all}).to_string()
}

/// `/version`.
pub fn version_page(version: &str) -> String {
    json!({"version": version}).to_string()
}
