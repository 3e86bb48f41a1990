//! The engine as a child process that is stopped on every way out.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};

use super::api::Api;
use super::plan::{Plan, Version};

/// How long an engine may take to stop when it is asked to.
const GRACE: Duration = Duration::from_secs(60);

/// How often is looked whether something has happened.
const STEP: Duration = Duration::from_millis(200);

/// Asks `vllm --version`.
pub(super) fn ask_version(command: &[String]) -> anyhow::Result<Version> {
    let unknown = "say which vLLM it is with --vllm-version";
    let program = command.first().context("there is no command")?;
    if !Path::new(program).file_name().is_some_and(|name| name.to_string_lossy().starts_with("vllm")) {
        bail!("{program} is not the vllm command, so its version is unknown; {unknown}");
    }
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("could not run {program} --version; {unknown}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.lines().rev().find_map(|line| line.split_whitespace().last().and_then(Version::parse));
    version.ok_or_else(|| anyhow!("{program} --version says no version; {unknown}"))
}

/// A running engine.
pub(super) struct Engine {
    child: Child,
    log: PathBuf,
    host: String,
    port: u16,
}

impl Engine {
    /// Starts it; what it prints goes to `log`.
    pub(super) fn start(plan: &Plan, log: &Path) -> anyhow::Result<Self> {
        let failed = || format!("could not write {}", log.display());
        let out = File::create(log).with_context(failed)?;
        let err = out.try_clone().with_context(failed)?;
        let (program, arguments) = plan.command.split_first().context("there is no command")?;
        let mut command = Command::new(program);
        command.args(arguments).envs(plan.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let child = command.spawn().with_context(|| format!("could not start {program}"))?;
        let host = match option(&plan.command, "--host").as_deref() {
            None | Some("0.0.0.0" | "localhost") => "127.0.0.1".to_owned(),
            Some("::") => "[::1]".to_owned(),
            Some(host) => host.to_owned(),
        };
        let port = option(&plan.command, "--port").map_or(Ok(8000), |text| text.parse()).context("read --port")?;
        Ok(Self { child, log: log.to_path_buf(), host, port })
    }

    /// Where it answers.
    pub(super) fn url(&self) -> String {
        format!("http://{}:{}", self.host, self.port)
    }

    /// Waits until it answers, or fails when it ends or takes too long.
    pub(super) fn wait_until_ready(&mut self, api: &Api, timeout: Duration) -> anyhow::Result<()> {
        let start = Instant::now();
        while !api.is_ready() {
            if let Some(status) = self.child.try_wait()? {
                bail!("the engine ended before it was ready ({status})");
            }
            if start.elapsed() > timeout {
                bail!("the engine was not ready after {} s; give it more with --timeout", timeout.as_secs());
            }
            thread::sleep(STEP);
        }
        Ok(())
    }

    /// Adds where the engine's own words are, and the last of them.
    pub(super) fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines[lines.len().saturating_sub(5)..].join("\n    ");
        error.context(format!("recording failed; the engine's log is {}, and ends:\n    {last}", self.log.display()))
    }

    /// Asks it to stop, and waits until it has.
    pub(super) fn stop(&mut self) -> anyhow::Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        ask_to_stop(&self.child);
        let start = Instant::now();
        while start.elapsed() < GRACE {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            thread::sleep(STEP);
        }
        self.child.kill().and_then(|()| self.child.wait()).context("could not stop the engine")?;
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // An error is already on its way out; nothing more can be done about a process that does not stop.
        let _ = self.stop();
    }
}

#[cfg(unix)]
fn ask_to_stop(child: &Child) {
    use rustix::process::{Pid, Signal, kill_process};
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // If it has ended in the meantime, that is what was wanted.
        let _ = kill_process(pid, Signal::TERM);
    }
}

#[cfg(not(unix))]
fn ask_to_stop(_: &Child) {}

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
