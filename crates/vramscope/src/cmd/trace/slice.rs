//! `vramscope trace slice`: a part of a trace as a smaller trace.

use std::path::PathBuf;

use vramscope_schema::ExitCode;
use vramscope_trace::{Compression, Options, Source, slice};

use super::time::Between;
use crate::output;

/// Write a part of a trace as a smaller trace
///
/// Events that begin between two times, with the names of processes and threads. The result opens in Perfetto and
/// Chrome; events that are not valid JSON are written anew. Analysing it gives what --between gives on the whole trace.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  vramscope trace slice t.json.gz --between 10ms..25ms -o part.json.gz
  vramscope trace slice t.json --between 6520618853487.683..6520618863487.683 -o part.json

The ending of the output's name tells how it is packed: .gz, .zst, or plain.")]
pub(super) struct Args {
    /// The trace
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The part of its time
    #[arg(long, value_name = "T0..T1")]
    between: Between,
    /// The smaller trace
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    output::apart(&args.output, [args.file.as_path()])?;
    let source = Source::file(&args.file);
    let window = super::window(&source, Some(args.between), &Options::default())?;
    let Some(window) = window else { return Ok(ExitCode::Success) };
    let compression = Compression::of_ending(&args.output);
    let mut report = None;
    output::write_file(&args.output, |out| {
        report = Some(super::in_file(slice(&source, window, compression, out), &source)?);
        Ok(())
    })?;
    if let Some(report) = report {
        let (kept, all, path) = (report.kept, report.events, args.output.display());
        output::say(&format!("{kept} of {all} events written to {path} ({} bytes of JSON)", report.json_bytes));
        for (oddity, met) in report.notes.iter() {
            output::say(&format!("note: {} ({} times)", oddity.meaning(), met.count));
        }
        if kept == 0 {
            output::say("note: nothing begins in that window; `vramscope trace FILE` tells when the trace begins");
        }
    }
    Ok(ExitCode::Success)
}
