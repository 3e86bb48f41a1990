//! The arguments that `estimate` and `fit` share: a model, a device, an engine.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use vramscope_core::{Architecture, ByteUnit, Bytes, ElementType};
use vramscope_estimate::document::ModelDocument;
use vramscope_estimate::{Calibration, CommandLine, EngineArgs, GpuModel, devices, find_device, parameter_count};
use vramscope_models::{
    MOST_CONFIG_BYTES, Overrides, TensorTable, find_model, read_gguf, read_safetensors, read_safetensors_index,
};
use vramscope_runs::Shape;
use vramscope_schema::ExitCode;

use crate::exit::OrExit as _;

/// Which model, and its shape where given by hand.
#[derive(clap::Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelArgs {
    /// A folder with config.json (and *.safetensors), a .gguf file, or a Hugging Face id; a config.json alone is enough
    /// to estimate
    #[arg(long, visible_alias = "hf-model-id", value_name = "DIR|FILE|ID",
        value_parser = clap::builder::NonEmptyStringValueParser::new())]
    model: Option<String>,
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
#[derive(Clone, clap::Args)]
#[command(next_help_heading = "Engine")]
pub(crate) struct EngineFlags {
    /// The release of vLLM, whose defaults and bookkeeping differ [default: 0.25.1; profile asks the engine]
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
    /// Longest request in tokens; 32k is 32000, 32K is 32768
    #[arg(long, value_name = "N")]
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
    /// More arguments as vLLM spells them; estimate and fit take a whole `vllm serve …` line too
    #[arg(last = true, value_name = "VLLM ARGUMENT")]
    words: Vec<String>,
}

/// A model, read.
pub(crate) struct Model {
    pub(crate) name: String,
    pub(crate) architecture: Architecture,
    pub(crate) notes: Vec<String>,
}

impl Model {
    pub(crate) fn document(&self) -> anyhow::Result<ModelDocument> {
        Ok(ModelDocument {
            name: self.name.clone(),
            class: self.architecture.class.clone(),
            parameters: parameter_count(&self.architecture).or_exit(ExitCode::BadInput)?.total,
            known_family: self.architecture.known_family,
            notes: self.notes.clone(),
        })
    }
}

impl EngineFlags {
    /// The flags that were given, by the engine's names; `None` for a switch.
    pub(crate) fn flags(&self) -> Vec<(String, Option<String>)> {
        let given = self.named().into_iter().filter_map(|(name, value)| Some((name.to_owned(), Some(value.clone()?))));
        given.chain(self.enforce_eager.then(|| ("enforce-eager".to_owned(), None))).collect()
    }

    /// The words after `--`.
    pub(crate) fn words(&self) -> &[String] {
        &self.words
    }

    /// The same without a length that the engine is to choose by itself (`--max-model-len auto`), and whether it is.
    pub(crate) fn without_automatic_length(&self) -> (Self, bool) {
        let automatic = |value: &str| matches!(value, "auto" | "-1");
        let is_flag = |word: &str| word.replace('_', "-") == "--max-model-len";
        let mut flags = self.clone();
        let mut chosen = flags.max_model_len.take_if(|value| automatic(value)).is_some();
        let mut words = self.words.iter().peekable();
        flags.words.clear();
        while let Some(word) = words.next() {
            let inline = word.split_once('=').is_some_and(|(name, value)| is_flag(name) && automatic(value));
            if inline || is_flag(word) && words.next_if(|value| automatic(value)).is_some() {
                chosen = true;
            } else {
                flags.words.push(word.clone());
            }
        }
        (flags, chosen)
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

    /// The arguments: words after `--` first, flags on top of them.
    pub(crate) fn read(&self) -> anyhow::Result<CommandLine> {
        let mut base = EngineArgs::default();
        if let Some(version) = &self.vllm_version {
            base.version = version.parse().or_exit(ExitCode::Usage)?;
        }
        let first = CommandLine::read(&self.words, base).or_exit(ExitCode::Usage)?;
        let given = self.named().into_iter().filter_map(|(name, value)| Some(format!("--{name}={}", value.as_ref()?)));
        let mut words: Vec<String> = given.collect();
        words.extend(self.enforce_eager.then(|| "--enforce-eager".to_owned()));
        let mut second = CommandLine::read(&words, first.args).or_exit(ExitCode::Usage)?;
        second.model = first.model;
        second.ignored = first.ignored;
        Ok(second)
    }
}

impl DeviceArgs {
    /// The device; `None` where none was named.
    pub(crate) fn device(&self) -> anyhow::Result<Option<GpuModel>> {
        let named = match self.gpu.as_deref() {
            None => None,
            Some(name) => Some(*find_device(name).ok_or_else(|| unknown_gpu(name)).or_exit(ExitCode::Usage)?),
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

    pub(crate) fn calibration(&self) -> anyhow::Result<Calibration> {
        let Some(path) = &self.calibration else { return Ok(Calibration::embedded().clone()) };
        let text = fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()));
        let table = text.or_exit(ExitCode::BadInput)?;
        Calibration::read(&table)
            .with_context(|| format!("could not use {}", path.display()))
            .or_exit(ExitCode::BadInput)
    }
}

fn unknown_gpu(name: &str) -> anyhow::Error {
    let keys: Vec<&str> = devices().iter().map(|device| device.key).collect();
    anyhow!("there is no GPU {name:?} in the table; there are {}, or give --gpu-memory", keys.join(", "))
}

impl ModelArgs {
    /// The model as it was named.
    pub(crate) fn name(&self) -> Option<&str> {
        self.model.as_deref()
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

    /// Reads the model; `fallback` is the model of an engine's command line.
    pub(crate) fn read(&self, fallback: Option<&str>) -> anyhow::Result<Model> {
        let overrides = self.shape().overrides();
        let named = self.model.as_deref().or(fallback);
        let by_hand = overrides.layers.is_some() && overrides.heads.is_some() && overrides.hidden_size.is_some();
        let mut model = match named {
            Some(name) => match read_named(name, &overrides) {
                // A name that is nowhere to be found may still be described by hand.
                Err(error) if by_hand && !Path::new(name).exists() => by_shape(name, &overrides, Some(&error))?,
                read => read?,
            },
            None if by_hand => by_shape("a model of this shape", &overrides, None)?,
            None => bail!(
                "no model: give --model DIR|FILE|ID, or its shape with --num-layers, --num-heads and --hidden-size"
            ),
        };
        check_count(&mut model, self.model_params)?;
        Ok(model)
    }
}

fn by_shape(name: &str, overrides: &Overrides, absent: Option<&anyhow::Error>) -> anyhow::Result<Model> {
    let (architecture, notes) = overrides.alone().or_exit(ExitCode::BadInput)?;
    let mut notes = sentences(notes);
    if absent.is_some() {
        notes.insert(0, format!("{name} is neither a file nor in the database; the shape is the one given by hand"));
    }
    Ok(Model { name: name.to_owned(), architecture, notes })
}

fn read_named(name: &str, overrides: &Overrides) -> anyhow::Result<Model> {
    let path = Path::new(name);
    if path.is_dir() {
        return read_folder(path, overrides);
    }
    if path.is_file() {
        let gguf = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
        return if gguf { read_gguf_file(path) } else { read_config_file(path, overrides) };
    }
    let known = find_model(name).or_exit(ExitCode::BadInput)?;
    let (architecture, notes) = overrides.on_known(&known).or_exit(ExitCode::BadInput)?;
    let mut notes = sentences(notes);
    if known.id != name {
        notes.insert(0, format!("taken to be of the shape of {}", known.id));
    }
    Ok(Model { name: name.to_owned(), architecture, notes })
}

fn read_config_file(path: &Path, overrides: &Overrides) -> anyhow::Result<Model> {
    let mut json = Vec::new();
    let file =
        File::open(path).with_context(|| format!("could not open {}", path.display())).or_exit(ExitCode::BadInput)?;
    // One byte more than a config may have, so that a larger one is seen to be larger and is not read.
    let limit = MOST_CONFIG_BYTES as u64 + 1;
    file.take(limit).read_to_end(&mut json).with_context(|| format!("could not read {}", path.display()))?;
    let read = overrides.on_config(&json).with_context(|| format!("could not use {}", path.display()));
    let (architecture, notes) = read.or_exit(ExitCode::BadInput)?;
    Ok(Model { name: path.display().to_string(), architecture, notes: sentences(notes) })
}

fn read_gguf_file(path: &Path) -> anyhow::Result<Model> {
    let file =
        File::open(path).with_context(|| format!("could not open {}", path.display())).or_exit(ExitCode::BadInput)?;
    let gguf = read_gguf(std::io::BufReader::new(file)).with_context(|| format!("could not use {}", path.display()));
    let (architecture, notes) = gguf.or_exit(ExitCode::BadInput)?.architecture().or_exit(ExitCode::BadInput)?;
    Ok(Model { name: path.display().to_string(), architecture, notes: sentences(notes) })
}

/// A folder as a model's repository: config.json, and the headers of its safetensors files if they are there.
fn read_folder(folder: &Path, overrides: &Overrides) -> anyhow::Result<Model> {
    let mut model = read_config_file(&folder.join("config.json"), overrides)?;
    model.name = folder.display().to_string();
    let Some(table) = tensors(folder)? else { return Ok(model) };
    let architecture = &mut model.architecture;
    architecture.stored_bytes = table.loaded_bytes(architecture.tied_head, architecture.layers.len() as u64);
    let counted = parameter_count(architecture).or_exit(ExitCode::BadInput)?.total;
    let plain = architecture.quantization.is_none();
    if let Some(stored) = table.elements().filter(|stored| plain && *stored != counted) {
        model.notes.push(format!("the checkpoint stores {stored} elements where the shape counts {counted}"));
    }
    Ok(model)
}

/// The tensor table of a folder; `None` without safetensors files.
fn tensors(folder: &Path) -> anyhow::Result<Option<TensorTable>> {
    let index = folder.join("model.safetensors.index.json");
    let files = if index.is_file() {
        let json = fs::read(&index).with_context(|| format!("could not read {}", index.display()))?;
        read_safetensors_index(&json)
            .with_context(|| format!("could not use {}", index.display()))
            .or_exit(ExitCode::BadInput)?
    } else if folder.join("model.safetensors").is_file() {
        vec!["model.safetensors".to_owned()]
    } else {
        return Ok(None);
    };
    let mut table = TensorTable::default();
    for name in files {
        let path = folder.join(name);
        let open = || -> anyhow::Result<TensorTable> {
            let file = File::open(&path)?;
            let size = file.metadata()?.len();
            Ok(read_safetensors(std::io::BufReader::new(file), size)?)
        };
        table.extend(open().with_context(|| format!("could not use {}", path.display())).or_exit(ExitCode::BadInput)?);
    }
    Ok(Some(table))
}

/// Says where the shape counts other than the person said.
fn check_count(model: &mut Model, said: Option<u64>) -> anyhow::Result<()> {
    let counted = parameter_count(&model.architecture).or_exit(ExitCode::BadInput)?.total;
    if let Some(said) = said.filter(|said| said.abs_diff(counted) > counted / 100) {
        model.notes.push(format!("the shape counts {counted} parameters, not {said}"));
    }
    Ok(())
}

fn sentences(notes: Vec<vramscope_models::Note>) -> Vec<String> {
    notes.into_iter().map(|note| format!("{}: {}", note.field, note.text)).collect()
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

/// A number of tokens as the engine reads it: `8192`, `32k`, `32K`.
pub(crate) fn tokens(text: &str) -> anyhow::Result<u64> {
    let read = CommandLine::read(&[format!("--max-model-len={text}")], EngineArgs::default())?;
    read.args.max_model_len.ok_or_else(|| anyhow!("{text:?} is not a number of tokens"))
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
