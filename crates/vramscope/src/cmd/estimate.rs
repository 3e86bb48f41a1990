//! `vramscope estimate`: the memory budget before the engine is started.

pub(crate) mod input;
pub(crate) mod layers;
pub(crate) mod llama_cpp;
pub(crate) mod ollama;
pub(crate) mod render;
pub(crate) mod sglang;
mod time;

use anyhow::anyhow;
use vramscope_core::{Bytes, EngineKind, Workload};
use vramscope_estimate::document::EstimateDocument;
use vramscope_estimate::{Setting, SgLangVersion, budget_of_loaded, per_layer, weights_on_device};
use vramscope_schema::ExitCode;

use crate::exit::OrExit as _;
use crate::output::{self, Format};

/// Predict the memory that vLLM, llama.cpp, Ollama or SGLang will take, and whether it will start
///
/// Weights, activation peak, graphs, KV cache, blocks, tokens and concurrency, each with its interval and its reason; with
/// a workload also how long vLLM takes for it, and what bounds that. No GPU, no network and no engine is needed. Every
/// figure of vLLM is that of one rank. A GGUF file or a `llama-server …`
/// line is answered for llama.cpp: weights, KV cache, compute buffers on device and host, and the most layers that fit;
/// with `--engine-kind ollama` or an `ollama serve` line for Ollama, which starts llama.cpp's server. An `sglang serve …`
/// line is answered for SGLang: its pool in tokens, and what is beside it on each device.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  vramscope estimate --model Qwen/Qwen3-8B --gpu h100
  vramscope estimate --model ./Llama-3.1-70B --gpu h200 --tensor-parallel-size 2 --max-model-len 32K
  vramscope estimate --model Qwen/Qwen3-8B --gpu l40s --input-len 2000 --output-len 500 --batch-size 64
  vramscope estimate --gpu h200 --vllm-version 0.25.1 -- vllm serve Qwen/Qwen3-30B-A3B --max-num-seqs 256
  vramscope estimate --model-params 6.7e9 --num-layers 32 --num-heads 32 --hidden-size 4096 --gpu-memory 24GiB \\
      --max-model-len 4096
  vramscope estimate --model Qwen/Qwen3-Next-80B-A3B-Instruct --gpu h100 -t 4 --per-layer
  vramscope estimate --model Qwen/Qwen3-8B --gpu h100 --format json | jq .budget.kv_cache_bytes
  vramscope estimate model.gguf --gpu h100
  vramscope estimate --gpu l40s -- llama-server -m model.gguf -c 32768 -np 4 -ngl 20 -ctk q8_0 -ctv q8_0
  vramscope estimate model.gguf --gpu l40s --num-ctx 32768 -- OLLAMA_NUM_PARALLEL=2 ollama serve
  vramscope estimate --gpu h100 --sglang-version 0.5.12 -- sglang serve --model-path Qwen/Qwen3-8B --tp 1

Exit codes: 0 it fits, 8 it does not, 2 and 3 wrong arguments or input.")]
pub(crate) struct Args {
    /// A .gguf file; the same as --model
    #[arg(value_name = "FILE", conflicts_with = "model")]
    file: Option<String>,
    /// The engine: vllm, llama.cpp, ollama or sglang [default: by the line behind `--`; llama.cpp for a .gguf file; else vllm]
    #[arg(long, value_name = "KIND", value_parser = engine_kind)]
    engine_kind: Option<EngineKind>,
    /// The build of llama.cpp, such as b10434
    #[arg(long, value_name = "BUILD", value_parser = build, help_heading = "Engine")]
    llama_cpp_build: Option<u64>,
    /// What computes for llama.cpp [default: cuda with a device, else the host alone]
    #[arg(long, value_name = "BACKEND", help_heading = "Engine")]
    llama_cpp_backend: Option<llama_cpp::Backend>,
    /// The release of SGLang, such as 0.5.12 or 0.4.6.post5 [default: 0.5.23]
    #[arg(long, value_name = "VERSION", value_parser = sglang_version, help_heading = "Engine")]
    sglang_version: Option<SgLangVersion>,
    #[command(flatten)]
    ollama: ollama::Flags,
    /// What SGLang's log prints as free before loading (`avail mem` of `Load weight begin`), such as 21.63GiB; in place of
    /// what is computed
    #[arg(long, value_name = "SIZE", value_parser = input::size, help_heading = "Device",
        requires = "free_after_weights")]
    free_before_weights: Option<Bytes>,
    /// The same after loading (`avail mem` of `Load weight end`)
    #[arg(long, value_name = "SIZE", value_parser = input::size, help_heading = "Device",
        requires = "free_before_weights")]
    free_after_weights: Option<Bytes>,
    #[command(flatten)]
    model: input::ModelArgs,
    #[command(flatten)]
    device: input::DeviceArgs,
    #[command(flatten)]
    engine: input::EngineFlags,
    /// Prompt tokens of one request
    #[arg(long, value_name = "N", help_heading = "Workload", requires = "output_len")]
    input_len: Option<u64>,
    /// Generated tokens of one request
    #[arg(long, value_name = "N", help_heading = "Workload", requires = "input_len")]
    output_len: Option<u64>,
    /// Requests in flight together
    #[arg(long, value_name = "N", help_heading = "Workload", requires = "input_len")]
    batch_size: Option<u64>,
    /// Also say where weights, KV cache and recurrent state are by layer, on each rank of every pipeline stage, and what
    /// stands outside layers; for vLLM
    #[arg(long)]
    per_layer: bool,
    /// What to print: a table for people, or the estimate document
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// The name of an engine whose memory can be predicted.
pub(crate) fn engine_kind(text: &str) -> Result<EngineKind, String> {
    let known = [EngineKind::Vllm, EngineKind::LlamaCpp, EngineKind::Ollama, EngineKind::SgLang];
    let kind = EngineKind::from_name(text).filter(|kind| known.contains(kind));
    kind.ok_or_else(|| "expected vllm, llama.cpp, ollama or sglang".to_owned())
}

/// `0.5.12`, `v0.5.12` or `0.4.6.post5`.
pub(crate) fn sglang_version(text: &str) -> Result<SgLangVersion, String> {
    text.parse().map_err(|_| "expected a release, such as 0.5.12 or 0.4.6.post5".to_owned())
}

/// `b10434` or `10434`.
pub(crate) fn build(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix('b').unwrap_or(text);
    digits.parse().map_err(|_| "expected a build's number, such as b10434".to_owned())
}

impl Args {
    /// The engine that is asked for, and whether that was told from the file or the words alone.
    fn kind(&self) -> (EngineKind, bool) {
        let named = self.file.as_deref().or(self.model.name());
        input::engine_of(self.engine_kind, self.ollama.any(), named, self.engine.words())
    }

    /// Refuses options that say nothing to this engine.
    fn refuse_others(&self, kind: EngineKind) -> anyhow::Result<()> {
        let (vllm, llama, sglang) = (EngineKind::Vllm, EngineKind::LlamaCpp, EngineKind::SgLang);
        let ollama = EngineKind::Ollama;
        let given = [
            ("--llama-cpp-build", llama, self.llama_cpp_build.is_some()),
            ("--llama-cpp-backend", llama, self.llama_cpp_backend.is_some() && kind != ollama),
            ("--ollama-version, --num-ctx, --num-gpu or --num-batch", ollama, self.ollama.any()),
            ("--sglang-version", sglang, self.sglang_version.is_some()),
            ("--free-before-weights", sglang, self.free_before_weights.is_some()),
            ("--input-len", vllm, self.input_len.is_some()),
            ("--per-layer", vllm, self.per_layer),
            (
                "--calibration",
                vllm,
                self.device.is_calibrated() && matches!(kind, EngineKind::LlamaCpp | EngineKind::Ollama),
            ),
        ];
        input::refuse_others("an estimate", kind, &given)
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (kind, told) = args.kind();
    args.refuse_others(kind)?;
    if kind == EngineKind::LlamaCpp {
        if told {
            output::say("estimated for llama.cpp, which such a file or line is for; --engine-kind vllm asks for vLLM");
        }
        return llama_cpp::run(args);
    }
    if kind != EngineKind::Vllm {
        input::same_engine(kind, args.engine.words())?;
    }
    if kind == EngineKind::Ollama {
        return ollama::run(args);
    }
    if kind == EngineKind::SgLang {
        return sglang::run(args);
    }
    if let Some(file) = &args.file {
        let error = anyhow!("{file:?} stands alone: give --model {file:?} for vLLM, or a .gguf file for llama.cpp");
        return Err(error).or_exit(ExitCode::Usage);
    }
    let mut line = args.engine.read()?;
    let model = args.model.read(&mut line)?;
    let device = args.device.required()?;
    let calibration = args.device.calibration()?;
    let setting = Setting { device: &device, others: args.device.others(), calibration: &calibration };
    let (architecture, device) = (&model.architecture, setting.device);
    let weights = weights_on_device(architecture, &line.args, device).or_exit(ExitCode::BadInput)?;
    let budget = budget_of_loaded(architecture, &line.args, setting, &weights).or_exit(ExitCode::BadInput)?;
    let by_layer = match args.per_layer {
        true => Some(per_layer(architecture, &line.args, setting, &weights, &budget).or_exit(ExitCode::BadInput)?),
        false => None,
    };
    let (input_len, output_len, batch_size) = (args.input_len, args.output_len, args.batch_size);
    let used = budget.workload(Workload { input_len, output_len, batch_size, ..Workload::default() });
    let time = match (used, input_len.zip(output_len)) {
        (Some(used), Some(shape)) => time::predicted(architecture, &line.args, device, &weights, &budget, used, shape)?,
        _ => None,
    };
    match args.format {
        Format::Table => {
            let beside = render::Beside { by_layer: by_layer.as_deref(), time: time.as_ref() };
            let text = render::budget(&model, &budget, setting, used, beside, &line, output::width());
            output::print(&text)?;
        }
        Format::Json => {
            let mut document = EstimateDocument::new(
                model.document().or_exit(ExitCode::BadInput)?,
                &budget,
                &line.args,
                setting,
                used,
                line.ignored,
            );
            if let Some(stages) = &by_layer {
                document = document.with_layers(stages);
            }
            if let Some(time) = time {
                document = document.with_time(time);
            }
            output::print(&output::json_text(&document)?)?;
        }
    }
    let within = used.is_none_or(|used| used.within_model_len);
    Ok(if budget.verdict.fits && within { ExitCode::Success } else { ExitCode::Negative })
}
