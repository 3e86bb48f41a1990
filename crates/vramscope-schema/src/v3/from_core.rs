//! The working types of `core` become parts of the document. What `core` does not know stays absent.

use std::time::Duration;

use serde_json::Number;
use vramscope_core as core;
use vramscope_core::{ByteDelta, Bytes, ComponentKind};

use super::{
    BreakdownPart, ClockRange, Confidence, ConfidenceLevels, DeviceBreakdown, DeviceInfo, EngineFact, FactScope,
    GapCause, GapInfo, GpuTimeline, LatencyPercentile, LatencyStats, MemoryBreakdown, MemoryTimeline, PartKind,
    PartitionInfo, PerGpuStats, PercentRange, Phase, PhaseInfo, PowerRange, ReportedValuesUsed, TemperatureRange,
    WorkloadInfo,
};
use crate::Amount;

/// Nanoseconds; times of a recording are far below the 584 years that fit.
fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A figure that `core` keeps as a float of bytes, rounded to the byte.
fn rounded(bytes: f64) -> Option<u64> {
    Bytes::from_unit(bytes, core::ByteUnit::B).map(Bytes::get)
}

/// A share in percent; `None` of nothing.
fn percent(part: f64, whole: Bytes) -> Option<f64> {
    (whole != Bytes::ZERO).then(|| part / whole.as_f64() * 100.0)
}

impl BreakdownPart {
    /// A component as a part of `peak`; `None` for a kind that this version of the document has no word for.
    pub fn of(component: &core::Component, peak: Bytes) -> Option<Self> {
        Some(Self {
            kind: PartKind::of(component.kind)?,
            size_bytes: component.size.get(),
            resolution_bytes: component.resolution.map(Bytes::get),
            share_of_peak_pct: percent(component.size.as_f64(), peak),
            confidence: component.confidence.into(),
            method: component.basis.method.to_owned(),
            detail: (!component.basis.detail.is_empty()).then(|| component.basis.detail.clone()),
            log_lines: component.basis.log_lines.clone(),
        })
    }
}

impl DeviceBreakdown {
    /// The breakdown of one device.
    pub fn of(device: core::DeviceIndex, breakdown: &core::Breakdown) -> Self {
        Self {
            gpu: device.0,
            peak_bytes: breakdown.peak().get(),
            baseline_bytes: breakdown.baseline().get(),
            components: parts(breakdown),
            residual_bytes: breakdown.residual().get(),
        }
    }
}

fn parts(breakdown: &core::Breakdown) -> Vec<BreakdownPart> {
    breakdown.components().iter().filter_map(|c| BreakdownPart::of(c, breakdown.peak())).collect()
}

impl From<&core::Breakdown> for MemoryBreakdown {
    /// The breakdown of all devices together. `estimation_method` and `per_device` are left to the caller.
    fn from(breakdown: &core::Breakdown) -> Self {
        let size = |kind| breakdown.component(kind).map(|c| c.size.get());
        let residual = breakdown.residual();
        let overhead = residual.as_bytes().unwrap_or(Bytes::ZERO);
        let peak = breakdown.peak();
        Self {
            total_measured_bytes: Some(peak.get()),
            total_bytes: Some(peak.get()),
            baseline_bytes: Some(breakdown.baseline().get()),
            net_increase_bytes: peak.checked_delta(breakdown.baseline()).map(ByteDelta::get),
            model_weights_bytes: size(ComponentKind::Weights),
            kv_cache_bytes: size(ComponentKind::KvCache),
            recurrent_state_bytes: size(ComponentKind::RecurrentState),
            held_bytes: size(ComponentKind::Held),
            activations_bytes: size(ComponentKind::Activations),
            compute_buffers_bytes: size(ComponentKind::Compute),
            output_buffers_bytes: size(ComponentKind::Output),
            cuda_graphs_bytes: size(ComponentKind::CudaGraphs),
            runtime_context_bytes: size(ComponentKind::RuntimeContext),
            collectives_bytes: size(ComponentKind::Collectives),
            framework_overhead_bytes: Some(overhead.get()),
            residual_bytes: Some(residual.get()),
            overhead_percentage: percent(overhead.as_f64(), peak),
            residual_percentage: percent(residual.as_f64(), peak),
            estimation_method: None,
            confidence_levels: Some(levels(breakdown)),
            vllm_reported_values_used: Some(reported(breakdown)),
            components: parts(breakdown),
            per_device: Vec::new(),
            places: Vec::new(),
            allocator: Vec::new(),
        }
    }
}

fn levels(breakdown: &core::Breakdown) -> ConfidenceLevels {
    let of = |kind| breakdown.component(kind).map(|c| c.confidence.name().to_owned());
    ConfidenceLevels {
        overall: breakdown.components().iter().map(|c| c.confidence).min().map(|c| c.name().to_owned()),
        weights: of(ComponentKind::Weights),
        kv_cache: of(ComponentKind::KvCache),
        recurrent_state: of(ComponentKind::RecurrentState),
        held: of(ComponentKind::Held),
        activations: of(ComponentKind::Activations),
        compute_buffers: of(ComponentKind::Compute),
        output_buffers: of(ComponentKind::Output),
        cuda_graphs: of(ComponentKind::CudaGraphs),
        runtime_context: of(ComponentKind::RuntimeContext),
        collectives: of(ComponentKind::Collectives),
        overhead: Some(Confidence::Computed.name().to_owned()),
    }
}

fn reported(breakdown: &core::Breakdown) -> ReportedValuesUsed {
    let of = |kind| breakdown.component(kind).map(|c| !c.basis.log_lines.is_empty());
    ReportedValuesUsed {
        weights: of(ComponentKind::Weights),
        kv_cache: of(ComponentKind::KvCache),
        recurrent_state: of(ComponentKind::RecurrentState),
        held: of(ComponentKind::Held),
        activations: of(ComponentKind::Activations),
        compute_buffers: of(ComponentKind::Compute),
        output_buffers: of(ComponentKind::Output),
        cuda_graphs: of(ComponentKind::CudaGraphs),
        runtime_context: of(ComponentKind::RuntimeContext),
        collectives: of(ComponentKind::Collectives),
    }
}

impl Confidence {
    /// The word as documents spell it.
    pub fn name(self) -> &'static str {
        core::Confidence::from(self).name()
    }
}

impl From<&core::Spread> for PerGpuStats {
    fn from(spread: &core::Spread) -> Self {
        Self {
            sum_bytes: Some(spread.sum.get()),
            max_bytes: Some(spread.max.get()),
            mean_bytes: rounded(spread.mean),
            stddev_bytes: rounded(spread.stddev),
        }
    }
}

impl From<&core::Stats> for MemoryTimeline {
    /// The statistics; the ticks and the other readings are left to the caller.
    fn from(stats: &core::Stats) -> Self {
        Self {
            min_bytes: Some(stats.min.get()),
            max_bytes: Some(stats.max.get()),
            mean_bytes: rounded(stats.mean),
            median_bytes: rounded(stats.median),
            p95_bytes: rounded(stats.p95),
            p99_bytes: rounded(stats.p99),
            num_samples: u64::try_from(stats.n).ok(),
            ..Self::default()
        }
    }
}

impl GpuTimeline {
    /// The statistics of one device; the readings are left to the caller.
    pub fn of(device: core::DeviceIndex, stats: &core::Stats) -> Self {
        Self {
            gpu: device.0,
            min_bytes: Some(stats.min.get()),
            max_bytes: Some(stats.max.get()),
            mean_bytes: rounded(stats.mean),
            median_bytes: rounded(stats.median),
            p95_bytes: rounded(stats.p95),
            p99_bytes: rounded(stats.p99),
            num_samples: u64::try_from(stats.n).ok(),
            ..Self::default()
        }
    }
}

impl PowerRange {
    /// The range of readings in milliwatts.
    pub fn of_milliwatts(summary: &core::Summary) -> Self {
        let watts = |mw: f64| Amount::new(mw / 1e3);
        Self {
            min_w: watts(summary.min),
            max_w: watts(summary.max),
            mean_w: watts(summary.mean),
            p95_w: watts(summary.p95),
        }
    }
}

impl From<&core::Summary> for TemperatureRange {
    fn from(summary: &core::Summary) -> Self {
        Self { min_c: Some(summary.min), max_c: Some(summary.max), mean_c: Some(summary.mean) }
    }
}

impl From<&core::Summary> for PercentRange {
    fn from(summary: &core::Summary) -> Self {
        let of = Amount::new;
        Self { min_pct: of(summary.min), max_pct: of(summary.max), mean_pct: of(summary.mean) }
    }
}

impl From<&core::Summary> for ClockRange {
    fn from(summary: &core::Summary) -> Self {
        let of = Amount::new;
        Self { min_mhz: of(summary.min), max_mhz: of(summary.max), mean_mhz: of(summary.mean) }
    }
}

impl PhaseInfo {
    /// A phase with its window and the statistics of the total in it. Absent statistics mean that it has no complete
    /// tick.
    pub fn of(phase: core::Phase, window: core::Window, stats: Option<&core::Stats>) -> Self {
        Self {
            phase: Phase::from(phase),
            start_ns: ns(window.start),
            end_ns: ns(window.end),
            duration_s: Amount::seconds(window.length()),
            marked_by: None,
            num_samples: stats.and_then(|s| u64::try_from(s.n).ok()).unwrap_or(0),
            peak_bytes: stats.map(|s| s.max.get()),
            mean_bytes: stats.and_then(|s| rounded(s.mean)),
            min_bytes: stats.map(|s| s.min.get()),
            mean_power_w: None,
            mean_utilization_pct: None,
            per_gpu: Vec::new(),
        }
    }
}

impl GapInfo {
    /// A gap; `None` for a cause that this version of the document has no word for.
    pub fn of(gap: &core::Gap) -> Option<Self> {
        Some(Self {
            start_ns: ns(gap.window.start),
            end_ns: ns(gap.window.end),
            gpu: gap.device.map(|d| d.0),
            cause: GapCause::of(gap.cause)?,
            missed: gap.missed,
        })
    }
}

impl From<&core::Device> for DeviceInfo {
    fn from(device: &core::Device) -> Self {
        Self {
            index: device.index.0,
            uuid: device.uuid.clone(),
            name: device.name.clone(),
            vendor: device.vendor.map(|v| v.name().to_owned()),
            pci_bus_id: device.pci_bus_id.clone(),
            driver_version: device.driver.clone(),
            partition: device.partition.as_ref().and_then(PartitionInfo::of),
            total_bytes: device.total.map(Bytes::get),
            reserved_bytes: device.reserved.map(Bytes::get),
            usable_bytes: device.usable().map(Bytes::get),
        }
    }
}

impl PartitionInfo {
    fn of(partition: &core::Partition) -> Option<Self> {
        let named = |kind: &str| Self { kind: kind.to_owned(), ..Self::default() };
        Some(match partition {
            core::Partition::MigParent => named("mig_parent"),
            core::Partition::MigSlice { parent, gpu_instance, compute_instance } => Self {
                parent: Some(parent.0),
                gpu_instance: Some(*gpu_instance),
                compute_instance: Some(*compute_instance),
                ..named("mig_slice")
            },
            core::Partition::Amd { compute, memory } => {
                Self { compute_mode: compute.clone(), memory_mode: memory.clone(), ..named("amd") }
            }
            _ => return None,
        })
    }
}

impl From<&core::Workload> for WorkloadInfo {
    fn from(workload: &core::Workload) -> Self {
        Self {
            input_len: workload.input_len,
            output_len: workload.output_len,
            batch_size: workload.batch_size,
            num_iters_warmup: workload.warmup_iterations,
            num_iters: workload.iterations,
            ..Self::default()
        }
    }
}

impl From<&core::LatencyResult> for LatencyStats {
    /// The latencies. Mean and percentiles are the benchmark's own where it prints them, else from its iterations;
    /// rates are left to the caller, who knows the workload.
    fn from(result: &core::LatencyResult) -> Self {
        let mut nanoseconds: Vec<u64> = result.iterations.iter().copied().map(ns).collect();
        let stats = core::Stats::of(&mut nanoseconds);
        let ms = |nanoseconds: f64| Amount::new(nanoseconds / 1e6);
        let spread = core::Spread::of(&nanoseconds.iter().copied().map(Bytes::new).collect::<Vec<_>>());
        Self {
            mean_latency_ms: result.mean.map(Amount::milliseconds).or_else(|| ms(stats.as_ref()?.mean)),
            median_latency_ms: stats.as_ref().and_then(|s| ms(s.median)),
            min_latency_ms: stats.as_ref().and_then(|s| ms(s.min.as_f64())),
            max_latency_ms: stats.as_ref().and_then(|s| ms(s.max.as_f64())),
            stddev_latency_ms: spread.and_then(|s| ms(s.stddev)),
            percentiles: result
                .percentiles
                .iter()
                .filter_map(|&(percentile, time)| {
                    let percentile = Amount::new(percentile).filter(|p| p.get() <= 100.0)?;
                    Some(LatencyPercentile { percentile, latency_ms: Amount::milliseconds(time) })
                })
                .collect(),
            tokens_per_second: None,
            requests_per_second: None,
            num_iterations: stats.and_then(|s| u64::try_from(s.n).ok()),
            iterations_ms: result.iterations.iter().map(|&time| Amount::milliseconds(time)).collect(),
        }
    }
}

impl From<core::NamedFact<'_>> for EngineFact {
    fn from(fact: core::NamedFact<'_>) -> Self {
        let (scope, rank) = match fact.scope {
            core::Scope::ThisRank(rank) => (FactScope::ThisRank, Some(rank)),
            core::Scope::PerRank => (FactScope::PerRank, None),
            core::Scope::AllRanks => (FactScope::AllRanks, None),
        };
        let number = |bytes: Bytes| Number::from(bytes.get());
        let (value, text, unit, resolution) = match fact.value {
            core::FactValue::Text(text) => (None, Some(text.to_owned()), None, None),
            core::FactValue::Memory(bytes, step) => (Some(number(bytes)), None, Some("bytes"), step.map(number)),
            core::FactValue::Count(count, unit) => (Some(count.into()), None, Some(unit), None),
            core::FactValue::Number(value, unit, step) => {
                (Number::from_f64(value), None, Some(unit), step.and_then(Number::from_f64))
            }
        };
        Self {
            name: fact.name.to_owned(),
            value,
            text,
            unit: unit.map(str::to_owned),
            resolution,
            scope,
            rank,
            worker: fact.origin.worker.clone(),
            log_line: fact.origin.line,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vramscope_core::{Basis, Breakdown, Component};

    fn breakdown(peak: u64, baseline: u64, weights: u64) -> Breakdown {
        let component = Component {
            kind: ComponentKind::Weights,
            size: Bytes::new(weights),
            resolution: None,
            confidence: core::Confidence::Reported,
            basis: Basis { method: "engine_log", detail: String::new(), log_lines: vec![7] },
        };
        Breakdown::new(Bytes::new(peak), Bytes::new(baseline), vec![component]).unwrap()
    }

    #[test]
    fn the_residual_keeps_its_sign_and_overhead_its_floor() {
        let too_much = MemoryBreakdown::from(&breakdown(100, 10, 95));
        assert_eq!((too_much.residual_bytes, too_much.framework_overhead_bytes), (Some(-5), Some(0)));
        assert_eq!((too_much.residual_percentage, too_much.overhead_percentage), (Some(-5.0), Some(0.0)));
        let rest = MemoryBreakdown::from(&breakdown(100, 10, 60));
        assert_eq!((rest.residual_bytes, rest.framework_overhead_bytes), (Some(30), Some(30)));
    }

    #[test]
    fn a_part_that_is_not_known_is_absent_everywhere() {
        let b = MemoryBreakdown::from(&breakdown(100, 10, 60));
        assert_eq!((b.kv_cache_bytes, b.components.len()), (None, 1));
        let (levels, used) = (b.confidence_levels.unwrap(), b.vllm_reported_values_used.unwrap());
        assert_eq!((levels.weights.as_deref(), levels.kv_cache), (Some("reported"), None));
        assert_eq!((used.weights, used.kv_cache), (Some(true), None));
    }

    #[test]
    fn every_word_of_core_has_one_in_the_document() {
        for kind in ComponentKind::ALL {
            let word = serde_json::to_value(PartKind::of(kind)).unwrap();
            assert_eq!(word, kind.name());
        }
        for cause in core::GapCause::ALL {
            assert_eq!(serde_json::to_value(GapCause::of(cause)).unwrap(), cause.name());
        }
        for phase in core::Phase::ALL {
            assert_eq!(serde_json::to_value(Phase::from(phase)).unwrap(), phase.name());
        }
    }

    #[test]
    fn a_latency_keeps_the_benchmarks_own_mean() {
        let ms = Duration::from_millis;
        let mut result = core::LatencyResult { iterations: vec![ms(10), ms(20), ms(60)], ..Default::default() };
        assert_eq!(LatencyStats::from(&result).mean_latency_ms, Amount::new(30.0));
        result.mean = Some(ms(31));
        let stats = LatencyStats::from(&result);
        assert_eq!((stats.mean_latency_ms, stats.median_latency_ms), (Amount::new(31.0), Amount::new(20.0)));
        assert_eq!(stats.num_iterations, Some(3));
    }
}
