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
