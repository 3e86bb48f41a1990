//! Version 3.0 to version 3.1: bare `_gb` numbers become bytes; everything else moves as it is.

use serde_json::Value;

use super::basis::WeightsSize;
use super::figures::Conversion;
use super::{detail, words};
use crate::earlier::{Count, Gpu};
use crate::v1::GpuInfo as OldGpuInfo;
use crate::v3::{
    DeviceMemory, EngineArgs, EngineMetadata, Generator, GpuInfo, GpuMemory, LatencyStats, MeasurementPoint,
    MemoryBreakdown, MemoryMeasurements, Metadata, ModelInfo, PerGpuStats, Profile, RawLogs, RunConfig, UnitBasis,
    VllmInternalMetrics, WorkloadInfo,
};
use crate::{Version, v2, v3_0};

/// Converts a document that was born as version `from`. Gives it with the units of its numbers, and notes.
pub(super) fn migrate(old: v3_0::Profile, from: Version) -> (Profile, Vec<UnitBasis>, Vec<String>) {
    let tool = old.detailed_gpu_metrics.as_ref().and_then(|d| d.tool.clone()).map(|t| t.to_lowercase());
    let model = old.model_info.as_ref();
    let parameters = model.and_then(|m| m.num_parameters).map(|n| n.0);
    let text = |field: &Option<String>| field.clone();
    let dtype = model.and_then(|m| text(&m.dtype));
    let quantization = model.and_then(|m| text(&m.quantization));
    let weights = WeightsSize::of(parameters, dtype.as_deref(), quantization.as_deref());
    let mut units = Conversion::new(from, tool.as_deref(), weights);
    let internal = old.vllm_internal_metrics;
    let breakdown = old.memory_breakdown.map(|b| memory_breakdown(b, internal.as_ref(), from, &mut units));
    let generator = Generator { name: "vramscope".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let mut profile = Profile::new(generator, Metadata::default());
    profile.profiler_version = old.profiler_version.unwrap_or_else(|| from.to_string());
    (profile.metadata, profile.run_config) = metadata(old.metadata.unwrap_or_default(), &mut units);
    profile.model_info = old.model_info.map(model_info);
    profile.gpu_info = old.gpu_info.map(|g| gpu_info(g, &mut units));
    profile.memory_measurements = old.memory_measurements.map(|m| measurements(m, &mut units));
    profile.memory_breakdown = breakdown;
    profile.vllm_internal_metrics = internal.map(|m| internal_metrics(m, &mut units));
    profile.memory_timeline = old.memory_timeline.map(|t| detail::timeline(t, &mut units));
    profile.detailed_gpu_metrics = old.detailed_gpu_metrics.map(|d| detail::detailed(d, &mut units));
    profile.latency_stats = old.latency_stats.map(latency);
    profile.engine_metadata = old.engine_metadata.map(engine);
    profile.raw_logs = old.raw_logs.and_then(|logs| raw_logs(&logs, &mut units));
    let (units, mut notes) = units.finish();
    notes.push(
        "phases, gaps, diagnostics, per-component reasons, CUDA graphs, runtime context, collectives and how the run \
         ended are not known"
            .to_owned(),
    );
    (profile, units, notes)
}

fn count(value: Option<Count>) -> Option<u64> {
    value.map(|count| count.0)
}

fn memory_breakdown(
    old: v2::MemoryBreakdown,
    internal: Option<&v3_0::InternalMetrics>,
    from: Version,
    units: &mut Conversion<'_>,
) -> MemoryBreakdown {
    let total = units.amount("memory_breakdown.total_measured_bytes", old.total_measured_gb);
    let baseline = units.amount("memory_breakdown.baseline_bytes", old.baseline_gb);
    let net_increase = units.signed("memory_breakdown.net_increase_bytes", old.net_increase_gb);
    let used = old.vllm_reported_values_used.clone().unwrap_or_default();
    let log = internal.cloned().unwrap_or_default();
    let mut part = |part: &str, written, used, reported, reported_as| {
        let field = format!("memory_breakdown.{part}");
        // A part that was taken over from the engine's log is in the log's unit.
        let taken_over = used == Some(true) && written == reported;
        let like = if taken_over { format!("vllm_internal_metrics.{reported_as}") } else { field.clone() };
        units.amount_as(&field, &like, written)
    };
    let kv_pool = (log.total_gpu_kv_cache_gb, "total_gpu_kv_cache_bytes");
    let model_weights =
        part("model_weights_bytes", old.model_weights_gb, used.weights, log.model_weights_gb, "model_weights_bytes");
    let kv_cache = part("kv_cache_bytes", old.kv_cache_gb, used.kv_cache, kv_pool.0, kv_pool.1);
    let activations =
        part("activations_bytes", old.activations_gb, used.activations, log.activations_gb, "activations_bytes");
    let (overhead, residual) = overhead(old.framework_overhead_gb, from, units);
    MemoryBreakdown {
        total_measured_bytes: total,
        total_bytes: total,
        baseline_bytes: baseline,
        net_increase_bytes: net_increase,
        model_weights_bytes: model_weights,
        kv_cache_bytes: kv_cache,
        activations_bytes: activations,
        framework_overhead_bytes: overhead,
        residual_bytes: residual,
        overhead_percentage: old.overhead_percentage,
        estimation_method: old.estimation_method,
        confidence_levels: old.confidence_levels,
        vllm_reported_values_used: old.vllm_reported_values_used,
        ..MemoryBreakdown::default()
    }
}

/// Overhead has a floor at zero since version 2, so the signed remainder is not known. Version 1 wrote it with its sign:
/// there it is the remainder.
fn overhead(written: Option<f64>, from: Version, units: &mut Conversion<'_>) -> (Option<u64>, Option<i64>) {
    if from.major == 1 {
        let residual = units.signed("memory_breakdown.residual_bytes", written);
        return (residual.map(|r| u64::try_from(r).unwrap_or(0)), residual);
    }
    let overhead = units.signed("memory_breakdown.framework_overhead_bytes", written);
    match overhead.map(u64::try_from) {
        Some(Ok(bytes)) => {
            units.note(
                "framework_overhead is the remainder with a floor at zero: the signed residual is not known".to_owned(),
            );
            (Some(bytes), None)
        }
        Some(Err(_)) => (Some(0), overhead),
        None => (None, None),
    }
}

fn measurements(old: v2::MemoryMeasurements, units: &mut Conversion<'_>) -> MemoryMeasurements {
    let mut at = |name: &str, old: Option<v2::MeasurementPoint>| old.map(|p| point(name, p, units));
    let baseline = at("baseline", old.baseline);
    let post_warmup = at("post_warmup", old.post_warmup);
    let peak = at("peak", old.peak);
    let memory_increase_bytes = units.signed("memory_measurements.memory_increase_bytes", old.memory_increase_gb);
    MemoryMeasurements { baseline, post_warmup, peak, memory_increase_bytes }
}

fn point(name: &str, old: v2::MeasurementPoint, units: &mut Conversion<'_>) -> MeasurementPoint {
    let field = |rest: &str| format!("memory_measurements.{name}.{rest}");
    MeasurementPoint {
        total_bytes: units.amount(&field("total_bytes"), old.total_gb),
        per_gpu_stats: old.per_gpu_stats.map(|s| PerGpuStats {
            sum_bytes: units.amount(&field("per_gpu_stats.sum_bytes"), s.sum),
            max_bytes: units.amount(&field("per_gpu_stats.max_bytes"), s.max),
            mean_bytes: units.amount(&field("per_gpu_stats.mean_bytes"), s.mean),
            stddev_bytes: units.amount(&field("per_gpu_stats.stddev_bytes"), s.stddev),
        }),
        per_gpu_details: old
            .per_gpu_details
            .unwrap_or_default()
            .into_iter()
            .map(|Gpu(g)| GpuMemory {
                gpu: g.gpu.map(|i| i.0),
                used_bytes: units.amount(&field("per_gpu_details[].used_bytes"), g.used_gb),
                free_bytes: units.amount(&field("per_gpu_details[].free_bytes"), g.free_gb),
                total_bytes: units.amount(&field("per_gpu_details[].total_bytes"), g.total_gb),
            })
            .collect(),
        at_ns: None,
    }
}

fn gpu_info(old: OldGpuInfo, units: &mut Conversion<'_>) -> GpuInfo {
    let mut memory = |Gpu(g): Gpu| {
        let field = |rest: &str| format!("gpu_info.gpu_memory_per_device[].{rest}");
        DeviceMemory {
            gpu: g.gpu.map(|i| i.0),
            used_bytes: units.amount(&field("used_bytes"), g.used_gb),
            allocated_bytes: units.amount(&field("allocated_bytes"), g.allocated_gb),
            reserved_bytes: units.amount(&field("reserved_bytes"), g.reserved_gb),
            total_bytes: units.amount(&field("total_bytes"), g.total_gb),
        }
    };
    let gpu_memory_per_device = old.gpu_memory_per_device.unwrap_or_default().into_iter().map(&mut memory).collect();
    let multi_gpu_overhead_bytes = units.signed("gpu_info.multi_gpu_overhead_bytes", old.multi_gpu_overhead_gb);
    GpuInfo { num_gpus: old.num_gpus, gpu_memory_per_device, multi_gpu_overhead_bytes, ..GpuInfo::default() }
}

fn internal_metrics(old: v3_0::InternalMetrics, units: &mut Conversion<'_>) -> VllmInternalMetrics {
    let mut amount = |field: &str, written| units.amount(&format!("vllm_internal_metrics.{field}"), written);
    VllmInternalMetrics {
        num_gpu_blocks: count(old.num_gpu_blocks),
        num_cpu_blocks: count(old.num_cpu_blocks),
        block_size: count(old.block_size),
        total_gpu_kv_cache_tokens: count(old.total_gpu_kv_cache_tokens),
        total_gpu_kv_cache_bytes: amount("total_gpu_kv_cache_bytes", old.total_gpu_kv_cache_gb),
        attention_backend: old.attention_backend,
        model_weights_bytes: amount("model_weights_bytes", old.model_weights_gb),
        activations_bytes: amount("activations_bytes", old.activations_gb),
        total_allocated_bytes: amount("total_allocated_bytes", old.total_allocated_gb),
        gpu_memory_utilization: old.gpu_memory_utilization,
        max_model_len: count(old.max_model_len),
        cuda_graphs_enabled: old.cuda_graphs_enabled,
        ..VllmInternalMetrics::default()
    }
}

/// The time, and the profiler's command line where the document has it.
fn metadata(old: v2::Metadata, units: &mut Conversion<'_>) -> (Metadata, Option<RunConfig>) {
    let timestamp = old.timestamp.as_ref().and_then(|time| {
        let known = words::timestamp(time);
        if known.is_none() {
            units.note(format!("metadata.timestamp is no time ({}); it stays absent", time.as_written()));
        }
        known
    });
    let workload = WorkloadInfo {
        input_len: count(old.input_len),
        output_len: count(old.output_len),
        batch_size: count(old.batch_size),
        num_iters_warmup: count(old.num_iters_warmup),
        num_iters: count(old.num_iters),
        ..WorkloadInfo::default()
    };
    let engine = EngineArgs {
        model: old.model,
        dtype: old.dtype,
        quantization: old.quantization,
        kv_cache_dtype: old.kv_cache_dtype,
        tensor_parallel_size: old.tensor_parallel_size,
        gpu_memory_utilization: old.gpu_memory_utilization,
        max_model_len: count(old.max_model_len),
        enforce_eager: old.enforce_eager,
        ..EngineArgs::default()
    };
    let engine = (engine != EngineArgs::default()).then_some(engine);
    let workload = (workload != WorkloadInfo::default()).then_some(workload);
    let known = engine.is_some() || workload.is_some();
    (Metadata { timestamp, ..Metadata::default() }, known.then_some(RunConfig { engine, workload }))
}

fn model_info(old: v2::ModelInfo) -> ModelInfo {
    let name = old.name.or(old.model_name);
    ModelInfo {
        model_name: name.clone(),
        name,
        num_parameters: count(old.num_parameters),
        num_layers: count(old.num_layers),
        num_heads: count(old.num_heads),
        num_kv_heads: count(old.num_kv_heads),
        head_dim: count(old.head_dim),
        hidden_size: count(old.hidden_size),
        intermediate_size: count(old.intermediate_size),
        vocab_size: count(old.vocab_size),
        dtype: old.dtype,
        quantization: old.quantization,
        kv_cache_dtype: old.kv_cache_dtype,
        prompt_length: count(old.prompt_length),
        generated_length: count(old.generated_length),
        total_sequence_length: count(old.total_sequence_length),
        batch_size: count(old.batch_size),
        ..ModelInfo::default()
    }
}

fn latency(old: v2::LatencyStats) -> LatencyStats {
    LatencyStats {
        mean_latency_ms: old.mean_latency_ms,
        median_latency_ms: old.median_latency_ms,
        min_latency_ms: old.min_latency_ms,
        max_latency_ms: old.max_latency_ms,
        tokens_per_second: old.tokens_per_second,
        ..LatencyStats::default()
    }
}

fn engine(old: v2::EngineMetadata) -> EngineMetadata {
    let (engine_type, engine_version) = (old.engine_type, old.engine_version);
    EngineMetadata { engine_type, engine_version, ..EngineMetadata::default() }
}

/// Keeps the end of each log. Version 3.0 held the whole output, as one text or by stream.
fn raw_logs(old: &Value, units: &mut Conversion<'_>) -> Option<RawLogs> {
    let mut logs = RawLogs::default();
    match old {
        Value::String(text) => logs.stdout = Some(words::kept(text)),
        Value::Object(streams) => {
            for (name, text) in streams.iter().filter_map(|(name, text)| Some((name, text.as_str()?))) {
                let stream = if name.contains("err") { &mut logs.stderr } else { &mut logs.stdout };
                *stream = Some(words::kept(text));
            }
        }
        _ => {}
    }
    let kept = logs != RawLogs::default();
    if kept {
        units.note("of raw_logs only the end is kept, without what looks like a credential".to_owned());
    }
    kept.then_some(logs)
}
