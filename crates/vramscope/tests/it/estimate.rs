//! `vramscope estimate`: the table, the document, the verdict in the exit code, and what bad input gets.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use snapbox::{assert_data_eq, file};
use vramscope_estimate::SgLangDocument;
use vramscope_estimate::document::EstimateDocument;

use crate::{stderr, stdout, vramscope};

fn estimate(args: &[&str]) -> std::process::Output {
    vramscope(&[&["estimate"], args].concat())
}

/// The document, which must be one of the published type with nothing besides.
fn document(args: &[&str]) -> Value {
    let ran = vramscope(&[&["estimate", "--format", "json"], args].concat());
    let value: Value = serde_json::from_str(&stdout(&ran)).unwrap_or_else(|_| panic!("{}", stderr(&ran)));
    let read: EstimateDocument = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), value, "a field is not in the schema");
    value
}

/// A folder with this config.
fn folder(config: &Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    folder
}

fn llama() -> Value {
    json!({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192,
        "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64,
        "vocab_size": 128256, "tie_word_embeddings": true, "max_position_embeddings": 131072, "dtype": "bfloat16"})
}

/// Runs on a folder with a changed config; the error must name all these words.
fn refused(change: &Value, words: &[&str]) {
    let mut config = llama();
    for (name, value) in change.as_object().unwrap() {
        config[name] = value.clone();
    }
    let model = folder(&config);
    let ran = estimate(&["--gpu", "h100", "--model", model.path().to_str().unwrap()]);
    let said = stderr(&ran);
    assert_eq!((ran.status.code(), stdout(&ran).as_str()), (Some(3), ""), "{change}: {said}");
    for word in words {
        assert!(said.contains(word), "{change}: {word:?} is not in {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_dense_model_that_fits() {
    let ran = estimate(&[
        "--model",
        "Qwen/Qwen3-8B",
        "--gpu",
        "h200",
        "--input-len",
        "2000",
        "--output-len",
        "500",
        "--batch-size",
        "64",
    ]);
    assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
    assert_eq!(stderr(&ran), "");
    assert_data_eq!(stdout(&ran), file!["data/estimate-qwen3-8b.txt"]);
}

#[test]
fn a_hybrid_over_two_devices() {
    let ran = estimate(&["--model", "Qwen/Qwen3-Next-80B-A3B-Instruct", "--gpu", "h100", "-t", "4"]);
    assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
    assert_data_eq!(stdout(&ran), file!["data/estimate-qwen3-next-tp4.txt"]);
}

#[test]
fn memory_by_layer_of_a_hybrid_over_stages_fits_eighty_columns() {
    let model = ["--model", "Qwen/Qwen3-Next-80B-A3B-Instruct", "--gpu", "h100", "-t", "2"];
    let ran = estimate(&[&model[..], &["--per-layer", "--", "--pipeline-parallel-size", "2"]].concat());
    assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
    assert!(stdout(&ran).lines().all(|line| line.chars().count() <= 80), "{}", stdout(&ran));
    assert_data_eq!(stdout(&ran), file!["data/estimate-qwen3-next-per-layer.txt"]);
}

#[test]
fn memory_by_layer_adds_up_in_the_document_and_is_there_where_asked_for() {
    let model = ["--model", "meta-llama/Llama-3.1-8B", "--gpu", "h100"];
    assert!(document(&model)["per_layer"].is_null());
    let found = document(&[&model[..], &["--per-layer"]].concat());
    let [stage] = found["per_layer"].as_array().unwrap().as_slice() else { panic!("{found}") };
    let sum = |rows: &Value, key: &str| -> u64 {
        let times = |row: &Value| row["count"].as_u64().unwrap_or(1);
        rows.as_array().unwrap().iter().map(|row| row[key].as_u64().unwrap() * times(row)).sum()
    };
    let weights = sum(&stage["layers"], "weights_bytes_each") + sum(&stage["outside_layers"], "weights_bytes");
    assert_eq!(stage["weights_bytes"], found["budget"]["weights_bytes"]);
    assert_eq!(stage["weights_bytes"]["value"], weights);
    assert_eq!(stage["kv_cache_bytes"]["value"], found["budget"]["kv_cache_bytes"]["value"]);
    assert_eq!(stage["kv_cache_bytes"]["value"], sum(&stage["kv_sharing"], "bytes"));
    assert_eq!(stage["layers"][0]["layers"], json!([{"first": 0, "last": 31}]));
}

#[test]
fn memory_by_layer_of_other_engines_is_refused_with_what_to_do() {
    for engine in ["llama.cpp", "ollama", "sglang"] {
        let ran = estimate(&["--engine-kind", engine, "--model", "Qwen/Qwen3-8B", "--gpu", "h100", "--per-layer"]);
        let said = stderr(&ran);
        assert_eq!((ran.status.code(), stdout(&ran).as_str()), (Some(2), ""), "{engine}: {said}");
        assert!(said.contains("--per-layer is for vLLM") && said.contains("leave it out"), "{engine}: {said}");
    }
}

#[test]
fn a_length_that_the_engine_refuses_says_which_would_do() {
    let ran = estimate(&["--model", "meta-llama/Llama-3.1-8B", "--gpu", "l4"]);
    assert_eq!(ran.status.code(), Some(8), "the answer is no");
    assert_data_eq!(stdout(&ran), file!["data/estimate-llama-l4.txt"]);
    let found = document(&["--model", "meta-llama/Llama-3.1-8B", "--gpu", "l4"]);
    assert_eq!(found["verdict"]["failure"], "kv_cache_too_small_for_max_model_len");
    let longest = found["verdict"]["longest_model_len"].to_string();
    for (len, code) in [(longest.clone(), 0), ((longest.parse::<u64>().unwrap() + 1).to_string(), 8)] {
        let ran = estimate(&["--model", "meta-llama/Llama-3.1-8B", "--gpu", "l4", "--max-model-len", &len]);
        assert_eq!(ran.status.code(), Some(code), "{len}");
    }
}

#[test]
fn the_failures_are_those_of_the_log_report() {
    let failure = |args: &[&str]| document(args)["verdict"]["failure"].as_str().unwrap_or("none").to_owned();
    let model = ["--model", "meta-llama/Llama-3.1-8B", "--max-model-len", "8192"];
    let with = |more: &[&str]| failure(&[&model, more].concat());
    assert_eq!(with(&["--gpu", "h100"]), "none");
    assert_eq!(with(&["--gpu", "h100", "--gpu-memory-used", "60GiB"]), "free_memory_below_utilization");
    assert_eq!(with(&["--gpu-memory", "12GiB"]), "out_of_memory");
    assert_eq!(
        with(&["--gpu", "h100", "--", "--kv-cache-memory-bytes", "900G"]),
        "out_of_memory",
        "larger than the card"
    );
    assert_eq!(with(&["--gpu", "h100", "--gpu-memory-utilization", "0.19"]), "no_kv_cache_memory");
    assert_eq!(with(&["--gpu-memory", "19GiB"]), "kv_cache_too_small_for_max_model_len");
}

#[test]
fn the_document_has_every_figure_with_its_interval_and_reason() {
    let found = document(&["--model", "openai/gpt-oss-20b", "--gpu", "mi300x", "--max-model-len", "32K"]);
    let budget = found["budget"].as_object().unwrap();
    for name in [
        "requested_bytes",
        "weights_bytes",
        "activation_peak_bytes",
        "cuda_graphs_bytes",
        "non_torch_bytes",
        "runtime_context_bytes",
        "kv_cache_bytes",
        "num_gpu_blocks",
        "block_size",
        "kv_cache_tokens",
        "max_concurrency",
    ] {
        let figure = &budget[name];
        let number = |key: &str| figure[key].as_f64().unwrap_or_else(|| panic!("{name}.{key}"));
        assert!(number("low") <= number("value") && number("value") <= number("high"), "{name}");
        assert!(figure["confidence"].is_string() && figure["method"].is_string(), "{name}");
    }
    assert_eq!(found["engine"]["max_model_len"], 32_768);
    assert_eq!(found["verdict"]["fits"], true);
    assert!(found["workload"].is_null());
}

#[test]
fn arguments_of_the_engine_are_read_as_it_spells_them_and_flags_win() {
    let line = ["--", "vllm", "serve", "Qwen/Qwen3-8B", "--max-num-seqs=64", "--max-model-len", "16k", "--port", "80"];
    let found = document(&[&["--gpu", "h100", "--max-model-len", "4096"][..], &line].concat());
    let engine = &found["engine"];
    assert_eq!((&engine["max_num_seqs"], &engine["max_model_len"]), (&json!(64), &json!(4096)));
    assert_eq!(engine["ignored"], json!(["port"]));
    assert_eq!(found["model"]["name"], "Qwen/Qwen3-8B");
}

#[test]
fn a_configuration_file_of_the_engine_is_read_as_the_engine_reads_it() {
    let folder = folder(&llama());
    let (model, config) = (folder.path().to_str().unwrap(), folder.path().join("serve.yaml"));
    std::fs::write(&config, "max-model-len: 4096\ntensor_parallel_size: 2\nenforce-eager: true\n").unwrap();
    let config = config.to_str().unwrap();
    let inline = format!("--config={config}");
    for words in [&["--config", config][..], &[&inline]] {
        let args = [&["--model", model, "--gpu", "h100", "--"], words, &["--max-model-len", "2048"]].concat();
        let told = document(&args);
        assert_eq!(told["engine"]["tensor_parallel_size"], 2, "{told}");
        assert_eq!(told["engine"]["max_model_len"], 2048, "the command line wins: {told}");
        assert_eq!(told["engine"]["enforce_eager"], true, "{told}");
    }
    std::fs::write(config, "- not\n- a mapping\n").unwrap();
    let output = estimate(&["--model", model, "--gpu", "h100", "--", "--config", config]);
    assert_eq!(output.status.code(), Some(3), "{}", crate::stderr(&output));
    assert!(crate::stderr(&output).contains("serve.yaml"), "{}", crate::stderr(&output));
}

#[test]
fn a_line_is_read_whatever_stands_in_front_of_the_program_and_wherever_the_model_stands() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("engine.yaml");
    fs::write(&config, "model: openai/gpt-oss-20b\nmax-model-len: 4096\n").unwrap();
    let config = config.to_str().unwrap();
    let read = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        document(&[&["--gpu", "h100", "--"], words.as_slice()].concat())
    };
    let model = "meta-llama/Llama-3.1-8B";
    for line in [
        format!("vllm serve {model} --max-model-len 4096"),
        format!("vllm serve --max-model-len 4096 {model}"),
        format!("vllm serve {model} --config {config}"),
        format!("CUDA_VISIBLE_DEVICES=0 numactl -N 0 vllm serve {model} --max-model-len 4096"),
        format!("python3 -m vllm.entrypoints.openai.api_server --model {model} --max-model-len 4096"),
        format!(
            "docker run --gpus all -p 8000:8000 -v c:/root vllm/vllm-openai:latest --model {model} --max-model-len 4096"
        ),
    ] {
        let document = read(&line);
        assert_eq!(document["model"]["name"], model, "{line}");
        assert_eq!(document["engine"]["max_model_len"], 4096, "{line}");
    }
    assert_eq!(read(&format!("vllm serve --config {config}"))["model"]["name"], "openai/gpt-oss-20b");
    let runner = |line: String| read(&line)["engine"]["runner"].clone();
    let plain = runner(format!("vllm serve {model}"));
    assert_ne!(runner(format!("VLLM_USE_V2_MODEL_RUNNER=0 vllm serve {model}")), plain);
}

#[test]
fn words_of_an_engine_without_a_budget_are_not_taken_for_another_engines() {
    for (line, said) in [
        ("ollama run llama3", "`ollama show --modelfile NAME` names it"),
        ("text-generation-launcher --model-id meta-llama/Llama-3.1-8B", "start TGI: budgets are known of"),
    ] {
        let words: Vec<&str> = line.split_whitespace().collect();
        for command in ["estimate", "fit"] {
            let ran = vramscope(&[&[command, "--gpu", "h100", "--"], words.as_slice()].concat());
            assert_eq!(ran.status.code(), Some(2), "{line}");
            assert!(stderr(&ran).contains(said), "{}", stderr(&ran));
        }
    }
    let sglang = ["--", "sglang", "serve", "--model-path", "meta-llama/Llama-3.1-8B"];
    for command in ["fit", "estimate"] {
        let ran = vramscope(&[&[command, "--gpu", "h100", "--engine-kind", "vllm"][..], &sglang].concat());
        assert_eq!(ran.status.code(), Some(2), "{command}");
        assert!(stderr(&ran).contains("start SGLang: `estimate` and `fit` answer for it"), "{}", stderr(&ran));
    }
    let llama = ["--gpu", "h100", "--engine-kind", "vllm", "--", "llama-server", "-m", "a.gguf"];
    let ran = vramscope(&[&["fit"], &llama[..]].concat());
    assert_eq!(ran.status.code(), Some(2));
    assert!(stderr(&ran).contains("start llama.cpp: `estimate` and `fit` answer for it"), "{}", stderr(&ran));
}

/// The document for SGLang, which must be one of the published type with nothing besides.
fn sglang(args: &[&str]) -> (Option<i32>, Value) {
    let ran = vramscope(&[&["estimate", "--format", "json"], args].concat());
    let value: Value = serde_json::from_str(&stdout(&ran)).unwrap_or_else(|_| panic!("{}", stderr(&ran)));
    let read: SgLangDocument = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), value, "a field is not in the schema");
    (ran.status.code(), value)
}

#[test]
fn a_line_of_sglang_is_answered_for_it() {
    let line = ["--", "python3", "-m", "sglang.launch_server", "--model-path", "Qwen/Qwen3-8B", "--port", "30000"];
    let asked = ["--gpu", "b200", "--sglang-version", "0.5.12"];
    let (code, found) = sglang(&[&asked[..], &line].concat());
    assert_eq!((code, found["engine_type"].as_str()), (Some(0), Some("sglang")));
    assert_eq!(found["settings"]["checked"], "logged");
    assert_eq!(found["ignored"], json!(["--port 30000"]));
    // A public log of this model on such a card prints 992896, and 52 and 74 graphs.
    let tokens = found["kv_pool_tokens"]["value"].as_u64().unwrap();
    assert!(tokens.abs_diff(992_896) < 9_928, "{tokens}");
    assert_eq!((&found["settings"]["decode_graphs"], &found["settings"]["prefill_graphs"]), (&json!(52), &json!(74)));
    let (code, told) =
        sglang(&["--gpu", "b200", "--sglang-version", "0.5.12", "--engine-kind", "sglang", "--model", "Qwen/Qwen3-8B"]);
    assert_eq!((code, &told["kv_pool_tokens"]), (Some(0), &found["kv_pool_tokens"]));
}

#[test]
fn what_a_log_of_sglang_prints_as_free_takes_the_place_of_a_device() {
    let printed = [
        "--engine-kind",
        "sglang",
        "--model",
        "Qwen/Qwen3-32B",
        "--sglang-version",
        "0.4.3",
        "--free-before-weights",
        "21.63GiB",
        "--free-after-weights",
        "6.09GiB",
        "--",
        "--tp",
        "4",
    ];
    let (code, found) = sglang(&printed);
    // 6.09 - 21.63 * 0.15 GiB over 65536 bytes.
    assert_eq!((code, found["kv_pool_tokens"]["value"].as_u64()), (Some(0), Some(46_620)));
    assert_eq!(found["settings"]["mem_fraction_static"], 0.85);
    assert_eq!(found["gpu"], Value::Null);
    for (args, word) in [
        (&["--engine-kind", "sglang", "--model", "Qwen/Qwen3-8B"][..], "--gpu"),
        (&["--engine-kind", "sglang", "--model", "Qwen/Qwen3-8B", "--gpu", "h100", "--max-model-len", "9"], "vLLM"),
        (&["--model", "Qwen/Qwen3-8B", "--gpu", "h100", "--sglang-version", "0.5.12"], "--engine-kind sglang"),
        (&["--gpu", "h100", "--sglang-version", "new", "--", "sglang", "serve", "--model-path", "a"], "0.5.12"),
        (
            &[&["--gpu", "l4"][..], &printed]
                .concat()
                .iter()
                .map(|word| if *word == "21.63GiB" { "40GiB" } else { *word })
                .collect::<Vec<_>>(),
            "the device has 22.03 GiB",
        ),
        (
            &["--gpu", "h100", "--", "sglang", "serve", "--model-path", "Qwen/Qwen3-8B", "--context-length", "99999"],
            "refuses more",
        ),
    ] {
        let ran = estimate(args);
        assert!(matches!(ran.status.code(), Some(2 | 3)), "{args:?}");
        assert!(stderr(&ran).contains(word), "{args:?}: {}", stderr(&ran));
    }
}

#[test]
fn a_shape_given_by_hand_is_marked_as_such() {
    let shape = ["--num-layers", "32", "--num-heads", "32", "--hidden-size", "4096", "--max-model-len", "4096"];
    let found = document(&[&["--gpu-memory", "24GiB", "--model-params", "6.7e9"][..], &shape].concat());
    assert_eq!(found["model"]["known_family"], false);
    assert!(!found["model"]["notes"].as_array().unwrap().is_empty());
    let parameters = found["model"]["parameters"].as_f64().unwrap();
    assert!((parameters / 6.7e9 - 1.0).abs() < 0.01, "{parameters}");
}

#[test]
fn an_unknown_id_gets_suggestions() {
    let ran = estimate(&["--model", "Qwen/Qwen3-9B", "--gpu", "h100"]);
    assert_eq!((ran.status.code(), stdout(&ran).as_str()), (Some(3), ""));
    assert!(stderr(&ran).contains("Qwen/Qwen3-8B"), "{}", stderr(&ran));
}

#[test]
fn wrong_arguments_are_usage_errors_that_say_what_is_expected() {
    for (args, word) in [
        (&["--model", "Qwen/Qwen3-8B"][..], "--gpu"),
        (&["--gpu", "h100"], "--model"),
        (&["--model", "Qwen/Qwen3-8B", "--gpu", "h9000"], "h200"),
        (&["--model", "Qwen/Qwen3-8B", "--gpu-memory", "80 parsec"], "80GiB"),
        (&["--model", "Qwen/Qwen3-8B", "--gpu", "h100", "--gpu-memory-utilization", "1.5"], "--gpu-memory-utilization"),
        (&["--model", "Qwen/Qwen3-8B", "--gpu", "h100", "--vllm-version", "new"], "0.25.1"),
        (&["--model", "Qwen/Qwen3-8B", "--gpu", "h100", "--tensor-parallel-size", "0"], "--tensor-parallel-size"),
        (&["--model", "Qwen/Qwen3-8B", "--gpu", "h100", "--input-len", "5"], "--output-len"),
    ] {
        let ran = estimate(args);
        assert_eq!((ran.status.code(), stdout(&ran).as_str()), (Some(2), ""), "{args:?}: {}", stderr(&ran));
        assert!(stderr(&ran).contains(word), "{args:?}: {}", stderr(&ran));
    }
}

#[test]
fn what_the_engine_cannot_split_is_said_with_the_numbers() {
    let ran = estimate(&["--model", "Qwen/Qwen3-8B", "--gpu", "h100", "--tensor-parallel-size", "3"]);
    assert_eq!(ran.status.code(), Some(3));
    assert!(stderr(&ran).contains("--tensor-parallel-size = 3"), "{}", stderr(&ran));
}

#[test]
fn configs_that_make_no_sense_name_the_field() {
    refused(&json!({"num_attention_heads": 0}), &["num_attention_heads", "0"]);
    refused(
        &json!({"num_attention_heads": 30, "num_key_value_heads": null, "head_dim": null}),
        &["hidden_size", "num_attention_heads"],
    );
    refused(&json!({"num_key_value_heads": 5}), &["num_key_value_heads", "num_attention_heads"]);
    refused(&json!({"n_layer": 17}), &["n_layer", "num_hidden_layers"]);
    refused(&json!({"layer_types": ["full_attention"]}), &["layer_types", "1 entries for 16 layers"]);
    refused(&json!({"hidden_size": null}), &["hidden_size"]);
    refused(&json!({"hidden_size": "wide"}), &["hidden_size", "wide"]);
    refused(&json!({"hidden_size": -1}), &["hidden_size", "-1"]);
    refused(&json!({"hidden_size": 1_u64 << 40}), &["hidden_size"]);
    refused(&json!({"num_hidden_layers": 1_000_000}), &["num_hidden_layers"]);
    refused(&json!({"vocab_size": u64::MAX}), &["vocab_size"]);
    refused(&json!({"hidden_size": 1 << 30, "intermediate_size": 1 << 30}), &["hidden_size"]);
    refused(
        &json!({"model_type": "mixtral", "num_experts": 4, "num_experts_per_tok": 8}),
        &["num_experts_per_tok", "num_experts"],
    );
    refused(&json!({"quantization_config": {"quant_method": "magic"}}), &["magic"]);
    refused(&json!({"quantization_config": {"quant_method": "awq", "group_size": -7}}), &["group_size"]);
}

#[test]
fn a_config_of_a_hundred_megabytes_is_refused_unread() {
    let model = tempfile::tempdir().unwrap();
    let path = model.path().join("config.json");
    // A file with a hole: it claims its size and takes no room.
    fs::File::create(&path).unwrap().set_len(100 << 20).unwrap();
    let ran = estimate(&["--gpu", "h100", "--model", model.path().to_str().unwrap()]);
    assert_eq!(ran.status.code(), Some(3));
    assert!(stderr(&ran).contains("config.json") && stderr(&ran).contains("8388608"), "{}", stderr(&ran));
}

#[test]
fn a_file_that_is_no_json_or_is_not_there_is_named() {
    let model = tempfile::tempdir().unwrap();
    let path = model.path().join("config.json");
    let run = || estimate(&["--gpu", "h100", "--model", model.path().to_str().unwrap()]);
    assert!(stderr(&run()).contains("config.json"));
    for (text, word) in [("", "line 1"), ("{\"hidden_size\": ", "line 1"), ("[1]", "object"), ("\u{0}", "line 1")] {
        fs::write(&path, text).unwrap();
        let ran = run();
        assert_eq!(ran.status.code(), Some(3), "{text:?}");
        assert!(stderr(&ran).contains(word) && stderr(&ran).contains("config.json"), "{text:?}: {}", stderr(&ran));
    }
    fs::write(&path, "[".repeat(100_000)).unwrap();
    assert_eq!(run().status.code(), Some(3), "nesting is bounded");
}

fn write_tensors(folder: &Path, header: &str, claimed: u64) {
    let mut file = claimed.to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    fs::write(folder.join("model.safetensors"), file).unwrap();
}

#[test]
fn a_hostile_header_of_a_checkpoint_is_refused() {
    let model = folder(&llama());
    let run = || estimate(&["--gpu", "h100", "--model", model.path().to_str().unwrap()]);
    let good = r#"{"w":{"dtype":"BF16","shape":[0],"data_offsets":[0,0]}}"#;
    for (header, claimed, word) in [
        (good, u64::MAX, "the length of the header"),
        (good, 1 << 40, "the length of the header"),
        ("", 8, "the length of the header"),
        ("[]", 2, "`{`"),
        ("{{", 2, "JSON"),
        (r#"{"w":{"dtype":"BF16","shape":[99],"data_offsets":[0,198]}}"#, 58, "the end of a tensor's data"),
    ] {
        write_tensors(model.path(), header, claimed);
        let ran = run();
        let said = stderr(&ran);
        assert_eq!((ran.status.code(), stdout(&ran).as_str()), (Some(3), ""), "{header}: {said}");
        assert!(said.contains("model.safetensors") && said.contains(word), "{header}: {said}");
    }
    write_tensors(model.path(), good, good.len() as u64);
    let ran = run();
    assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
    assert!(stdout(&ran).contains("Note: the checkpoint stores 0 elements"), "{}", stdout(&ran));
}

#[test]
fn an_index_that_leads_out_of_its_folder_is_refused() {
    let model = folder(&llama());
    let index = model.path().join("model.safetensors.index.json");
    fs::write(&index, r#"{"weight_map": {"w": "../../secret.safetensors"}}"#).unwrap();
    let ran = estimate(&["--gpu", "h100", "--model", model.path().to_str().unwrap()]);
    assert_eq!(ran.status.code(), Some(3));
    assert!(stderr(&ran).contains("index.json"), "{}", stderr(&ran));
}

#[test]
fn the_drafter_stands_in_the_head_and_in_the_document() {
    let base = ["--model", "Qwen/Qwen3-8B", "--gpu", "h200"];
    let lookup = ["--", "--speculative-config", r#"{"method": "ngram", "num_speculative_tokens": 4}"#];
    let said = stdout(&estimate(&[&base[..], &lookup[..]].concat()));
    assert!(said.contains("drafter ngram: 4 tokens ahead"), "{said}");
    let told = document(&[&base[..], &lookup[..]].concat());
    assert_eq!(told["engine"]["drafter"], json!({"method": "ngram", "num_speculative_tokens": 4}));
    // 57 sizes in place of 51: the engine adds those of steps in which every request has five tokens.
    assert_eq!(told["engine"]["cuda_graph_sizes"], 57);
    let alone = document(&base);
    assert_eq!((&alone["engine"]["drafter"], &alone["engine"]["cuda_graph_sizes"]), (&Value::Null, &json!(51)));
}

#[test]
fn the_longest_length_is_found_where_it_is_left_to_the_engine() {
    let base = ["--model", "Qwen/Qwen3-8B", "--gpu", "h200", "--vllm-version"];
    let auto = ["--max-model-len", "auto", "--", "--kv-cache-memory-bytes", "3000000000"];
    // 1271 blocks of 16 tokens, one of which newer releases keep back.
    for (version, length) in [("0.25.1", 20_336), ("0.33.0", 20_320)] {
        let told = document(&[&base[..], &[version], &auto[..]].concat());
        assert_eq!((&told["engine"]["max_model_len"], &told["verdict"]["fits"]), (&json!(length), &json!(true)));
    }
    let ample = document(&[&base[..], &["0.33.0", "--max-model-len", "auto"]].concat());
    assert_eq!(ample["engine"]["max_model_len"], 40_960);
}

/// What the help calls the default is the newest release that was read.
#[test]
fn the_help_names_the_releases_that_are_assumed() {
    use vramscope_estimate::{EngineVersion, OllamaVersion, SgLangVersion};
    let help = stdout(&vramscope(&["estimate", "--help"]));
    let words: Vec<&str> = help.split_whitespace().collect();
    let help = words.join(" ");
    for (option, release) in [
        ("--vllm-version", EngineVersion::NEWEST.to_string()),
        ("--sglang-version", SgLangVersion::NEWEST.to_string()),
        ("--ollama-version", OllamaVersion::NEWEST.to_string()),
    ] {
        let behind = help.split_once(option).expect("the option is there").1;
        let default = behind.split_once("[default: ").expect("it has a default").1;
        assert!(default.starts_with(&release), "{option}: {release} is the newest, and the help says {default:.20}");
    }
}
