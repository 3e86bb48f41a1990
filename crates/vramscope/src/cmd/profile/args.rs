//! The arguments of `vramscope profile`.

use std::path::PathBuf;
use std::time::Duration;

use vramscope_core::{EngineKind, EngineLine};
use vramscope_live::AskedSnapshots;

use crate::backends::BackendArgs;
use crate::cmd::estimate::input::{EngineFlags, ModelArgs};
use crate::output::Format;
use crate::time;

/// Run an engine, measure it, and explain where its memory went
///
/// Starts vLLM, or a llama-server, SGLang or Ollama whose line stands after `--`, as a process or in a container, or attaches
/// to a server that runs; samples the GPUs through every phase; sends it work; reads its log; and leaves a profile with the full-rate recording beside it. A failed run leaves a
/// profile too. Without a GPU the memory of the engine's processes is measured, and the profile says so.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  vramscope profile --model ./Llama-3.1-8B --input-len 512 --output-len 128 --batch-size 8
  vramscope profile --hf-model-id Qwen/Qwen3-8B --workload serve --num-prompts 200 --request-rate 4
  vramscope profile --model ./Llama-3.1-70B --tensor-parallel-size 4 --repeat 3 -- --max-num-seqs 64
  vramscope profile --model /models/Llama-3.1-8B --container vllm-inference
  vramscope profile --model ./Llama-3.1-8B --image vllm/vllm-openai:v0.25.1 --workload serve
  vramscope profile --model /models/gpt2 --container trainer --workload transformers --engine python3
  vramscope profile --url http://127.0.0.1:8000 --log-file vllm.log
  vramscope profile -- llama-server -m model.gguf -c 8192 -ngl 99
  vramscope profile -- sglang serve --model-path Qwen/Qwen3-8B
  vramscope profile --model llama3.2:1b -- ollama serve
  vramscope profile --model ./Llama-3.1-8B --workload serve --snapshot peak,end
  vramscope profile --model ./Llama-3.1-8B --dry-run

The profile goes to results/memory-profiles/MODEL_TIME.json, the recording to the folder of the same name beside it; \
`vramscope analyze FOLDER` derives the same profile from it again.

Exit codes: 0 done, 2 a flag that the engine does not take, 4 the recording or the profile cannot be written, 6 the \
engine failed, 7 no device or it was lost, 8 refused before the start or more \
requests failed than --max-failed allows, 9 the engine, its container or Docker cannot be \
reached, 10 a time limit ran out, 130 stopped by Ctrl-C or another signal. With 4, 6, 7, 9, 10 and 130 a profile of \
what was seen is left where the disk allows it.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
    #[command(flatten)]
    pub(crate) host: HostArgs,
    #[command(flatten)]
    pub(crate) engine: EngineFlags,
    #[command(flatten)]
    pub(crate) devices: BackendArgs,
    #[command(flatten)]
    pub(crate) snapshots: SnapshotArgs,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    /// Run code that comes with the model
    #[arg(long, help_heading = "Engine")]
    pub(crate) trust_remote_code: bool,
    /// The profile document; its recording goes to the folder of the same name without .json
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Time between two samples; unless given 100ms or the shortest that the source allows (1s for AMD's tools), and 500ms
    /// where the memory of processes is measured
    #[arg(long, value_name = "TIME", value_parser = time::period)]
    pub(crate) interval: Option<Duration>,
    /// Run so often, and say how far the runs agree
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) repeat: u32,
    /// Also leave a page that people look at beside the profile: the same name with .html
    #[arg(long)]
    pub(crate) report: bool,
    /// Go on in spite of what the checks before the start say
    #[arg(long)]
    pub(crate) force: bool,
    /// Check everything, print the engine's command line, and start nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Say nothing but the result
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// What to print: a table for people, or the profile document
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,
    /// The table of the campaign is the result, not that of each run.
    #[arg(skip)]
    pub(crate) part_of_campaign: bool,
}

/// What is asked of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum WorkKind {
    /// The engine's own `bench latency`: batches of one size, one after another
    Latency,
    /// A server, and requests to its /v1/completions
    Serve,
    /// Hugging Face transformers in plain Python, without vLLM
    Transformers,
}

/// The work.
#[derive(clap::Args)]
#[command(next_help_heading = "Workload")]
pub(crate) struct WorkArgs {
    /// What is asked of the engine [default: latency; serve with --url]
    #[arg(long, value_enum)]
    pub(crate) workload: Option<WorkKind>,
    /// Prompt tokens of one request
    #[arg(long, value_name = "N", default_value = "512", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) input_len: u64,
    /// The prompt of every request, in place of --input-len random tokens; of serve and transformers, whose tokenizer
    /// then counts. It stays in the recording
    #[arg(long, value_name = "TEXT", conflicts_with = "input_len", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) prompt: Option<String>,
    /// Generated tokens of one request
    #[arg(long, visible_alias = "max-tokens", value_name = "N", default_value = "128", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) output_len: u64,
    /// Requests in flight together
    #[arg(long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) batch_size: u64,
    /// Measured iterations of latency and transformers
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) num_iters: u64,
    /// Iterations before the measured ones
    #[arg(long, value_name = "N", default_value = "3")]
    pub(crate) num_iters_warmup: u64,
    /// Measured requests of serve [default: ten times --batch-size]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) num_prompts: Option<u64>,
    /// Requests each second of serve, at random times, in place of a constant number in flight
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) request_rate: Option<f64>,
    /// Names the prompts and arrivals of serve: the same seed sends the same [default: drawn for each run, and written into
    /// the profile, so that no run finds another's prompts in a server's prefix cache]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Requests of serve that may fail or stay unsent; more of them make the exit code 8
    #[arg(long, value_name = "N", default_value = "0")]
    pub(crate) max_failed: u64,
}

/// Where the engine runs.
#[derive(clap::Args)]
#[command(next_help_heading = "Engine host")]
pub(crate) struct HostArgs {
    /// The engine's program, with leading arguments: vllm, or "python3 -m vllm.entrypoints.cli.main"; for transformers
    /// the Python interpreter [default: vllm; python3]
    #[arg(long, value_name = "PROGRAM", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) engine: Option<String>,
    /// Which engine it is: vllm, llama.cpp, ollama, sglang or tgi [default: what a server that runs answers; vllm where one is
    /// started]
    #[arg(long, value_name = "KIND", value_parser = engine_kind)]
    pub(crate) engine_kind: Option<EngineKind>,
    /// Run the engine inside this running container; with --url, the server that runs is what runs in it
    #[arg(long, value_name = "NAME", conflicts_with_all = ["image", "pid", "log_file"])]
    pub(crate) container: Option<String>,
    /// Run the engine in a new container of this image, and remove it afterwards
    #[arg(long, value_name = "IMAGE", conflicts_with = "url")]
    pub(crate) image: Option<String>,
    /// Give the new container a folder of this machine: HOST or HOST:CONTAINER. Repeat for more
    #[arg(long, value_name = "PATHS", requires = "image")]
    pub(crate) mount: Vec<String>,
    /// A variable for the engine: NAME=VALUE, or NAME for its value here. Repeat for more. A process inherits all of
    /// ours, a new container none
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Attach to a server that runs; nothing is started or stopped
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The log of the server that runs
    #[arg(long, value_name = "FILE", requires = "url")]
    pub(crate) log_file: Option<PathBuf>,
    /// The process of the server that runs
    #[arg(long, value_name = "PID", requires = "url")]
    pub(crate) pid: Option<u32>,
    /// The server's API key; better given in the variable, which no process list shows
    #[arg(long, value_name = "KEY", env = "VRAMSCOPE_API_KEY", hide_env_values = true)]
    pub(crate) api_key: Option<String>,
}

/// When a snapshot of PyTorch's allocator is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Moment {
    /// When torch has reserved most, and keeps it for 0.2 s
    Peak,
    /// When the work is done, before the engine is stopped
    End,
    /// When an allocation fails: the first four times
    Oom,
}

/// Snapshots of PyTorch's allocator.
#[derive(clap::Args)]
#[command(next_help_heading = "Allocator snapshots")]
pub(crate) struct SnapshotArgs {
    /// Have the engine's processes record PyTorch's allocator, and take a snapshot at these moments, which say who holds the
    /// memory: peak, end, oom, several with commas; all three where none is named. Of vLLM, SGLang and --workload transformers
    /// as processes of this machine. Recording costs each allocation some microseconds, and a snapshot holds the process up
    #[arg(long, value_name = "MOMENT", value_enum, value_delimiter = ',', num_args = 0..=1, default_missing_values = ["peak", "end", "oom"])]
    pub(crate) snapshot: Option<Vec<Moment>>,
    /// The last events of the allocator that a snapshot holds; older ones are lost. Each takes up to some kilobytes of the
    /// process's memory, by torch's own documents
    #[arg(long, value_name = "N", requires = "snapshot", default_value_t = AskedSnapshots::USUAL_ENTRIES, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) snapshot_entries: u32,
}

/// How long to wait.
#[derive(clap::Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// From the engine's start until it is ready, at most
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = time::positive)]
    pub(crate) timeout_start: Duration,
    /// From ready until the work is done, at most
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = time::positive)]
    pub(crate) timeout: Duration,
    /// Samples before the engine starts
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = time::length)]
    pub(crate) baseline: Duration,
    /// For memory to come back after the engine has ended, at most
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = time::length)]
    pub(crate) settle: Duration,
    /// For the engine to stop by itself when it is asked to
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time::length)]
    pub(crate) grace: Duration,
}

impl Args {
    /// The engine that is started, where somebody says it or the words after `--` begin with its server's name.
    pub(crate) fn started(&self) -> Option<EngineKind> {
        self.host.engine_kind.or_else(|| EngineLine::of(self.engine.words()).map(|line| line.kind))
    }

    /// What is asked of the engine.
    pub(crate) fn kind(&self) -> WorkKind {
        let by_own_words = self.started().is_some_and(|kind| BY_OWN_WORDS.contains(&kind));
        let serves = self.host.url.is_some() || by_own_words;
        let usual = if serves { WorkKind::Serve } else { WorkKind::Latency };
        self.work.workload.unwrap_or(usual)
    }
}

/// Engines whose servers are started by their own words.
pub(super) const BY_OWN_WORDS: [EngineKind; 3] = [EngineKind::LlamaCpp, EngineKind::SgLang, EngineKind::Ollama];

/// The name of an engine with a server.
fn engine_kind(text: &str) -> Result<EngineKind, String> {
    let kind = EngineKind::from_name(text).filter(|kind| *kind != EngineKind::Transformers);
    kind.ok_or_else(|| "expected vllm, llama.cpp, ollama, sglang or tgi".to_owned())
}

/// Requests each second.
fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| (0.001..=1e6).contains(rate));
    rate.ok_or_else(|| "expected requests each second, from 0.001 to 1000000".to_owned())
}
