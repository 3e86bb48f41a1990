//! `vramscope estimate` and `fit` for Ollama: what it starts for a GGUF file, and which settings fit.

use serde_json::Value;
use snapbox::{assert_data_eq, file};
use vramscope_estimate::{LlamaCppDocument, LlamaCppFitDocument};

use crate::gguf::header;
use crate::{stderr, stdout, vramscope};

/// Runs in the model's folder, so that no path of this machine is in what is printed.
fn in_folder(command: &str, model: &str, args: &[&str]) -> std::process::Output {
    let (folder, file) = header(model);
    let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_vramscope"));
    process.arg(command).arg(file.file_name().unwrap()).args(args).current_dir(folder.path()).env_remove("COLUMNS");
    process.output().unwrap()
}

#[test]
fn an_estimate_names_what_is_started() {
    let args = ["--gpu", "l4", "--", "docker", "run", "-e", "OLLAMA_NUM_PARALLEL=2", "ollama/ollama:0.32.1", "serve"];
    let ran = in_folder("estimate", "qwen3-4b-q4km", &args);
    assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
    assert_data_eq!(stdout(&ran), file!["data/estimate-ollama-qwen3-4b.txt"]);
    let json = in_folder("estimate", "qwen3-4b-q4km", &[&["--format", "json"], &args[..]].concat());
    let value: Value = serde_json::from_str(&stdout(&json)).unwrap();
    let read: LlamaCppDocument = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), value, "a field is not in the schema");
    assert_eq!((&value["started_by"]["version"], &value["build"]), (&"0.32.1".into(), &9888.into()));
}

#[test]
fn what_fits_is_said_in_the_engines_words() {
    let args = ["--gpu-memory", "6GiB", "--num-ctx", "8192", "--", "OLLAMA_NUM_PARALLEL=2", "ollama", "serve"];
    let ran = in_folder("fit", "llama-8b-q8", &args);
    assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
    assert_data_eq!(stdout(&ran), file!["data/fit-ollama-llama-8b.txt"]);
}

/// Each answer is what the estimate says of that very setting, and one more does not fit.
#[test]
fn an_answer_is_the_estimate_of_its_setting() {
    let (_folder, file) = header("oss-20b-mxfp4");
    let file = file.to_str().unwrap();
    let asked = |command: &str, more: &[&str], variables: &[&str]| {
        let lead = [command, "--format", "json", file, "--gpu-memory", "8GiB"];
        let ran = vramscope(&[&lead[..], more, &["--"], variables, &["ollama", "serve"]].concat());
        serde_json::from_str::<Value>(&stdout(&ran)).unwrap_or_else(|_| panic!("{}", stderr(&ran)))
    };
    let found = asked("fit", &["--num-ctx", "16384"], &[]);
    let read: LlamaCppFitDocument = serde_json::from_value(found.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), found, "a field is not in the schema");
    let mut compared = 0;
    for answer in found["answers"].as_array().unwrap() {
        let Some(settings) = answer["placed"]["settings"].as_object() else { continue };
        let question = answer["question"].as_str().unwrap();
        let cache = format!("OLLAMA_KV_CACHE_TYPE={}", answer["cache_type_k"].as_str().unwrap());
        let experts = format!("LLAMA_ARG_N_CPU_MOE={}", settings["cpu_moe_layers"]);
        let with = |layers: u64, context: u64| {
            let (layers, context) = (layers.to_string(), context.to_string());
            asked("estimate", &["--num-gpu", &layers, "--num-ctx", &context], &[&cache, &experts])
        };
        let (layers, context) = (settings["gpu_layers"].as_u64().unwrap(), settings["ctx_size"].as_u64().unwrap());
        if layers > 0 {
            let same = with(layers, context);
            let share = &answer["placed"]["shares"][0]["total_bytes"];
            assert_eq!((&same["device_total_bytes"], &same["fits"]), (share, &true.into()), "{question} {cache}");
            assert_ne!(share["confidence"], "computed", "no run was compared");
            compared += 1;
        }
        if question == "most_layers" && layers < settings["layers"].as_u64().unwrap() {
            assert_eq!(with(layers + 1, context)["fits"], false, "one more layer");
        }
    }
    assert!(compared >= 4, "{compared}");
}

#[test]
fn what_is_not_for_this_engine_is_refused() {
    for (args, said) in [
        (&["--max-model-len", "4096", "--", "ollama", "serve"][..], "is an option of vLLM"),
        (&["--ollama-version", "0.21.0"], "0.21.0"),
        (&["--engine-kind", "vllm", "--num-ctx", "4096"], "--num-ctx"),
        (&["--num-ctx", "4096", "--", "llama-server", "-c", "8"], "start llama.cpp, and this is asked for Ollama"),
        (&["--", "OLLAMA_KV_CACHE_TYPE=fp8", "ollama", "serve"], "OLLAMA_KV_CACHE_TYPE=fp8"),
        (&["--", "OLLAMA_KV_CACHE_TYPE=q8_0", "OLLAMA_FLASH_ATTENTION=0", "ollama", "serve"], "flash attention"),
        (&["--", "OLLAMA_NUM_PARALLEL=100000", "ollama", "serve"], "OLLAMA_NUM_PARALLEL"),
    ] {
        for command in ["estimate", "fit"] {
            let ran = in_folder(command, "qwen3-4b-q4km", &[&["--gpu", "l4"], args].concat());
            assert_eq!(ran.status.code(), Some(2), "{command} {args:?}: {}", stderr(&ran));
            assert!(stderr(&ran).contains(said), "{command} {args:?}: {}", stderr(&ran));
        }
    }
}
