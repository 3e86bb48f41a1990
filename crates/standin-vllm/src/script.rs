//! What a script may say. Everything has a default: an empty script plays a healthy engine.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The environment variable that names the script's file. Without it the default script is played.
pub const SCRIPT_VARIABLE: &str = "STANDIN_VLLM_SCRIPT";

/// The whole script.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// What is played: `serve-l1b`, `latency-l1b`, `fail-kv-too-small`, or a folder with `vllm.log`, `levels.json` and
    /// (for `bench latency`) `bench.json`. `None` takes the first for `serve` and the second for `bench latency`.
    pub recording: Option<String>,
    /// How many times faster than it was recorded.
    pub speed: f64,
    /// What `--version` prints and `/version` answers.
    pub version: String,
    /// A file with a line for each flag, as `--help=all` shows it (`--dtype DTYPE`, `--grpc`); `None` is the list of vLLM
    /// 0.32.
    pub flags: Option<PathBuf>,
    /// What fails, and where.
    pub fail: Vec<Fail>,
    /// SIGTERM does nothing.
    pub ignores_sigterm: bool,
    /// The arguments and the whole environment are printed into the log, first thing.
    pub echo: bool,
    /// Engine processes besides the first one. They end with it, however it ends. Devices belong to them in turn.
    pub workers: u32,
    /// The engine processes go on when the first one has ended, and SIGTERM does nothing to them. SIGKILL ends them, and
    /// ten minutes.
    pub workers_outlive: bool,
    /// The devices whose memory the engine uses, each as much as the recording says.
    pub devices: Vec<Device>,
    /// The time from one token of a served request to the next, in milliseconds, not scaled.
    pub token_ms: f64,
    /// So many tokens of a served request come in one chunk of the answer.
    pub tokens_per_chunk: u64,
    /// The completion (from 1) at which a failure `at` `measure` strikes a served engine; one `at` `warmup` strikes at the
    /// second, after the one token that tries it out.
    pub measure_from_request: u64,
    /// Prompts that are lists of token ids are refused.
    pub refuses_token_ids: bool,
    /// With `VLLM_TRACE_FUNCTION=1`, the trace of python functions grows until somebody cuts it, or up to about so many
    /// bytes.
    pub function_trace_bytes: u64,
}

/// A device as the stand-in NVML library reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// The `used_file` of the NVML script's device.
    pub used_file: PathBuf,
    /// What others use of it, in bytes: before, beneath and after the engine's own.
    #[serde(default)]
    pub rest_bytes: u64,
    /// What stays in use when the engine has ended, beside the rest, in bytes.
    #[serde(default)]
    pub left_bytes: u64,
}

/// One failure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fail {
    /// When the phase begins.
    pub at: Phase,
    /// What happens.
    pub how: How,
}

/// What an engine goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// From the start of the process.
    Launch,
    /// From the engine's own first line.
    Load,
    /// The server listens; the benchmark is about to warm up.
    Ready,
    /// The first requests.
    Warmup,
    /// The measured requests.
    Measure,
    /// The end, asked for or reached.
    Shutdown,
}

/// What happens at a failure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// A traceback, and this exit code.
    Exit(u8),
    /// Death by this signal.
    Signal(i32),
    /// PyTorch's message that the device is full, and exit code 1.
    OutOfMemory,
    /// Nothing more happens, for ever.
    Hang,
    /// So many seconds nothing happens, then all goes on.
    SlowS(f64),
    /// At `launch` the arguments, at `load` the configuration, at `ready` the health check, at `warmup` and `measure` the
    /// requests, at `shutdown` to end.
    Refuse,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            recording: None,
            speed: 20.0,
            version: "0.25.1".into(),
            flags: None,
            fail: Vec::new(),
            ignores_sigterm: false,
            echo: false,
            workers: 1,
            workers_outlive: false,
            devices: Vec::new(),
            token_ms: 2.0,
            tokens_per_chunk: 1,
            measure_from_request: 6,
            refuses_token_ids: false,
            function_trace_bytes: 0,
        }
    }
}
