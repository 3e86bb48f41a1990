//! `vramscope load … -- vllm serve …`: the engine is started once, and stopped on every way out.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use standin_vllm::{Fail, How, Phase, SCRIPT_VARIABLE, Script};

use crate::{stderr, stdout};

/// A folder with the script of an engine.
struct Machine {
    home: tempfile::TempDir,
    port: u16,
}

impl Machine {
    fn new(script: &Script) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("script.json"), serde_json::to_vec(script).unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self { home, port: listener.local_addr().unwrap().port() }
    }

    fn command(&self, words: &[&str], engine: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vramscope"));
        command.arg("load").args(words).args(["--input-len", "8", "--output-len", "4"]);
        command.arg("--").arg(standin_vllm::executable()).args(["serve", "m", "--port", &self.port.to_string()]);
        command.args(engine).env(SCRIPT_VARIABLE, self.home.path().join("script.json"));
        command.env("TMPDIR", self.home.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, words: &[&str], engine: &[&str]) -> Output {
        self.command(words, engine).output().unwrap()
    }

    fn path(&self, name: &str) -> String {
        self.home.path().join(name).to_str().unwrap().to_owned()
    }

    /// No process that was given the script lives on.
    fn nothing_left(&self) {
        let script = self.path("script.json");
        let left = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let environment = fs::read(entry.unwrap().path().join("environ")).ok()?;
            String::from_utf8_lossy(&environment).contains(&script).then_some(())
        });
        assert_eq!(left.count(), 0, "no engine lives on");
    }
}

fn document(path: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_suite_starts_its_engine_once_and_asks_it_with_its_own_key() {
    let machine = Machine::new(&Script { token_ms: 1.0, ..Script::default() });
    let results = machine.path("results");
    let words = ["--experiment", "suite", "--concurrency", "1,2", "--num-prompts", "6", "-o", &results];
    let output = machine.run(&words, &["--api-key", "plainsecret42"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    machine.nothing_left();
    let log = fs::read_to_string(format!("{results}/engine.log")).unwrap();
    assert_eq!(log.matches("version 0.25.1").count(), 1, "it is started once");
    let document = document(format!("{results}/baseline_metrics.json"));
    assert!(document["latency"].is_object() && document["throughput"].is_object() && document["lengths"].is_object());
    let command = document["engine"]["command"].to_string();
    assert!(command.contains("serve") && command.contains("[redacted]"), "{command}");
    for entry in fs::read_dir(&results).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains("plainsecret42"));
    }
    assert!(!stdout(&output).contains("plainsecret42") && !stderr(&output).contains("plainsecret42"));
}

#[test]
fn a_plain_load_of_a_started_engine_keeps_the_log_beside_its_document() {
    let machine = Machine::new(&Script { token_ms: 1.0, ..Script::default() });
    let file = machine.path("load.json");
    let output = machine.run(&["--concurrency", "1,2", "--num-prompts", "6", "-o", &file], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(document(&file)["levels"].as_array().unwrap().len(), 2);
    assert!(fs::metadata(machine.path("load.engine.log")).unwrap().len() > 100);
    // Without a document it is in a temporary file, which goes with a load that went well.
    let output = machine.run(&["--num-prompts", "3"], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let left = |machine: &Machine| {
        let entries = fs::read_dir(machine.home.path()).unwrap();
        entries
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("vramscope-engine-"))
            .count()
    };
    assert_eq!(left(&machine), 0);
    machine.nothing_left();
}

#[test]
fn an_engine_that_dies_is_told_with_its_last_words_and_what_was_measured_is_kept() {
    // At its start: nothing was measured.
    let dies = |at, how| Machine::new(&Script { token_ms: 1.0, fail: vec![Fail { at, how }], ..Script::default() });
    let machine = dies(Phase::Load, How::Exit(1));
    let output = machine.run(&["--num-prompts", "3"], &[]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(said.contains("the engine failed; its log is") && said.contains("exit code 1"), "{said}");
    let log = said.split("its log is ").last().unwrap().split(", and ends").next().unwrap();
    assert!(fs::metadata(log).unwrap().len() > 0, "the log that is named is there");
    machine.nothing_left();
    // In mid-suite: the latency was measured.
    let script = Script {
        token_ms: 1.0,
        fail: vec![Fail { at: Phase::Measure, how: How::Exit(3) }],
        measure_from_request: 30,
        ..Script::default()
    };
    let machine = Machine::new(&script);
    let results = machine.path("results");
    let words = ["--experiment", "suite", "--num-prompts", "10", "--max-failed", "1000", "-o", &results];
    let output = machine.run(&words, &[]);
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    let document = document(format!("{results}/baseline_metrics.json"));
    assert_eq!(document["latency"]["e2e"]["n"], 10);
    let codes: Vec<&str> =
        document["findings"].as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap()).collect();
    assert!(codes.contains(&"broke_off"), "{codes:?}");
    machine.nothing_left();
}

#[test]
fn what_cannot_be_started_ends_as_a_profile_of_it_would() {
    let machine = Machine::new(&Script::default());
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = machine.run(&[], &["--port", &port]);
    assert_eq!(output.status.code(), Some(9), "{}", stderr(&output));
    assert!(stderr(&output).contains("something listens at"), "{}", stderr(&output));
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vramscope"));
        command.arg("load").args(words).env("TMPDIR", machine.home.path()).output().unwrap()
    };
    for (words, code, part) in [
        (&["--", "no-such-engine", "serve", "m", "--port", "1"][..], 9, "no such program"),
        (&["--", "vllm", "serve", "m", "--port", "x"], 2, "is no port"),
        (&["--", "vllm", "serve", "m", "--uds", "/tmp/s"], 2, "--uds"),
        (&["http://127.0.0.1:1", "--", "vllm", "serve", "m"], 2, "cannot be used with"),
        (&[], 2, "required"),
        (&["--experiment", "suite", "--concurrency", "0", "--", "vllm", "serve", "m"], 2, "out of range"),
    ] {
        let output = run(words);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(part), "{words:?}: {}", stderr(&output));
    }
    // One that hangs is not waited for for ever.
    let machine = Machine::new(&Script { fail: vec![Fail { at: Phase::Ready, how: How::Hang }], ..Script::default() });
    let output = machine.run(&["--timeout-start", "3s"], &[]);
    assert_eq!(output.status.code(), Some(10), "{}", stderr(&output));
    machine.nothing_left();
}

#[test]
fn ctrl_c_stops_the_engine_and_keeps_the_answers() {
    for (script, at) in [
        // While it starts: nothing is left.
        (Script { speed: 0.2, ..Script::default() }, "start"),
        (Script { token_ms: 5.0, ..Script::default() }, "load"),
    ] {
        let machine = Machine::new(&script);
        let file = machine.path("load.json");
        let requests = machine.path("load.engine.log");
        let child = machine.command(&["--duration", "10m", "-o", &file], &[]).spawn().unwrap();
        let said = |text: &str| fs::read_to_string(&requests).unwrap_or_default().matches(text).count();
        let begun = || if at == "start" { Path::new(&requests).exists() } else { said("/v1/completions") > 20 };
        while !begun() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{at}: {}", stderr(&output));
        machine.nothing_left();
        if at == "load" {
            let document = document(&file);
            assert_eq!(document["stopped"], true);
            assert!(document["levels"][0]["requests"]["completed"].as_u64().unwrap() >= 3, "{document}");
        } else {
            assert!(!Path::new(&file).exists());
        }
    }
}
