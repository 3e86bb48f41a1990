//! The published parameter totals and the worked rows of the formula reference.

use serde_json::Value;
use vramscope_core::Architecture;
use vramscope_estimate::{EngineArgs, EngineVersion, kv_plan, parameter_count};

use crate::shared;

fn entries() -> Vec<Value> {
    let Some(path) = shared::path("reference/models.json") else { return Vec::new() };
    let text = std::fs::read(path).unwrap();
    let value: Value = serde_json::from_slice(&text).unwrap();
    value["models"].as_array().unwrap().clone()
}

/// The entry's config with the facts that a real config of its family states and the reference keeps apart.
fn config(entry: &Value) -> Value {
    let mut config = entry["config"].clone();
    let terms = &entry["count_terms"];
    let fields = config.as_object_mut().unwrap();
    let model_type = fields["model_type"].as_str().unwrap().to_owned();
    if terms["qkv_bias"] == true && model_type.starts_with("glm4") {
        fields.insert("attention_bias".into(), true.into());
    }
    if terms["qk_norm"] == "head" && model_type == "glm4_moe" {
        fields.insert("use_qk_norm".into(), true.into());
    }
    if let Some(extra) = terms["extra_params"].as_u64() {
        fields.insert("tower_parameters".into(), extra.into());
    }
    config
}

fn model(id: &str) -> Option<Architecture> {
    let entry = entries().into_iter().find(|e| e["id"] == id)?;
    Some(vramscope_models::read_config(config(&entry).to_string().as_bytes()).unwrap().0)
}

#[test]
fn parameter_counts_are_those_of_the_reference() {
    let mut wrong = Vec::new();
    for entry in entries() {
        let id = entry["id"].as_str().unwrap();
        let (model, notes) = vramscope_models::read_config(config(&entry).to_string().as_bytes()).unwrap();
        let counted = parameter_count(&model).unwrap();
        let expected = entry["computed_params"].as_u64().unwrap();
        // Where the reference only comes near, the published total is the truth.
        let published = entry["check"] == "approximate" && entry["published_params"] == counted.total;
        if (counted.total != expected && !published) || !model.known_family {
            let off = i128::from(counted.total) - i128::from(expected);
            wrong.push(format!(
                "{id}: {} instead of {expected} ({off:+}), {notes:?}\n   {:?}",
                counted.total, counted.parts
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn bytes_per_token_are_those_of_the_reference() {
    for entry in entries() {
        let (model, _) = vramscope_models::read_config(config(&entry).to_string().as_bytes()).unwrap();
        let args = EngineArgs { disable_hybrid_kv_cache_manager: Some(true), ..EngineArgs::default() };
        let Ok(plan) = kv_plan(&model, &args) else { continue };
        let Some(expected) = entry["kv_bytes_per_token_16bit_tp1"].as_u64() else { continue };
        if plan.is_uniform() {
            assert_eq!(plan.bytes_per_block, 16 * expected, "{}", entry["id"]);
        }
    }
}

/// One row: model, tensor-parallel size, batched tokens, bytes per block, blocks of a request of 8192 tokens.
const ROWS: &[(&str, u64, u64, u64, u64)] = &[
    ("meta-llama/Llama-3.1-8B", 1, 8192, 2_097_152, 512),
    ("meta-llama/Llama-3.1-70B", 4, 8192, 1_310_720, 512),
    ("meta-llama/Llama-3.1-70B", 16, 8192, 655_360, 512),
    ("Qwen/Qwen3-30B-A3B", 1, 8192, 1_572_864, 512),
    ("deepseek-ai/DeepSeek-V2-Lite", 1, 8192, 497_664, 512),
    ("google/gemma-2-9b", 1, 2048, 2_752_512, 512 + 513),
    ("google/gemma-2-9b", 1, 8192, 2_752_512, 512 + 513),
    ("openai/gpt-oss-20b", 1, 2048, 393_216, 512 + 265),
    ("openai/gpt-oss-20b", 1, 8192, 393_216, 512 + 513),
    ("google/gemma-3-27b-it", 1, 2048, 1_310_720, 512 + 6 * 321),
    ("google/gemma-3-27b-it", 1, 8192, 1_310_720, 512 + 6 * 513),
    ("Qwen/Qwen3-Next-80B-A3B-Instruct", 1, 8192, 13_369_344, 16 + 3 * 2),
    ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", 1, 8192, 12_877_824, 4 + 4 * 2),
];

#[test]
fn worked_rows_hold_to_the_byte() {
    for &(id, ranks, batched, bytes, blocks) in ROWS {
        let Some(model) = model(id) else { return };
        let args = EngineArgs {
            version: EngineVersion::new(0, 33, 0),
            tensor_parallel_size: ranks,
            max_num_batched_tokens: Some(batched),
            ..EngineArgs::default()
        };
        let plan = kv_plan(&model, &args).unwrap();
        assert_eq!((plan.bytes_per_block, plan.blocks_per_request(8192)), (bytes, Some(blocks)), "{id}: {plan:?}");
    }
}
