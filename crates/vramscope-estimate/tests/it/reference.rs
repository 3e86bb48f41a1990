//! The published parameter totals and the worked rows of the formula reference.

use serde_json::Value;
use vramscope_core::Architecture;
use vramscope_estimate::{
    EngineArgs, EngineVersion, KvPlan, ParameterCount, Part, Setting, budget, find_device, kv_plan, parameter_count,
    weights_on_device, weights_per_rank,
};

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
    // It leaves out what a file has as null or 0.
    let absent = [
        ("granitemoehybrid", "num_local_experts"),
        ("granitemoehybrid", "shared_intermediate_size"),
        ("falcon_h1", "mamba_rms_norm"),
    ];
    for (family, key) in absent {
        if model_type == family && !fields.contains_key(key) {
            fields.insert(key.into(), Value::Null);
        }
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

/// The plan of vLLM 0.30: later ones keep more states of the hybrids (tests/it/cases.rs).
fn plan(id: &str, ranks: u64, batched: u64, hybrid_off: Option<bool>) -> Option<KvPlan> {
    let args = EngineArgs {
        version: EngineVersion::new(0, 30, 0),
        tensor_parallel_size: ranks,
        max_num_batched_tokens: Some(batched),
        disable_hybrid_kv_cache_manager: hybrid_off,
        ..EngineArgs::default()
    };
    model(id).map(|model| kv_plan(&model, &args).unwrap())
}

#[test]
fn worked_rows_hold_to_the_byte() {
    for &(id, ranks, batched, bytes, blocks) in ROWS {
        let Some(plan) = plan(id, ranks, batched, None) else { return };
        assert_eq!((plan.bytes_per_block, plan.blocks_per_request(8192)), (bytes, Some(blocks)), "{id}: {plan:?}");
    }
}

/// Model, ranks, batched tokens, GiB that a request of 8192 tokens takes on each rank, as the reference rounds it.
const REQUESTS: &[(&str, u64, u64, &str)] = &[
    ("meta-llama/Llama-3.1-8B", 1, 8192, "1.000"),
    ("meta-llama/Llama-3.1-70B", 4, 8192, "0.625"),
    ("meta-llama/Llama-3.1-70B", 16, 8192, "0.313"),
    ("Qwen/Qwen3-30B-A3B", 1, 8192, "0.750"),
    ("deepseek-ai/DeepSeek-V2-Lite", 1, 8192, "0.237"),
    ("google/gemma-2-9b", 1, 2048, "2.628"),
    ("google/gemma-2-9b", 1, 8192, "2.628"),
    ("openai/gpt-oss-20b", 1, 2048, "0.285"),
    ("openai/gpt-oss-20b", 1, 8192, "0.375"),
    ("google/gemma-3-27b-it", 1, 2048, "2.976"),
    ("google/gemma-3-27b-it", 1, 8192, "4.38"),
    ("Qwen/Qwen3-Next-80B-A3B-Instruct", 1, 8192, "0.274"),
    ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", 1, 8192, "0.144"),
];

/// A size in GiB with as many decimals as the reference's text has, halves up as it rounds.
fn as_printed(bytes: u64, printed: &str) -> String {
    let decimals = printed.split_once('.').map_or(0, |(_, after)| after.len());
    let scale = 10_u128.pow(u32::try_from(decimals).unwrap());
    let rounded = (u128::from(bytes) * scale * 2 + (1 << 30)) / (2 << 30);
    format!("{}.{:0decimals$}", rounded / scale, rounded % scale)
}

#[test]
fn requests_take_what_the_reference_says() {
    for &(id, ranks, batched, expected) in REQUESTS {
        let Some(plan) = plan(id, ranks, batched, None) else { return };
        let bytes = plan.blocks_per_request(8192).and_then(|blocks| plan.pool_bytes(blocks)).unwrap();
        assert_eq!(as_printed(bytes, expected), expected, "{id}, {batched}");
    }
}

#[test]
fn block_sizes_of_hybrids_and_the_trap_of_groups_are_those_of_the_reference() {
    for (id, block) in [("Qwen/Qwen3-Next-80B-A3B-Instruct", 544), ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", 2096)]
    {
        let Some(plan) = plan(id, 1, 8192, None) else { return };
        assert_eq!(plan.block_size, block, "{id}");
    }
    // With the hybrid manager off, a request of gemma-3-27b takes less than with it.
    let off = plan("google/gemma-3-27b-it", 1, 8192, Some(true)).unwrap();
    let bytes = off.blocks_per_request(8192).and_then(|blocks| off.pool_bytes(blocks)).unwrap();
    assert_eq!(as_printed(bytes, "3.88"), "3.88");
    // A window of 128 reserves 128 - 1 + 2 x 8192 = 16,511 tokens: 1032 blocks of 16 and one more.
    let gpt = plan("openai/gpt-oss-20b", 1, 8192, None).unwrap();
    assert_eq!(gpt.blocks_per_request(100_000), Some(100_000_u64.div_ceil(16) + 16_511_u64.div_ceil(16) + 1));
}

fn part(count: &ParameterCount, part: Part) -> u64 {
    count.parts.iter().find(|(own, _)| *own == part).map_or(0, |(_, parameters)| *parameters)
}

#[test]
fn weights_are_those_of_the_reference() {
    // Section 2.2: all parameters in 16 bits and a rotary table of 131072 x 128.
    let Some(llama) = model("meta-llama/Llama-3.1-8B") else { return };
    let loaded = weights_per_rank(&llama, &EngineArgs::default()).unwrap();
    let without = |parts: &[Part]| -> u64 {
        let stage = &loaded.stages[0];
        stage.parts.iter().filter(|(part, _)| !parts.contains(part)).map(|(_, bytes)| *bytes).sum()
    };
    assert_eq!(without(&[Part::Buffers, Part::Rounding]), 16_060_522_496);
    let scales = 32 * 4 * 4;
    assert_eq!(without(&[Part::Rounding]) - scales, 16_060_522_496 + (32 << 20));
    assert_eq!(as_printed(16_060_522_496 + (32 << 20), "14.989"), "14.989");
    // Measured by others, to what they print.
    for (id, ranks, printed) in [
        ("meta-llama/Llama-3.1-8B", 1, 14.99),
        ("Qwen/Qwen3-0.6B", 1, 1.12),
        ("Qwen/Qwen3-32B", 1, 61.03),
        ("Qwen/Qwen3-32B", 2, 30.59),
    ] {
        let args =
            EngineArgs { version: EngineVersion::new(0, 11, 0), tensor_parallel_size: ranks, ..EngineArgs::default() };
        let bytes = weights_per_rank(&model(id).unwrap(), &args).unwrap().stages[0].bytes.value;
        let gib = vramscope_core::Bytes::new(bytes).as_f64() / f64::from(1 << 30);
        assert!((gib / printed - 1.0).abs() < 0.004, "{id} on {ranks}: {gib} for {printed}");
    }
    // Section 2.3: what gpt-oss-120b stores.
    let count = parameter_count(&model("openai/gpt-oss-120b").unwrap()).unwrap();
    let matrices = 36 * 128 * 3 * 2880 * 2880_u64;
    assert_eq!((matrices, count.total - matrices), (114_661_785_600, 2_167_371_072));
    assert_eq!(matrices / 32 * 17 + (count.total - matrices) * 2, 65_248_815_744);
    assert!(part(&count, Part::Experts) > matrices, "the experts' biases come on top");
    // Llama-3.1-8B in AWQ of groups of 128: 6.98e9 linear weights of 4.156 bits, embedding and head in 16.
    let mut awq = llama;
    awq.quantization = vramscope_models::read_config(
        br#"{"model_type": "llama", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1,
            "num_attention_heads": 1, "vocab_size": 64, "quantization_config": {"quant_method": "awq", "bits": 4,
            "group_size": 128}}"#,
    )
    .unwrap()
    .0
    .quantization;
    let loaded = weights_on_device(&awq, &EngineArgs::default(), find_device("a100-80g").unwrap()).unwrap();
    let bytes: u64 = loaded.stages[0]
        .parts
        .iter()
        .filter(|(p, _)| !matches!(p, Part::Rounding | Part::Buffers))
        .map(|(_, b)| b)
        .sum();
    assert!((5_720_000_000..5_740_000_000).contains(&bytes), "{bytes}");
}

#[test]
fn logs_are_read_back_as_the_reference_does() {
    // Section 3.8: 28 layers of 4 x 128 heads take 57,344 bytes a token.
    let Some(qwen) = model("Qwen/Qwen2.5-7B") else { return };
    let plan = kv_plan(&qwen, &EngineArgs::default()).unwrap();
    assert_eq!(plan.bytes_per_block, 16 * 57_344);
    // The older token figure of a hybrid: 5.38 GiB of gpt-oss-120b are 78,336 tokens.
    let args = EngineArgs { version: EngineVersion::new(0, 11, 0), ..EngineArgs::default() };
    let given = EngineArgs {
        kv_cache_memory: Some(vramscope_core::Bytes::new(538 * (1_u64 << 30) / 100)),
        max_model_len: Some(8192),
        ..args
    };
    let found = budget(&model("openai/gpt-oss-120b").unwrap(), &given, Setting::alone(find_device("h100").unwrap()));
    assert_eq!(found.unwrap().kv_cache_tokens.value, 78_336);
}

#[test]
fn the_formats_of_the_cache_are_those_of_the_reference() {
    // Sections 3.1 and 3.6, for one layer of one head of 128 and blocks of 16 tokens.
    let config = br#"{"model_type": "llama", "hidden_size": 128, "intermediate_size": 64, "num_hidden_layers": 1,
        "num_attention_heads": 1, "vocab_size": 64, "max_position_embeddings": 64, "dtype": "bfloat16"}"#;
    let (model, _) = vramscope_models::read_config(config).unwrap();
    for (name, per_token) in [
        (None, 2 * 128 * 2),
        (Some("fp8"), 2 * 128),
        (Some("fp8_e5m2"), 2 * 128),
        (Some("int8_per_token_head"), 2 * 128 + 8),
        (Some("fp8_per_token_head"), 2 * 128 + 8),
        (Some("int4_per_token_head"), 128 + 8),
        (Some("nvfp4"), 2 * (64 + 8)),
    ] {
        let args = EngineArgs { kv_cache_dtype: name.map(str::to_owned), ..EngineArgs::default() };
        assert_eq!(kv_plan(&model, &args).unwrap().bytes_per_block, 16 * per_token, "{name:?}");
    }
    let unknown = EngineArgs { kv_cache_dtype: Some("fp7".to_owned()), ..EngineArgs::default() };
    assert!(kv_plan(&model, &unknown).is_err(), "unknown names are refused");
}
