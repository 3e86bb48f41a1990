//! An engine in a container, through the Docker Engine's API on its local socket.

mod client;
mod daemon;
mod exec;
mod facts;
mod files;
mod guard;
mod run;
mod spec;
mod watch;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::{DownloadFromContainerOptionsBuilder, InspectContainerOptions};
use futures_util::StreamExt as _;

use super::Command;
use super::process::tree::{Stat, Tree};
use crate::engine::{Engine, EngineEvent};
use crate::error::EngineError;
use crate::host::LogStart;
use client::{connect, is_absent, reach, refused};

pub use daemon::{DockerDaemon, NvidiaAccess};
pub use facts::{ContainerInfo, ContainerMount, PublishedPort};
pub use spec::{BindMount, ContainerGpus, ContainerNetwork, ContainerSpec};

/// The user of every container who may remove any file.
const ROOT: &str = "0";

/// How long a look into the container may take.
const LOOK_LIMIT: Duration = Duration::from_secs(60);

/// Engines in containers.
#[derive(Debug, Clone)]
pub struct DockerHost {
    socket: PathBuf,
    place: DockerPlace,
    /// The container of the engine that was started last.
    current: Arc<Mutex<Option<String>>>,
}

/// Which container.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum DockerPlace {
    /// A new one, which is removed when the engine is stopped or dropped.
    Run(Box<ContainerSpec>),
    /// The engine is started inside one that runs, and the container runs on.
    Exec {
        /// Its name or id.
        container: String,
    },
    /// The engine is what runs in it already; it is watched, and never stopped.
    Watch {
        /// Its name or id.
        container: String,
        /// Where to begin to read its log.
        from: LogStart,
    },
}

/// What is held of an engine in a container.
#[derive(Debug)]
pub(crate) enum Running {
    Run(run::Running),
    Exec(exec::Running),
    Watch(watch::Running),
}

impl DockerHost {
    /// A host at the daemon of this socket, which [`docker_socket`](crate::docker_socket) finds.
    pub fn new(socket: impl Into<PathBuf>, place: DockerPlace) -> Self {
        Self { socket: socket.into(), place, current: Arc::default() }
    }

    /// What is known of a container.
    ///
    /// # Errors
    /// [`EngineError::NoContainer`] if there is none of that name; otherwise if the daemon cannot be asked.
    pub async fn inspect(&self, container: &str) -> Result<ContainerInfo, EngineError> {
        inspect(&reach(&self.socket).await?, &self.socket, container).await
    }

    pub(super) async fn start(&self, command: &Command) -> Result<Engine, EngineError> {
        let docker = reach(&self.socket).await?;
        let engine = match &self.place {
            DockerPlace::Run(spec) => run::start(docker, &self.socket, spec, command).await,
            DockerPlace::Exec { container } => exec::start(docker, &self.socket, container, command, None).await,
            DockerPlace::Watch { container, from } => watch::start(docker, &self.socket, container, *from).await,
        }?;
        let id = engine.container().map(|container| container.id.clone());
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = id;
        Ok(engine)
    }

    /// Starts a short command where the engine runs or would run.
    pub(super) async fn start_beside(&self, command: &Command) -> Result<Engine, EngineError> {
        let docker = reach(&self.socket).await?;
        match &self.place {
            DockerPlace::Run(spec) => run::start(docker, &self.socket, spec, command).await,
            DockerPlace::Exec { container } | DockerPlace::Watch { container, .. } => {
                exec::start(docker, &self.socket, container, command, None).await
            }
        }
    }

    /// The container whose files are meant, and what is known of it.
    async fn with_files(&self, docker: &Docker) -> Result<ContainerInfo, EngineError> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let name = match (&self.place, current) {
            (DockerPlace::Exec { container } | DockerPlace::Watch { container, .. }, _) => container.clone(),
            (DockerPlace::Run(_), Some(id)) => id,
            (DockerPlace::Run(_), None) => {
                return Err(EngineError::Unsupported { what: "use a file", host: "a container that is not started" });
            }
        };
        inspect(docker, &self.socket, &name).await
    }

    /// Reads a file of the container, also of one whose engine has ended and that is not removed yet.
    pub(super) async fn read_file(&self, path: &Path, most_bytes: u64) -> Result<Vec<u8>, EngineError> {
        let docker = connect(&self.socket)?;
        let container = self.with_files(&docker).await?;
        let too_large = || EngineError::TooLarge { path: path.to_owned(), most_bytes };
        let options = DownloadFromContainerOptionsBuilder::new().path(&path.to_string_lossy()).build();
        let mut archive = docker.download_from_container(&container.id, Some(options));
        let mut bytes = Vec::new();
        while let Some(piece) = archive.next().await {
            let piece = piece.map_err(|error| match error {
                error if is_absent(&error) => {
                    EngineError::Read { path: path.to_owned(), source: std::io::ErrorKind::NotFound.into() }
                }
                error => refused(&self.socket, "read a file of the container", error),
            })?;
            bytes.extend_from_slice(&piece);
            // The archive has a few blocks beside the file.
            if u64::try_from(bytes.len()).is_ok_and(|len| len > most_bytes.saturating_add(64 << 10)) {
                return Err(too_large());
            }
        }
        let failed = |source| EngineError::Read { path: path.to_owned(), source };
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut entry = archive.entries().map_err(failed)?.next().transpose().map_err(failed)?;
        let file = entry.as_mut().filter(|entry| entry.header().entry_type().is_file());
        let file = file.ok_or_else(|| failed(std::io::Error::other("it is no regular file")))?;
        if file.size() > most_bytes {
            return Err(too_large());
        }
        let mut content = Vec::new();
        file.take(most_bytes).read_to_end(&mut content).map_err(failed)?;
        Ok(content)
    }

    /// Removes a file of the container: on this machine if it lies in a mount, else inside.
    pub(super) async fn remove_file(&self, path: &Path) -> Result<(), EngineError> {
        let docker = connect(&self.socket)?;
        let container = self.with_files(&docker).await?;
        if !container.running {
            return match container.on_this_machine(path) {
                Some(here) => super::remove_here(&here),
                None => Err(EngineError::ContainerStopped { container: container.name }),
            };
        }
        let command = Command::new("rm").arg("--").arg(path.to_string_lossy());
        // What was brought there belongs to root, and in /tmp nobody removes what belongs to another.
        let engine = exec::start(docker, &self.socket, &container.id, &command, Some(ROOT)).await?;
        let output = super::collect(engine, &command, LOOK_LIMIT).await?;
        if output.exit.code == Some(0) {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(EngineError::Remove { path: path.to_owned(), source: std::io::Error::other(said) })
    }
}

async fn inspect(docker: &Docker, socket: &Path, container: &str) -> Result<ContainerInfo, EngineError> {
    match docker.inspect_container(container, None::<InspectContainerOptions>).await {
        Ok(answer) => Ok(ContainerInfo::new(answer)),
        Err(error) if is_absent(&error) => Err(EngineError::NoContainer { container: container.to_owned() }),
        Err(error) => Err(refused(socket, "inspect the container", error)),
    }
}

/// The processes below one of a container, by its number on this machine. `None` where the daemon counts processes of
/// another machine, as in a virtual one.
fn tree(pid: Option<u32>, container: &str, mark: Option<String>) -> Option<Mutex<Tree>> {
    let stat = Stat::of(pid?)?;
    let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", stat.pid)).ok()?;
    groups.contains(container).then(|| Mutex::new(Tree::of(stat, mark)))
}

fn pids(tree: Option<&Mutex<Tree>>) -> Vec<u32> {
    let Some(tree) = tree else { return Vec::new() };
    let living = tree.lock().unwrap_or_else(PoisonError::into_inner).living();
    living.into_iter().map(|(pid, _)| pid).collect()
}

/// What a lost connection to the log means for its reader.
fn log_lost(error: &bollard::errors::Error) -> EngineEvent {
    EngineEvent::LogLost { reason: format!("the connection to the Docker daemon was lost: {error}") }
}

impl Running {
    pub(crate) fn pids(&self) -> Vec<u32> {
        match self {
            Self::Run(running) => running.pids(),
            Self::Exec(running) => running.pids(),
            Self::Watch(running) => running.pids(),
        }
    }

    pub(crate) fn container(&self) -> &ContainerInfo {
        match self {
            Self::Run(running) => running.container(),
            Self::Exec(running) => running.container(),
            Self::Watch(running) => running.container(),
        }
    }

    /// Ends the engine, and leaves its container.
    pub(crate) async fn end(&mut self, grace: Duration) -> Result<(), EngineError> {
        match self {
            Self::Run(running) => running.end(grace).await,
            other => other.stop(grace).await,
        }
    }

    pub(crate) async fn stop(&mut self, grace: Duration) -> Result<(), EngineError> {
        match self {
            Self::Run(running) => running.stop(grace).await,
            Self::Exec(running) => running.stop(grace).await,
            Self::Watch(running) => {
                running.stop();
                Ok(())
            }
        }
    }
}
