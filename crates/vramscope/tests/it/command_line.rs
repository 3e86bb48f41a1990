//! What every subcommand has in common.

use std::fs::File;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::{root, stderr, stdout, vramscope};

/// Every subcommand that `--help` lists.
fn subcommands() -> Vec<String> {
    let help = stdout(&vramscope(&["--help"]));
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !name.is_empty() && *name != "help").map(str::to_owned).collect()
}

#[test]
fn every_subcommand_has_examples_and_says_its_exit_codes() {
    let all = subcommands();
    assert!(all.len() > 12, "{all:?}");
    for name in all {
        let output = vramscope(&[&name, "--help"]);
        let help = stdout(&output);
        assert_eq!(output.status.code(), Some(0), "{name}");
        assert!(help.contains("Example"), "{name}: no example");
        assert!(name == "completions" || help.contains("Exit code"), "{name}: no exit codes");
        // Examples are kept as they are written.
        let wide = |line: &str| if line.starts_with("  ") { 120 } else { 100 };
        assert!(help.lines().all(|line| line.chars().count() <= wide(line)), "{name}: a line is too wide");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let commands: &[&[&str]] = &[
        &["analyze", "examples/llama-3.1-8b", "--format", "json"],
        &["log", "examples/llama-3.1-8b/vllm.log", "--format", "json"],
        &["runs", "examples", "--format", "csv"],
        &["schema", "profile"],
        &["completions", "zsh"],
    ];
    for args in commands {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vramscope"));
        let command = command.args(*args).current_dir(root()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{args:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_with_its_exit_code() {
    for args in [&["analyze", "examples/llama-3.1-8b", "--format", "json"][..], &["schema", "profile"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vramscope"));
        let full = File::create("/dev/full").unwrap();
        let output = command.args(args).current_dir(root()).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(4), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("No space left"), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn a_dash_is_stdin_where_one_file_is_read_once() {
    let feed = |args: &[&str], text: &[u8]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vramscope"));
        let command = command.args(args).current_dir(root()).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text).unwrap();
        child.wait_with_output().unwrap()
    };
    let profile = vramscope(&["analyze", "examples/llama-3.1-8b", "--format", "json"]).stdout;
    assert_eq!(feed(&["migrate", "-"], &profile).stdout, profile);
    let compared = feed(&["compare", "-", "examples/llama-3.1-8b", "--fail-above", "0%"], &profile);
    assert_eq!(compared.status.code(), Some(0), "{}", stderr(&compared));
    let plan = feed(&["campaign", "-", "--dry-run"], b"models: [{model: org/m}]");
    assert!(stdout(&plan).starts_with("1 run, to "), "{}", stdout(&plan));
    let trace = br#"{"traceEvents": [{"ph": "X", "cat": "kernel", "name": "k", "ts": 1, "dur": 2, "args": {}}]}"#;
    let trace = feed(&["trace", "-", "--format", "json"], trace);
    assert_eq!(trace.status.code(), Some(0), "{}", stderr(&trace));
}

#[test]
fn times_are_refused_that_cannot_be_meant() {
    for args in [
        ["profile", "--model=m", "--interval=0s"],
        ["profile", "--model=m", "--interval=4ms"],
        ["profile", "--model=m", "--timeout=0s"],
        ["profile", "--model=m", "--timeout=5"],
        ["monitor", "--format=lines", "--interval=1ms"],
        ["monitor", "--format=lines", "--duration=0s"],
    ] {
        let output = vramscope(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
    }
}

#[cfg(unix)]
#[test]
fn only_a_plain_file_is_replaced() {
    use std::os::unix::fs::FileTypeExt as _;
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = {
        let pipe = pipe.clone();
        std::thread::spawn(move || std::fs::read(pipe).unwrap())
    };
    let analyze =
        |to: &std::path::Path| vramscope(&["analyze", "examples/noisy-neighbour", "-o", to.to_str().unwrap()]);
    assert_eq!(analyze(&pipe).status.code(), Some(0));
    assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo(), "the pipe was replaced by a file");
    let document = reader.join().unwrap();
    vramscope_schema::read(&document).expect("the pipe carries the whole document");

    let (target, link) = (folder.path().join("target.json"), folder.path().join("link.json"));
    std::fs::write(&target, "old").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    assert_eq!(analyze(&link).status.code(), Some(0));
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink(), "the link was replaced by a file");
    assert_eq!(std::fs::read(&target).unwrap(), document);
}

#[test]
fn an_output_does_not_overwrite_what_it_is_made_from() {
    let folder = tempfile::tempdir().unwrap();
    let example = root().join("examples/noisy-neighbour");
    for name in ["vllm.log", "gpu.csv", "config.json"] {
        std::fs::copy(example.join(name), folder.path().join(name)).unwrap();
    }
    let trace = r#"{"traceEvents": [{"ph": "X", "cat": "kernel", "name": "k", "ts": 1, "dur": 2, "args": {}}]}"#;
    std::fs::write(folder.path().join("t.json"), trace).unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (dir, gpu, log, trace) =
        (folder.path().display().to_string(), path("gpu.csv"), path("vllm.log"), path("t.json"));
    let roundabout = format!("{dir}/./gpu.csv");
    let cases: [&[&str]; 5] = [
        &["analyze", &dir, "-o", &roundabout],
        &["analyze", "--engine-log", &log, "-o", &log],
        &["timeline", &gpu, "-o", &gpu],
        &["trace", &trace, "--stacks", &trace],
        &["trace", "slice", &trace, "--between", "0ms..1ms", "-o", &trace],
    ];
    for args in cases {
        let output = vramscope(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("is read for this very result"), "{args:?}: {}", stderr(&output));
    }
    assert_eq!(std::fs::read(&gpu).unwrap(), std::fs::read(example.join("gpu.csv")).unwrap());
}
