//! `vramscope timeline`: what a recording of GPU readings says, and the same recording in another form.

mod convert;
mod render;
pub(crate) mod source;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use vramscope_schema::ExitCode;
use vramscope_timeline::document::TimelineReport;
use vramscope_timeline::{AnalysisOptions, Passes, analyse};

use crate::exit::OrExit as _;
use crate::output::{self, Format};
use convert::Output;
pub(crate) use source::Recording;

/// Show what a recording of GPU readings says: statistics, phases, idle times, energy, gaps
///
/// Reads what `monitor` records (.jsonl, .parquet, .csv) and what nvidia-smi logs (--query-gpu=… --format=csv -lms N, or
/// dmon -s pucm -o DT), compressed (gzip, zstd) or not. Which one it is, is seen from its content. A recording that was
/// cut short, by a kill or a full disk, is read up to its last whole line. Quantiles are exact, and the memory that this
/// takes does not grow with the length of a recording in JSON lines or Parquet.
///
/// Of a Parquet recording that another program wrote anew (DuckDB, polars, pandas, pyarrow) the columns timestamp_ns,
/// gpu_index and used_bytes are enough; most such programs drop the header, and what stood there is not known then.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  vramscope timeline run.jsonl
  vramscope timeline run.parquet --correlate
  vramscope timeline gpu.csv --idle-below 10 --format json
  vramscope timeline run.jsonl -o run.parquet      # the same recording for data tools

CSV holds samples alone: what it cannot hold is counted on stderr. JSON lines and Parquet hold the same.

Exit codes: 0 shown, 2 wrong command line, 3 the file is no recording, 4 the other form could not be written.")]
pub(crate) struct Args {
    /// The recording
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Also say how memory and power, memory and temperature, power and utilisation go together: Pearson and Spearman
    /// with 95 % intervals from resampled blocks of time
    #[arg(long)]
    correlate: bool,

    /// Utilisation up to this counts as idle, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 5, value_parser = clap::value_parser!(u8).range(0..=100))]
    idle_below: u8,

    /// Also write the recording to this file, in the form that its extension says: .jsonl, .parquet or .csv
    #[arg(short, long, value_name = "OUT")]
    output: Option<Output>,

    /// How to show the result
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// A recording, or one of which somebody else sees every item too.
pub(crate) trait Read: Passes {
    /// The recording itself.
    fn recording(&mut self) -> &mut Recording;
}

impl Read for Recording {
    fn recording(&mut self) -> &mut Recording {
        self
    }
}

/// What a recording says, without how its readings go together.
pub(crate) fn report(recording: &mut impl Read, path: &Path) -> anyhow::Result<TimelineReport> {
    analysed(recording, path, &AnalysisOptions::default())
}

fn analysed(recording: &mut impl Read, path: &Path, options: &AnalysisOptions) -> anyhow::Result<TimelineReport> {
    let failed = || format!("failed to use {}", path.display());
    let mut report = analyse(recording, options).with_context(failed).or_exit(ExitCode::BadInput)?;
    recording.recording().end_progress();
    recording.recording().amend(&mut report);
    Ok(report)
}

/// Shows a recording.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let failed = || format!("failed to use {}", args.file.display());
    if let Some(output) = &args.output {
        output::apart(&output.path, [args.file.as_path()])?;
    }
    let mut recording = Recording::open(&args.file).with_context(failed).or_exit(ExitCode::BadInput)?;
    let options = AnalysisOptions {
        idle_threshold_pct: args.idle_below,
        correlate: args.correlate,
        ..AnalysisOptions::default()
    };
    let report = analysed(&mut recording, &args.file, &options)?;
    if let Some(output) = &args.output {
        for note in convert::write(&recording, output).with_context(failed)? {
            output::say(&format!("note: {}: {note}", output.path.display()));
        }
    }
    let text = match args.format {
        Format::Table => render::table(&report, recording.header().backends.as_slice(), output::width()),
        Format::Json => output::json_text(&report)?,
    };
    output::print(&text)?;
    Ok(ExitCode::Success)
}
