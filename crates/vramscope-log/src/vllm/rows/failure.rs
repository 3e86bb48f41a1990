//! Failures, by the stable part of their text. They are tried after the names of exceptions have been stripped.

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
    // PyTorch before 2.1: `(GPU 0; 23.65 GiB total capacity; 20.1 GiB already allocated; 12 MiB free; 21 GiB reserved …)`.
    row(
        "",
        "emory",
        "{CUDA|HIP|XPU|NPU|MUSA} out of memory. Tried to allocate {fail_tried} ({GPU|NPU|XPU} {ignored}; {fail_total} total capacity; {fail_allocated} already allocated;[[ {ignored_memory} current active;]] {fail_free_then} free; {ignored_memory} reserved in total by PyTorch)",
    )
    .fails(Fails::OutOfMemory),
    row(
        "",
        "emory",
        "[[Failed to run autotuning code block: ]]{CUDA|HIP|XPU|NPU|MUSA|CPU} out of memory. Tried to allocate {fail_tried}[[{..}GPU {ignored}[[ has a total {capacity|capacty} of {fail_total}[[ of which {fail_free_then} is free]].]]]][[{..}this process has {fail_process} memory in use.]][[{..}Of the allocated memory {fail_allocated} is allocated by PyTorch]][[, with {fail_private_pools} allocated in private pools]][[{..}and {fail_reserved} is reserved by PyTorch but unallocated]]",
    )
    .fails(Fails::OutOfMemory),
    row(
        "0.8.0-",
        "emory",
        "CUDA out of memory occurred when warming up {sampler|pooler} with {fail_requests} dummy requests.",
    )
    .fails(Fails::OutOfMemory),
    // The runtime's words, and those of the engine's allocator for sleep mode.
    row("", "emory", "{CUDA|HIP} {error|Error}: out of memory").fails(Fails::OutOfMemory),
    // Kernels that are built against torch's stable interface get no exception of it, but the text of the call that
    // failed (`torch/csrc/stable/ops.h`, `aoti_torch/utils.h`). Of one that only allocates there is one reason to fail.
    row(
        "",
        "API call failed",
        "{aoti_torch_call_dispatcher|torch_call_dispatcher}({..}\"aten::{new_empty_strided|new_empty|new_zeros|new_ones|new_full|empty_strided|empty_like|empty|zeros_like|zeros|ones_like|ones|full_like|full}\"{..}API call failed at",
    )
    .fails(Fails::OutOfMemory),
    row(
        "",
        "API call failed",
        "{aoti_torch_empty|aoti_torch_new_empty|aoti_torch_new_uninitialized|torch_empty|torch_new_empty}{..}API call failed at",
    )
    .fails(Fails::OutOfMemory),
    // NCCL and RCCL allocate on the device for each communicator.
    row("", "emory", "{Cuda|CUDA|Hip|HIP} failure {..}out of memory").fails(Fails::OutOfMemory),
    row("", "emory", "{..}NCCL WARN {Cuda|CUDA|Hip|HIP} failure {..}out of memory").fails(Fails::OutOfMemory),
    row("", "NCCL WARN", "{..}NCCL WARN Failed to {CUDA|HIP} {malloc|calloc}").fails(Fails::OutOfMemory),
    row("", "emory", "NCCL error{..} failure {..}out of memory").fails(Fails::OutOfMemory),
    // Libraries and compilers that allocate on the device by themselves. A library that only says that it failed to
    // begin (`NOT_INITIALIZED`, `INTERNAL_ERROR`) does not say that memory was why.
    row(
        "",
        RAISED,
        "{..}rror: {CUBLAS_STATUS_ALLOC_FAILED|HIPBLAS_STATUS_ALLOC_FAILED|CUSPARSE_STATUS_ALLOC_FAILED|HIPSPARSE_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED|CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED|CUSOLVER_STATUS_ALLOC_FAILED|HIPSOLVER_STATUS_ALLOC_FAILED|CUFFT_ALLOC_FAILED|HIPFFT_ALLOC_FAILED|rocblas_status_memory_error|miopenStatusAllocFailed}",
    )
    .fails(Fails::OutOfMemory),
    row("", "emory", "Triton Error [{..}out of memory").fails(Fails::OutOfMemory),
    row("", "emory", "CUDA driver error: out of memory").fails(Fails::OutOfMemory),
    row("", "OUT_OF_", "{..}CUDA_ERROR_OUT_OF_MEMORY").fails(Fails::OutOfMemory),
    row("", "OUT_OF_", "{..}UR_RESULT_ERROR_OUT_OF_{DEVICE_MEMORY|RESOURCES}").fails(Fails::OutOfMemory),
    row("", "OUT_OF_", "{..}PI_ERROR_OUT_OF_RESOURCES").fails(Fails::OutOfMemory),
    row("", "emory", "{..}hipErrorOutOfMemory").fails(Fails::OutOfMemory),
    // TPU, Gaudi and Ascend.
    row("", "EXHAUSTED", "{..}RESOURCE_EXHAUSTED: ").fails(Fails::OutOfMemory),
    row("", "PT_DEVMEM", "{..}PT_DEVMEM Allocation failed for size::").fails(Fails::OutOfMemory),
    row("", "emory", "{..}EL0004: {..}Failed to allocate memory").fails(Fails::OutOfMemory),
    // The host.
    row(
        "",
        "emory",
        "[enforce fail at {..}DefaultCPUAllocator: can't allocate memory: you tried to allocate {fail_tried}.",
    )
    .fails(Fails::HostOutOfMemory),
    row("", "emory", "unable to {mmap|allocate shared memory}{..}Cannot allocate memory").fails(Fails::HostOutOfMemory),
    row("", "emory", "[Errno 12] Cannot allocate memory").fails(Fails::HostOutOfMemory),
    row("", "bad_alloc", "{..}std::bad_alloc").fails(Fails::HostOutOfMemory),
    row("", "emory", "{..}ArrayMemoryError: Unable to allocate {fail_tried} for an array with shape").fails(Fails::HostOutOfMemory),
    row("", "emory", "{..}ut of memory: Killed process {ignored}").fails(Fails::HostOutOfMemory),
    // Communication.
    row("", RAISED, "NCCL error").fails(Fails::Collective),
    row("", "collective op", "{..}Watchdog caught collective operation timeout").fails(Fails::Collective),
    // Processes.
    row("0.8.0-", " died", "Worker proc {ignored_word} died unexpectedly").fails(Fails::WorkerDied),
    row("0.8.0-", " died", "Engine core proc {ignored_word} died unexpectedly").fails(Fails::WorkerDied),
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
