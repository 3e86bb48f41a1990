//! Runs a command as an engine and shows what happens to it: `cargo run --example watch -- vllm serve MODEL`.

use std::io::{self, Write as _};

use vramscope_engine::{Command, EngineError, EngineEvent, EngineHost};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let program = words.next().ok_or("usage: watch PROGRAM [ARGUMENT]...")?;
    let command = words.fold(Command::new(program), Command::arg);
    let mut out = io::stdout().lock();
    let started: Result<_, EngineError> = EngineHost::process().start(&command).await;
    let mut engine = started?;
    loop {
        match engine.next().await {
            EngineEvent::Line(line) => {
                writeln!(out, "{} {:?} {}", line.at_unix_ns, line.stream, String::from_utf8_lossy(&line.bytes))?;
            }
            EngineEvent::LogLost { reason } => writeln!(out, "lost: {reason}")?,
            EngineEvent::Exited(exit) => {
                writeln!(out, "{exit}")?;
                return Ok(());
            }
        }
    }
}
