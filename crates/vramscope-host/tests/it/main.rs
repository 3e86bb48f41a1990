//! Real processes: every one of them must be gone at the end of its test.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may panic, and its helpers with it")]

mod attached;
#[cfg(feature = "docker-tests")]
mod containers;
mod owner;
mod processes;
mod replayed;

use std::time::{Duration, Instant};
use std::{fs, thread};

use vramscope_host::{Command, Engine, EngineEvent, EngineHost, Exit};

/// Longer than any of these tests needs on a busy machine, and no test waits for it where things work.
const LONG: Duration = Duration::from_secs(60);

/// A shell script as an engine.
fn sh(script: &str) -> Command {
    Command::new("sh").arg("-c").arg(script)
}

async fn start(script: &str) -> Engine {
    EngineHost::process().start(&sh(script)).await.unwrap()
}

/// The next line as text; fails at the end.
async fn line(engine: &mut Engine) -> String {
    match engine.next().await {
        EngineEvent::Line(line) => String::from_utf8(line.bytes).unwrap(),
        other => panic!("expected a line, got {other:?}"),
    }
}

/// Everything until the end.
async fn rest(engine: &mut Engine) -> (Vec<String>, Exit) {
    let mut lines = Vec::new();
    loop {
        match engine.next().await {
            EngineEvent::Line(line) => lines.push(String::from_utf8(line.bytes).unwrap()),
            EngineEvent::LogLost { reason } => lines.push(format!("lost {reason}")),
            EngineEvent::Exited(exit) => return (lines, exit),
        }
    }
}

/// Whether a process is there and no zombie.
fn alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, fields)| !fields.starts_with(['Z', 'X']))
}

/// The living processes whose command line holds a text.
fn with_text(text: &str) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        *pid != std::process::id() && String::from_utf8_lossy(&line).contains(text) && alive(*pid)
    })
    .collect()
}

/// Waits until so many of them are there: a script that has said so may not have started them all.
fn wait_until(text: &str, count: usize) {
    let begun = Instant::now();
    while with_text(text).len() != count {
        assert!(begun.elapsed() < LONG, "expected {count} of {text:?}, there are {:?}", with_text(text));
        thread::sleep(Duration::from_millis(20));
    }
}
