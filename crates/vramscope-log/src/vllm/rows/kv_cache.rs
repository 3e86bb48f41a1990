//! The KV cache: memory is per worker, tokens are per engine, blocks are per worker and equal on all.

use vramscope_core::{Generation, Milestone};

use super::{Row, row};

const SIZED: Milestone = Milestone::KvPoolSized;

pub(super) const ROWS: &[Row] = &[
    // Memory.
    row("0.9.1-", "emory", "Available KV cache memory: {kv_pool~2}").event(Milestone::Profiled),
    row(
        "0.10.2-",
        "emory",
        "Initial free memory {initial_free~2}, reserved {kv_pool~2} memory for KV Cache as specified by kv_cache_memory_bytes",
    )
    .event(Milestone::Profiled),
    row("0.26.0-", "emory", "Applying persisted startup plan {..}kv_cache_memory_bytes={ignored} ({kv_pool})")
        .event(Milestone::Profiled),
    row("0.25.1-", "emory", "Reserving {ignored_memory~2} of GPU memory for frontend multimodal decoding{..}KV cache memory reduced to {kv_pool~2}."),
    row("0.20.0-", " KV cache", "{Explicitly|Auto} set ({kv_pool~2}/{host_total~2}) GiB for KV cache on node")
        .event(Milestone::Profiled),
    row(
        "-0.13.0",
        "KVCACHE_SPACE",
        "Environment variable VLLM_CPU_KVCACHE_SPACE (GiB) for CPU backend is not set, using {cpu_kv_space} by default",
    ),
    // Tokens and concurrency, on one line or on two.
    row(
        "0.33.0-",
        " KV cache",
        "GPU + host KV cache size: {kv_tokens} tokens[[, Maximum concurrency for {concurrency_tokens} tokens per request: {concurrency_factor}x]]",
    )
    .event(SIZED),
    row(
        "0.28.0-",
        " KV cache",
        "{ignored_word} KV cache size: {kv_tokens} tokens, Maximum concurrency for {concurrency_tokens} tokens per request: {concurrency_factor}x",
    )
    .event(SIZED),
    row("0.8.0-", " KV cache", "{ignored_word} KV cache size: {kv_tokens} tokens").event(SIZED),
    row(
        "0.6.3.post1-0.27.1",
        "concurrency for",
        "Maximum concurrency for {concurrency_tokens} tokens per request: {concurrency_factor}x",
    ),
    row("0.10.2-0.20", " KV cache", "Multiplying the GPU KV cache size by the {dcp_world_size|cp_world_size|pcp_world_size} {context_parallel_size}."),
    row("0.9.1-", "emory", "Add {ignored} padding layers, may waste at most {kv_waste_pct}% KV cache memory"),
    row("0.14.0-", "emory", "Auto-fit max_model_len: reduced from {ignored} to {fitted_max_model_len} to fit in available KV cache memory"),
    // Blocks.
    row("0.2-0.10.2", "block", "[[# ]]{ignored_word} blocks: {gpu_blocks}, # CPU blocks: {cpu_blocks}")
        .event(SIZED)
        .says(Generation::V0),
    row("0.6.3-0.6.6", "block", "OpenVINO {..}: # device blocks: {gpu_blocks}; # swap blocks: {cpu_blocks}")
        .event(SIZED)
        .says(Generation::V0),
    row("0.6.4-0.7.3", "block", "# GPU blocks: {gpu_blocks}").event(SIZED).says(Generation::V1),
    row("0.4.0-0.6.6", "block", "# CPU blocks: {cpu_blocks}").event(SIZED).says(Generation::V0),
    row("0.9.0-", "block", "[[Engine {engine_index}: ]]vllm cache_config_info with initialization after num_gpu_blocks is: {gpu_blocks}"),
    row("0.11.0-", "block", "{ignored} Engines: vllm cache_config_info with initialization after num_gpu_blocks is: {gpu_blocks}"),
    row("0.4.0-", "block", "Overriding num_gpu_blocks={profiled_blocks} with num_gpu_blocks_override={ignored}"),
    row(
        "-0.17.1",
        "emory",
        "[[Possibly too large swap space. ]]{swap_space} out of the {host_total} total CPU memory is allocated for the swap space.",
    ),
    // The size of a block.
    row("0.10.0-", "block", "Setting attention block size to {block_size} tokens"),
    row("0.18.0-0.30.0", "block", "Setting kv cache block size to {block_size} for"),
    row("0.8.0-0.17.1", "block", "Forcing kv cache block size to {block_size} for"),
    row("0.4.1-", "emory", "Using {kv_cache_dtype} data type to store kv cache. It reduces the GPU memory footprint"),
];
