//! A command that behaves like `vllm` as far as a profiler sees it. `script.rs` says what it can be told.

mod bench;
mod engine;
mod flags;
mod http;
mod profiler;
mod recording;
mod serve;

use std::env;
use std::io::{self, Write as _};
use std::process::ExitCode;

use standin_vllm::{How, Phase, SCRIPT_VARIABLE, Script};

use crate::engine::{Engine, WORKER, work};
use crate::flags::Flags;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == WORKER) {
        return ExitCode::from(u8::from(work(arguments.len() > 1).is_err()));
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "vllm: error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &[String]) -> Result<(), String> {
    let script = match env::var_os(SCRIPT_VARIABLE) {
        None => Script::default(),
        Some(path) => {
            let text = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))?
        }
    };
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (command, rest) = match words.as_slice() {
        ["--version" | "-v", ..] => return print(&script.version),
        ["serve", ..] => ("serve", &arguments[1..]),
        ["bench", "latency", ..] => ("bench latency", &arguments[2..]),
        ["--help" | "-h"] | [] => return print("usage: vllm [-h] [-v] {serve,bench} ..."),
        [other, ..] => return Err(format!("argument subparser: invalid choice: '{other}' (choose from serve, bench)")),
    };
    let flags = Flags::of(command, script.flags.as_deref())?;
    if rest.iter().any(|argument| argument == "-h" || argument.starts_with("--help")) {
        return print(&flags.help(command));
    }
    let given = flags.parse(rest)?;
    if script.fail.iter().any(|fail| fail.at == Phase::Launch && fail.how == How::Refuse) {
        return Err(format!("the script refuses the arguments of {command}"));
    }
    let usual = if command == "serve" { "serve-l1b" } else { "latency-l1b" };
    let recording = recording::read(script.recording.as_deref().unwrap_or(usual))?;
    let latencies_s = recording.latencies_s.clone();
    let engine = Engine::start(script, recording).map_err(|error| format!("start workers: {error}"))?;
    if engine.script.echo {
        engine.log(&format!("INFO 01-01 00:00:00 [standin.py:1] arguments: {}", arguments.join(" ")));
        for (name, value) in env::vars() {
            engine.log(&format!("INFO 01-01 00:00:00 [standin.py:2] {name}={value}"));
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let _entered = runtime.enter();
    // A handler alone keeps the signal from ending the process.
    let _ignores = engine
        .script
        .ignores_sigterm
        .then(|| tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()));
    if command == "serve" {
        return runtime.block_on(serve::serve(engine, given)).map_err(|error| error.to_string());
    }
    bench::latency(&engine, &given, &latencies_s).map_err(|error| error.to_string())
}

fn print(text: &str) -> Result<(), String> {
    writeln!(io::stdout(), "{text}").map_err(|error| error.to_string())
}
