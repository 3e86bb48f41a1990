//! `vramscope runs`: many runs beside each other.

mod find;
mod render;

use std::path::PathBuf;

use anyhow::anyhow;
use vramscope_compare::document::RunsDocument;
use vramscope_compare::{Row, Sweep, figures, settings};
use vramscope_schema::ExitCode;

use crate::exit::{self, OrExit as _};
use crate::{input, output};

/// Set many runs beside each other, and show what each axis of a sweep does
///
/// Reads profiles of any version, recording folders, results of load generators (vllm bench serve and sweep, SGLang,
/// GuideLLM, AIPerf), and folders of them; JSON lines are named themselves. Runs that differ in the batch size, a
/// length or the number of GPUs alone are a series: how throughput, latency and memory grow along it, and where
/// throughput stops keeping up.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  vramscope runs results/memory-profiles
  vramscope runs bs1.json bs8.json bs32.json
  vramscope runs results/20261129_120000 sglang.jsonl guidellm/benchmarks.json
  vramscope runs results/memory-profiles --format csv > runs.csv

Two runs in detail, and limits for CI: vramscope compare.

Exit codes: 0 done, 3 no run there, or a named one cannot be read, 5 a profile of a newer version.")]
pub(crate) struct Args {
    /// Profiles, recording folders, or folders that hold them
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// What to print
    #[arg(long, value_enum, default_value = "table")]
    format: TableFormat,
}

/// How a table is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TableFormat {
    /// For people
    Table,
    /// For programs: one JSON document
    Json,
    /// One line for each run, for spreadsheets
    Csv,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    show(&sweep(&args.paths)?, args.format)?;
    Ok(ExitCode::Success)
}

/// All runs that are meant by these paths.
pub(crate) fn sweep(paths: &[PathBuf]) -> anyhow::Result<Sweep> {
    let mut rows = Vec::new();
    for found in find::runs(paths)? {
        match input::runs(&found.path) {
            Ok(runs) => {
                let name = found.path.display().to_string();
                let several = runs.len() > 1;
                let named = |n: usize| if several { format!("{name}#{n}") } else { name.clone() };
                rows.extend(runs.iter().enumerate().map(|(place, run)| Row::of(named(place + 1), run)));
            }
            Err(error) if found.named => return Err(error),
            Err(error) => {
                let why: Vec<String> = exit::causes(&error).collect();
                output::say(&format!("left out: {}", why.join(": ")));
            }
        }
    }
    if rows.is_empty() {
        let places: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        let none = anyhow!("no profile or recording that can be read is in {}", places.join(", "));
        return Err(none).or_exit(ExitCode::BadInput);
    }
    Ok(Sweep::of(rows))
}

/// What is read for these paths: profiles, results, folders of recordings.
pub(crate) fn files(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    Ok(find::runs(paths)?.into_iter().map(|found| found.path).collect())
}

/// Prints runs.
pub(crate) fn show(sweep: &Sweep, format: TableFormat) -> anyhow::Result<()> {
    match format {
        TableFormat::Table => output::print(&render::sweep(sweep, output::width())),
        TableFormat::Json => output::print_json(&RunsDocument::of(sweep)),
        TableFormat::Csv => output::print(&csv(sweep)?),
    }
}

/// One line for each run: every setting that any run has, then every figure, in the units of their names.
pub(crate) fn csv(sweep: &Sweep) -> anyhow::Result<String> {
    let rows = &sweep.rows;
    let settings = settings().iter().map(|setting| setting.name);
    let settings: Vec<_> = settings.filter(|name| rows.iter().any(|row| row.settings.contains_key(name))).collect();
    let figures = figures().iter().map(|figure| figure.name);
    let figures: Vec<_> = figures.filter(|name| rows.iter().any(|row| row.figures.contains_key(name))).collect();
    // Of a campaign's runs the table says how far each is.
    let places = rows.iter().any(|row| row.campaign.is_some());
    let heads = ["state", "attempt", "attempts", "failure", "log", "path", "key"].into_iter().filter(|_| places);
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record(
        ["run", "status"].into_iter().chain(heads).chain(settings.iter().copied()).chain(figures.iter().copied()),
    )?;
    for row in rows {
        let status = row.status.map(serde_json::to_value).transpose()?;
        let status = status.as_ref().and_then(|status| status.as_str()).unwrap_or_default().to_owned();
        let set = settings.iter().map(|name| row.settings.get(name).cloned().unwrap_or_default());
        let figure = figures.iter().map(|name| row.figures.get(name).map_or(String::new(), |value| exact(*value)));
        let place = row.campaign.as_ref().map_or_else(Default::default, |run| {
            let text = |value: &Option<String>| value.clone().unwrap_or_default();
            let state = run.state.name().to_owned();
            let (attempt, failure) = (text(&run.attempt), text(&run.failure));
            [state, attempt, run.attempts.to_string(), failure, text(&run.log), text(&run.path), run.key.clone()]
        });
        let place = place.into_iter().filter(|_| places);
        out.write_record([row.name.clone(), status].into_iter().chain(place).chain(set).chain(figure))?;
    }
    Ok(String::from_utf8(out.into_inner()?)?)
}

/// Bytes as they are, other figures with all their digits.
fn exact(value: vramscope_compare::Quantity) -> String {
    match value {
        vramscope_compare::Quantity::Memory(bytes) => bytes.get().to_string(),
        vramscope_compare::Quantity::Number(number) => number.to_string(),
    }
}
