//! The arguments of `vramscope load`.

use std::path::PathBuf;
use std::time::Duration;

use vramscope_load::Slo;

use super::data::DataArgs;
use super::experiment::{ExperimentArgs, LengthList};
use super::reach::ReachArgs;
use crate::output::Format;
use crate::time;

/// Load a server with the API of OpenAI, and say how fast it answers
///
/// Requests of exact lengths, no two alike, at one level or several: so many in flight always, or so many a second. Times
/// are those at which the system had a chunk, not those at which this program came to read it. Prompts, lengths and arrivals
/// follow from the seed alone.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  vramscope load http://127.0.0.1:8000
  vramscope load http://127.0.0.1:8000 --concurrency 1,4,16,64 --input-len 512 --output-len 128 -o load.json
  vramscope load http://127.0.0.1:8000 --rate 2,4,8 --duration 60s --endpoint chat --slo ttft=500ms,tpot=50ms
  vramscope load http://127.0.0.1:8000 --sweep --slo ttft=500ms,tpot=50ms
  vramscope load http://127.0.0.1:8000 --rate 4 --burstiness 0.5 --max-in-flight 64 --input-len normal:500,100
  vramscope load http://127.0.0.1:8000 --concurrency 16 --dataset sharegpt:ShareGPT_V3.json,turns=4
  vramscope load http://127.0.0.1:8000 --dataset trace:conversation_trace.jsonl --trace-speed 0.5,1,2 --duration 5m
  vramscope load http://127.0.0.1:8000 --rate 4 --dataset prefix:80%,256 --model base=0.5,lora-a=0.3,lora-b=0.2
  vramscope load https://gateway.example/v1 --ca-file company.pem --concurrency 8
  vramscope load unix:/run/engine.sock --concurrency 8
  vramscope load --concurrency 1,8,64 --price 2.5/gpu -o load.json -- vllm serve ./model --max-num-seqs 64
  vramscope load --experiment suite http://127.0.0.1:8000
  vramscope load --experiment suite -o results/baseline -- vllm serve ./model --port 8124
  vramscope load --experiment lengths --input-len 100,1000,4000 --output-len 64 http://127.0.0.1:8000

The experiments of a baseline, each with a verdict on what bounds the server and what to try:
  latency     one request at a time: mean, deviation, interval of the mean, tokens/s, TTFT, TPOT
  throughput  1, 2, 4, 8, 16 and 32 in flight: tokens/s, factor, efficiency, knee, saturation
  lengths     prompts by answers of several lengths: what a token of either costs, by a fit
  suite       all of them, with one start of an engine
They leave a folder with baseline_metrics.json, latency_results.csv, throughput_results.csv, sequence_length_results.csv,
summary.md, and the log of an engine that was started.

The API key is better given in the variable VRAMSCOPE_API_KEY, which no process list shows.

Exit codes: 0 all requests were answered, 2 the command line is wrong, 3 the data set cannot be used, 4 a result cannot be
written, 6 the server refuses the first request or the whole warm-up, or the engine that was started died, 7 a device that was
named cannot be read, 8 more requests failed than --max-failed allows, 9 no server answers or the engine's program is not
there, 10 the engine is not ready in time, 130 stopped by Ctrl-C; what was answered is kept.")]
pub(crate) struct Args {
    /// The server: http://HOST:PORT, https://HOST:PORT or unix:/path/to.sock, with or without /v1; or behind -- the command
    /// that starts one
    #[arg(value_name = "URL", required_unless_present = "command", conflicts_with = "command")]
    pub(crate) url: Option<String>,
    #[command(flatten)]
    pub(crate) experiments: ExperimentArgs,
    /// Requests in flight always, one level or several [default: 1]
    #[arg(long, value_name = "N,…", value_delimiter = ',', conflicts_with = "rate", help_heading = "Levels")]
    pub(crate) concurrency: Vec<u64>,
    /// Requests a second by the clock, whether the server keeps up or not, one level or several
    #[arg(long, value_name = "R,…", value_delimiter = ',', help_heading = "Levels")]
    pub(crate) rate: Vec<f64>,
    /// Find the highest concurrency, or from --rate R on the highest rate, at which the --slo holds, and where more load
    /// brings no more tokens
    #[arg(long, help_heading = "Levels")]
    pub(crate) sweep: bool,
    /// With a rate or a trace: not more than so many in flight; those that are due meanwhile are held back and counted
    #[arg(long, value_name = "N", help_heading = "Levels")]
    pub(crate) max_in_flight: Option<u64>,
    /// With a rate: the shape of the distances; below 1 requests come in bursts, 1 is a Poisson process, inf is even
    #[arg(long, value_name = "B", requires = "rate", default_value = "1", value_parser = burstiness, help_heading = "Levels")]
    pub(crate) burstiness: f64,
    /// The time over which each level rises to what it is
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time::length, help_heading = "Levels")]
    pub(crate) ramp_up: Duration,
    /// Measure each level so often, with other prompts each time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000), help_heading = "Levels")]
    pub(crate) repeat: u32,
    /// Requests of each level [default: ten times the concurrency, 30 seconds of the rate, at least 50; a trace to its end]
    #[arg(long, value_name = "N", conflicts_with = "duration", help_heading = "Levels")]
    pub(crate) num_prompts: Option<u64>,
    /// Send for so long at each level; requests under way then come to their end
    #[arg(long, value_name = "TIME", value_parser = time::positive, help_heading = "Levels")]
    pub(crate) duration: Option<Duration>,
    /// Requests before each level that are not measured [default: the concurrency, or 8 with a rate]
    #[arg(long, value_name = "N", help_heading = "Levels")]
    pub(crate) warmup: Option<u64>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Tokens of a prompt: 512, 200..2000 or normal:MEAN,DEVIATION; several as 10,50,200 for --experiment lengths
    /// [default: 512, for lengths 10,50,200,1000]
    #[arg(long, value_name = "LENGTH", help_heading = "Requests")]
    pub(crate) input_len: Option<LengthList>,
    /// Tokens to be generated, likewise [default: 128, for lengths 50,100,200, or as the data set says]
    #[arg(long, value_name = "LENGTH", help_heading = "Requests")]
    pub(crate) output_len: Option<LengthList>,
    /// Which question is asked [default: completions, or chat for a data set of chats]
    #[arg(long, value_enum, help_heading = "Requests")]
    pub(crate) endpoint: Option<EndpointArg>,
    /// The model to ask for, or several with their weights: base=0.5,lora-a=0.3,lora-b=0.2 [default: the first that the
    /// server lists]
    #[arg(long, value_name = "NAME", help_heading = "Requests")]
    pub(crate) model: Option<String>,
    /// A header of every request, as NAME: VALUE; repeat for more
    #[arg(long, value_name = "NAME: VALUE", help_heading = "Requests")]
    pub(crate) header: Vec<String>,
    /// More fields of every request's body, as a JSON object
    #[arg(long, value_name = "JSON", help_heading = "Requests")]
    pub(crate) extra_body: Option<String>,
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
    /// The API key
    #[arg(long, value_name = "KEY", env = "VRAMSCOPE_API_KEY", hide_env_values = true, help_heading = "Requests")]
    pub(crate) api_key: Option<String>,
    /// Names all prompts, lengths and arrivals; the same one sends the same load [default: drawn, and written down]
    #[arg(long, value_name = "N", help_heading = "Requests")]
    pub(crate) seed: Option<u64>,
    /// How long the server may say nothing before a request counts as failed
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = time::positive, help_heading = "Requests")]
    pub(crate) stall_timeout: Duration,
    /// What a good request keeps: ttft=500ms,tpot=50ms,e2e=10s, any of them
    #[arg(long, value_name = "BOUNDS", help_heading = "Verdicts")]
    pub(crate) slo: Option<Slo>,
    /// The part of a level's requests that must be good for it to hold
    #[arg(long, value_name = "SHARE", default_value = "99%", value_parser = part, help_heading = "Verdicts")]
    pub(crate) slo_share: f64,
    /// Exit with 8 if more requests than this fail
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Verdicts")]
    pub(crate) max_failed: u64,
    /// The document, with all levels; of experiments the folder of their results [default: results/baseline/TIME]
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub(crate) output: Option<PathBuf>,
    /// A row for each request, with the time of each chunk: lines of JSON, or Parquet where FILE ends in .parquet
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) requests: Option<PathBuf>,
    /// Also leave a page that people look at: beside the document, with .html, or in the folder of experiments
    #[arg(long, help_heading = "Output")]
    pub(crate) report: bool,
    /// What to print: a table for people, or the document
    #[arg(long, value_enum, default_value = "table", help_heading = "Output")]
    pub(crate) format: Format,
    /// No progress, only the result
    #[arg(short, long, help_heading = "Output")]
    pub(crate) quiet: bool,
}

/// Which question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum EndpointArg {
    /// `/v1/completions`, with lists of token ids where the server takes them
    Completions,
    /// `/v1/chat/completions`, with words
    Chat,
}

fn burstiness(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("`{text}` is no number; write 1, 0.5 or inf"))?;
    if number > 0.0 { Ok(number) } else { Err("burstiness is above 0".into()) }
}

fn part(text: &str) -> Result<f64, String> {
    let part = crate::cmd::share(text)?;
    if part > 0.0 && part <= 1.0 { Ok(part) } else { Err("expected a share above 0 % and up to 100 %".into()) }
}
