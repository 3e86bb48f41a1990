//! `vramscope compare`.

use std::fs;

use snapbox::{assert_data_eq, file};

use crate::{stderr, stdout, vramscope};

const ONE: &str = "examples/llama-3.1-8b";
const OTHER: &str = "examples/noisy-neighbour";

#[test]
fn two_recordings_figure_by_figure() {
    let output = vramscope(&["compare", ONE, OTHER]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    assert_data_eq!(stdout(&output), file!["data/compare.txt"]);
}

#[test]
fn a_document_and_its_recording_do_not_differ() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("profile.json");
    fs::write(&path, &vramscope(&["analyze", ONE, "--format", "json"]).stdout).unwrap();
    let output = vramscope(&["compare", ONE, path.to_str().unwrap(), "--fail-above", "0%", "--format", "json"]);
    assert_eq!(output.status.code(), Some(0));
    let document: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((document["settings"].as_array().unwrap().len(), &document["exceeded"]), (0, &serde_json::json!([])));
    for figure in document["figures"].as_array().unwrap() {
        assert_eq!(figure["delta"].as_f64(), Some(0.0), "{figure}");
        assert!(!figure["name"].as_str().unwrap().ends_with("_bytes") || figure["before"].is_i64(), "{figure}");
    }
}

#[test]
fn limits_decide_the_exit_code() {
    let code = |limits: &[&str]| {
        let mut args = vec!["compare", ONE, OTHER];
        args.extend(limits.iter().flat_map(|limit| ["--fail-above", limit]));
        vramscope(&args).status.code()
    };
    assert_eq!(code(&["5%"]), Some(8), "tokens each second fell by 29 percent");
    assert_eq!(code(&["5%", "tokens_per_second=30%"]), Some(0));
    assert_eq!(code(&["time_to_first_token_p99_ms=5%"]), Some(3), "neither has it");
    assert_eq!(code(&["no_such_figure=5%"]), Some(2));
    assert_eq!(code(&["-5%"]), Some(2));
}

#[test]
fn a_profile_beside_a_calculator() {
    let calculator =
        ["--calc-weights", "16.06", "--calc-kv", "0.4", "--calc-activations", "0.9GiB", "--calc-overhead", "3"];
    let output = vramscope(&[&["compare", ONE][..], &calculator].concat());
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    assert_data_eq!(stdout(&output), file!["data/compare-calculator.txt"]);
    let json = stdout(&vramscope(&[&["compare", ONE, OTHER, "--format", "json"][..], &calculator].concat()));
    let documents: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(documents.len(), 2);
    assert_eq!(documents[0]["parts"][0]["calculated_bytes"], 16_060_000_000_i64);
}

#[test]
fn a_calculator_is_held_to_a_limit() {
    let run = |words: &[&str]| vramscope(&[&["compare", ONE][..], words].concat());
    let code = |words: &[&str]| run(words).status.code();
    assert_eq!(code(&["--calc-weights", "16.06", "--fail-above", "1%"]), Some(0));
    let off = run(&["--calc-weights", "20", "--fail-above", "model_weights=5%"]);
    assert_eq!(off.status.code(), Some(8));
    assert!(stderr(&off).contains("on model_weights, more than 5 %"), "{}", stderr(&off));
    let unsaid = run(&["--calc-weights", "16.06", "--fail-above", "activations=5%"]);
    assert_eq!(unsaid.status.code(), Some(3), "a limit that nothing can be held against is not kept");
    let other = run(&["--calc-weights", "16.06", "--fail-above", "mean_latency_ms=5%"]);
    assert_eq!(other.status.code(), Some(2), "{}", stderr(&other));
}

#[test]
fn other_numbers_of_profiles_are_told_what_to_do() {
    let output = vramscope(&["compare", ONE]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("vramscope runs"), "{}", stderr(&output));
    assert_eq!(vramscope(&["compare", ONE, "no/such.json"]).status.code(), Some(3));
    assert_eq!(vramscope(&["compare", ONE, "crates"]).status.code(), Some(3), "a folder without evidence");
}
