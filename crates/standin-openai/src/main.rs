//! `standin-openai [--port PORT] [--script FILE]`: serves until it is killed; its address is the first line of stdout.

use std::io::{self, Write as _};
use std::net::TcpListener;
use std::process::ExitCode;

use standin_openai::{Script, serve};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "standin-openai: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> io::Result<()> {
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
