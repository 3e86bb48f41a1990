//! `vramscope estimate` for Ollama: what it starts for a GGUF file, and what that takes.

use anyhow::anyhow;
use vramscope_core::EngineKind;
use vramscope_estimate::{
    LlamaCppBackend, LlamaCppDocument, LlamaCppSetting, LlamaCppSubject, OllamaArgs, OllamaError, OllamaStart,
    OllamaVersion, llama_cpp_most_layers, ollama_start,
};
use vramscope_schema::ExitCode;

use super::Args;
use super::input::EngineFlags;
use super::llama_cpp::{Backend, File, read, table};
use crate::exit::OrExit as _;
use crate::output::{self, Format};
use crate::table::wrap;

/// Settings in the engine's words; those of its server as variables behind `--`.
#[derive(clap::Args)]
#[command(next_help_heading = "Engine")]
pub(crate) struct Flags {
    /// The release of Ollama, such as 0.32.15 [default: 0.32.15]
    #[arg(long, value_name = "VERSION", value_parser = version)]
    ollama_version: Option<OllamaVersion>,
    /// Ollama's num_ctx: tokens of one request [default: OLLAMA_CONTEXT_LENGTH behind `--`, else 4096, 32768 or 262144 by
    /// the device's memory]
    #[arg(long, value_name = "N", value_parser = context)]
    num_ctx: Option<u64>,
    /// Ollama's num_gpu: layers on the device; -1: as many as fit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    num_gpu: Option<i64>,
    /// Ollama's num_batch: tokens that are computed together [default: 512, 1024 or 2048 by context and memory]
    #[arg(long, value_name = "N")]
    num_batch: Option<u64>,
}

impl Flags {
    /// Any of them was given.
    pub(crate) fn any(&self) -> bool {
        self.ollama_version.is_some() || self.num_ctx.is_some() || self.num_gpu.is_some() || self.num_batch.is_some()
    }
}

fn context(text: &str) -> Result<u64, String> {
    super::input::tokens(text).map_err(|error| error.to_string())
}

fn version(text: &str) -> Result<OllamaVersion, String> {
    text.parse().map_err(|error: vramscope_estimate::OllamaVersionError| error.to_string())
}

/// What the engine is told: its server's variables behind `--`, and the options of a model.
pub(crate) fn told(flags: &Flags, engine: &EngineFlags) -> anyhow::Result<OllamaArgs> {
    let foreign = engine.of_vllm();
    if !foreign.is_empty() {
        let error = anyhow!(
            "{} is an option of vLLM: give Ollama's own, such as --num-ctx 8192, or `-- OLLAMA_NUM_PARALLEL=2`",
            foreign.join(", ")
        );
        return Err(error).or_exit(ExitCode::Usage);
    }
    let mut told = OllamaArgs::read(engine.words());
    let of_image = || engine.release(EngineKind::Ollama)?.parse().ok();
    told.version = flags.ollama_version.or_else(of_image).unwrap_or(told.version);
    told.num_ctx = flags.num_ctx.or(told.num_ctx);
    (told.num_gpu, told.num_batch) = (flags.num_gpu, flags.num_batch);
    Ok(told)
}

/// The model's file.
pub(crate) fn model(named: Option<&str>) -> anyhow::Result<File> {
    let missing =
        || anyhow!("no file: give the model's .gguf file; `ollama show --modelfile NAME` names it behind FROM");
    read(named.ok_or_else(missing).or_exit(ExitCode::Usage)?).or_exit(ExitCode::BadInput)
}

/// A release that cannot be answered for is a wrong argument, a model that cannot is bad input.
pub(crate) fn code(error: &OllamaError) -> ExitCode {
    match error {
        OllamaError::Older { .. }
        | OllamaError::Setting { .. }
        | OllamaError::CacheType { .. }
        | OllamaError::NeedsFlashAttention { .. } => ExitCode::Usage,
        _ => ExitCode::BadInput,
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    args.model.of_file()?;
    let told = told(&args.ollama, &args.engine)?;
    let File { name, model, bytes, notes } = model(args.file.as_deref().or(args.model.name()))?;
    let device = args.device.device()?;
    let usual = if device.is_some() { LlamaCppBackend::Cuda } else { LlamaCppBackend::Host };
    let backend = args.llama_cpp_backend.map_or(usual, Backend::told);
    let device = device.filter(|_| backend.has_device());
    let setting = LlamaCppSetting { backend, device: device.as_ref(), others: args.device.others() };
    let start = ollama_start(&model, (&name, bytes), &told, setting);
    let mut start = start.map_err(|error| (code(&error), error)).or_else(|(code, error)| Err(error).or_exit(code))?;
    start.budget.notes.extend(notes);
    // Without layers on it the device is not used.
    let device = device.filter(|_| start.budget.available.is_some());
    let backend = if device.is_some() { backend } else { LlamaCppBackend::Host };
    let budget = &start.budget;
    let most = match &device {
        Some(_) => llama_cpp_most_layers(&model, &budget.args, setting)
            .map_err(OllamaError::from)
            .or_exit(ExitCode::BadInput)?,
        None => None,
    };
    match args.format {
        Format::Table => {
            let mut text = starts(&told, &start, output::width());
            text.push_str(&table(&name, &model, budget, device.as_ref(), (most, "num_gpu"), output::width()));
            if !told.ignored.is_empty() {
                let line = format!("Not heeded: {}", told.ignored.join(" "));
                text.push_str(&wrap(&line, output::width()).join("\n"));
                text.push('\n');
            }
            output::print(&text)?;
        }
        Format::Json => {
            let gpu = device.as_ref().map(|device| device.key);
            let subject = LlamaCppSubject { model: &name, family: &model.family, backend, gpu, most_layers: most };
            let mut document = LlamaCppDocument::new(subject, budget);
            document.started_by = Some(start.starter(told.version));
            document.ignored.extend(told.ignored);
            output::print(&output::json_text(&document)?)?;
        }
    }
    Ok(if budget.fits.unwrap_or(true) { ExitCode::Success } else { ExitCode::Negative })
}

fn starts(told: &OllamaArgs, start: &OllamaStart, width: usize) -> String {
    let line = format!(
        "{} {}: num_ctx {}, OLLAMA_NUM_PARALLEL {}{}; it starts {}'s server:",
        EngineKind::Ollama.title(),
        told.version,
        start.num_ctx,
        start.num_parallel,
        start.num_batch.map_or_else(String::new, |batch| format!(", num_batch {batch}")),
        EngineKind::LlamaCpp.title()
    );
    format!("{}\n  {}\n\n", wrap(&line, width).join("\n"), start.command())
}
