//! `vramscope accuracy`: predictions against recorded engines, and the measured sizes fitted to them.

mod fit;
mod recordings;
mod table;

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::bail;
use vramscope_estimate::{Calibration, Setting, budget, device_named};
use vramscope_schema::ExitCode;

use crate::exit::OrExit as _;
use crate::output;
use recordings::Recording;
use table::Outcome;

/// Compare predictions with recorded engines, and fit the sizes that no formula gives
///
/// A recording is a folder with config.json, args.json, vllm.log and, where figures were read inside the engine,
/// truth.json.
#[derive(clap::Args)]
#[command(hide = true)]
#[command(after_help = "\
Examples:
  vramscope accuracy ../shared/corpus/h200
  vramscope accuracy ../shared/corpus/h200 --leave-out-model
  vramscope accuracy ../shared/corpus/h200 --fit crates/vramscope-estimate/data/calibration.tsv")]
pub(crate) struct Args {
    /// A folder with one recording per folder
    recordings: PathBuf,
    /// The GPU of the recordings
    #[arg(long, default_value = "h200")]
    gpu: String,
    /// Predict each model's runs with sizes fitted to the other models' runs
    #[arg(long)]
    leave_out_model: bool,
    /// Write the sizes fitted to all runs to this file
    #[arg(long, value_name = "FILE")]
    fit: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let runs = recordings::load(&args.recordings).or_exit(ExitCode::BadInput)?;
    if runs.is_empty() {
        bail!("there is no recording in {}", args.recordings.display());
    }
    if let Some(path) = &args.fit {
        let fitted = fit::fitted(&runs.iter().collect::<Vec<_>>(), Calibration::embedded());
        output::write_file(path, |out| Ok(out.write_all(fitted.to_text().as_bytes())?))?;
        output::say(&format!("sizes written to {}", path.display()));
    }
    let mut outcomes = Vec::new();
    if args.leave_out_model {
        let models: BTreeSet<&str> = runs.iter().map(|run| run.model.as_str()).collect();
        for model in models {
            let others: Vec<&Recording> = runs.iter().filter(|run| run.model != model).collect();
            let calibration = fit::fitted(&others, Calibration::embedded());
            for run in runs.iter().filter(|run| run.model == model) {
                outcomes.push(predict(run, &args.gpu, &calibration)?);
            }
        }
    } else {
        for run in &runs {
            outcomes.push(predict(run, &args.gpu, Calibration::embedded())?);
        }
    }
    outcomes.sort_by(|a, b| a.run.cmp(&b.run));
    output::print(&table::render(&outcomes, output::width()))?;
    Ok(ExitCode::Success)
}

fn predict(run: &Recording, gpu: &str, calibration: &Calibration) -> anyhow::Result<Outcome> {
    let device = device_named(gpu)?;
    let setting = Setting { device, others: run.others, calibration };
    let budget = budget(&run.architecture, &run.args, setting).or_exit(ExitCode::BadInput)?;
    Ok(Outcome::new(run, &budget))
}
