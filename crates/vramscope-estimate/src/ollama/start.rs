//! What the engine starts, and what that takes.
//!
//! Follows `server/routes.go` (the context by the size of devices), `server/sched.go` (requests at once, the batch, mapped
//! pages), `ml/device.go` (attention) and `llm/llama_server.go` (the command line), 0.30.0 to 0.32.15. Of these changed: which
//! devices compute attention in one operator (0.31.2), and how it is said that no pages are mapped (0.32.6).

use vramscope_core::{Bytes, EngineKind, PackedModel, Vendor, redact_args, shell_quoted};

use super::args::OllamaArgs;
use super::release::{FIRST, FUSES_FROM_6, OllamaVersion};
use crate::figure::Figure;
use crate::llama_cpp::kind::cache_kind;
use crate::llama_cpp::shape::MOST_LAYERS;
use crate::{
    GpuModel, LlamaCppBackend, LlamaCppBudget, LlamaCppError, LlamaCppLine, LlamaCppSetting, LlamaCppStarter,
    llama_cpp_fitted,
};

const GIB: u64 = 1 << 30;
/// The context where nobody says how long, by the memory of all devices together (`routes.go`).
const CONTEXTS: &[(u64, u64)] = &[(47 * GIB, 262_144), (23 * GIB, 32_768), (0, 4096)];
/// No context is shorter.
const LEAST_CONTEXT: u64 = 4;
/// No context of a model that reads pictures is shorter.
const LEAST_CONTEXT_WITH_PICTURES: u64 = 2048;
/// Beginnings of tensors that are not of the language model: pictures, what joins them to it, sound.
const OF_OTHER_MODELS: &[&str] = &["v.", "mm.", "a."];
/// Families of the engine's own library, whose files it translates while it loads them, with what they become.
const TRANSLATED: &[(&str, &str)] = &[
    ("gptoss", "gpt-oss"),
    ("qwen25vl", "qwen2vl"),
    ("glm4moelite", "deepseek2"),
    ("embeddinggemma", "gemma-embedding"),
    ("deepseekocr", "deepseek2-ocr"),
];
/// Families that take one request at a time (`sched.go`).
const ONE_AT_A_TIME: &[&str] = &[
    "mllama",
    "qwen3vl",
    "qwen3vlmoe",
    "qwen35",
    "qwen35moe",
    "qwen3next",
    "lfm2",
    "lfm2moe",
    "nemotron_h",
    "nemotron_h_moe",
    "nemotron_h_omni",
];
/// Batches by the context that is more than so long, with what each needs beside the model and which share of the free
/// memory the model may be, in percent.
const BATCHES: &[(u64, u64, u64, u64)] = &[(32_768, 2048, 2 * GIB, 60), (4096, 1024, 768 << 20, 75)];
const BATCH: u64 = 512;
/// The batch on a small device without attention in one operator.
const SMALL_BATCH: u64 = 256;
const SMALL_DEVICE: u64 = 8 * GIB;
/// What the model and its batch may be of the free memory, in percent.
const MOST_OF_FREE: u64 = 80;

/// Why nothing can be computed for the engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OllamaError {
    /// A release whose rules are its own.
    #[error(
        "follow release {version}: those before {FIRST} place layers by formulas that are not known here; name a later one"
    )]
    Older {
        /// The release.
        version: String,
    },
    /// A model that the engine starts otherwise.
    #[error("start the model: it makes embeddings, for which the engine has other settings that are not known here")]
    Embeddings,
    /// A type of cache that the server does not know; the engine hands it on unseen.
    #[error(
        "use OLLAMA_KV_CACHE_TYPE={value}: the server that is started takes f32, f16, bf16, q8_0, q4_0, q4_1, iq4_nl, q5_0 or q5_1"
    )]
    CacheType {
        /// As it was given, in small letters.
        value: String,
    },
    /// Quantized values are not computed without attention in one operator.
    #[error(
        "start the model: the server refuses a cache of {cache} without flash attention; leave out \
         OLLAMA_FLASH_ATTENTION=0 or OLLAMA_KV_CACHE_TYPE"
    )]
    NeedsFlashAttention {
        /// The type of cache.
        cache: String,
    },
    /// A file in the engine's own form.
    #[error(
        "compute the file: {family} is the form of the engine's own library, which it translates to {becomes} while it \
         loads; give a file of {becomes}, as llama.cpp's converter makes it"
    )]
    Translated {
        /// The family that the file names.
        family: String,
        /// The family that llama.cpp computes.
        becomes: &'static str,
    },
    /// A setting that the server refuses, by the engine's name for it.
    #[error("use {name} {value}: expected {expected}")]
    Setting {
        /// The engine's name.
        name: &'static str,
        /// What was given.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// What it starts cannot be computed.
    #[error(transparent)]
    Server(LlamaCppError),
}

impl From<LlamaCppError> for OllamaError {
    fn from(error: LlamaCppError) -> Self {
        let named = match &error {
            LlamaCppError::BadArgument { name, .. } => match name.as_str() {
                "parallel" => Some("OLLAMA_NUM_PARALLEL"),
                "ctx-size" => Some("num_ctx"),
                "gpu-layers" => Some("num_gpu"),
                "batch-size" | "ubatch-size" => Some("num_batch"),
                _ => None,
            },
            _ => None,
        };
        match (named, error) {
            (Some(name), LlamaCppError::BadArgument { value, expected, .. }) => Self::Setting { name, value, expected },
            (_, error) => Self::Server(error),
        }
    }
}

/// What the engine starts, with its memory.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct OllamaStart {
    /// Tokens of one request.
    pub num_ctx: u64,
    /// Requests at once.
    pub num_parallel: u64,
    /// Tokens that are computed together; `None`: the server's own choice.
    pub num_batch: Option<u64>,
    /// The words of the command line that it starts, as far as they decide memory.
    pub words: Vec<String>,
    /// The memory of what it starts.
    pub budget: LlamaCppBudget,
    /// How the batch follows from the context.
    pub(crate) batches: Option<Batches>,
}

impl OllamaStart {
    /// The command line that it starts, each word as a shell takes it.
    pub fn command(&self) -> String {
        let words = redact_args(self.words.iter().map(String::as_str));
        words.iter().map(|word| shell_quoted(word)).collect::<Vec<_>>().join(" ")
    }

    /// The same for a document.
    pub fn starter(&self, version: OllamaVersion) -> LlamaCppStarter {
        LlamaCppStarter {
            engine_type: EngineKind::Ollama.name().to_owned(),
            version: version.to_string(),
            num_ctx: self.num_ctx,
            num_parallel: self.num_parallel,
            num_batch: self.num_batch,
            command: self.command(),
        }
    }
}

/// What the engine starts for a file, and what that takes of a device and of the host.
///
/// # Errors
/// [`OllamaError`]: an earlier release, a model that makes embeddings, a model or settings that the server refuses.
pub fn ollama_start(
    model: &PackedModel,
    file: (&str, u64),
    args: &OllamaArgs,
    setting: LlamaCppSetting<'_>,
) -> Result<OllamaStart, OllamaError> {
    if args.version < FIRST {
        return Err(OllamaError::Older { version: args.version.to_string() });
    }
    if model.own("pooling_type").is_some() {
        return Err(OllamaError::Embeddings);
    }
    if let Some((family, becomes)) = TRANSLATED.iter().find(|(its, _)| *its == model.family) {
        return Err(OllamaError::Translated { family: (*family).to_owned(), becomes });
    }
    let (name, bytes) = file;
    let mut notes = args.notes.clone();
    let usual = by_size(args, setting.device.filter(|_| setting.backend.has_device()));
    // Without layers on it the engine keeps the server from every device.
    let kept_from_devices = args.num_gpu == Some(0) && setting.backend.has_device();
    let setting = if kept_from_devices {
        notes.push("num_gpu 0: the server is started without a device, and computes on the host alone".to_owned());
        LlamaCppSetting { backend: LlamaCppBackend::Host, device: None, others: Bytes::ZERO }
    } else {
        setting
    };
    let device = setting.device.filter(|_| setting.backend.has_device());
    let trained = model.own("context_length").unwrap_or(0);
    let others = model.tensors.iter().filter(|tensor| OF_OTHER_MODELS.iter().any(|its| tensor.name.starts_with(its)));
    let pictures = others.count();
    let least = if pictures > 0 { LEAST_CONTEXT_WITH_PICTURES } else { LEAST_CONTEXT };
    let num_ctx = args.num_ctx.unwrap_or(usual).max(least);
    let num_ctx = if trained > 0 { num_ctx.min(trained) } else { num_ctx };
    let wished = args.num_parallel.unwrap_or(1).max(1);
    let num_parallel = if ONE_AT_A_TIME.contains(&model.family.as_str()) { 1 } else { wished };
    if num_parallel < wished {
        notes.push(format!("{} takes one request at a time: OLLAMA_NUM_PARALLEL={wished} is not heeded", model.family));
    }
    let flash = args.flash_attention.or_else(|| device.filter(|device| !fuses(device, args.version)).map(|_| false));
    let context = num_ctx.saturating_mul(num_parallel);
    if let Some(cache) = &args.kv_cache_type {
        let kind = cache_kind(cache).ok_or_else(|| OllamaError::CacheType { value: cache.clone() })?;
        if kind.is_quantized() && flash == Some(false) {
            return Err(OllamaError::NeedsFlashAttention { cache: cache.clone() });
        }
    }
    if let Some(asked) = args.num_ctx.filter(|asked| *asked > num_ctx) {
        notes.push(format!("num_ctx is {num_ctx} and not {asked}: the model was trained for no more"));
    }
    if let Some(asked) = args.num_ctx.filter(|asked| *asked < num_ctx) {
        notes.push(format!("num_ctx is {num_ctx} and not {asked}: no context of such a model is shorter"));
    }
    let rule = Batches::of(model, bytes, flash, setting);
    let num_batch = match args.num_batch {
        Some(batch) => Some(batch).filter(|batch| *batch > 0),
        None => Some(rule.of_context(context)),
    };
    let mut words = words(name, args, context, num_parallel, num_batch, flash);
    if device.is_none() {
        words.extend(args.version.unmapped().iter().map(|word| (*word).to_owned()));
    }
    let mut line = LlamaCppLine::read(&words)?;
    (line.args.build, line.args.rebuilt) = (args.version.build(), true);
    if pictures > 0 {
        line.args.unmodelled.push(format!("{pictures} tensors of pictures or sound in the file"));
    }
    if !args.version.was_read() {
        notes.push(format!("release {} was not read: the rules are those of the newest that was", args.version));
    }
    if args.num_ctx.is_none() {
        notes.push(format!(
            "nobody says how long a request is: {num_ctx} tokens by the memory of the device and the model{}",
            match num_ctx {
                32_769.. => "; where loading runs out of memory, the engine tries once more with 32768",
                4097.. => "; where loading runs out of memory, the engine tries once more with 4096",
                _ => "",
            }
        ));
    }
    if device.is_some() {
        notes.push("where the host has little free memory, the engine maps no pages of the file".to_owned());
    }
    if args.gpu_overhead > 0 {
        notes.push(
            "OLLAMA_GPU_OVERHEAD leaves nothing free in these releases: it only counts for the usual context".into(),
        );
    }
    let budget = llama_cpp_fitted(model, &line.args, setting)?;
    let budget = with_notes(budget, notes);
    let batches = args.num_batch.is_none().then_some(rule);
    Ok(OllamaStart { num_ctx, num_parallel, num_batch, words, budget, batches })
}

fn by_size(args: &OllamaArgs, device: Option<&GpuModel>) -> u64 {
    // As the engine computes it: an overhead beyond the device makes it enormous.
    let all = device.map_or(0, |device| device.total.get().wrapping_sub(args.gpu_overhead));
    CONTEXTS.iter().find(|(least, _)| all >= *least).map_or(4096, |(_, tokens)| *tokens)
}

/// Whether the engine leaves attention in one operator to the server (`FlashAttentionSupported`).
fn fuses(device: &GpuModel, version: OllamaVersion) -> bool {
    let least = if version < FUSES_FROM_6 { 7 } else { 6 };
    device.vendor != Vendor::Nvidia || device.capability.0 >= least && device.capability != (7, 2)
}

/// How many tokens are computed together, where nobody says (`sched.go`).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Batches {
    /// Bytes of the file, and of a plain cache for each token of the context: what the engine expects of a model beforehand
    /// (`PredictServerVRAM`).
    expected: (u64, u64),
    /// What is free on the device; 0 without one.
    free: u64,
    /// CUDA without attention in one operator.
    plain_attention: bool,
}

impl Batches {
    fn of(model: &PackedModel, file: u64, flash: Option<bool>, setting: LlamaCppSetting<'_>) -> Self {
        // More layers than any model has are refused when the server's own reading comes.
        let layers = model.own("block_count").unwrap_or(0).min(MOST_LAYERS);
        let by_layer = |key: &str| model.own_by_layer(key, usize::try_from(layers).unwrap_or(0)).unwrap_or_default();
        let heads = by_layer("attention.head_count").into_iter().max().unwrap_or(1).max(1);
        let kv_heads = by_layer("attention.head_count_kv").into_iter().min().unwrap_or(0).max(1);
        let width = model.own("embedding_length").unwrap_or(0) / heads;
        let token = [2, layers, kv_heads, width, 2].into_iter().fold(1_u64, u64::saturating_mul);
        let device = setting.device.filter(|_| setting.backend.has_device());
        let free = device.map_or(0, |device| device.total.get().saturating_sub(setting.others.get()));
        let cuda = setting.backend == LlamaCppBackend::Cuda;
        let cuda = cuda && device.is_some_and(|device| device.vendor == Vendor::Nvidia);
        Self { expected: (file, token), free, plain_attention: flash == Some(false) && cuda }
    }

    /// The largest batch for so long a context that leaves room.
    pub(crate) fn of_context(&self, context: u64) -> u64 {
        if self.plain_attention {
            return if context > 4096 && self.free <= SMALL_DEVICE { SMALL_BATCH } else { BATCH };
        }
        let (file, token) = self.expected;
        let expected = file.saturating_add(token.saturating_mul(context));
        let share = |percent: u64| self.free.saturating_mul(percent) / 100;
        let fits = |needs: u64, most: u64| {
            let room = share(MOST_OF_FREE).checked_sub(expected);
            self.free == 0 || (room.is_some_and(|room| needs <= room) && expected <= share(most))
        };
        let found = BATCHES.iter().find(|(longer, _, needs, most)| context > *longer && fits(*needs, *most));
        found.map_or(BATCH, |(_, batch, ..)| *batch)
    }
}

/// The server's command line, in the engine's order and spelling.
fn words(
    model: &str,
    args: &OllamaArgs,
    context: u64,
    parallel: u64,
    batch: Option<u64>,
    flash: Option<bool>,
) -> Vec<String> {
    let mut words = args.for_server.clone();
    words.extend(["llama-server", "--model", model].map(str::to_owned));
    let mut add = |name: &str, value: String| words.extend([name.to_owned(), value]);
    add("-c", context.to_string());
    add("-np", parallel.to_string());
    if let Some(kind) = &args.kv_cache_type {
        add("--cache-type-k", kind.clone());
        add("--cache-type-v", kind.clone());
    }
    let flash = flash.map_or("auto", |on| if on { "on" } else { "off" });
    add("--flash-attn", flash.to_owned());
    if let Some(batch) = batch {
        add("-b", batch.to_string());
        add("-ub", batch.to_string());
    }
    if let Some(layers) = args.num_gpu.filter(|layers| *layers >= 0) {
        add("-ngl", layers.to_string());
    }
    words
}

/// Where fitting chose the layers, it may be one more or less.
fn with_notes(mut budget: LlamaCppBudget, notes: Vec<String>) -> LlamaCppBudget {
    if !budget.changes.is_empty() {
        let layers = budget.layers.max(1);
        let widened = |figure: &Figure, layer: u64| {
            let (low, high) = (figure.value.saturating_sub(layer), figure.value.saturating_add(layer));
            figure.clone().within(low.min(figure.low), high.max(figure.high), figure.confidence)
        };
        // What lies on neither side in layers is not moved with them.
        for part in budget.parts.iter_mut().filter(|part| part.name != "output") {
            let layer = part.device.value.saturating_add(part.host.value).div_ceil(layers);
            (part.device, part.host) = (widened(&part.device, layer), widened(&part.host, layer));
        }
        budget.total_again();
    }
    for note in &mut budget.notes {
        *note = note.replace("`--cache-ram`", "LLAMA_ARG_CACHE_RAM");
    }
    budget.notes.extend(notes);
    budget.notes.push("no run of this engine was compared: its rules were read in its source".to_owned());
    budget
}
