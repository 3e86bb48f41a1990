//! The memory budget as the engine will set it up, and its verdict.
//!
//! Follows vLLM: `v1/worker/{utils,gpu_worker}.py` (`request_memory`, `determine_available_memory`) and the checks of
//! `v1/core/kv_cache_utils.py`.

use vramscope_core::{Architecture, Bytes, Confidence, FailureKind, Workload};

use crate::calibration::Calibration;
use crate::device::GpuModel;
use crate::figure::Figure;
use crate::vllm::activations::{self, Context};
use crate::vllm::drafts::Draft;
use crate::vllm::input::EngineArgs;
use crate::vllm::kv::{KvPlan, plan_of_checked};
use crate::vllm::resolve::{self, Resolved};
use crate::vllm::trust::Doubts;
use crate::vllm::{asked, graphs, held, outside};
use crate::{EstimateError, Weights, weights_on_device};

const OVERFLOW: EstimateError = EstimateError::Overflow { what: "the budget" };

/// What is known beside the model and the engine's arguments.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// The kind of device; all ranks have one each.
    pub device: &'a GpuModel,
    /// Memory that other processes hold on it.
    pub others: Bytes,
    /// Measured sizes.
    pub calibration: &'a Calibration,
}

impl<'a> Setting<'a> {
    /// A device for the engine alone, and the measured sizes that come with this crate.
    pub fn alone(device: &'a GpuModel) -> Self {
        Self { device, others: Bytes::ZERO, calibration: Calibration::embedded() }
    }
}

/// The budget of one rank: of the pipeline stage with the least room, where stages differ.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Budget {
    /// The engine's settings with every default filled in.
    pub engine: Resolved,
    /// What the engine may use: total x share.
    pub requested: Figure,
    /// Weights as loaded.
    pub weights: Figure,
    /// Parameters of the whole model.
    pub parameters: u64,
    /// What the rank keeps beside its weights after the profile run; of engines that do not count it only what the class of
    /// a multimodal model makes with its weights.
    pub held: Figure,
    /// The transient peak of the profile run.
    pub activation_peak: Figure,
    /// Captured graphs as they end up on the device.
    pub cuda_graphs: Figure,
    /// What the engine takes off its budget for graphs.
    pub cuda_graphs_budgeted: Figure,
    /// Growth outside the framework's allocator.
    pub non_torch: Figure,
    /// What the process holds before the engine's first snapshot; not part of what was requested.
    pub runtime_context: Figure,
    /// What is left for the KV cache; zero where nothing is.
    pub available: Figure,
    /// The KV cache as allocated: whole blocks.
    pub kv_cache: Figure,
    /// Blocks of the KV cache.
    pub num_gpu_blocks: Figure,
    /// Tokens of one block.
    pub block_size: Figure,
    /// Tokens as the engine reports them.
    pub kv_cache_tokens: Figure,
    /// Requests of the longest length that fit together, in thousandths.
    pub max_concurrency_milli: Figure,
    /// How the KV cache is laid out.
    pub plan: KvPlan,
    /// Whether the engine starts.
    pub verdict: Verdict,
    /// What to know of options that are not modelled, and of a release that was neither recorded nor compared with its own
    /// planner.
    pub notes: Vec<String>,
}

/// Whether the engine starts, and how it refuses if not.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Verdict {
    /// It starts.
    pub fits: bool,
    /// The same answer holds over the whole interval of the KV cache.
    pub certain: bool,
    /// How it refuses.
    pub failure: Option<FailureKind>,
    /// The longest `max_model_len` with which it starts; `None` if none is long enough for one token.
    pub longest_model_len: Option<u64>,
}

/// What a workload makes of the KV cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkloadUse {
    /// Tokens of one request at its end.
    pub tokens_per_request: u64,
    /// Blocks that one request takes.
    pub blocks_per_request: u64,
    /// Requests of this length that the cache holds together; never more than a step may have.
    pub concurrent_requests: u64,
    /// Requests wanted together, where given.
    pub wanted: Option<u64>,
    /// Bytes that the wanted (or else the possible) requests take, per rank.
    pub bytes: u64,
    /// Whether a request of this length is within `max_model_len`.
    pub within_model_len: bool,
}

/// One stage's figures.
struct Stage {
    weights: Figure,
    held: Figure,
    activation_peak: Figure,
    available: (u64, u64, u64),
}

/// Computes the budget.
///
/// ```
/// use vramscope_estimate::{EngineArgs, Setting, budget, find_device};
/// # let config = br#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096,
/// #     "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
/// #     "vocab_size": 128256, "max_position_embeddings": 131072, "torch_dtype": "bfloat16"}"#;
/// let (model, _) = vramscope_models::read_config(config).unwrap();
/// let device = find_device("h100").unwrap();
/// let budget = budget(&model, &EngineArgs::default(), Setting::alone(device)).unwrap();
/// assert!(budget.verdict.fits);
/// assert!(budget.kv_cache.low <= budget.kv_cache.value);
/// ```
///
/// # Errors
/// Sizes that do not divide as the engine needs, unknown formats, implausible architectures, and overflow. That a model
/// does not fit is no error: see [`Verdict`].
pub fn budget(model: &Architecture, args: &EngineArgs, setting: Setting<'_>) -> Result<Budget, EstimateError> {
    budget_of_loaded(model, args, setting, &weights_on_device(model, args, setting.device)?)
}

/// As [`budget`], with weights that were computed before. They are most of the work, and only the model, its format, the
/// ranks and the kind of device decide them: a search over lengths, requests and shares computes them once.
///
/// # Errors
/// As [`budget`].
pub fn budget_of_loaded(
    model: &Architecture,
    args: &EngineArgs,
    setting: Setting<'_>,
    loaded: &Weights,
) -> Result<Budget, EstimateError> {
    let device = setting.device;
    asked::check_on(args, device)?;
    let mut plan = plan_of_checked(model, args, &loaded.runs)?;
    let mut engine = resolve::resolve(model, args, device, &plan)?;
    plan.set_step(engine.max_num_batched_tokens, model, args);
    let requested = requested(&engine, device)?;
    let doubts = Doubts::of(model, args, &plan);
    let non_torch = outside::non_torch(&engine, device, setting.calibration);
    let context = outside::context(setting.calibration);
    let plain = matches!(engine.format, vramscope_core::WeightFormat::Plain | vramscope_core::WeightFormat::Mxfp4);
    let capture = graphs::Capture::new(model, args, &engine, device, &loaded.runs);
    let graphs_budgeted = doubts.widen_part(graphs::budgeted(&capture, setting.calibration));
    let cuda_graphs = doubts.widen_part(graphs::captured(&capture, setting.calibration));
    let last = loaded.stages.len().saturating_sub(1);
    let draft = Draft::of(model, args.drafter.as_ref());
    let mut least: Option<Stage> = None;
    for (index, stage) in loaded.stages.iter().enumerate() {
        let what = Context { model, engine: &engine, device, plain, runs: &loaded.runs };
        let peak = activations::peak(what, stage.layers.clone(), index == last)?;
        let peak = match draft.as_ref().filter(|_| index == last) {
            Some(draft) => activations::beside(peak, draft, &what),
            None => peak,
        };
        let held = held::held(model, &engine, device, peak.workspace, setting.calibration);
        let (peak_figure, held) = (doubts.widen_part(peak.figure), doubts.widen_part(held));
        let taken = [&stage.bytes, &peak_figure, &non_torch, &graphs_budgeted, &held];
        let left = |of: fn(&Figure) -> u64, from: u64| {
            taken.iter().try_fold(from, |left, part| Some(left.saturating_sub(of(part))))
        };
        let available = match args.kv_cache_memory {
            Some(given) => (given.get(), given.get(), given.get()),
            None => (
                left(|f| f.value, requested.value).unwrap_or(0),
                left(|f| f.high, requested.low).unwrap_or(0),
                left(|f| f.low, requested.high).unwrap_or(0),
            ),
        };
        let next = Stage { weights: stage.bytes.clone(), held, activation_peak: peak_figure, available };
        // Where the size of the cache is given, the heaviest stage is the one to look at.
        let room = |stage: &Stage| (stage.available.0, u64::MAX - stage.weights.value);
        if least.as_ref().is_none_or(|least| room(&next) < room(least)) {
            least = Some(next);
        }
    }
    let stage = least.ok_or(OVERFLOW)?;
    let sizes = Sizes::of(&plan, &engine, args, stage.available, doubts)?;
    // The run that measures the peak is made with the derived length; what fits takes its place only now.
    engine.max_model_len = length_of(&plan, &engine, args, sizes.blocks.value);
    let mut verdict = verdict(&stage, &sizes, &plan, &engine, &requested, &non_torch, &context, setting);
    verdict.certain &= doubts.none();
    Ok(Budget {
        requested,
        parameters: loaded.parameters,
        weights: stage.weights,
        held: stage.held,
        activation_peak: stage.activation_peak,
        cuda_graphs,
        cuda_graphs_budgeted: graphs_budgeted,
        non_torch,
        runtime_context: context,
        available: sizes.available,
        kv_cache: sizes.kv_cache,
        num_gpu_blocks: sizes.blocks,
        block_size: match args.block_size.filter(|_| !model.has_recurrence()) {
            Some(_) => Figure::exact(plan.block_size, "engine_block_size", "tokens of one block"),
            None => doubts.widen(Figure::exact(plan.block_size, "engine_block_size", "tokens of one block")),
        },
        notes: doubts.notes(model, args),
        kv_cache_tokens: sizes.tokens,
        max_concurrency_milli: sizes.concurrency,
        plan,
        verdict,
        engine,
    })
}

/// Total x share, rounded up to the byte as the engine does.
fn requested(engine: &Resolved, device: &GpuModel) -> Result<Figure, EstimateError> {
    let share = |total: u64| {
        let bytes = (Bytes::new(total).as_f64() * engine.gpu_memory_utilization).ceil();
        Bytes::from_unit(bytes, vramscope_core::ByteUnit::B).map(Bytes::get).ok_or(OVERFLOW)
    };
    let total = device.total.get();
    let spread = device.total_spread.get().min(total);
    let figure = Figure::exact(share(total)?, "total_times_share", "ceil(device total x gpu_memory_utilization)");
    let confidence = if spread == 0 { Confidence::Computed } else { Confidence::Estimated };
    Ok(figure.with(&[("device_total", total)]).within(
        share(total - spread)?,
        share(total.saturating_add(spread))?,
        confidence,
    ))
}

/// The KV cache in all its units.
struct Sizes {
    /// The cache's bytes where its size was given.
    given: Option<u64>,
    available: Figure,
    kv_cache: Figure,
    blocks: Figure,
    tokens: Figure,
    concurrency: Figure,
}

impl Sizes {
    fn of(
        plan: &KvPlan,
        engine: &Resolved,
        args: &EngineArgs,
        available: (u64, u64, u64),
        doubts: Doubts,
    ) -> Result<Self, EstimateError> {
        let figure = |method, formula, of: &dyn Fn(u64) -> Option<u64>| -> Result<Figure, EstimateError> {
            let (value, low, high) = available;
            let (value, low, high) = (of(value).ok_or(OVERFLOW)?, of(low).ok_or(OVERFLOW)?, of(high).ok_or(OVERFLOW)?);
            let confidence = if low == high { Confidence::Computed } else { Confidence::Estimated };
            Ok(Figure::exact(value, method, formula).within(low, high, confidence))
        };
        let blocks = |bytes: u64| args.num_gpu_blocks_override.unwrap_or_else(|| plan.blocks_in(bytes));
        let length = |bytes: u64| length_of(plan, engine, args, blocks(bytes));
        let request_of = |length: u64| plan.blocks_per_request(length).map(|blocks| blocks.max(1));
        let request = plan.blocks_per_request(length(available.0)).ok_or(OVERFLOW)?;
        let concurrency = |bytes: u64| Some(u128::from(blocks(bytes)) * 1000 / u128::from(request_of(length(bytes))?));
        let tokens = |bytes: u64| {
            let length = length(bytes);
            let by_request = u128::from(blocks(bytes)) * u128::from(length) / u128::from(request_of(length)?);
            let by_group = u128::from(blocks(bytes)) / (plan.groups.len().max(1) as u128) * u128::from(plan.block_size);
            u64::try_from(if engine.version.from_minor(20) { by_request } else { by_group }).ok()
        };
        Ok(Self {
            given: args.kv_cache_memory.map(Bytes::get),
            available: figure("requested_less_taken", "requested - weights - activations - non-torch - graphs", &Some)?,
            kv_cache: figure("whole_blocks", "blocks x bytes per block", &|b| plan.pool_bytes(blocks(b)))?
                .with(&[("bytes_per_block", plan.bytes_per_block)]),
            blocks: doubts
                .widen(figure("available_over_block", "available / bytes per block, rounded down", &|b| {
                    Some(blocks(b))
                })?)
                .with(&[("bytes_per_block", plan.bytes_per_block)]),
            tokens: doubts
                .widen(figure("engine_tokens", "blocks x max_model_len / blocks of such a request", &tokens)?)
                .with(&[("blocks_per_request", request)]),
            concurrency: doubts
                .widen(figure("engine_concurrency", "blocks / blocks of a request of max_model_len", &|b| {
                    u64::try_from(concurrency(b)?).ok()
                })?)
                .with(&[("blocks_per_request", request)]),
        })
    }
}

#[expect(clippy::too_many_arguments, reason = "the checks of a start need every part of the budget")]
fn verdict(
    stage: &Stage,
    sizes: &Sizes,
    plan: &KvPlan,
    engine: &Resolved,
    requested: &Figure,
    non_torch: &Figure,
    context: &Figure,
    setting: Setting<'_>,
) -> Verdict {
    let total = setting.device.total.get();
    let reserve = kept_back(engine);
    let starts_with = |blocks: u64| {
        plan.blocks_per_request(engine.max_model_len).is_some_and(|request| request <= blocks.saturating_sub(reserve))
    };
    let free = total.saturating_sub(context.value).saturating_sub(setting.others.get());
    let loaded = stage.weights.value.saturating_add(context.value).saturating_add(setting.others.get());
    let profiled = loaded
        .saturating_add(stage.held.value)
        .saturating_add(stage.activation_peak.value)
        .saturating_add(non_torch.value);
    // A cache of a given size is not held against what is left; the engine finds out when it makes it.
    let given = sizes.given;
    let longest = longest(plan, sizes.blocks.value.saturating_sub(reserve), engine.max_model_len);
    let share = Some(engine.gpu_memory_utilization);
    let failure = if free < requested.value {
        Some(FailureKind::FreeMemoryBelowUtilization {
            free: Some(Bytes::new(free)),
            total: Some(setting.device.total),
            utilization: share,
            requested: Some(Bytes::new(requested.value)),
        })
    } else if loaded > total || profiled > total || given.is_some_and(|cache| loaded.saturating_add(cache) > total) {
        Some(FailureKind::OutOfMemory {
            tried: None,
            capacity: Some(setting.device.total),
            free: None,
            process: None,
            allocated: None,
            reserved_unallocated: None,
        })
    } else if sizes.available.value == 0 {
        Some(FailureKind::NoKvCacheMemory)
    } else if !starts_with(sizes.blocks.value) {
        Some(too_small(plan, engine, sizes, longest))
    } else {
        None
    };
    let certain = match failure {
        Some(FailureKind::FreeMemoryBelowUtilization { .. }) => free < requested.low,
        Some(FailureKind::OutOfMemory { .. }) => loaded.saturating_add(given.unwrap_or(0)) > total,
        _ => starts_with(sizes.blocks.low) == starts_with(sizes.blocks.high),
    };
    Verdict { fits: failure.is_none(), certain, failure, longest_model_len: longest }
}

fn too_small(plan: &KvPlan, engine: &Resolved, sizes: &Sizes, longest: Option<u64>) -> FailureKind {
    if !engine.version.from_minor(8) {
        return FailureKind::MaxSeqLenExceedsKvCache {
            max_model_len: Some(engine.max_model_len),
            kv_cache_tokens: Some(sizes.tokens.value),
        };
    }
    let needed = plan.blocks_per_request(engine.max_model_len).and_then(|blocks| plan.pool_bytes(blocks));
    FailureKind::KvCacheTooSmallForMaxModelLen {
        max_model_len: Some(engine.max_model_len),
        needed: needed.map(Bytes::new),
        available: Some(Bytes::new(sizes.available.value)),
        estimated_max_model_len: longest,
    }
}

/// The longest request as the engine ends up with it, in a cache of so many blocks.
fn length_of(plan: &KvPlan, engine: &Resolved, args: &EngineArgs, blocks: u64) -> u64 {
    let derived = engine.max_model_len;
    if !args.auto_max_model_len || args.max_model_len.is_some() {
        return derived;
    }
    longest(plan, blocks.saturating_sub(kept_back(engine)), derived).unwrap_or(derived)
}

/// Blocks that the engine never gives to a request and, since 0.30, does not count on.
fn kept_back(engine: &Resolved) -> u64 {
    u64::from(engine.version.from_minor(30))
}

/// The longest request up to `most` tokens that so many blocks hold, by bisection as the engine does it.
pub(crate) fn longest(plan: &KvPlan, blocks: u64, most: u64) -> Option<u64> {
    let holds = |tokens: u64| plan.blocks_per_request(tokens).is_some_and(|needed| needed <= blocks);
    if most == 0 || !holds(1) {
        return None;
    }
    let (mut low, mut high) = (1, most);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if holds(middle) { low = middle } else { high = middle - 1 }
    }
    Some(low)
}

impl Budget {
    /// What a workload makes of the cache; `None` where its lengths are not known.
    pub fn workload(&self, workload: Workload) -> Option<WorkloadUse> {
        let tokens_per_request = workload.input_len?.checked_add(workload.output_len?)?;
        let blocks_per_request = self.plan.blocks_per_request(tokens_per_request)?.max(1);
        // The engine keeps one block to itself.
        let possible = self.num_gpu_blocks.value.saturating_sub(1) / blocks_per_request;
        let concurrent_requests = possible.min(self.engine.max_num_seqs);
        let counted = workload.batch_size.unwrap_or(concurrent_requests);
        Some(WorkloadUse {
            tokens_per_request,
            blocks_per_request,
            concurrent_requests,
            wanted: workload.batch_size,
            bytes: self.plan.pool_bytes(counted.checked_mul(blocks_per_request)?)?,
            within_model_len: tokens_per_request <= self.engine.max_model_len,
        })
    }
}
