//! Options that change nothing of what an engine takes on a device by the time it serves.
//!
//! Source: `vllm serve --help=all` and `vllm bench latency --help` of 0.25, 0.32 and 0.33, with older names. An option that
//! stands neither here nor among those that are modelled makes an estimate uncertain: it was not looked at.

/// What each group is of, and its options.
const WITHOUT_EFFECT: [(&str, &[&str]); 5] = [
    (
        "the server's front",
        &[
            "allow-credentials",
            "allowed-headers",
            "allowed-local-media-path",
            "allowed-media-domains",
            "allowed-methods",
            "allowed-origins",
            "anthropic-disabled-thinking-effort",
            "api-key",
            "api-server-count",
            "chat-template",
            "chat-template-content-format",
            "cohere-format",
            "cohere-is-reasoning-model",
            "default-chat-template-kwargs",
            "disable-access-log-for-endpoints",
            "disable-fastapi-docs",
            "disable-frontend-multiprocessing",
            "disable-uvicorn-access-log",
            "enable-auto-tool-choice",
            "enable-force-include-usage",
            "enable-offline-docs",
            "enable-per-request-metrics",
            "enable-prompt-tokens-details",
            "enable-reasoning",
            "enable-request-id-headers",
            "enable-server-load-tracking",
            "enable-ssl-refresh",
            "enable-tokenizer-info-endpoint",
            "exclude-tools-when-tool-choice-none",
            "fingerprint-mode",
            "fingerprint-value",
            "grpc",
            "grpc-port",
            "h11-max-header-count",
            "h11-max-incomplete-event-size",
            "headless",
            "host",
            "interleave-mm-strings",
            "io-processor-plugin",
            "lora-modules",
            "middleware",
            "port",
            "reasoning-parser",
            "reasoning-parser-plugin",
            "renderer-num-workers",
            "response-role",
            "return-tokens-as-token-ids",
            "root-path",
            "served-model-name",
            "shutdown-timeout",
            "sse-keep-alive-interval",
            "ssl-ca-certs",
            "ssl-cert-reqs",
            "ssl-certfile",
            "ssl-ciphers",
            "ssl-keyfile",
            "tokens-only",
            "tool-call-parser",
            "tool-parser-plugin",
            "tool-server",
            "tool-strict-level",
            "trust-request-chat-template",
            "uds",
        ],
    ),
    (
        "what it says of itself",
        &[
            "aggregate-engine-logging",
            "collect-detailed-traces",
            "cudagraph-metrics",
            "custom-histogram-buckets",
            "disable-log-requests",
            "disable-log-stats",
            "enable-layerwise-nvtx-tracing",
            "enable-log-deltas",
            "enable-log-outputs",
            "enable-log-requests",
            "enable-logging-iteration-details",
            "enable-mfu-metrics",
            "jit-monitor-mode",
            "jit-monitor-verbose",
            "kv-cache-metrics",
            "kv-cache-metrics-sample",
            "kv-events-config",
            "log-config-file",
            "log-error-stack",
            "log-level",
            "logging-config",
            "max-log-len",
            "otlp-traces-endpoint",
            "per-request-spec-decode-metrics",
            "profiler-config",
            "show-hidden-metrics-for-version",
            "use-tqdm-on-load",
            "uvicorn-log-level",
        ],
    ),
    (
        "where files come from, and how text becomes tokens and back",
        &[
            "code-revision",
            "config",
            "config-format",
            "disable-detokenize",
            "download-dir",
            "generation-config",
            "guided-decoding-backend",
            "hf-token",
            "ignore-patterns",
            "logits-processors",
            "logprobs-mode",
            "max-logprobs",
            "max-parallel-loading-workers",
            "override-generation-config",
            "pt-load-map-location",
            "revision",
            "safetensors-load-strategy",
            "safetensors-prefetch-block-size",
            "safetensors-prefetch-num-threads",
            "seed",
            "skip-tokenizer-init",
            "stream-interval",
            "structured-outputs-config",
            "tokenizer",
            "tokenizer-mode",
            "tokenizer-revision",
            "trust-remote-code",
        ],
    ),
    (
        "processes, hosts and queues",
        &[
            "cpu-distributed-timeout-seconds",
            "data-parallel-address",
            "data-parallel-backend",
            "data-parallel-external-lb",
            "data-parallel-hybrid-lb",
            "data-parallel-multi-port-external-lb",
            "data-parallel-rank",
            "data-parallel-rpc-port",
            "data-parallel-size-local",
            "data-parallel-start-rank",
            "data-parallel-supervisor-port",
            "device",
            "device-ids",
            "disable-async-output-proc",
            "distributed-executor-backend",
            "distributed-timeout-seconds",
            "dp-supervisor-probe-failure-threshold",
            "dp-supervisor-probe-interval-s",
            "dp-supervisor-probe-timeout-s",
            "fail-on-environ-validation",
            "long-prefill-token-threshold",
            "master-addr",
            "master-port",
            "max-num-queued-reqs",
            "max-num-queued-tokens",
            "mm-hasher-algorithm",
            "mm-processor-cache-gb",
            "mm-processor-cache-type",
            "mm-shm-cache-max-object-size-mb",
            "nnodes",
            "node-rank",
            "numa-bind",
            "numa-bind-cpus",
            "numa-bind-nodes",
            "prefix-caching-hash-algo",
            "ray-workers-use-nsight",
            "scheduling-policy",
            "swap-space",
            // Recorded once, with 0.25.1: the same figures.
            "enable-sleep-mode",
        ],
    ),
    (
        "what a benchmark sends",
        &[
            "batch-size",
            "dataset-name",
            "dataset-path",
            "input-len",
            "n",
            "num-iters",
            "num-iters-warmup",
            "num-prompts",
            "output-json",
            "output-len",
            "profile",
            "profile-result-dir",
            "random-input-len",
            "random-output-len",
        ],
    ),
];

/// Options of pictures and sounds: they matter to models that take any.
const OF_OTHER_SENSES: [&str; 8] = [
    "default-mm-loras",
    "disable-chunked-mm-input",
    "enable-mm-embeds",
    "enable-tower-connector-lora",
    "limit-mm-per-prompt",
    "media-io-kwargs",
    "skip-mm-profiling",
    "trust-request-mm-kwargs",
];

/// Whether an option, by its name without dashes in front, changes nothing on the device.
pub(crate) fn is_without_effect(name: &str) -> bool {
    let name = name.split('.').next().unwrap_or(name);
    let bare = name.strip_prefix("no-").unwrap_or(name);
    WITHOUT_EFFECT.iter().any(|(_, options)| options.contains(&bare))
}

/// Whether an option, by its name with or without dashes in front, matters only to models of pictures and sounds.
pub(crate) fn is_of_other_senses(option: &str) -> bool {
    let name = option.trim_start_matches('-').split('.').next().unwrap_or_default();
    let bare = name.strip_prefix("no-").unwrap_or(name);
    bare.starts_with("mm-") || bare.starts_with("video-") || OF_OTHER_SENSES.contains(&bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_option_stands_twice_or_is_of_two_kinds() {
        let mut all: Vec<&str> = WITHOUT_EFFECT.iter().flat_map(|(_, options)| *options).copied().collect();
        assert!(!all.iter().any(|name| OF_OTHER_SENSES.contains(name)));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn a_switch_may_be_off_and_an_object_may_be_told_of_by_its_fields() {
        assert!(is_without_effect("no-enable-log-requests") && is_without_effect("structured-outputs-config.backend"));
        assert!(!is_without_effect("attention-backend") && !is_without_effect("no-such-flag"));
        assert!(is_of_other_senses("--mm-processor-kwargs") && is_of_other_senses("--limit-mm-per-prompt.image"));
    }
}
