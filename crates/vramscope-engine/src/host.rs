//! Where an engine runs.

mod process;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::{Engine, EngineEvent, Exit, LogStream};
use crate::error::EngineError;

pub use process::ProcessHost;

/// The most that [`EngineHost::output`] keeps of each stream. `vllm serve --help=all` prints some 200 kB.
const MOST_OUTPUT: usize = 16 << 20;

/// How long a short command may take to stop once its time is over.
const OUTPUT_GRACE: Duration = Duration::from_secs(2);

/// What is started: a program with arguments and additional environment.
///
/// Its `Debug` shows no values of the environment and no secrets of the arguments.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Command {
    /// A name to be found on the path, or a path.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables beside those that it inherits.
    pub env: Vec<(String, String)>,
    /// The folder to start in; this process's own if `None`.
    pub directory: Option<PathBuf>,
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

    /// The words of the command line, without secrets.
    pub fn shown(&self) -> Vec<String> {
        let words = std::iter::once(self.program.as_str()).chain(self.args.iter().map(String::as_str));
        vramscope_core::redact_args(words)
    }
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let env: Vec<&str> = self.env.iter().map(|(name, _)| name.as_str()).collect();
        let mut shown = f.debug_struct("Command");
        shown.field("words", &self.shown()).field("env", &env).field("directory", &self.directory).finish()
    }
}

/// What a short command printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub exit: Exit,
    /// Its standard output, 16 MiB at most.
    pub stdout: Vec<u8>,
    /// Its standard error, 16 MiB at most.
    pub stderr: Vec<u8>,
}

/// Where an engine runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum EngineHost {
    /// As a process of this machine.
    Process(ProcessHost),
}

/// What a host holds of a running engine.
#[derive(Debug)]
pub(crate) enum Held {
    Process(process::Running),
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
        }
    }

    /// Runs a short command to its end where the engine would run, such as `vllm --version`.
    ///
    /// # Errors
    /// If it could not be started, or [`EngineError::TooSlow`] if it did not end within `limit`.
    pub async fn output(&self, command: &Command, limit: Duration) -> Result<Output, EngineError> {
        let deadline = Instant::now() + limit;
        let mut engine = self.start(command).await?;
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

    /// Reads a file as the engine sees it.
    ///
    /// # Errors
    /// If it cannot be read or has more than `most_bytes`.
    pub async fn read_file(&self, path: &Path, most_bytes: u64) -> Result<Vec<u8>, EngineError> {
        match self {
            Self::Process(_) => read_here(path, most_bytes),
        }
    }

    /// Removes a file as the engine sees it.
    ///
    /// # Errors
    /// If it is not there or cannot be removed.
    pub async fn remove_file(&self, path: &Path) -> Result<(), EngineError> {
        match self {
            Self::Process(_) => remove_here(path),
        }
    }
}

fn read_here(path: &Path, most_bytes: u64) -> Result<Vec<u8>, EngineError> {
    use std::io::Read as _;
    let failed = |source| EngineError::Read { path: path.to_owned(), source };
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
        }
    }

    pub(crate) async fn stop(&mut self, grace: Duration) -> Result<(), EngineError> {
        match self {
            Self::Process(running) => running.stop(grace).await,
        }
    }
}
