//! Snapshots of an allocator that an engine's processes take while it is profiled.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use standin_vllm::{Fail, How, Phase, Script};

use super::bench::{Bench, Kind};

/// The folder with the stand-in for torch, and the program that plays a process with it; `None` without Python.
pub(super) fn standin_where_there_is_python() -> Option<PathBuf> {
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "python3 is absent");
        println!("skipped: python3 is absent");
        return None;
    }
    Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("../vramscope-live/tests/standin").canonicalize().unwrap())
}

/// A run of the stand-in engine as the child of a process that uses a GPU by the stand-in for torch; `None` without Python.
fn profiled(bench: &Bench, kind: Kind, does: &str, more: &[&str]) -> Option<(Output, Value)> {
    let standin = standin_where_there_is_python()?;
    let program = standin.join("program.py");
    let engine = format!("python3 {} {does} run {}", program.display(), standin_vllm::executable().display());
    let mut command = bench.command(&bench.file(), kind, &[&["--engine", &engine], more].concat());
    let output = command.env("PYTHONPATH", standin).env_remove("RANK").env_remove("LOCAL_RANK").output().unwrap();
    let document = fs::read(bench.file()).ok().map_or(Value::Null, |text| serde_json::from_slice(&text).unwrap());
    Some((output, document))
}

fn snapshots(bench: &Bench) -> Vec<String> {
    let names = fs::read_dir(bench.folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".pickle")).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_served_engine_is_asked_for_its_end_before_it_is_stopped_and_the_profile_has_its_ledger() {
    let bench = Bench::new(&Script { speed: 60.0, ..Script::default() });
    let words = ["--num-prompts", "4", "--snapshot", "peak,end", "--snapshot-entries", "500"];
    let Some((output, document)) = profiled(&bench, Kind::Serve, "import gpu reserve 80", &words) else { return };
    let said = crate::stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let names = snapshots(&bench);
    assert!(names.len() == 2 && names[0].ends_with("-end.pickle") && names[1].ends_with("-peak.pickle"), "{names:?}");
    assert!(said.contains("2 allocator snapshots in the recording; to look further: vramscope snapshot "), "{said}");
    let settings = fs::read_to_string(bench.folder().join("snapshot-hook/settings.json")).unwrap();
    assert!(settings.contains("\"entries\":500"), "{settings}");
    let text = document.to_string();
    assert!(text.contains("held up its Python: end 0.") && text.contains("records PyTorch's allocator"), "{text}");
    let reserved: u64 = 80 << 20;
    assert!(text.contains(&format!("\"reserved_bytes\":{reserved}")), "its ledger is in the profile: {text}");
    bench.nothing_is_left();
    bench.is_derived_again();
}

#[test]
fn a_run_that_fails_keeps_the_snapshot_of_its_out_of_memory() {
    let fail = vec![Fail { at: Phase::Load, how: How::OutOfMemory }];
    let bench = Bench::new(&Script { speed: 60.0, fail, ..Script::default() });
    let words = ["--snapshot", "end", "--snapshot=oom"];
    let Some((output, document)) = profiled(&bench, Kind::Serve, "import gpu reserve 80 oom", &words) else { return };
    assert_eq!(output.status.code(), Some(6), "{}", crate::stderr(&output));
    let names = snapshots(&bench);
    assert!(names.len() == 1 && names[0].ends_with("-oom.pickle"), "{names:?}");
    let text = document.to_string();
    assert!(text.contains("that of end was asked for, and not made, as the process ended, or was stopped"), "{text}");
}

#[test]
fn an_engine_whose_processes_load_no_hook_is_measured_and_the_profile_says_that_none_was_made() {
    let bench = Bench::new(&Script { speed: 60.0, ..Script::default() });
    let (output, document) = bench.profile(Kind::Latency, &["--snapshot"]);
    assert_eq!(output.status.code(), Some(0), "{}", crate::stderr(&output));
    assert_eq!(snapshots(&bench), [""; 0]);
    assert!(document.to_string().contains("allocator snapshots were asked for, and none was made"), "{document}");
    bench.is_derived_again();
}

#[test]
fn a_dry_run_shows_by_what_the_hook_comes_and_leaves_nothing() {
    let bench = Bench::new(&Script::default());
    let (output, _) = bench.run(Kind::Latency, &["--dry-run", "--snapshot", "peak", "--env", "PYTHONPATH=/mine"]);
    assert_eq!(output.status.code(), Some(0), "{}", crate::stderr(&output));
    let line = crate::stdout(&output);
    let hook = bench.folder().join("snapshot-hook");
    assert!(line.starts_with(&format!("PYTHONPATH={}:/mine ", hook.display())), "{line}");
    assert!(crate::stderr(&output).contains("snapshot-hook/sitecustomize.py"), "{}", crate::stderr(&output));
    assert!(!bench.folder().exists());
}

#[test]
fn engines_into_which_no_hook_gets_are_refused_with_what_to_do() {
    let refused = |words: &[&str]| {
        let output = crate::vramscope(&[&["profile", "--snapshot", "end"], words].concat());
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", crate::stderr(&output));
        crate::stderr(&output)
    };
    for (words, says) in [
        (&["--url", "http://127.0.0.1:1"][..], "leave out --url"),
        (&["--model", "/m", "--container", "c"], "start the engine as a process of this machine"),
        (&["--model", "/m", "--image", "i"], "start the engine as a process of this machine"),
        (&["--", "llama-server", "-m", "m.gguf"], "llama.cpp does not use PyTorch"),
        (&["--model", "m", "--", "ollama", "serve"], "Ollama does not use PyTorch"),
    ] {
        let said = refused(words);
        assert!(said.contains(says), "{words:?}: {said}");
    }
    let alone = crate::vramscope(&["profile", "--model", "/m", "--snapshot-entries", "5"]);
    assert_eq!(alone.status.code(), Some(2), "{}", crate::stderr(&alone));
}
