//! `vramscope campaign`: many runs from one file.

mod carry_out;
mod dry_run;
mod plan;
mod rows;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use jiff::Zoned;
use vramscope_runs::{CampaignFile, MOST_CAMPAIGN_BYTES, ModelEntry, Shape, expand_campaign, read_campaign};
use vramscope_schema::{ExitCode, RunState};

use crate::cmd::estimate::input::ShapeArgs;
use crate::cmd::profile::Session;
use crate::cmd::runs::TableFormat;
use crate::exit::OrExit as _;
use crate::input;

/// Where the folder of a campaign goes unless somebody says otherwise.
const RESULTS: &str = "results/memory-profiles";

/// Profile many models, lengths and batch sizes from one file
///
/// Every batch size runs with every input and output length of its model, one after another. Each run leaves a profile
/// and its recording; the table of all of them is brought up to date after each. A run that fails is told, and the next
/// one begins. Given the same --output again, it goes on, however it ended: complete runs are not repeated, others are
/// tried anew, and nothing that was recorded is overwritten.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  vramscope campaign models.yaml --dry-run
  vramscope campaign models.yaml
  vramscope campaign models.yaml --output results/july -- --num-iters 5 --timeout 20m
  vramscope campaign --model ./Llama-3.1-8B --input-len 256 512 --output-len 128 --batch-size 1 8 32
  vramscope campaign models.yaml --no-containers -- --workload serve
  vramscope campaign models.yaml --output results/july --retry none

A file:
  models:
    - model_id: meta-llama/Llama-3.1-8B      # or hf_model_id; a hub id or a folder
      container_name: vllm-inference         # leave it out to run engines on this machine
      input_lengths: [256, 512]
      output_lengths: [128]
      batch_sizes: [1, 8, 32]
      tensor_parallel_size: 1                # dtype, quantization, kv_cache_dtype, max_model_len, ...
`vramscope schema campaign` has every field. The older tables with model_id,container_name,batch_size,max_tokens are
read too.

What stands behind -- goes to each run as `vramscope profile` takes it, and wins over the file.

Exit codes: 0 every run is complete, 2 a run's arguments are wrong or another campaign works in the folder (nothing is
started), 3 no campaign, 4 the table cannot be written, 8 a run certainly fails (--dry-run, or it was left out), 130
stopped by Ctrl-C; else the code of the first run that failed, as `vramscope profile` has them.")]
pub(crate) struct Args {
    /// The campaign: YAML, or an older table; - is stdin
    #[arg(value_name = "FILE", conflicts_with_all = ["model", "container", "input_len", "output_len", "batch_size"],
        required_unless_present = "model")]
    file: Option<PathBuf>,
    /// Without a file: the model
    #[arg(long, visible_alias = "hf-model-id", value_name = "DIR|ID", help_heading = "In place of a file")]
    model: Option<String>,
    /// The running container in which engines are started
    #[arg(long, value_name = "NAME", requires = "model", help_heading = "In place of a file")]
    container: Option<String>,
    /// Prompt tokens of one request, one or more
    #[arg(long, value_name = "N", num_args = 1.., requires = "model", help_heading = "In place of a file")]
    input_len: Vec<u64>,
    /// Generated tokens of one request, one or more
    #[arg(long, value_name = "N", num_args = 1.., requires = "model", help_heading = "In place of a file")]
    output_len: Vec<u64>,
    /// Requests in flight together, one or more
    #[arg(long, value_name = "N", num_args = 1.., requires = "model", help_heading = "In place of a file")]
    batch_size: Vec<u64>,
    #[command(flatten)]
    shape: ShapeArgs,
    /// The folder for profiles, recordings and the table [default: results/memory-profiles/FILE_TIME]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Run engines on this machine, whatever container the file names
    #[arg(long)]
    no_containers: bool,
    /// End with the first run that fails
    #[arg(long)]
    stop_on_failure: bool,
    /// Of the runs that were begun before in the same folder, try these anew
    #[arg(long, value_enum, value_name = "STATE", value_delimiter = ',', default_value = "failed,interrupted")]
    retry: Vec<Retry>,
    /// Leave out the runs that certainly do not fit, instead of letting them fail
    #[arg(long)]
    skip_unfit: bool,
    /// Make every check that is made before a run for each of them, and start none
    #[arg(long)]
    dry_run: bool,
    /// Also leave a page that people look at in the folder, campaign.html, which grows with each run
    #[arg(long)]
    report: bool,
    /// What to print at the end: the table of runs, or with --dry-run the plan
    #[arg(long, value_enum, default_value = "table")]
    format: TableFormat,
    /// Further arguments of each run, as `vramscope profile` takes them
    #[arg(last = true, value_name = "PROFILE ARGUMENT")]
    words: Vec<String>,
}

/// Runs that are tried anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Retry {
    /// Those whose last attempt failed
    Failed,
    /// Those whose last attempt was stopped, or ended without a word
    Interrupted,
    /// None of them
    None,
}

impl Args {
    /// Whether a run in this state is still to be carried out.
    fn is_due(&self, state: RunState) -> bool {
        let wanted = |state| self.retry.contains(&state) && !self.retry.contains(&Retry::None);
        match state {
            RunState::Complete => false,
            RunState::Failed => wanted(Retry::Failed),
            RunState::Interrupted => wanted(Retry::Interrupted),
            _ => true,
        }
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let file = match &args.file {
        Some(_) if args.shape.shape() != Shape::default() => {
            let twice = anyhow!("the model's shape stands in the file (num_layers, hidden_size, …), or beside --model");
            return Err(twice).or_exit(ExitCode::Usage);
        }
        Some(path) => read(path)?,
        None => from_flags(args),
    };
    let runs = expand_campaign(&file).or_exit(ExitCode::BadInput)?;
    let folder = folder(args);
    let plan = plan::make(runs, &folder, args)?;
    let session = Session::new(plan.iter().all(|planned| planned.args.quiet))?;
    if args.dry_run {
        dry_run::run(args, &plan, &folder, &session)
    } else {
        carry_out::run(args, &plan, &folder, &session)
    }
}

fn read(path: &Path) -> anyhow::Result<CampaignFile> {
    let text = || -> anyhow::Result<String> { Ok(String::from_utf8(input::bounded(path, MOST_CAMPAIGN_BYTES)?)?) };
    let text = text().with_context(|| format!("could not read {}", path.display())).or_exit(ExitCode::BadInput)?;
    let read = read_campaign(&text).with_context(|| format!("could not use {}", path.display()));
    read.or_exit(ExitCode::BadInput)
}

fn from_flags(args: &Args) -> CampaignFile {
    let list = |values: &[u64]| (!values.is_empty()).then(|| values.to_vec());
    let entry = ModelEntry {
        model_id: args.model.clone().unwrap_or_default(),
        container_name: args.container.clone(),
        input_lengths: list(&args.input_len),
        output_lengths: list(&args.output_len),
        batch_sizes: list(&args.batch_size),
        ..ModelEntry::default()
    };
    let entry = entry.of_shape(&args.shape.shape());
    CampaignFile { models: vec![entry] }
}

fn folder(args: &Args) -> PathBuf {
    let stamp = Zoned::now().strftime("%Y%m%d_%H%M%S");
    let stem = args.file.as_ref().and_then(|path| path.file_stem()).map(|stem| stem.to_string_lossy().into_owned());
    let named = || Path::new(RESULTS).join(format!("{}_{stamp}", stem.unwrap_or_else(|| "campaign".to_owned())));
    args.output.clone().unwrap_or_else(named)
}
