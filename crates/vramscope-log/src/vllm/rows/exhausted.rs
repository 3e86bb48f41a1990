//! Memory that ran out, in the words of each allocator. Where they stand in its source is in `docs/failure-texts.md`.
//!
//! Codes that prose mentions as well count only where an error is raised.

use super::{Fails, RAISED, Row, row};

pub(super) const ROWS: &[Row] = &[
    // PyTorch's caching allocators. Before 2.1, and on Ascend to this day, all figures stand in brackets.
    row(
        "",
        "emory",
        "{CUDA|HIP|XPU|NPU|MUSA|MLU|GCU} out of memory. Tried to allocate {fail_tried} ({GPU|NPU|XPU|MLU|GCU} {ignored}; {fail_total} total capacity; {fail_allocated} already allocated;[[ {ignored_memory} current active;]] {fail_free_then} free;[[ {ignored_memory} allowed;]] {ignored_memory} {reserved in total by PyTorch|cached}",
    )
    .fails(Fails::OutOfMemory),
    row(
        "",
        "emory",
        "[[Failed to run autotuning code block: ]]{CUDA|HIP|XPU|NPU|MUSA|MLU|GCU|CPU} out of memory. Tried to allocate {fail_tried}[[{..}{GPU|GCU|MLU} {ignored}[[ has a total {capacity|capacty} of {fail_total}[[ of which {fail_free_then} is free]].]]]][[{..}this process has {fail_process} memory in use.]][[{..}Of the allocated memory {fail_allocated} is allocated by PyTorch]][[, with {fail_private_pools} allocated in private pools]][[{..}and {fail_reserved} is reserved by PyTorch but unallocated]]",
    )
    .fails(Fails::OutOfMemory),
    row(
        "",
        "emory",
        "NPU out of memory. NPUWorkspaceAllocator tried to allocate {fail_tried}(NPU {ignored}; {fail_total} total capacity; {fail_free_then} free)",
    )
    .fails(Fails::OutOfMemory),
    row(
        "",
        "emory",
        "NPU out of memory. Allocation was preemptively rejected because it would exceed per_process_memory_fraction limit. Requested size: {fail_tried}",
    )
    .fails(Fails::OutOfMemory),
    row(
        "",
        "emory",
        "MPS backend out of memory (MPS allocated: {fail_allocated}, other allocations: {ignored_memory}[[, max allowed: {ignored_memory}]]). Tried to allocate {fail_tried} on",
    )
    .fails(Fails::OutOfMemory),
    // The allocator that leaves pools to the driver (`cudaMallocAsync`); its figures stand on lines of their own.
    row("", "emory", "Allocation on device {ignored} would exceed allowed memory. (out of memory)").fails(Fails::OutOfMemory),
    row("", "emory", "{CUDA|HIP|XPU|NPU|MUSA|MLU|GCU} out of memory").fails(Fails::OutOfMemory).where_raised(),
    row(
        "0.8.0-",
        "emory",
        "CUDA out of memory occurred when warming up {sampler|pooler} with {fail_requests} dummy requests.",
    )
    .fails(Fails::OutOfMemory),
    // The runtime's words, those of the engine's allocator for sleep mode, and those of its all-reduce kernels.
    row("", "emory", "[[Call to {ignored_word} method failed: ]]{CUDA|HIP} {error|Error}: out of memory")
        .fails(Fails::OutOfMemory),
    row("", "emory", "Failed: {Cuda|CUDA} error {..}'out of memory'").fails(Fails::OutOfMemory),
    row("", "emory", "{..}cudaErrorMemoryAllocation").fails(Fails::OutOfMemory).where_raised(),
    row("", "emory", "{..}hipErrorOutOfMemory").fails(Fails::OutOfMemory).where_raised(),
    row("", "emory", "CUDA driver error: out of memory").fails(Fails::OutOfMemory),
    row("", "OUT_OF_", "{..}ailed to allocate {fail_tried} ({..}from device: CUDA_ERROR_OUT_OF_MEMORY")
        .fails(Fails::OutOfMemory),
    row("", "OUT_OF_", "{..}CUDA_ERROR_OUT_OF_MEMORY").fails(Fails::OutOfMemory).where_raised(),
    row("", "OUT_OF_", "{..}{UR|ZE}_RESULT_ERROR_OUT_OF_{DEVICE_MEMORY|RESOURCES}")
        .fails(Fails::OutOfMemory)
        .where_raised(),
    row("", "OUT_OF_", "{..}PI_ERROR_OUT_OF_RESOURCES").fails(Fails::OutOfMemory).where_raised(),
    row("", "emory", "Out of memory allocating {fail_tried}[[ (allocated so far: {fail_allocated}]]")
        .fails(Fails::OutOfMemory),
    // Kernels that are built against torch's stable interface get no exception of it, but the text of the call that
    // failed (`torch/csrc/stable/ops.h`, `aoti_torch/utils.h`). Of one that only allocates there is one reason to fail.
    row(
        "",
        " failed",
        "{aoti_torch_call_dispatcher|torch_call_dispatcher}({..}\"aten::{new_empty_strided|new_empty|new_zeros|new_ones|new_full|empty_strided|empty_like|empty|zeros_like|zeros|ones_like|ones|full_like|full}\"{..}API call failed at",
    )
    .fails(Fails::OutOfMemory),
    row(
        "",
        " failed",
        "{aoti_torch_empty|aoti_torch_new_empty|aoti_torch_new_uninitialized|torch_empty|torch_new_empty}{..}API call failed at",
    )
    .fails(Fails::OutOfMemory),
    // NCCL and RCCL allocate on the device for each communicator.
    row("", "emory", "{Cuda|CUDA|Hip|HIP} failure {..}out of memory").fails(Fails::OutOfMemory),
    row("", "emory", "{..}NCCL WARN {Cuda|CUDA|Hip|HIP} failure {..}out of memory").fails(Fails::OutOfMemory),
    row("", "emory", "NCCL error{..} failure {..}out of memory").fails(Fails::OutOfMemory),
    row("", "ed to CUDA ", "Failed to CUDA {malloc|calloc}[[ async]] {fail_tried}").fails(Fails::OutOfMemory),
    row("", "ed to CUDA ", "{..}NCCL WARN Failed to CUDA {malloc|calloc}[[ async]] {fail_tried}")
        .fails(Fails::OutOfMemory),
    row("", "ed to CUDA ", "[[{..}NCCL WARN ]]Failed to CUDA host alloc {fail_tried}").fails(Fails::HostOutOfMemory),
    // Libraries and compilers that allocate on the device by themselves. A library that only says that it failed to
    // begin (`NOT_INITIALIZED`, `INTERNAL_ERROR`) does not say that memory was why.
    row(
        "",
        RAISED,
        "{..}rror: {CUBLAS_STATUS_ALLOC_FAILED|HIPBLAS_STATUS_ALLOC_FAILED|CUSPARSE_STATUS_ALLOC_FAILED|HIPSPARSE_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED|CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED|CUSOLVER_STATUS_ALLOC_FAILED|HIPSOLVER_STATUS_ALLOC_FAILED|CUFFT_ALLOC_FAILED|HIPFFT_ALLOC_FAILED|rocblas_status_memory_error|miopenStatusAllocFailed}",
    )
    .fails(Fails::OutOfMemory)
    .where_raised(),
    row("", "emory", "Triton Error [{..}out of memory").fails(Fails::OutOfMemory),
    // XLA. Other services use its status for their own limits, and the memory of one core (vmem, smem) is another one.
    row(
        "",
        "EXHAUSTED",
        "[[Bad StatusOr access: ]]RESOURCE_EXHAUSTED: [[Error {..}: ]]Attempting to {allocate|reserve} {fail_tried}[[ at the bottom of memory]]. That was not possible. There are {fail_free_then} free",
    )
    .fails(Fails::OutOfMemory),
    row(
        "",
        "EXHAUSTED",
        "[[Bad StatusOr access: ]]RESOURCE_EXHAUSTED: [[XLA:TPU compile permanent error. ]]Ran out of memory in memory space hbm. Used {fail_tried} of {fail_total} hbm.",
    )
    .fails(Fails::OutOfMemory),
    row(
        "",
        "EXHAUSTED",
        "[[Bad StatusOr access: ]]RESOURCE_EXHAUSTED: TPU TensorCore Hbm usage: {ignored_memory}, SparseCore Hbm usage {ignored_memory}, exceeding available bytes: {fail_total}",
    )
    .fails(Fails::OutOfMemory),
    row(
        "",
        "EXHAUSTED",
        "[[Bad StatusOr access: ]]RESOURCE_EXHAUSTED: {Out of memory while trying to allocate|Out of memory allocating|Failed to allocate request for} {fail_tried}",
    )
    .fails(Fails::OutOfMemory),
    row("", "EXHAUSTED", "[[Bad StatusOr access: ]]RESOURCE_EXHAUSTED: Out of memory").fails(Fails::OutOfMemory),
    row("", "emory", "Allocator ({..}) ran out of memory trying to allocate {fail_tried}").fails(Fails::OutOfMemory),
    row(
        "0.9.2-0.15",
        "emory",
        "Unable to load model, a likely reason is the model is too large for the current device's HBM memory.[[{..}Attempting to {allocate|reserve} {fail_tried}[[ at the bottom of memory]]. That was not possible. There are {fail_free_then} free]]",
    )
    .fails(Fails::OutOfMemory),
    // Gaudi and Ascend.
    row(
        "",
        "PT_DEVMEM",
        "{..}[Rank:{fail_rank}] FATAL ERROR :: MODULE:PT_DEVMEM Allocation failed for size::{fail_tried=B} (",
    )
    .fails(Fails::OutOfMemory),
    row("", "PT_DEVMEM", "{..}PT_DEVMEM Allocation failed for size::{fail_tried=B}").fails(Fails::OutOfMemory),
    row("", "PT_DEVMEM", "{..}PT_DEVMEM OOM: No enough memory for defragment").fails(Fails::OutOfMemory),
    row("", "emory", "{..}EL0004: {..}Failed to allocate memory").fails(Fails::OutOfMemory),
    // The host.
    row(
        "",
        "emory",
        "[enforce fail at {..}DefaultCPUAllocator: {can't allocate|not enough} memory: you tried to allocate {fail_tried}.",
    )
    .fails(Fails::HostOutOfMemory),
    row("", "emory", "unable to mmap {fail_tried} from file {..}Cannot allocate memory").fails(Fails::HostOutOfMemory),
    row("", "emory", "unable to {mmap|allocate shared memory}{..}Cannot allocate memory").fails(Fails::HostOutOfMemory),
    row("", "emory", "Malloc pin memory failed, host out of memory, {Rried|Tried} to allocate size: {fail_tried=B},")
        .fails(Fails::HostOutOfMemory),
    row("", "emory", "[Errno 12] Cannot allocate memory").fails(Fails::HostOutOfMemory),
    row("", "emory", "{..}Cannot allocate memory (os error 12)").fails(Fails::HostOutOfMemory).where_raised(),
    row("", "emory", "memory allocation of {fail_tried} failed").fails(Fails::HostOutOfMemory),
    row("", "bad_alloc", "[[terminate called after throwing an instance of ']][[what(): ]]std::bad_alloc")
        .fails(Fails::HostOutOfMemory),
    row("", "emory", "MemoryError{$}").fails(Fails::HostOutOfMemory),
    row("", RAISED, "Unable to allocate {fail_tried} for an array with shape").fails(Fails::HostOutOfMemory),
    row("", "emory", "Task was killed due to the node running low on memory").fails(Fails::HostOutOfMemory),
    row(
        "",
        "emory",
        "{..}ut of memory: {Killed|Kill} process {fail_pid}[[ ({fail_command})[[ total-vm:{ignored_memory}, anon-rss:{fail_process}]]]]",
    )
    .fails(Fails::HostOutOfMemory),
];
