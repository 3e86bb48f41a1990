//! `vramscope load --experiment` against servers whose times are known.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use standin_openai::{Capacity, Linear, Script, Server};
use vramscope_load::document::ExperimentDocument;

use crate::{stderr, stdout, vramscope};

const FILES: [&str; 5] = [
    "baseline_metrics.json",
    "latency_results.csv",
    "sequence_length_results.csv",
    "summary.md",
    "throughput_results.csv",
];

/// The document of experiments, which must be in the folder as it is printed.
fn experiment(server: &Server, name: &str, folder: &Path, words: &[&str]) -> Value {
    let url = server.url();
    let to = folder.to_str().unwrap();
    let output = vramscope(&[&["load", &url, "--experiment", name, "--format", "json", "-o", to][..], words].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let printed: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let text = std::fs::read(folder.join("baseline_metrics.json")).unwrap();
    assert_eq!(printed, serde_json::from_slice::<Value>(&text).unwrap());
    // Nothing is in it that the type, and with it the schema, does not know.
    let read: ExperimentDocument = serde_json::from_slice(&text).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), printed);
    printed
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The verdicts on the server. Where the machine is busy with other tests, one that it may be the limit is right beside
/// them.
fn codes(verdicts: &Value) -> Vec<&str> {
    let all = verdicts.as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap());
    all.filter(|code| *code != "client_is_the_limit").collect()
}

#[test]
fn prefill_and_decode_of_a_known_server_are_found_within_their_stated_errors() {
    let (a, b, d, e) = (10.0, 0.08, 2.0, 0.004);
    let linear = Linear { ttft_ms: a, ttft_ms_per_token: b, gap_ms: d, gap_ms_per_token: e, ..Linear::default() };
    let server = Server::start(Script { linear: Some(linear), ..Script::default() }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("results");
    let lengths = ["--input-len", "10,200,600,1000", "--output-len", "4,24", "--num-prompts", "8", "--seed", "3"];
    let document = experiment(&server, "lengths", &results, &lengths);
    let found = |fit: &str, name: &str| {
        let all = document["lengths"][fit]["coefficients"].as_array().unwrap();
        let one = all.iter().find(|one| one["name"] == name).unwrap();
        (one["value"].as_f64().unwrap(), one["std_error"].as_f64().unwrap())
    };
    // What the machine itself adds to each answer, its network and a loaded test run, is no error of the fit.
    for (fit, name, truth, machine) in
        [("prefill", "a", a, 3.0), ("prefill", "b", b, 0.002), ("decode", "d", d, 0.3), ("decode", "e", e, 0.0004)]
    {
        let (value, error) = found(fit, name);
        println!("{name} is {truth}, found {value} ± {error}");
        assert!((value - truth).abs() <= 4.0 * error + machine, "{name} is {truth}, found {value} ± {error}");
    }
    assert_eq!(document["lengths"]["cells"].as_array().unwrap().len(), 8);
    assert_eq!(document["lengths"]["prefill"]["n"], 64);
    assert!(document["lengths"]["prefill"]["r2"].as_f64().unwrap() > 0.9, "{document}");
    assert_eq!(codes(&document["lengths"]["verdicts"]), ["prompt_cost", "context_cost"]);
    assert_eq!(files(&results), ["baseline_metrics.json", "sequence_length_results.csv", "summary.md"]);
    let table = std::fs::read_to_string(results.join("sequence_length_results.csv")).unwrap();
    assert_eq!(table.lines().count(), 9);
    let units = ["_tokens", "_requests", "_ms", "_per_s", "_per_output_token", "_output_tokens"];
    let has_unit = |head: &str| units.iter().any(|unit| head.ends_with(unit));
    assert!(table.lines().next().unwrap().split(',').all(has_unit), "{table}");
}

#[test]
fn a_suite_leaves_all_its_files_and_every_prompt_differs() {
    let linear = Linear { ttft_ms: 20.0, gap_ms: 10.0, ..Linear::default() };
    let script = Script { linear: Some(linear), prefix_cache: true, max_model_len: 256, ..Script::default() };
    let server = Server::start(script).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("deep/results");
    let words = ["--concurrency", "1,2,4", "--output-len", "6", "--num-prompts", "8", "--price", "3.6", "-q"];
    let document = experiment(&server, "suite", &results, &words);
    assert_eq!(files(&results), FILES);
    // No request of any measurement repeats another's prompt, warm-up included.
    let levels = document["throughput"]["levels"].as_array().unwrap();
    let hits: u64 =
        levels.iter().map(|level| level["measurement"]["server"]["prefix_hit_tokens"].as_u64().unwrap()).sum();
    assert_eq!(hits, 0);
    let streams = |levels: &Value, of: &str| -> Vec<u64> {
        levels.as_array().unwrap().iter().map(|level| level[of]["stream"].as_u64().unwrap()).collect()
    };
    assert_eq!(document["latency"]["measurement"]["stream"], 0);
    assert_eq!(streams(&document["throughput"]["levels"], "measurement"), [1, 2, 3]);
    assert_eq!(streams(&document["lengths"]["cells"], "measurement"), [4, 5, 6, 7]);
    // A server that serves each for itself: twice the requests are twice the tokens.
    for (level, n) in levels.iter().zip([1.0, 2.0, 4.0]) {
        let factor = level["factor"].as_f64().unwrap();
        assert!((factor / n - 1.0).abs() < 0.5 && (level["efficiency"].as_f64().unwrap() - factor / n).abs() < 1e-9);
    }
    // Which verdicts follow from which figures is tested beside the code; on a busy machine they are not always the same.
    for name in ["latency", "throughput", "lengths"] {
        let verdicts = document[name]["verdicts"].as_array().unwrap();
        assert!(!verdicts.is_empty() && verdicts.iter().all(|one| one["evidence"][0]["value"].is_number()), "{name}");
    }
    assert!(document["latency"]["e2e"]["ci95_low_ms"].as_f64() < document["latency"]["e2e"]["mean_ms"].as_f64());
    // The usual prompts do not fit 256 tokens, and that is said.
    assert_eq!(document["latency"]["input_len"], 250);
    assert_eq!(document["findings"][0]["code"], "lengths_cut");
    // 3.60 an hour are 0.001 a second.
    let one = &document["latency"]["measurement"];
    let cost = one["cost"]["per_million_output_tokens"].as_f64().unwrap();
    let expected = one["duration_s"].as_f64().unwrap() * 1e3 / one["tokens"]["output"].as_f64().unwrap();
    assert!((cost / expected - 1.0).abs() < 1e-9, "{cost} {expected}");
    assert!(document.get("metered").is_none() && one.get("energy").is_none());
    let summary = std::fs::read_to_string(results.join("summary.md")).unwrap();
    for part in
        ["# Baseline", "## Latency: 250 tokens", "## Throughput", "## Sequence lengths", "### Verdict", "`token_bound`"]
    {
        assert!(summary.contains(part), "{part} is not in\n{summary}");
    }
    // Again into the same folder, with less: what is not measured any more goes.
    experiment(&server, "latency", &results, &["--output-len", "6", "--num-prompts", "4"]);
    assert_eq!(files(&results), ["baseline_metrics.json", "latency_results.csv", "summary.md"]);
}

#[test]
fn what_makes_a_batch_wait_is_told_by_the_servers_own_metrics() {
    let capacity = Capacity { running: 2, prefill_ms_per_1000: 0.0, step_ms: 20.0, step_ms_per_other: 0.0 };
    let server = Server::start(Script { capacity: Some(capacity), ..Script::default() }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let words = ["--concurrency", "1,2,8", "--input-len", "16", "--output-len", "8", "--num-prompts", "16"];
    let document = experiment(&server, "throughput", &folder.path().join("r"), &words);
    let verdicts = &document["throughput"]["verdicts"];
    assert_eq!(codes(verdicts), ["fixed_cost_of_a_step", "queue"], "{verdicts}");
    let queue = verdicts.as_array().unwrap().iter().find(|one| one["code"] == "queue").unwrap();
    let evidence = queue["evidence"].to_string();
    assert!(evidence.contains("mean that waited") && evidence.contains("most that ran"), "{evidence}");
    assert_eq!(document["throughput"]["saturation"], 2.0);
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_sent() {
    let server = Server::start(Script { max_model_len: 64, ..Script::default() }).unwrap();
    let url = server.url();
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("taken");
    std::fs::create_dir(&taken).unwrap();
    std::fs::write(taken.join("notes.txt"), "mine").unwrap();
    let (taken, free) = (taken.to_str().unwrap(), folder.path().join("free"));
    let free = free.to_str().unwrap();
    for (words, code, part) in [
        (&["--experiment", "suite", "-o", taken][..], 4, "is not empty"),
        (&["--experiment", "suite", "-o", free, "--rate", "4"], 2, "cannot be used with"),
        (&["--experiment", "lengths", "-o", free, "--input-len", "60", "--output-len", "9"], 2, "more than the 64"),
        (&["--experiment", "lengths", "-o", free, "--input-len", "1..9"], 2, "experiments take lengths"),
        (&["--experiment", "throughput", "-o", free, "--concurrency", "0"], 2, "out of range"),
        (&["--experiment", "latency", "-o", free, "--price", "2/gpu"], 2, "--gpu"),
        (&["--input-len", "8,9"], 2, "several are for"),
        (&["--price", "0"], 2, "no price"),
    ] {
        let output = vramscope(&[&["load", &url][..], words].concat());
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(part), "{words:?}: {}", stderr(&output));
    }
    assert!(server.truth().requests.is_empty() && !Path::new(free).exists());
}

#[cfg(unix)]
#[test]
fn ctrl_c_in_a_suite_keeps_what_was_measured() {
    let linear = Linear { ttft_ms: 10.0, gap_ms: 5.0, ..Linear::default() };
    let server = Server::start(Script { linear: Some(linear), ..Script::default() }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("results");
    let mut command = Command::new(env!("CARGO_BIN_EXE_vramscope"));
    command.args(["load", &server.url(), "--experiment", "suite", "--num-prompts", "10", "--output-len", "20"]);
    command.args(["-o", results.to_str().unwrap()]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    // Latency has 10 and 3 to warm up, and each measurement a request that tries the server out: then comes the throughput.
    while server.truth().requests.iter().filter(|request| request.whole).count() < 20 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    let document: Value =
        serde_json::from_slice(&std::fs::read(results.join("baseline_metrics.json")).unwrap()).unwrap();
    assert_eq!((&document["stopped"], &document["latency"]["measurement"]["stopped"]), (&true.into(), &false.into()));
    assert_eq!(document["latency"]["e2e"]["n"], 10);
    assert!(document.get("lengths").is_none());
    assert!(results.join("latency_results.csv").exists() && results.join("summary.md").exists());
    assert!(stdout(&output).contains("stopped before its end"), "{}", stdout(&output));
}
