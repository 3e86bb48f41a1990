//! What an engine reported of itself.

use std::time::Duration;

mod buffer;
mod named;

use crate::{Bytes, EngineKind};

pub use buffer::{Buffer, BufferKind, PlaceFacts};
pub use named::{FactValue, NamedFact};

/// Which ranks a reported value speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The rank that printed it; other ranks may differ.
    ThisRank(u32),
    /// Each rank of the engine, printed by one for all.
    PerRank,
    /// All ranks of one engine together.
    AllRanks,
}

/// Where a fact comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// The line of the log, counted from 1.
    pub line: u64,
    /// The process tag printed on the line, without its brackets (`Worker_TP0 pid=41`).
    pub worker: Option<String>,
}

/// A value that the engine printed.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact<T> {
    /// The value.
    pub value: T,
    /// For which ranks.
    pub scope: Scope,
    /// Half a step of the last printed digit: the true value lies within `value` ± `resolution`.
    pub resolution: Option<T>,
    /// Where it stands.
    pub origin: Origin,
}

/// A wall-clock instant as a log prints it: often without a year, usually without a time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogTime {
    /// The year, where printed.
    pub year: Option<i16>,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, 1 to 31.
    pub day: u8,
    /// Hour, 0 to 23.
    pub hour: u8,
    /// Minute, 0 to 59.
    pub minute: u8,
    /// Second, 0 to 60.
    pub second: u8,
    /// Nanoseconds within the second; zero where the log prints whole seconds.
    pub nanosecond: u32,
    /// The time zone's distance from UTC, where printed.
    pub utc_offset_minutes: Option<i16>,
}

/// Something that the engine did, in the order of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Milestone {
    /// The first line with a clock.
    FirstLine,
    /// Weights begin to load.
    LoadBegan,
    /// Weights are on the device.
    WeightsLoaded,
    /// The compiler has finished.
    Compiled,
    /// The profile run is over: the engine knows how much is left for the KV cache.
    Profiled,
    /// The size of the KV-cache pool is settled; it is allocated next.
    KvPoolSized,
    /// Graphs were captured for a trial, to see what they take, and given up again.
    GraphsTried,
    /// All that the engine holds from its start on is allocated; it computes for the first time next.
    Allocated,
    /// Kernels were tuned: variants of them were tried for their speed.
    KernelsTuned,
    /// Graphs are captured.
    GraphsCaptured,
    /// The engine has started.
    EngineReady,
    /// The HTTP server listens.
    ServerReady,
    /// Warm-up requests begin.
    WarmupBegan,
    /// Warm-up requests have ended.
    WarmupEnded,
    /// Measured requests begin.
    MeasureBegan,
    /// Measured requests have ended.
    MeasureEnded,
    /// The first report of a request in flight.
    FirstTraffic,
    /// The last report of a request in flight.
    LastTraffic,
    /// The engine begins to stop.
    ShutdownBegan,
    /// The last line with a clock.
    LastLine,
}

/// A milestone with what the log says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What.
    pub milestone: Milestone,
    /// The clock printed on its line, or on the nearest line before it that has one.
    pub at: Option<LogTime>,
    /// Whether the clock stands on the line itself.
    pub at_is_own: bool,
    /// How long it took, where the line says so.
    pub took: Option<Duration>,
    /// Where it stands.
    pub origin: Origin,
}

/// The engine's generation, by the words of its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Generation {
    /// vLLM up to 0.10 in its first design.
    V0,
    /// vLLM's second design, the only one since 0.11.
    V1,
}

/// Sizes by which the engine splits a model over ranks. Absent means not printed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parallel {
    /// Tensor-parallel ranks.
    pub tensor: Option<Fact<u32>>,
    /// Pipeline-parallel ranks.
    pub pipeline: Option<Fact<u32>>,
    /// Data-parallel replicas.
    pub data: Option<Fact<u32>>,
}

/// The largest number of requests of full length that the KV cache can hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaxConcurrency {
    /// Tokens of one request.
    pub tokens: u64,
    /// How many of them fit.
    pub factor: f64,
}

/// Why an engine did not start, or stopped. Amounts are as printed; `None` was not printed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum FailureKind {
    /// Nothing was left for the KV cache after weights and the profile run.
    NoKvCacheMemory,
    /// V0: the model's length is larger than the tokens that the KV cache can hold.
    MaxSeqLenExceedsKvCache {
        /// The model's length in tokens.
        max_model_len: Option<u64>,
        /// Tokens that the cache can hold.
        kv_cache_tokens: Option<u64>,
    },
    /// V1: one request of the model's length needs more than the KV cache has.
    KvCacheTooSmallForMaxModelLen {
        /// The model's length in tokens.
        max_model_len: Option<u64>,
        /// What one request of that length needs, per rank.
        needed: Option<Bytes>,
        /// What the KV cache has, per rank.
        available: Option<Bytes>,
        /// The longest length that would fit, by the engine's own estimate.
        estimated_max_model_len: Option<u64>,
    },
    /// The device had less free memory at start than the engine was told to use.
    FreeMemoryBelowUtilization {
        /// Free at start, on one device.
        free: Option<Bytes>,
        /// The device's total.
        total: Option<Bytes>,
        /// The share asked for.
        utilization: Option<f64>,
        /// The amount asked for.
        requested: Option<Bytes>,
    },
    /// Another process gave memory back while the engine measured its own use, so that it could not.
    FreeMemoryGrew {
        /// Free when the worker started.
        initial: Option<Bytes>,
        /// Free after the profile run.
        current: Option<Bytes>,
    },
    /// The framework's allocator found no memory.
    OutOfMemory {
        /// The allocation that failed.
        tried: Option<Bytes>,
        /// The device's capacity.
        capacity: Option<Bytes>,
        /// Free on the device.
        free: Option<Bytes>,
        /// In use by the process.
        process: Option<Bytes>,
        /// In use by the framework's tensors.
        allocated: Option<Bytes>,
        /// Held by the framework's allocator and not in use.
        reserved_unallocated: Option<Bytes>,
    },
    /// The host has not the memory that the engine wanted: the CPU's allocator, a mapping, or the kernel, which ended a
    /// process for it. No setting of the device's memory helps.
    HostOutOfMemory {
        /// The allocation that failed.
        tried: Option<Bytes>,
        /// In use by the process that the kernel ended for it: its anonymous pages.
        process: Option<Bytes>,
    },
    /// The communication library failed.
    Collective,
    /// A worker process died.
    WorkerDied,
    /// The engine does not know the model's architecture.
    UnsupportedArchitecture,
    /// The command line or configuration was refused.
    BadArguments,
    /// The engine's core did not start, and the cause is not in the log.
    EngineCoreFailed,
    /// The engine's core stopped while it was at work, and the cause is not in the log.
    EngineCoreDied,
    /// The device, or the engine's kernels for it, cannot do what the model or the arguments ask for.
    UnsupportedOnDevice,
    /// The engine waits for devices that are not there.
    WaitingForGpus,
    /// Another error, named by its message.
    Other,
}

impl FailureKind {
    /// The name as documents spell it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NoKvCacheMemory => "no_kv_cache_memory",
            Self::MaxSeqLenExceedsKvCache { .. } => "max_seq_len_exceeds_kv_cache",
            Self::KvCacheTooSmallForMaxModelLen { .. } => "kv_cache_too_small_for_max_model_len",
            Self::FreeMemoryBelowUtilization { .. } => "free_memory_below_utilization",
            Self::FreeMemoryGrew { .. } => "free_memory_grew",
            Self::OutOfMemory { .. } => "out_of_memory",
            Self::HostOutOfMemory { .. } => "host_out_of_memory",
            Self::Collective => "collective_failed",
            Self::WorkerDied => "worker_died",
            Self::UnsupportedArchitecture => "unsupported_architecture",
            Self::BadArguments => "bad_arguments",
            Self::EngineCoreFailed => "engine_core_failed_to_start",
            Self::EngineCoreDied => "engine_core_died",
            Self::UnsupportedOnDevice => "unsupported_on_device",
            Self::WaitingForGpus => "waiting_for_gpus",
            Self::Other => "other",
        }
    }
}

/// A failure with the engine's words for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The engine whose words these are.
    pub engine: Option<EngineKind>,
    /// What went wrong.
    pub kind: FailureKind,
    /// The engine's message, shortened to a few hundred characters.
    pub message: String,
    /// Where it stands.
    pub origin: Origin,
    /// The rank whose process failed, where its tag tells.
    pub rank: Option<u32>,
    /// What the engine was at, where the log tells.
    pub activity: Option<Activity>,
    /// The same failure of each process, this one included, in the order of ranks; empty where only one tells of it.
    pub ranks: Vec<RankFailure>,
    /// What followed from it, in order: the same told again by another process, and processes that ended because of it.
    pub consequences: Vec<Consequence>,
}

impl Failure {
    /// A failure from which nothing has followed yet.
    pub fn new(engine: Option<EngineKind>, kind: FailureKind, message: String, origin: Origin) -> Self {
        Self { engine, kind, message, origin, rank: None, activity: None, ranks: Vec::new(), consequences: Vec::new() }
    }
}

/// What an engine was at when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activity {
    /// Weights were being loaded: there was no KV cache yet.
    LoadingWeights,
    /// The profile run was under way: there was no KV cache yet.
    Profiling,
    /// The KV cache was being allocated, graphs captured, or kernels warmed up: the log does not say which.
    Starting,
    /// Graphs were being captured.
    CapturingGraphs,
    /// The sampler was being warmed up.
    WarmingUpSampler {
        /// With so many requests.
        requests: Option<u64>,
    },
    /// The engine had started.
    Serving,
    /// It was waking up from sleep.
    WakingUp {
        /// What falling asleep had freed on a device, where the log says so.
        freed: Option<Bytes>,
    },
}

impl Activity {
    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LoadingWeights => "loading_weights",
            Self::Profiling => "profiling",
            Self::Starting => "starting",
            Self::CapturingGraphs => "capturing_graphs",
            Self::WarmingUpSampler { .. } => "warming_up_sampler",
            Self::Serving => "serving",
            Self::WakingUp { .. } => "waking_up",
        }
    }
}

/// One process's part in a failure that several had.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RankFailure {
    /// Its rank, where its tag tells.
    pub rank: Option<u32>,
    /// What went wrong, with the figures that it printed.
    pub kind: FailureKind,
    /// Where it stands.
    pub origin: Origin,
}

impl From<&Failure> for RankFailure {
    fn from(failure: &Failure) -> Self {
        Self { rank: failure.rank, kind: failure.kind.clone(), origin: failure.origin.clone() }
    }
}

/// What an engine said because of a failure.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Consequence {
    /// What it would be by itself.
    pub kind: FailureKind,
    /// The engine's message, shortened to a few hundred characters.
    pub message: String,
    /// Where it stands.
    pub origin: Origin,
}

impl From<Failure> for Consequence {
    fn from(failure: Failure) -> Self {
        Self { kind: failure.kind, message: failure.message, origin: failure.origin }
    }
}

/// What one of several data-parallel engines that share a log said of its own KV cache.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Replica {
    /// Tokens that its KV cache holds.
    pub kv_tokens: u64,
    /// Requests of full length that it holds; where it did not print them, those of a replica that did, in proportion to
    /// the tokens.
    pub max_concurrency: Option<MaxConcurrency>,
}

impl Replica {
    /// One that holds so much.
    pub fn new(kv_tokens: u64, max_concurrency: Option<MaxConcurrency>) -> Self {
        Self { kv_tokens, max_concurrency }
    }
}

/// What one engine reported from its start to its end. Every value keeps the line it comes from. Memory figures are
/// lists in order of appearance: one entry a printed line, so ranks that differ and engines that contradict
/// themselves stay visible. Empty and `None` mean that the log does not say.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct EngineFacts {
    /// Which engine it is, by the words of its log.
    pub engine: Option<EngineKind>,
    /// They are what the server answered when it was asked, and stand in no log.
    pub answered: bool,
    /// The engine's version.
    pub version: Option<Fact<String>>,
    /// V0 or V1.
    pub generation: Option<Fact<Generation>>,
    /// The model runner within V1: 1 or 2.
    pub model_runner: Option<Fact<u32>>,
    /// The platform word (`cuda`, `rocm`, `cpu`, …).
    pub platform: Option<Fact<String>>,
    /// The model's name or folder.
    pub model: Option<Fact<String>>,
    /// The architecture that the engine resolved (`LlamaForCausalLM`).
    pub architecture: Option<Fact<String>>,
    /// Element type of weights and activations (`bfloat16`).
    pub dtype: Option<Fact<String>>,
    /// Quantization method of the weights; `none` where the log says so.
    pub quantization: Option<Fact<String>>,
    /// Element type of the KV cache (`auto`, `fp8`).
    pub kv_cache_dtype: Option<Fact<String>>,
    /// How weights are loaded (`auto`, `dummy`).
    pub load_format: Option<Fact<String>>,
    /// Parallel sizes.
    pub parallel: Parallel,
    /// Longest request in tokens.
    pub max_model_len: Option<Fact<u64>>,
    /// Most tokens in one step.
    pub max_num_batched_tokens: Option<Fact<u64>>,
    /// Most requests in one step.
    pub max_num_seqs: Option<Fact<u64>>,
    /// Share of the device that the engine may use.
    pub gpu_memory_utilization: Option<Fact<f64>>,
    /// The size of the KV cache on a device, where it was given instead of a share.
    pub kv_cache_memory: Option<Fact<Bytes>>,
    /// Weights that are kept in host memory, per rank, as asked for.
    pub cpu_offload: Option<Fact<Bytes>>,
    /// Tokens of one KV block, where printed.
    pub block_size: Option<Fact<u64>>,
    /// Whether compilation and graphs are off.
    pub enforce_eager: Option<Fact<bool>>,
    /// Whether prefixes are shared between requests.
    pub enable_prefix_caching: Option<Fact<bool>>,
    /// Whether prompts are cut into chunks.
    pub enable_chunked_prefill: Option<Fact<bool>>,
    /// The method of speculative decoding.
    pub speculative_method: Option<Fact<String>>,
    /// The attention backend.
    pub attention_backend: Option<Fact<String>>,
    /// The CUDA-graph mode, where printed.
    pub cudagraph_mode: Option<Fact<String>>,

    /// Weights as loaded, per rank.
    pub weights: Vec<Fact<Bytes>>,
    /// Memory for the KV-cache pool, per rank. May be larger than the pool by less than one block.
    pub kv_pool: Vec<Fact<Bytes>>,
    /// All that was gone from the device between the engine's first look at it and the end of its profile run, per rank:
    /// weights, and what the rank keeps beside them. Printed since vLLM 0.27.
    pub consumed: Vec<Fact<Bytes>>,
    /// The transient peak of the profile run over what stays allocated, per rank. It is the peak of the run *before*
    /// the pool exists. Without the engine's estimate of the graphs, which some releases print within it.
    pub activation_peak: Vec<Fact<Bytes>>,
    /// Growth outside the framework's allocator while profiling, per rank.
    pub non_torch: Vec<Fact<Bytes>>,
    /// In use outside the framework's allocator before the engine loads anything, on the rank's device.
    pub initial_non_torch: Vec<Fact<Bytes>>,
    /// Captured graphs, per rank, as free memory fell. Not those of a trial.
    pub graphs: Vec<Fact<Bytes>>,
    /// Graphs that were captured for a trial before the KV-cache pool was sized, and given up again, per rank.
    pub graphs_tried: Vec<Fact<Bytes>>,
    /// Graphs whose printed size is negative: free memory *rose* during capture, per rank. Amounts without sign.
    pub graphs_negative: Vec<Fact<Bytes>>,
    /// The engine's own estimate of the graphs, taken off the KV budget, per rank.
    pub graphs_estimated: Vec<Fact<Bytes>>,
    /// Memory that the engine may use on a device: total x utilization.
    pub requested: Vec<Fact<Bytes>>,
    /// Free memory on the device when the worker starts.
    pub initial_free: Vec<Fact<Bytes>>,
    /// Total memory of the device, as the framework sees it.
    pub device_total: Vec<Fact<Bytes>>,

    /// Memory by what it holds and where it lies, of engines that print it so: on devices and on the host, allocated and
    /// planned.
    pub buffers: Vec<Buffer>,
    /// The devices that it found, by its own names for them.
    pub places: Vec<PlaceFacts>,
    /// Layers of the model that a device holds, of engines that split a model between device and host. The output layer
    /// counts as one.
    pub layers_on_device: Option<Fact<u64>>,
    /// Layers of the model, counted alike.
    pub layers: Option<Fact<u64>>,
    /// Free memory on the device when the engine has started, per rank.
    pub free_at_ready: Vec<Fact<Bytes>>,
    /// Free memory on the device when weights were loaded, per rank. Of engines that print it behind each of their steps:
    /// once for each model that they load.
    pub free_after_weights: Vec<Fact<Bytes>>,
    /// The same when the KV cache, and what else is of a size for all requests, was allocated.
    pub free_after_pools: Vec<Fact<Bytes>>,
    /// The same before graphs are captured, once for each capture.
    pub free_before_graphs: Vec<Fact<Bytes>>,
    /// The same behind each capture.
    pub free_after_graphs: Vec<Fact<Bytes>>,

    /// Blocks of the KV cache on the device, per rank.
    pub gpu_blocks: Vec<Fact<u64>>,
    /// Tokens that the KV cache holds, per engine (or per rank in old versions).
    pub kv_tokens: Vec<Fact<u64>>,
    /// Requests of full length that fit.
    pub max_concurrency: Vec<Fact<MaxConcurrency>>,
    /// What each data-parallel engine said of its own KV cache; empty unless several did.
    pub replicas: Vec<Replica>,
    /// Largest KV usage seen in the periodic statistics, in percent of the pool.
    pub peak_kv_usage_pct: Option<Fact<f64>>,
    /// Most requests running together in the periodic statistics.
    pub peak_running: Option<Fact<u64>>,

    /// What happened, in order.
    pub events: Vec<Event>,
    /// Failures, in order, each with what followed from it.
    pub failures: Vec<Failure>,
    /// What the engine's own benchmark printed.
    pub latency: Option<crate::LatencyResult>,
}

impl EngineFacts {
    /// Ranks of one engine replica: tensor times pipeline. `None` unless the log gives at least one of them.
    pub fn ranks(&self) -> Option<u32> {
        let of = |fact: &Option<Fact<u32>>| fact.as_ref().map(|f| f.value);
        let (tensor, pipeline) = (of(&self.parallel.tensor), of(&self.parallel.pipeline));
        tensor.or(pipeline)?;
        tensor.unwrap_or(1).checked_mul(pipeline.unwrap_or(1))
    }

    /// Tokens that the KV cache holds: that of all data-parallel engines together, where several share the log, and else
    /// the smallest that is stated, which binds the engine.
    pub fn kv_cache_tokens(&self) -> Option<u64> {
        if self.replicas.is_empty() {
            return self.kv_tokens.iter().map(|fact| fact.value).min();
        }
        self.replicas.iter().try_fold(0u64, |sum, replica| sum.checked_add(replica.kv_tokens))
    }

    /// Requests of full length that the KV cache holds, for the same engines as [`Self::kv_cache_tokens`].
    pub fn full_length_requests(&self) -> Option<MaxConcurrency> {
        if self.replicas.is_empty() {
            let stated = self.max_concurrency.iter().map(|fact| fact.value);
            return stated.min_by(|a, b| a.factor.total_cmp(&b.factor));
        }
        let each: Option<Vec<MaxConcurrency>> = self.replicas.iter().map(|replica| replica.max_concurrency).collect();
        let each = each?;
        let tokens = each.iter().map(|of_one| of_one.tokens).max()?;
        // Replicas of one server have one length; else no number of requests is common to them.
        let common = each.iter().all(|of_one| of_one.tokens == tokens);
        // Each is printed in hundredths, and so is their sum.
        let sum: f64 = each.iter().map(|of_one| of_one.factor).sum();
        common.then(|| MaxConcurrency { tokens, factor: (sum * 100.0).round() / 100.0 })
    }

    /// What is allocated of a kind, on devices or on the host; `None` where no line says.
    pub fn allocated(&self, kind: BufferKind, on_host: bool) -> Option<Bytes> {
        let mut parts = self.buffers.iter().filter(|p| p.kind == kind && p.on_host == on_host && !p.planned).peekable();
        parts.peek()?;
        Bytes::checked_sum(parts.map(|part| part.amount.value))
    }

    /// The first event of a kind.
    pub fn event(&self, milestone: Milestone) -> Option<&Event> {
        self.events.iter().find(|e| e.milestone == milestone)
    }

    /// The last event of a kind.
    pub fn last_event(&self, milestone: Milestone) -> Option<&Event> {
        self.events.iter().rev().find(|e| e.milestone == milestone)
    }
}
