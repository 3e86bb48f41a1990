//! An engine in a container of its own, which is removed with it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use bollard::Docker;
use bollard::models::ContainerSummary;
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, InspectContainerOptions, KillContainerOptionsBuilder,
    ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions,
};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::client::{Lines, connect, is_absent, is_settled, refused};
use super::facts::ContainerInfo;
use super::files;
use super::spec::{ContainerSpec, OWNER_LABEL, RUN_LABEL};
use super::{Running as AnyRunning, log_lost};
use crate::engine::{Engine, EngineEvent, Exit};
use crate::error::EngineError;
use crate::feed::{Source, feed};
use crate::host::process::tree::{Stat, Tree};
use crate::host::process::{mark_text, new_mark};
use crate::host::{Command, Held};

/// How long a container may take to end once it is killed.
const KILL_PATIENCE: Duration = Duration::from_secs(30);

/// How often the daemon is asked whether a container whose log has ended has ended, too.
const STEP: Duration = Duration::from_millis(100);

/// A running engine.
pub(crate) struct Running {
    docker: Docker,
    socket: PathBuf,
    info: ContainerInfo,
    input: Option<Pin<Box<dyn AsyncWrite + Send>>>,
    exit: Option<watch::Receiver<Option<Exit>>>,
    reading: Option<JoinHandle<()>>,
    tree: Option<Mutex<Tree>>,
    removed: bool,
}

pub(super) async fn start(
    docker: Docker,
    socket: &Path,
    spec: &ContainerSpec,
    command: &Command,
) -> Result<Engine, EngineError> {
    sweep(&docker).await;
    let words = words(&docker, socket, spec, command).await?;
    let mark = mark_text(&new_mark());
    let owner = owner(std::process::id()).unwrap_or_default();
    let options = spec.name.as_ref().map(|name| CreateContainerOptionsBuilder::new().name(name).build());
    let made = docker.create_container(options, spec.body(command, words, &mark, owner)).await;
    let made = made.map_err(|error| no_image(spec, error, |error| refused(socket, "create the container", error)))?;
    let info = ContainerInfo { id: made.id, ..ContainerInfo::default() };
    let (socket, tree) = (socket.to_owned(), None);
    // From here on, `running` removes the container when it is dropped.
    let mut running = Running { docker, socket, info, input: None, exit: None, reading: None, tree, removed: false };
    files::bring(&running.docker, &running.socket, &running.info.id, &command.files).await?;
    let (source, feed) = feed();
    running.begin(source, mark).await?;
    Ok(Engine { feed, held: Held::Docker(Box::new(AnyRunning::Run(running))) })
}

/// The command line; with the image's own entry point where no program is named.
async fn words(
    docker: &Docker,
    socket: &Path,
    spec: &ContainerSpec,
    command: &Command,
) -> Result<Vec<String>, EngineError> {
    if !command.program.is_empty() {
        return Ok(std::iter::once(&command.program).chain(&command.args).cloned().collect());
    }
    let image = docker.inspect_image(&spec.image).await;
    let image = image.map_err(|error| no_image(spec, error, |error| refused(socket, "inspect the image", error)))?;
    let config = image.config.unwrap_or_default();
    let mut words = config.entrypoint.unwrap_or_default();
    if command.args.is_empty() {
        words.extend(config.cmd.unwrap_or_default());
    } else {
        words.extend(command.args.iter().cloned());
    }
    Ok(words)
}

fn no_image(
    spec: &ContainerSpec,
    error: bollard::errors::Error,
    otherwise: impl FnOnce(bollard::errors::Error) -> EngineError,
) -> EngineError {
    if is_absent(&error) { EngineError::NoImage { image: spec.image.clone() } } else { otherwise(error) }
}

/// Names a process for good: its number and its start.
fn owner(pid: u32) -> Option<String> {
    Stat::of(pid).map(|stat| format!("{pid}-{}", stat.started))
}

/// Removes containers that have ended and whose maker was killed before it could do that.
async fn sweep(docker: &Docker) {
    let labels = HashMap::from([("label", vec![RUN_LABEL]), ("status", vec!["exited", "dead"])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&labels).build();
    // Whatever stands against this is said when the container is made.
    for left in docker.list_containers(Some(options)).await.unwrap_or_default() {
        if let (true, Some(id)) = (is_abandoned(&left), left.id) {
            let _ = remove(docker, &id).await;
        }
    }
}

fn is_abandoned(container: &ContainerSummary) -> bool {
    let maker = container.labels.as_ref().and_then(|labels| labels.get(OWNER_LABEL));
    let pid = maker.and_then(|maker| maker.split_once('-')?.0.parse().ok());
    maker.is_some() && pid.and_then(owner).as_ref() != maker
}

async fn remove(docker: &Docker, id: &str) -> Result<(), bollard::errors::Error> {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    match docker.remove_container(id, Some(options)).await {
        Err(error) if !is_settled(&error) => Err(error),
        _ => Ok(()),
    }
}

impl Running {
    /// Listens, starts the container, and learns what it is.
    async fn begin(&mut self, source: Source, mark: String) -> Result<(), EngineError> {
        let id = self.info.id.clone();
        let options = AttachContainerOptionsBuilder::new().stdin(true).stdout(true).stderr(true).stream(true).build();
        let attached = self.docker.attach_container(&id, Some(options)).await;
        let attached = attached.map_err(|error| refused(&self.socket, "listen to the container", error))?;
        self.input = Some(attached.input);
        let started = self.docker.start_container(&id, None::<StartContainerOptions>).await;
        started.map_err(|error| refused(&self.socket, "start the container", error))?;
        self.info = super::inspect(&self.docker, &self.socket, &id).await?;
        self.tree = super::tree(self.info.pid, &id, Some(mark));
        self.exit = Some(source.exit.subscribe());
        self.reading = Some(tokio::spawn(read(self.docker.clone(), id, Lines::new(attached.output, false), source)));
        Ok(())
    }

    pub(super) fn container(&self) -> &ContainerInfo {
        &self.info
    }

    pub(super) fn pids(&self) -> Vec<u32> {
        super::pids(self.tree.as_ref())
    }

    /// Sends a word to the guard.
    async fn say(&mut self, word: &str) {
        if let Some(input) = &mut self.input {
            // When the engine has ended, nobody reads any more.
            let _ = input.write_all(format!("{word}\n").as_bytes()).await;
            let _ = input.flush().await;
        }
    }

    /// Whether it has ended by then.
    async fn ended_by(&mut self, deadline: Instant) -> bool {
        let Some(exit) = &mut self.exit else { return true };
        timeout_at(deadline, exit.wait_for(Option::is_some)).await.is_ok()
    }

    /// Ends what runs in it.
    pub(super) async fn end(&mut self, grace: Duration) -> Result<(), EngineError> {
        if self.removed {
            return Ok(());
        }
        let begun = Instant::now();
        if !self.ended_by(begun).await {
            self.say("INT").await;
            if !self.ended_by(begun + grace / 2).await {
                self.say("TERM").await;
            }
        }
        if !self.ended_by(begun + grace).await {
            let options = KillContainerOptionsBuilder::new().signal("SIGKILL").build();
            match self.docker.kill_container(&self.info.id, Some(options)).await {
                Err(error) if !is_settled(&error) => {
                    return Err(refused(&self.socket, "kill the container", error));
                }
                _ => {}
            }
            if !self.ended_by(Instant::now() + KILL_PATIENCE).await {
                return Err(EngineError::StillAlive { pids: self.pids() });
            }
        }
        Ok(())
    }

    pub(super) async fn stop(&mut self, grace: Duration) -> Result<(), EngineError> {
        self.end(grace).await?;
        if self.removed {
            return Ok(());
        }
        let removed = remove(&self.docker, &self.info.id).await;
        removed.map_err(|error| refused(&self.socket, "remove the container", error))?;
        self.removed = true;
        self.input = None;
        Ok(())
    }
}

/// Passes the log on, and tells the end.
async fn read(docker: Docker, id: String, mut lines: Lines, source: Source) {
    while let Some(passed) = lines.pass_on(&source).await {
        if let Err(error) = passed {
            let _ = source.events.send(log_lost(&error)).await;
            break;
        }
    }
    lines.finish(&source).await;
    tell_end(&docker, &id, &source).await;
}

/// Waits for a container's end, and tells how it was. Unknown, and said so, if the container or the daemon is gone.
pub(super) async fn tell_end(docker: &Docker, id: &str, source: &Source) {
    let exit = loop {
        match docker.inspect_container(id, None::<InspectContainerOptions>).await {
            Ok(answer) => {
                let state = answer.state.unwrap_or_default();
                if state.running != Some(true) {
                    let code = state.exit_code.and_then(|code| i32::try_from(code).ok());
                    break Exit { code, signal: None, oom_killed: state.oom_killed == Some(true) };
                }
            }
            Err(error) => {
                let reason = if is_absent(&error) {
                    "the container was removed by somebody else".to_owned()
                } else {
                    format!("the Docker daemon does not answer any more: {error}")
                };
                // When nobody listens any more, the engine is being ended.
                let _ = source.events.send(EngineEvent::LogLost { reason }).await;
                break Exit::default();
            }
        }
        tokio::time::sleep(STEP).await;
    };
    source.exit.send_replace(Some(exit));
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(reading) = self.reading.take().filter(|_| !self.removed) {
            reading.abort();
        }
        if self.removed {
            return;
        }
        // A runtime may be what drops this, and cannot be waited for; the removal gets one of its own.
        let (socket, id) = (self.socket.clone(), self.info.id.clone());
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let (Ok(runtime), Ok(docker)) = (runtime, connect(&socket)) {
                // If this fails, the guard ends the engine, and the next run removes what is left.
                let removal = async { tokio::time::timeout(KILL_PATIENCE, remove(&docker, &id)).await };
                let _ = runtime.block_on(removal);
            }
        };
        if let Ok(thread) = thread::Builder::new().name("engine-remove".to_owned()).spawn(work) {
            // A panic over there has nothing to tell that could be acted on here.
            let _ = thread.join();
        }
    }
}
