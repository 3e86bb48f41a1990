//! An engine inside a container that runs, and runs on.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Mutex;
use std::time::Duration;

use bollard::Docker;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use futures_util::FutureExt as _;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::client::{Lines, is_absent, is_settled, refused};
use super::facts::ContainerInfo;
use super::files;
use super::guard::{LOOK, guarded};
use super::{Running as AnyRunning, log_lost};
use crate::engine::{Engine, Exit};
use crate::error::EngineError;
use crate::feed::{Source, feed};
use crate::host::process::tree::Tree;
use crate::host::process::{mark_text, new_mark};
use crate::host::{Command, Held};

/// How often the daemon is asked whether the command has ended: another process may hold its log open.
const STEP: Duration = Duration::from_millis(500);

/// How often is looked whether all have ended.
const LOOK_STEP: Duration = Duration::from_millis(100);

/// How long the daemon may take to name the process that it started.
const START_PATIENCE: Duration = Duration::from_secs(5);

/// How long killed processes may take to end.
const KILL_PATIENCE: Duration = Duration::from_secs(30);

/// A running engine.
pub(crate) struct Running {
    docker: Docker,
    socket: PathBuf,
    info: ContainerInfo,
    mark: String,
    input: Option<Pin<Box<dyn AsyncWrite + Send>>>,
    exit: watch::Receiver<Option<Exit>>,
    reading: JoinHandle<()>,
    tree: Option<Mutex<Tree>>,
    stopped: bool,
}

/// Starts it as this user of the container; as the one that the container runs as where none is named.
pub(super) async fn start(
    docker: Docker,
    socket: &Path,
    container: &str,
    command: &Command,
    user: Option<&str>,
) -> Result<Engine, EngineError> {
    let info = super::inspect(&docker, socket, container).await?;
    if !info.running {
        return Err(EngineError::ContainerStopped { container: info.name });
    }
    files::bring(&docker, socket, &info.id, &command.files).await?;
    let mark = mark_text(&new_mark());
    let words = std::iter::once(&command.program).chain(&command.args).cloned();
    let mut env: Vec<String> = command.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    env.push(mark.clone());
    let options = CreateExecOptions {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        env: Some(env),
        cmd: Some(guarded(&mark, words)),
        user: user.map(str::to_owned),
        working_dir: command.directory.as_ref().map(|path| path.to_string_lossy().into_owned()),
        ..CreateExecOptions::default()
    };
    let what = "run a command in the container";
    let exec = docker.create_exec(&info.id, options).await.map_err(|error| refused(socket, what, error))?;
    let begun = docker.start_exec(&exec.id, None::<StartExecOptions>).await;
    let StartExecResults::Attached { output, input } = begun.map_err(|error| refused(socket, what, error))? else {
        return Err(EngineError::Unsupported { what, host: "a daemon that does not attach" });
    };
    let tree = super::tree(process(&docker, &exec.id).await, &info.id, Some(mark.clone()));
    let (source, feed) = feed();
    let exit = source.exit.subscribe();
    let reading = tokio::spawn(read(docker.clone(), exec.id, Lines::new(output, false), source));
    let (socket, input) = (socket.to_owned(), Some(input));
    let running = Running { docker, socket, info, mark, input, exit, reading, tree, stopped: false };
    Ok(Engine { feed, held: Held::Docker(Box::new(AnyRunning::Exec(running))) })
}

/// The first process of a command, as this machine numbers it. The daemon answers before the process is there.
async fn process(docker: &Docker, exec: &str) -> Option<u32> {
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        let answer = docker.inspect_exec(exec).await.ok()?;
        let pid = answer.pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
        if pid.is_some() || answer.exit_code.is_some() || Instant::now() >= deadline {
            return pid;
        }
        tokio::time::sleep(LOOK_STEP / 4).await;
    }
}

/// Passes the log on, and tells the end as soon as the daemon knows it.
async fn read(docker: Docker, exec: String, mut lines: Lines, source: Source) {
    let closed = Notify::new();
    let passing = async {
        while let Some(passed) = lines.pass_on(&source).await {
            if let Err(error) = passed {
                // When nobody listens any more, the engine is being ended.
                let _ = source.events.send(log_lost(&error)).await;
                break;
            }
        }
        lines.finish(&source).await;
        closed.notify_one();
    };
    let asking = async {
        // Another process may hold the log open, so its end is not waited for.
        while tokio::time::timeout(STEP, closed.notified()).await.is_err() {
            if let Some(exit) = ended(&docker, &exec).await {
                source.exit.send_replace(Some(exit));
                return;
            }
        }
        loop {
            if let Some(exit) = ended(&docker, &exec).await {
                source.exit.send_replace(Some(exit));
                return;
            }
            tokio::time::sleep(LOOK_STEP).await;
        }
    };
    tokio::join!(passing, asking);
}

/// How a command ended; `None` while it runs.
async fn ended(docker: &Docker, exec: &str) -> Option<Exit> {
    match docker.inspect_exec(exec).await {
        Ok(answer) if answer.running == Some(true) => None,
        Ok(answer) => {
            let code = answer.exit_code.and_then(|code| i32::try_from(code).ok());
            Some(Exit { code, ..Exit::default() })
        }
        // The container or the daemon is gone, and with it what it knew.
        Err(_) => Some(Exit::default()),
    }
}

impl Running {
    pub(super) fn container(&self) -> &ContainerInfo {
        &self.info
    }

    pub(super) fn pids(&self) -> Vec<u32> {
        if self.stopped { Vec::new() } else { super::pids(self.tree.as_ref()) }
    }

    /// Sends a word to the guard.
    async fn say(&mut self, word: &str) {
        if let Some(input) = &mut self.input {
            // When the engine has ended, nobody may read any more.
            let _ = input.write_all(format!("{word}\n").as_bytes()).await;
            let _ = input.flush().await;
        }
    }

    async fn ended_by(&mut self, deadline: Instant) -> bool {
        timeout_at(deadline, self.exit.wait_for(Option::is_some)).await.is_ok()
    }

    pub(super) async fn stop(&mut self, grace: Duration) -> Result<(), EngineError> {
        if self.stopped {
            return Ok(());
        }
        let begun = Instant::now();
        if !self.ended_by(begun).await {
            self.say("INT").await;
            if !self.ended_by(begun + grace / 2).await {
                self.say("TERM").await;
            }
            if !self.ended_by(begun + grace).await {
                self.say("KILL").await;
            }
        }
        // At the end of its input the guard ends what is left, and then itself.
        if let Some(mut input) = self.input.take() {
            // A connection that is gone has ended it already.
            let _ = input.shutdown().await;
        }
        let deadline = Instant::now() + KILL_PATIENCE;
        while !self.is_gone().await? {
            if Instant::now() >= deadline {
                return Err(EngineError::StillAlive { pids: self.pids() });
            }
            tokio::time::sleep(LOOK_STEP).await;
        }
        self.ended_by(deadline).await;
        self.stopped = true;
        Ok(())
    }

    /// Whether nothing of it is alive in the container.
    async fn is_gone(&mut self) -> Result<bool, EngineError> {
        let what = "look into the container";
        let cmd = ["/bin/sh", "-c", LOOK, "vramscope-look", &self.mark];
        let options = CreateExecOptions { cmd: Some(cmd.to_vec()), ..CreateExecOptions::default() };
        let exec = match self.docker.create_exec(&self.info.id, options).await {
            Ok(exec) => exec,
            // A container that is gone or has ended has no processes.
            Err(error) if is_absent(&error) || is_settled(&error) => return Ok(true),
            Err(error) => return Err(refused(&self.socket, what, error)),
        };
        let detached = StartExecOptions { detach: true, ..StartExecOptions::default() };
        match self.docker.start_exec(&exec.id, Some(detached)).await {
            Ok(_) => {}
            Err(error) if is_absent(&error) || is_settled(&error) => return Ok(true),
            Err(error) => return Err(refused(&self.socket, what, error)),
        }
        loop {
            if let Some(exit) = ended(&self.docker, &exec.id).await {
                return Ok(exit.code != Some(1));
            }
            tokio::time::sleep(LOOK_STEP / 4).await;
        }
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.stopped {
            // The word is written at once or not at all; after it, the end of the input makes the guard end the rest.
            let _ = self.say("KILL").now_or_never();
            self.reading.abort();
        }
    }
}
