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

/// What load generators wrote, recorded with the tools themselves.
const RESULTS: &str = "crates/vramscope-results/tests/it/data";

#[test]
fn results_of_two_load_generators_figure_by_figure() {
    let (one, other) = (format!("{RESULTS}/vllm/plain.json"), format!("{RESULTS}/aiperf/plain.json"));
    let output = vramscope(&["compare", &one, &other]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    assert_data_eq!(stdout(&output), file!["data/compare-results.txt"]);
}

#[test]
fn requests_that_failed_are_a_figure_of_their_own_and_exceed_any_limit() {
    let (whole, failed) = (format!("{RESULTS}/vllm/plain.json"), format!("{RESULTS}/vllm/detailed-failed.json"));
    let output = vramscope(&["compare", &whole, &failed, "--fail-above", "failed_requests=0%"]);
    assert_eq!(output.status.code(), Some(8));
    let said = stdout(&output);
    assert!(said.contains("of 8 requests 2 failed") && said.contains("failed requests"), "{said}");
    assert_eq!(vramscope(&["compare", &whole, &whole, "--fail-above", "0%"]).status.code(), Some(0));
}

#[test]
fn a_file_of_several_runs_is_no_run() {
    let several = format!("{RESULTS}/vllm/appended.json");
    let output = vramscope(&["compare", &several, &several]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("holds 2 runs") && stderr(&output).contains("--against"), "{}", stderr(&output));
}

/// Runs as `vllm bench serve --append-result` leaves them, of these latencies.
fn appended(latencies: &[f64], failed: u64) -> String {
    let run = |ms: &f64| {
        let completed = 100 - failed;
        serde_json::json!({"duration": ms / 10.0, "completed": completed, "failed": failed, "num_prompts": 100,
            "request_throughput": 1e3 / ms, "output_throughput": 64e3 / ms, "mean_e2el_ms": ms, "p99_e2el_ms": ms * 1.5})
        .to_string()
    };
    latencies.iter().map(run).collect::<Vec<_>>().join("\n")
}

#[test]
fn repeats_against_repeats_are_judged_and_decide_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let a = file("a.json", appended(&[100.0, 101.0, 99.5, 100.4, 99.8], 0));
    let again = file("again.json", appended(&[100.2, 99.7, 100.6, 99.9, 100.1], 0));
    let slow = file("slow.json", appended(&[120.0, 121.5, 119.0, 120.7, 119.9], 0));
    let refusing = file("refusing.json", appended(&[50.0, 50.5, 49.8, 50.2, 49.9], 50));
    let junit = folder.path().join("compare.xml");
    let code = |b: &str, more: &[&str]| {
        let output = vramscope(&[&["compare", &a, "--against", b][..], more].concat());
        (output.status.code(), stdout(&output))
    };
    let limits = ["--fail-above", "5%", "--junit", junit.to_str().unwrap()];
    let (status, said) = code(&again, &limits);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("no difference shown") && !said.contains("inconclusive"), "{said}");
    assert!(fs::read_to_string(&junit).unwrap().contains("failures=\"0\""));

    let (status, said) = code(&slow, &limits);
    assert_eq!(status, Some(8), "{said}");
    let xml = fs::read_to_string(&junit).unwrap();
    assert!(xml.contains("mean_latency_ms") && xml.contains("the limit is 5.0 %"), "{xml}");
    assert_eq!(code(&slow, &["--fail-above", "50%"]).0, Some(0), "it is worse by less than that");

    let (status, said) = code(&refusing, &limits);
    assert_eq!(status, Some(8), "half of the answers are failures: {said}");
    let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("250 of 500 requests of the second side were not answered"), "{said}");
    assert!(!said.lines().any(|line| line.ends_with(" better")), "{said}");

    let (_, json) = code(&slow, &["--format", "json", "--figure", "mean_latency_ms"]);
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&document["figures"][0]["outcome"], document["figures"].as_array().unwrap().len()),
        (&"worse".into(), 1)
    );
    assert_eq!(document["before"].as_array().unwrap().len(), 5);
    assert!(document["figures"][0]["change"]["low"].as_f64().unwrap() > 0.15);
    assert_eq!(code(&slow, &["--figure", "time_to_first_token_p99_ms"]).0, Some(3), "neither has it");
    assert_eq!(code(&slow, &["--figure", "residual_bytes"]).0, Some(2), "it has no better direction");
}
