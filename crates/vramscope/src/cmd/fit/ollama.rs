//! `vramscope fit` for Ollama: a GGUF file, and what the engine is told.

use anyhow::anyhow;
use vramscope_estimate::document::GpuDocument;
use vramscope_estimate::{
    LlamaCppBackend, LlamaCppFitDocument, LlamaCppFitSubject, LlamaCppSetting, ollama_answers, ollama_command,
};
use vramscope_schema::ExitCode;

use super::{Args, llama_cpp};
use crate::cmd::estimate::llama_cpp::{Backend, File};
use crate::cmd::estimate::{input, ollama};
use crate::exit::OrExit as _;
use crate::output::{self, Format};

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    args.model.of_file()?;
    if args.gpus.is_some() {
        let error = anyhow!(
            "--gpus all is not answered for Ollama, which chooses among the devices of its machine: name one with --gpu"
        );
        return Err(error).or_exit(ExitCode::Usage);
    }
    let mut told = ollama::told(&args.ollama, &args.engine)?;
    let request_tokens = args.request_tokens.as_deref().map(input::tokens).transpose().or_exit(ExitCode::Usage)?;
    let both = |name: &str, asked: &str| anyhow!("{name} and {asked} say the same: leave one of them out");
    match (request_tokens, told.num_ctx) {
        (Some(wished), Some(told)) if wished != told => {
            return Err(both("--request-tokens", "num_ctx")).or_exit(ExitCode::Usage);
        }
        (wished, ctx) => told.num_ctx = wished.or(ctx),
    }
    match (args.requests, told.num_parallel) {
        (Some(wished), Some(told)) if wished != told => {
            return Err(both("--requests", "OLLAMA_NUM_PARALLEL")).or_exit(ExitCode::Usage);
        }
        (wished, parallel) => told.num_parallel = wished.or(parallel),
    }
    let File { name, model, bytes, notes } = ollama::model(args.file.as_deref().or(args.model.name()))?;
    let backend = args.llama_cpp_backend.map_or(LlamaCppBackend::Cuda, Backend::told);
    if !backend.has_device() || told.num_gpu == Some(0) {
        let error = anyhow!("the host alone has no device to fit: `vramscope estimate` tells the host's memory");
        return Err(error).or_exit(ExitCode::Usage);
    }
    let device = args.device.required()?;
    let setting = LlamaCppSetting { backend, device: Some(&device), others: args.device.others() };
    let found = ollama_answers(&model, (&name, bytes), &told, setting);
    let (start, answers) =
        found.map_err(|error| (ollama::code(&error), error)).or_else(|(code, error)| Err(error).or_exit(code))?;
    let subject = LlamaCppFitSubject {
        model: &name,
        family: &model.family,
        backend,
        build: start.budget.args.build,
        words: &[],
        ignored: &told.ignored,
    };
    let document = LlamaCppFitDocument::new(subject, GpuDocument::new(&device, setting.others), &answers);
    let starter = start.starter(told.version);
    let mut document = document.started_by(starter, &answers, |way| ollama_command(&told, way));
    document.notes.extend(notes);
    match args.format {
        Format::Table => output::print(&llama_cpp::text(&document, &model, output::width()))?,
        Format::Json => output::print(&output::json_text(&document)?)?,
    }
    let way = document.answers.iter().any(|answer| answer.fits);
    Ok(if way { ExitCode::Success } else { ExitCode::Negative })
}
