//! `vramscope fit`: what has to change so that a model fits, and how far it goes.

mod llama_cpp;
mod ollama;
mod render;
mod sglang;

use anyhow::{anyhow, bail};
use vramscope_analysis::NamedModel;
use vramscope_core::{EngineKind, Workload};
use vramscope_estimate::document::{ChangeRow, DeviceRow, FitDocument, GpuDocument, Placed, VERSION};
use vramscope_estimate::{
    EngineArgs, Setting, SgLangVersion, Wish, budget, changes, devices, fewest_gpus, longest_model_len,
    lowest_utilization, on_every_device,
};
use vramscope_schema::ExitCode;

use super::estimate::input;
use crate::exit::OrExit as _;
use crate::output::{self, Format};

/// Find out what serves a model: how many GPUs, how long a context, how many requests, and the command line
///
/// Asks the estimate backwards. Arguments of the engine that are given stay as they are. A GGUF file or a `llama-server …`
/// line is answered for llama.cpp: the most layers, the fewest layers whose experts stay on the host, the longest context
/// and the fewest devices, with caches of f16 and q8_0, each with its command line. Each of these answers changes the one
/// setting that it is about. An `sglang serve …` line is answered for SGLang: the fewest devices, the longest context and the
/// most requests, with a pool of the model's type and one of 8 bits. Memory alone is judged, and that of the host is only told.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  vramscope fit --model Qwen/Qwen3-8B --gpu l4
  vramscope fit --model meta-llama/Llama-3.1-70B --gpu h100 --request-tokens 32K --requests 16
  vramscope fit --model Qwen/Qwen3-30B-A3B --gpus all --request-tokens 8192 --requests 32
  vramscope fit model.gguf --gpu l4 --request-tokens 16384 --requests 2
  vramscope fit --gpu-memory 24GiB --gpu-memory-used 3GiB -- llama-server -m model.gguf -c 32768 -np 1
  vramscope fit model.gguf --gpus all
  vramscope fit model.gguf --gpu l4 --num-ctx 16384 -- OLLAMA_NUM_PARALLEL=2 ollama serve
  vramscope fit --engine-kind sglang --model Qwen/Qwen3-8B --gpu l4 --request-tokens 8192 --requests 4
  vramscope fit --gpu h100 --sglang-version 0.5.12 -- sglang serve --model-path Qwen/Qwen3-32B --tp 1
  vramscope fit --list-gpus

Exit codes: 0 there is a way, 8 there is none, 2 and 3 wrong arguments or input.")]
pub(crate) struct Args {
    /// A .gguf file; the same as --model
    #[arg(value_name = "FILE", conflicts_with = "model")]
    file: Option<String>,
    #[command(flatten)]
    model: input::ModelArgs,
    #[command(flatten)]
    device: input::DeviceArgs,
    /// Which devices: `all` of the table instead of one
    #[arg(long, value_name = "all", value_parser = ["all"], help_heading = "Device", conflicts_with_all = ["gpu", "gpu_memory"])]
    gpus: Option<String>,
    /// Show the table of devices and where their sizes are from
    #[arg(long, help_heading = "Device")]
    list_gpus: bool,
    /// The engine: vllm, llama.cpp, ollama or sglang [default: by the line behind `--`; llama.cpp for a .gguf file; else
    /// vllm]
    #[arg(long, value_name = "KIND", value_parser = super::estimate::engine_kind, help_heading = "Engine")]
    engine_kind: Option<EngineKind>,
    /// The build of llama.cpp, such as b10434
    #[arg(long, value_name = "BUILD", value_parser = super::estimate::build, help_heading = "Engine")]
    llama_cpp_build: Option<u64>,
    /// What computes for llama.cpp [default: cuda]
    #[arg(long, value_name = "BACKEND", help_heading = "Engine")]
    llama_cpp_backend: Option<super::estimate::llama_cpp::Backend>,
    /// The release of SGLang, such as 0.5.12 or 0.4.6.post5 [default: 0.5.23]
    #[arg(long, value_name = "VERSION", value_parser = super::estimate::sglang_version, help_heading = "Engine")]
    sglang_version: Option<SgLangVersion>,
    #[command(flatten)]
    ollama: super::estimate::ollama::Flags,
    #[command(flatten)]
    engine: input::EngineFlags,
    /// Tokens of one request, prompt and answer [default: the model's longest]
    #[arg(long, value_name = "N", help_heading = "Workload")]
    request_tokens: Option<String>,
    /// Requests of that length in flight together [default: 1; for llama.cpp without --request-tokens as its line says, else
    /// its own four that share one pool]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Workload")]
    requests: Option<u64>,
    /// What to print: a table for people, or the fit document
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.list_gpus {
        return list(args.format);
    }
    let named = args.file.as_deref().or(args.model.name());
    let (kind, told) = input::engine_of(args.engine_kind, args.ollama.any(), named, args.engine.words());
    let packed = if kind == EngineKind::Ollama { kind } else { EngineKind::LlamaCpp };
    let options = [
        ("--llama-cpp-build", EngineKind::LlamaCpp, args.llama_cpp_build.is_some()),
        ("--llama-cpp-backend", packed, args.llama_cpp_backend.is_some()),
        ("--ollama-version, --num-ctx, --num-gpu or --num-batch", EngineKind::Ollama, args.ollama.any()),
        ("--sglang-version", EngineKind::SgLang, args.sglang_version.is_some()),
    ];
    input::refuse_others("a fit", kind, &options)?;
    if kind != EngineKind::Vllm {
        input::same_engine(kind, args.engine.words())?;
    }
    if kind == EngineKind::Ollama {
        return ollama::run(args);
    }
    if kind == EngineKind::LlamaCpp {
        if told {
            output::say("answered for llama.cpp, which such a file or line is for; --engine-kind vllm asks for vLLM");
        }
        return llama_cpp::run(args);
    }
    if kind == EngineKind::SgLang {
        return sglang::run(args);
    }
    if let Some(file) = &args.file {
        let error = anyhow!("{file:?} stands alone: give --model {file:?} for vLLM, or a .gguf file for llama.cpp");
        return Err(error).or_exit(ExitCode::Usage);
    }
    let requests = args.requests.unwrap_or(1);
    let mut line = args.engine.read()?;
    let model = args.model.read(&mut line)?;
    let request_tokens = args.request_tokens.as_deref().map(input::tokens).transpose().or_exit(ExitCode::Usage)?;
    let wish = Wish { request_tokens, requests: Some(requests) };
    let mut document = FitDocument {
        vramscope_fit: VERSION,
        model: model.document().or_exit(ExitCode::BadInput)?,
        engine_version: line.args.version.to_string(),
        request_tokens,
        requests,
        gpu: None,
        fewest: None,
        longest_model_len: None,
        most_requests: None,
        lowest_utilization: None,
        changes: Vec::new(),
        devices: Vec::new(),
    };
    if args.gpus.is_some() {
        let rows = on_every_device(&model.architecture, &line.args, wish).or_exit(ExitCode::BadInput)?;
        document.devices = rows.iter().map(|row| DeviceRow::new(&model.name, row)).collect();
    } else {
        on_one(args, &model, &line.args, wish, &mut document)?;
    }
    match args.format {
        Format::Table => output::print(&render::fit(&document, output::width()))?,
        Format::Json => output::print(&output::json_text(&document)?)?,
    }
    let way = document.fewest.is_some() || document.changes.iter().any(|row| row.fits);
    let way = way || document.devices.iter().any(|row| row.placed.is_some());
    Ok(if way { ExitCode::Success } else { ExitCode::Negative })
}

/// All questions for one kind of device.
fn on_one(
    args: &Args,
    model: &NamedModel,
    engine: &EngineArgs,
    wish: Wish,
    document: &mut FitDocument,
) -> anyhow::Result<()> {
    let device = args.device.required()?;
    let calibration = args.device.calibration()?;
    let setting = Setting { device: &device, others: args.device.others(), calibration: &calibration };
    let shape = &model.architecture;
    document.gpu = Some(GpuDocument {
        key: device.key.to_owned(),
        name: device.name.to_owned(),
        total_bytes: device.total.get(),
        others_bytes: setting.others.get(),
        source: device.source.to_owned(),
    });
    let fewest = fewest_gpus(shape, engine, setting, wish).or_exit(ExitCode::BadInput)?;
    document.fewest = fewest.as_ref().map(|placement| Placed::new(&model.name, placement));
    let told = EngineArgs { max_model_len: engine.max_model_len.or(wish.request_tokens), ..engine.clone() };
    document.longest_model_len = longest_model_len(shape, &told, setting).or_exit(ExitCode::BadInput)?;
    let found = budget(shape, &told, setting).or_exit(ExitCode::BadInput)?;
    let tokens = wish.request_tokens.unwrap_or(found.engine.max_model_len);
    let workload = Workload { input_len: Some(tokens), output_len: Some(0), ..Workload::default() };
    let used = found.verdict.fits.then(|| found.workload(workload)).flatten();
    document.most_requests = used.map(|used| used.concurrent_requests);
    let lowest = lowest_utilization(shape, &told, setting, wish).or_exit(ExitCode::BadInput)?;
    #[expect(clippy::cast_precision_loss, reason = "hundredths")]
    let share = lowest.map(|hundredths| hundredths as f64 / 100.0);
    document.lowest_utilization = share;
    let tried = changes(shape, engine, setting, wish).or_exit(ExitCode::BadInput)?;
    document.changes =
        tried.iter().map(|(change, placement)| ChangeRow::new(&model.name, *change, placement.as_ref())).collect();
    Ok(())
}

fn list(format: Format) -> anyhow::Result<ExitCode> {
    if format == Format::Json {
        bail!("the table of devices is for people; `--gpus all --format json` has their sizes");
    }
    output::print(&render::devices(devices(), output::width()))?;
    Ok(ExitCode::Success)
}
