//! `vramscope export`: a recording as tracks for the viewers of traces.

mod clock;
mod evidence;
mod requests;

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use vramscope_report::{Host, TrackCounts};
use vramscope_schema::ExitCode;
use vramscope_trace::{Compression, Extended, Source, TraceError, extend};

use crate::exit::{Failed, OrExit as _};
use crate::output;
use clock::Align;
use evidence::Exported;

/// Write a recording as tracks for Perfetto and Chrome's viewer, alone or together with a Kineto trace
///
/// GPU memory of each device and in total, power, temperature, utilisation and clocks as counters; phases, gaps and
/// requests as slices; lines of the engine's log as instants; the KV cache in use and running and waiting requests from
/// the engine's metrics; the parts of the peak through its phase. With --trace the events of a torch.profiler trace stand
/// in the same file, unchanged and on the same clock, so that one viewer shows kernels and memory.
///
/// PATH is a recording's folder, which has most; or a timeline (.jsonl, .parquet, .csv), a log of nvidia-smi, or a
/// profile, of which a thinned-out total is left.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  vramscope export examples/llama-3.1-8b --perfetto -o run.trace.json.gz
  vramscope export run.jsonl --perfetto -o run.trace.json
  vramscope export run/ --perfetto --trace rank0.pt.trace.json.gz -o both.json.gz
  vramscope export run/ --perfetto --requests requests.jsonl -o run.trace.json

Open the file at https://ui.perfetto.dev (it stays in the browser) or at chrome://tracing. The ending of the output's
name tells how it is packed: .gz, .zst, or plain; zstd is for other tools, the viewers do not open it.

Exit codes: 0 written, 2 wrong command line, 3 a file that cannot be used or clocks that cannot be brought together,
4 the result cannot be written.")]
pub(crate) struct Args {
    /// A recording's folder, a timeline, a log of nvidia-smi, or a profile
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Write the Trace Event Format, which Perfetto and Chrome's viewer open
    #[arg(long, required = true)]
    perfetto: bool,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// A Kineto trace whose events are to stand in the file too; plain, gzip or zstd
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// How the recording is laid on the trace's clock: by the wall clock of both, both from their beginning on, or with
    /// the trace beginning so long after the first reading (as 12.5s)
    #[arg(long, value_name = "clock|start|TIME", default_value = "clock", value_parser = clock::align, requires = "trace")]
    align: Align,
    /// Requests of a load: the lines that `load --requests` wrote
    #[arg(long, value_name = "FILE")]
    requests: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut exported = Exported::open(&args.path)?;
    let named = [Some(&args.path), args.trace.as_ref(), args.requests.as_ref()];
    let read = named.into_iter().flatten().chain(&exported.files).map(PathBuf::as_path);
    output::apart(&args.output, read)?;
    if let Some(path) = &args.requests {
        exported.add_requests(path)?;
    }
    let outcome = match &args.trace {
        None => alone(&mut exported, &args.output)?,
        Some(trace) => merged(&mut exported, trace, args)?,
    };
    exported.end_progress();
    tell(&exported, args, &outcome);
    Ok(ExitCode::Success)
}

/// What was written, and what a person should know of it.
struct Outcome {
    counts: TrackCounts,
    trace: Option<Extended>,
    notes: Vec<String>,
}

/// A file of its own.
fn alone(exported: &mut Exported, output: &Path) -> anyhow::Result<Outcome> {
    let mut counts = TrackCounts::default();
    let host = Host::Own { anchor_unix_ns: exported.clock.utc_ns() };
    write_file(output, |out| {
        let failed = |error: io::Error| anyhow::Error::new(error);
        counts = Compression::of_ending(output).pack(out, failed, |out| exported.write(out, host, None))?;
        Ok(())
    })?;
    Ok(Outcome { counts, trace: None, notes: Vec::new() })
}

/// A file with the events of a trace.
fn merged(exported: &mut Exported, trace: &Path, args: &Args) -> anyhow::Result<Outcome> {
    let source = Source::file(trace);
    let mut counts = TrackCounts::default();
    let (mut seen, mut notes) = (None, Vec::new());
    write_file(&args.output, |out| {
        let written = extend(&source, Compression::of_ending(&args.output), out, |seen, out| {
            let placed = clock::place(args.align, exported, seen)
                .with_context(|| format!("could not lay {} on the clock of {}", args.path.display(), trace.display()));
            let placed = placed.or_exit(ExitCode::BadInput)?;
            let no_ids = || anyhow!("{} uses every id that is looked through for a free one", trace.display());
            let first_id = seen.first_free_id().ok_or_else(no_ids).or_exit(ExitCode::BadInput)?;
            notes.extend(placed.note);
            let host = Host::Other { anchor_ns: placed.anchor_ns, first_id, begun: seen.events > 0 };
            counts = exported.write(out, host, placed.remark.as_deref())?;
            Ok(())
        });
        seen = Some(written.or_else(|error| of_trace(error, &source))?);
        Ok(())
    })?;
    Ok(Outcome { counts, trace: seen, notes })
}

/// The exit code of what stopped a copy: a trace that cannot be read is another thing than a file that cannot be written.
fn of_trace<T>(error: anyhow::Error, source: &Source) -> anyhow::Result<T> {
    match error.downcast_ref::<TraceError>() {
        None | Some(TraceError::Write(_)) => Err(error),
        Some(_) => Err(error.context(format!("could not use the trace {}", source.name()))).or_exit(ExitCode::BadInput),
    }
}

/// Writes a file; an error that has its exit code already did not come from the file, and is told without it.
fn write_file(
    path: &Path,
    write: impl FnOnce(&mut (dyn io::Write + Send)) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut stopped = None;
    let written = output::write_file(path, |out| {
        write(out).map_err(|error| {
            if error.downcast_ref::<Failed>().is_none() {
                return error;
            }
            stopped = Some(error);
            anyhow!("nothing is written")
        })
    });
    stopped.map_or(written, Err)
}

/// Chrome's viewer takes no text longer than a string of its engine.
const MOST_OF_CHROME: u64 = 500 << 20;

fn tell(exported: &Exported, args: &Args, outcome: &Outcome) {
    let counts = outcome.counts;
    let (samples, events, path) = (counts.samples, counts.events, args.output.display());
    let beside =
        outcome.trace.as_ref().map(|seen| format!(", behind {} of the trace", seen.events)).unwrap_or_default();
    output::say(&format!(
        "{samples} samples as {events} events written to {path} ({} bytes of JSON of its own){beside}",
        counts.bytes
    ));
    let mut notes = exported.notes.clone();
    notes.extend(outcome.notes.clone());
    if counts.left_out > 0 {
        notes.push(format!("{} slices or devices are left out: too many are side by side", counts.left_out));
    }
    if counts.before_zero > 0 {
        notes.push(format!(
            "{} events lie before the trace's time zero, and Perfetto leaves them out",
            counts.before_zero
        ));
    }
    if counts.bytes > MOST_OF_CHROME {
        notes.push("the file is larger than what chrome://tracing opens; Perfetto opens it".to_owned());
    }
    if let Some(seen) = &outcome.trace {
        if seen.rewritten > 0 {
            notes.push(format!("{} events of the trace are no valid JSON, and are written anew", seen.rewritten));
        }
        notes.extend(
            seen.notes.iter().map(|(oddity, met)| format!("the trace: {} ({} times)", oddity.meaning(), met.count)),
        );
    }
    for note in notes {
        output::say(&format!("note: {note}"));
    }
}
