//! Memory at the points of measurement, and where the peak went.

use vramscope_core::{Breakdown, Bytes, Component, ComponentKind, Confidence, DeviceIndex, Reading, Spread, Window};
use vramscope_schema::Amount;
use vramscope_schema::v3::{
    BreakdownPart, ConfidenceLevels, DetailedGpu, DetailedGpuMetrics, DeviceBreakdown, DeviceInfo, DeviceMemory,
    GpuInfo, GpuMemory, GpuProcess, MeasurementPoint, MemoryBreakdown, MemoryMeasurements, PartKind, PerGpuStats,
    ReportedValuesUsed,
};

use super::Run;
use crate::derive::{Derived, Point};

/// How this document's breakdown is made, as a stable name.
const METHOD: &str = "facts_and_levels_v1";
/// The same where no GPU log gives a peak.
const METHOD_LOG_ONLY: &str = "facts_only_v1";

pub(super) fn gpu_info(run: &Run<'_>) -> Option<GpuInfo> {
    let derived = run.derived?;
    let devices = derived.timeline.devices();
    let used_by_run = derived.placement.active.len();
    Some(GpuInfo {
        num_gpus: u32::try_from(used_by_run).ok(),
        gpu_memory_per_device: derived
            .peak
            .iter()
            .flat_map(|peak| peak.used.iter())
            .map(|&(device, used)| {
                let total = devices.iter().find(|d| d.index == device).and_then(|d| d.total);
                DeviceMemory {
                    gpu: Some(device.0),
                    used_bytes: Some(used.get()),
                    total_bytes: total.map(Bytes::get),
                    ..DeviceMemory::default()
                }
            })
            .collect(),
        multi_gpu_overhead_bytes: None,
        devices: devices.iter().map(device_info).collect(),
    })
}

fn device_info(device: &vramscope_core::Device) -> DeviceInfo {
    use vramscope_core::Vendor;
    let vendor = device.vendor.and_then(|vendor| match vendor {
        Vendor::Nvidia => Some("nvidia"),
        Vendor::Amd => Some("amd"),
        Vendor::Intel => Some("intel"),
        Vendor::Cpu => Some("cpu"),
        _ => None,
    });
    DeviceInfo {
        index: device.index.0,
        uuid: device.uuid.clone(),
        name: device.name.clone(),
        vendor: vendor.map(str::to_owned),
        pci_bus_id: device.pci_bus_id.clone(),
        total_bytes: device.total.map(Bytes::get),
        reserved_bytes: device.reserved.map(Bytes::get),
        usable_bytes: device.usable().map(Bytes::get),
    }
}

pub(super) fn measurements(run: &Run<'_>) -> Option<MemoryMeasurements> {
    let derived = run.derived?;
    let point = |p: &Option<Point>| p.as_ref().map(|p| measurement(derived, p));
    let increase = || {
        let (peak, baseline) = (derived.peak.as_ref()?.total()?, derived.baseline.as_ref()?.total()?);
        Some(peak.checked_delta(baseline)?.get())
    };
    Some(MemoryMeasurements {
        baseline: point(&derived.baseline),
        post_warmup: point(&derived.post_warmup),
        peak: point(&derived.peak),
        memory_increase_bytes: increase(),
    })
}

fn measurement(derived: &Derived, point: &Point) -> MeasurementPoint {
    let used: Vec<Bytes> = point.used.iter().map(|(_, used)| *used).collect();
    let total_of = |device: DeviceIndex| derived.timeline.devices().iter().find(|d| d.index == device)?.total;
    let usable_of = |device: DeviceIndex| derived.timeline.devices().iter().find(|d| d.index == device)?.usable();
    let details = point.used.iter().map(|&(device, used)| GpuMemory {
        gpu: Some(device.0),
        used_bytes: Some(used.get()),
        free_bytes: usable_of(device).and_then(|usable| usable.checked_sub(used)).map(Bytes::get),
        total_bytes: total_of(device).map(Bytes::get),
    });
    MeasurementPoint {
        total_bytes: point.total().map(Bytes::get),
        per_gpu_stats: Spread::of(&used).map(|spread| PerGpuStats {
            sum_bytes: Some(spread.sum.get()),
            max_bytes: Some(spread.max.get()),
            mean_bytes: whole(spread.mean),
            stddev_bytes: whole(spread.stddev),
        }),
        per_gpu_details: details.collect(),
        at_ns: u64::try_from(point.at.as_nanos()).ok(),
    }
}

/// A statistic rounded to the byte.
pub(super) fn whole(bytes: f64) -> Option<u64> {
    Bytes::from_unit(bytes, vramscope_core::ByteUnit::B).map(Bytes::get)
}

pub(super) fn breakdown(run: &Run<'_>) -> Option<MemoryBreakdown> {
    let Some(attribution) = run.derived.and_then(|d| d.attribution.as_ref()) else { return log_only(run) };
    let total = &attribution.total;
    let known_baseline = run.derived.is_some_and(|d| d.baseline.is_some());
    let mut document = parts(total.components(), Some(total.peak()));
    let share = |amount: f64| (total.peak() > Bytes::ZERO).then(|| percent(amount / total.peak().as_f64()));
    let residual = total.residual();
    let overhead = residual.as_bytes().unwrap_or(Bytes::ZERO);
    document.total_measured_bytes = Some(total.peak().get());
    document.total_bytes = Some(total.peak().get());
    document.baseline_bytes = known_baseline.then_some(total.baseline().get());
    document.net_increase_bytes =
        total.peak().checked_delta(total.baseline()).filter(|_| known_baseline).map(|d| d.get());
    document.framework_overhead_bytes = Some(overhead.get());
    document.residual_bytes = Some(residual.get());
    document.overhead_percentage = share(overhead.as_f64());
    document.residual_percentage = share(residual.as_f64());
    document.estimation_method = Some(METHOD.to_owned());
    document.per_device = attribution.per_device.iter().map(|(device, b)| device_breakdown(*device, b)).collect();
    Some(document)
}

/// Without a GPU log there is no peak to explain; what the engine reported stands alone.
fn log_only(run: &Run<'_>) -> Option<MemoryBreakdown> {
    let ranks: Vec<u32> = (0..run.facts.ranks().unwrap_or(1)).collect();
    let kinds = [ComponentKind::Weights, ComponentKind::KvCache, ComponentKind::CudaGraphs];
    let components: Vec<Component> =
        kinds.into_iter().filter_map(|kind| Some(run.ranks.part_of(&ranks, kind)?.into_component(kind))).collect();
    if components.is_empty() {
        return None;
    }
    Some(MemoryBreakdown { estimation_method: Some(METHOD_LOG_ONLY.to_owned()), ..parts(&components, None) })
}

/// The document's view of components: each under its own name, in the confidence table, and with its reason.
fn parts(components: &[Component], peak: Option<Bytes>) -> MemoryBreakdown {
    let find = |kind| components.iter().find(|c| c.kind == kind);
    let size = |kind| find(kind).map(|c| c.size.get());
    let word = |kind| find(kind).map(|c| c.confidence.name().to_owned());
    let reported = |kind| find(kind).map(|c| !c.basis.log_lines.is_empty());
    use ComponentKind::{Activations, Collectives, CudaGraphs, KvCache, RuntimeContext, Weights};
    MemoryBreakdown {
        model_weights_bytes: size(Weights),
        kv_cache_bytes: size(KvCache),
        activations_bytes: size(Activations),
        cuda_graphs_bytes: size(CudaGraphs),
        runtime_context_bytes: size(RuntimeContext),
        collectives_bytes: size(Collectives),
        confidence_levels: Some(ConfidenceLevels {
            overall: overall(components).map(|c| c.name().to_owned()),
            weights: word(Weights),
            kv_cache: word(KvCache),
            activations: word(Activations),
            cuda_graphs: word(CudaGraphs),
            runtime_context: word(RuntimeContext),
            collectives: word(Collectives),
            overhead: peak.map(|_| Confidence::Computed.name().to_owned()),
        }),
        vllm_reported_values_used: Some(ReportedValuesUsed {
            weights: reported(Weights),
            kv_cache: reported(KvCache),
            activations: reported(Activations),
            cuda_graphs: reported(CudaGraphs),
            runtime_context: reported(RuntimeContext),
            collectives: reported(Collectives),
        }),
        components: components.iter().filter_map(|c| part(c, peak)).collect(),
        ..MemoryBreakdown::default()
    }
}

/// The confidence of the whole is that of its worst part among the two that make up nearly all of it.
fn overall(components: &[Component]) -> Option<Confidence> {
    let main = |c: &&Component| matches!(c.kind, ComponentKind::Weights | ComponentKind::KvCache);
    components.iter().filter(main).map(|c| c.confidence).min()
}

fn part(component: &Component, peak: Option<Bytes>) -> Option<BreakdownPart> {
    let share = peak.filter(|p| *p > Bytes::ZERO).map(|p| percent(component.size.as_f64() / p.as_f64()));
    Some(BreakdownPart {
        kind: PartKind::of(component.kind)?,
        size_bytes: component.size.get(),
        resolution_bytes: component.resolution.map(Bytes::get),
        share_of_peak_pct: share,
        confidence: component.confidence.into(),
        method: component.basis.method.to_owned(),
        detail: Some(component.basis.detail.clone()),
        log_lines: component.basis.log_lines.clone(),
    })
}

fn device_breakdown(device: DeviceIndex, breakdown: &Breakdown) -> DeviceBreakdown {
    DeviceBreakdown {
        gpu: device.0,
        peak_bytes: breakdown.peak().get(),
        baseline_bytes: breakdown.baseline().get(),
        components: breakdown.components().iter().filter_map(|c| part(c, Some(breakdown.peak()))).collect(),
        residual_bytes: breakdown.residual().get(),
    }
}

/// A share as percent, to four decimals: enough for 1 MiB of 100 GiB.
pub(super) fn percent(share: f64) -> f64 {
    (share * 1_000_000.0).round() / 10_000.0
}

/// What the GPU log shows of each device at the peak.
pub(super) fn at_the_peak(run: &Run<'_>) -> Option<DetailedGpuMetrics> {
    let derived = run.derived?;
    let gpu = run.evidence.gpu.as_ref()?;
    let peak = derived.peak.as_ref()?;
    let anchor = derived.timeline.anchor_unix_ns()?;
    let at_ns = i64::try_from(peak.at.as_nanos()).ok().and_then(|ns| anchor.checked_add(ns))?;
    let window = Window { start: peak.at, end: Window::ALL.end };
    let gpus = peak.used.iter().filter_map(|&(device, _)| {
        let reading = derived.timeline.of_device(device, window).next()?.reading;
        let here = gpu.processes.iter().filter(|p| p.device == device);
        let at_peak = here.filter(|p| p.first_seen <= peak.at && peak.at <= p.last_seen + PROCESS_LAG);
        let processes = at_peak.map(|p| GpuProcess {
            process_info: Some(format!("pid {}", p.pid)),
            memory_bytes: Some(p.max_used.get()),
            pid: Some(p.pid),
            memory_usage: None,
        });
        Some(detailed(device, &reading, processes.collect()))
    });
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 with a fraction, as the key is defined")]
    let timestamp = at_ns as f64 / 1e9;
    Some(DetailedGpuMetrics { tool: Some("gpu_log".to_owned()), timestamp: Some(timestamp), gpus: gpus.collect() })
}

/// Processes are listed more rarely than memory is read.
const PROCESS_LAG: std::time::Duration = std::time::Duration::from_secs(1);

fn detailed(device: DeviceIndex, reading: &Reading, processes: Vec<GpuProcess>) -> DetailedGpu {
    let usable = reading.total.and_then(|t| t.checked_sub(reading.reserved.unwrap_or(Bytes::ZERO)));
    let free = usable.and_then(|usable| usable.checked_sub(reading.used));
    let mebibytes = |bytes: Bytes| Amount::new(bytes.in_unit(vramscope_core::ByteUnit::MiB));
    DetailedGpu {
        gpu_id: Some(device.0),
        vram_used_mb: mebibytes(reading.used),
        vram_free_mb: free.and_then(mebibytes),
        vram_total_mb: reading.total.and_then(mebibytes),
        vram_used_bytes: Some(reading.used.get()),
        vram_free_bytes: free.map(Bytes::get),
        vram_total_bytes: reading.total.map(Bytes::get),
        vram_percent: reading.total.and_then(|total| Amount::new(percent(reading.used.as_f64() / total.as_f64()))),
        power_watts: reading.power_mw.and_then(|mw| Amount::new(f64::from(mw) / 1e3)),
        hotspot_temp_c: reading.temperature_c.map(f64::from),
        memory_temp_c: reading.memory_temperature_c.map(f64::from),
        gfx_utilization_pct: reading.utilization_pct.map(|p| u32::from(p).into()),
        mem_utilization_pct: reading.memory_utilization_pct.map(|p| u32::from(p).into()),
        clock_gfx_mhz: reading.sm_clock_mhz.map(Amount::from),
        clock_mem_mhz: reading.memory_clock_mhz.map(Amount::from),
        processes,
    }
}
