//! What a run is to do.

use std::path::PathBuf;
use std::time::Duration;

use vramscope_core::{EngineKind, PackedModel};
use vramscope_gpu::ProcessTree;
use vramscope_host::Command;
use vramscope_load::{Client, LoadPlan};
use vramscope_schema::v3::{Generator, HostInfo, WorkloadInfo};

use crate::{AskedSnapshots, Secrets};
use vramscope_runs::Shape;

/// One run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RunSpec {
    /// The model, as people call it; where nobody did, a server that runs is asked. A local path is shortened to its last
    /// part.
    pub model: Option<String>,
    /// Its `config.json`, where it is known.
    pub config: Option<Vec<u8>>,
    /// The header of its file, where it is one file that can be read.
    pub packed: Option<PackedModel>,
    /// Its shape, where given by hand.
    pub shape: Option<Shape>,
    /// Which engine runs; `None` where nothing tells it.
    pub engine: Option<EngineKind>,
    /// What a reader must know before the run begins, in sentences.
    pub notes: Vec<String>,
    /// The words of the configuration file that the command names; they are written down in its place.
    pub engine_config: Vec<String>,
    /// The engine's release, where it is known before it starts.
    pub engine_version: Option<String>,
    /// What is started; for an engine that runs already, what it was started with as far as it is known.
    pub command: Command,
    /// Snapshots of PyTorch's allocator that the engine's processes are to take.
    pub snapshots: Option<AskedSnapshots>,
    /// What is asked of the engine.
    pub workload: Workload,
    /// The workload in figures.
    pub workload_info: WorkloadInfo,
    /// What is known of the host before the start.
    pub host: HostInfo,
    /// How long to wait for what.
    pub times: Times,
    /// What must not be seen in the recording.
    pub secrets: Secrets,
    /// The processes that a process-memory sampler measures; told as the engine starts them.
    pub processes: Option<ProcessTree>,
    /// The program that conducts.
    pub generator: Generator,
}

/// What is asked of the engine.
#[derive(Debug, Clone)]
pub enum Workload {
    /// The command does the work itself and ends, as `vllm bench latency` does.
    OwnBenchmark {
        /// Where it writes its result, as it sees files.
        result: PathBuf,
        /// The name of the result in the recording folder.
        keep_as: &'static str,
    },
    /// The engine serves, and requests are sent to it.
    Served {
        /// The server.
        client: Client,
        /// The requests.
        plan: Box<LoadPlan>,
        /// The name of the model is asked of the server.
        ask_model: bool,
    },
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Samples before the engine starts.
    pub baseline: Duration,
    /// From its start until the engine is ready, at most.
    pub ready: Duration,
    /// From ready until the work is done, at most.
    pub work: Duration,
    /// Rest between ready and the first request.
    pub rest: Duration,
    /// For the engine to stop when it is asked to.
    pub grace: Duration,
    /// For memory to come back after the engine has ended, at most.
    pub settle: Duration,
}

impl Default for Times {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self { baseline: s(2), ready: s(1800), work: s(3600), rest: s(1), grace: s(30), settle: s(15) }
    }
}
