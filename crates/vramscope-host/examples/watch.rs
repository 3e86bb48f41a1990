//! Runs a command as an engine and shows what happens to it: `cargo run --example watch -- vllm serve MODEL`; with
//! `--image NAME` or `--container NAME` in front, and the feature `docker`, in a container.

use std::io::{self, Write as _};

use vramscope_host::{Command, EngineError, EngineEvent, EngineHost};

#[cfg(feature = "docker")]
fn host(words: &mut Vec<String>) -> Result<EngineHost, EngineError> {
    use vramscope_host::{ContainerSpec, DockerHost, DockerPlace, docker_socket};
    let place = match words.first().map(String::as_str) {
        Some("--image") if words.len() > 1 => {
            let spec = ContainerSpec { image: words[1].clone(), run: "watch".to_owned(), ..ContainerSpec::default() };
            DockerPlace::Run(Box::new(spec))
        }
        Some("--container") if words.len() > 1 => DockerPlace::Exec { container: words[1].clone() },
        _ => return Ok(EngineHost::process()),
    };
    words.drain(..2);
    let socket = docker_socket(std::env::var_os("DOCKER_HOST").as_deref())?;
    Ok(EngineHost::Docker(DockerHost::new(socket, place)))
}

#[cfg(not(feature = "docker"))]
fn host(_: &mut Vec<String>) -> Result<EngineHost, EngineError> {
    Ok(EngineHost::process())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let host = host(&mut words)?;
    let mut words = words.into_iter();
    let program = words.next().ok_or("usage: watch [--image NAME | --container NAME] PROGRAM [ARGUMENT]...")?;
    let mut engine = host.start(&words.fold(Command::new(program), Command::arg)).await?;
    let mut out = io::stdout().lock();
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
