//! What the engine makes of its arguments: every default filled in.
//!
//! Follows `engine/arg_utils.py` (`get_batch_defaults`) and `config/*.py` of the releases named beside each rule.

use vramscope_core::{Architecture, ElementType, Vendor, WeightFormat};

use crate::device::GpuModel;
use crate::vllm::activations::Runner;
use crate::vllm::drafts::DraftMethod;
use crate::vllm::graph_args::GraphMode;
use crate::vllm::input::{EngineArgs, EngineVersion, PerformanceMode, Usage};
use crate::vllm::kv::KvPlan;
use crate::vllm::lengths::max_model_len;
use crate::{EstimateError, weights};

const GIB: u64 = 1 << 30;

/// An engine's settings, complete.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Resolved {
    /// The release.
    pub version: EngineVersion,
    /// The runner that it takes.
    pub runner: Runner,
    /// Ranks that split each layer.
    pub tensor_parallel_size: u64,
    /// Ranks that split the sequence of layers.
    pub pipeline_parallel_size: u64,
    /// Replicas, which share the experts.
    pub data_parallel_size: u64,
    /// Ranks over which whole experts are dealt; 1 where each expert is split.
    pub expert_ranks: u64,
    /// Element type of activations.
    pub element: ElementType,
    /// Storage format of linear layers.
    pub format: WeightFormat,
    /// Longest request in tokens.
    pub max_model_len: u64,
    /// Most requests in one step.
    pub max_num_seqs: u64,
    /// Most tokens in one step.
    pub max_num_batched_tokens: u64,
    /// Tokens of one KV block.
    pub block_size: u64,
    /// Share of the device.
    pub gpu_memory_utilization: f64,
    /// Tokens are guessed ahead and then checked.
    pub drafted: bool,
    /// They are guessed from the model's states.
    pub drafts_from_states: bool,
    /// Only the language part of a multimodal model is loaded.
    pub language_model_only: bool,
    /// Layers are compiled and graphs captured.
    pub compiled: bool,
    /// Sizes for which graphs are captured.
    pub capture_sizes: u64,
    /// Those for which the pieces between mixers are captured.
    pub sizes_in_pieces: u64,
    /// Tokens of the largest of them.
    pub capture_tokens: u64,
    /// Sizes of which a step is captured whole: those that requests of one token each, or of their drafts, can fill.
    pub whole_sizes: u64,
    /// Tokens of the largest of those.
    pub whole_tokens: u64,
    /// Tokens of the second largest.
    pub second_whole_tokens: u64,
}

/// Fills in the defaults.
pub(crate) fn resolve(
    model: &Architecture,
    args: &EngineArgs,
    device: &GpuModel,
    plan: &KvPlan,
) -> Result<Resolved, EstimateError> {
    let max_model_len = max_model_len(model, args)?;
    let (tokens, requests) = batch_defaults(args, device);
    let times = if args.performance_mode == PerformanceMode::Throughput { 2 } else { 1 };
    let max_num_seqs = args.max_num_seqs.unwrap_or(requests * times);
    // A prompt that is not cut into chunks has to fit in a step.
    let longest = if args.enable_chunked_prefill == Some(false) { max_model_len } else { 0 };
    // A step never has more tokens than all its requests together.
    let most = max_num_seqs.saturating_mul(max_model_len);
    let max_num_batched_tokens = args.max_num_batched_tokens.unwrap_or_else(|| (tokens * times).max(longest).min(most));
    let max_num_seqs = max_num_seqs.min(max_num_batched_tokens);
    let ranks = args.tensor_parallel_size.saturating_mul(args.data_parallel_size);
    let compiled = !args.enforce_eager;
    let sizes =
        if compiled { capture_sizes(model, args, device, max_num_seqs, max_num_batched_tokens) } else { Vec::new() };
    // A step is captured whole where each request has one token, or as many as its drafts let it have.
    let step = max_num_seqs.saturating_mul(args.num_speculative_tokens.saturating_add(1));
    let whole = match args.graphs.mode {
        Some(GraphMode::Full) => &sizes[..],
        Some(GraphMode::Piecewise | GraphMode::None) => &[],
        _ => &sizes[..sizes.partition_point(|size| *size <= step)],
    };
    let in_pieces = !matches!(args.graphs.mode, Some(GraphMode::Full | GraphMode::FullDecodeOnly));
    let last = |sizes: &[u64], back: usize| sizes.len().checked_sub(back).map_or(0, |at| sizes[at]);
    Ok(Resolved {
        version: args.version,
        runner: Runner::of(model, args),
        tensor_parallel_size: args.tensor_parallel_size,
        pipeline_parallel_size: args.pipeline_parallel_size,
        data_parallel_size: args.data_parallel_size,
        expert_ranks: if args.enable_expert_parallel && model.has_experts() { ranks } else { 1 },
        element: args.element_type(model),
        format: weights::format_of(model, args)?,
        max_model_len,
        max_num_seqs,
        max_num_batched_tokens,
        block_size: plan.block_size,
        gpu_memory_utilization: args
            .gpu_memory_utilization
            .unwrap_or_else(|| args.version.default_gpu_memory_utilization()),
        drafted: args.drafter.is_some(),
        drafts_from_states: args.drafter.as_ref().is_some_and(|drafter| drafter.method != DraftMethod::Lookup),
        language_model_only: args.language_model_only,
        compiled,
        capture_sizes: sizes.len() as u64,
        sizes_in_pieces: if in_pieces { sizes.len() as u64 } else { 0 },
        capture_tokens: last(&sizes, 1),
        whole_sizes: whole.len() as u64,
        whole_tokens: last(whole, 1),
        second_whole_tokens: last(whole, 2),
    })
}

/// Tokens and requests of a step by default.
fn batch_defaults(args: &EngineArgs, device: &GpuModel) -> (u64, u64) {
    let total = device.total.get();
    let offline = args.usage == Usage::Offline;
    // The first is slower with more; the second has the memory of a large device and the speed of a small one (0.33).
    let slow_large = device.name.contains("A100") || (device.capability == (12, 1) && args.version.from_minor(33));
    if total >= 160 * GIB && args.version.from_minor(28) {
        (16_384, 1024)
    } else if total >= 70 * GIB && !slow_large {
        let requests = if args.version.from_minor(10) { 1024 } else { 256 };
        (if offline { 16_384 } else { 8192 }, requests)
    } else {
        (if offline { 8192 } else { 2048 }, 256)
    }
}

/// The sizes that graphs are captured for, in tokens, the smallest first (`config/vllm.py`, `_set_cudagraph_sizes`).
fn capture_sizes(model: &Architecture, args: &EngineArgs, device: &GpuModel, requests: u64, tokens: u64) -> Vec<u64> {
    if args.graphs.mode == Some(GraphMode::None) {
        return Vec::new();
    }
    if let Some(given) = &args.graphs.sizes {
        let mut sizes: Vec<u64> = given.iter().copied().filter(|size| *size <= tokens).collect();
        sizes.sort_unstable();
        sizes.dedup();
        return sizes;
    }
    // From 0.28 on devices of the family of compute capability 10 (0.25 has none of it).
    let wide = device.vendor == Vendor::Nvidia && device.capability.0 == 10 && args.version.from_minor(28);
    let usual = if wide { 1024 } else { 512 };
    // A request's tokens in a step: its next one, and those that a drafter guessed.
    let each = args.num_speculative_tokens.saturating_add(1);
    // This class states its own largest size (`models/config.py`).
    let own = model.class.as_deref() == Some("GptOssForCausalLM");
    let largest = if own { 1024 } else { requests.saturating_mul(each).saturating_mul(2).min(usual) };
    let mut sizes = Vec::new();
    if !own && each > 1 && args.version.from_minor(30) {
        // Steps in which every request has as many tokens.
        let most = requests.min(usual);
        sizes.extend(strided(most).chain([most]).map(|requests| requests * each).filter(|size| *size <= largest));
    } else if !own && each == 1 && args.version.from_minor(32) && requests <= largest {
        sizes.push(requests);
    }
    let largest = args.graphs.largest.unwrap_or(largest).min(tokens);
    if args.performance_mode == PerformanceMode::Interactivity {
        sizes.extend(1..=largest.min(32));
    }
    sizes.extend(strided(largest));
    if tokens <= largest {
        sizes.push(tokens);
    }
    sizes.retain(|size| *size <= tokens);
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// 1, 2, 4, from 8 by 8 and from 256 by 16, up to `largest`.
fn strided(largest: u64) -> impl Iterator<Item = u64> {
    [1, 2, 4].into_iter().chain((8..256).step_by(8)).chain((256..).step_by(16)).take_while(move |size| *size <= largest)
}

/// Whether the engine captures graphs on this vendor's devices and takes its estimate off the budget.
pub(crate) fn estimates_graphs(engine: &Resolved, device: &GpuModel) -> bool {
    engine.compiled && device.vendor == Vendor::Nvidia && engine.version.from_minor(20) && engine.runner == Runner::V1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_capture_sizes_are_the_engines() {
        let model = crate::tests_support::llama_8b();
        let args = EngineArgs::default();
        let capture_sizes = |model: &Architecture, args: &EngineArgs, requests: u64, tokens: u64| {
            super::capture_sizes(model, args, crate::find_device("h200").unwrap(), requests, tokens).len()
        };
        // 1, 2, 4, 8..248 by 8, 256..512 by 16.
        assert_eq!(capture_sizes(&model, &args, 1024, 8192), 3 + 31 + 17);
        assert_eq!(capture_sizes(&model, &args, 16, 8192), 3 + 4);
        assert_eq!(capture_sizes(&model, &args, 1, 8192), 2);
        for (key, minor, sizes) in
            [("b300", 33, 51 + 32), ("gb200", 32, 51 + 32), ("b200", 28, 51 + 32), ("b200", 25, 51), ("gb10", 33, 51)]
        {
            let args = EngineArgs { version: EngineVersion::new(0, minor, 0), ..EngineArgs::default() };
            let device = crate::find_device(key).unwrap();
            assert_eq!(super::capture_sizes(&model, &args, device, 1024, 8192).len(), sizes, "{key} with 0.{minor}");
        }
    }

    /// Counts as each release's own configuration makes them on an H200.
    #[test]
    fn guessed_tokens_requests_and_modes_add_sizes_release_by_release() {
        let model = crate::tests_support::llama_8b();
        let h200 = crate::find_device("h200").unwrap();
        let counts = |guessed: u64, requests: u64, performance_mode: PerformanceMode| {
            [25, 28, 30, 32, 33].map(|minor| {
                let version = EngineVersion::new(0, minor, 0);
                let args =
                    EngineArgs { version, num_speculative_tokens: guessed, performance_mode, ..EngineArgs::default() };
                super::capture_sizes(&model, &args, h200, requests, 8192).len()
            })
        };
        let balanced = PerformanceMode::Balanced;
        assert_eq!(counts(4, 1024, balanced), [51, 51, 57, 57, 57]);
        assert_eq!(counts(2, 1024, balanced), [51, 51, 60, 60, 60]);
        assert_eq!(counts(0, 100, balanced), [28, 28, 28, 29, 29]);
        assert_eq!(counts(0, 1024, PerformanceMode::Interactivity), [76; 5]);
    }

    #[test]
    fn a_device_that_shares_the_memory_of_the_cpu_is_no_large_one_from_0_33_on() {
        let steps = |key: &str, minor: u16| {
            let args = EngineArgs { version: EngineVersion::new(0, minor, 0), ..EngineArgs::default() };
            batch_defaults(&args, crate::find_device(key).unwrap())
        };
        assert_eq!((steps("gb10", 32), steps("gb10", 33)), ((8192, 1024), (2048, 256)));
        assert_eq!((steps("h100", 33), steps("b300", 33)), ((8192, 1024), (16_384, 1024)));
    }
}
