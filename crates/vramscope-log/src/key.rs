//! The names of what a log can state, with the kind of value each has.

/// What kind of value a key has, and so how it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// An amount of memory: a number with or without a unit. Without one, and with `GB`, it is GiB; `MB` is MiB.
    Memory,
    /// A whole number, with or without thousands separators.
    Count,
    /// A time in seconds.
    Seconds,
    /// A time in milliseconds.
    Millis,
    /// Any other number: a share, a factor, a rate, a percentage.
    Number,
    /// Text without spaces.
    Word,
    /// Text up to what follows in the pattern, or to the end of the line.
    Text,
}

macro_rules! keys {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal: $kind:ident,)*) => {
        /// What a log line can state.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Key { $($(#[doc = $doc])* $variant,)* }

        impl Key {
            /// All keys.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name, as patterns and documents spell it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What kind of value it has.
            pub const fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind,)* }
            }
        }
    };
}

keys! {
    /// The engine's version.
    Version = "version": Word,
    /// The platform word.
    Platform = "platform": Word,
    /// The model's name or folder, from a line that is not the configuration.
    Model = "model": Text,
    /// The architecture that the engine resolved.
    Architecture = "architecture": Word,
    /// The attention backend.
    AttentionBackend = "attention_backend": Text,
    /// The model runner within V1.
    ModelRunner = "model_runner": Count,
    /// The CUDA-graph mode.
    CudagraphMode = "cudagraph_mode": Word,
    /// The data type of the KV cache.
    KvCacheDtype = "kv_cache_dtype": Word,
    /// Longest request in tokens.
    MaxModelLen = "max_model_len": Count,
    /// Longest request in tokens, as the engine reduced it to fit.
    FittedMaxModelLen = "fitted_max_model_len": Count,
    /// Most tokens in one step.
    MaxBatchedTokens = "max_num_batched_tokens": Count,
    /// Most requests in one step.
    MaxSeqs = "max_num_seqs": Count,
    /// Share of the device that the engine may use.
    Utilization = "gpu_memory_utilization": Number,
    /// Tokens of one KV block.
    BlockSize = "block_size": Count,

    /// Weights, from the line that says that they are loaded; per rank.
    Weights = "weights": Memory,
    /// How long that took.
    LoadSecs = "load_secs": Seconds,
    /// Weights, from the memory profile; per rank.
    WeightsProfiled = "weights_profiled": Memory,
    /// Weights, from the summary at the end of the start; per rank.
    WeightsSummary = "weights_summary": Memory,
    /// All that is gone since the worker's first snapshot: weights and what stays beside them; per rank.
    Consumed = "consumed": Memory,
    /// The peak while weights were loaded.
    LoadPeak = "load_peak": Memory,
    /// How long reading the weights took.
    ReadWeightsSecs = "read_weights_secs": Seconds,
    /// How long downloading the weights took.
    DownloadSecs = "download_secs": Seconds,
    /// The checkpoint's size on disk.
    CheckpointSize = "checkpoint_size": Memory,
    /// Parameters kept in host memory.
    CpuOffloaded = "cpu_offloaded": Memory,

    /// Memory for the KV-cache pool, per rank.
    KvPool = "kv_pool": Memory,
    /// The KV-cache pool in use, from the summary at the end of the start; per rank.
    KvPoolSummary = "kv_pool_summary": Memory,
    /// Bytes of `--kv-cache-memory` that the engine advises, to use what it may.
    KvAdvised = "kv_cache_memory_advised_bytes": Count,
    /// The same, to use the whole device.
    KvAdvisedOfDevice = "kv_cache_memory_advised_of_device_bytes": Count,
    /// Memory for the KV cache of the CPU backend, where no size was given.
    CpuKvSpace = "cpu_kv_space": Memory,
    /// Blocks of the KV cache on the device, per rank.
    GpuBlocks = "gpu_blocks": Count,
    /// Blocks of the swap space, or of a KV cache in host memory.
    CpuBlocks = "cpu_blocks": Count,
    /// Blocks that the engine found before it was overridden.
    ProfiledBlocks = "profiled_blocks": Count,
    /// Tokens that the KV cache holds.
    KvTokens = "kv_tokens": Count,
    /// Tokens of one of the pools of a KV cache.
    KvCells = "kv_cells": Count,
    /// How many such pools it has.
    KvStreams = "kv_streams": Count,
    /// Tokens of one request of full length.
    ConcurrencyTokens = "concurrency_tokens": Count,
    /// How many of them fit.
    ConcurrencyFactor = "concurrency_factor": Number,
    /// Data-parallel replicas, from a line that is not the configuration.
    DataParallel = "data_parallel_size": Count,
    /// Factor by which the tokens are multiplied for context parallelism.
    ContextParallel = "context_parallel_size": Count,
    /// Share of the KV cache that padding wastes, in percent.
    KvWastePct = "kv_waste_pct": Number,

    /// Total memory of the device.
    DeviceTotal = "device_total": Memory,
    /// Free memory when the worker starts.
    InitialFree = "initial_free": Memory,
    /// In use outside the framework's allocator when the worker starts.
    InitialNonTorch = "initial_non_torch": Memory,
    /// In use when the worker starts.
    InitialUsed = "initial_used": Memory,
    /// Memory that the engine may use.
    Requested = "requested": Memory,
    /// The transient peak of the profile run.
    ActivationPeak = "activation_peak": Memory,
    /// The same, from the summary at the end of the start.
    ActivationSummary = "activation_summary": Memory,
    /// The transient peak and the estimate of the graphs together, from the summary at the end of the start.
    PeakWithGraphs = "activation_peak_and_graphs_estimated": Memory,
    /// The framework's peak over what it held before the profile run, what stays of that run included.
    TorchGrowth = "torch_peak_increase": Memory,
    /// The framework's peak, weights included.
    TorchPeak = "torch_peak": Memory,
    /// The framework's memory, weights included.
    TorchMemory = "torch_memory": Memory,
    /// Growth outside the framework's allocator while profiling.
    NonTorch = "non_torch": Memory,
    /// The same, from the summary at the end of the start.
    NonTorchSummary = "non_torch_summary": Memory,
    /// All that is not KV cache.
    NonKv = "non_kv": Memory,
    /// Free after the profile run.
    FreeAfterProfile = "free_after_profile": Memory,
    /// In use after the profile run.
    UsedAfterProfile = "used_after_profile": Memory,
    /// Free after the profile run, within what the engine may use.
    FreeWithinRequested = "free_within_requested": Memory,
    /// What reading the weights took on the device, before modules are wrapped in graphs (Gaudi).
    WeightsRead = "weights_read": Memory,
    /// What wrapping modules in graphs took (Gaudi).
    GraphWrapping = "graph_wrapping": Memory,
    /// What of the profile run stays (Gaudi).
    ProfileRunKept = "profile_run_kept": Memory,
    /// What allocating the KV cache took (Gaudi).
    KvPoolTaken = "kv_pool_taken": Memory,
    /// What is set aside for graphs (Gaudi).
    GraphsReserved = "graphs_reserved": Memory,
    /// Captured graphs of one phase, prompts or decoding (Gaudi).
    GraphsOfPhase = "graphs_of_phase": Memory,
    /// Memory of all devices of a process together (TPU).
    DevicesTotal = "devices_total": Memory,
    /// What the engine may use of it (TPU).
    DevicesRequested = "devices_requested": Memory,
    /// What is in use of it before there is a KV cache (TPU).
    DevicesUsed = "devices_used": Memory,
    /// What is left of it for the KV cache (TPU).
    DevicesFree = "devices_free": Memory,
    /// How long the profile run took.
    ProfileSecs = "profile_secs": Seconds,
    /// Memory growth that should not have been.
    UnexpectedFree = "unexpected_free": Memory,

    /// Captured graphs, as free memory fell.
    Graphs = "graphs": Memory,
    /// How long capturing took.
    CaptureSecs = "capture_secs": Seconds,
    /// Graphs captured for a trial before the KV cache was sized, as free memory fell.
    GraphsTried = "graphs_tried": Memory,
    /// How long the trial took.
    TrialSecs = "trial_capture_secs": Seconds,
    /// Whether the estimate of the graphs is taken off the budget: `enabled` or `disabled`.
    GraphsBudgeted = "graph_profiling": Word,
    /// The engine's estimate of the graphs.
    GraphsEstimated = "graphs_estimated": Memory,
    /// The graph pool as measured.
    GraphPool = "graph_pool": Memory,
    /// The estimate, printed beside the measurement.
    GraphPoolEstimated = "graph_pool_estimated": Memory,
    /// Their difference.
    GraphPoolDifference = "graph_pool_difference": Memory,
    /// Their difference in percent.
    GraphPoolDifferencePct = "graph_pool_difference_pct": Number,
    /// Captured graphs of a multimodal model's encoder.
    EncoderGraphs = "encoder_graphs": Memory,
    /// The engine's estimate of them.
    EncoderGraphsEstimated = "encoder_graphs_estimated": Memory,
    /// Captured graphs, from the summary at the end of the start.
    GraphsSummary = "graphs_summary": Memory,

    /// How long the compiler took.
    CompileSecs = "compile_secs": Seconds,
    /// How long the first run after it took.
    WarmupSecs = "warmup_secs": Seconds,
    /// How long the engine's start took.
    InitSecs = "init_secs": Seconds,
    /// Which of several engine cores.
    EngineIndex = "engine_index": Word,

    /// Memory that sleeping released.
    SleepFreed = "sleep_freed": Memory,
    /// Memory in use while asleep.
    SleepInUse = "sleep_in_use": Memory,
    /// How long falling asleep took.
    SleepSecs = "sleep_secs": Seconds,
    /// How long waking took.
    WakeSecs = "wake_secs": Seconds,
    /// Host memory set aside for swapped blocks.
    SwapSpace = "swap_space": Memory,
    /// The host's memory.
    HostTotal = "host_total": Memory,

    /// Prompt tokens a second.
    PromptRate = "prompt_tokens_per_second": Number,
    /// Generated tokens a second.
    GenerationRate = "generation_tokens_per_second": Number,
    /// Requests running.
    Running = "running": Count,
    /// Requests waiting.
    Waiting = "waiting": Count,
    /// Requests swapped out.
    Swapped = "swapped": Count,
    /// Requests preempted since the last report.
    Preemptions = "preemptions": Count,
    /// KV cache in use, percent of the pool.
    KvUsagePct = "kv_usage_pct": Number,
    /// Swap space in use, percent.
    CpuKvUsagePct = "cpu_kv_usage_pct": Number,
    /// Prefix-cache hits, percent.
    PrefixHitPct = "prefix_hit_pct": Number,
    /// A LoRA adapter that was loaded at run time, by its name.
    LoraAdapter = "lora_adapter": Text,
    /// Mean accepted length of speculative decoding.
    AcceptanceLength = "acceptance_length": Number,
    /// Accepted draft tokens, as a share.
    DraftAcceptance = "draft_acceptance": Number,
    /// Accepted draft tokens, percent.
    DraftAcceptancePct = "draft_acceptance_pct": Number,

    /// The model's length, in a failure.
    FailLength = "fail_max_model_len": Count,
    /// Tokens of the KV cache, in a failure.
    FailKvTokens = "fail_kv_tokens": Count,
    /// What one request needs.
    FailNeeded = "fail_needed": Memory,
    /// What there is.
    FailAvailable = "fail_available": Memory,
    /// The longest length that would fit.
    FailEstimatedLength = "fail_estimated_max_model_len": Count,
    /// Free memory when the worker started.
    FailFree = "fail_free": Memory,
    /// Free memory when something could not be allocated, long after the start perhaps.
    FailFreeThen = "fail_free_then": Memory,
    /// Total memory.
    FailTotal = "fail_total": Memory,
    /// The share asked for.
    FailUtilization = "fail_utilization": Number,
    /// The amount asked for.
    FailRequested = "fail_requested": Memory,
    /// The allocation that failed.
    FailTried = "fail_tried": Memory,
    /// In use by the process.
    FailProcess = "fail_process": Memory,
    /// In use by tensors.
    FailAllocated = "fail_allocated": Memory,
    /// In use by private pools.
    FailPrivatePools = "fail_private_pools": Memory,
    /// Held by the allocator and not in use.
    FailReserved = "fail_reserved": Memory,
    /// The process that the kernel ended.
    FailPid = "fail_pid": Count,
    /// The name that the kernel has for it.
    FailCommand = "fail_command": Text,
    /// The rank that an allocator names.
    FailRank = "fail_rank": Count,
    /// Dummy requests of a warm-up.
    FailRequests = "fail_requests": Count,

    /// Mean latency of a benchmark's iteration.
    BenchAvgLatency = "bench_avg_latency": Seconds,
    /// Which percentile the next value is of.
    BenchPercentile = "bench_percentile": Number,
    /// A percentile of the latency.
    BenchPercentileLatency = "bench_percentile_latency": Seconds,
    /// Requests a second.
    BenchRequestRate = "bench_requests_per_second": Number,
    /// Tokens a second, prompts included.
    BenchTotalRate = "bench_total_tokens_per_second": Number,
    /// Generated tokens a second.
    BenchOutputRate = "bench_output_tokens_per_second": Number,
    /// Prompt tokens of a benchmark.
    BenchPromptTokens = "bench_prompt_tokens": Count,
    /// Generated tokens of a benchmark.
    BenchOutputTokens = "bench_output_tokens": Count,

    /// A worker's number among all of its engine.
    Rank = "rank": Count,
    /// How many workers there are.
    WorldSize = "world_size": Count,
    /// The worker's data-parallel replica.
    DpRank = "dp_rank": Count,
    /// The worker's pipeline stage.
    PpRank = "pp_rank": Count,
    /// The worker's tensor-parallel rank.
    TpRank = "tp_rank": Count,

    /// Where the amounts of the line lie, by the engine's name for it.
    Place = "place": Word,
    /// What a device is called.
    DeviceName = "device_name": Text,
    /// Where a device is on the PCI bus.
    DeviceBusId = "device_bus_id": Word,
    /// The whole KV cache of one model, on all places together.
    KvTotal = "kv_total": Memory,
    /// Keys of the KV cache.
    KvKeys = "kv_keys": Memory,
    /// Values of the KV cache.
    KvValues = "kv_values": Memory,
    /// Tokens that a part of the cache for windowed layers holds.
    KvWindowTokens = "kv_window_tokens": Count,
    /// What the cache takes for each of several states that it may have.
    KvOfState = "kv_of_state": Memory,
    /// A second pool of the KV cache, in host memory.
    KvHostPool = "kv_host_pool": Memory,
    /// Address space set aside for a pool, which is no memory yet.
    KvAddressSpace = "kv_address_space": Memory,
    /// State of recurrent layers.
    RecurrentState = "recurrent_state": Memory,
    /// The same, on all places together.
    RecurrentTotal = "recurrent_total": Memory,
    /// How many states of recurrent layers there is room for.
    StateSlots = "state_slots": Count,
    /// What one step computes with.
    ComputeBuffer = "compute_buffer": Memory,
    /// The part of it that lies on the device.
    ComputeScratch = "compute_scratch": Memory,
    /// What a step leaves: logits and embeddings.
    OutputBuffer = "output_buffer": Memory,
    /// Weights of what turns images or sound into tokens.
    ProjectorWeights = "projector_weights": Memory,
    /// Weights and KV cache together.
    WeightsWithKv = "weights_with_kv": Memory,
    /// All that the engine holds.
    HeldTotal = "held_total": Memory,
    /// Weights within that, when the engine ends.
    HeldWeights = "held_weights": Memory,
    /// Caches within that.
    HeldContext = "held_context": Memory,
    /// Compute buffers within that.
    HeldCompute = "held_compute": Memory,
    /// Free on the device beside that.
    HeldFree = "held_free": Memory,
    /// What of the device is neither free nor known to the engine.
    Unaccounted = "unaccounted": Memory,
    /// A plan, before anything is allocated: all of it.
    PlannedTotal = "planned_total": Memory,
    /// Weights of a plan.
    PlannedWeights = "planned_weights": Memory,
    /// Those of them that every layer has.
    PlannedRepeating = "planned_weights_repeating": Memory,
    /// Those of them that no layer has.
    PlannedNonRepeating = "planned_weights_nonrepeating": Memory,
    /// Caches of a plan, KV and state together.
    PlannedContext = "planned_context": Memory,
    /// The KV cache of a plan.
    PlannedKv = "planned_kv_cache": Memory,
    /// Compute buffers of a plan.
    PlannedCompute = "planned_compute": Memory,
    /// Compute buffers of a plan that has only part of the model on the device.
    PlannedComputePartial = "planned_compute_partial": Memory,
    /// What a plan takes where only part of the model is on the device.
    PlannedPartial = "planned_partial": Memory,
    /// Weights of what turns images into tokens, of a plan.
    PlannedProjector = "planned_projector_weights": Memory,
    /// Free on the device by a plan.
    PlannedFree = "planned_free": Memory,
    /// What a device takes by a plan.
    PlannedOnDevice = "planned_on_device": Memory,
    /// Layers on a device by a plan.
    PlannedLayers = "planned_layers": Count,
    /// Layers on devices.
    LayersOnDevice = "layers_on_device": Count,
    /// Layers of the model.
    Layers = "layers": Count,
    /// Parts into which a step's graph is cut; more than two mean that part of the model is computed on the host.
    GraphSplits = "graph_splits": Count,
    /// How the weights are stored.
    Quantization = "quantization": Text,
    /// Requests that the engine serves at once.
    Slots = "slots": Count,
    /// Tokens of one of them.
    SlotTokens = "slot_tokens": Count,
    /// Tokens of all of them together.
    ContextTokens = "context_tokens": Count,
    /// Tokens in one step, as asked for.
    BatchTokens = "batch_tokens": Count,
    /// Tokens that are computed at once.
    MicroBatchTokens = "micro_batch_tokens": Count,
    /// Whether requests share one cache.
    KvUnified = "kv_unified": Word,
    /// Whether attention is computed without its matrix: `1`, `auto`, `enabled`.
    FlashAttention = "flash_attention": Word,
    /// How much the engine prints.
    Verbosity = "verbosity": Count,
    /// Host memory that old prompts may take.
    PromptCacheLimit = "prompt_cache_limit": Memory,
    /// Free on the device that counts for the engine, after what it leaves free.
    FreeForEngine = "free_for_engine": Memory,
    /// What the engine leaves free.
    LeftFree = "left_free": Memory,
    /// What a person has it leave free beyond that.
    LeftFreeMore = "left_free_more": Memory,
    /// Memory of the host.
    HostMemory = "host_memory": Memory,
    /// Free memory of the host.
    HostFree = "host_free": Memory,
    /// Free memory of the host's swap.
    SwapFree = "swap_free": Memory,
    /// What memory is counted with: the library of the device.
    Library = "library": Word,
    /// Communication between ranks, and what the driver sets up, as free memory fell.
    Communication = "communication": Memory,
    /// Free on the device before weights are loaded.
    FreeBeforeWeights = "free_before_weights": Memory,
    /// Free on the device when weights are loaded.
    FreeAfterWeights = "free_after_weights": Memory,
    /// Free on the device when pools are allocated.
    FreeAfterPools = "free_after_pools": Memory,
    /// Free on the device before graphs are captured.
    FreeBeforeGraphs = "free_before_graphs": Memory,
    /// Free on the device when graphs are captured.
    FreeAfterGraphs = "free_after_graphs": Memory,
    /// Free on the device when the engine is ready.
    FreeAtReady = "free_at_ready": Memory,
    /// Free memory of the host when the engine is ready.
    HostFreeAtReady = "host_free_at_ready": Memory,
    /// Tokens of one chunk of a prompt; absent where it is off.
    ChunkTokens = "chunk_tokens": Count,
    /// Most tokens of prompts in one step.
    PrefillTokens = "max_prefill_tokens": Count,
    /// Tokens in use of the KV cache.
    UsedTokens = "used_tokens": Count,
    /// KV cache in use, a share of the pool.
    KvUsage = "kv_usage": Number,
    /// Most tokens of all requests in flight, where nothing was measured.
    MaxBatchTotalTokens = "max_batch_total_tokens": Count,
    /// The share of the device that weights and pools may take, in a failure.
    FailShare = "fail_memory_share": Number,
    /// The least share with which it would start, in a failure.
    FailLeastShare = "fail_least_memory_share": Number,
    /// Prompt tokens for which there was no memory, in a failure.
    FailPrefillTokens = "fail_prefill_tokens": Count,

    /// A number that nobody asks for.
    Ignored = "ignored": Number,
    /// A figure of memory that is known and not a fact of its own.
    IgnoredMemory = "ignored_memory": Memory,
    /// A word that nobody asks for.
    IgnoredWord = "ignored_word": Word,
}

impl Key {
    /// Whether its values are no figures of the engine: nobody asks for them, or they only tell whose failure it is.
    pub(crate) const fn is_ignored(self) -> bool {
        matches!(
            self,
            Self::Ignored
                | Self::IgnoredMemory
                | Self::IgnoredWord
                | Self::FailPid
                | Self::FailCommand
                | Self::FailRank
        )
    }

    /// The key with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|key| key.name() == name)
    }
}
