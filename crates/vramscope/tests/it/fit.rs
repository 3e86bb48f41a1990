//! `vramscope fit`: the inverse questions, answered with a command line.

use serde_json::Value;
use snapbox::{assert_data_eq, file};
use vramscope_estimate::document::FitDocument;

use crate::{stderr, stdout, vramscope};

fn fit(args: &[&str]) -> std::process::Output {
    vramscope(&[&["fit"], args].concat())
}

fn document(args: &[&str]) -> Value {
    let ran = vramscope(&[&["fit", "--format", "json"], args].concat());
    let value: Value = serde_json::from_str(&stdout(&ran)).unwrap_or_else(|_| panic!("{}", stderr(&ran)));
    let read: FitDocument = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), value, "a field is not in the schema");
    value
}

/// Whether the engine that a command line of the answer starts would start, by the estimate.
fn starts(command: &str, gpu: &str) -> bool {
    let words: Vec<&str> = command.split(' ').collect();
    vramscope(&[&["estimate", "--gpu", gpu, "--"], words.as_slice()].concat()).status.code() == Some(0)
}

#[test]
fn one_kind_of_device() {
    let ran = fit(&["--model", "Qwen/Qwen3-8B", "--gpu", "l4"]);
    assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
    assert_eq!(stderr(&ran), "");
    assert_data_eq!(stdout(&ran), file!["data/fit-qwen3-8b-l4.txt"]);
}

#[test]
fn every_kind_of_device() {
    let ran = fit(&["--model", "Qwen/Qwen3-30B-A3B", "--gpus", "all", "--request-tokens", "8192", "--requests", "32"]);
    assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
    assert_data_eq!(stdout(&ran), file!["data/fit-qwen3-30b-all.txt"]);
}

#[test]
fn the_table_of_devices_names_its_sources() {
    let ran = fit(&["--list-gpus"]);
    assert_eq!(ran.status.code(), Some(0));
    assert_data_eq!(stdout(&ran), file!["data/fit-list-gpus.txt"]);
}

#[test]
fn every_answer_starts_as_a_command_line() {
    let found = document(&["--model", "Qwen/Qwen3-8B", "--gpu", "l4", "--request-tokens", "20K", "--requests", "2"]);
    let fewest = found["fewest"]["command"].as_str().unwrap();
    assert!(starts(fewest, "l4"), "{fewest}");
    let changes = found["changes"].as_array().unwrap();
    for (name, word) in [("fp8_kv_cache", "--kv-cache-dtype fp8"), ("fp8_weights", "--quantization fp8")] {
        let row = changes.iter().find(|row| row["change"] == name).unwrap();
        let command = row["placed"]["command"].as_str().unwrap_or_else(|| panic!("{row}"));
        assert!(command.contains(word) && starts(command, "l4"), "{command}");
    }
    let four_bits = changes.iter().find(|row| row["change"] == "four_bit_weights").unwrap();
    assert!(four_bits["placed"]["command"].as_str().unwrap().contains("AWQ"), "another checkpoint is named as such");
}

#[test]
fn the_longest_length_and_the_lowest_share_are_limits() {
    let model = ["--model", "meta-llama/Llama-3.1-8B", "--gpu", "l4"];
    let longest = document(&model)["longest_model_len"].as_u64().unwrap();
    let starts_with = |flag: &str, value: String| {
        let args = [&["estimate"][..], &model, &[flag, &value]].concat();
        vramscope(&args).status.code() == Some(0)
    };
    assert!(starts_with("--max-model-len", longest.to_string()));
    assert!(!starts_with("--max-model-len", (longest + 1).to_string()));
    let asked = ["--model", "Qwen/Qwen3-8B", "--gpu", "h100", "--request-tokens", "8192", "--requests", "10"];
    let share = document(&asked)["lowest_utilization"].as_f64().unwrap();
    assert!((0.2..0.6).contains(&share), "{share}");
}

#[test]
fn without_a_way_the_exit_code_says_no() {
    let ran = fit(&["--model", "deepseek-ai/DeepSeek-V3", "--gpu", "t4", "--requests", "1000"]);
    assert_eq!(ran.status.code(), Some(8), "{}", stdout(&ran));
    assert!(stdout(&ran).contains("There is no way"), "{}", stdout(&ran));
}

#[test]
fn wrong_arguments_say_what_is_expected() {
    for (args, word) in [
        (&["--model", "Qwen/Qwen3-8B"][..], "--gpu"),
        (&["--model", "Qwen/Qwen3-8B", "--gpus", "some"], "all"),
        (&["--model", "Qwen/Qwen3-8B", "--gpus", "all", "--gpu", "h100"], "--gpu"),
        (&["--model", "Qwen/Qwen3-8B", "--gpu", "h100", "--request-tokens", "many"], "many"),
        (&["--model", "Qwen/Qwen3-8B", "--gpu", "h100", "--requests", "0"], "--requests"),
        (&["--gpu", "h100"], "--model"),
    ] {
        let ran = fit(args);
        assert_eq!((ran.status.code(), stdout(&ran).as_str()), (Some(2), ""), "{args:?}: {}", stderr(&ran));
        assert!(stderr(&ran).contains(word), "{args:?}: {}", stderr(&ran));
    }
    let ran = fit(&["--model", "no/such-model", "--gpu", "h100"]);
    assert_eq!(ran.status.code(), Some(3), "{}", stderr(&ran));
}
