//! Failures, by the stable part of their text. They are tried after the names of exceptions have been stripped.

use super::{Fails, Row, row};

pub(super) const ROWS: &[Row] = &[
    row("0.2-", "for the cache blocks", "No available memory for the cache blocks.").fails(Fails::NoKvCacheMemory),
    row(
        "0.2-0.10.2",
        "max seq len",
        "The model's max seq len ({fail_max_model_len}) is larger than the maximum number of tokens that can be stored in KV cache ({fail_kv_tokens}).",
    )
    .fails(Fails::MaxSeqLen),
    row(
        "0.7.0-",
        "max seq len",
        "To serve at least one request with the {models's|model's} max seq len ({fail_max_model_len}), ({fail_needed} KV cache is needed, which is larger than the available KV cache memory ({fail_available}).[[ Based on the available memory, the estimated maximum model length is {fail_estimated_max_model_len}.]]",
    )
    .fails(Fails::KvCacheTooSmall),
    row(
        "0.9.1-",
        "on startup is less",
        "Free memory on device[[ {ignored_word}]] ({fail_free~2}/{fail_total~2}) on startup is less than desired GPU memory utilization ({fail_utilization}, {fail_requested~2}).",
    )
    .fails(Fails::FreeMemory),
    row(
        "",
        "out of memory. Tried",
        "{CUDA|HIP|XPU|NPU|MUSA|CPU} out of memory. Tried to allocate {fail_tried}[[. GPU {ignored} has a total {capacity|capacty} of {fail_total} of which {fail_free} is free.]][[{..}this process has {fail_process} memory in use.]][[{..}Of the allocated memory {fail_allocated} is allocated by PyTorch]][[, with {fail_private_pools} allocated in private pools{..}]][[{..}and {fail_reserved} is reserved by PyTorch but unallocated.]]",
    )
    .fails(Fails::OutOfMemory),
    row("0.8.0-", "out of memory occurred", "CUDA out of memory occurred when warming up {sampler|pooler} with {fail_requests} dummy requests.")
        .fails(Fails::OutOfMemory),
    row("0.8.5-", "failed to start", "EngineCore failed to start.").fails(Fails::EngineCore),
    row("0.7.0-0.8.4", "EngineCore hit", "EngineCore hit an exception").fails(Fails::EngineCore),
    row("0.8.5-", "core initialization", "Engine core initialization failed.").fails(Fails::EngineCore),
    row("", "total number of available GPUs", "The number of required GPUs exceeds the total number of available GPUs in the placement group.")
        .fails(Fails::WaitingForGpus),
];
