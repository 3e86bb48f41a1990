//! Compilation and captured graphs.

use vramscope_core::Milestone;

use super::{Row, row};

pub(super) const ROWS: &[Row] = &[
    row("0.6.4-", "captur", "Graph capturing finished in {capture_secs} secs, took {graphs~2}")
        .event(Milestone::GraphsCaptured),
    row("0.3-0.6.3.post1", "captur", "Graph capturing finished in {capture_secs} secs.")
        .event(Milestone::GraphsCaptured),
    row("0.18.0-", "captur", "Encoder graph capturing finished in {ignored} secs, took {encoder_graphs}"),
    row("0.18.0-", "emory", "Estimated encoder CUDA graph memory: {encoder_graphs_estimated} for"),
    row("0.18.0-", "emory", "Estimated CUDA graph memory: {graphs_estimated~2} total"),
    row(
        "0.18.0-",
        "emory",
        "CUDA graph pool memory: {graph_pool~2} (actual), {graph_pool_estimated~2} (estimated), difference: {graph_pool_difference~2} ({graph_pool_difference_pct}%)",
    ),
    row(
        "0.18.0-",
        "emory",
        "CUDA graph memory profiling is {graph_profiling} (VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS=0)",
    ),
    row(
        "0.18.0-",
        "emory",
        "CUDA graph memory profiling is {graph_profiling} ({..} The current --gpu-memory-utilization={gpu_memory_utilization} is",
    ),
    row(
        "0.18.0-0.18.1",
        "emory",
        "In v0.19, CUDA graph memory profiling{..} The current --gpu-memory-utilization={gpu_memory_utilization} is",
    ),
    row("0.6.0-", ".compile ", "torch.compile {took|takes} {compile_secs} s in total").event(Milestone::Compiled),
    // Newer releases name the part of the model that is compiled in front.
    row("0.32.0-", ".compile ", "[{..}] torch.compile took {compile_secs} s in total").event(Milestone::Compiled),
    row("0.32.0-", " took ", "[{..}] Initial profiling/warmup run took {warmup_secs} s"),
    row("0.20.0-", " took ", "Initial profiling/warmup run took {warmup_secs} s"),
    row("", "Autotuning process", "{..}[Autotuner]: Autotuning process ends").event(Milestone::KernelsTuned),
    row("0.11.0-", "setting cudagraph", "{..}setting cudagraph_mode={cudagraph_mode}"),
    row(
        "0.6.5-0.19.1",
        "init engine ",
        "init engine (profile, create kv cache, warmup model) took {init_secs} seconds",
    )
    .event(Milestone::EngineReady),
    row(
        "0.20.0-",
        "init engine ",
        "init engine (profile, create kv cache, warmup model) took {init_secs} s[[ (compilation: {compile_secs} s]]",
    )
    .event(Milestone::EngineReady),
];
