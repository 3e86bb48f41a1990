//! `trace capture` with an engine that traces every python function without an end, and with its allocator recorded.

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

#[test]
fn a_capture_with_memory_leaves_the_allocators_snapshot_beside_the_trace() {
    let Some(standin) = super::snapshots::standin_where_there_is_python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let traces = folder.path().join("traces");
    let script = folder.path().join("script.json");
    fs::write(&script, serde_json::to_vec(&Script { speed: 50.0, ..Script::default() }).unwrap()).unwrap();
    // What an earlier capture into the same folder asked for must not be taken for asked now.
    fs::create_dir_all(traces.join("snapshot-hook")).unwrap();
    fs::write(traces.join("snapshot-hook/end"), "").unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_vramscope"));
    command.args(["trace", "capture", "--memory", "--vllm-version", "0.32.0", "--requests", "1", "--max-tokens", "1"]);
    command.arg("--dir").arg(&traces).args(["--", "python3"]).arg(standin.join("program.py"));
    command.args(["import", "gpu", "reserve", "70", "run"]).arg(standin_vllm::executable());
    command.args(["serve", "m", "--port", &port]);
    command.env(standin_vllm::SCRIPT_VARIABLE, &script).env("PYTHONPATH", &standin);
    let ran = command.output().unwrap();
    let said = stderr(&ran);
    assert_eq!(ran.status.code(), Some(0), "{said}");
    assert!(
        said.contains("held up its Python: end 0.") && said.contains("who holds the memory: vramscope snapshot"),
        "{said}"
    );
    let names: Vec<String> =
        fs::read_dir(&traces).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names.iter().filter(|name| name.ends_with("-end.pickle")).count(), 1, "{names:?}");

    let words = ["trace", "capture", "--memory", "--url", "http://127.0.0.1:1", "--dir", "/tmp"];
    let refused = crate::vramscope(&words);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("trace capture --memory -- vllm serve"), "{}", stderr(&refused));
}
