//! The engine that is captured: started, watched and stopped while the rest of the command waits for its answers.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use vramscope_core::redact;
use vramscope_host::{Command, EngineEvent, EngineHost, Exit};

use super::api::Api;
use super::plan::{Plan, Version};

/// How long an engine may take to stop when it is asked to.
const GRACE: Duration = Duration::from_secs(60);

/// How long `vllm --version` may take: it imports all of vLLM, from a cold disk.
const VERSION_LIMIT: Duration = Duration::from_secs(300);

/// How often is looked whether something has happened.
const STEP: Duration = Duration::from_millis(200);

/// Asks `vllm --version`.
pub(super) fn ask_version(command: &[String]) -> anyhow::Result<Version> {
    let unknown = "say which vLLM it is with --vllm-version";
    let program = command.first().context("there is no command")?;
    if !Path::new(program).file_name().is_some_and(|name| name.to_string_lossy().starts_with("vllm")) {
        bail!("{program} is not the vllm command, so its version is unknown; {unknown}");
    }
    let ask = Command::new(program).arg("--version");
    let output = runtime()?.block_on(EngineHost::process().output(&ask, VERSION_LIMIT));
    let output = output.with_context(|| format!("could not ask for the version; {unknown}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.lines().rev().find_map(|line| line.split_whitespace().last().and_then(Version::parse));
    version.ok_or_else(|| anyhow!("{program} --version says no version; {unknown}"))
}

fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_time().build().context("could not make a runtime")
}

/// A running engine, whose log is written by a thread of its own.
pub(super) struct Engine {
    running: Option<(oneshot::Sender<()>, JoinHandle<anyhow::Result<()>>)>,
    ended: mpsc::Receiver<Exit>,
    log: PathBuf,
    host: String,
    port: u16,
}

impl Engine {
    /// Starts it; what it prints goes to `log`.
    pub(super) fn start(plan: &Plan, log: &Path) -> anyhow::Result<Self> {
        let out = File::create(log).with_context(|| format!("could not write {}", log.display()))?;
        let (program, arguments) = plan.command.split_first().context("there is no command")?;
        let mut command = arguments.iter().fold(Command::new(program), Command::arg);
        command.env.extend(plan.environment.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let host = match option(&plan.command, "--host").as_deref() {
            None | Some("0.0.0.0" | "localhost") => "127.0.0.1".to_owned(),
            Some("::") => "[::1]".to_owned(),
            Some(host) => host.to_owned(),
        };
        let port = option(&plan.command, "--port").map_or(Ok(8000), |text| text.parse()).context("read --port")?;
        let runtime = runtime()?;
        let engine = runtime.block_on(EngineHost::process().start(&command))?;
        let (stop, asked) = oneshot::channel();
        let (tell, ended) = mpsc::channel();
        let work = move || runtime.block_on(watch(engine, out, &tell, asked));
        let thread =
            thread::Builder::new().name("engine".to_owned()).spawn(work).context("could not start a thread")?;
        Ok(Self { running: Some((stop, thread)), ended, log: log.to_path_buf(), host, port })
    }

    /// Where it answers.
    pub(super) fn url(&self) -> String {
        format!("http://{}:{}", self.host, self.port)
    }

    /// Waits until it answers, or fails when it ends or takes too long.
    pub(super) fn wait_until_ready(&mut self, api: &Api, timeout: Duration) -> anyhow::Result<()> {
        let start = Instant::now();
        while !api.is_ready() {
            if let Ok(exit) = self.ended.recv_timeout(STEP) {
                bail!("the engine ended before it was ready ({exit})");
            }
            if start.elapsed() > timeout {
                bail!("the engine was not ready after {} s; give it more with --timeout", timeout.as_secs());
            }
        }
        Ok(())
    }

    /// Adds where the engine's own words are, and the last of them.
    pub(super) fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<String> = text.lines().filter(|line| !line.trim().is_empty()).map(redact).collect();
        let last = lines[lines.len().saturating_sub(5)..].join("\n    ");
        error.context(format!("recording failed; the engine's log is {}, and ends:\n    {last}", self.log.display()))
    }

    /// Asks it to stop, and waits until it has.
    pub(super) fn stop(&mut self) -> anyhow::Result<()> {
        let Some((stop, thread)) = self.running.take() else { return Ok(()) };
        // One that has ended by itself does not wait to be asked.
        let _ = stop.send(());
        thread.join().map_err(|_| anyhow!("the thread that watches the engine panicked"))?
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // An error is already on its way out; nothing more can be done about a process that does not stop.
        let _ = self.stop();
    }
}

/// Writes the log until it is asked to stop or the engine ends, and then stops it, with all that it started.
async fn watch(
    mut engine: vramscope_host::Engine,
    mut log: File,
    tell: &mpsc::Sender<Exit>,
    mut asked: oneshot::Receiver<()>,
) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            event = engine.next() => if write(&mut log, event, tell)? { break },
            _ = &mut asked => break,
        }
    }
    engine.stop(GRACE).await.context("could not stop the engine")?;
    while !write(&mut log, engine.next().await, tell)? {}
    Ok(())
}

/// Writes what happened; whether it was the end.
fn write(log: &mut File, event: EngineEvent, tell: &mpsc::Sender<Exit>) -> anyhow::Result<bool> {
    let failed = "could not write the engine's log";
    match event {
        EngineEvent::Line(line) => {
            log.write_all(&line.bytes).context(failed)?;
            if line.ended {
                log.write_all(b"\n").context(failed)?;
            }
        }
        EngineEvent::LogLost { reason } => writeln!(log, "[vramscope: log lost: {reason}]").context(failed)?,
        EngineEvent::Exited(exit) => {
            // Nobody may wait for it any more.
            let _ = tell.send(exit);
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

    fn engine(script: &str, log: &Path) -> Engine {
        let command = ["sh", "-c", script].map(str::to_owned);
        Engine::start(&Plan::plain(&command), log).unwrap()
    }

    #[test]
    fn its_log_is_whole_when_it_was_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("engine.log");
        let mut engine = engine("trap 'echo bye; exit 0' INT; echo up; while :; do sleep 0.05; done", &log);
        while !std::fs::read_to_string(&log).unwrap().contains("up") {
            thread::sleep(Duration::from_millis(10));
        }
        engine.stop().unwrap();
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "up\nbye\n");
    }

    #[test]
    fn one_that_fails_says_how_and_keeps_its_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let mut engine = engine("echo token hf_abcdefghijklmnopqrstuvwx is wrong; exit 3", &folder.path().join("log"));
        let exit = engine.ended.recv().unwrap();
        assert_eq!(exit.code, Some(3));
        engine.stop().unwrap();
        let error = format!("{:?}", engine.explain(anyhow!("no answer")));
        assert!(error.contains("is wrong") && !error.contains("hf_abc"), "{error}");
    }
}
