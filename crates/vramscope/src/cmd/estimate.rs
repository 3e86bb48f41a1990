//! `vramscope estimate`: the memory budget before the engine is started.

pub(crate) mod input;
mod render;

use vramscope_core::Workload;
use vramscope_estimate::document::EstimateDocument;
use vramscope_estimate::{Setting, budget};
use vramscope_schema::ExitCode;

use crate::exit::OrExit as _;
use crate::output::{self, Format};

/// Predict the memory budget that vLLM will set up, and whether it will start
///
/// Weights, activation peak, graphs, KV cache, blocks, tokens and concurrency, each with its interval and its reason. No
/// GPU, no network and no vLLM is needed. Every figure is that of one rank.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  vramscope estimate --model Qwen/Qwen3-8B --gpu h100
  vramscope estimate --model ./Llama-3.1-70B --gpu h200 --tensor-parallel-size 2 --max-model-len 32K
  vramscope estimate --model Qwen/Qwen3-8B --gpu l40s --input-len 2000 --output-len 500 --batch-size 64
  vramscope estimate --gpu h200 --vllm-version 0.25.1 -- vllm serve Qwen/Qwen3-30B-A3B --max-num-seqs 256
  vramscope estimate --model-params 6.7e9 --num-layers 32 --num-heads 32 --hidden-size 4096 --gpu-memory 24GiB \\
      --max-model-len 4096
  vramscope estimate --model Qwen/Qwen3-8B --gpu h100 --format json | jq .budget.kv_cache_bytes

Exit codes: 0 it fits, 8 it does not, 2 and 3 wrong arguments or input.")]
pub(crate) struct Args {
    #[command(flatten)]
    model: input::ModelArgs,
    #[command(flatten)]
    device: input::DeviceArgs,
    #[command(flatten)]
    engine: input::EngineFlags,
    /// Prompt tokens of one request
    #[arg(long, value_name = "N", help_heading = "Workload", requires = "output_len")]
    input_len: Option<u64>,
    /// Generated tokens of one request
    #[arg(long, value_name = "N", help_heading = "Workload", requires = "input_len")]
    output_len: Option<u64>,
    /// Requests in flight together
    #[arg(long, value_name = "N", help_heading = "Workload", requires = "input_len")]
    batch_size: Option<u64>,
    /// What to print: a table for people, or the estimate document
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut line = args.engine.read()?;
    let model = args.model.read(&mut line)?;
    let device = args.device.required()?;
    let calibration = args.device.calibration()?;
    let setting = Setting { device: &device, others: args.device.others(), calibration: &calibration };
    let budget = budget(&model.architecture, &line.args, setting).or_exit(ExitCode::BadInput)?;
    let (input_len, output_len, batch_size) = (args.input_len, args.output_len, args.batch_size);
    let used = budget.workload(Workload { input_len, output_len, batch_size, ..Workload::default() });
    match args.format {
        Format::Table => {
            let text = render::budget(&model, &budget, setting, used, &line, output::width());
            output::print(&text)?;
        }
        Format::Json => {
            let document = EstimateDocument::new(
                model.document().or_exit(ExitCode::BadInput)?,
                &budget,
                &line.args,
                setting,
                used,
                line.ignored,
            );
            output::print(&output::json_text(&document)?)?;
        }
    }
    let within = used.is_none_or(|used| used.within_model_len);
    Ok(if budget.verdict.fits && within { ExitCode::Success } else { ExitCode::Negative })
}
