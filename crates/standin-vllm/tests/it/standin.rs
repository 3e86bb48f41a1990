//! The stand-in behaves as the command it stands for, and fails as it is told.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use standin_vllm::{Device, Fail, How, Phase, SCRIPT_VARIABLE, Script};

fn command(folder: &Path, script: &Script, arguments: &[&str]) -> Command {
    let path = folder.join("script.json");
    fs::write(&path, serde_json::to_vec(script).unwrap()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_standin-vllm"));
    command.args(arguments).env(SCRIPT_VARIABLE, path).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn output(script: &Script, arguments: &[&str]) -> (Output, String) {
    let folder = tempfile::tempdir().unwrap();
    let output = command(folder.path(), script, arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output, text)
}

fn fast() -> Script {
    Script { speed: 2000.0, token_ms: 0.1, ..Script::default() }
}

#[test]
fn version_help_and_unknown_flags_are_those_of_the_command() {
    assert_eq!(output(&fast(), &["--version"]).1, "0.25.1\n");
    let (_, help) = output(&fast(), &["bench", "latency", "--help=all"]);
    assert!(help.contains("--num-iters NUM_ITERS") && help.contains("--gpu-memory-utilization"), "{help}");
    let (refused, text) = output(&fast(), &["serve", "m", "--frobnicate"]);
    assert_eq!(
        (refused.status.code(), text.as_str()),
        (Some(2), "vllm: error: unrecognized arguments: --frobnicate\n")
    );
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("flags"), "--only ONLY\n").unwrap();
    let script = Script { flags: Some(folder.path().join("flags")), ..fast() };
    assert_eq!(output(&script, &["serve", "m", "--port", "1"]).0.status.code(), Some(2));
}

#[test]
fn a_benchmark_plays_its_log_and_writes_its_result() {
    let folder = tempfile::tempdir().unwrap();
    let (json, used) = (folder.path().join("bench.json"), folder.path().join("used"));
    let devices = vec![Device { used_file: used.clone(), rest_bytes: 7, left_bytes: 0 }];
    let script = Script { devices, echo: true, ..fast() };
    let json_text = json.to_str().unwrap();
    let arguments = ["bench", "latency", "--model", "m", "--num-iters", "5", "--output-json", json_text];
    let output = command(folder.path(), &script, &arguments).env("HF_TOKEN", "hf_x").output().unwrap();
    let log = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{log}");
    for line in ["Available KV cache memory: 125.05 GiB", "Warming up...", "99% percentile latency", "HF_TOKEN=hf_x"] {
        assert!(log.contains(line), "{line}");
    }
    assert!(
        !log.contains("pid=4814") && !log.contains("11-22 05:1"),
        "the recording's processes and times are replaced"
    );
    assert_eq!(log.matches("Avg latency").count(), 1);
    let result: Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    assert_eq!(result["latencies"].as_array().unwrap().len(), 5);
    let used = fs::read_to_string(used).unwrap();
    assert!(used.starts_with("7 ") && used.ends_with(" 7\n"), "{used}");
}

#[test]
fn every_phase_fails_as_told() {
    type Holds = fn(&Output, &str) -> bool;
    let ways: [(How, Holds); 4] = [
        (How::Exit(3), |output, _| output.status.code() == Some(3)),
        (How::Signal(9), |output, _| output.status.signal() == Some(9)),
        (How::OutOfMemory, |output, text| output.status.code() == Some(1) && text.contains("torch.OutOfMemoryError")),
        (How::SlowS(0.01), |output, _| output.status.success()),
    ];
    for at in [Phase::Launch, Phase::Load, Phase::Ready, Phase::Warmup, Phase::Measure, Phase::Shutdown] {
        for (how, holds) in ways {
            let script = Script { fail: vec![Fail { at, how }], ..fast() };
            let (output, text) = output(&script, &["bench", "latency"]);
            assert!(holds(&output, &text), "{at:?} {how:?}: {:?}", output.status);
            let warmed = text.contains("Warming up...");
            assert_eq!(warmed, at > Phase::Warmup || matches!(how, How::SlowS(_)), "{at:?} {how:?}");
        }
    }
    let (output, text) =
        output(&Script { recording: Some("fail-kv-too-small".into()), ..fast() }, &["bench", "latency"]);
    assert!(output.status.code() == Some(1) && text.contains("ValueError"), "{text}");
}

/// A served stand-in that ends with the test.
struct Served {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Served {
    fn start(script: &Script) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let arguments = ["serve", "m", "--port", &port.to_string(), "--api-key", "sk-x"];
        let child = command(folder.path(), script, &arguments).stdout(Stdio::null()).spawn().unwrap();
        let served = Self { child, port, _folder: folder };
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(Duration::from_millis(5));
        }
        served
    }

    fn ask(&self, request: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let head =
            format!("{request} HTTP/1.1\r\nAuthorization: Bearer sk-x\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    fn complete(&self) -> String {
        self.ask("POST /v1/completions", r#"{"model":"m","prompt":[1,2,3],"max_tokens":4,"stream":true}"#)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_server_answers_counts_and_ends_when_asked() {
    let mut served = Served::start(&fast());
    assert!(served.ask("GET /health", "").starts_with("HTTP/1.1 200"));
    assert!(served.ask("GET /version", "").contains("0.25.1"));
    assert!(served.ask("GET /v1/models", "").contains("\"max_model_len\":8192"));
    let stream = served.complete();
    assert_eq!(stream.matches("\"finish_reason\":").count(), 4, "{stream}");
    assert!(stream.contains("\"completion_tokens\":4") && stream.contains("data: [DONE]"));
    assert!(served.ask("GET /metrics", "").contains("vllm:generation_tokens_total{engine=\"0\",model_name=\"m\"} 4\n"));
    assert!(served.ask("POST /v1/completions", r#"{"model":"other","prompt":"a"}"#).starts_with("HTTP/1.1 404"));
    served.signal(Signal::TERM);
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_server_fails_at_the_request_told() {
    let fail = |at, how| Script { fail: vec![Fail { at, how }], measure_from_request: 3, ..fast() };
    let served = Served::start(&fail(Phase::Measure, How::Refuse));
    let statuses: Vec<String> = (0..4).map(|_| served.complete()[9..12].to_owned()).collect();
    assert_eq!(statuses, ["200", "200", "500", "200"]);
    let mut served = Served::start(&fail(Phase::Warmup, How::Signal(11)));
    assert!(served.complete().starts_with("HTTP/1.1 200"));
    assert_eq!(served.complete(), "");
    assert_eq!(served.child.wait().unwrap().signal(), Some(11));
    let served = Served::start(&fail(Phase::Ready, How::Refuse));
    assert!(served.ask("GET /health", "").starts_with("HTTP/1.1 503"));
}

#[test]
fn workers_end_with_their_engine_or_outlive_it() {
    for outlive in [false, true] {
        let used = tempfile::NamedTempFile::new().unwrap();
        let devices = vec![Device { used_file: used.path().into(), rest_bytes: 0, left_bytes: 0 }];
        let mut served = Served::start(&Script { workers_outlive: outlive, devices, ignores_sigterm: true, ..fast() });
        let text = fs::read_to_string(used.path()).unwrap();
        let worker: i32 = text.split(' ').nth(1).unwrap().parse().unwrap();
        served.signal(Signal::TERM);
        assert!(served.ask("GET /health", "").starts_with("HTTP/1.1 200"), "SIGTERM is ignored");
        served.signal(Signal::KILL);
        served.child.wait().unwrap();
        let lives = || fs::read_to_string(format!("/proc/{worker}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
        if outlive {
            assert!(lives());
            kill_process(Pid::from_raw(worker).unwrap(), Signal::KILL).unwrap();
        }
        while lives() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn a_script_with_an_unknown_word_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path(), &fast(), &["serve", "m"]);
    fs::write(folder.path().join("script.json"), r#"{"sped": 1}"#).unwrap();
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("sped"));
}

#[test]
fn other_crates_find_the_executable() {
    assert_eq!(standin_vllm::executable().file_name(), Path::new(env!("CARGO_BIN_EXE_standin-vllm")).file_name());
}
