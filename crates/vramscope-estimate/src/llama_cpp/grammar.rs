//! The server's command line (`common/arg.cpp`, 2025-11 to 2026-11).

use vramscope_core::{EngineKind, EngineLine, Flag, Grammar, Part};

use super::args::LlamaCppArgs;
use super::error::LlamaCppError;
use super::kind::cache_kind;

/// The options' short names and those without a value.
pub const LLAMA_CPP_LINE: Grammar = Grammar {
    short: &[
        ("m", "model"),
        ("c", "ctx-size"),
        ("np", "parallel"),
        ("ngl", "gpu-layers"),
        ("n-gpu-layers", "gpu-layers"),
        ("ctk", "cache-type-k"),
        ("ctv", "cache-type-v"),
        ("fa", "flash-attn"),
        ("b", "batch-size"),
        ("ub", "ubatch-size"),
        ("kvu", "kv-unified"),
        ("no-kvu", "no-kv-unified"),
        ("nkvo", "no-kv-offload"),
        ("kvo", "kv-offload"),
        ("ncmoe", "n-cpu-moe"),
        ("cmoe", "cpu-moe"),
        ("nr", "no-repack"),
        ("fit", "fit"),
        ("fitt", "fit-target"),
        ("fitc", "fit-ctx"),
        ("ot", "override-tensor"),
        ("sm", "split-mode"),
        ("ts", "tensor-split"),
        ("mg", "main-gpu"),
        ("dev", "device"),
        ("md", "model-draft"),
        ("mm", "mmproj"),
        ("cram", "cache-ram"),
        ("hf", "hf-repo"),
        ("hfd", "hf-repo-draft"),
        ("hfrd", "hf-repo-draft"),
        ("mmu", "mmproj-url"),
        ("lm", "load-mode"),
        ("lv", "verbosity"),
        ("v", "verbose"),
        ("t", "threads"),
        ("tb", "threads-batch"),
        ("a", "alias"),
        ("n", "predict"),
        ("cb", "cont-batching"),
        ("nocb", "no-cont-batching"),
    ],
    switches: &[
        "kv-unified",
        "kv-offload",
        "cpu-moe",
        "repack",
        "mmap",
        "mlock",
        "direct-io",
        "swa-full",
        "op-offload",
        "no-host",
        "warmup",
        "verbose",
        "metrics",
        "slots",
        "props",
        "jinja",
        "cont-batching",
        "context-shift",
        "offline",
        "spec-default",
        "log-prefix",
        "log-timestamps",
        "log-disable",
        "embedding",
        "embeddings",
        "reranking",
        "webui",
        "perf",
        "check-tensors",
        "mmproj-auto",
        "mmproj-offload",
        "spm-infill",
        "lora-init-without-apply",
    ],
    glued: &[],
    several: &["control-vector-layer-range", "control-vector-scaled", "lora-scaled"],
};

/// Options that take memory which is not modelled.
const UNMODELLED: &[&str] = &[
    "override-tensor",
    "split-mode",
    "tensor-split",
    "device",
    "rpc",
    "model-draft",
    "hf-repo-draft",
    "spec-type",
    "spec-default",
    "spec-draft-model",
    "spec-draft-hf",
    "spec-draft-hf-repo",
    "mmproj",
    "mmproj-url",
    "lora",
    "lora-scaled",
    "control-vector",
    "override-kv",
    "rope-scaling",
    "rope-scale",
    "embedding",
    "embeddings",
    "reranking",
    "no-host",
    "kv-unified-per-slot",
];

/// Variables (`LLAMA_ARG_…`) that say the same as an option with a value.
const VARIABLES: &[(&str, &str)] = &[
    ("MODEL", "model"),
    ("CTX_SIZE", "ctx-size"),
    ("N_PARALLEL", "parallel"),
    ("N_GPU_LAYERS", "gpu-layers"),
    ("BATCH", "batch-size"),
    ("UBATCH", "ubatch-size"),
    ("CACHE_TYPE_K", "cache-type-k"),
    ("CACHE_TYPE_V", "cache-type-v"),
    ("FLASH_ATTN", "flash-attn"),
    ("FIT", "fit"),
    ("FIT_TARGET", "fit-target"),
    ("FIT_CTX", "fit-ctx"),
    ("N_CPU_MOE", "n-cpu-moe"),
    ("LOAD_MODE", "load-mode"),
    ("DEVICE", "device"),
    ("SPLIT_MODE", "split-mode"),
    ("TENSOR_SPLIT", "tensor-split"),
    ("OVERRIDE_TENSOR", "override-tensor"),
    ("MAIN_GPU", "main-gpu"),
    ("RPC", "rpc"),
    ("MMPROJ", "mmproj"),
    ("MMPROJ_URL", "mmproj-url"),
    ("SPEC_DRAFT_MODEL", "spec-draft-model"),
    ("SPEC_DRAFT_HF_REPO", "spec-draft-hf-repo"),
    ("SPEC_TYPE", "spec-type"),
    ("HF_REPO", "hf-repo"),
    ("CACHE_RAM", "cache-ram"),
    ("CTX_CHECKPOINTS", "ctx-checkpoints"),
];

/// Variables that are switches: what turns on, and what turns off where that can be said.
const SWITCHED: &[(&str, &str, Option<&str>)] = &[
    ("CPU_MOE", "cpu-moe", None),
    ("SWA_FULL", "swa-full", None),
    ("KV_UNIFIED", "kv-unified", Some("no-kv-unified")),
    ("KV_OFFLOAD", "kv-offload", Some("no-kv-offload")),
    ("MMAP", "mmap", Some("no-mmap")),
    ("REPACK", "repack", Some("no-repack")),
    ("MLOCK", "mlock", None),
    ("EMBEDDINGS", "embeddings", None),
    ("RERANKING", "reranking", None),
    ("NO_HOST", "no-host", None),
];

/// Beginnings of variables that take no memory of a model.
const HARMLESS: &[&str] = &[
    "HOST",
    "PORT",
    "THREADS",
    "TIMEOUT",
    "ALIAS",
    "API_",
    "LOG_",
    "ENDPOINT_",
    "CORS_",
    "SSL_",
    "UI",
    "JINJA",
    "CHAT_",
    "THINK",
    "REASONING",
    "N_PREDICT",
    "TAGS",
    "STATIC_PATH",
    "OFFLINE",
    "PERF",
    "NUMA",
    "TOP_K",
    "CONT_BATCHING",
    "CONTEXT_SHIFT",
];

/// The option that a variable stands for; none where its value switches nothing on. `None`: it is not known.
fn of_variable(name: &str, value: &str) -> Option<Option<String>> {
    if let Some((_, option)) = VARIABLES.iter().find(|(its, _)| *its == name) {
        return Some(Some(format!("--{option}={value}")));
    }
    let (_, on, off) = SWITCHED.iter().find(|(its, ..)| *its == name)?;
    Some(match value {
        "on" | "enabled" | "true" | "1" => Some(format!("--{on}")),
        _ => off.map(|off| format!("--{off}")),
    })
}

/// A command line, read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LlamaCppLine {
    /// The arguments that decide memory.
    pub args: LlamaCppArgs,
    /// The file that is loaded.
    pub model: Option<String>,
    /// The options that were given, by their whole names.
    pub stated: Vec<String>,
}

/// The words up to the server's name and those behind it, where words start llama.cpp.
pub(crate) fn at_program<S: AsRef<str>>(words: &[S]) -> Option<(&[S], &[S])> {
    let line = EngineLine::of(words).filter(|line| line.kind == EngineKind::LlamaCpp)?;
    words.split_at_checked(line.lead)
}

/// Whether words start llama.cpp.
pub fn is_llama_cpp_command<S: AsRef<str>>(words: &[S]) -> bool {
    at_program(words).is_some()
}

impl LlamaCppLine {
    /// Whether any of these options was given, by their whole names.
    pub(crate) fn states(&self, names: &[&str]) -> bool {
        self.stated.iter().any(|stated| names.contains(&stated.as_str()))
    }

    /// Whether the model is said to be one of a repository.
    pub fn states_repository(&self) -> bool {
        self.model.is_none() && self.states(&["hf-repo"])
    }

    /// Reads the words of a command line, with the server's name in front or without.
    ///
    /// # Errors
    /// [`LlamaCppError::BadArgument`]: a value that the server refuses.
    pub fn read<S: AsRef<str>>(words: &[S]) -> Result<Self, LlamaCppError> {
        let (lead, words) = at_program(words).unwrap_or((&[], words));
        let mut line = Self::default();
        // Options have variables too; what is said in the line itself comes after them and counts.
        for word in lead.iter().map(AsRef::as_ref).map(|word| word.strip_prefix("--env=").unwrap_or(word)) {
            line.take_variable(word)?;
        }
        for part in LLAMA_CPP_LINE.read(words) {
            match part {
                Part::Word(word) => line.args.ignored.push(vramscope_core::redact(word)),
                Part::Flag(flag) => line.take(&flag)?,
            }
        }
        Ok(line)
    }

    fn take_variable(&mut self, word: &str) -> Result<(), LlamaCppError> {
        let Some((name, value)) = word.strip_prefix("LLAMA_ARG_").and_then(|word| word.split_once('=')) else {
            return Ok(());
        };
        let Some(option) = of_variable(name, value) else {
            let harmless = HARMLESS.iter().any(|beginning| name.starts_with(beginning));
            let list = if harmless { &mut self.args.ignored } else { &mut self.args.unmodelled };
            list.push(vramscope_core::redact_args([word]).join(" "));
            return Ok(());
        };
        for part in LLAMA_CPP_LINE.read(option.as_slice()) {
            if let Part::Flag(flag) = part {
                self.take(&flag)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, flag: &Flag<'_>) -> Result<(), LlamaCppError> {
        self.stated.push(flag.name.clone());
        let args = &mut self.args;
        match flag.name.as_str() {
            "model" => self.model = flag.value.map(str::to_owned),
            "ctx-size" => {
                args.context = Some(number(flag)?).filter(|context| *context > 0);
                // Who asks for the whole context by 0 gets it: fitting lowers it only where nobody said anything.
                args.keeps_context = args.context.is_none();
            }
            "device" if flag.value == Some("none") => args.without_device = true,
            // One device is the one that is computed for; of several the last word counts.
            "device" => {
                args.without_device = false;
                args.unmodelled.push(flag.shown());
            }
            "parallel" => args.slots = Some(number(flag)?).filter(|slots| *slots > 0),
            "gpu-layers" | "n-gpu-layers" => args.gpu_layers = layers(flag)?,
            "cache-type-k" => args.cache_k = cache_type(flag)?,
            "cache-type-v" => args.cache_v = cache_type(flag)?,
            "flash-attn" => args.flash_attention = switch(flag, true)?,
            "batch-size" => args.batch = number(flag)?,
            "ubatch-size" => args.micro_batch = number(flag)?,
            "swa-full" => args.full_window = true,
            "kv-unified" => args.unified = Some(true),
            "no-kv-unified" => args.unified = Some(false),
            "n-cpu-moe" => args.cpu_moe_layers = number(flag)?,
            "cpu-moe" => args.cpu_moe_layers = u64::MAX,
            "load-mode" => args.mmap = mapped(flag)?,
            "mmap" => args.mmap = true,
            "no-mmap" => args.mmap = false,
            "repack" => args.repack = true,
            "no-repack" => args.repack = false,
            "kv-offload" => args.offload_cache = true,
            "no-kv-offload" => args.offload_cache = false,
            "op-offload" => args.offload_operators = true,
            "no-op-offload" => args.offload_operators = false,
            "fit" => args.fit = switch(flag, true)?.unwrap_or(true),
            "fit-target" => args.fit_target = target(flag)?.saturating_mul(1 << 20),
            "fit-ctx" => args.fit_context = number(flag)?,
            name => {
                let given = flag.shown();
                let list = if UNMODELLED.contains(&name) { &mut args.unmodelled } else { &mut args.ignored };
                list.push(given);
            }
        }
        Ok(())
    }
}

/// MiB to leave free; of a list, one for each device, that of the first.
fn target(flag: &Flag<'_>) -> Result<u64, LlamaCppError> {
    let each = flag.value.into_iter().flat_map(|value| value.split(',')).map(|word| word.trim().parse().ok());
    let each: Option<Vec<u64>> = each.collect();
    each.and_then(|each| each.first().copied()).ok_or_else(|| bad(flag, "MiB, or a list of them with commas between"))
}

/// Whether a way of loading maps the file: `auto` does, but on devices that cannot.
fn mapped(flag: &Flag<'_>) -> Result<bool, LlamaCppError> {
    match flag.value {
        Some("auto" | "mmap" | "mmap+mlock") => Ok(true),
        Some("none" | "mlock" | "dio") => Ok(false),
        _ => Err(bad(flag, "auto, none, mmap, mlock, mmap+mlock or dio")),
    }
}

fn bad(flag: &Flag<'_>, expected: &'static str) -> LlamaCppError {
    let value = flag.value.unwrap_or("without a value").to_owned();
    LlamaCppError::BadArgument { name: flag.name.clone(), value, expected }
}

/// A whole number; a negative one is the server's own choice, as 0 is.
fn number(flag: &Flag<'_>) -> Result<u64, LlamaCppError> {
    let value = flag.value.and_then(|value| value.parse::<i64>().ok());
    value.map(|value| u64::try_from(value).unwrap_or(0)).ok_or_else(|| bad(flag, "a whole number"))
}

fn layers(flag: &Flag<'_>) -> Result<Option<u64>, LlamaCppError> {
    match flag.value {
        Some("auto" | "-1") => Ok(None),
        Some("all" | "-2") => Ok(Some(u64::MAX)),
        _ => number(flag).map(Some).map_err(|_| bad(flag, "a whole number, auto or all")),
    }
}

fn cache_type(flag: &Flag<'_>) -> Result<String, LlamaCppError> {
    let given = flag.value.filter(|value| cache_kind(value).is_some());
    given.map(str::to_owned).ok_or_else(|| bad(flag, "f32, f16, bf16, q8_0, q4_0, q4_1, iq4_nl, q5_0 or q5_1"))
}

/// `on`, `off` or `auto`; a bare option is on.
fn switch(flag: &Flag<'_>, bare: bool) -> Result<Option<bool>, LlamaCppError> {
    match flag.value {
        None => Ok(Some(bare)),
        Some("on" | "enabled" | "true" | "1") => Ok(Some(true)),
        Some("off" | "disabled" | "false" | "0") => Ok(Some(false)),
        Some("auto" | "-1") => Ok(None),
        Some(_) => Err(bad(flag, "on, off or auto")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> LlamaCppLine {
        LlamaCppLine::read(&line.split_whitespace().collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn short_and_long_names_say_the_same() {
        let short =
            read("llama-server -m x.gguf -c 4096 -np 2 -ngl 3 -ctk q8_0 -ctv q4_0 -fa off -ub 128 -b 256 -nkvo");
        let long = read(
            "/opt/bin/llama-server --model x.gguf --ctx-size 4096 --parallel 2 --n-gpu-layers 3 --cache-type-k q8_0 \
             --cache-type-v q4_0 --flash-attn off --ubatch-size 128 --batch-size 256 --no-kv-offload",
        );
        assert_eq!(short.args, long.args);
        assert_eq!(short.model.as_deref(), Some("x.gguf"));
        assert_eq!((short.args.context, short.args.slots, short.args.gpu_layers), (Some(4096), Some(2), Some(3)));
        assert!(!short.args.is_unified() && !short.args.offload_cache);
    }

    #[test]
    fn what_is_not_given_is_the_servers_own_choice() {
        let line = read("-m x.gguf -c 0 -np -1 -ngl auto -fa");
        assert!(line.args.keeps_context && !read("-m x.gguf").args.keeps_context);
        assert_eq!((line.args.context, line.args.slots, line.args.gpu_layers), (None, None, None));
        assert!(line.args.is_unified(), "one pool for slots whose number nobody gave");
        assert_eq!(line.args.flash_attention, Some(true));
    }

    #[test]
    fn what_takes_memory_and_is_not_modelled_is_named() {
        let line = read("-m x.gguf -md draft.gguf --metrics --port 8080");
        assert_eq!(line.args.unmodelled, ["--model-draft draft.gguf"]);
        assert_eq!(line.args.ignored, ["--metrics", "--port 8080"]);
    }

    #[test]
    fn variables_say_what_options_say_and_the_line_counts() {
        let set = read(
            "docker run -e LLAMA_ARG_CTX_SIZE=4096 --env=LLAMA_ARG_N_GPU_LAYERS=20 -e LLAMA_ARG_FIT_TARGET=512,9 -e \
             LLAMA_ARG_CPU_MOE=1 -e LLAMA_ARG_SWA_FULL=0 -e LLAMA_ARG_MMAP=off -e LLAMA_ARG_PORT=80 -e LLAMA_ARG_SPLIT_MODE=row \
             ghcr.io/ggml-org/llama.cpp:server -m x.gguf -ngl 5",
        );
        let args = &set.args;
        assert_eq!((set.model.as_deref(), args.context, args.gpu_layers), (Some("x.gguf"), Some(4096), Some(5)));
        assert_eq!((args.fit_target, args.cpu_moe_layers, args.mmap), (512 << 20, u64::MAX, false));
        assert_eq!(
            (&args.unmodelled[..], &args.ignored[..]),
            (&["--split-mode row".to_owned()][..], &["LLAMA_ARG_PORT=80".to_owned()][..])
        );
        let wrong = LlamaCppLine::read(&["LLAMA_ARG_CTX_SIZE=many", "llama-server", "-m", "x.gguf"]);
        assert!(matches!(wrong, Err(LlamaCppError::BadArgument { .. })), "{wrong:?}");
    }

    #[test]
    fn a_way_of_loading_maps_the_file_or_does_not() {
        for (mode, mapped) in [("auto", true), ("mmap", true), ("mmap+mlock", true), ("none", false), ("dio", false)] {
            assert_eq!(read(&format!("-m x.gguf -lm {mode}")).args.mmap, mapped, "{mode}");
        }
    }

    #[test]
    fn wrong_values_are_refused_with_what_may_stand_there() {
        for wrong in ["-c many", "-ctk f8", "-fa maybe", "-ngl half"] {
            let words: Vec<&str> = wrong.split_whitespace().collect();
            assert!(matches!(LlamaCppLine::read(&words), Err(LlamaCppError::BadArgument { .. })), "{wrong}");
        }
    }
}
