//! The engine that is captured: started, watched and stopped while the rest of the command waits for its answers.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use vramscope_core::redact;
use vramscope_host::{Command, EngineEvent, EngineHost, Exit, Output};

use super::api::Api;
use super::{CaptureError, CaptureEvent};
use crate::vllm::command::PROGRAM;
use crate::vllm::found::of_record;
use crate::vllm::profiler::{Profiled, Version};

/// How long an engine may take to stop when it is asked to.
const GRACE: Duration = Duration::from_secs(60);

/// How long `vllm --version` may take: it imports all of vLLM, from a cold disk.
const VERSION_LIMIT: Duration = Duration::from_secs(300);

/// How often is looked whether something has happened.
const STEP: Duration = Duration::from_millis(200);

/// Asks for the release.
pub(super) async fn ask_version(command: &[String]) -> Result<Version, CaptureError> {
    let program = command.first().ok_or(CaptureError::NoCommand)?;
    let named = || program.clone();
    if !Path::new(program).file_name().is_some_and(|name| name.to_string_lossy().starts_with(PROGRAM)) {
        return Err(CaptureError::NotTheEngine { program: named() });
    }
    let read = |output: &Output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().rev().find_map(|line| line.split_whitespace().last().and_then(Version::parse))
    };
    let host = EngineHost::process();
    if let Some(version) = host.output(&of_record(program), VERSION_LIMIT).await.ok().as_ref().and_then(read) {
        return Ok(version);
    }
    let ask = Command::new(program).arg("--version");
    let version = read(&host.output(&ask, VERSION_LIMIT).await.map_err(CaptureError::AskVersion)?);
    version.ok_or_else(|| CaptureError::SaysNoVersion { program: named() })
}

/// A running engine, whose log is written by a task of its own. One that is dropped leaves no process behind.
pub(super) struct Engine {
    running: Option<Running>,
    ended: oneshot::Receiver<Exit>,
    log: PathBuf,
    host: String,
    port: u16,
}

/// The task that watches it.
struct Running {
    stop: oneshot::Sender<()>,
    watching: JoinHandle<Result<(), CaptureError>>,
}

impl Engine {
    /// Starts it; what it prints goes to `log`.
    pub(super) async fn start(profiled: &Profiled, log: &Path) -> Result<Self, CaptureError> {
        let out = File::create(log).map_err(|source| CaptureError::BeginLog { path: log.to_owned(), source })?;
        let (program, arguments) = profiled.command.split_first().ok_or(CaptureError::NoCommand)?;
        let mut command = arguments.iter().fold(Command::new(program), Command::arg);
        command.env.extend(profiled.environment.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let host = match option(&profiled.command, "--host").as_deref() {
            None | Some("0.0.0.0" | "localhost") => "127.0.0.1".to_owned(),
            Some("::") => "[::1]".to_owned(),
            Some(host) => host.to_owned(),
        };
        let port = option(&profiled.command, "--port").map_or(Ok(8000), |text| text.parse());
        let port = port.map_err(CaptureError::Port)?;
        let engine = EngineHost::process().start(&command).await.map_err(CaptureError::Start)?;
        let (stop, asked) = oneshot::channel();
        let (tell, ended) = oneshot::channel();
        let watching = tokio::spawn(watch(engine, out, Some(tell), asked));
        Ok(Self { running: Some(Running { stop, watching }), ended, log: log.to_path_buf(), host, port })
    }

    /// Where it answers.
    pub(super) fn url(&self) -> String {
        format!("http://{}:{}", self.host, self.port)
    }

    /// Waits until it answers, or fails when it ends or takes too long.
    pub(super) async fn wait_until_ready(
        &mut self,
        api: &Api,
        timeout: Duration,
        observe: &mut (dyn FnMut(CaptureEvent) + Send),
    ) -> Result<(), CaptureError> {
        let start = Instant::now();
        while !api.is_ready().await {
            if let Ok(Ok(exit)) = tokio::time::timeout(STEP, &mut self.ended).await {
                return Err(CaptureError::Ended { exit });
            }
            observe(CaptureEvent::Waiting { since: start.elapsed() });
            if start.elapsed() > timeout {
                return Err(CaptureError::NotReady { after: timeout });
            }
        }
        Ok(())
    }

    /// Adds where the engine's own words are, and the last of them.
    pub(super) fn explain(&self, error: CaptureError) -> CaptureError {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<String> = text.lines().filter(|line| !line.trim().is_empty()).map(redact).collect();
        let last = lines[lines.len().saturating_sub(5)..].join("\n    ");
        CaptureError::Recording { log: self.log.clone(), last, source: Box::new(error) }
    }

    /// Asks it to stop, and waits until it has.
    pub(super) async fn stop(&mut self) -> Result<(), CaptureError> {
        let Some(Running { stop, watching }) = self.running.take() else { return Ok(()) };
        // One that has ended by itself does not wait to be asked.
        let _ = stop.send(());
        watching.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.watching.abort();
        }
    }
}

/// Writes the log until it is asked to stop or the engine ends, and then stops it, with all that it started.
async fn watch(
    mut engine: vramscope_host::Engine,
    mut log: File,
    mut tell: Option<oneshot::Sender<Exit>>,
    mut asked: oneshot::Receiver<()>,
) -> Result<(), CaptureError> {
    loop {
        tokio::select! {
            event = engine.next() => if write(&mut log, event, &mut tell).map_err(CaptureError::WriteLog)? { break },
            _ = &mut asked => break,
        }
    }
    engine.stop(GRACE).await.map_err(CaptureError::Stop)?;
    while !write(&mut log, engine.next().await, &mut tell).map_err(CaptureError::WriteLog)? {}
    Ok(())
}

/// Writes what happened; whether it was the end.
fn write(log: &mut File, event: EngineEvent, tell: &mut Option<oneshot::Sender<Exit>>) -> std::io::Result<bool> {
    match event {
        EngineEvent::Line(line) => {
            log.write_all(&line.bytes)?;
            if line.ended {
                log.write_all(b"\n")?;
            }
        }
        EngineEvent::LogLost { reason } => writeln!(log, "[vramscope: log lost: {reason}]")?,
        EngineEvent::Exited(exit) => {
            // Nobody may wait for it any more.
            let _ = tell.take().map(|tell| tell.send(exit));
            return Ok(true);
        }
    }
    Ok(false)
}

/// The value of an option in the engine's command line: `--port 8124` or `--port=8124`; the last one counts.
fn option(command: &[String], name: &str) -> Option<String> {
    let mut value = None;
    for (at, word) in command.iter().enumerate() {
        if word == name {
            value = command.get(at + 1).cloned().or(value);
        } else if let Some(rest) = word.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')) {
            value = Some(rest.to_owned());
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn engine(script: &str, log: &Path) -> Engine {
        let command = ["sh", "-c", script].map(str::to_owned);
        Engine::start(&Profiled::plain(&command), log).await.unwrap()
    }

    #[tokio::test]
    async fn its_log_is_whole_when_it_was_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("engine.log");
        let mut engine = engine("trap 'echo bye; exit 0' INT; echo up; while :; do sleep 0.05; done", &log).await;
        while !std::fs::read_to_string(&log).unwrap().contains("up") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        engine.stop().await.unwrap();
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "up\nbye\n");
    }

    #[tokio::test]
    async fn one_that_fails_says_how_and_keeps_its_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let script = "echo token hf_abcdefghijklmnopqrstuvwx is wrong; exit 3";
        let mut engine = engine(script, &folder.path().join("log")).await;
        let exit = (&mut engine.ended).await.unwrap();
        assert_eq!(exit.code, Some(3));
        engine.stop().await.unwrap();
        let error = engine.explain(CaptureError::Ended { exit });
        let said = format!("{error} {error:?}");
        assert!(said.contains("is wrong") && !said.contains("hf_abc"), "{said}");
    }
}
