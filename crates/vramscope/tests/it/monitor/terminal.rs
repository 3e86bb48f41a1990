//! The view that fills a terminal, and a command that runs in one.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{Machine, has_samples, wait_for};
use crate::stdout;

/// Runs the monitor in a terminal of 80 by 24 that `script` of util-linux makes, or `None` with a word where there is no
/// such program.
fn in_a_terminal(machine: &Machine, args: &str) -> Option<Child> {
    if Command::new("script").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "script (util-linux) is absent");
        println!("skipped: script (util-linux) is absent");
        return None;
    }
    let (binary, library) = (env!("CARGO_BIN_EXE_vramscope"), &machine.library);
    let (root, pid) = (machine.folder.path().display(), machine.path("pid").display().to_string());
    let inside = format!(
        "stty rows 24 cols 80; echo $$ > {pid}; exec {binary} monitor --backend nvml --nvml-lib {library} --sys-root {root} {args}"
    );
    let mut command = Command::new("script");
    command.args(["-qefc", &inside, "/dev/null"]).env("TERM", "xterm-256color").env("SHELL", "/bin/sh");
    Some(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

const ENTER: &str = "\u{1b}[?1049h";
const LEAVE: &str = "\u{1b}[?1049l";

#[test]
fn the_view_gives_the_terminal_back_after_q_and_after_a_signal() {
    for by_key in [true, false] {
        let machine = Machine::steady();
        let file = machine.path("a.jsonl");
        let Some(mut child) = in_a_terminal(&machine, &format!("-o {}", file.display())) else { return };
        wait_for("samples", || has_samples(&file));
        // Its first picture comes with its first look.
        std::thread::sleep(Duration::from_millis(300));
        if by_key {
            child.stdin.as_mut().unwrap().write_all(b"q").unwrap();
        } else {
            let pid = std::fs::read_to_string(machine.path("pid")).unwrap().trim().parse().unwrap();
            kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
        }
        let out = child.wait_with_output().unwrap();
        let text = stdout(&out);
        let (entered, left) = (text.find(ENTER), text.rfind(LEAVE));
        assert!(entered.is_some() && left > entered, "{text:?}");
        let after = &text[left.unwrap()..];
        assert!(after.contains("GPU 0  Stand-in GPU") && after.contains("recorded in"), "{after}");
        assert_eq!(out.status.code(), Some(if by_key { 0 } else { 130 }));
    }
}

#[test]
fn ctrl_c_in_the_terminal_reaches_the_command_once() {
    let machine = Machine::steady();
    let (ready, seen) = (machine.path("ready"), machine.path("seen"));
    let (ready_at, seen_at) = (ready.display(), seen.display());
    let script = format!(
        "trap 'echo interrupted >> {seen_at}' INT\ntouch {ready_at}\nn=0\n\
         while [ $n -lt 20 ]; do sleep 0.05; n=$((n + 1)); done\nexit 4\n"
    );
    machine.write("program", &script);
    let Some(mut child) = in_a_terminal(&machine, &format!("-- sh {}", machine.path("program").display())) else {
        return;
    };
    wait_for("the command", || ready.exists());
    child.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(4), "{}", stdout(&out));
    assert_eq!(std::fs::read_to_string(seen).unwrap(), "interrupted\n");
}
