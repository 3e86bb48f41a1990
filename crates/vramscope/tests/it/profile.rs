//! `vramscope profile` with a stand-in for vLLM that plays real recordings, and the stand-in NVML library whose memory it
//! moves: whole runs, every phase made to fail, secrets, interrupts, lost devices.

mod attached;
pub(crate) mod bench;
mod captured;
mod disk;
mod ends;
mod own_words;
mod refused;
mod screen;
mod signals;
mod snapshots;

use std::fs;
use std::process::Stdio;

use bench::{Bench, Kind, SECRETS};
use serde_json::Value;
use standin_vllm::{Fail, How, Phase, Script};

#[test]
fn a_whole_run_of_the_engines_own_benchmark_is_explained_and_derived_again() {
    let bench = Bench::new(&Script { speed: 12.0, ..Script::default() });
    let (output, document) = bench.profile(Kind::Latency, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", crate::stderr(&output));
    assert_eq!(document["metadata"]["status"], "complete");
    assert_eq!(
        bench::phases(&document),
        ["baseline", "launch", "load", "ready", "warmup", "measure", "shutdown", "settle"]
    );
    let breakdown = &document["memory_breakdown"];
    // As the recording's log prints them, to a hundredth of a GiB.
    let mib = |kind: &str| bench::part(breakdown, kind) >> 20;
    assert!((2365..=2386).contains(&mib("model_weights")), "{} MiB", mib("model_weights"));
    assert!((128_041..=128_062).contains(&mib("kv_cache")), "{} MiB", mib("kv_cache"));
    bench::adds_up(breakdown);
    assert_eq!(document["latency_stats"]["num_iterations"], 3);
    assert_eq!(document["host"]["memory_returned"], true, "{}", document["host"]);
    assert_eq!(document["host"]["device_kind"], "gpu");
    let expected = document["expectation"]["memory"].as_array().unwrap();
    let weights = expected.iter().find(|row| row["name"] == "model_weights").unwrap();
    assert!(weights["error_pct"].as_f64().unwrap().abs() < 0.2, "{weights}");
    bench.nothing_is_left();
    bench.is_derived_again();
    bench.no_sample_is_lost();
}

#[test]
fn a_served_run_has_its_requests_and_the_engines_metrics() {
    let bench = Bench::new(&Script { speed: 40.0, ..Script::default() });
    let (output, document) = bench.profile(Kind::Serve, &["--num-prompts", "12", "--batch-size", "4", "--report"]);
    assert_eq!(output.status.code(), Some(0), "{}", crate::stderr(&output));
    let served = &document["served_stats"];
    assert_eq!((&served["completed_requests"], &served["output_tokens"]), (&12.into(), &(12 * 8).into()));
    assert!(served["time_to_first_token"]["p99_ms"].as_f64().unwrap() > 0.0);
    let readings = document["engine_metrics"]["num_samples"].as_u64().unwrap();
    assert!(readings > 0, "{}", document["engine_metrics"]);
    assert!(bench::phases(&document).contains(&"measure".to_owned()));
    bench::adds_up(&document["memory_breakdown"]);
    let screen = crate::stdout(&output);
    assert!(screen.contains("first token (TTFT)") && screen.contains("Predicted beside measured"), "{screen}");
    let page = fs::read_to_string(bench.file().with_extension("html")).unwrap();
    let peak = &document["memory_breakdown"]["total_measured_bytes"];
    let figure = format!("data-figure=\"0:/memory_breakdown/total_measured_bytes\" data-value=\"{peak}\"");
    assert!(
        page.contains(&figure) && page.contains("\"engine\":{\"columns\""),
        "the page is of this run and its metrics"
    );
    // The largest of few readings is said to be of so few.
    let few = format!("of {readings} reading{} only", if readings == 1 { "" } else { "s" });
    assert_eq!(screen.contains(&few), readings < 10, "{screen}");
    bench.nothing_is_left();
    bench.is_derived_again();
}

#[test]
fn what_the_sender_knows_of_its_figures_is_in_the_profile() {
    let bench = Bench::new(&Script { speed: 60.0, tokens_per_chunk: 3, ..Script::default() });
    let load = ["--num-prompts", "12", "--request-rate", "500"];
    let (output, document) = bench.profile(Kind::Serve, &load);
    assert_eq!(output.status.code(), Some(0), "{}", crate::stderr(&output));
    let served = &document["served_stats"];
    assert_eq!((&served["output_tokens"], &served["chunks"]), (&96.into(), &36.into()), "8 tokens in 3 chunks each");
    assert_eq!(served["tokens_per_chunk"], 96.0 / 36.0);
    assert_eq!(served["unsent_requests"], 0);
    assert!(served["client_queue_time"]["p99_ms"].as_f64().is_some_and(|ms| ms >= 0.0), "{served}");
    let screen = crate::stdout(&output);
    assert!(screen.contains("2.67 tokens a chunk") && screen.contains("between chunks (ITL)"), "{screen}");
    bench.is_derived_again();

    let fail = vec![Fail { at: Phase::Measure, how: How::Refuse }];
    let bench = Bench::new(&Script { speed: 60.0, fail, ..Script::default() });
    let (output, document) = bench.profile(Kind::Serve, &["--num-prompts", "12", "--batch-size", "2"]);
    let served = &document["served_stats"];
    assert_eq!((&served["completed_requests"], &served["failed_requests"]), (&11.into(), &1.into()), "{served}");
    assert_eq!(served["failures"], serde_json::json!({"status_500": 1}), "{}", crate::stderr(&output));
}

#[test]
fn where_amds_tools_alone_answer_the_usual_interval_is_theirs_and_a_shorter_one_is_refused() {
    let bench = Bench::new(&Script { speed: 60.0, ..Script::default() });
    let words = ["--backend", "amd-smi", "--baseline", "1s"];
    let command = |more: &[&str]| {
        let words = [&words[..], more].concat();
        bench.with_amd_smi(bench.command(&bench.file(), Kind::Latency, &words)).output().unwrap()
    };
    let refused = command(&["--interval", "100ms"]);
    assert_eq!(refused.status.code(), Some(2), "{}", crate::stderr(&refused));
    assert!(crate::stderr(&refused).contains("the shortest period is 1s for amd-smi"), "{}", crate::stderr(&refused));
    let output = command(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", crate::stderr(&output));
    assert!(crate::stderr(&output).contains("every 1s in place of 100ms: amd-smi"), "{}", crate::stderr(&output));
    let document: Value = serde_json::from_slice(&fs::read(bench.file()).unwrap()).unwrap();
    assert_eq!(document["metadata"]["status"], "complete");
    let timeline = fs::read_to_string(bench.folder().join("timeline.jsonl")).unwrap();
    assert!(timeline.lines().next().unwrap().contains("\"period_ms\":1000.0"), "{timeline}");
}

/// Each phase fails in each way: a profile results, with the phase and a cause, and nothing is left behind.
#[test]
fn every_phase_of_both_workloads_fails_into_a_profile() {
    let phases = [Phase::Launch, Phase::Load, Phase::Ready, Phase::Warmup, Phase::Measure];
    let ways = [How::Exit(3), How::Signal(9), How::OutOfMemory];
    let mut cases = Vec::new();
    for kind in [Kind::Latency, Kind::Serve] {
        for at in phases {
            cases.extend(ways.map(|how| (kind, at, how)));
        }
    }
    bench::in_parallel(cases, |&(kind, at, how)| {
        let place = format!("{kind:?} {at:?} {how:?}");
        let bench = Bench::new(&Script { speed: 60.0, fail: vec![Fail { at, how }], ..Script::default() });
        let (output, document) = bench.profile(kind, &["--num-prompts", "12"]);
        assert_eq!(output.status.code(), Some(6), "{place}: {}", crate::stderr(&output));
        assert_eq!(document["metadata"]["status"], "failed", "{place}");
        let failing = document["metadata"]["failing_phase"].as_str().unwrap_or("none");
        assert!(bench::phases_of_failure(at).contains(&failing), "{place}: failed in {failing}");
        let kind_of_failure = document["failure"]["kind"].as_str().unwrap_or("none");
        match how {
            How::OutOfMemory => assert_eq!(kind_of_failure, "out_of_memory", "{place}"),
            How::Signal(_) => assert_eq!(kind_of_failure, "engine_killed", "{place}"),
            _ => assert_ne!(kind_of_failure, "none", "{place}"),
        }
        bench.nothing_is_left();
        bench.is_derived_again();
        bench.no_sample_is_lost();
    });
}

#[test]
fn an_engine_that_hangs_runs_into_its_limit_and_is_ended() {
    let cases = vec![(Kind::Latency, Phase::Load), (Kind::Serve, Phase::Ready), (Kind::Serve, Phase::Measure)];
    bench::in_parallel(cases, |&(kind, at)| {
        let fail = vec![Fail { at, how: How::Hang }];
        let script = Script { speed: 100.0, fail, ignores_sigterm: true, workers: 2, ..Script::default() };
        let bench = Bench::new(&script);
        let limits = ["--timeout-start", "6s", "--timeout", "4s", "--grace", "1s"];
        let (output, document) = bench.profile(kind, &limits);
        assert_eq!(output.status.code(), Some(10), "{kind:?} {at:?}: {}", crate::stderr(&output));
        assert_eq!(document["failure"]["kind"], "timed_out", "{kind:?} {at:?}");
        bench.nothing_is_left();
    });
}

#[test]
fn workers_that_outlive_their_parent_are_ended_too() {
    let fail = vec![Fail { at: Phase::Measure, how: How::Signal(9) }];
    let script = Script { speed: 60.0, fail, workers: 3, workers_outlive: true, ..Script::default() };
    let bench = Bench::new(&script);
    let (output, _) = bench.profile(Kind::Latency, &["--grace", "1s"]);
    assert_eq!(output.status.code(), Some(6), "{}", crate::stderr(&output));
    bench.nothing_is_left();
}

#[test]
fn secrets_stay_out_of_the_profile_the_recording_and_the_screen() {
    let script = Script { speed: 60.0, echo: true, ..Script::default() };
    for (kind, told) in [(Kind::Latency, "--hf-token"), (Kind::Serve, "--api-key")] {
        let bench = Bench::new(&script);
        let words = ["--num-prompts", "4", "--", told, SECRETS[0].1];
        let (output, document) = bench.profile(kind, &words);
        assert_eq!(output.status.code(), Some(0), "{kind:?}: {}", crate::stderr(&output));
        let log = fs::read_to_string(bench.folder().join("engine.log")).unwrap();
        assert!(log.contains("HF_TOKEN="), "the stand-in shows its environment");
        let mut texts = vec![crate::stdout(&output), crate::stderr(&output), document.to_string()];
        texts.extend(
            fs::read_dir(bench.folder())
                .unwrap()
                .map(|file| String::from_utf8_lossy(&fs::read(file.unwrap().path()).unwrap()).into_owned()),
        );
        for (name, value) in SECRETS {
            let shown = texts.iter().find(|text| text.contains(value));
            assert!(shown.is_none(), "{kind:?}: the secret of {name} is shown in:\n{}", shown.unwrap());
        }
    }
}

/// What is a secret by the place where it is told is one wherever an engine repeats it.
#[test]
fn secrets_within_values_are_known_where_nothing_names_them() {
    let bench = Bench::new(&Script { speed: 60.0, echo: true, ..Script::default() });
    let config = r#"{"auth_token": "withinjson77", "url": "http://me:withinword77@host/"}"#;
    let words = ["--num-prompts", "2", "--", "--api-key", "firstkey77", "secondkey77", "--additional-config", config];
    let mut command = bench.command(&bench.file(), Kind::Serve, &words);
    command.env("HTTPS_PROXY", "http://me:withinvalue77@proxy:3128");
    command.env("REPEATED", "me:withinvalue77@proxy withinword77 withinjson77 secondkey77 firstkey77");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", crate::stderr(&output));
    let log = fs::read_to_string(bench.folder().join("engine.log")).unwrap();
    let repeated = log.lines().find(|line| line.contains("REPEATED=")).unwrap();
    assert!(!repeated.contains("77"), "{repeated}");
    for secret in ["withinjson77", "withinword77", "withinvalue77", "key77"] {
        assert!(!log.contains(secret), "{secret} is shown in:\n{log}");
    }
}

#[test]
fn a_device_that_is_lost_ends_the_run() {
    let bench = Bench::with_nvml(&Script { speed: 6.0, ..Script::default() }, |device| {
        device["lost_after"] = 120.into();
    });
    let (output, document) = bench.profile(Kind::Latency, &["--grace", "1s"]);
    assert_eq!(output.status.code(), Some(7), "{}", crate::stderr(&output));
    assert_eq!(document["failure"]["kind"], "device_lost");
    let gaps = document["gaps"].as_array().unwrap();
    assert!(gaps.iter().any(|gap| gap["cause"] == "device_lost"), "{gaps:?}");
    bench.nothing_is_left();
}

#[test]
fn what_will_not_fit_is_refused_before_anything_starts_and_can_be_forced() {
    let script = Script { speed: 60.0, ..Script::default() };
    let bench = Bench::new(&script);
    let little = ["--gpu-memory-utilization", "0.01"];
    let (output, _) = bench.run(Kind::Latency, &little);
    assert_eq!(output.status.code(), Some(8), "{}", crate::stderr(&output));
    assert!(crate::stderr(&output).contains("refused does_not_fit"), "{}", crate::stderr(&output));
    assert!(!bench.folder().exists(), "nothing is recorded");
    let (output, document) = bench.profile(Kind::Latency, &[&little[..], &["--force"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", crate::stderr(&output));
    assert_eq!(document["expectation"]["fits"], false);
}

#[test]
fn flags_are_checked_against_the_engines_own_help() {
    let bench = Bench::new(&Script::default());
    let (output, _) = bench.run(Kind::Latency, &["--", "--max-model-length", "5"]);
    assert_eq!(output.status.code(), Some(2));
    let said = crate::stderr(&output);
    assert!(said.contains("--max-model-length") && said.contains("did you mean --max-model-len?"), "{said}");
    assert!(!bench.folder().exists());
    let (output, _) = bench.run(Kind::Latency, &["--dry-run", "--", "--seed=7"]);
    assert_eq!(output.status.code(), Some(0), "{}", crate::stderr(&output));
    let line = crate::stdout(&output);
    assert!(line.contains(" bench latency --model ") && line.trim_end().ends_with("--seed=7"), "{line}");
    assert!(!bench.folder().exists(), "a dry run leaves nothing");
}

#[test]
fn several_runs_leave_a_profile_each_and_a_summary() {
    let bench = Bench::new(&Script { speed: 60.0, ..Script::default() });
    let (output, _) = bench.run(Kind::Latency, &["--repeat", "2"]);
    assert_eq!(output.status.code(), Some(0), "{}", crate::stderr(&output));
    let summary = bench.file().with_file_name("profile.repeat.json");
    let summary: Value = serde_json::from_slice(&fs::read(summary).unwrap()).unwrap();
    assert_eq!(summary["runs"], 2);
    let weights = summary["figures"].as_array().unwrap().iter().find(|f| f["name"] == "model_weights_bytes").unwrap();
    assert_eq!((&weights["n"], &weights["spread_pct"]), (&2.into(), &0.0.into()));
    for run in ["profile_1.json", "profile_2.json"] {
        assert!(bench.file().with_file_name(run).is_file(), "{run}");
    }
    assert!(crate::stdout(&output).contains("model weights GiB"), "{}", crate::stdout(&output));
    let quiet = bench.file().with_file_name("quiet.json");
    let output = bench.command(&quiet, Kind::Latency, &["--repeat", "2", "--quiet"]).output().unwrap();
    assert_eq!((output.status.code(), crate::stderr(&output).as_str()), (Some(0), ""), "only the result is said");
    assert!(crate::stdout(&output).starts_with("2 runs"), "{}", crate::stdout(&output));
}

#[test]
fn runs_that_went_well_are_summed_up_when_a_later_one_does_not() {
    let bench = Bench::new(&Script { speed: 20.0, ..Script::default() });
    let words = ["--repeat", "9"];
    let mut child = bench
        .command(&bench.file(), Kind::Latency, &words)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // In the third run.
    while !bench.file().with_file_name("profile_3").join("engine.log").exists() {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    bench::signal(&child, rustix::process::Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let summary = fs::read(bench.file().with_file_name("profile.repeat.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&summary).unwrap()["runs"], 2);
    bench.nothing_is_left();
}

#[test]
fn a_command_line_that_cannot_be_meant_is_refused() {
    let no_model = crate::vramscope(&["profile"]);
    assert_eq!(no_model.status.code(), Some(2), "{}", crate::stderr(&no_model));
    let output = crate::vramscope(&["profile", "--model", "m/x", "--", "serve", "other"]);
    assert_eq!(output.status.code(), Some(2), "{}", crate::stderr(&output));
    let absent = crate::vramscope(&["profile", "--model", "m/x", "--engine", "no-such-engine", "--quiet"]);
    assert_eq!(absent.status.code(), Some(9), "{}", crate::stderr(&absent));
    assert!(crate::stderr(&absent).contains("no such program"), "{}", crate::stderr(&absent));
}

#[test]
fn a_folder_that_cannot_be_written_is_said_before_the_engine_starts() {
    let bench = Bench::new(&Script::default());
    let file = bench.file().join("below-a-file.json");
    fs::write(bench.file(), "a file").unwrap();
    let (output, _) = bench.run_to(&file, Kind::Latency, &[]);
    assert_eq!(output.status.code(), Some(4), "{}", crate::stderr(&output));
    assert!(!bench.folder().exists());
}

#[test]
fn only_what_the_engine_sees_is_measured_and_an_engine_is_kept_on_what_is_measured() {
    // Long enough that several readings, one each second, list the engine's process.
    let bench = Bench::new(&Script { speed: 15.0, ..Script::default() });
    bench.add_an_idle_device();
    let recorded = || {
        let timeline = fs::read_to_string(bench.folder().join("timeline.jsonl")).unwrap();
        let header: Value = serde_json::from_str(timeline.lines().next().unwrap()).unwrap();
        header["devices"].as_array().unwrap().len()
    };
    let left_out = |document: &Value| document["metadata"].to_string().contains("had no process there: GPU 1");
    let (_, both) = bench.profile(Kind::Latency, &[]);
    assert_eq!((recorded(), left_out(&both)), (2, true), "{}", both["metadata"]);
    assert_eq!(both["memory_breakdown"]["baseline_bytes"], 0, "the other device's 5 GiB are no part of the run");
    assert_eq!(both["host"]["memory_returned"], true);
    fs::remove_dir_all(bench.folder()).unwrap();
    let mut seen = bench.command(&bench.file(), Kind::Latency, &[]);
    seen.env("CUDA_VISIBLE_DEVICES", "0");
    assert!(seen.output().unwrap().status.success());
    let document: Value = serde_json::from_slice(&fs::read(bench.file()).unwrap()).unwrap();
    assert_eq!((recorded(), left_out(&document)), (1, false), "{}", document["metadata"]);

    let dry = |more: &[&str], variable: Option<&str>| {
        let mut command = bench.command(&bench.file().with_file_name("dry.json"), Kind::Latency, more);
        command.env_remove("CUDA_VISIBLE_DEVICES");
        command.envs(variable.map(|value| ("CUDA_VISIBLE_DEVICES", value)));
        crate::stdout(&command.output().unwrap())
    };
    let confined = dry(&["--dry-run", "--gpu", "1"], None);
    assert!(confined.starts_with("CUDA_VISIBLE_DEVICES=1 CUDA_DEVICE_ORDER=PCI_BUS_ID "), "{confined}");
    assert!(!dry(&["--dry-run"], None).contains("CUDA_"), "nobody named a device");
    assert!(
        !dry(&["--dry-run", "--gpu", "1"], Some("1")).contains("CUDA_VISIBLE_DEVICES"),
        "it has the variable already"
    );
}
