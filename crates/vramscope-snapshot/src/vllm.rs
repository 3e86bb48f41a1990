//! Which of vLLM's functions ask for what: read in 0.33.0.

use crate::parts::Rule;

/// The worker, and the runners of both kinds.
const WORKER: &str = "vllm/v1/worker/";

/// In this order: what is asked for inside of something wider comes first.
pub(crate) const RULES: &[Rule] = &[
    Rule { part: "workspaces", path: "vllm/v1/worker/workspace.py", functions: &[] },
    Rule { part: "rotary tables", path: "vllm/model_executor/layers/rotary_embedding", functions: &[] },
    Rule {
        part: "KV cache",
        path: WORKER,
        functions: &[
            "initialize_kv_cache_tensors",
            "init_kv_cache",
            "_allocate_kv_cache_tensors",
            "_allocate_kv_cache",
        ],
    },
    Rule { part: "graphs", path: WORKER, functions: &["capture_model"] },
    // The newer runner makes its sampler's tables where it loads the model.
    Rule { part: "sampler", path: "vllm/v1/worker/gpu/sample/", functions: &["__init__"] },
    Rule { part: "sampler", path: "vllm/v1/worker/gpu/structured_outputs.py", functions: &["__init__"] },
    Rule { part: "weights", path: WORKER, functions: &["load_model", "reload_weights"] },
    Rule { part: "sampler", path: "vllm/v1/sample/", functions: &[] },
    Rule { part: "trial run", path: WORKER, functions: &["profile_run", "determine_available_memory"] },
    Rule {
        part: "warm-up",
        path: WORKER,
        functions: &["compile_or_warm_up_model", "_compile_or_warm_up_model", "warmup_kernels"],
    },
    Rule { part: "requests", path: WORKER, functions: &["execute_model", "sample_tokens"] },
    Rule {
        part: "runner's buffers",
        path: WORKER,
        functions: &["init_device", "initialize_kv_cache", "initialize_from_config", "_make_model_runner"],
    },
];

/// The package, and what lies directly in it.
pub(crate) const PACKAGE: (&str, &[&str]) = (
    "/vllm/",
    &[
        "attention/",
        "compilation/",
        "device_allocator/",
        "distributed/",
        "engine/",
        "entrypoints/",
        "lora/",
        "model_executor/",
        "platforms/",
        "utils/",
        "v1/",
        "vllm_flash_attn/",
        "worker/",
    ],
);
