//! What can go wrong with an engine.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why an engine could not be started, asked or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The program is not there.
    #[error("start {program}: there is no such program; install it, activate its environment, or give its path")]
    NotFound {
        /// As it was given.
        program: String,
    },
    /// The program is there and may not be run.
    #[error("start {program}: it may not be executed; make it executable (chmod +x), or name the program inside it")]
    NotExecutable {
        /// As it was given.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// The program is a script whose interpreter is not there.
    #[error("start {program}: it is there, and what its first line asks for is not; was its environment moved?")]
    NoInterpreter {
        /// As it was given.
        program: String,
    },
    /// The folder to start in is not there.
    #[error("start {program}: there is no folder {}", directory.display())]
    NoDirectory {
        /// As it was given.
        program: String,
        /// The folder.
        directory: PathBuf,
    },
    /// The system refused to start it for another reason.
    #[error("start {program}")]
    Start {
        /// As it was given.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// Nothing would stop the engine if this process were killed, so it is not started.
    #[error("start the watchdog that stops the engine if vramscope is killed; it needs /bin/sh and /proc")]
    Watchdog(#[source] io::Error),
    /// A short command took too long and was stopped.
    #[error("run {program}: it did not end within {} s", limit.as_secs_f64())]
    TooSlow {
        /// As it was given.
        program: String,
        /// How long it was given.
        limit: Duration,
    },
    /// Processes live on after they were killed. The driver holds them, and only it can let them go.
    #[error("stop the engine: processes {pids:?} were killed and do not end; the driver may hang (see dmesg)")]
    StillAlive {
        /// Their ids.
        pids: Vec<u32>,
    },
    /// A file could not be read.
    #[error("read {}", path.display())]
    Read {
        /// As the engine sees it.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is longer than was allowed.
    #[error("read {}: it has more than {most_bytes} bytes", path.display())]
    TooLarge {
        /// As the engine sees it.
        path: PathBuf,
        /// The most that was allowed.
        most_bytes: u64,
    },
    /// A file could not be removed.
    #[error("remove {}", path.display())]
    Remove {
        /// As the engine sees it.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// This host cannot do that.
    #[error("{what}: {host} cannot do that")]
    Unsupported {
        /// What was asked.
        what: &'static str,
        /// The host.
        host: &'static str,
    },
}
