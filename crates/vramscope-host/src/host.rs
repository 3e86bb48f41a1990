//! Where an engine runs.

mod attach;
#[cfg(feature = "docker")]
mod docker;
mod process;
mod replay;
mod socket;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::{Engine, EngineEvent, Exit, LogStream};
use crate::error::EngineError;

pub use attach::{AttachHost, LogFile, LogStart};
#[cfg(feature = "docker")]
pub use docker::{
    BindMount, ContainerGpus, ContainerInfo, ContainerMount, ContainerNetwork, ContainerSpec, DockerDaemon, DockerHost,
    DockerPlace, NvidiaAccess, PublishedPort,
};
pub use process::{ProcessHost, is_signal_ignored};
pub use replay::ReplayHost;
pub use socket::docker_socket;

/// The most that [`EngineHost::output`] keeps of each stream. `vllm serve --help=all` prints some 200 kB.
const MOST_OUTPUT: usize = 16 << 20;

/// How long a short command may take to stop once its time is over.
const OUTPUT_GRACE: Duration = Duration::from_secs(2);

/// What is started: a program with arguments and additional environment.
///
/// Its `Debug` shows no values of the environment, no contents of files and no secrets of the arguments.
#[derive(Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Command {
    /// A name to be found on the path, or a path.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables beside those that it inherits.
    pub env: Vec<(String, String)>,
    /// The folder to start in; this process's own if `None`.
    pub directory: Option<PathBuf>,
    /// Files that it needs, by their whole paths as it sees them. They are put there before it starts, readable for
    /// everybody; who starts it removes them.
    pub files: Vec<(PathBuf, Vec<u8>)>,
}

impl Command {
    /// A program without arguments.
    pub fn new(program: impl Into<String>) -> Self {
        Self { program: program.into(), ..Self::default() }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds a variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Adds a file that it needs.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((path.into(), content.into()));
        self
    }

    /// The words of the command line, without secrets.
    pub fn shown(&self) -> Vec<String> {
        let words = std::iter::once(self.program.as_str()).chain(self.args.iter().map(String::as_str));
        vramscope_core::redact_args(words)
    }
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let env: Vec<&str> = self.env.iter().map(|(name, _)| name.as_str()).collect();
        let files: Vec<&PathBuf> = self.files.iter().map(|(path, _)| path).collect();
        let mut shown = f.debug_struct("Command");
        shown.field("words", &self.shown()).field("env", &env).field("directory", &self.directory);
        shown.field("files", &files).finish()
    }
}

/// What a short command printed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// How it ended.
    pub exit: Exit,
    /// Its standard output, 16 MiB at most.
    pub stdout: Vec<u8>,
    /// Its standard error, 16 MiB at most.
    pub stderr: Vec<u8>,
}

/// Where an engine runs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum EngineHost {
    /// As a process of this machine.
    Process(ProcessHost),
    /// In a container.
    #[cfg(feature = "docker")]
    Docker(DockerHost),
    /// It runs already; it is watched, and never stopped. Its command is not used.
    Attach(AttachHost),
    /// It ran once; its recorded log is played. Its command is not used.
    Replay(ReplayHost),
}

/// What a host holds of a running engine.
#[derive(Debug)]
pub(crate) enum Held {
    Process(process::Running),
    #[cfg(feature = "docker")]
    Docker(Box<docker::Running>),
    Attach(attach::Running),
    Replay(replay::Running),
}

impl EngineHost {
    /// The host that runs processes on this machine.
    pub fn process() -> Self {
        Self::Process(ProcessHost::default())
    }

    /// Starts an engine.
    ///
    /// # Errors
    /// If it could not be started; the error says what to do.
    pub async fn start(&self, command: &Command) -> Result<Engine, EngineError> {
        match self {
            Self::Process(host) => host.start(command),
            #[cfg(feature = "docker")]
            Self::Docker(host) => host.start(command).await,
            Self::Attach(host) => host.start(),
            Self::Replay(host) => Ok(host.start()),
        }
    }

    /// Runs a short command to its end where the engine would run, such as `vllm --version`.
    ///
    /// # Errors
    /// If it could not be started, or [`EngineError::TooSlow`] if it did not end within `limit`.
    pub async fn output(&self, command: &Command, limit: Duration) -> Result<Output, EngineError> {
        let engine = match self {
            // Beside a server that runs, on the same machine.
            Self::Process(_) | Self::Attach(_) => ProcessHost::default().start(command)?,
            #[cfg(feature = "docker")]
            Self::Docker(host) => host.start_beside(command).await?,
            Self::Replay(_) => return Err(EngineError::Unsupported { what: "run a command", host: "a recording" }),
        };
        collect(engine, command, limit).await
    }

    /// Reads a file as the engine sees it.
    ///
    /// # Errors
    /// If it cannot be read or has more than `most_bytes`.
    pub async fn read_file(&self, path: &Path, most_bytes: u64) -> Result<Vec<u8>, EngineError> {
        match self {
            Self::Process(_) | Self::Attach(_) => read_here(path, most_bytes),
            #[cfg(feature = "docker")]
            Self::Docker(host) => host.read_file(path, most_bytes).await,
            Self::Replay(_) => Err(EngineError::Unsupported { what: "read a file", host: "a recording" }),
        }
    }

    /// Removes a file as the engine sees it.
    ///
    /// # Errors
    /// If it is not there or cannot be removed.
    pub async fn remove_file(&self, path: &Path) -> Result<(), EngineError> {
        match self {
            Self::Process(_) | Self::Attach(_) => remove_here(path),
            #[cfg(feature = "docker")]
            Self::Docker(host) => host.remove_file(path).await,
            Self::Replay(_) => Err(EngineError::Unsupported { what: "remove a file", host: "a recording" }),
        }
    }
}

/// Reads a short command to its end.
async fn collect(mut engine: Engine, command: &Command, limit: Duration) -> Result<Output, EngineError> {
    let deadline = Instant::now() + limit;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let exit = loop {
        let Ok(event) = tokio::time::timeout_at(deadline, engine.next()).await else {
            engine.stop(OUTPUT_GRACE).await?;
            return Err(EngineError::TooSlow { program: command.program.clone(), limit });
        };
        match event {
            EngineEvent::Line(line) => {
                let into = if line.stream == LogStream::Stderr { &mut stderr } else { &mut stdout };
                let room = MOST_OUTPUT.saturating_sub(into.len());
                let newline = line.ended.then_some(b'\n');
                into.extend(line.bytes.into_iter().chain(newline).take(room));
            }
            EngineEvent::LogLost { .. } => {}
            EngineEvent::Exited(exit) => break exit,
        }
    };
    engine.stop(OUTPUT_GRACE).await?;
    Ok(Output { exit, stdout, stderr })
}

fn read_here(path: &Path, most_bytes: u64) -> Result<Vec<u8>, EngineError> {
    use std::io::Read as _;
    let failed = |source| EngineError::Read { path: path.to_owned(), source };
    // To open a pipe waits for a writer, and a device may have no end.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(failed(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is no regular file")));
    }
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(most_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len <= most_bytes) {
        return Ok(bytes);
    }
    Err(EngineError::TooLarge { path: path.to_owned(), most_bytes })
}

fn remove_here(path: &Path) -> Result<(), EngineError> {
    std::fs::remove_file(path).map_err(|source| EngineError::Remove { path: path.to_owned(), source })
}

impl Held {
    pub(crate) fn pids(&self) -> Vec<u32> {
        match self {
            Self::Process(running) => running.pids(),
            #[cfg(feature = "docker")]
            Self::Docker(running) => running.pids(),
            Self::Attach(running) => running.pids(),
            Self::Replay(_) => Vec::new(),
        }
    }

    pub(crate) async fn stop(&mut self, grace: Duration) -> Result<(), EngineError> {
        match self {
            Self::Process(running) => running.stop(grace).await?,
            #[cfg(feature = "docker")]
            Self::Docker(running) => running.stop(grace).await?,
            Self::Attach(running) => running.stop(),
            Self::Replay(running) => running.stop(),
        }
        Ok(())
    }

    /// The same, but a new container is kept.
    pub(crate) async fn end(&mut self, grace: Duration) -> Result<(), EngineError> {
        match self {
            #[cfg(feature = "docker")]
            Self::Docker(running) => running.end(grace).await,
            other => other.stop(grace).await,
        }
    }

    #[cfg(feature = "docker")]
    pub(crate) fn container(&self) -> Option<&ContainerInfo> {
        match self {
            Self::Docker(running) => Some(running.container()),
            Self::Process(_) | Self::Attach(_) | Self::Replay(_) => None,
        }
    }
}
