//! `vramscope snapshot`: who holds the memory inside a PyTorch process, from the allocator's own snapshots.

mod perfetto;
mod render;

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::ValueEnum;
use vramscope_schema::ExitCode;
use vramscope_snapshot::document::{Extract, SeriesDocument, SnapshotDocument};
use vramscope_snapshot::{By, Series, Snapshot, SnapshotError, Source, Taken, active_by_stack, folded};

use crate::exit::OrExit as _;
use crate::output::{self, Format};

/// Say who holds the memory inside a PyTorch process, from its allocator's snapshots
///
/// Reads what torch.cuda.memory._dump_snapshot writes (PyTorch 2.1 to 2.14, pickle or JSON, plain, gzip or zstd) without
/// executing anything in it: what is reserved, in use and asked for by pool and stream, what rounding and fragments
/// cost, who holds most, the moment of the highest use, and what came before an out-of-memory. Several files are a
/// series: what grew, by whom, and whether it goes on.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  vramscope snapshot rank0.pickle
  vramscope snapshot oom.pickle.gz --by function --top 20
  vramscope snapshot rank0.pickle --stacks memory.folded && flamegraph.pl --countname bytes memory.folded > memory.svg
  vramscope snapshot rank0.pickle --perfetto memory.trace.json.gz   # open it at https://ui.perfetto.dev
  vramscope snapshot before.pickle after.pickle
  vramscope snapshot hour*.pickle --fail-on-growth --format json

To record one, in the process itself, before the model is loaded and when it is of interest:
  torch.cuda.memory._record_memory_history(max_entries=100000, stacks='python')
  torch.cuda.memory._dump_snapshot('rank0.pickle')

Exit codes: 0 done, 2 wrong command line, 3 no snapshot or one that cannot be true, 4 the result cannot be written,
8 with --fail-on-growth: something keeps growing. With too few snapshots to tell, that option is a wrong command line.")]
pub(crate) struct Args {
    /// Snapshots: one, or several of one process in the order of their times; - is stdin
    #[arg(required = true, value_name = "FILE", value_parser = crate::input::streamed)]
    files: Vec<PathBuf>,
    /// What holders are summed by
    #[arg(long, value_enum, default_value = "stack")]
    by: Grouping,
    /// Rows of each list, and allocations that become slices [default: 10 rows, 200 as JSON; 200 slices]
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// What to print
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Write the stacks of active blocks with their bytes, folded for flame graphs, to this file
    #[arg(long, value_name = "OUT")]
    stacks: Option<PathBuf>,
    /// Write the recorded time as tracks for Perfetto and Chrome's viewer to this file: memory by part as counters, the
    /// allocations with the most bytes x time as slices by pool, out-of-memories as instants; .gz packs it
    #[arg(long, value_name = "OUT")]
    perfetto: Option<PathBuf>,
    /// Of several snapshots, exit with 8 when something keeps growing
    #[arg(long)]
    fail_on_growth: bool,
}

/// What holders are summed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Grouping {
    /// The whole stack
    Stack,
    /// The innermost function that is not PyTorch's or Python's own
    Function,
    /// Its file
    File,
    /// The package that holds the file
    Module,
    /// What it is for, as far as vLLM's and Transformers' functions tell: weights, KV cache, graphs
    Part,
}

impl Grouping {
    fn by(self) -> By {
        match self {
            Self::Stack => By::Stack,
            Self::Function => By::Function,
            Self::File => By::File,
            Self::Module => By::Module,
            Self::Part => By::Part,
        }
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let top = args.top.unwrap_or(if args.format == Format::Json { 200 } else { 10 });
    for out in args.stacks.iter().chain(&args.perfetto) {
        output::apart(out, args.files.iter().map(PathBuf::as_path))?;
    }
    if let (Some(stacks), Some(tracks)) = (&args.stacks, &args.perfetto) {
        // Neither need be there yet, and the second would take the first one's place.
        let place = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        output::apart(stacks, [tracks.as_path()])?;
        if place(stacks) == place(tracks) {
            let why = anyhow!("--stacks and --perfetto name the same file: {}", stacks.display());
            return Err(why).or_exit(ExitCode::Usage);
        }
    }
    match args.files.as_slice() {
        [file] => one(args, file, Extract { by: args.by.by(), top }),
        files => several(args, files, top),
    }
}

fn one(args: &Args, file: &PathBuf, extract: Extract) -> anyhow::Result<ExitCode> {
    if args.fail_on_growth {
        return Err(anyhow!("--fail-on-growth compares snapshots: give several files")).or_exit(ExitCode::Usage);
    }
    let snapshot = read(file)?;
    let document = refused(SnapshotDocument::of(&snapshot, extract))?;
    if let Some(out) = &args.stacks {
        let sums = active_by_stack(&snapshot, None, None);
        let lines = folded(&snapshot.names, &sums);
        output::write_file(out, |file| Ok(lines.iter().try_for_each(|line| writeln!(file, "{line}"))?))?;
        output::say(&format!("{} stacks written to {}", lines.len(), out.display()));
    }
    if let Some(out) = &args.perfetto {
        perfetto::write(&snapshot, out, args.top.unwrap_or(perfetto::SLICES))?;
    }
    match args.format {
        Format::Json => output::print_json(&document)?,
        Format::Table => output::print(&render::snapshot(&document, output::width()))?,
    }
    Ok(ExitCode::Success)
}

fn several(args: &Args, files: &[PathBuf], top: usize) -> anyhow::Result<ExitCode> {
    if args.stacks.is_some() {
        return Err(anyhow!("--stacks writes the stacks of one snapshot: give one file")).or_exit(ExitCode::Usage);
    }
    if args.perfetto.is_some() {
        let why = anyhow!("--perfetto writes the recorded time of one snapshot: give one file");
        return Err(why).or_exit(ExitCode::Usage);
    }
    let by = args.by.by();
    let taken = files.iter().map(|file| Ok(Taken::of(&read(file)?, by))).collect::<anyhow::Result<Vec<_>>>()?;
    let series = Series::of(taken);
    let document = SeriesDocument::of(&series, by, top);
    match args.format {
        Format::Json => output::print_json(&document)?,
        Format::Table => output::print(&render::series(&document, output::width()))?,
    }
    if !args.fail_on_growth {
        return Ok(ExitCode::Success);
    }
    if series.grows() {
        return Ok(ExitCode::Negative);
    }
    if series.too_few() {
        let (given, needed) = (series.points.len(), series.needed);
        let why =
            anyhow!("--fail-on-growth cannot tell: {given} snapshots for the rows that changed; give {needed} or more");
        return Err(why).or_exit(ExitCode::Usage);
    }
    Ok(ExitCode::Success)
}

/// The document of one snapshot, or of several as a series, for a page.
pub(crate) fn document(files: &[PathBuf]) -> anyhow::Result<serde_json::Value> {
    let extract = Extract::default();
    match files {
        [file] => Ok(serde_json::to_value(refused(SnapshotDocument::of(&read(file)?, extract))?)?),
        files => {
            let taken = files.iter().map(|file| Ok(Taken::of(&read(file)?, extract.by)));
            let series = Series::of(taken.collect::<anyhow::Result<_>>()?);
            Ok(serde_json::to_value(SeriesDocument::of(&series, extract.by, extract.top))?)
        }
    }
}

fn read(file: &PathBuf) -> anyhow::Result<Snapshot> {
    refused(Snapshot::read(&Source::file(file)))
}

fn refused<T>(answer: Result<T, SnapshotError>) -> anyhow::Result<T> {
    answer.or_exit(ExitCode::BadInput)
}
