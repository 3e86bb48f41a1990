//! `vramscope campaign`: many runs from one file.

mod before;
mod plan;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::Zoned;
use vramscope_compare::document::RunsDocument;
use vramscope_compare::{Row, Sweep};
use vramscope_runs::{CampaignFile, MOST_CAMPAIGN_BYTES, ModelEntry, expand_campaign, read_campaign};
use vramscope_schema::ExitCode;
use vramscope_schema::v3::RunStatus;

use crate::cmd::runs::{self, TableFormat};
use crate::exit::{self, OrExit as _};
use crate::{input, output};

use plan::Planned;

/// Where the folder of a campaign goes unless somebody says otherwise.
const RESULTS: &str = "results/memory-profiles";

/// Profile many models, lengths and batch sizes from one file
///
/// Every batch size runs with every input and output length of its model, one after another. Each run leaves a profile
/// and its recording; the table of all of them is brought up to date after each. A run that fails is told, and the next
/// one begins. Given the same --output again, runs that are complete are not repeated.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  vramscope campaign models.yaml --dry-run
  vramscope campaign models.yaml
  vramscope campaign models.yaml --output results/july -- --num-iters 5 --timeout 20m
  vramscope campaign --model ./Llama-3.1-8B --input-len 256 512 --output-len 128 --batch-size 1 8 32
  vramscope campaign models.yaml --no-containers -- --workload serve

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

Exit codes: 0 every run is complete, 2 a run's arguments are wrong (nothing is started), 3 no campaign, 4 the table
cannot be written, 130 stopped by Ctrl-C; else the code of the first run that failed, as `vramscope profile` has them.")]
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
    /// The folder for profiles, recordings and the table [default: results/memory-profiles/FILE_TIME]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Run engines on this machine, whatever container the file names
    #[arg(long)]
    no_containers: bool,
    /// End with the first run that fails
    #[arg(long)]
    stop_on_failure: bool,
    /// Show the runs, check their arguments, and start nothing
    #[arg(long)]
    dry_run: bool,
    /// What to print at the end: the table of runs, or with --dry-run the plan
    #[arg(long, value_enum, default_value = "table")]
    format: TableFormat,
    /// Further arguments of each run, as `vramscope profile` takes them
    #[arg(last = true, value_name = "PROFILE ARGUMENT")]
    words: Vec<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let file = match &args.file {
        Some(path) => read(path)?,
        None => from_flags(args),
    };
    let runs = expand_campaign(&file).or_exit(ExitCode::BadInput)?;
    let folder = folder(args);
    let plan = plan::make(runs, &folder, args)?;
    if args.dry_run {
        plan::show(&plan, args.format)?;
        return Ok(ExitCode::Success);
    }
    carry_out(args, &plan, &folder)
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
    CampaignFile { models: vec![entry] }
}

fn folder(args: &Args) -> PathBuf {
    let stamp = Zoned::now().strftime("%Y%m%d_%H%M%S");
    let stem = args.file.as_ref().and_then(|path| path.file_stem()).map(|stem| stem.to_string_lossy().into_owned());
    let named = || Path::new(RESULTS).join(format!("{}_{stamp}", stem.unwrap_or_else(|| "campaign".to_owned())));
    args.output.clone().unwrap_or_else(named)
}

/// Runs everything, the table at hand after each.
fn carry_out(args: &Args, plan: &[Planned], folder: &Path) -> anyhow::Result<ExitCode> {
    let made = fs::create_dir_all(folder).with_context(|| format!("could not make {}", folder.display()));
    made.or_exit(ExitCode::CannotWrite)?;
    before::check(plan, folder)?;
    before::keep(plan, folder)?;
    let mut rows = Vec::new();
    let mut first_failure = None;
    for (place, planned) in plan.iter().enumerate() {
        let which = format!("run {} of {}: {}", place + 1, plan.len(), planned.run.name);
        let code = if complete(&planned.profile) {
            output::say(&format!("{which}: is complete already"));
            ExitCode::Success
        } else {
            output::say(&which);
            one(planned)
        };
        if let Ok(profile) = input::profile_or_recording(&planned.profile) {
            rows.push(Row::of(planned.profile.display().to_string(), &profile));
            write_table(folder, &rows)?;
        }
        if code != ExitCode::Success {
            first_failure.get_or_insert(code);
        }
        // Who pressed Ctrl-C means all of it, and a full disk takes no further run.
        let ends = matches!(code, ExitCode::Interrupted | ExitCode::CannotWrite);
        if ends || (args.stop_on_failure && code != ExitCode::Success) {
            output::say(&format!("ended after {} of {} runs", place + 1, plan.len()));
            if ends {
                first_failure = Some(code);
            }
            break;
        }
    }
    if !rows.is_empty() {
        runs::show(&Sweep::of(rows), args.format)?;
        output::say(&format!("profiles and campaign.csv are in {}", folder.display()));
    }
    Ok(first_failure.unwrap_or(ExitCode::Success))
}

/// One run; what stops it is said, and is an answer too.
fn one(planned: &Planned) -> ExitCode {
    match super::profile::run(&planned.args) {
        Ok(code) => code,
        Err(error) => {
            let causes: Vec<String> = exit::causes(&error).collect();
            output::say(&format!("error: {}", causes.join("\n  because: ")));
            exit::code(&error)
        }
    }
}

fn complete(path: &Path) -> bool {
    path.is_file()
        && input::profile(path).is_ok_and(|loaded| loaded.profile.metadata.status == Some(RunStatus::Complete))
}

fn write_table(folder: &Path, rows: &[Row]) -> anyhow::Result<()> {
    let sweep = Sweep::of(rows.to_vec());
    let csv = runs::csv(&sweep)?;
    output::write_file(&folder.join("campaign.csv"), |out| Ok(out.write_all(csv.as_bytes())?))?;
    output::write_json(&folder.join("campaign.runs.json"), &RunsDocument::of(&sweep))
}
