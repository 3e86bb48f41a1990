//! The owner of an engine is killed: the engine must end as well, with all that it started.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::wait_until;

/// The example `watch`, which cargo builds for the tests.
fn watch() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(|deps| deps.parent()).unwrap().join("examples/watch");
    assert!(path.exists(), "{} is not there: build it with `cargo build --example watch`", path.display());
    path
}

/// An owner whose engine has said `up`.
fn owner(script: &str) -> (Child, BufReader<ChildStdout>) {
    let mut owner = Command::new(watch()).args(["sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(owner.stdout.take().unwrap());
    let mut line = String::new();
    while !line.ends_with(" up\n") {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0, "the owner ended");
    }
    (owner, out)
}

fn kill(owner: &mut Child) {
    // `Child::kill` is SIGKILL: the owner can do nothing any more.
    owner.kill().unwrap();
    owner.wait().unwrap();
}

#[test]
fn an_obedient_tree_goes_with_its_owner() {
    let (mut owner, _out) = owner("sleep 701.25 & (setsid sleep 701.25 &); echo up; wait");
    wait_until("sleep\x00701.25", 2);
    kill(&mut owner);
    wait_until("701.25", 0);
}

#[test]
fn so_does_one_that_ignores_requests() {
    let stubborn = "trap '' INT TERM HUP; sleep 702.25 & (setsid sh -c 'sleep 702.25; sleep 702.25' &) ; echo up; \
        while :; do sleep 702.25; done";
    let (mut owner, _out) = owner(stubborn);
    wait_until("sleep\x00702.25", 3);
    kill(&mut owner);
    wait_until("702.25", 0);
}

#[test]
fn so_does_a_daemon_without_the_mark_once_it_was_seen() {
    // It leaves group, session and parent, and cleans its environment; the owner has looked in the meantime.
    let (mut owner, _out) = owner("sleep 703.25 & (setsid env -i sleep 703.25 &); sleep 2.5; echo up; wait");
    wait_until("sleep\x00703.25", 2);
    kill(&mut owner);
    wait_until("703.25", 0);
}

#[test]
fn a_daemon_without_the_mark_ends_with_the_engine() {
    let folder = tempfile::tempdir().unwrap();
    let seen = folder.path().join("seen");
    let wait = format!("while [ ! -e {} ]; do sleep 0.05; done", seen.display());
    let (mut owner, _out) = owner(&format!("(setsid env -i sleep 705.25 &); echo up; {wait}"));
    wait_until("sleep\x00705.25", 1);
    std::fs::write(&seen, "").unwrap();
    owner.wait().unwrap();
    wait_until("sleep\x00705.25", 0);
}

#[test]
fn the_watchdog_goes_home_when_the_engine_has_ended() {
    let (mut owner, _out) = owner("echo up; sleep 0.1; : 704.25");
    owner.wait().unwrap();
    wait_until("704.25", 0);
    let mark = format!("VRAMSCOPE_ENGINE={}-", owner.id());
    wait_until(&mark, 0);
}

#[test]
fn an_engine_hears_an_interrupt_that_its_owner_was_told_to_ignore() {
    let script = "trap '' INT; exec \"$0\" sh -c 'grep SigIgn /proc/self/status'";
    let output = Command::new("sh").args(["-c", script]).arg(watch()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mask = text.lines().find_map(|line| line.split_once("SigIgn:")).unwrap_or_else(|| panic!("{text}")).1;
    assert_eq!(u64::from_str_radix(mask.trim(), 16).unwrap() & 0b10, 0, "{text}");
}
