//! `vramscope analyze`.

use std::fs;

use snapbox::{assert_data_eq, file};
use tempfile::TempDir;

use crate::gguf::header;
use crate::{stderr, stdout, vramscope};

#[test]
fn a_compiled_engine() {
    let output = vramscope(&["analyze", "examples/llama-3.1-8b"]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    assert_data_eq!(stdout(&output), file!["data/analyze-llama-3.1-8b.txt"]);
}

#[test]
fn a_neighbour_on_the_same_gpu() {
    let output = vramscope(&["analyze", "examples/noisy-neighbour"]);
    assert_data_eq!(stdout(&output), file!["data/analyze-noisy-neighbour.txt"]);
}

#[test]
fn a_failed_start_is_a_result_with_its_own_exit_code() {
    let output = vramscope(&["analyze", "examples/kv-cache-too-small"]);
    assert_eq!(output.status.code(), Some(6));
    assert_eq!(stderr(&output), "the engine's log: examples/kv-cache-too-small/vllm.log\n");
    assert_data_eq!(stdout(&output), file!["data/analyze-kv-cache-too-small.txt"]);
}

#[test]
fn no_line_is_wider_than_a_terminal_of_80_columns() {
    for example in ["llama-3.1-8b", "noisy-neighbour", "kv-cache-too-small"] {
        let output = vramscope(&["analyze", &format!("examples/{example}")]);
        for line in stdout(&output).lines() {
            assert!(line.chars().count() <= 80, "{example}: {line:?}");
        }
    }
}

#[test]
fn a_file_in_place_of_a_folder_is_told_which_flag_it_belongs_to() {
    let output = vramscope(&["analyze", "examples/llama-3.1-8b/vllm.log"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("--engine-log examples/llama-3.1-8b/vllm.log"), "{}", stderr(&output));
}

#[test]
fn json_is_the_document_and_nothing_else() {
    let output = vramscope(&["analyze", "examples/noisy-neighbour", "--format", "json"]);
    let loaded = vramscope_schema::read(&output.stdout).expect("stdout is one profile");
    assert_eq!(loaded.notes.len(), 0);
    let mut again = Vec::new();
    vramscope_schema::write(&loaded.profile, &mut again).unwrap();
    assert!(again == output.stdout, "reading and writing changes the document");
}

#[test]
fn a_profile_is_written_whole_beside_the_table() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("deep/er/profile.json");
    let output = vramscope(&["analyze", "examples/noisy-neighbour", "-o", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stderr(&output).contains("profile written to"));
    vramscope_schema::read(&fs::read(&path).unwrap()).expect("a profile");
    let names: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["profile.json"], "no temporary file is left");
}

#[test]
fn what_cannot_be_written_is_said_and_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a-file");
    fs::write(&file, "x").unwrap();
    let below = file.join("profile.json");
    let output = vramscope(&["analyze", "examples/noisy-neighbour", "-o", below.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert_eq!(fs::read(&file).unwrap(), b"x");
}

#[test]
fn bad_evidence_has_an_exit_code_and_names_the_file() {
    let folder = TempDir::new().unwrap();
    let junk = folder.path().join("gpu.csv");
    fs::write(&junk, [0, 159, 146, 150, 10, 255, 0]).unwrap();
    let empty = TempDir::new().unwrap();
    let named = |flag: &str| vramscope(&["analyze", flag, junk.to_str().unwrap()]);
    for (output, code, words) in [
        (vramscope(&["analyze", folder.path().to_str().unwrap()]), 3, "gpu.csv"),
        (vramscope(&["analyze", empty.path().to_str().unwrap()]), 3, "engine.log"),
        (vramscope(&["analyze", "no/such/folder"]), 3, "no/such/folder"),
        (named("--engine-log"), 3, "gpu.csv"),
        (vramscope(&["analyze"]), 2, "--engine-log"),
        (vramscope(&["analyze", "--no-such-flag"]), 2, "--no-such-flag"),
    ] {
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stderr(&output).contains(words), "{:?} should name {words:?}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn help_has_examples_and_exit_codes() {
    let help = stdout(&vramscope(&["analyze", "--help"]));
    assert!(help.contains("Examples:") && help.contains("Exit codes:"), "{help}");
}

#[test]
fn what_the_guides_of_earlier_profilers_look_up_is_there() {
    let output = vramscope(&["analyze", "examples/llama-3.1-8b", "--format", "json"]);
    let profile: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for pointer in [
        "/profiler_version",
        "/schema_version",
        "/metadata/timestamp",
        "/model_info/name",
        "/model_info/num_parameters",
        "/model_info/num_layers",
        "/model_info/dtype",
        "/memory_measurements/baseline/total_gb",
        "/memory_measurements/post_warmup/total_gb",
        "/memory_measurements/peak/total_gb",
        "/memory_measurements/peak/per_gpu_stats/stddev_gb",
        "/memory_measurements/peak/per_gpu_details/0",
        "/memory_measurements/memory_increase_gb",
        "/memory_breakdown/total_measured_gb",
        "/memory_breakdown/net_increase_gb",
        "/memory_breakdown/model_weights_gb",
        "/memory_breakdown/kv_cache_gb",
        "/memory_breakdown/activations_gb",
        "/memory_breakdown/framework_overhead_gb",
        "/memory_breakdown/overhead_percentage",
        "/memory_breakdown/confidence_levels/overall",
        "/memory_breakdown/vllm_reported_values_used/weights",
        "/vllm_internal_metrics/num_gpu_blocks",
        "/vllm_internal_metrics/block_size",
        "/vllm_internal_metrics/total_gpu_kv_cache_gb",
        "/vllm_internal_metrics/attention_backend",
        "/vllm_internal_metrics/activations_gb",
        "/vllm_internal_metrics/total_allocated_gb",
        "/vllm_internal_metrics/max_model_len",
        "/vllm_internal_metrics/cuda_graphs_enabled",
        "/memory_timeline/p95_gb",
        "/memory_timeline/num_samples",
        "/memory_timeline/timeline/0/memory_gb",
        "/memory_timeline/extended/power/mean_w",
        "/memory_timeline/extended/temperature/max_c",
        "/detailed_gpu_metrics/gpus/0/vram_used_mb",
        "/latency_stats/mean_latency_ms",
        "/latency_stats/tokens_per_second",
        "/engine_metadata/engine_version",
        "/engine_metadata/engine_type",
        "/gpu_info/num_gpus",
        "/gpu_info/gpu_memory_per_device/0/used_gb",
        "/raw_logs/files/0/file",
    ] {
        assert!(profile.pointer(pointer).is_some_and(|v| !v.is_null()), "{pointer}");
    }
}

#[test]
fn a_model_file_is_used_where_it_is_the_logs_and_told_where_not() {
    let (folder, model) = header("qwen3-4b-q4km");
    let notes = |log: &str| {
        let path = folder.path().join("engine.log");
        fs::write(&path, log).unwrap();
        let model = model.to_str().unwrap();
        let output = vramscope(&["analyze", "--engine-log", path.to_str().unwrap(), "--model", model]);
        stdout(&output).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let llama = |arch: &str, layers: u32, size: &str| {
        format!(
            "print_info: file size   = {size} GiB (4.85 BPW)\nprint_info: arch                  = {arch}\nload_tensors: offloaded {layers}/{layers} layers to GPU\nload_tensors:        CUDA0 model buffer size =  2357.26 MiB\n"
        )
    };
    let told = "is not the model of the log";
    assert!(!notes(&llama("qwen3", 37, "2.32")).contains(told));
    for (arch, layers, size) in [("llama", 37, "2.32"), ("qwen3", 29, "2.32"), ("qwen3", 37, "4.00")] {
        assert!(notes(&llama(arch, layers, size)).contains(told), "{arch} {layers} {size}");
    }
    let sglang = notes(
        "[2026-04-27 02:36:06 TP0] Load weight end. elapsed=1.97 s, type=Qwen3ForCausalLM, avail mem=62.30 GB, mem usage=15.28 GB.\n",
    );
    assert!(sglang.contains("what SGLang takes is not predicted from such a file here"), "{sglang}");
}

/// The recording of analysis, with the snapshots of the crate that reads them.
#[test]
fn snapshots_of_the_allocator_are_joined_with_the_card() {
    let run = TempDir::new().unwrap();
    let crates = crate::root().join("crates");
    for name in ["vllm.log", "gpu.csv.gz", "config.json"] {
        fs::copy(crates.join("vramscope-analysis/tests/it/data/allocator").join(name), run.path().join(name)).unwrap();
    }
    for name in ["captured", "asleep", "oom"].map(|name| format!("vllm-8b-{name}.pickle.gz")) {
        fs::copy(crates.join("vramscope-snapshot/tests/it/data").join(&name), run.path().join(&name)).unwrap();
    }
    let output = vramscope(&["analyze", run.path().to_str().unwrap()]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    let text = stdout(&output);
    let (from, to) = (text.find("Inside the allocator").unwrap(), text.find("Predicted beside").unwrap());
    assert_data_eq!(&text[from..to], file!["data/analyze-allocator.txt"]);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

/// A path of the workspace, in whose root the command is started.
fn of_root(path: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// A copy of a recording, to which something is added or from which something is taken.
fn copy_of(example: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(of_root(example)).unwrap().map(Result::unwrap).filter(|file| file.path().is_file()) {
        std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    folder
}

#[test]
fn a_runs_layers_are_those_of_an_estimate_with_its_own_blocks_beside_what_it_states() {
    let folder = copy_of("examples/llama-3.1-8b");
    let captured = "crates/vramscope-snapshot/tests/it/data/vllm-8b-captured.pickle.gz";
    std::fs::copy(of_root(captured), folder.path().join("rank0.pickle.gz")).unwrap();
    let path = folder.path().display().to_string();
    let json = |args: &[&str]| -> serde_json::Value {
        let ran = vramscope(args);
        assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
        serde_json::from_str(&stdout(&ran)).unwrap()
    };
    let found = json(&["analyze", &path, "--per-layer", "--format", "json"]);
    assert_eq!((&found["vramscope_run_layers"], &found["engine_version"]), (&1.into(), &"0.25.1".into()));
    let blocks = found["stated_blocks"].as_u64().unwrap();
    let line = format!("vllm serve x --num-gpu-blocks-override {blocks}");
    let mut words = vec![
        "estimate",
        "--gpu",
        "h200",
        "--vllm-version",
        "0.25.1",
        "--model",
        &path,
        "--per-layer",
        "--format",
        "json",
    ];
    words.push("--");
    words.extend(line.split(' ').map(|word| if word == "x" { path.as_str() } else { word }));
    let estimated = vramscope(&words);
    let estimated: serde_json::Value = serde_json::from_str(&stdout(&estimated)).expect("the output is JSON");
    let layers = |document: &serde_json::Value| document["per_layer"][0]["layers"].clone();
    assert_eq!(layers(&found), layers(&estimated), "the same columns, by the same rules");
    let rows = found["beside"].as_array().unwrap();
    let row = |what: &str, source: &str| {
        rows.iter().find(|row| row["what"] == what && row["source"] == source).unwrap_or_else(|| panic!("{rows:?}"))
    };
    for what in ["weights", "kv_cache"] {
        let row = row(what, "log");
        let (differs, within) = (row["difference_bytes"].as_i64().unwrap(), row["resolution_bytes"].as_i64().unwrap());
        assert!(differs.abs() <= within, "{row}");
        assert_eq!(row["summed_bytes"].as_i64().unwrap() - row["stated_bytes"].as_i64().unwrap(), differs);
    }
    // The snapshot is of the same model, in another release: its weights are these, but for a few small blocks.
    assert!(row("weights", "allocator_snapshot")["difference_bytes"].as_i64().unwrap().abs() < 64 << 10, "{rows:?}");
    let ran = vramscope(&["analyze", &path, "--per-layer"]);
    let text = stdout(&ran);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.contains("confirms sums alone") && text.contains("attention, dense"), "{text}");
}

#[test]
fn layers_of_a_run_without_its_config_or_its_gpu_say_what_to_give() {
    for (file, said) in [("config.json", "--model"), ("gpu.csv", "--gpu-log")] {
        let folder = copy_of("examples/llama-3.1-8b");
        std::fs::remove_file(folder.path().join(file)).unwrap();
        let ran = vramscope(&["analyze", &folder.path().display().to_string(), "--per-layer"]);
        assert_eq!((ran.status.code(), stdout(&ran).as_str()), (Some(3), ""), "{}", stderr(&ran));
        assert!(stderr(&ran).contains(said), "{}", stderr(&ran));
    }
}
