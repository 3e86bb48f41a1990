//! The ends of a run: what goes wrong before the engine is there and after its work is done, and Ctrl-C in each phase.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use rustix::process::Signal;
use standin_vllm::{Device, Fail, How, Phase, Script};

use super::bench::{self, Bench, Kind, found};

fn failing(at: Phase, how: How) -> Script {
    Script { speed: 60.0, fail: vec![Fail { at, how }], ..Script::default() }
}

/// A device on which so much stays in use when the engine has ended.
fn leaving(gib: u64) -> Vec<Device> {
    vec![Device { used_file: PathBuf::new(), rest_bytes: 0, left_bytes: gib << 30 }]
}

#[test]
fn an_engine_that_does_not_stop_is_killed_and_the_profile_says_so() {
    let script = Script { ignores_sigterm: true, workers: 2, ..failing(Phase::Shutdown, How::Hang) };
    let bench = Bench::new(&script);
    let (output, document) = bench.profile(Kind::Serve, &["--num-prompts", "4", "--grace", "1s"]);
    assert_eq!(output.status.code(), Some(0), "the work was done: {}", crate::stderr(&output));
    assert_eq!(document["metadata"]["status"], "complete");
    assert_eq!(document["host"]["exit_signal"], 9, "{}", document["host"]);
    assert_eq!(document["host"]["killed_after_s"], 1.0, "{}", document["host"]);
    assert!(found(&document).contains(&"engine_killed"), "{:?}", found(&document));
    assert_eq!(document["served_stats"]["completed_requests"], 4);
    bench.nothing_is_left();
    bench.is_derived_again();
}

#[test]
fn a_server_that_crashes_when_it_is_stopped_has_done_its_work() {
    let cases = vec![(How::Exit(3), "exit_code", 3), (How::Signal(11), "exit_signal", 11)];
    bench::in_parallel(cases, |&(how, field, value)| {
        let bench = Bench::new(&failing(Phase::Shutdown, how));
        let (output, document) = bench.profile(Kind::Serve, &["--num-prompts", "4"]);
        assert_eq!(output.status.code(), Some(0), "{how:?}: {}", crate::stderr(&output));
        assert_eq!(document["metadata"]["status"], "complete", "{how:?}");
        assert_eq!(document["host"][field], value, "{how:?}: {}", document["host"]);
        assert!(found(&document).contains(&"engine_ended_badly"), "{how:?}: {:?}", found(&document));
        bench.nothing_is_left();
        bench.is_derived_again();
    });
}

#[test]
fn a_benchmark_that_crashes_after_its_result_keeps_it() {
    let cases = vec![How::Exit(3), How::Signal(11), How::OutOfMemory];
    bench::in_parallel(cases, |&how| {
        let bench = Bench::new(&failing(Phase::Shutdown, how));
        let (output, document) = bench.profile(Kind::Latency, &[]);
        assert_eq!(output.status.code(), Some(6), "{how:?}: {}", crate::stderr(&output));
        assert_eq!(document["metadata"]["status"], "failed", "{how:?}");
        assert_eq!(document["latency_stats"]["num_iterations"], 3, "{how:?}: the result was there");
        let failing = document["metadata"]["failing_phase"].as_str().unwrap_or("none");
        assert!(bench::phases_of_failure(Phase::Shutdown).contains(&failing), "{how:?}: failed in {failing}");
        bench.nothing_is_left();
        bench.is_derived_again();
        bench.no_sample_is_lost();
    });
}

#[test]
fn memory_that_does_not_come_back_is_found() {
    // A little, and all of it: an engine that is known to have ended is not at work.
    bench::in_parallel(vec![3, 131], |&gib| {
        let bench = Bench::new(&Script { speed: 60.0, devices: leaving(gib), ..Script::default() });
        let (output, document) = bench.profile(Kind::Latency, &[]);
        assert_eq!(output.status.code(), Some(0), "{gib}: {}", crate::stderr(&output));
        assert_eq!(document["host"]["memory_returned"], false, "{gib}: {}", document["host"]);
        assert_eq!(document["host"]["left_over_baseline_bytes"], gib << 30, "{gib}");
        assert!(found(&document).contains(&"memory_not_returned"), "{gib}: {:?}", found(&document));
        bench.nothing_is_left();
        bench.is_derived_again();
    });
}

#[test]
fn a_device_that_is_lost_at_the_beginning_or_at_the_end_ends_the_run_there() {
    bench::in_parallel(vec!["baseline", "settle"], |&phase| {
        let bench = Bench::new(&Script { speed: 20.0, devices: leaving(2), ..Script::default() });
        let lost = |_: &std::process::Child| bench.device_says("lost");
        let (output, document) = bench.disturbed(Kind::Latency, &["--baseline", "2s"], phase, lost);
        assert_eq!(output.status.code(), Some(7), "{phase}: {}", crate::stderr(&output));
        assert_eq!(document["failure"]["kind"], "device_lost", "{phase}");
        assert_eq!(document["metadata"]["failing_phase"], phase);
        assert!(document["host"]["memory_returned"].is_null(), "{phase}: nobody can see whether memory returned");
        let gaps = document["gaps"].as_array().unwrap();
        assert!(gaps.iter().any(|gap| gap["cause"] == "device_lost"), "{phase}: {gaps:?}");
        if phase == "baseline" {
            assert!(fs::metadata(bench.folder().join("engine.log")).unwrap().len() == 0, "the engine was not started");
        }
        bench.nothing_is_left();
        bench.is_derived_again();
    });
}

#[test]
fn an_engine_that_is_gone_when_it_is_to_be_started_ends_the_run_in_its_launch() {
    let bench = Bench::new(&Script::default());
    // It answers what it is asked before the run, and then it is not there any more.
    let engine = bench.file().with_file_name("vanishing");
    let real = standin_vllm::executable();
    let script =
        format!("#!/bin/sh\ncase \"$*\" in *--help*) ;; *--version*) ;; esac\nexec '{}' \"$@\"\n", real.display());
    fs::write(&engine, script).unwrap();
    fs::set_permissions(&engine, fs::Permissions::from_mode(0o755)).unwrap();
    let words = ["--engine", engine.to_str().unwrap(), "--baseline", "2s"];
    let gone = |_: &std::process::Child| fs::remove_file(&engine).unwrap();
    let (output, document) = bench.disturbed(Kind::Latency, &words, "baseline", gone);
    assert_eq!(output.status.code(), Some(9), "{}", crate::stderr(&output));
    assert_eq!(document["failure"]["kind"], "engine_not_found");
    assert_eq!(document["metadata"]["failing_phase"], "launch");
    bench.is_derived_again();
}

#[test]
fn a_server_that_refuses_is_ended_and_says_where() {
    let cases = vec![(Phase::Launch, 6, "launch"), (Phase::Load, 6, "launch"), (Phase::Ready, 10, "load")];
    bench::in_parallel(cases, |&(at, code, phase)| {
        let bench = Bench::new(&failing(at, How::Refuse));
        let limits = ["--num-prompts", "12", "--timeout-start", "6s", "--timeout", "20s", "--grace", "1s"];
        let (output, document) = bench.profile(Kind::Serve, &limits);
        assert_eq!(output.status.code(), Some(code), "{at:?}: {}", crate::stderr(&output));
        assert_eq!(document["metadata"]["status"], "failed", "{at:?}");
        assert_eq!(document["metadata"]["failing_phase"], phase, "{at:?}: {}", document["failure"]);
        bench.nothing_is_left();
        bench.is_derived_again();
    });
}

#[test]
fn other_signals_end_a_run_in_order_too_and_nohup_is_heeded() {
    let cases = vec![(Signal::TERM, ""), (Signal::HUP, ""), (Signal::HUP, "nohup")];
    bench::in_parallel(cases, |&(signal, before)| {
        let bench = Bench::new(&failing(Phase::Ready, How::SlowS(3.0)));
        let mut command = bench.command(&bench.file(), Kind::Latency, &["--grace", "2s"]);
        command = match before {
            "" => bench::hearing_hangups(&command),
            before => bench::under(&command, &format!("exec {before} \"$@\"")),
        };
        let (output, document) = bench.disturb(command, "load", |child| bench::signal(child, signal));
        let (code, status) = if before.is_empty() { (130, "interrupted") } else { (0, "complete") };
        assert_eq!(output.status.code(), Some(code), "{signal:?} {before}: {}", crate::stderr(&output));
        assert_eq!(document["metadata"]["status"], status, "{signal:?} {before}");
        bench.nothing_is_left();
        bench.is_derived_again();
    });
}

#[test]
fn nobody_need_listen_to_what_is_said() {
    bench::in_parallel(vec!["2>/dev/full", "2>&-", ">&-", ">/dev/full"], |&deaf| {
        let bench = Bench::new(&Script { speed: 60.0, ..Script::default() });
        let command = bench.command(&bench.file(), Kind::Latency, &[]);
        let output = bench::under(&command, &format!("\"$@\" {deaf}")).output().unwrap();
        let document: serde_json::Value = serde_json::from_slice(&fs::read(bench.file()).unwrap()).unwrap();
        assert_eq!(document["metadata"]["status"], "complete", "{deaf}");
        // A result that could not be printed is told of, and the profile is written all the same.
        let code = if deaf == ">/dev/full" { 4 } else { 0 };
        assert_eq!(output.status.code(), Some(code), "{deaf}: {}", crate::stderr(&output));
        bench.nothing_is_left();
    });
}

#[test]
fn a_failed_run_has_failed_whether_or_not_its_table_is_read() {
    let bench = Bench::new(&failing(Phase::Load, How::Exit(3)));
    let command = bench.command(&bench.file(), Kind::Latency, &[]);
    let output = bench::under(&command, "{ \"$@\"; echo \"code $?\" >&2; } | true").output().unwrap();
    let said = crate::stderr(&output);
    assert!(said.contains("code 6") && said.contains("profile written to"), "{said}");
    assert!(said.contains("error in the phase"), "{said}");
    bench.nothing_is_left();
}

#[test]
fn the_log_of_an_engine_that_failed_is_named_and_its_last_lines_are_shown() {
    let bench = Bench::new(&failing(Phase::Load, How::Exit(3)));
    let (output, document) = bench.profile(Kind::Latency, &[]);
    let (screen, said) = (crate::stdout(&output), crate::stderr(&output));
    let log = bench.folder().join("engine.log");
    let line = format!("the engine's log: {}", log.display());
    assert!(said.lines().any(|shown| shown == line), "{said}");
    let last = fs::read_to_string(&log).unwrap().lines().last().unwrap().to_owned();
    assert!(last.ends_with(document["failure"]["message"].as_str().unwrap()), "{last}: {}", document["failure"]);
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat(&screen).contains(&flat(&last)), "{screen}");
    assert!(!screen.contains("no_engine_log"), "{screen}");
    // `analyze` of what it left says the same.
    let again = crate::vramscope(&["analyze", bench.folder().to_str().unwrap()]);
    assert!(crate::stderr(&again).contains(&line), "{}", crate::stderr(&again));
    // One that did its work is asked for no log.
    let well = Bench::new(&Script { speed: 60.0, ..Script::default() });
    let (output, _) = well.run(Kind::Latency, &[]);
    assert!(!crate::stderr(&output).contains("the engine's log"), "{}", crate::stderr(&output));
}

#[test]
fn ctrl_c_ends_a_run_in_order_in_each_phase() {
    let hang = |at| failing(at, How::Hang);
    let slow = |at| failing(at, How::SlowS(30.0));
    let cases = vec![
        (Kind::Latency, "baseline", Script::default()),
        (Kind::Latency, "launch", slow(Phase::Load)),
        (Kind::Latency, "load", hang(Phase::Ready)),
        (Kind::Serve, "ready", Script { speed: 60.0, ..Script::default() }),
        (Kind::Serve, "warmup", hang(Phase::Warmup)),
        // One request tries the server out and eight warm it up.
        (Kind::Serve, "measure", Script { measure_from_request: 12, ..hang(Phase::Measure) }),
        (Kind::Latency, "shutdown", hang(Phase::Shutdown)),
        (Kind::Serve, "shutdown", Script { ignores_sigterm: true, ..hang(Phase::Shutdown) }),
        (Kind::Latency, "settle", Script { speed: 60.0, devices: leaving(2), ..Script::default() }),
    ];
    bench::in_parallel(cases, |(kind, phase, script)| {
        let bench = Bench::new(script);
        let limits =
            ["--num-prompts", "12", "--baseline", "2s", "--timeout", "60s", "--grace", "2s", "--settle", "20s"];
        let stop = |child: &std::process::Child| bench::signal(child, Signal::INT);
        let (output, document) = bench.disturbed(*kind, &limits, phase, stop);
        let place = format!("{kind:?} {phase}: {}", crate::stderr(&output));
        assert_eq!(output.status.code(), Some(130), "{place}");
        assert_eq!(document["metadata"]["status"], "interrupted", "{place}");
        assert_eq!(document["failure"]["kind"], "interrupted", "{place}");
        assert_eq!(document["metadata"]["failing_phase"], *phase, "{place}");
        bench.nothing_is_left();
        bench.is_derived_again();
        bench.no_sample_is_lost();
    });
}
