//! What of a config's inner sections nobody understands, or no engine serves, leaves nothing certain.

use serde_json::{Value, json};
use vramscope_core::{Architecture, Matrix, StoredAs};
use vramscope_models::read_config;

fn model(more: &Value) -> Architecture {
    let mut config = json!({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64,
        "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 64,
        "max_position_embeddings": 64});
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    read_config(config.to_string().as_bytes()).unwrap().0
}

fn quantized(section: &Value) -> Architecture {
    model(&json!({"quantization_config": section}))
}

#[test]
fn a_usual_quantization_is_understood() {
    let group = json!({"targets": ["Linear"], "weights": {"num_bits": 8, "type": "float", "strategy": "channel"}});
    for section in [
        json!({"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": true, "version": "gemm"}),
        json!({"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": false, "sym": true, "meta": {"a": 1}}),
        json!({"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128], "fmt": "e4m3"}),
        json!({"quant_method": "bitsandbytes", "load_in_4bit": true, "bnb_4bit_quant_type": "nf4"}),
        json!({"quant_method": "modelopt", "quant_algo": "FP8", "exclude_modules": ["lm_head"], "producer": {"a": "b"}}),
        json!({"quant_method": "compressed-tensors", "config_groups": {"group_0": group}, "ignore": ["lm_head"],
            "format": "float-quantized", "global_compression_ratio": 1.5}),
    ] {
        assert_eq!(quantized(&section).unread, [""; 0], "{section}");
    }
}

#[test]
fn what_of_a_quantization_is_unknown_or_not_served_is_named() {
    let group = |group: Value| json!({"quant_method": "compressed-tensors", "config_groups": {"group_0": group}});
    for (section, name) in [
        (json!({"quant_method": "awq", "bits": 4, "group_size": 128, "outlier_dtype": "fp16"}), "outlier_dtype"),
        (json!({"quant_method": "fp8", "transform_config": {"r1": {"type": "hadamard"}}}), "transform_config"),
        (json!({"quant_method": "modelopt", "quant_algo": "FP8"}), "exclude_modules without lm_head"),
        (group(json!({"targets": ["Linear"]})), "config_groups.*.weights"),
        (group(json!({"targets": ["Conv2d"], "weights": {"num_bits": 8}})), "config_groups.*.targets"),
        (group(json!({"targets": ["Linear"], "weights": {"num_bits": 5}})), "config_groups.*.weights.num_bits"),
        (json!({"quant_method": "gptq", "bits": 3, "group_size": 128}), "bits"),
        (json!({"quant_method": "awq", "group_size": 128}), "bits"),
        (json!({"quant_method": "gptq", "bits": 4, "group_size": 100}), "group_size"),
        (json!({"quant_method": "awq", "bits": 4, "group_size": 128, "ignore": ["mlp"]}), "ignore"),
        (
            json!({"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["lm_head", "model.layers.1*"]}),
            "exclude_modules with a part of a number",
        ),
    ] {
        assert_eq!(quantized(&section).unread, [format!("quantization_config.{name}")], "{section}");
    }
}

#[test]
fn methods_that_compare_whole_names_leave_nothing_alone_for_a_part_of_one() {
    let stored = |method: &str, list: Value| {
        let section = json!({"quant_method": method, "modules_to_not_convert": list});
        quantized(&section).layers[0].stored.of(Matrix::Down)
    };
    assert_eq!(stored("fp8", json!(["mlp"])), StoredAs::Usual);
    assert_eq!(stored("fp8", json!(["model.layers.0.mlp.down_proj"])), StoredAs::Plain);
    assert_eq!(stored("awq", json!(["mlp"])), StoredAs::Plain);
    let section = json!({"quant_method": "fp8", "ignored_layers": ["lm_head"],
        "modules_to_not_convert": ["model.layers.0.mlp.down_proj"]});
    assert_eq!(
        quantized(&section).layers[0].stored.of(Matrix::Down),
        StoredAs::Usual,
        "the first key that is not empty"
    );
    let section = json!({"quant_method": "modelopt", "quant_algo": "FP8", "exclude_modules": ["*"]});
    assert_eq!(quantized(&section).layers[0].stored.of(Matrix::Down), StoredAs::Plain);
}

#[test]
fn types_that_no_engine_computes_in_are_named() {
    assert_eq!(model(&json!({"dtype": "float8_e4m3fn"})).unread, ["dtype"]);
    assert_eq!(model(&json!({"mamba_ssm_dtype": "float12"})).unread, ["mamba_ssm_cache_dtype"]);
}

#[test]
fn a_way_of_stretching_positions_that_no_engine_knows_is_named() {
    let scaled = |kind: &str| model(&json!({"rope_scaling": {"rope_type": kind, "factor": 2.0}})).unread;
    assert_eq!(scaled("linear"), [""; 0]);
    assert_eq!(scaled("spiral"), ["rope_type"]);
}

#[test]
fn a_key_of_a_counted_tower_that_nobody_understands_is_named() {
    let config = |more: &str| {
        let text = format!(
            r#"{{"model_type": "qwen2_5_vl", "architectures": ["Qwen2_5_VLForConditionalGeneration"],
            "tie_word_embeddings": false, "text_config": {{"model_type": "qwen2_5_vl_text", "hidden_size": 64,
            "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2,
            "vocab_size": 64}}, "vision_config": {{"depth": 2, "hidden_size": 64, "intermediate_size": 64,
            "out_hidden_size": 64, "num_heads": 2, "window_size": 112{more}}}}}"#
        );
        read_config(text.as_bytes()).unwrap().0.unread
    };
    assert_eq!(config(""), [""; 0]);
    assert_eq!(config(r#", "num_registers": 64"#), ["vision_config.num_registers"]);
}

#[test]
fn an_activation_or_a_null_that_the_class_does_not_take_is_named() {
    assert_eq!(model(&json!({"hidden_act": "silu"})).unread, [""; 0]);
    assert_eq!(model(&json!({"hidden_act": "gelu"})).unread, ["hidden_act"]);
    assert_eq!(model(&json!({"hidden_act": "relu2"})).unread, ["hidden_act"]);
    assert_eq!(model(&json!({"tie_word_embeddings": null})).unread, ["tie_word_embeddings"]);
    assert_eq!(model(&json!({"num_key_value_heads": null})).unread, [""; 0], "Llama's class takes that of queries");
}

#[test]
fn a_quantization_of_the_older_name_counts() {
    let section = json!({"quant_method": "awq", "bits": 4, "group_size": 128});
    assert!(model(&json!({"compression_config": section})).quantization.is_some());
}
