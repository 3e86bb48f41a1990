//! The pages by which engines are told, each in the shape of a real server's answer: llama-server b10434, Ollama 0.12,
//! SGLang 0.4.6 and TGI 3.2.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::page::{Counts, metrics_page, models_page, version_page};
use crate::script::Script;

/// The engine as which the server answers. Completions are the same for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// vLLM.
    #[default]
    Vllm,
    /// llama.cpp's server.
    LlamaCpp,
    /// Ollama.
    Ollama,
    /// SGLang.
    SgLang,
    /// Text Generation Inference.
    Tgi,
    /// One that nothing tells: it has a version and models of an organization.
    Other,
    /// A gateway in front of a vLLM and an SGLang: metrics of the one, models of the other.
    Mixed,
}

/// A page: its media type and its body.
pub(crate) type Page = (&'static str, String);

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Engine {
    /// What it calls itself in the head of its answers.
    pub(crate) fn server(self) -> Option<&'static str> {
        match self {
            Self::LlamaCpp => Some("llama.cpp"),
            Self::Vllm | Self::SgLang => Some("uvicorn"),
            _ => None,
        }
    }

    /// What it answers to a question that only looks; `None` where it has no such page.
    pub(crate) fn page(self, path: &str, script: &Script, counts: &Counts) -> Option<Page> {
        let model = &script.model;
        match (self, path) {
            (Self::Ollama | Self::Other, "/health") => None,
            (Self::LlamaCpp, "/health") => Some((JSON, r#"{"status":"ok"}"#.to_owned())),
            (_, "/health") => Some(("text/plain", String::new())),
            (Self::Vllm | Self::Other, "/version") => Some((JSON, version_page(&script.version))),
            (Self::Vllm, "/v1/models") => Some((JSON, models_page(model, &script.adapters, script.max_model_len))),
            (Self::SgLang | Self::Mixed, "/v1/models") => Some((JSON, models(script, "sglang"))),
            (Self::Ollama, "/v1/models") => Some((JSON, models(script, "library"))),
            (Self::Tgi, "/v1/models") => Some((JSON, models(script, model))),
            (Self::Other, "/v1/models") => Some((JSON, models(script, "organization"))),
            (Self::LlamaCpp, "/v1/models") => Some((JSON, llama_models(script))),
            (Self::Vllm | Self::Mixed, "/metrics") => Some((TEXT, metrics_page(model, counts))),
            (Self::LlamaCpp, "/metrics") => Some((TEXT, llama_metrics(counts))),
            (Self::SgLang, "/metrics") => Some((TEXT, sglang_metrics(model, counts))),
            (Self::Tgi, "/metrics") => Some((TEXT, tgi_metrics(counts))),
            (Self::LlamaCpp, "/props") => Some((JSON, props(script))),
            (Self::LlamaCpp, "/slots") => Some((JSON, slots(script))),
            (Self::Ollama, "/") => Some(("text/plain; charset=utf-8", "Ollama is running".to_owned())),
            (Self::Ollama, "/api/version") => Some((JSON, version_page(&script.version))),
            (Self::Ollama, "/api/ps") => Some((JSON, ps(script))),
            (Self::SgLang, "/get_server_info") => Some((JSON, server_info(script))),
            (Self::SgLang, "/get_model_info") => {
                Some((JSON, json!({"model_path": model, "tokenizer_path": model, "is_generation": true}).to_string()))
            }
            (Self::Tgi, "/info") => Some((JSON, info(script))),
            _ => None,
        }
    }
}

fn models(script: &Script, owner: &str) -> String {
    let mut model = json!({"id": script.model, "object": "model", "created": 1_764_500_000, "owned_by": owner});
    if owner == "sglang" {
        model["root"] = json!(script.model);
        model["max_model_len"] = json!(script.max_model_len);
    }
    json!({"object": "list", "data": [model]}).to_string()
}

fn llama_models(script: &Script) -> String {
    let meta = json!({"vocab_type": 1, "n_vocab": 8000, "n_ctx": script.max_model_len, "n_ctx_train": 32768,
                      "n_embd": 512, "n_params": 26_286_592, "size": 27_949_056, "ftype": "Q8_0"});
    let data = json!({"id": script.model, "aliases": [script.model], "tags": [], "object": "model",
                      "created": 1_764_500_000, "owned_by": "llamacpp", "meta": meta});
    let listed = json!({"name": script.model, "model": script.model, "type": "model",
                        "details": {"format": "gguf"}});
    json!({"models": [listed], "object": "list", "data": [data]}).to_string()
}

fn llama_metrics(counts: &Counts) -> String {
    format!(
        "# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed, excluding cached tokens\n\
         # TYPE llamacpp:prompt_tokens_total counter\nllamacpp:prompt_tokens_total {}\n\
         llamacpp:prompt_tokens_cached_total {}\nllamacpp:tokens_predicted_total {}\n\
         llamacpp:requests_processing {}\nllamacpp:requests_deferred {}\n",
        counts.prompt_tokens, counts.prefix_hit_tokens, counts.generation_tokens, counts.running, counts.waiting
    )
}

fn sglang_metrics(model: &str, counts: &Counts) -> String {
    let label = format!("{{model_name=\"{model}\"}}");
    format!(
        "sglang:num_running_reqs{label} {}\nsglang:num_queue_reqs{label} {}\nsglang:token_usage{label} {}\n\
         sglang:prompt_tokens_total{label} {}\nsglang:generation_tokens_total{label} {}\n",
        counts.running, counts.waiting, counts.kv_cache_usage, counts.prompt_tokens, counts.generation_tokens
    )
}

fn tgi_metrics(counts: &Counts) -> String {
    format!("tgi_batch_current_size {}\ntgi_queue_size {}\n", counts.running, counts.waiting)
}

fn props(script: &Script) -> String {
    json!({"default_generation_settings": {"params": {"seed": 4_294_967_295_u64}, "n_ctx": script.max_model_len},
           "total_slots": 4, "model_alias": script.model, "model_path": script.model, "endpoint_slots": true,
           "endpoint_props": false, "endpoint_metrics": true, "build_info": format!("{}-7e4c0a9", script.version),
           "is_sleeping": false})
    .to_string()
}

fn slots(script: &Script) -> String {
    json!([{"id": 0, "n_ctx": script.max_model_len, "speculative": false, "is_processing": false}]).to_string()
}

fn ps(script: &Script) -> String {
    json!({"models": [{"name": script.model, "model": script.model, "size": 1_073_741_824_u64,
                       "size_vram": 805_306_368_u64, "context_length": 4096}]})
    .to_string()
}

fn server_info(script: &Script) -> String {
    json!({"model_path": script.model, "tp_size": 1, "mem_fraction_static": 0.88, "max_total_num_tokens": 300_000,
           "version": script.version,
           "internal_states": [{"memory_usage": {"weight": 15.28, "kvcache": 44.0, "cuda_graph": 0.6}}]})
    .to_string()
}

fn info(script: &Script) -> String {
    json!({"model_id": script.model, "model_sha": "0", "max_concurrent_requests": 128,
           "max_input_tokens": script.max_model_len - 1, "max_total_tokens": script.max_model_len,
           "version": script.version, "docker_label": "sha-4d28897", "router": "text-generation-router"})
    .to_string()
}
