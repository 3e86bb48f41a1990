//! `vramscope log`: what an engine log says.

mod buffers;
mod failures;
mod follow;
mod plans;
mod render;

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use vramscope_log::document::LogDocument;
use vramscope_log::{LogParser, LogReport, known_formats};
use vramscope_schema::ExitCode;

use crate::exit::OrExit as _;
use crate::output::{self, Format};
use crate::progress::Progress;
use crate::table::{Align, Table};

/// Say what an engine's log states: memory, settings, times, failures and what to do about them
///
/// Reads logs of vLLM (any release from 0.4 to 0.33), llama.cpp and what wraps its library, Ollama, SGLang and TGI, on
/// any device, with any wrapper around their lines (docker compose, Kubernetes, journald, Ray, JSON, colours), plain,
/// UTF-16, gzip or zstd. Which engine it is is told from its words; several may share a log. Several files are read as
/// one, in their order. Every figure keeps its line, its worker or its place, its scope and the width of its last digit.
///
/// A llama-server prints its memory only with -lv 4.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  vramscope log vllm.log
  vramscope log vllm.log.2.gz vllm.log.1.gz vllm.log
  docker logs vllm 2>&1 | vramscope log -
  journalctl -u ollama | vramscope log -
  vramscope log llama-server.log            # of llama-server -lv 4
  vramscope log vllm.log --format json | jq .summary.kv_cache_gib
  vramscope log --follow vllm.log
  vramscope log --unknown vllm.log          # lines to report where a new release prints something new
  vramscope log --formats                   # every format that this build knows

With --follow and --format json, each thing learned is one JSON object on a line of its own.

Exit codes: 0 done, 2 wrong command line, 3 no log, 4 the result cannot be written, 6 the log says that the engine
failed (the result is complete all the same).")]
pub(crate) struct Args {
    /// Logs, in order; - is stdin
    #[arg(value_name = "FILE", required_unless_present = "formats")]
    files: Vec<PathBuf>,
    /// Print what the log says as it grows, until it is interrupted or stdin ends
    #[arg(long, short = 'f', conflicts_with = "unknown")]
    follow: bool,
    /// List the lines that look like figures of memory and were not understood
    #[arg(long)]
    unknown: bool,
    /// List the formats that this build knows
    #[arg(long, exclusive = true)]
    formats: bool,
    /// How to show the result
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.formats {
        output::print(&formats())?;
        return Ok(ExitCode::Success);
    }
    if args.follow {
        return follow::run(&args.files, args.format);
    }
    let parser = if args.unknown { LogParser::keeping_unknown() } else { LogParser::new() };
    let report = read(parser, &args.files)?;
    match args.format {
        Format::Json => output::print_json(&LogDocument::of(&report))?,
        Format::Table if args.unknown => output::print(&render::unknown(&report, output::width()))?,
        Format::Table => output::print(&render::report(&report, output::width()))?,
    }
    Ok(exit_code(&report))
}

/// What logs say, as the document of them.
pub(crate) fn document(files: &[PathBuf]) -> anyhow::Result<LogDocument> {
    Ok(LogDocument::of(&read(LogParser::new(), files)?))
}

/// An engine that failed is an answer of its own.
fn exit_code(report: &LogReport) -> ExitCode {
    let failed = report.engines.iter().any(|engine| !engine.facts.failures.is_empty());
    if failed { ExitCode::EngineFailed } else { ExitCode::Success }
}

fn read(mut parser: LogParser, files: &[PathBuf]) -> anyhow::Result<LogReport> {
    let mut progress = Progress::new();
    for file in files {
        let read = read_one(&mut parser, file, &mut |behind| progress.bytes(file, behind));
        read.with_context(|| format!("could not read {}", file.display())).or_exit(ExitCode::BadInput)?;
    }
    progress.end();
    Ok(parser.finish())
}

fn read_one(parser: &mut LogParser, file: &Path, observe: &mut dyn FnMut(u64)) -> anyhow::Result<()> {
    let mut source = open(file)?;
    let mut buffer = vec![0; 256 * 1024];
    let mut behind = 0;
    let mut last = b'\n';
    loop {
        let got = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        parser.push_bytes(&buffer[..got]);
        last = buffer[got - 1];
        behind += u64::try_from(got).unwrap_or(0);
        observe(behind);
    }
    if last != b'\n' {
        // The next file begins on a line of its own.
        parser.push_bytes(b"\n");
    }
    Ok(())
}

fn open(file: &Path) -> anyhow::Result<Box<dyn Read>> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    // Its message names the file, as the one of the caller does.
    vramscope_runs::open(file).map_err(|error| match error {
        vramscope_runs::FileError::Read { source, .. } => anyhow::Error::new(source),
        other => other.into(),
    })
}

fn formats() -> String {
    let mut table = Table::new(&[("engine", Align::Left), ("releases", Align::Left), ("format", Align::Left)]);
    for format in known_formats() {
        let versions = if format.versions.is_empty() { "any" } else { format.versions };
        table.row([format.engine.title().to_owned(), versions.to_owned(), format.pattern.to_owned()]);
    }
    table.render(output::width())
}
