//! What vLLM's options are called, of every release from 0.4 to 0.33. Source: `make_arg_parser` of the server, the
//! arguments of `bench latency`, and `FlexibleArgumentParser`, which reads them.

use vramscope_core::{EngineKind, EngineLine, Grammar, Part};

/// How vLLM reads its command line. A name that is not listed is an option that takes a value.
pub const COMMAND_LINE: Grammar =
    Grammar { short: SHORT, switches: SWITCHES, glued: &[("O", "optimization-level")], several: SEVERAL };

/// Fields that are lists or sets in `EngineArgs` and in the server's own arguments.
const SEVERAL: &[&str] = &[
    "allowed-media-domains",
    "api-key",
    "collect-detailed-traces",
    "cpu-offload-params",
    "cuda-graph-sizes",
    "cudagraph-capture-sizes",
    "device-ids",
    "ignore-patterns",
    "kv-cache-dtype-skip-layers",
    "logits-processors",
    "lora-modules",
    "lora-target-modules",
    "numa-bind-cpus",
    "numa-bind-nodes",
    "offload-params",
    "prompt-adapters",
    "served-model-name",
];

const SHORT: &[(&str, &str)] = &[
    ("ac", "attention-config"),
    ("asc", "api-server-count"),
    ("cc", "compilation-config"),
    ("dc", "diffusion-config"),
    ("dcp", "decode-context-parallel-size"),
    ("dp", "data-parallel-size"),
    ("dpa", "data-parallel-address"),
    ("dpb", "data-parallel-backend"),
    ("dpe", "data-parallel-external-lb"),
    ("dph", "data-parallel-hybrid-lb"),
    ("dpl", "data-parallel-size-local"),
    ("dpm", "data-parallel-multi-port-external-lb"),
    ("dpn", "data-parallel-rank"),
    ("dpp", "data-parallel-rpc-port"),
    ("dpr", "data-parallel-start-rank"),
    ("ep", "enable-expert-parallel"),
    ("h", "help"),
    ("n", "nnodes"),
    ("pcp", "prefill-context-parallel-size"),
    ("pp", "pipeline-parallel-size"),
    ("q", "quantization"),
    ("r", "node-rank"),
    ("sc", "speculative-config"),
    ("tp", "tensor-parallel-size"),
];

const SWITCHES: &[&str] = &[
    "aggregate-engine-logging",
    "allow-credentials",
    "allow-deprecated-quantization",
    "async-scheduling",
    "calculate-kv-scales",
    "cohere-is-reasoning-model",
    "cudagraph-metrics",
    "data-parallel-external-lb",
    "data-parallel-hybrid-lb",
    "data-parallel-multi-port-external-lb",
    "dcp-q-replicate",
    "disable-async-output-proc",
    "disable-cascade-attn",
    "disable-chunked-mm-input",
    "disable-custom-all-reduce",
    "disable-detokenize",
    "disable-fastapi-docs",
    "disable-frontend-multiprocessing",
    "disable-hybrid-kv-cache-manager",
    "disable-log-requests",
    "disable-log-stats",
    "disable-logprobs-during-spec-decoding",
    "disable-mm-preprocessor-cache",
    "disable-nccl-for-dp-synchronization",
    "disable-sliding-window",
    "disable-uvicorn-access-log",
    "enable-auto-tool-choice",
    "enable-batch-sharded-sampling",
    "enable-chunked-prefill",
    "enable-cumem-allocator",
    "enable-dbo",
    "enable-elastic-ep",
    "enable-ep-weight-filter",
    "enable-eplb",
    "enable-expert-parallel",
    "enable-fault-tolerance",
    "enable-flash-late-interaction",
    "enable-flashinfer-autotune",
    "enable-force-include-usage",
    "enable-hc-sp",
    "enable-layerwise-nvtx-tracing",
    "enable-log-deltas",
    "enable-log-outputs",
    "enable-log-requests",
    "enable-logging-iteration-details",
    "enable-lora",
    "enable-lora-bias",
    "enable-mamba-cache-stochastic-rounding",
    "enable-mamba-shared-prefix-checkpoint",
    "enable-mfu-metrics",
    "enable-mixed-moe-lora-format",
    "enable-mm-embeds",
    "enable-moe-shared-loras",
    "enable-nccl-comm-suspend",
    "enable-offline-docs",
    "enable-per-request-metrics",
    "enable-prefix-caching",
    "enable-prompt-adapter",
    "enable-prompt-embeds",
    "enable-prompt-tokens-details",
    "enable-reasoning",
    "enable-request-id-headers",
    "enable-return-routed-experts",
    "enable-scale-out",
    "enable-server-load-tracking",
    "enable-shm-tensor-arena",
    "enable-sleep-mode",
    "enable-ssl-refresh",
    "enable-tokenizer-info-endpoint",
    "enable-tower-connector-lora",
    "enable-trace-replay",
    "enforce-eager",
    "engine-use-ray",
    "exclude-tools-when-tool-choice-none",
    "fail-on-environ-validation",
    "fully-sharded-loras",
    "grpc",
    "headless",
    "help",
    "interleave-mm-strings",
    "jit-monitor-verbose",
    "kv-cache-metrics",
    "kv-sharing-fast-prefill",
    "language-model-only",
    "log-error-stack",
    "long-prefill-token-threshold-adaptive",
    "mm-device-do-normalize",
    "mm-encoder-only",
    "numa-bind",
    "profile",
    "ray-workers-use-nsight",
    "return-sampling-mask",
    "return-tokens-as-token-ids",
    "scheduler-reserve-full-isl",
    "skip-mm-profiling",
    "skip-tokenizer-init",
    "sleep-mode-offload-cudagraph",
    "specialize-active-lora",
    "swa-bounded-replay",
    "tokens-only",
    "trust-remote-code",
    "trust-request-chat-template",
    "trust-request-mm-kwargs",
    "use-beam-search",
    "use-fp64-gumbel",
    "use-replayssm",
    "use-tqdm-on-load",
    "use-v2-block-manager",
    "worker-use-ray",
];

/// The words behind the program's name: of `python3 -m vllm.entrypoints.cli.main serve m` the last two. Words that do not
/// name the program are all of them.
pub(crate) fn behind_program<S: AsRef<str>>(words: &[S]) -> &[S] {
    let line = EngineLine::of(words).filter(|line| line.kind == EngineKind::Vllm);
    line.map_or(words, |line| &words[line.lead..])
}

/// Whether words start vLLM.
pub fn is_command<S: AsRef<str>>(words: &[S]) -> bool {
    behind_program(words).len() < words.len()
}

/// The words of a configuration file put where vLLM puts them: behind the subcommand and the model, so that what the
/// command line says wins. `read` gives the words of the file of that name.
///
/// # Errors
/// What `read` says.
pub fn with_config_file<E>(
    words: &[String],
    read: impl FnOnce(&str) -> Result<Vec<String>, E>,
) -> Result<Vec<String>, E> {
    let flags = COMMAND_LINE.flags(words);
    let Some((place, file)) = flags.iter().find(|f| f.name == "config").and_then(|f| Some((f.place, f.value?))) else {
        return Ok(words.to_vec());
    };
    let inline = words[place].contains('=');
    let config = read(file)?;
    let mut whole: Vec<String> = words[..place].to_vec();
    whole.extend_from_slice(&words[place + if inline { 1 } else { 2 }..]);
    let first_flag = COMMAND_LINE.read(&whole).iter().position(|part| matches!(part, Part::Flag(_)));
    let at = first_flag.unwrap_or(whole.len());
    whole.splice(at..at, config);
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn names_are_told_once_and_in_order() {
        assert!(SWITCHES.is_sorted() && SHORT.is_sorted());
        assert!(SWITCHES.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn the_program_may_be_a_module_of_an_interpreter() {
        for line in ["vllm serve m", "/opt/v/bin/vllm serve m", "python3 -u -m vllm.entrypoints.cli.main serve m"] {
            assert_eq!(behind_program(&words(line)), words("serve m"), "{line}");
        }
        assert_eq!(behind_program(&words("serve m --x vllm")), words("serve m --x vllm"));
    }

    #[test]
    fn a_configuration_file_stands_behind_the_model_and_loses() {
        let file = |name: &str| -> Result<Vec<String>, String> {
            assert_eq!(name, "c.yaml");
            Ok(words("--max-model-len 1 --enforce-eager"))
        };
        let read = |line| with_config_file(&words(line), file).unwrap().join(" ");
        assert_eq!(
            read("serve m -tp 2 --config c.yaml -q fp8"),
            "serve m --max-model-len 1 --enforce-eager -tp 2 -q fp8"
        );
        assert_eq!(read("--config=c.yaml --max-model-len 2"), "--max-model-len 1 --enforce-eager --max-model-len 2");
        assert_eq!(read("serve m --config"), "serve m --config", "the engine will say what is missing");
    }
}
