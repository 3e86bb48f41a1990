//! `vramscope load` against a server that knows what it does.

mod capacity;
#[cfg(unix)]
mod energy;
mod experiment;
#[cfg(unix)]
mod started;

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use standin_openai::{Fail, How, Script, Server};

use crate::{stderr, stdout, vramscope};

fn quick() -> Script {
    Script { ttft_ms: vec![3.0], gap_ms: vec![1.0], ..Script::default() }
}

/// The document of a load, and how the command ended.
fn load(server: &Server, words: &[&str]) -> (Value, Option<i32>, String) {
    let url = server.url();
    let all = [&["load", &url, "--format", "json", "--input-len", "8"][..], words].concat();
    let output = vramscope(&all);
    let said = stderr(&output);
    (serde_json::from_str(&stdout(&output)).unwrap_or_else(|_| panic!("{said}")), output.status.code(), said)
}

#[test]
fn a_result_that_cannot_be_written_is_refused_before_anything_is_sent() {
    let server = Server::start(quick()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for output in [folder.path().to_owned(), file.join("load.json")] {
        let words = ["load", &server.url(), "--num-prompts", "4", "--input-len", "8", "-o", output.to_str().unwrap()];
        let ran = vramscope(&words);
        assert_eq!(ran.status.code(), Some(4), "{}", stderr(&ran));
        assert!(stderr(&ran).contains("could not write"), "{}", stderr(&ran));
    }
    assert_eq!(server.truth().requests.len(), 0);
}

#[test]
fn levels_are_measured_in_turn_and_written_with_a_line_for_each_request() {
    let server = Server::start(quick()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (file, lines) = (folder.path().join("load.json"), folder.path().join("requests.jsonl"));
    let files = ["-o", file.to_str().unwrap(), "--requests", lines.to_str().unwrap()];
    let words = [
        &[
            "--concurrency",
            "1,4",
            "--num-prompts",
            "12",
            "--output-len",
            "6",
            "--seed",
            "7",
            "--slo",
            "ttft=10s",
            "--report",
        ],
        &files[..],
    ]
    .concat();
    let (document, code, said) = load(&server, &words);
    assert_eq!(code, Some(0), "{said}");
    let levels = document["levels"].as_array().unwrap();
    assert_eq!(levels.len(), 2);
    for (level, concurrency) in levels.iter().zip([1, 4]) {
        assert_eq!(level["asked"]["concurrency"], concurrency);
        assert_eq!((&level["requests"]["completed"], &level["requests"]["failed"]), (&12.into(), &0.into()));
        assert_eq!((&level["tokens"]["output"], &level["goodput"]["good"]), (&72.into(), &12.into()));
        assert!(level["ttft"]["p50_ms"].as_f64().unwrap() >= 2.9, "{level}");
        assert_eq!(level["server"]["prefix_hit_tokens"], 0);
    }
    assert_eq!((&document["workload"]["seed"], &document["workload"]["model"]), (&7.into(), &"standin".into()));
    let written: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(written, document);
    let page = std::fs::read_to_string(file.with_extension("html")).unwrap();
    assert!(page.contains("data-figure=\"0:/levels/1/output_tokens_per_s\""), "the page is of this load");
    let lines = std::fs::read_to_string(&lines).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 24);
    assert!(lines.iter().all(|line| line["chunks_ms"].as_array().unwrap().len() == 6 && line["good"] == true));
}

#[test]
fn a_table_is_for_people() {
    let server = Server::start(quick()).unwrap();
    let output =
        vramscope(&["load", &server.url(), "--num-prompts", "5", "--input-len", "4..9", "--output-len", "3", "-q"]);
    let text = stdout(&output);
    assert!(output.status.success() && stderr(&output).is_empty(), "{}", stderr(&output));
    for part in
        ["standin, completions, 4..9 tokens -> 3 tokens, seed ", "level", "output tok/s", "TTFT p50", "1 in flight"]
    {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn half_the_answers_500_is_no_success_unless_that_is_allowed() {
    let fail = vec![Fail { every: 2, how: How::Status(500) }];
    let script = Script { fail, ..quick() };
    // The request that tries the server out is the first, and is answered.
    let server = Server::start(script.clone()).unwrap();
    let words = ["--concurrency", "4", "--num-prompts", "20", "--warmup", "0"];
    let (document, code, said) = load(&server, &words);
    assert_eq!(code, Some(8), "{said}");
    let level = &document["levels"][0];
    assert_eq!((&level["requests"]["failed"], &level["failures"]["status_500"]), (&10.into(), &10.into()));
    assert_eq!(level["findings"][0]["code"], "requests_failed");
    assert!(said.contains("10 requests failed"), "{said}");
    let (_, code, said) = load(&Server::start(script).unwrap(), &[&words[..], &["--max-failed", "10"]].concat());
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_sent() {
    let server = Server::start(quick()).unwrap();
    let url = server.url();
    for (words, part) in [
        (&["--input-len", "9..2"][..], "ends before it begins"),
        (&["--slo", "speed=1s"], "there is no bound"),
        (&["--extra-body", "[]"], "no JSON object"),
        (&["--extra-body", "{\"stream\": false}"], "stream"),
        (&["--concurrency", "0"], "out of range"),
        (&["--rate", "nan"], "out of range"),
        (&["--header", "host: x"], "sets it itself"),
        (&["--sweep", "--concurrency", "1,2"], "begins at one level"),
    ] {
        let output = vramscope(&[&["load", &url][..], words].concat());
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(part), "{words:?}: {}", stderr(&output));
    }
    assert!(server.truth().requests.len() <= 1, "a probe at most");
    drop(server);
    let output = vramscope(&["load", &url]);
    assert_eq!(output.status.code(), Some(9), "{}", stderr(&output));
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_was_answered() {
    let server = Server::start(Script { ttft_ms: vec![20.0], ..quick() }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("load.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_vramscope"));
    command.args(["load", &server.url(), "--concurrency", "4", "--duration", "10m", "-o", file.to_str().unwrap()]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while server.truth().requests.iter().filter(|request| request.whole).count() < 20 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    let document: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let level = &document["levels"][0];
    assert_eq!((&document["stopped"], &level["stopped"]), (&true.into(), &true.into()));
    assert!(level["requests"]["completed"].as_u64().unwrap() >= 10, "{level}");
    assert_eq!(level["requests"]["failed"], 0);
}

#[cfg(unix)]
#[test]
fn a_low_limit_of_open_files_is_raised_and_is_no_dead_server() {
    let server = Server::start(quick()).unwrap();
    let binary = env!("CARGO_BIN_EXE_vramscope");
    let script = format!(
        "ulimit -S -n 64 && exec {binary} load {} --concurrency 200 --num-prompts 200 --input-len 8 --output-len 3 --format json",
        server.url()
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(document["levels"][0]["requests"]["completed"], 200);
}
