//! `vramscope fit` for llama.cpp: which settings fit a device, each with its command line.

use serde_json::Value;
use snapbox::{assert_data_eq, file};
use vramscope_estimate::LlamaCppFitDocument;

use crate::gguf::header;
use crate::{stderr, stdout, vramscope};

fn document(args: &[&str]) -> Value {
    let ran = vramscope(&[&["fit", "--format", "json"], args].concat());
    let value: Value = serde_json::from_str(&stdout(&ran)).unwrap_or_else(|_| panic!("{}", stderr(&ran)));
    let read: LlamaCppFitDocument = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), value, "a field is not in the schema");
    value
}

/// Runs in the model's folder, so that no path of this machine is in what is printed.
fn in_folder(model: &str, args: &[&str]) -> std::process::Output {
    let (folder, file) = header(model);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_vramscope"));
    command.arg("fit").arg(file.file_name().unwrap()).args(args).current_dir(folder.path()).env_remove("COLUMNS");
    command.output().unwrap()
}

#[test]
fn a_model_without_experts() {
    let args = ["--gpu-memory", "3GiB", "--request-tokens", "8192", "--", "--port", "9000", "--api-key", "abcdefgh"];
    let ran = in_folder("qwen3-4b-q4km", &args);
    assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
    assert!(stderr(&ran).contains("answered for llama.cpp"), "{}", stderr(&ran));
    let text = stdout(&ran);
    assert!(!text.contains("abcdefgh"), "{text}");
    let tables = text.lines().filter(|line| !line.trim_start().starts_with("llama-server"));
    assert!(tables.clone().all(|line| line.chars().count() <= 80), "{text}");
    assert_data_eq!(text, file!["data/fit-llama-cpp-qwen3-4b.txt"]);
}

#[test]
fn a_model_with_experts() {
    let args = ["--gpu", "l4", "--gpu-memory-used", "16GiB", "--requests", "2", "--request-tokens", "16K"];
    let ran = in_folder("qwen3moe-15b-q4km", &args);
    assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
    assert_data_eq!(stdout(&ran), file!["data/fit-llama-cpp-qwen3moe-15b.txt"]);
}

#[test]
fn every_kind_of_device() {
    let ran = in_folder("llama-8b-q8", &["--gpus", "all", "--request-tokens", "8192"]);
    assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
    assert_data_eq!(stdout(&ran), file!["data/fit-llama-cpp-all.txt"]);
}

#[test]
fn every_answer_fits_as_a_command_line() {
    let (_folder, file) = header("oss-20b-mxfp4");
    let file = file.to_str().unwrap();
    let line = ["--gpu-memory", "8GiB", "--", "llama-server", "-m", file, "-c", "16384", "-np", "1", "-ub", "256"];
    let found = document(&line);
    let mut compared = 0;
    for row in found["answers"].as_array().unwrap() {
        let Some(placed) = row["placed"].as_object() else { continue };
        let command = placed["command"].as_str().unwrap();
        assert!(command.contains("-ub 256"), "what is stated stays: {command}");
        if placed["devices"] != 1 {
            continue;
        }
        let words: Vec<&str> = command.split(' ').collect();
        let ran = vramscope(&[&["estimate", "--gpu-memory", "8GiB", "--format", "json", "--"], &words[..]].concat());
        assert_eq!(ran.status.code(), Some(0), "{command}: {}", stderr(&ran));
        let told: Value = serde_json::from_str(&stdout(&ran)).unwrap();
        assert_eq!(told["device_total_bytes"], placed["shares"][0]["total_bytes"], "{command}");
        assert_eq!(told["host_total_bytes"], placed["host_total_bytes"], "{command}");
        assert_eq!(told["settings"], placed["settings"], "{command}");
        compared += 1;
    }
    assert!(compared >= 4, "{found}");
}

#[test]
fn the_line_of_a_server_and_a_file_say_the_same() {
    let (_folder, file) = header("qwen3-4b-q4km");
    let file = file.to_str().unwrap();
    let mut of_line = document(&["--gpu-memory", "6GiB", "--", "llama-server", "-m", file, "-c", "8192", "-np", "1"]);
    let mut of_file = document(&[file, "--gpu-memory", "6GiB", "--request-tokens", "8192"]);
    let named =
        document(&["--model", file, "--engine-kind", "llama.cpp", "--gpu-memory", "6GiB", "--request-tokens", "8192"]);
    assert_eq!(of_file, named);
    for document in [&mut of_line, &mut of_file] {
        for row in document["answers"].as_array_mut().unwrap() {
            row["placed"].as_object_mut().map(|placed| placed.remove("command"));
        }
    }
    assert_eq!(of_line, of_file);
}

#[test]
fn without_a_way_the_exit_code_says_no() {
    let (_folder, file) = header("qwen3-4b-q4km");
    let ran = vramscope(&["fit", file.to_str().unwrap(), "--gpu-memory", "300MiB"]);
    assert_eq!(ran.status.code(), Some(8), "{}", stdout(&ran));
    assert!(stdout(&ran).contains("none fits"), "{}", stdout(&ran));
}

#[test]
fn wrong_arguments_say_what_is_expected() {
    let (folder, file) = header("qwen3-4b-q4km");
    let file = file.to_str().unwrap();
    for (args, word) in [
        (&[file][..], "--gpu"),
        (&[file, "--gpu", "l4", "--max-model-len", "5"], "--max-model-len is an option of vLLM"),
        (&[file, "--gpu", "l4", "--llama-cpp-backend", "host"], "vramscope estimate"),
        (&[file, "--gpu", "l4", "--", "-c", "many"], "a whole number"),
        (&["model", "--gpu", "l4"], "stands alone"),
        (&[file, "--gpu", "l4", "--request-tokens", "0"], "\"0\" is not a number of tokens"),
        (&[file, "--gpu", "l4", "--num-layers", "5"], "--num-layers is for a model without a file"),
        (&["--engine-kind", "llama.cpp", "--gpu", "l4"], "no model"),
        (&["--engine-kind", "tgi", "--gpu", "l4"], "expected vllm, llama.cpp, ollama or sglang"),
        (&[file, "--gpu", "l4", "--sglang-version", "0.5.12"], "--sglang-version is for SGLang"),
    ] {
        let ran = vramscope(&[&["fit"], args].concat());
        assert_eq!((ran.status.code(), stdout(&ran).as_str()), (Some(2), ""), "{args:?}: {}", stderr(&ran));
        assert!(stderr(&ran).contains(word), "{args:?}: {}", stderr(&ran));
    }
    let none = folder.path().join("none.gguf");
    std::fs::write(&none, b"GGUX").unwrap();
    for (args, word) in [
        (&[file, "--gpu", "l4", "--requests", "3", "--", "-np", "2"][..], "as many as the requests"),
        (&[none.to_str().unwrap(), "--gpu", "l4"], "none.gguf"),
        (&["absent.gguf", "--gpu", "l4"], "absent.gguf"),
        (&[file, "--gpu", "l4", "--", "-dev", "none"], "leave that out"),
    ] {
        let ran = vramscope(&[&["fit"], args].concat());
        assert_eq!((ran.status.code(), stdout(&ran).as_str()), (Some(3), ""), "{args:?}: {}", stderr(&ran));
        assert!(stderr(&ran).contains(word), "{args:?}: {}", stderr(&ran));
    }
}

#[test]
fn a_page_is_made_of_the_answer() {
    let (folder, file) = header("qwen3moe-15b-q4km");
    for (name, device) in [("one", ["--gpu-memory", "6GiB"]), ("all", ["--gpus", "all"])] {
        let ran = vramscope(&[&["fit", file.to_str().unwrap(), "--format", "json"], &device[..]].concat());
        let document = folder.path().join(format!("{name}.json"));
        std::fs::write(&document, stdout(&ran)).unwrap();
        let page = folder.path().join(format!("{name}.html"));
        let (document, page) = (document.to_str().unwrap(), page.to_str().unwrap());
        let ran = vramscope(&["report", document, "-o", page]);
        assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
        let page = std::fs::read_to_string(page).unwrap();
        assert!(page.contains("What fits of qwen3moe-15b-q4km.gguf") && page.contains("--n-cpu-moe") || name == "all");
    }
}

#[test]
fn a_line_that_loads_another_file_is_no_answer_for_this_one() {
    let other = in_folder("qwen3-4b-q4km", &["--gpu", "l4", "--", "llama-server", "-m", "big.gguf"]);
    assert_eq!(other.status.code(), Some(2));
    assert!(stderr(&other).contains("big.gguf: leave one of them out"), "{}", stderr(&other));
    // A container has it under another path.
    let (_folder, file) = header("qwen3-4b-q4km");
    let name = format!("/models/{}", file.file_name().unwrap().to_str().unwrap());
    let same = vramscope(&["fit", file.to_str().unwrap(), "--gpu", "l4", "--", "llama-server", "-m", &name]);
    assert_eq!(same.status.code(), Some(0), "{}", stderr(&same));
}
