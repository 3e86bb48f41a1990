//! `standin-openai [--port PORT] [--script FILE]`: serves until it is killed; its address is the first line of stdout.
//!
//! With `STANDIN_OPENAI_SCRIPT=FILE` it stands in for a program whose command line it is given, under any name: of that it
//! takes `--port`, or `OLLAMA_HOST`, and prints nothing but what the script has it play.

use std::io::{self, Write as _};
use std::net::TcpListener;
use std::process::ExitCode;

use standin_openai::{SCRIPT_VARIABLE, Script, serve};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "standin-openai: {error}");
            ExitCode::from(2)
        }
    }
}

/// Serves in the place of a program that was started by this command line.
fn stand_in(script: &str) -> io::Result<()> {
    let script: Script = serde_json::from_slice(&std::fs::read(script)?)?;
    let words: Vec<String> = std::env::args().collect();
    let flag = words.windows(2).find(|pair| pair[0] == "--port").map(|pair| pair[1].clone());
    let variable = || std::env::var("OLLAMA_HOST").ok()?.rsplit_once(':').map(|(_, port)| port.to_owned());
    let port = flag.or_else(variable).ok_or_else(|| io::Error::other("nobody says where to listen"))?;
    script.play.lines(&script.play.start)?;
    let listener = TcpListener::bind(("127.0.0.1", port.parse::<u16>().map_err(io::Error::other)?))?;
    serve(script, listener)
}

fn run() -> io::Result<()> {
    if let Ok(script) = std::env::var(SCRIPT_VARIABLE) {
        return stand_in(&script);
    }
    let (mut port, mut script) = (0u16, Script::default());
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| io::Error::other(format!("{word} wants a value")))?;
        match word.as_str() {
            "--port" => port = value.parse().map_err(io::Error::other)?,
            "--script" => script = serde_json::from_slice(&std::fs::read(&value)?)?,
            other => return Err(io::Error::other(format!("{other} is not known; there are --port and --script"))),
        }
    }
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let mut out = io::stdout().lock();
    writeln!(out, "http://{}", listener.local_addr()?)?;
    out.flush()?;
    serve(script, listener)
}
