//! Lines that hold a figure of memory and state no fact about this engine. They are known so that they are not listed
//! as unknown.

use super::{FIGURES_ONLY, Row, row};

pub(super) const ROWS: &[Row] = &[
    row("-0.6.3.post1", FIGURES_ONLY, "CUDA graphs can take additional 1~3 GiB memory per GPU.").known(),
    row("0.20.0-", FIGURES_ONLY, "Auto-prefetch is disabled because the filesystem").known(),
    row("0.20.0-", FIGURES_ONLY, "Network filesystem ({..}) detected but checkpoint total size ({ignored_memory}) exceeds").known(),
    row("0.20.0-", FIGURES_ONLY, "safetensors_load_strategy='prefetch' was explicitly specified, but checkpoint total size").known(),
    row("0.18.0-", FIGURES_ONLY, "Estimated {ignored_word} CUDA graph memory: {ignored_memory} first-capture").known(),
    row("0.32.0-", FIGURES_ONLY, "Weights are held outside this process: of the {ignored_memory~2} utilization budget").known(),
    row("0.7.0-", FIGURES_ONLY, "{CuMemAllocator|XpuMemAllocator}: {sleep freed|discarded} {ignored_memory}").known(),
    row("0.32.0-", FIGURES_ONLY, "Released {ignored_memory~2} of cached device memory under memory pressure").known(),
    row("0.25.0-", FIGURES_ONLY, "Initialized multimodal GPU IPC memory pool with").known(),
    row("0.20.0-", FIGURES_ONLY, "{SimpleCPUOffloadScheduler|SimpleCPUOffloadConnector|SimpleCPUOffloadWorker|DiskBackend|ShmTensorArena}{..}{ignored} {GB|MB}").known(),
    row("0.20.0-", FIGURES_ONLY, "Created[[ EC]] mmap file").known(),
    row("0.20.0-", FIGURES_ONLY, "torch.zeros pinned tensor").known(),
    row("0.20.0-", FIGURES_ONLY, "{Host-registered mmap region|host_register failed for} rank").known(),
    row("0.33.0-", FIGURES_ONLY, "HiSparse{..}{ignored} GiB").known(),
    row("0.20.0-", FIGURES_ONLY, "{[PrefetchOffloader]|[StaticBufferPool]}").known(),
    row("0.25.0-", FIGURES_ONLY, "Allocating {ignored_memory} of device memory to buffers to load").known(),
    row("0.30.0-", FIGURES_ONLY, "Cgroup memory preflight for").known(),
    row("0.20.0-", FIGURES_ONLY, "Calculated size of {..} to be {ignored_memory~2}").known(),
    row("0.20.0-", FIGURES_ONLY, "Skipping multi-modal processor cache insert for an item of").known(),
    row("0.32.0-", FIGURES_ONLY, "KV cache is {ignored_memory} per layer, past").known(),
    row("0.25.0-", FIGURES_ONLY, "TokenSpeed MLA decode workspace: {ignored_memory}").known(),
    row("0.14.0-", FIGURES_ONLY, "[WORKSPACE DEBUG] Resized workspace").known(),
    row("0.32.0-", FIGURES_ONLY, "Weight cache {..} daemon rank {ignored} loaded model").known(),
];
