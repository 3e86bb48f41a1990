//! Failures other than of an allocator, by the stable part of their text. They are tried after the names of exceptions
//! have been stripped.

use super::{Fails, RAISED, Row, row};

pub(super) const ROWS: &[Row] = &[
    row("0.2-", "emory", "No available memory for the cache blocks.").fails(Fails::NoKvCacheMemory),
    row("0.14.0-", RAISED, "Cannot auto-fit max_model_len: not enough GPU memory").fails(Fails::NoKvCacheMemory),
    row(
        "0.2-0.10.2",
        " len ",
        "The model's max seq len ({fail_max_model_len}) is larger than the maximum number of tokens that can be stored in KV cache ({fail_kv_tokens}).",
    )
    .fails(Fails::MaxSeqLen),
    row(
        "0.7.0-",
        " len ",
        "To serve at least one request with the {models's|model's} max seq len ({fail_max_model_len}), ({fail_needed~2} KV cache is needed, which is larger than the available KV cache memory ({fail_available~2}).[[ Based on the available memory, the estimated maximum model length is {fail_estimated_max_model_len}.]]",
    )
    .fails(Fails::KvCacheTooSmall),
    row(
        "0.9.1-",
        "emory",
        "Free memory on device[[ {ignored_word}]] ({fail_free~2}/{fail_total~2}) on startup is less than desired GPU memory utilization ({fail_utilization}, {fail_requested~2}).",
    )
    .fails(Fails::FreeMemory),
    row(
        "0.20.0-",
        "emory",
        "Available memory on node {ignored} ({fail_free~2}/{fail_total~2}) on startup is less than desired CPU memory utilization ({fail_utilization}, {fail_requested~2})",
    )
    .fails(Fails::FreeMemory),
    row(
        "0.20.0-",
        "emory",
        "Available memory on node {ignored} ({fail_free_then~2}/{fail_total~2}) on kv cache allocation is less than {desired CPU memory utilization|requested memory for kv} ([[{fail_utilization}, ]]{fail_requested~2}",
    )
    .fails(Fails::FreeMemory),
    row(
        "0.32.0-",
        "emory",
        "Free memory on device[[ {ignored_word}]] ({fail_free~2}/{fail_total~2}) on startup is less than the engine's budget after excluding external process's weights ([[{fail_utilization}, ]]{fail_requested~2}",
    )
    .fails(Fails::FreeMemory),
    row(
        "0.32.0-",
        RAISED,
        "Externally held weights on device {ignored_word} ({ignored_memory~2}/{fail_total~2}) exceed the desired GPU memory utilization ({fail_utilization}, {fail_requested~2})",
    )
    .fails(Fails::FreeMemory),
    row(
        "0.6.4-",
        "emory",
        "Error in memory profiling. Initial free memory[[:]] {initial_free~2}, current free memory[[:]] {free_after_profile~2}.",
    )
    .fails(Fails::FreeMemoryGrew),
    row(
        "0.25.1-",
        RAISED,
        "frontend multimodal GPU decoding reserves {fail_needed~2} ({..}), but only {fail_available~2} is available for the KV cache.",
    )
    .fails(Fails::NoKvCacheMemory),
    // Communication.
    row("", RAISED, "NCCL error").fails(Fails::Collective),
    row("", "collective op", "{..}Watchdog caught collective operation timeout").fails(Fails::Collective),
    // Processes.
    row("0.8.0-", " died", "Worker proc {ignored_word} died unexpectedly").fails(Fails::WorkerDied),
    row("0.8.0-", " died", "Engine core proc {ignored_word} died unexpectedly").fails(Fails::WorkerDied),
    row("0.4.3-0.10.2", " died", "worker died{$}").fails(Fails::WorkerDied),
    // The word of the shell whose process was ended by signal 9.
    row("", "Killed", "Killed{$}").fails(Fails::WorkerDied),
    row("0.4.3-0.10.2", " died", "Worker VllmWorkerProcess pid {ignored} died, exit code: ").fails(Fails::WorkerDied),
    row("0.8.0-", " failed", "WorkerProc initialization failed due to an exception in a background process.").fails(Fails::WorkerDied),
    // The model.
    row("0.4.0-", RAISED, "Model architectures {..} are not supported for now.").fails(Fails::Architecture),
    row("0.6.0-", RAISED, "Model architectures {..} failed to be inspected.").fails(Fails::Architecture),
    row("0.8.0-", RAISED, "{..} has no vLLM implementation and the Transformers implementation is not compatible with vLLM").fails(Fails::Architecture),
    row("", RAISED, "The checkpoint you are trying to load has model type {..} but Transformers does not recognize this architecture.").fails(Fails::Architecture),
    // Arguments.
    row("", RAISED, "{..}error: unrecognized arguments: ").fails(Fails::Arguments),
    row("", RAISED, "{vllm|api_server.py|__main__.py}{..}: error: argument ").fails(Fails::Arguments),
    row("0.4.0-", RAISED, "User-specified max_model_len ({fail_max_model_len}) is greater than the derived max_model_len").fails(Fails::Arguments),
    row("0.9.0-", RAISED, "{ignored} validation {error|errors} for ").fails(Fails::Arguments),
    row("0.9.0-", "alue error, ", "Value error, ").fails(Fails::Arguments),
    row("0.2-", RAISED, "Total number of attention heads ({ignored}) must be divisible by tensor parallel size").fails(Fails::Arguments),
    row("0.3-", RAISED, "Bfloat16 is only supported on GPUs with compute capability of at least").fails(Fails::Arguments),
    // The device: a CPU has fewer kernels.
    row("0.32.0-", RAISED, "Sparse Attention is not supported on CPU.").fails(Fails::Device),
    row("0.32.0-", RAISED, "No valid CPU MLA prefill backend found.").fails(Fails::Device),
    row("0.32.0-", RAISED, "FP8 KV cache {on CPU requires|requires head_size divisible by|is not yet supported with KV transfer on CPU}").fails(Fails::Device),
    row("0.32.0-", RAISED, "Loading dummy weights ({..}) Is not supported by the CPU Model Runner.").fails(Fails::Device),
    row("0.32.0-", RAISED, "fused output quantization is not yet supported for CPUAttentionBackendImpl").fails(Fails::Device),
    // Consequences.
    row("0.8.5-", RAISED, "EngineCore encountered an issue.").fails(Fails::EngineCore),
    row("0.4.0-0.10.2", RAISED, "Background loop {has errored already|is not running}").fails(Fails::EngineCore),
    row("0.6.0-0.10.2", RAISED, "Engine loop is not running.").fails(Fails::EngineCore),
    row("0.8.5-", " failed", "EngineCore failed to start.").fails(Fails::EngineCore),
    row("0.7.0-0.8.4", "hit an exception", "EngineCore hit an exception").fails(Fails::EngineCore),
    row("0.8.5-", " failed", "Engine core initialization failed.").fails(Fails::EngineCore),
    row("0.5.0-0.10.2", " failed", "Engine process failed to start").fails(Fails::EngineCore),
    row(
        "",
        "available GPUs",
        "The number of required GPUs exceeds the total number of available GPUs in the placement group.",
    )
    .fails(Fails::WaitingForGpus),
];
