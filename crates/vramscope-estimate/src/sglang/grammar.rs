//! The server's command line (`server_args.py`, `add_cli_args`; since 0.5.14 the fields themselves).

use vramscope_core::{ElementType, EngineKind, EngineLine, Flag, Grammar, Part};

use super::args::SgLangArgs;
use super::error::SgLangError;
use super::length::SGLANG_ALLOWS_LONG;

/// The options' further names and those without a value.
pub const SGLANG_LINE: Grammar = Grammar {
    short: &[],
    switches: &[
        "allow-auto-truncate",
        "disable-cuda-graph",
        "disable-cuda-graph-padding",
        "disable-custom-all-reduce",
        "disable-decode-cuda-graph",
        "disable-hybrid-swa-memory",
        "disable-overlap-schedule",
        "disable-piecewise-cuda-graph",
        "disable-prefill-cuda-graph",
        "disable-radix-cache",
        "enable-cache-report",
        "enable-deepep-moe",
        "enable-dp-attention",
        "enable-dp-lm-head",
        "enable-ep-moe",
        "enable-eplb",
        "enable-flashinfer-allreduce-fusion",
        "enable-hierarchical-cache",
        "enable-lora",
        "enable-memory-saver",
        "enable-metrics",
        "enable-mixed-chunk",
        "enable-multimodal",
        "enable-p2p-check",
        "enable-piecewise-cuda-graph",
        "enable-symm-mem",
        "enable-torch-compile",
        "enable-two-batch-overlap",
        "is-embedding",
        "language-only",
        "log-requests",
        "show-time-cost",
        "skip-server-warmup",
        "skip-tokenizer-init",
        "trust-remote-code",
    ],
    glued: &[],
    several: &[
        "cuda-graph-bs",
        "cuda-graph-bs-decode",
        "cuda-graph-bs-prefill",
        "lora-paths",
        "lora-target-modules",
        "piecewise-cuda-graph-tokens",
    ],
};

/// Options that change no memory of a device. One that is neither here nor read may do anything.
const INDIFFERENT: &[&str] = &[
    "allow-auto-truncate",
    "api-key",
    "base-gpu-id",
    "bucket-e2e-request-latency",
    "bucket-inter-token-latency",
    "bucket-time-to-first-token",
    "chat-template",
    "collect-tokens-histogram",
    "completion-template",
    "constrained-json-whitespace-pattern",
    "crash-dump-folder",
    "decode-log-interval",
    "disable-fast-image-processor",
    "disable-outlines-disk-cache",
    "disable-overlap-schedule",
    "dist-init-addr",
    "dist-timeout",
    "download-dir",
    "enable-cache-report",
    "enable-metrics",
    "enable-p2p-check",
    "enable-request-time-stats-logging",
    "enable-trace",
    "fastapi-root-path",
    "file-storage-path",
    "gc-warning-threshold-secs",
    "gpu-id-step",
    "grammar-backend",
    "host",
    "hooks",
    "kv-events-config",
    "load-balance-method",
    "log-level",
    "log-level-http",
    "log-requests",
    "log-requests-level",
    "model-impl",
    "nccl-port",
    "node-rank",
    "port",
    "preferred-sampling-params",
    "random-seed",
    "reasoning-parser",
    "revision",
    "sampling-backend",
    "schedule-conservativeness",
    "schedule-policy",
    "served-model-name",
    "show-time-cost",
    "skip-server-warmup",
    "skip-tokenizer-init",
    "sleep-on-idle",
    "stream-interval",
    "stream-output",
    "tokenizer-metrics-custom-labels-header",
    "tokenizer-mode",
    "tokenizer-path",
    "tokenizer-worker-num",
    "tool-call-parser",
    "tool-server",
    "trust-remote-code",
    "warmups",
    "watchdog-timeout",
    "weight-version",
];

/// The variable by which later releases size the pool behind the graphs.
const POST_CAPTURE: &str = "SGLANG_ENABLE_POST_CAPTURE_KV_SIZING";

/// A command line, read.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct SgLangLine {
    /// The arguments that decide memory.
    pub args: SgLangArgs,
    /// The model that is loaded.
    pub model: Option<String>,
}

/// The words behind the server's name; behind a container's image the name may stand again.
pub(super) fn behind_program<S: AsRef<str>>(words: &[S]) -> &[S] {
    let mut own = words;
    for _ in 0..2 {
        let Some(line) = EngineLine::of(own).filter(|line| line.kind == EngineKind::SgLang) else { break };
        own = own.get(line.lead..).unwrap_or(own);
    }
    own
}

/// Whether words start SGLang.
pub fn is_sglang_command<S: AsRef<str>>(words: &[S]) -> bool {
    EngineLine::of(words).is_some_and(|line| line.kind == EngineKind::SgLang)
}

impl SgLangLine {
    /// Reads the words of a command line, with the server's name in front or without.
    ///
    /// # Errors
    /// [`SgLangError::BadArgument`]: a value that the server refuses.
    pub fn read<S: AsRef<str>>(words: &[S]) -> Result<Self, SgLangError> {
        let started = EngineLine::of(words).filter(|line| line.kind == EngineKind::SgLang);
        let own = behind_program(words);
        let mut line = Self::default();
        let variable = |name: &str| started.and_then(|line| line.variable(words, name));
        line.args.allow_longer_context = variable(SGLANG_ALLOWS_LONG).map(str::to_owned);
        let set = variable(POST_CAPTURE);
        if set.is_some_and(|set| ["1", "true", "yes", "y", "t"].contains(&set.to_ascii_lowercase().as_str())) {
            line.args.unmodelled.push(format!("{POST_CAPTURE}=1"));
        }
        for part in SGLANG_LINE.read(own) {
            match part {
                // The subcommand; a module that a container starts.
                Part::Word("serve" | "launch_server") => {}
                Part::Word(word) => line.args.ignored.push(vramscope_core::redact(word)),
                Part::Flag(flag) => line.take(&flag)?,
            }
        }
        Ok(line)
    }

    fn take(&mut self, flag: &Flag<'_>) -> Result<(), SgLangError> {
        let args = &mut self.args;
        match flag.name.as_str() {
            "model" | "model-path" => self.model = flag.value.map(str::to_owned),
            "tp" | "tp-size" | "tensor-parallel-size" => args.tp_size = count(flag)?,
            "pp" | "pp-size" | "pipeline-parallel-size" => args.pp_size = count(flag)?,
            "dp" | "dp-size" | "data-parallel-size" => args.dp_size = count(flag)?,
            "ep" | "ep-size" | "expert-parallel-size" => args.ep_size = count(flag)?,
            "enable-dp-attention" => args.dp_attention = true,
            "dtype" => args.dtype = dtype(flag)?,
            "quantization" => args.quantization = flag.value.map(str::to_owned),
            "kv-cache-dtype" => args.kv_cache_dtype = flag.value.filter(|name| *name != "auto").map(str::to_owned),
            "context-length" => args.context_length = Some(count(flag)?),
            "mem-fraction-static" => args.mem_fraction_static = Some(share(flag)?),
            "max-running-requests" => args.max_running_requests = Some(count(flag)?),
            "max-total-tokens" => args.max_total_tokens = Some(count(flag)?),
            // -1 turns it off.
            "chunked-prefill-size" => args.chunked_prefill_size = Some(whole(flag)?),
            "max-prefill-tokens" => args.max_prefill_tokens = count(flag)?,
            "page-size" => args.page_size = Some(count(flag)?),
            "cuda-graph-max-bs" | "cuda-graph-max-bs-decode" => args.cuda_graph_max_bs = Some(count(flag)?),
            "cuda-graph-bs" | "cuda-graph-bs-decode" => batches(flag, args)?,
            "disable-cuda-graph" | "disable-decode-cuda-graph" => args.disable_cuda_graph = true,
            "enable-piecewise-cuda-graph" => args.prefill_graphs = Some(true),
            "disable-piecewise-cuda-graph" | "disable-prefill-cuda-graph" => args.prefill_graphs = Some(false),
            "swa-full-tokens-ratio" => args.swa_full_tokens_ratio = Some(share(flag)?),
            "disable-hybrid-swa-memory" => args.disable_hybrid_swa_memory = true,
            "mamba-full-memory-ratio" => args.mamba_full_memory_ratio = ratio(flag)?,
            name => {
                let given = flag.shown();
                // What is not known here may be an option of a later release, a shortened name, or `--config`.
                let list = if INDIFFERENT.contains(&name) { &mut args.ignored } else { &mut args.unmodelled };
                list.push(given);
            }
        }
        Ok(())
    }
}

fn bad(flag: &Flag<'_>, expected: &'static str) -> SgLangError {
    let value = flag.value.unwrap_or("without a value").chars().take(80).collect();
    SgLangError::BadArgument { name: flag.name.clone(), value, expected }
}

/// A whole number; a negative one is the server's "off", here 0.
fn whole(flag: &Flag<'_>) -> Result<u64, SgLangError> {
    let value = flag.value.and_then(|value| value.parse::<i64>().ok());
    value.map(|value| u64::try_from(value).unwrap_or(0)).ok_or_else(|| bad(flag, "a whole number"))
}

/// A whole number of at least 1; no argument here is ever near the bound.
fn count(flag: &Flag<'_>) -> Result<u64, SgLangError> {
    let value = flag.value.and_then(|value| value.parse::<u64>().ok());
    value.filter(|value| (1..=1 << 40).contains(value)).ok_or_else(|| bad(flag, "a whole number of at least 1"))
}

fn share(flag: &Flag<'_>) -> Result<f64, SgLangError> {
    let value = flag.value.and_then(|value| value.parse::<f64>().ok());
    value.filter(|value| *value > 0.0 && *value <= 1.0).ok_or_else(|| bad(flag, "a share above 0 and up to 1"))
}

fn ratio(flag: &Flag<'_>) -> Result<f64, SgLangError> {
    let value = flag.value.and_then(|value| value.parse::<f64>().ok());
    value.filter(|value| (0.001..=1000.0).contains(value)).ok_or_else(|| bad(flag, "a ratio such as 0.9"))
}

fn dtype(flag: &Flag<'_>) -> Result<Option<ElementType>, SgLangError> {
    match flag.value {
        Some("auto") => Ok(None),
        Some("half" | "float16") => Ok(Some(ElementType::F16)),
        Some("bfloat16") => Ok(Some(ElementType::Bf16)),
        Some("float" | "float32") => Ok(Some(ElementType::F32)),
        _ => Err(bad(flag, "auto, half, float16, bfloat16, float or float32")),
    }
}

/// Batches one by one: the largest of them stands for `--cuda-graph-max-bs`.
fn batches(flag: &Flag<'_>, args: &mut SgLangArgs) -> Result<(), SgLangError> {
    let words: Vec<&str> = flag.value.iter().copied().chain(flag.more.iter().copied()).collect();
    let sizes: Option<Vec<u64>> = words.iter().map(|word| word.parse().ok().filter(|size| *size > 0)).collect();
    let sizes = sizes.filter(|sizes| !sizes.is_empty()).ok_or_else(|| bad(flag, "batch sizes such as 1 2 4 8"))?;
    args.cuda_graph_max_bs = sizes.iter().max().copied();
    args.cuda_graph_batches = u64::try_from(sizes.len()).ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> SgLangLine {
        SgLangLine::read(&line.split_whitespace().collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_module_a_command_and_the_options_alone_say_the_same() {
        let options =
            "--model-path a/b --tp 4 --mem-fraction-static 0.85 --context-length 8192 --chunked-prefill-size -1";
        let module = read(&format!("python3 -m sglang.launch_server {options}"));
        assert_eq!(module, read(&format!("sglang serve {options}")));
        assert_eq!(module, read(options));
        assert_eq!(module, read(&options.replace("--tp ", "--tensor-parallel-size=")));
        assert_eq!(module.model.as_deref(), Some("a/b"));
        let args = module.args;
        assert_eq!((args.tp_size, args.mem_fraction_static, args.context_length), (4, Some(0.85), Some(8192)));
        assert_eq!(args.chunked_prefill_size, Some(0), "-1 is off");
    }

    #[test]
    fn a_line_of_a_container_and_one_with_variables() {
        let line = read(
            "docker run --gpus all lmsysorg/sglang:latest python3 -m sglang.launch_server --model-path a/b --dp-size 2 \
             --enable-dp-attention --cuda-graph-bs 1 2 16 --port 30000",
        );
        assert_eq!(line.model.as_deref(), Some("a/b"));
        assert!(line.args.dp_attention);
        assert_eq!((line.args.cuda_graph_max_bs, line.args.cuda_graph_batches), (Some(16), Some(3)));
        assert!(line.args.ignored.contains(&"--port 30000".to_owned()));
        let later = read("sglang serve --cuda-graph-max-bs-decode 32 --cuda-graph-bs-decode 1 2 4 8 --model-path a/b");
        assert_eq!((later.args.cuda_graph_max_bs, later.args.cuda_graph_batches), (Some(8), Some(4)));
        let set = read("SGLANG_ENABLE_POST_CAPTURE_KV_SIZING=1 sglang serve --model-path a/b");
        assert_eq!(set.args.unmodelled, ["SGLANG_ENABLE_POST_CAPTURE_KV_SIZING=1"]);
    }

    #[test]
    fn what_takes_memory_and_is_not_modelled_is_named() {
        let line =
            read("--model-path a/b --speculative-algorithm EAGLE --trust-remote-code --config x.yaml --mem-frac 0.6");
        assert_eq!(line.args.unmodelled, ["--speculative-algorithm EAGLE", "--config x.yaml", "--mem-frac 0.6"]);
        assert_eq!(line.args.ignored, ["--trust-remote-code"]);
    }

    #[test]
    fn wrong_values_are_refused_with_what_may_stand_there() {
        for wrong in [
            "--tp 0",
            "--tp many",
            "--mem-fraction-static 1.5",
            "--mem-fraction-static nan",
            "--mem-fraction-static",
            "--dtype fp7",
            "--cuda-graph-bs 1 two",
            "--max-total-tokens 99999999999999",
        ] {
            let words: Vec<&str> = wrong.split_whitespace().collect();
            assert!(matches!(SgLangLine::read(&words), Err(SgLangError::BadArgument { .. })), "{wrong}");
        }
    }
}
