//! `vramscope analyze`: recorded evidence in, a profile out.

mod layers;
pub(crate) mod render;

use std::path::PathBuf;

use anyhow::bail;
use vramscope_core::escape_controls;
use vramscope_runs::EvidenceFiles;
use vramscope_schema::ExitCode;
use vramscope_schema::v3::RunStatus;

use crate::exit::OrExit as _;
use crate::input;
use crate::output::{self, Format};

/// Explain where GPU memory went, from logs that somebody recorded
///
/// Reads an engine log, a GPU log, a model's config.json, a benchmark's result and snapshots of PyTorch's allocator, and
/// writes one profile: the peak taken apart, the phases of the run, and what an operator should know. No GPU is needed.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  vramscope analyze examples/llama-3.1-8b
  vramscope analyze --engine-log vllm.log --gpu-log gpu.csv --model ./Llama-3.1-8B -o profile.json
  vramscope analyze run/ --format json | jq .memory_breakdown.residual_bytes
  vramscope analyze examples/llama-3.1-8b --per-layer

To record a GPU log with nothing but the driver:
  nvidia-smi --query-gpu=timestamp,index,memory.used,memory.total,memory.reserved,power.draw,utilization.gpu \\
      --format=csv -lms 100 > gpu.csv

Exit codes: 0 done, 3 evidence that cannot be used, 4 the profile cannot be written, 6 the engine failed (the profile
is complete all the same).")]
pub(crate) struct Args {
    /// A folder with engine.log or vllm.log, gpu.csv or a .jsonl timeline, config.json, args.json, bench.json, *.pickle
    /// (snapshots of PyTorch's allocator)
    folder: Option<PathBuf>,
    /// What the engine printed; plain, UTF-16, gzip or zstd. Several are read as one
    #[arg(long, value_name = "FILE", num_args = 1..)]
    engine_log: Vec<PathBuf>,
    /// Readings of the GPUs as CSV, ours or nvidia-smi's, or a .jsonl timeline. Several are read as one
    #[arg(long, value_name = "FILE", num_args = 1..)]
    gpu_log: Vec<PathBuf>,
    /// The model's folder or its config.json; for llama.cpp its .gguf file, of which the header is read
    #[arg(long, value_name = "DIR|FILE")]
    model: Option<PathBuf>,
    /// What `vllm bench latency|throughput|serve` wrote with --output-json
    #[arg(long, value_name = "FILE")]
    bench: Option<PathBuf>,
    /// The engine's command line: a JSON object with "argv", a list of strings
    #[arg(long, value_name = "FILE")]
    args: Option<PathBuf>,
    /// Write the profile document to this file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Say in place of the profile where weights, KV cache and recurrent state of a vLLM run are by layer, on each rank, by
    /// its config, command line and release, beside the sums that its log and allocator snapshots state
    #[arg(long, conflicts_with = "output")]
    per_layer: bool,
    /// What to print: a table for people, or the document (the profile, or with --per-layer run-layers)
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let files = files(args)?;
    if let Some(path) = &args.output {
        output::apart(path, files.paths())?;
    }
    if args.per_layer {
        return layers::run(&files, args.format);
    }
    let profile = input::recording(&files)?;
    if let Some(path) = &args.output {
        output::write_file(path, |out| Ok(vramscope_schema::write(&profile, out)?))?;
        output::say(&format!("profile written to {}", path.display()));
    }
    match args.format {
        Format::Table => output::print(&render::profile(&profile, output::width()))?,
        Format::Json => {
            let mut document = Vec::new();
            vramscope_schema::write(&profile, &mut document)?;
            output::print(&escape_controls(&String::from_utf8(document)?))?;
        }
    }
    let failed = profile.metadata.status == Some(RunStatus::Failed);
    if failed {
        for log in &files.engine_logs {
            output::say(&format!("the engine's log: {}", log.display()));
        }
    }
    Ok(if failed { ExitCode::EngineFailed } else { ExitCode::Success })
}

/// The folder's files, with those named by flags in their place.
fn files(args: &Args) -> anyhow::Result<EvidenceFiles> {
    let named = !args.engine_log.is_empty() || !args.gpu_log.is_empty();
    if let Some(file) = args.folder.as_ref().filter(|path| path.is_file()) {
        let file = file.display();
        let wrong = || -> anyhow::Result<EvidenceFiles> {
            bail!(
                "{file} is a file, and a folder with a recording is expected; for a log alone: --engine-log {file} or \
                 --gpu-log {file}"
            )
        };
        return wrong().or_exit(ExitCode::BadInput);
    }
    let mut files = match &args.folder {
        Some(folder) if !named || folder.is_dir() => EvidenceFiles::find(folder).or_exit(ExitCode::BadInput)?,
        _ => EvidenceFiles::default(),
    };
    if args.folder.is_none() && !named {
        let nothing = || -> anyhow::Result<EvidenceFiles> {
            bail!("nothing to analyze: name a folder, or files with --engine-log and --gpu-log")
        };
        return nothing().or_exit(ExitCode::Usage);
    }
    if !args.engine_log.is_empty() {
        files.engine_logs = args.engine_log.clone();
    }
    if !args.gpu_log.is_empty() {
        files.gpu_logs = args.gpu_log.clone();
    }
    let is_packed = |path: &PathBuf| path.extension().is_some_and(|end| end.eq_ignore_ascii_case("gguf"));
    files.packed = args.model.clone().filter(is_packed).or(files.packed);
    files.model = args.model.clone().filter(|path| !is_packed(path)).or(files.model);
    files.bench = args.bench.clone().or(files.bench);
    files.args = args.args.clone().or(files.args);
    Ok(files)
}
