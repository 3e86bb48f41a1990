//! The arguments that `estimate` and `fit` share: a model, a device, an engine.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use vramscope_analysis::{NamedModel, read_draft};
use vramscope_core::{ByteUnit, Bytes, ElementType, EngineKind, EngineLine};
use vramscope_estimate::{
    Calibration, CommandLine, DeviceError, EngineArgs, GpuModel, device_named, is_llama_cpp_command, is_sglang_command,
};
use vramscope_live::EngineWords;
use vramscope_runs::{MOST_ENGINE_CONFIG_BYTES, Shape, engine_config_words};
use vramscope_schema::ExitCode;

use crate::exit::{self, Failed, OrExit as _};
use crate::input;

/// The engine that is asked for, and whether that was told from the file alone. `of_ollama`: options of that
/// engine were given.
pub(crate) fn engine_of(
    asked: Option<EngineKind>,
    of_ollama: bool,
    file: Option<&str>,
    words: &[String],
) -> (EngineKind, bool) {
    if let Some(kind) = asked {
        return (kind, false);
    }
    if of_ollama || EngineLine::of(words).is_some_and(|line| line.kind == EngineKind::Ollama) {
        return (EngineKind::Ollama, false);
    }
    if is_llama_cpp_command(words) {
        return (EngineKind::LlamaCpp, false);
    }
    if file.is_some_and(|file| file.to_ascii_lowercase().ends_with(".gguf")) {
        return (EngineKind::LlamaCpp, true);
    }
    if is_sglang_command(words) {
        return (EngineKind::SgLang, false);
    }
    (EngineKind::Vllm, false)
}

/// Refuses words that start another engine than the one that is asked for.
pub(crate) fn same_engine(kind: EngineKind, words: &[String]) -> anyhow::Result<()> {
    match EngineLine::of(words).filter(|line| line.kind != kind) {
        None => Ok(()),
        Some(other) => {
            let error = anyhow!(
                "the words behind -- start {}, and this is asked for {}: leave them out, or ask with --engine-kind {}",
                other.kind.title(),
                kind.title(),
                other.kind.name()
            );
            Err(error).or_exit(ExitCode::Usage)
        }
    }
}

/// Refuses the first option that was given and is for another engine; `what` is asked, with its article.
pub(crate) fn refuse_others(
    what: &str,
    kind: EngineKind,
    options: &[(&'static str, EngineKind, bool)],
) -> anyhow::Result<()> {
    let Some((name, of, _)) = options.iter().find(|(_, of, given)| *given && *of != kind) else { return Ok(()) };
    let error = anyhow!(
        "{name} is for {}, and this is {what} for {}: leave it out, or ask with --engine-kind {}",
        of.title(),
        kind.title(),
        of.name()
    );
    Err(error).or_exit(ExitCode::Usage)
}

/// Which model, and its shape where given by hand.
#[derive(clap::Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelArgs {
    /// A folder with config.json (and *.safetensors), a .gguf file, or a Hugging Face id; a config.json alone is enough
    /// to estimate
    #[arg(long, visible_alias = "hf-model-id", value_name = "DIR|FILE|ID",
        value_parser = clap::builder::NonEmptyStringValueParser::new())]
    model: Option<String>,
    #[command(flatten)]
    shape: ShapeArgs,
}

/// A model's shape as it is given by hand.
#[derive(clap::Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct ShapeArgs {
    /// Parameters of the whole model, such as 6.7e9 or 8B; without --model they decide the feed-forward width
    #[arg(long, value_name = "N", value_parser = parameters)]
    model_params: Option<u64>,
    /// Layers, in place of the config's
    #[arg(long, value_name = "N")]
    num_layers: Option<u64>,
    /// Query heads
    #[arg(long, value_name = "N")]
    num_heads: Option<u64>,
    /// Key and value heads
    #[arg(long, value_name = "N")]
    num_kv_heads: Option<u64>,
    /// Width of a head
    #[arg(long, value_name = "N")]
    head_dim: Option<u64>,
    /// Width of the residual stream
    #[arg(long, value_name = "N")]
    hidden_size: Option<u64>,
    /// Width of the feed-forward parts
    #[arg(long, value_name = "N")]
    intermediate_size: Option<u64>,
    /// Tokens of the vocabulary
    #[arg(long, value_name = "N")]
    vocab_size: Option<u64>,
}

/// Which device.
#[derive(clap::Args)]
#[command(next_help_heading = "Device")]
pub(crate) struct DeviceArgs {
    /// A GPU of the table: h200, h100, a100-80g, l40s, mi300x, … (`vramscope fit --list-gpus` shows all)
    #[arg(long, value_name = "NAME")]
    gpu: Option<String>,
    /// Memory that the framework sees on the device, such as 80GiB; in place of the table's
    #[arg(long, value_name = "SIZE", value_parser = size)]
    gpu_memory: Option<Bytes>,
    /// Memory that other processes hold on the device, such as 20GiB
    #[arg(long, value_name = "SIZE", value_parser = size)]
    gpu_memory_used: Option<Bytes>,
    /// Measured sizes, in place of those that come with the program (see `vramscope accuracy --fit`)
    #[arg(long, value_name = "FILE")]
    calibration: Option<PathBuf>,
}

/// The engine's arguments by their usual names; anything else after `--`.
#[derive(clap::Args)]
#[command(next_help_heading = "Engine")]
pub(crate) struct EngineFlags {
    /// The release of vLLM, whose defaults and bookkeeping differ [default: 0.33.0; profile asks the engine]
    #[arg(long, value_name = "VERSION")]
    vllm_version: Option<String>,
    /// Ranks that split each layer
    #[arg(long, short = 't', visible_alias = "tp", value_name = "N")]
    tensor_parallel_size: Option<String>,
    /// Ranks that split the sequence of layers
    #[arg(long, visible_alias = "pp", value_name = "N")]
    pipeline_parallel_size: Option<String>,
    /// Element type: auto, bfloat16, float16, float32
    #[arg(long, value_name = "TYPE")]
    dtype: Option<String>,
    /// Quantize a plain checkpoint while loading: fp8, bitsandbytes, …
    #[arg(long, value_name = "METHOD")]
    quantization: Option<String>,
    /// Element type of the KV cache: auto, fp8, …
    #[arg(long, value_name = "TYPE")]
    kv_cache_dtype: Option<String>,
    /// Longest request in tokens; 32k is 32000, 32K is 32768; auto or -1: what fits
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    max_model_len: Option<String>,
    /// Most requests in one step
    #[arg(long, value_name = "N")]
    max_num_seqs: Option<String>,
    /// Most tokens in one step
    #[arg(long, value_name = "N")]
    max_num_batched_tokens: Option<String>,
    /// Share of the device that the engine may use
    #[arg(long, value_name = "SHARE")]
    gpu_memory_utilization: Option<String>,
    /// Tokens of one KV block
    #[arg(long, value_name = "N")]
    block_size: Option<String>,
    /// No compilation and no graphs
    #[arg(long)]
    enforce_eager: bool,
    /// More arguments as the engine spells them; estimate and fit take a whole `vllm serve …`, `llama-server …` or
    /// `sglang serve …` line too
    #[arg(last = true, value_name = "ENGINE ARGUMENT")]
    words: Vec<String>,
}

impl EngineFlags {
    /// The words after `--`.
    pub(crate) fn words(&self) -> &[String] {
        &self.words
    }

    /// The release of the image that the words after `--` start, where it is one of this engine.
    pub(crate) fn release(&self, kind: EngineKind) -> Option<String> {
        let line = EngineLine::of(&self.words).filter(|line| line.kind == kind)?;
        line.release(&self.words).map(str::to_owned)
    }

    /// The options of vLLM that were given by their usual names.
    pub(crate) fn of_vllm(&self) -> Vec<String> {
        let given = self.given();
        // By their other names they may be another engine's too.
        let flags = given.flags.into_iter().map(|(name, _)| match name.as_str() {
            "tensor-parallel-size" => "--tensor-parallel-size (--tp, -t)".to_owned(),
            "pipeline-parallel-size" => "--pipeline-parallel-size (--pp)".to_owned(),
            _ => format!("--{name}"),
        });
        flags.chain(self.vllm_version.as_ref().map(|_| "--vllm-version".to_owned())).collect()
    }

    /// What is said to the engine.
    pub(crate) fn given(&self) -> EngineWords {
        let named = self.named().into_iter().filter_map(|(name, value)| Some((name.to_owned(), Some(value.clone()?))));
        let flags = named.chain(self.enforce_eager.then(|| ("enforce-eager".to_owned(), None))).collect();
        EngineWords {
            version: self.vllm_version.clone().or_else(|| self.release(EngineKind::Vllm)),
            flags,
            words: self.words.clone(),
            config: Vec::new(),
        }
    }

    fn named(&self) -> [(&'static str, &Option<String>); 10] {
        [
            ("tensor-parallel-size", &self.tensor_parallel_size),
            ("pipeline-parallel-size", &self.pipeline_parallel_size),
            ("dtype", &self.dtype),
            ("quantization", &self.quantization),
            ("kv-cache-dtype", &self.kv_cache_dtype),
            ("max-model-len", &self.max_model_len),
            ("max-num-seqs", &self.max_num_seqs),
            ("max-num-batched-tokens", &self.max_num_batched_tokens),
            ("gpu-memory-utilization", &self.gpu_memory_utilization),
            ("block-size", &self.block_size),
        ]
    }

    /// The arguments: words after `--` first, with those of the configuration file that they name, flags on top of them.
    pub(crate) fn read(&self) -> anyhow::Result<CommandLine> {
        let mut given = self.given();
        if let Some(file) = given.config_file().map(PathBuf::from) {
            let read = input::bounded(&file, MOST_ENGINE_CONFIG_BYTES);
            let read =
                read.with_context(|| format!("could not read {}", file.display())).or_exit(ExitCode::BadInput)?;
            let words = engine_config_words(&String::from_utf8_lossy(&read));
            let words = words.with_context(|| format!("could not use {}", file.display()));
            given.config = words.or_exit(ExitCode::BadInput)?;
        }
        let started = EngineLine::of(&self.words);
        if let Some(other) = started.filter(|line| line.kind != EngineKind::Vllm) {
            let title = other.kind.title();
            let what = match other.kind {
                EngineKind::LlamaCpp | EngineKind::Ollama | EngineKind::SgLang => {
                    "`estimate` and `fit` answer for it, without --engine-kind vllm"
                }
                _ => "budgets are known of vLLM, llama.cpp, Ollama and SGLang",
            };
            return Err(anyhow!("the words behind -- start {title}: {what}")).or_exit(ExitCode::Usage);
        }
        let mut line = given.read().or_exit(ExitCode::Usage)?;
        // What is set in front of the program is said to this engine alone.
        let in_front = |name: &str| started?.variable(&self.words, name).map(str::to_owned);
        line.args.take_environment(|name| in_front(name).or_else(|| std::env::var(name).ok()));
        read_draft(&mut line.args).map_err(|error| {
            let code = exit::of_model(&error);
            anyhow::Error::new(error).context(Failed { code })
        })?;
        Ok(line)
    }
}

impl DeviceArgs {
    /// The device; `None` where none was named.
    pub(crate) fn device(&self) -> anyhow::Result<Option<GpuModel>> {
        let named = match self.gpu.as_deref() {
            None => None,
            Some(name) => Some(*device_named(name).map_err(unknown_gpu).or_exit(ExitCode::Usage)?),
        };
        Ok(match (named, self.gpu_memory) {
            (Some(device), Some(total)) => {
                Some(GpuModel { total, total_spread: Bytes::ZERO, source: "given", ..device })
            }
            (None, Some(total)) => Some(GpuModel::of_size(total)),
            (device, None) => device,
        })
    }

    pub(crate) fn required(&self) -> anyhow::Result<GpuModel> {
        let missing = || anyhow!("no device: give --gpu NAME or --gpu-memory SIZE");
        self.device()?.ok_or_else(missing).or_exit(ExitCode::Usage)
    }

    pub(crate) fn others(&self) -> Bytes {
        self.gpu_memory_used.unwrap_or(Bytes::ZERO)
    }

    /// Whether fitted constants of one's own were given.
    pub(crate) fn is_calibrated(&self) -> bool {
        self.calibration.is_some()
    }

    pub(crate) fn calibration(&self) -> anyhow::Result<Calibration> {
        let Some(path) = &self.calibration else { return Ok(Calibration::embedded().clone()) };
        Calibration::read(&input::table(path)?)
            .with_context(|| format!("could not use {}", path.display()))
            .or_exit(ExitCode::BadInput)
    }
}

fn unknown_gpu(error: DeviceError) -> anyhow::Error {
    match error {
        DeviceError::Unknown { name, keys } => {
            anyhow!("there is no GPU {name:?} in the table; there are {}, or give --gpu-memory", keys.join(", "))
        }
        DeviceError::Ambiguous { name, keys } => {
            anyhow!("--gpu {name:?} may be {}: give one of these", keys.join(" or "))
        }
        other => anyhow::Error::new(other),
    }
}

impl ModelArgs {
    /// The model as it was named.
    pub(crate) fn name(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The shape as far as it was given by hand.
    pub(crate) fn shape(&self) -> Shape {
        self.shape.shape()
    }

    /// A packed file has its own shape.
    ///
    /// # Errors
    /// A part of the shape was given by hand.
    pub(crate) fn of_file(&self) -> anyhow::Result<()> {
        match self.shape.given()[..] {
            [] => Ok(()),
            [name, ..] => {
                let error =
                    anyhow!("{name} is for a model without a file: a .gguf file has its own shape; leave it out");
                Err(error).or_exit(ExitCode::Usage)
            }
        }
    }

    /// Reads the model; an engine's command line names it where nothing else does, and may override its config.
    pub(crate) fn read(&self, line: &mut CommandLine) -> anyhow::Result<NamedModel> {
        // What is applied here is not unmodelled any more.
        let fields = line.args.hf_overrides.take();
        let name = self.name().or(line.model.as_deref());
        NamedModel::read_overridden(name, &self.shape(), fields.as_deref()).map_err(|error| {
            let code = exit::of_model(&error);
            anyhow::Error::new(error).context(Failed { code })
        })
    }
}

impl ShapeArgs {
    /// The options that were given.
    fn given(&self) -> Vec<&'static str> {
        let all = [
            ("--model-params", self.model_params.is_some()),
            ("--num-layers", self.num_layers.is_some()),
            ("--num-heads", self.num_heads.is_some()),
            ("--num-kv-heads", self.num_kv_heads.is_some()),
            ("--head-dim", self.head_dim.is_some()),
            ("--hidden-size", self.hidden_size.is_some()),
            ("--intermediate-size", self.intermediate_size.is_some()),
            ("--vocab-size", self.vocab_size.is_some()),
        ];
        all.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }

    /// The shape as far as it was given by hand.
    pub(crate) fn shape(&self) -> Shape {
        Shape {
            parameters: self.model_params,
            layers: self.num_layers,
            heads: self.num_heads,
            kv_heads: self.num_kv_heads,
            head_dim: self.head_dim,
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            vocab_size: self.vocab_size,
        }
    }
}

/// `80GiB`, `80 GB`, `1024MiB` or bytes.
pub(crate) fn size(text: &str) -> Result<Bytes, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim() {
        "" => Some(ByteUnit::B),
        unit => ByteUnit::from_symbol(unit),
    };
    let bytes = number.parse::<f64>().ok().zip(unit).and_then(|(number, unit)| Bytes::from_unit(number, unit));
    bytes.ok_or_else(|| "expected a size with its unit, such as 80GiB".to_owned())
}

/// A number of tokens as vLLM reads one: `8192`, `32k`, `32K`.
pub(crate) fn tokens(text: &str) -> anyhow::Result<u64> {
    let wrong = || anyhow!("{text:?} is not a number of tokens, such as 8192 or 32K");
    let read = CommandLine::read(&[format!("--max-model-len={text}")], EngineArgs::default()).map_err(|_| wrong())?;
    read.args.max_model_len.filter(|tokens| *tokens > 0).ok_or_else(wrong)
}

/// `6.7e9`, `8B`, `70b`, `350M` or a whole number.
fn parameters(text: &str) -> Result<u64, String> {
    let (number, factor) = match text.char_indices().next_back() {
        Some((at, 'b' | 'B')) => (&text[..at], 1e9),
        Some((at, 'm' | 'M')) => (&text[..at], 1e6),
        _ => (text, 1.0),
    };
    let count = number.parse::<f64>().ok().map(|number| number * factor).filter(|n| (1.0..1e15).contains(n));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range by the test above")]
    count.map(|count| count.round() as u64).ok_or_else(|| "expected a number such as 6.7e9 or 8B".to_owned())
}

/// The element type's name.
pub(crate) fn element_name(element: ElementType) -> &'static str {
    match element {
        ElementType::Bf16 => "bfloat16",
        ElementType::F16 => "float16",
        ElementType::F32 => "float32",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("80GiB"), Ok(Bytes::new(80 << 30)));
        assert_eq!(size("80 GB"), Ok(Bytes::new(80_000_000_000)));
        assert_eq!(size("1024"), Ok(Bytes::new(1024)));
        for wrong in ["", "GiB", "80 parsec", "-1GiB", "1e400GiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn parameters_have_the_usual_shorthands() {
        assert_eq!(parameters("6.7e9"), Ok(6_700_000_000));
        assert_eq!(parameters("8B"), Ok(8_000_000_000));
        assert!(parameters("many").is_err() && parameters("-1").is_err() && parameters("nan").is_err());
    }
}
