//! `vramscope trace`: where the time of a GPU went, from a torch-profiler trace.

mod capture;
mod diff;
mod figures;
mod render;
mod sections;
mod slice;
mod time;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::ValueEnum;
use vramscope_schema::ExitCode;
use vramscope_trace::document::{Extract, RanksDocument, TraceDocument};
use vramscope_trace::{Options, Rules, Source, StackWeight, Summary, TraceError, Window, extent, summarize};

use crate::exit::OrExit as _;
use crate::output;
use render::Section;
use time::Between;

/// Say where the time of a GPU went, from a torch-profiler trace
///
/// Reads Kineto traces (the JSON that torch.profiler and vLLM write) of any size, plain, gzip or zstd, exact to the
/// nanosecond: busy, idle and why, kernels by what they are for, copies, steps, operators, and what limits the GPU.
/// Several files are taken as the ranks of one run.
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
Examples:
  vramscope trace rank0.pt.trace.json.gz
  vramscope trace rank*.json.gz --format markdown
  vramscope trace t.json.gz --group-by category --format csv
  vramscope trace t.json.gz --between 10ms..25ms --top 40
  vramscope trace t.json.gz --stacks cpu.folded && flamegraph.pl cpu.folded > cpu.svg
  vramscope trace slice t.json.gz --between 10ms..25ms -o part.json.gz
  vramscope trace diff before.json.gz after.json.gz --fail-above 5%
  vramscope trace capture --mode light -- vllm serve ./model
  vramscope trace --print-rules > rules.txt && vramscope trace t.json.gz --rules rules.txt

Times of --between: with a unit (ns, us, ms, s) they count from the beginning of the trace; without one they are the
file's own ts, in µs. Either end may be left out.

Exit codes: 0 done, 2 wrong command line, 3 no trace or a trace that cannot be true, 4 the result cannot be written."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// Traces: one, or one a rank; - is stdin
    #[arg(required_unless_present = "print_rules", value_name = "FILE", value_parser = crate::input::streamed)]
    files: Vec<PathBuf>,
    /// Rows of each list [default: 10 in an overview, 30 by group, 200 as JSON]
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// Show one list only, with more of it
    #[arg(long, value_enum)]
    group_by: Option<GroupBy>,
    /// Only GPU work on this device, as the trace numbers it
    #[arg(long, value_name = "N")]
    device: Option<String>,
    /// Only events that begin between two times
    #[arg(long, value_name = "T0..T1")]
    between: Option<Between>,
    /// What to print
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Write python stacks with their time, folded for flame graphs, to this file
    #[arg(long, value_name = "OUT")]
    stacks: Option<PathBuf>,
    /// What the width of a flame means
    #[arg(long, value_enum, default_value = "cpu", requires = "stacks")]
    stacks_weight: Weight,
    /// Sort kernels into categories by this table instead of the built-in one
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Print the built-in table of categories, to be edited
    #[arg(long)]
    print_rules: bool,
    /// Threads that read events beside the one that reads the file
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: Option<u8>,
}

/// What to do beside analysing.
#[derive(clap::Subcommand)]
enum Action {
    Capture(capture::Args),
    Diff(diff::Args),
    Slice(slice::Args),
}

/// How the result is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For programs: one JSON document
    Json,
    /// One list, for spreadsheets; kernels unless --group-by names another
    Csv,
    /// For issues and pull requests
    Markdown,
}

/// Which list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum GroupBy {
    /// Kernels by name
    Kernel,
    /// Kernels by what they are for
    Category,
    /// Operators of the framework, with the kernels that they launch
    Op,
    /// Steps of the engine
    Step,
}

/// What the width of a flame means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Weight {
    /// Time on the CPU in the frame itself
    Cpu,
    /// Time of the kernels that the frame launched
    Gpu,
}

/// A trace's summary, with the part of its time that was asked for.
type Analysed = (Summary, Option<Window>);

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.action {
        Some(Action::Capture(args)) => return capture::run(args),
        Some(Action::Diff(args)) => return diff::run(args),
        Some(Action::Slice(args)) => return slice::run(args),
        None => {}
    }
    if args.print_rules {
        output::print(Rules::BUILT_IN)?;
        return Ok(ExitCode::Success);
    }
    if let Some(stacks) = &args.stacks {
        output::apart(stacks, args.files.iter().map(PathBuf::as_path))?;
    }
    let mut options = Options { device: args.device.clone(), stacks: args.stacks.is_some(), ..options(args)? };
    let mut analysed = Vec::new();
    for file in &args.files {
        let source = Source::file(file);
        options.window = window(&source, args.between, &options)?;
        let summary = in_file(summarize(&source, &options), &source)?;
        check_device(&summary, args, options.window)?;
        analysed.push((summary, options.window));
    }
    if let Some(out) = &args.stacks {
        write_stacks(out, &analysed, args.stacks_weight)?;
    }
    output::print(&text(args, &analysed)?)?;
    Ok(ExitCode::Success)
}

/// The document of traces, as `--format json` prints it, with the stacks of a flame graph: of one, or of several as the
/// ranks of a run.
pub(crate) fn document(files: &[PathBuf]) -> anyhow::Result<serde_json::Value> {
    let options = Options { stacks: true, ..base_options(None)? };
    let analyse = |file: &PathBuf| {
        let source = Source::file(file);
        Ok((in_file(summarize(&source, &options), &source)?, None))
    };
    let analysed = files.iter().map(analyse).collect::<anyhow::Result<Vec<Analysed>>>()?;
    let mut documents = documents(None, &analysed);
    Ok(match (documents.pop(), documents.is_empty()) {
        (Some(document), true) => serde_json::to_value(document)?,
        (last, _) => {
            documents.extend(last);
            serde_json::to_value(RanksDocument::of(documents))?
        }
    })
}

/// An answer of the library; an error that says only where in a file it is gets the file's name.
fn in_file<T>(answer: Result<T, TraceError>, source: &Source) -> anyhow::Result<T> {
    let code = match &answer {
        // What is read is sound; what is made of it finds no room.
        Err(TraceError::Write(_) | TraceError::Spill { .. }) => ExitCode::CannotWrite,
        _ => ExitCode::BadInput,
    };
    let named = |error| match error {
        TraceError::Time { .. } | TraceError::Span { .. } => {
            anyhow::Error::new(error).context(format!("in {}", source.name()))
        }
        other => other.into(),
    };
    answer.map_err(named).or_exit(code)
}

/// How to analyse, as far as it is the same for all files.
fn options(args: &Args) -> anyhow::Result<Options> {
    let mut options = base_options(args.rules.as_deref())?;
    if let Some(threads) = args.threads {
        options.threads = usize::from(threads);
    }
    Ok(options)
}

/// The usual options with a rule table; what exceeds the memory budget goes to the system's folder for temporary files.
fn base_options(rules: Option<&Path>) -> anyhow::Result<Options> {
    let mut options = Options { working_folder: Some(std::env::temp_dir()), ..Options::default() };
    if let Some(path) = rules {
        let text = crate::input::table(path)?;
        options.rules =
            Rules::parse(&text).with_context(|| format!("in {}", path.display())).or_exit(ExitCode::BadInput)?;
    }
    Ok(options)
}

/// The window in the trace's own clock. Times that count from its beginning need a look at the whole file first.
fn window(source: &Source, between: Option<Between>, options: &Options) -> anyhow::Result<Option<Window>> {
    let Some(between) = between else { return Ok(None) };
    let begin = if between.is_relative() { in_file(extent(source, options), source)? } else { None };
    Ok(Some(between.window(begin.map_or(0, |(first, _)| first))))
}

/// A device that does not occur is a mistake to be told, not an empty result.
fn check_device(summary: &Summary, args: &Args, window: Option<Window>) -> anyhow::Result<()> {
    let Some(device) = args.device.as_deref().filter(|_| summary.devices.is_empty() && window.is_none()) else {
        return Ok(());
    };
    let none = || anyhow!("{} has no GPU work on device {device}", summary.file.name);
    Err(none()).or_exit(ExitCode::BadInput)
}

fn write_stacks(out: &Path, analysed: &[Analysed], weight: Weight) -> anyhow::Result<()> {
    let weight = match weight {
        Weight::Cpu => StackWeight::Cpu,
        Weight::Gpu => StackWeight::Gpu,
    };
    let mut lines = 0;
    output::write_file(out, |file| {
        for stacks in analysed.iter().filter_map(|(summary, _)| summary.stacks.as_ref()) {
            lines += stacks.write_folded(weight, file)?;
        }
        Ok(())
    })?;
    let with_python = |summary: &Summary| summary.counts.keys().any(|kind| kind.ends_with("|python_function"));
    let python = analysed.iter().any(|(summary, _)| with_python(summary));
    let hint = if python { "" } else { "; the trace holds no python frames: record them with_stack" };
    output::say(&format!("{lines} stacks written to {}{hint}", out.display()));
    Ok(())
}

fn text(args: &Args, analysed: &[Analysed]) -> anyhow::Result<String> {
    text_of(args.format, args.group_by, args.top, analysed)
}

/// The result in a format.
fn text_of(
    format: Format,
    group: Option<GroupBy>,
    top: Option<usize>,
    analysed: &[Analysed],
) -> anyhow::Result<String> {
    match format {
        Format::Json => json(top, analysed),
        Format::Csv => render::csv(analysed, group.unwrap_or(GroupBy::Kernel), top),
        Format::Table | Format::Markdown => {
            let mut sections = Vec::new();
            for (summary, _) in analysed {
                sections.extend(sections::of(summary, group, top));
            }
            if analysed.len() > 1 {
                sections.push(sections::ranks(&RanksDocument::of(documents(top, analysed))));
            }
            Ok(show(format, &sections))
        }
    }
}

/// Sections for a terminal or as Markdown.
fn show(format: Format, sections: &[Section]) -> String {
    if format == Format::Markdown { render::markdown(sections) } else { render::table(sections, output::width()) }
}

fn documents(top: Option<usize>, analysed: &[Analysed]) -> Vec<TraceDocument> {
    let usual = Extract::default();
    let extract = Extract { top: top.unwrap_or(usual.top), ..usual };
    analysed.iter().map(|(summary, window)| TraceDocument::of(summary, *window, extract)).collect()
}

fn json(top: Option<usize>, analysed: &[Analysed]) -> anyhow::Result<String> {
    let mut documents = documents(top, analysed);
    match (documents.pop(), documents.is_empty()) {
        (Some(document), true) => output::json_text(&document),
        (last, _) => {
            documents.extend(last);
            output::json_text(&RanksDocument::of(documents))
        }
    }
}
