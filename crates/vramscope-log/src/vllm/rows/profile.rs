//! The memory profile, per worker.

use vramscope_core::{Generation, Milestone};

use super::{Row, row};

pub(super) const ROWS: &[Row] = &[
    row(
        "0.6.4-0.6.4.post1",
        "emory",
        "Memory profiling results: [[duration={profile_secs} seconds, ]]total_gpu_memory={device_total}[[,]] initial_memory_usage={initial_used}[[,]] peak_torch_memory={torch_peak}[[,]] memory_usage_post_profile={used_after_profile}[[,]] non_torch_memory={non_torch}[[,]] kv_cache_size={kv_pool}[[,]] gpu_memory_utilization={gpu_memory_utilization}",
    )
    .event(Milestone::Profiled)
    .says(Generation::V0),
    // Development builds before 0.6.5 print a table, a line for each figure.
    row("0.6.4-0.6.5", "emory", "total_gpu_memory {device_total}"),
    row("0.6.4-0.6.5", "emory", "gpu_memory_utilization {gpu_memory_utilization}"),
    row("0.6.4-0.6.5", "the current vLLM", "the current vLLM instance can use {requested}"),
    row("0.6.4-0.6.5", "weights", "model weights take {weights_profiled}"),
    row("0.6.4-0.6.5", "emory", "non_torch_memory {non_torch}"),
    row("0.6.4-0.6.5", "emory", "PyTorch activation peak memory {activation_peak}").says(Generation::V0),
    row("0.6.4-0.6.5", "emory", "available_kv_cache_memory {kv_pool}").event(Milestone::Profiled).says(Generation::V0),
    row(
        "0.27.0-",
        "emory",
        "Memory profiling takes {profile_secs} seconds. Total non KV cache memory: {non_kv~2}; torch peak memory increase: {torch_peak_increase~2}; total consumed (from mem_get_info): {consumed~2}; weights memory: {weights_profiled~2}.",
    )
    .event(Milestone::Profiled),
    row(
        "0.9.1-0.26.0",
        "emory",
        "Memory profiling takes {profile_secs} seconds. Total non KV cache memory: {non_kv}; torch peak memory increase: {activation_peak~2}; [[non-torch forward increase memory: {non_torch~2}; ]]weights memory: {weights_profiled~2}.",
    )
    .event(Milestone::Profiled),
    row("0.6.5-0.10.2", "emory", "Memory profiling takes {profile_secs} seconds"),
    row(
        "0.6.5-0.10.2",
        "emory",
        "the current vLLM instance can use total_gpu_memory ({device_total}) x gpu_memory_utilization ({gpu_memory_utilization}) = {requested}",
    )
    .says(Generation::V0),
    row(
        "0.6.5-0.10.2",
        "weights",
        "model weights take {weights_profiled}; non_torch_memory takes {non_torch}; PyTorch activation peak memory takes {activation_peak}; the rest of the memory reserved for KV Cache is {kv_pool}.",
    )
    .event(Milestone::Profiled)
    .says(Generation::V0),
    row(
        "0.25.0-",
        "emory",
        "worker init memory snapshot: torch_peak={ignored_memory~2}, [[torch_allocated={ignored_memory~2}, ]]free_memory={initial_free~2}, total_memory={device_total~2}, {cuda|rocm|xpu|cpu|tpu|hpu|npu|musa}_memory={initial_used~2}, torch_memory={ignored_memory~2}, non_torch_memory={initial_non_torch~2}",
    ),
    row("0.25.0-", "emory", "worker requested memory: {requested~2}"),
    row(
        "0.10.1-",
        "emory",
        "Initial free memory: {initial_free~2}; Requested memory: {gpu_memory_utilization} (util), {requested~2}",
    ),
    row(
        "0.9.1-0.10.0",
        "emory",
        "Initial free memory: {initial_free}, free memory: {free_after_profile}, requested GPU memory: {requested}",
    ),
    row(
        "0.10.1-",
        "emory",
        "Free memory after profiling: {free_after_profile~2} (total), {free_within_requested~2} (within requested)",
    ),
    row(
        "0.10.2-0.26.0",
        "emory",
        "Free memory on device[[ {ignored_word}]] ({initial_free~2}/{device_total~2}) on startup. Desired GPU memory utilization is ({gpu_memory_utilization}, {requested~2}). Actual usage is {weights_summary~2} for weight, {activation_summary~2} for peak activation, {non_torch_summary~2} for non-torch memory, and {graphs_summary~2} for CUDAGraph memory.[[{..}`--kv-cache-memory={kv_cache_memory_advised_bytes}`]][[{..}`--kv-cache-memory={kv_cache_memory_advised_of_device_bytes}`]][[{..}Current kv cache memory in use is {kv_pool_summary~2}]]",
    ),
    row(
        "0.27.0-",
        "emory",
        "Free memory on device[[ {ignored_word}]] ({initial_free~2}/{device_total~2}) on startup. Desired GPU memory utilization is ({gpu_memory_utilization}, {requested~2}). Actual usage is {consumed~2} for consumed memory (weights + non-torch), {activation_peak_and_graphs_estimated~2} for peak activation, and {graphs_summary~2} for CUDAGraph memory.[[{..}`--kv-cache-memory={kv_cache_memory_advised_bytes}`]][[{..}`--kv-cache-memory={kv_cache_memory_advised_of_device_bytes}`]][[{..}Current kv cache memory in use is {kv_pool_summary~2}]]",
    ),
    // The plugin for Ascend has words of its own.
    row(
        "0.14.0-",
        "emory",
        "Free memory on device[[ {ignored_word}]] ({initial_free~2}/{device_total~2}) on startup. Desired GPU memory utilization is ({gpu_memory_utilization}, {requested~2}). Actual usage: {weights_summary~2} for weights, {activation_summary~2} for peak activation, {non_torch_summary~2} for non-torch memory, {graphs_summary~2} for NPU graph memory.[[{..}Current KV cache memory: {kv_pool_summary~2}]]",
    ),
    row("0.26.0-", "emory", "Startup plan not applied: current free memory ({initial_free}) is below the recorded baseline ({ignored_memory})"),
    row("0.29.0-", "emory", "Free memory grew by {unexpected_free~2} during profiling"),
    // XPU, in MiB that it calls MB.
    row(
        "0.9.2-0.14",
        "emory",
        "Before memory profiling run, total GPU memory: {device_total}, model load takes {weights_profiled}, free gpu memory is {ignored_memory}.",
    ),
    row(
        "0.9.2-0.14",
        "emory",
        "After memory profiling run, peak memory usage is {torch_peak},torch mem is {torch_memory}, non-torch mem is {non_torch}, free gpu memory is {free_after_profile}.",
    ),
    // Gaudi chooses the unit of each number. It says what each step of the start took; weights have a line of their own.
    row(
        "0.6.4-",
        "emory",
        "Free device memory: {initial_free}, {requested} usable (gpu_memory_utilization={gpu_memory_utilization}), {graphs_reserved} reserved for HPUGraphs ({..}), {kv_pool} reserved for KV cache",
    )
    .event(Milestone::Profiled),
    row(
        "0.9.0-",
        "emory",
        "Free device memory: {initial_free}, {requested} usable (gpu_memory_utilization={gpu_memory_utilization}), {graphs_reserved} reserved for HPUGraphs ({..}), {ignored_memory} reserved for KV cache dummy block {kv_pool} reserved for usable KV cache",
    )
    .event(Milestone::Profiled),
    row("0.5.3-", "emory", "Pre-loading model weights on {ignored_word} took {weights_read} of device memory"),
    row("0.5.3-", "emory", "Wrapping in HPU Graph took {graph_wrapping} of device memory"),
    row("0.9.0-", "HPUGraph took", "Wrapping in HPUGraph took {graph_wrapping}"),
    row("0.5.3-", "emory", "Model profiling run took {profile_run_kept} of device memory"),
    row("0.5.3-", "emory", "{Initializing cache engine|init_cache_engine} took {kv_pool_taken} of device memory"),
    row("0.5.3-", "emory", "Using {graphs_reserved}/{ignored_memory} of free device memory for HPUGraphs"),
    row("0.5.3-", "captur", "{Graph/Prompt|Graph/Decode} captured:{..} used_mem:{graphs_of_phase}"),
    row("0.5.3-", "emory", "Warmup finished in {capture_secs} secs, allocated {graphs} of device memory")
        .event(Milestone::GraphsCaptured),
    // TPU: sums over all devices of the process.
    row(
        "0.11.0-",
        "emory",
        "Memory statistics | total_hbm_limit_gb={devices_total} | total_hbm_limit_cap_gb={devices_requested} | total_hbm_used_gb={devices_used} | total_hbm_avail_gb={devices_free}",
    )
    .event(Milestone::Profiled),
];
