//! Why there is no trace.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use vramscope_host::EngineError;
use vramscope_load::LoadError;
use vramscope_runs::FolderError;

use crate::served::ServedError;
use crate::vllm::command::PROGRAM;
use crate::vllm::profiler::{HOW_TO_SET_UP, UNKNOWN};

/// Why there is no trace.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The folder for traces cannot be made.
    #[error("could not make {}", path.display())]
    MakeDir {
        /// As it was given.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The folder for traces has no absolute path.
    #[error("could not find {}", path.display())]
    FindDir {
        /// As it was given.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The folder for traces cannot be listed.
    #[error("could not list {}", path.display())]
    List {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The listing of the folder for traces broke off.
    #[error(transparent)]
    Entry(io::Error),
    /// What records the engine's allocator cannot be put beside the traces.
    #[error("could not have the engine's allocator recorded")]
    Memory(#[source] FolderError),
    /// The trace of python functions cannot be kept.
    #[error("could not keep the trace of python functions as {}: check that the disk has room", path.display())]
    KeepFunctions {
        /// Where it should be.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The address is not one of `http://`.
    #[error("only http:// on this machine is supported")]
    NotHttp,
    /// The host of the address is not known.
    #[error("could not find {place}")]
    NoHost {
        /// The host and its port.
        place: String,
        /// What the system says.
        source: io::Error,
    },
    /// The address is another machine's.
    #[error("{place} is another machine: the traces would be on its disk; run this command there")]
    NotHere {
        /// The host and its port.
        place: String,
    },
    /// The address cannot be used.
    #[error(transparent)]
    Address(LoadError),
    /// The version that was given is none.
    #[error("`{text}` is no version; write 0.32.0")]
    NoVersion {
        /// As it was given.
        text: String,
    },
    /// There is no command line.
    #[error("there is no command")]
    NoCommand,
    /// A program that is not asked for its version.
    #[error("{program} is not the {PROGRAM} command, so its version is unknown; {UNKNOWN}")]
    NotTheEngine {
        /// The program.
        program: String,
    },
    /// The program could not be asked for its version.
    #[error("could not ask for the version; {UNKNOWN}")]
    AskVersion(#[source] EngineError),
    /// The program says no version.
    #[error("{program} --version says no version; {UNKNOWN}")]
    SaysNoVersion {
        /// The program.
        program: String,
    },
    /// The command line sets the profiler up itself.
    #[error("the command line sets --profiler-config itself: leave it out, or start the engine and use --url")]
    OwnProfilerConfig,
    /// The engine that is started here does not serve.
    #[error(transparent)]
    Engine(ServedError),
    /// The server does not say what it serves.
    #[error("could not ask {base} for its models")]
    AskModels {
        /// Its address.
        base: String,
        /// Why.
        source: LoadError,
    },
    /// The server's list of models is no JSON.
    #[error("the list of models is no JSON")]
    Models(#[source] serde_json::Error),
    /// The server serves nothing.
    #[error("{base} serves no model")]
    NoModel {
        /// Its address.
        base: String,
    },
    /// The profiler could not be asked.
    #[error("could not ask for {what}")]
    AskProfiler {
        /// To start or to stop.
        what: &'static str,
        /// Why.
        source: LoadError,
    },
    /// The engine has no profiler.
    #[error("the engine has no {what}: its profiler is not set up ({HOW_TO_SET_UP})")]
    NoProfiler {
        /// What was asked.
        what: &'static str,
    },
    /// The profiler refused.
    #[error("{what} was answered with status {status}")]
    ProfilerRefused {
        /// What was asked.
        what: &'static str,
        /// The HTTP status.
        status: u16,
    },
    /// A request could not be sent.
    #[error("could not send a request")]
    Send(#[source] LoadError),
    /// A request was refused.
    #[error("a request was answered with status {status}: {words}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The beginning of the answer.
        words: String,
    },
    /// The request before the recording failed.
    #[error("the request before the recording failed")]
    Warmup(#[source] Box<CaptureError>),
    /// A recorded request failed.
    #[error("a recorded request failed")]
    Request(#[source] Box<CaptureError>),
    /// An engine that was started here failed at its work.
    #[error("recording failed; the engine's log is {}, and ends:\n    {last}", log.display())]
    Recording {
        /// Its log.
        log: PathBuf,
        /// The last lines of it, without secrets.
        last: String,
        /// What failed.
        source: Box<CaptureError>,
    },
    /// No trace came.
    #[error(
        "no new trace in {} after {} s: is that the folder that the engine writes to?",
        dir.display(),
        after.as_secs()
    )]
    NoTrace {
        /// The folder.
        dir: PathBuf,
        /// The time allowed.
        after: Duration,
    },
}
