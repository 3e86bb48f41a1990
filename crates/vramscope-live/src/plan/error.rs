//! Why a run is not planned.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use vramscope_analysis::ModelError;
use vramscope_core::EngineKind;
use vramscope_estimate::EstimateError;
use vramscope_host::EngineError;
use vramscope_load::LoadError;
use vramscope_models::ConfigError;
use vramscope_runs::{EngineConfigError, FolderError};

use crate::{AskedSnapshots, FlagError};

/// Why a run is not planned: what was asked for cannot be, or what it needs is not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Other work than requests is asked of a server that runs.
    #[error("a server that runs can only be sent requests: give --workload serve, or leave it out")]
    OnlyRequests,
    /// A prompt is given to work that takes lengths.
    #[error(
        "{}'s own latency benchmark takes lengths and no --prompt: give --input-len, or --workload serve or \
         transformers",
        EngineKind::Vllm.title()
    )]
    NoPrompt,
    /// The engine's words do not begin with a flag.
    #[error("after -- come flags of the engine, and {word:?} is none; the model goes to --model")]
    NoFlag {
        /// The word.
        word: String,
    },
    /// A flag would take the run away from what is measured.
    #[error("--{flag} is given to the engine by vramscope: give it before -- if it is a flag of profile")]
    OurFlag {
        /// Without dashes.
        flag: &'static str,
    },
    /// A flag is given by its name here and among the engine's words.
    #[error("--{flag} is given before -- and behind it: give it once")]
    GivenTwice {
        /// Without dashes.
        flag: String,
    },
    /// An engine that is not started here.
    #[error("{} is not started by profile: start it, and give its address with --url", engine.title())]
    NotStarted {
        /// Which.
        engine: EngineKind,
    },
    /// Snapshots of PyTorch's allocator are asked of an engine that has none.
    #[error(
        "{} does not use PyTorch, and has no allocator of it to take a --snapshot of: leave --snapshot out; what its buffers \
         hold stands in its own log",
        engine.title()
    )]
    NoAllocator {
        /// Which.
        engine: EngineKind,
    },
    /// Snapshots are asked of a server that runs, into which no hook gets any more.
    #[error(
        "a server that runs takes no --snapshot: what records its allocator has to be loaded when it starts; have it \
         started here (leave out --url), or record in it yourself (docs/snapshot.md says how)"
    )]
    NoHookInServer,
    /// Snapshots are asked of an engine in a container.
    #[error(
        "an engine in a container takes no --snapshot: the folder with what records its allocator cannot be given to a \
         container that runs, and {} of an image is not known; start the engine as a process of this machine, or record in \
         it yourself (docs/snapshot.md says how)",
        AskedSnapshots::VARIABLE
    )]
    NoHookInContainer,
    /// An engine with its own server is asked for other work than requests.
    #[error("{} is sent requests: give --workload serve, or leave it out", engine.title())]
    OnlyServes {
        /// Which.
        engine: EngineKind,
    },
    /// A variable would take the run away from what is measured.
    #[error("{name} is given to the engine by vramscope: leave out --env {name}")]
    OurVariable {
        /// Its name.
        name: &'static str,
    },
    /// The words start something else than the engine's server.
    #[error("a server is measured: expected `{expected}` after --")]
    NoServer {
        /// What starts it.
        expected: String,
    },
    /// Nobody says which of the models that a server has.
    #[error("no model: give --model NAME, as {} calls it", engine.title())]
    NoModelName {
        /// The engine.
        engine: EngineKind,
    },
    /// The words name no model.
    #[error("no model: the words of {} after -- name none", engine.title())]
    NoModelWord {
        /// The engine.
        engine: EngineKind,
    },
    /// No model file is named among the engine's words.
    #[error("no model: give `-m FILE` (or `-hf REPOSITORY`) after the server's name")]
    NoModelFile,
    /// A value is none that this engine would accept.
    #[error("read the server's words")]
    OfOther(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A value is none that the engine would accept.
    #[error(transparent)]
    Words(EstimateError),
    /// The engine's configuration file cannot be used.
    #[error("use --config {}", file.display())]
    EngineConfig {
        /// The file.
        file: PathBuf,
        /// Why.
        source: EngineConfigError,
    },
    /// The engine takes no such flag.
    #[error(transparent)]
    Flag(#[from] FlagError),
    /// The address, the API key or the sizes of the load cannot be used.
    #[error(transparent)]
    Load(LoadError),
    /// Nobody says which model.
    #[error("no model: give --model DIR or --hf-model-id ID{}", asked(container.as_deref()))]
    NoModel {
        /// The container that was asked too.
        container: Option<String>,
    },
    /// The model cannot be read.
    #[error(transparent)]
    Model(ModelError),
    /// The config of a model in a container says nothing that can be used.
    #[error("could not use the model's config.json in the container")]
    ModelInside(#[source] ConfigError),
    /// The model's folder has no absolute path.
    #[error("could not tell the model's folder")]
    ModelFolder(#[source] io::Error),
    /// A mount has no absolute path.
    #[error("use --mount {text}")]
    Mount {
        /// As it was given.
        text: String,
        /// What the system says.
        source: io::Error,
    },
    /// What is to be mounted is not there.
    #[error("use --mount {text}: {from} is not there")]
    MountAbsent {
        /// As it was given.
        text: String,
        /// What is to be mounted.
        from: String,
        /// What the system says.
        source: io::Error,
    },
    /// The place of a mount in the container is no absolute path.
    #[error("use --mount {text}: the path in the container must begin with /")]
    MountTarget {
        /// As it was given.
        text: String,
    },
    /// This build knows no Docker.
    #[error(
        "use {option}: this program was built without Docker; build it with the feature docker (cargo build --features \
         docker)"
    )]
    WithoutDocker {
        /// What needs it.
        option: &'static str,
    },
    /// `DOCKER_HOST` names no socket of this machine.
    #[error(transparent)]
    Socket(EngineError),
    /// The engine, its container or its processes cannot be reached.
    #[error(transparent)]
    Host(EngineError),
    /// A server that runs does not answer.
    #[error("could not reach the server")]
    Unreachable(#[source] LoadError),
    /// The program does not behave as an engine.
    #[error(
        "{program} {subcommand} --help lists no flags of an engine: is this {}, and does it have \
         {subcommand}?{}",
        EngineKind::Vllm.title(),
        said.as_ref().map_or(String::new(), |said| format!("; it said: {said}"))
    )]
    NoFlags {
        /// The program with its leading arguments.
        program: String,
        /// The subcommand that was to run.
        subcommand: String,
        /// The last that it said, without secrets.
        said: Option<String>,
    },
    /// What came of asking the engine, for whichever run it was asked.
    #[error(transparent)]
    Asked(Arc<PlanError>),
    /// There is no free port for a server.
    #[error("could not find a free port")]
    NoPort(#[source] io::Error),
    /// The name of the profile names no file.
    #[error("--output names no file")]
    NoFileName,
    /// The profile would go to the standard output, and its recording nowhere.
    #[error("a recording lies beside the profile: name a file with --output; --format json prints it too")]
    ToStdout,
    /// The name of the profile ends in a slash.
    #[error("--output {} names a folder; name a file in it", path.display())]
    OutputIsFolder {
        /// As it was given.
        path: PathBuf,
    },
    /// Something else has the name of the profile.
    #[error("--output {} is there and is no regular file; name another one", path.display())]
    OutputIsTaken {
        /// As it was given.
        path: PathBuf,
    },
    /// The folder of the recording has no absolute path.
    #[error("could not tell the recording's folder")]
    RecordingFolder(#[source] io::Error),
    /// The name of the recording's folder is no text.
    #[error(
        "the engine is told by name where it writes, and {} is no text; record elsewhere with --output",
        folder.display()
    )]
    NoText {
        /// The folder.
        folder: PathBuf,
    },
    /// The recording cannot begin.
    #[error("could not begin the recording")]
    Recording(#[source] FolderError),
}

/// Who was asked for the model beside the arguments.
fn asked(container: Option<&str>) -> String {
    let words = |name| format!("; neither the arguments nor the environment of {name} name one");
    container.map_or(String::new(), words)
}
