//! Ctrl-C in every step, with an engine that is slow to say anything and a driver that is slow to answer: the time until
//! the command has ended, printed as a table.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use standin_vllm::{Fail, How, Phase, Script};

use super::bench::{self, Bench, Kind};

/// Longer than any step may take once it is asked to end, and far shorter than what is waited for in them.
const SOON: Duration = Duration::from_secs(30);
/// What the slow engine takes to answer a question, in seconds.
const SLOW_S: u32 = 120;

/// An engine that imports for minutes before it answers a question.
fn slow_to_answer(folder: &Path) -> String {
    let path = folder.join("slow/vllm");
    fs::create_dir(path.parent().unwrap()).unwrap();
    let engine = standin_vllm::executable();
    let text = format!(
        "#!/bin/sh\ncase \"$*\" in *--help*|*--version*) sleep {SLOW_S};; esac\nexec {} \"$@\"\n",
        engine.display()
    );
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

/// Waits until a process catches the signal: on a busy machine its beginning takes longer than any moment. Where the system
/// does not say it, that moment has to do.
fn until_caught(pid: u32, signal: Signal) {
    let bit = 1_u64 << (signal.as_raw() - 1);
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(30) {
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return };
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        if caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_none_or(|mask| mask & bit != 0) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How long it takes from the signal until the command has ended with 130. The signal comes once `ready` finds what it
/// waits for in what the command says, or after a moment where it says nothing.
fn ends(mut command: Command, signal: Signal, says: Option<&str>) -> Duration {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    match says {
        Some(words) => {
            let mut line = String::new();
            while !line.contains(words) {
                line.clear();
                assert!(lines.read_line(&mut line).unwrap() > 0, "it ended before it said {words:?}");
            }
        }
        None => {
            until_caught(child.id(), signal);
            std::thread::sleep(Duration::from_millis(700));
        }
    }
    // What it goes on to say must not fill the pipe.
    let drain = std::thread::spawn(move || lines.lines().map_while(Result::ok).count());
    let asked = Instant::now();
    bench::signal(&child, signal);
    let code = child.wait().unwrap().code();
    let took = asked.elapsed();
    drain.join().unwrap();
    assert_eq!(code, Some(130), "{says:?}");
    assert!(took < SOON, "{says:?}: it took {took:?}");
    took
}

#[test]
fn every_step_ends_soon_after_ctrl_c() {
    let quick = Script { speed: 4.0, ..Script::default() };
    let served = Script { speed: 60.0, ..Script::default() };
    let hangs = |at| Script { fail: vec![Fail { at, how: How::Hang }], ..served.clone() };
    let steps = [
        ("the driver hangs at its start", None, Kind::Latency, quick.clone()),
        ("the engine is asked for its flags", None, Kind::Latency, quick.clone()),
        ("baseline", Some(" s  baseline"), Kind::Latency, quick.clone()),
        ("launch", Some(" s  launch"), Kind::Latency, quick.clone()),
        ("load", Some(" s  load"), Kind::Latency, quick.clone()),
        ("ready", Some(" s  ready"), Kind::Serve, served.clone()),
        ("warmup", Some(" s  warmup"), Kind::Serve, hangs(Phase::Warmup)),
        ("measure", Some(" s  measure"), Kind::Latency, quick.clone()),
        ("shutdown", Some(" s  shutdown"), Kind::Latency, hangs(Phase::Shutdown)),
        ("settle", Some(" s  settle"), Kind::Latency, quick.clone()),
    ];
    let cases: Vec<_> = steps
        .into_iter()
        .flat_map(|(step, says, kind, script)| {
            [Signal::INT, Signal::TERM].map(move |signal| (step, says, kind, script.clone(), signal))
        })
        .collect();
    bench::in_parallel(cases, |(step, says, kind, script, signal)| {
        let (step, says, signal) = (*step, *says, *signal);
        let bench = match step {
            "the driver hangs at its start" => Bench::with_library(script, |nvml| {
                nvml["hangs_at"] = serde_json::json!({"nvmlDeviceGetMemoryInfo_v2": 0});
            }),
            _ => Bench::new(script),
        };
        let slow = slow_to_answer(bench.file().parent().unwrap());
        let asked = ["--engine", slow.as_str(), "--settle", "60s"];
        let more: &[&str] = match step {
            "the engine is asked for its flags" => &asked[..2],
            "baseline" => &["--baseline", "60s"],
            // What hangs while it is ended has so long.
            "shutdown" => &["--grace", "2s"],
            // Memory that does not come back is waited for.
            "settle" => &asked[2..],
            _ => &[],
        };
        if step == "settle" {
            bench.leaves_memory();
        }
        let took = ends(bench.command(&bench.file(), *kind, more), signal, says);
        bench.nothing_is_left();
        println!("profile, {step}, {signal:?}: {:.2} s", took.as_secs_f64());
    });
}

#[test]
fn a_capture_ends_soon_after_ctrl_c() {
    let folder = tempfile::tempdir().unwrap();
    let slow = slow_to_answer(folder.path());
    let script = folder.path().join("script.json");
    fs::write(&script, serde_json::to_vec(&Script { speed: 0.2, ..Script::default() }).unwrap()).unwrap();
    let engine = standin_vllm::executable().display().to_string();
    for (step, engine, version) in [
        ("the engine is asked for its version", slow.as_str(), None),
        ("the engine starts", engine.as_str(), Some("0.25.1")),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vramscope"));
        command.args(["trace", "capture", "--dir"]).arg(folder.path().join("traces"));
        command.args(version.map(|version| format!("--vllm-version={version}")));
        command.args(["--", engine, "serve", "m"]).env(standin_vllm::SCRIPT_VARIABLE, &script).stdin(Stdio::null());
        let took = ends(command, Signal::INT, None);
        println!("trace capture, {step}: {:.2} s", took.as_secs_f64());
    }
    let left = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let environment = fs::read(entry.unwrap().path().join("environ")).ok()?;
        let environment = String::from_utf8_lossy(&environment).into_owned();
        environment.contains(script.to_str().unwrap()).then_some(())
    });
    assert_eq!(left.count(), 0, "no engine lives on");
}
