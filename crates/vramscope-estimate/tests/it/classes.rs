//! What classes of vLLM do that configs do not say. The figures are the engine's own (0.33.0 unless said), asked for the
//! class's default config.

use serde_json::{Value, json};
use vramscope_core::{Architecture, Confidence};
use vramscope_estimate::{
    EngineArgs, EstimateError, Part, Setting, budget, find_device, kv_plan, weights_on_device, weights_per_rank,
};

/// A small decoder with other fields in place of its own.
fn model(fields: &Value) -> Architecture {
    let mut config = json!({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 768,
        "intermediate_size": 1024, "num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": 8,
        "vocab_size": 1024, "max_position_embeddings": 4096, "dtype": "bfloat16"});
    for (name, value) in fields.as_object().unwrap() {
        config[name] = value.clone();
    }
    vramscope_models::read_config(config.to_string().as_bytes()).unwrap().0
}

fn over(ranks: u64) -> EngineArgs {
    EngineArgs { tensor_parallel_size: ranks, ..EngineArgs::default() }
}

fn of(version: &str) -> EngineArgs {
    EngineArgs { version: version.parse().unwrap(), ..EngineArgs::default() }
}

#[test]
fn ranks_must_divide_the_heads_of_a_tower_that_they_split() {
    let vision = json!({"model_type": "siglip_vision_model", "hidden_size": 96, "intermediate_size": 192,
        "num_hidden_layers": 2, "num_attention_heads": 12, "image_size": 56, "patch_size": 14});
    let model = model(&json!({"vision_config": vision}));
    assert!(weights_per_rank(&model, &over(4)).is_ok());
    let refused = weights_per_rank(&model, &over(8)).unwrap_err();
    assert!(matches!(refused, EstimateError::NotDivisible { size: 12, ways: 8, .. }), "{refused}");
    let without = EngineArgs { language_model_only: true, ..over(8) };
    assert!(weights_per_rank(&model, &without).is_ok());
}

#[test]
fn latents_that_are_cached_head_by_head_take_the_room_of_all_heads() {
    let model = model(&json!({"model_type": "minicpm3", "architectures": ["MiniCPM3ForCausalLM"], "hidden_size": 2560,
        "num_hidden_layers": 62, "num_attention_heads": 40, "num_key_value_heads": 40, "kv_lora_rank": 256,
        "q_lora_rank": 768, "qk_nope_head_dim": 64, "qk_rope_head_dim": 32, "v_head_dim": 64}));
    assert_eq!(kv_plan(&model, &over(1)).unwrap().bytes_per_block, 62 * 245_760);
    assert_eq!(kv_plan(&model, &over(8)).unwrap().bytes_per_block, 62 * 30_720);
}

#[test]
fn models_of_a_recurrence_alone_take_a_length_of_their_own_and_one_state_a_request() {
    let model = |kind: &str| {
        let mut config = json!({"model_type": kind, "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 64,
            "state_size": 16, "num_heads": 8, "head_dim": 16, "n_groups": 1, "expand": 2, "conv_kernel": 4});
        if kind != "mamba2" {
            config["intermediate_size"] = json!(128);
        }
        vramscope_models::read_config(config.to_string().as_bytes()).unwrap().0
    };
    for kind in ["mamba", "mamba2", "falcon_mamba"] {
        let device = Setting::alone(find_device("h200").unwrap());
        let length = |args: &EngineArgs| budget(&model(kind), args, device).unwrap().engine.max_model_len;
        assert_eq!(length(&over(1)), 2048, "{kind}");
        let asked = EngineArgs { max_model_len: Some(1 << 20), ..EngineArgs::default() };
        assert_eq!(length(&asked), 1 << 20, "{kind}: any length is accepted where none is stated");
        assert_eq!(kv_plan(&model(kind), &over(1)).unwrap().blocks_per_request(2048), Some(1), "{kind}");
    }
}

#[test]
fn kimis_latents_must_be_without_positions_since_0_28() {
    let kimi = |fields: Value| {
        let mut config = json!({"model_type": "kimi_linear", "architectures": ["KimiLinearForCausalLM"],
            "kv_lora_rank": 64, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 32, "linear_attn_config":
            {"num_heads": 8, "head_dim": 32, "short_conv_kernel_size": 4, "full_attn_layers": [2], "kda_layers": [1]}});
        fields.as_object().unwrap().iter().for_each(|(name, value)| config[name] = value.clone());
        model(&config)
    };
    let plain = kimi(json!({}));
    assert!(weights_per_rank(&plain, &of("0.25.1")).is_ok());
    for version in ["0.28.0", "0.33.0"] {
        let refused = weights_per_rank(&plain, &of(version)).unwrap_err();
        assert!(matches!(refused, EstimateError::Refused { .. }), "{version}: {refused}");
        assert!(weights_per_rank(&kimi(json!({"mla_use_nope": true})), &of(version)).is_ok(), "{version}");
    }
}

#[test]
fn no_kernel_of_hopper_reads_the_8_bits_that_a_sparse_checkpoint_declares() {
    let model = model(&json!({"model_type": "deepseek_v32", "architectures": ["DeepseekV32ForCausalLM"],
        "kv_lora_rank": 512, "q_lora_rank": 64, "qk_nope_head_dim": 32, "qk_rope_head_dim": 64, "v_head_dim": 32,
        "index_n_heads": 4, "index_head_dim": 128, "index_topk": 64, "quantization_config":
        {"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_quant_algo": "FP8", "exclude_modules": []}}));
    let loads = |device: &str, args: &EngineArgs| weights_on_device(&model, args, find_device(device).unwrap());
    let refused = loads("h200", &over(1)).unwrap_err();
    assert!(matches!(refused, EstimateError::Refused { .. }), "{refused}");
    assert!(loads("b200", &over(1)).is_ok());
    let asked = EngineArgs { kv_cache_dtype: Some("fp8".to_owned()), ..EngineArgs::default() };
    assert!(loads("h200", &asked).is_ok());
}

#[test]
fn classes_that_give_out_vectors_are_not_certain_and_those_that_write_are() {
    let named = |class: &str| model(&json!({"architectures": [class]})).unread;
    for class in ["Qwen2ForRewardModel", "LlamaModel", "GPT2ForSequenceClassification", "BertForTokenClassification"] {
        assert_eq!(named(class), ["architectures"], "{class}");
    }
    for class in ["LlamaForCausalLM", "InternVLChatModel", "ChatGLMModel", "UltravoxModel", "GPT2LMHeadModel"] {
        assert!(named(class).is_empty(), "{class}");
    }
}

#[test]
fn what_a_config_leaves_open_of_a_rotation_is_as_its_class_has_it() {
    let width = |fields: Value| model(&fields).rotary[0].width;
    assert_eq!(width(json!({})), 96);
    // Its class has heads of 128 where a file states no width.
    assert_eq!(width(json!({"model_type": "glm4"})), 64);
    assert_eq!(width(json!({"model_type": "stablelm"})), 24);
    assert_eq!(width(json!({"model_type": "glm4", "partial_rotary_factor": 1.0, "head_dim": null})), 96);
    assert_eq!(width(json!({"model_type": "glm4", "rope_parameters": {"partial_rotary_factor": 0.25}})), 32);
}

#[test]
fn a_class_that_a_release_does_not_have_leaves_nothing_certain() {
    let model = model(&json!({"architectures": ["VaultGemmaForCausalLM"]}));
    let told = |version: &str| {
        let device = find_device("h200").unwrap();
        let budget = budget(&model, &of(version), Setting::alone(device)).unwrap();
        let named = budget.notes.iter().any(|note| note.contains("VaultGemmaForCausalLM"));
        (named, budget.weights.confidence == Confidence::Assumed, budget.verdict.certain)
    };
    assert_eq!(told("0.25.1"), (true, true, false));
    assert_eq!(told("0.33.0"), (false, false, true));
}

/// Bytes of a part on each of two stages.
fn on_stages(model: &Architecture, part: Part, version: &str) -> Vec<u64> {
    let args = EngineArgs { pipeline_parallel_size: 2, ..of(version) };
    let bytes = |parts: &[(Part, u64)]| parts.iter().find(|(own, _)| *own == part).map_or(0, |(_, bytes)| *bytes);
    weights_per_rank(model, &args).unwrap().stages.iter().map(|stage| bytes(&stage.parts)).collect()
}

#[test]
fn a_stage_holds_what_its_class_makes_without_asking_where_it_stands() {
    let table = 1024 * 768 * 2;
    let ends = |kind: &str| {
        let model = model(&json!({"model_type": kind}));
        [Part::Embedding, Part::Head].map(|part| on_stages(&model, part, "0.33.0"))
    };
    assert_eq!(ends("llama"), [vec![table, 0], vec![0, table]]);
    assert_eq!(ends("mixtral"), [vec![table; 2], vec![table; 2]]);
    assert_eq!(ends("qwen3_5_text"), [vec![table; 2], vec![0, table]]);
}

#[test]
fn towers_stand_on_every_stage_until_0_32() {
    let vision = json!({"model_type": "siglip_vision_model", "hidden_size": 96, "intermediate_size": 192,
        "num_hidden_layers": 2, "num_attention_heads": 12, "image_size": 56, "patch_size": 14});
    let model = model(&json!({"vision_config": vision}));
    for (version, twice) in [("0.25.1", true), ("0.32.0", true), ("0.33.0", false)] {
        let [first, last] = on_stages(&model, Part::Tower, version)[..] else { panic!("two stages") };
        assert!(first > 0);
        assert_eq!(last, if twice { first } else { 0 }, "{version}");
    }
}

/// `LoRA is not supported for FalconForCausalLM`; and a count of experts that only the class's default states.
#[test]
fn adapters_and_experts_are_refused_where_the_engine_refuses_them() {
    let adapters = EngineArgs { lora: Some(vramscope_estimate::Lora { max_loras: 1, max_rank: 16 }), ..over(1) };
    let falcon = model(&json!({"architectures": ["FalconForCausalLM"]}));
    assert!(weights_per_rank(&falcon, &over(1)).is_ok());
    let refused = weights_per_rank(&falcon, &adapters).unwrap_err().to_string();
    assert!(refused.contains("LoRA adapters for `FalconForCausalLM`"), "{refused}");
    assert!(weights_per_rank(&model(&json!({})), &adapters).is_ok());

    let dealt = EngineArgs { enable_expert_parallel: true, ..over(2) };
    assert!(matches!(weights_per_rank(&model(&json!({})), &dealt), Err(EstimateError::BadArgument { .. })));
    let config = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models/nemotron-h-56b/config.json");
    let nemotron = vramscope_models::read_config(&std::fs::read(config).unwrap()).unwrap().0;
    assert_eq!(weights_per_rank(&nemotron, &dealt).unwrap(), weights_per_rank(&nemotron, &over(2)).unwrap());
}

/// Four ranks of vLLM 0.33.0, which serves GPT-BigCode by transformers' class, hold 144,816,832 bytes each.
#[test]
fn a_rank_may_hold_all_of_a_class_that_the_release_lacks() {
    let config = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models/gpt-bigcode/config.json");
    let model = vramscope_models::read_config(&std::fs::read(config).unwrap()).unwrap().0;
    let stated = &weights_per_rank(&model, &over(4)).unwrap().stages[0].bytes;
    assert!(stated.contains(144_816_832) && stated.confidence == Confidence::Assumed, "{stated:?}");
}

/// Three layers of the tower are added in the decoder: 3 x 8192 x 2048 x 2 bytes that are made with the model and are no
/// parameters. vLLM 0.33.0 counted 145,670,368 bytes beside Qwen3-VL-2B's weights with adapters, which take some 44 MB.
#[test]
fn a_step_of_the_towers_layers_that_the_decoder_adds_is_counted() {
    let config = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models/qwen3-vl-2b/config.json");
    let model = vramscope_models::read_config(&std::fs::read(config).unwrap()).unwrap().0;
    let device = find_device("h200").unwrap();
    let room = 3 * 8192 * 2048 * 2;
    for version in ["0.25.1", "0.33.0"] {
        let with = EngineArgs { max_num_batched_tokens: Some(8192), ..of(version) };
        let without = EngineArgs { language_model_only: true, ..with.clone() };
        let [with, without] = [with, without].map(|args| budget(&model, &args, Setting::alone(device)).unwrap());
        // The states that pictures are merged into are the runner's own since it is counted.
        let merged = if version == "0.33.0" { 8192 * 2048 * 2 } else { 0 };
        assert_eq!(with.held.value - without.held.value, room + merged, "{version}");
        assert!(with.weights.high >= with.weights.value + room, "the engine counts it as loaded: {:?}", with.weights);
    }
}
