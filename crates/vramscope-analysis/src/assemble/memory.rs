//! Memory at the points of measurement, and where the peak went.

use std::collections::BTreeMap;

use vramscope_core::{
    Breakdown, Buffer, ByteDelta, Bytes, Component, ComponentKind, DeviceIndex, EngineFacts, PlaceFacts, Reading,
    Spread, Window,
};
use vramscope_schema::Amount;
use vramscope_schema::v3::{
    BreakdownPart, DetailedGpu, DetailedGpuMetrics, DeviceBreakdown, DeviceInfo, DeviceMemory, GpuInfo, GpuMemory,
    GpuProcess, MeasurementPoint, MemoryBreakdown, MemoryMeasurements, PerGpuStats, PlaceBreakdown,
};

use super::{allocator, multi_gpu};
use crate::attribution::placed;
use crate::derive::{Derived, Point};
use crate::known::Known;

/// How this document's breakdown is made, as a stable name.
const METHOD: &str = "facts_and_levels_v1";
/// No engine has more ranks; the bound keeps a damaged log from costing memory.
const MOST_RANKS: u32 = 4096;
/// The same where no GPU log gives a peak.
const METHOD_LOG_ONLY: &str = "facts_only_v1";

pub(super) fn gpu_info(run: &Known<'_>) -> Option<GpuInfo> {
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
                let total = derived.timeline.device(device).and_then(|d| d.total);
                DeviceMemory {
                    gpu: Some(device.0),
                    used_bytes: Some(used.get()),
                    total_bytes: total.map(Bytes::get),
                    ..DeviceMemory::default()
                }
            })
            .collect(),
        multi_gpu_overhead_bytes: multi_gpu::overhead(run).map(ByteDelta::get),
        imbalance_pct: multi_gpu::imbalance_pct(derived),
        devices: devices.iter().map(DeviceInfo::from).collect(),
    })
}

pub(super) fn measurements(run: &Known<'_>) -> Option<MemoryMeasurements> {
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
    let total_of = |device: DeviceIndex| derived.timeline.device(device)?.total;
    let usable_of = |device: DeviceIndex| derived.timeline.device(device)?.usable();
    let details = point.used.iter().map(|&(device, used)| GpuMemory {
        gpu: Some(device.0),
        used_bytes: Some(used.get()),
        free_bytes: usable_of(device).and_then(|usable| usable.checked_sub(used)).map(Bytes::get),
        total_bytes: total_of(device).map(Bytes::get),
    });
    MeasurementPoint {
        total_bytes: point.total().map(Bytes::get),
        per_gpu_stats: Spread::of(&used).as_ref().map(PerGpuStats::from),
        per_gpu_details: details.collect(),
        at_ns: u64::try_from(point.at.as_nanos()).ok(),
    }
}

pub(super) fn breakdown(run: &Known<'_>) -> Option<MemoryBreakdown> {
    let Some(attribution) = run.derived.and_then(|d| d.attribution.as_ref()) else { return log_only(run) };
    let mut document = MemoryBreakdown::from(&attribution.total);
    if run.derived.is_some_and(|d| d.baseline.is_none()) {
        document.baseline_bytes = None;
        document.net_increase_bytes = None;
    }
    document.estimation_method = Some(METHOD.to_owned());
    document.places = places(run);
    document.allocator = allocator::ledgers(run);
    document.per_device = attribution.per_device.iter().map(|(device, b)| DeviceBreakdown::of(*device, b)).collect();
    Some(document)
}

/// What the engine says that it holds in each place, with the device that measured it.
fn places(run: &Known<'_>) -> Vec<PlaceBreakdown> {
    let facts = run.facts;
    if !placed::is_placed(facts.engine) {
        return Vec::new();
    }
    let laid = run.derived.map(|derived| placed::lay(facts, derived.timeline.devices(), &derived.placement.active));
    let mut by_place: BTreeMap<(bool, Option<&str>), Vec<usize>> = BTreeMap::new();
    for (at, buffer) in facts.buffers.iter().enumerate().filter(|(_, buffer)| !buffer.planned) {
        by_place.entry((buffer.on_host, buffer.place.as_deref())).or_default().push(at);
    }
    let of_place = |((on_host, place), buffers): ((bool, Option<&str>), Vec<usize>)| {
        let size = Bytes::checked_sum(buffers.iter().map(|at| facts.buffers[*at].amount.value))?;
        let parts = placed::parts(facts, &buffers);
        let holder = laid.iter().flat_map(|laid| &laid.on).find(|(_, inside, _)| inside.contains(&buffers[0]));
        let found = facts.places.iter().find(|found| Some(found.place.as_str()) == place);
        let mut document = PlaceBreakdown::default();
        document.place = place.map(str::to_owned);
        document.on_host = on_host;
        document.software = found.map(PlaceFacts::is_software).filter(|software| *software);
        document.gpu = holder.map(|(device, ..)| device.0);
        document.size_bytes = size.get();
        document.components = parts.iter().filter_map(|part| BreakdownPart::of(part, size)).collect();
        Some(document)
    };
    by_place.into_iter().filter_map(of_place).collect()
}

/// Without a GPU log there is no peak to explain; what the engine reported stands alone.
fn log_only(run: &Known<'_>) -> Option<MemoryBreakdown> {
    let ranks: Vec<u32> = (0..run.facts.ranks().unwrap_or(1).min(MOST_RANKS)).collect();
    let kinds = [
        ComponentKind::Weights,
        ComponentKind::KvCache,
        ComponentKind::RecurrentState,
        ComponentKind::Held,
        ComponentKind::CudaGraphs,
    ];
    let known = kinds.into_iter().filter_map(|kind| Some(run.ranks.part_of(&ranks, kind)?.into_component(kind)));
    let components: Vec<Component> = match placed::is_placed(run.facts.engine) {
        true => placed::parts(run.facts, &on_devices(run.facts)),
        false => known.collect(),
    };
    if components.is_empty() {
        return None;
    }
    let sum = Bytes::checked_sum(components.iter().map(|c| c.size))?;
    let parts = MemoryBreakdown::from(&Breakdown::new(sum, Bytes::ZERO, components).ok()?);
    Some(MemoryBreakdown {
        total_measured_bytes: None,
        total_bytes: None,
        baseline_bytes: None,
        net_increase_bytes: None,
        framework_overhead_bytes: None,
        residual_bytes: None,
        overhead_percentage: None,
        residual_percentage: None,
        estimation_method: Some(METHOD_LOG_ONLY.to_owned()),
        places: places(run),
        allocator: allocator::ledgers(run),
        ..parts
    })
}

/// The buffers on devices; those of an engine on the host alone where it holds nothing on any.
fn on_devices(facts: &EngineFacts) -> Vec<usize> {
    let of = |on_host: bool| {
        let here = |(_, buffer): &(usize, &Buffer)| buffer.on_host == on_host && !buffer.planned;
        facts.buffers.iter().enumerate().filter(here).map(|(at, _)| at).collect::<Vec<usize>>()
    };
    let on_devices = of(false);
    if on_devices.is_empty() { of(true) } else { on_devices }
}

/// A share as percent, to four decimals: enough for 1 MiB of 100 GiB.
fn percent(share: f64) -> f64 {
    (share * 1_000_000.0).round() / 10_000.0
}

/// What the GPU log shows of each device at the peak.
pub(super) fn at_the_peak(run: &Known<'_>) -> Option<DetailedGpuMetrics> {
    let derived = run.derived?;
    let gpu = run.evidence.gpu.as_ref()?;
    let peak = derived.peak.as_ref()?;
    let anchor = derived.timeline.anchor_unix_ns()?;
    let at_ns = i64::try_from(peak.at.as_nanos()).ok().and_then(|ns| anchor.checked_add(ns))?;
    let window = Window { start: peak.at, end: Window::ALL.end };
    let mut first: BTreeMap<DeviceIndex, Reading> = BTreeMap::new();
    for sample in derived.timeline.samples().iter().filter(|s| window.contains(s.at)) {
        first.entry(sample.device).or_insert(sample.reading);
    }
    let gpus = peak.used.iter().filter_map(|&(device, _)| {
        let reading = *first.get(&device)?;
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
