//! Why a server that is started here does not serve.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use vramscope_host::{EngineError, Exit};
use vramscope_load::LoadError;

/// Why a server that is started here does not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServedError {
    /// There is no command line.
    #[error("start the engine: there is no command; write it behind --")]
    NoCommand,
    /// The port in the engine's command line is no number.
    #[error("read --port of the engine's command line: {text:?} is no port; expected 1 to 65535")]
    Port {
        /// As it was given.
        text: String,
    },
    /// The engine is told to listen in a way that is not spoken here.
    #[error("use --{flag} of the engine's command line: start that engine by itself, and give its address")]
    Listens {
        /// The flag.
        flag: String,
    },
    /// Something listens already where the engine will.
    #[error("start the engine: something listens at {place} already; stop it, or give the engine another --port")]
    Taken {
        /// Host and port.
        place: String,
    },
    /// The configuration file that the command line names cannot be read.
    #[error("read the engine's configuration file")]
    Config(#[source] Box<crate::PlanError>),
    /// The engine's log cannot be begun.
    #[error("could not write {}", path.display())]
    BeginLog {
        /// The log.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The engine's log cannot be written any more.
    #[error("could not write the engine's log")]
    WriteLog(#[source] io::Error),
    /// The engine does not start.
    #[error(transparent)]
    Start(EngineError),
    /// The engine does not stop.
    #[error("could not stop the engine")]
    Stop(#[source] EngineError),
    /// The engine ended too early.
    #[error("the engine ended by itself ({exit})")]
    Ended {
        /// How.
        exit: Exit,
    },
    /// The engine took too long.
    #[error("the engine was not ready after {} s; give it more time", after.as_secs())]
    NotReady {
        /// The time allowed.
        after: Duration,
    },
    /// The server could not be asked.
    #[error(transparent)]
    Asked(LoadError),
    /// Who watches the engine has ended, as its log could not be written.
    #[error("the engine is not watched any more: its log could not be written")]
    NotWatched,
    /// With the engine's own last words.
    #[error("the engine failed; its log is {}, and ends:\n    {last}", log.display())]
    Explained {
        /// Its log.
        log: PathBuf,
        /// The last lines of it, without secrets.
        last: String,
        /// What failed.
        source: Box<ServedError>,
    },
}

impl ServedError {
    /// What failed, without the engine's words.
    pub fn root(&self) -> &Self {
        match self {
            Self::Explained { source, .. } => source.root(),
            other => other,
        }
    }
}
