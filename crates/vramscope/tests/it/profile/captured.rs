//! `trace capture` with an engine that traces every python function without an end.

use std::fs;
use std::process::Command;

use standin_vllm::Script;

use crate::stderr;

#[test]
fn a_deep_capture_keeps_the_beginning_of_the_functions_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (traces, temporary) = (folder.path().join("traces"), folder.path().join("tmp"));
    fs::create_dir(&temporary).unwrap();
    let script = folder.path().join("script.json");
    let grows = Script { speed: 50.0, function_trace_bytes: 2 << 30, ..Script::default() };
    fs::write(&script, serde_json::to_vec(&grows).unwrap()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_vramscope"));
    command.args(["trace", "capture", "--mode", "deep", "--keep-functions", "3MiB", "--vllm-version", "0.32.0"]);
    command.args(["--requests", "1", "--max-tokens", "1", "--dir"]).arg(&traces).arg("--");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    command.arg(standin_vllm::executable()).args(["serve", "m", "--port", &port]);
    command.env(standin_vllm::SCRIPT_VARIABLE, &script).env("TMPDIR", &temporary);
    let ran = command.output().unwrap();
    let said = stderr(&ran);
    assert_eq!(ran.status.code(), Some(0), "{said}");
    assert!(fs::read_to_string(traces.join("engine.log")).unwrap().contains("the trace of functions was cut"));
    let kept: Vec<u64> = fs::read_dir(&traces)
        .unwrap()
        .map(Result::unwrap)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("VLLM_TRACE_FUNCTION"))
        .map(|entry| entry.metadata().unwrap().len())
        .collect();
    assert_eq!(kept, [3 << 20]);
    assert!(said.contains("takes 3.00 MiB, cut off at 3.00 MiB (--keep-functions)"), "{said}");
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "its folder is gone");
}
