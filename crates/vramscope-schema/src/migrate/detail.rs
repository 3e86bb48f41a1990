//! The timeline and the GPU tool's figures of version 3.0.

use super::figures::Conversion;
use crate::earlier::Shown;
use crate::v3::{
    DetailedGpu, DetailedGpuMetrics, ExtendedMetrics, GpuProcess, MemoryTimeline, PowerRange, ProcessMemory,
    TemperatureRange, TimelinePoint,
};
use crate::{Amount, v3_0};

pub(super) fn timeline(old: v3_0::Timeline, units: &mut Conversion<'_>) -> MemoryTimeline {
    let mut amount = |field: &str, written| units.amount(&format!("memory_timeline.{field}"), written);
    MemoryTimeline {
        min_bytes: amount("min_bytes", old.min_gb),
        max_bytes: amount("max_bytes", old.max_gb),
        mean_bytes: amount("mean_bytes", old.mean_gb),
        median_bytes: amount("median_bytes", old.median_gb),
        p95_bytes: amount("p95_bytes", old.p95_gb),
        num_samples: old.num_samples.map(|count| count.0),
        timeline: old
            .timeline
            .unwrap_or_default()
            .into_iter()
            .map(|point| TimelinePoint {
                timestamp: point.timestamp,
                at_ns: None,
                memory_bytes: amount("timeline[].memory_bytes", point.memory_gb),
                power_w: point.power_w.amount(),
                temp_c: point.temp_c.0,
                utilization_pct: point.utilization_pct.amount(),
            })
            .collect(),
        extended: old.extended.map(extended),
        ..MemoryTimeline::default()
    }
}

fn extended(old: v3_0::Extended) -> ExtendedMetrics {
    ExtendedMetrics {
        power: old.power.map(|p| PowerRange {
            min_w: p.min_w.amount(),
            max_w: p.max_w.amount(),
            mean_w: p.mean_w.amount(),
            p95_w: None,
        }),
        temperature: old.temperature.map(|t| TemperatureRange {
            min_c: t.min_c.0,
            max_c: t.max_c.0,
            mean_c: t.mean_c.0,
        }),
        ..ExtendedMetrics::default()
    }
}

pub(super) fn detailed(old: v3_0::DetailedMetrics, units: &mut Conversion<'_>) -> DetailedGpuMetrics {
    let gpus = old.gpus.unwrap_or_default().into_iter().map(|g| gpu(g, units)).collect();
    DetailedGpuMetrics { tool: old.tool, timestamp: old.timestamp, gpus }
}

fn gpu(old: v3_0::DetailedGpu, units: &mut Conversion<'_>) -> DetailedGpu {
    let mut amount = |field: &str, shown: Shown| {
        let written = shown.amount();
        (written, written.and_then(|w| units.named(&format!("detailed_gpu_metrics.gpus[].{field}"), w, "MB")))
    };
    let (vram_used_mb, vram_used_bytes) = amount("vram_used_bytes", old.vram_used_mb);
    let (vram_free_mb, vram_free_bytes) = amount("vram_free_bytes", old.vram_free_mb);
    let (vram_total_mb, vram_total_bytes) = amount("vram_total_bytes", old.vram_total_mb);
    DetailedGpu {
        gpu_id: old.gpu_id.map(|i| i.0),
        vram_used_mb,
        vram_free_mb,
        vram_total_mb,
        vram_used_bytes,
        vram_free_bytes,
        vram_total_bytes,
        vram_percent: old.vram_percent.amount(),
        power_watts: old.power_watts.amount(),
        hotspot_temp_c: old.hotspot_temp_c.0,
        memory_temp_c: old.memory_temp_c.0,
        gfx_utilization_pct: old.gfx_utilization_pct.amount(),
        mem_utilization_pct: old.mem_utilization_pct.amount(),
        clock_gfx_mhz: old.clock_gfx_mhz.amount(),
        clock_mem_mhz: old.clock_mem_mhz.amount(),
        processes: old.processes.unwrap_or_default().into_iter().map(|p| process(p, units)).collect(),
    }
}

fn process(old: v3_0::Process, units: &mut Conversion<'_>) -> GpuProcess {
    let shown = old.memory_usage.and_then(|m| Some((m.value.amount()?, m.unit?)));
    let field = "detailed_gpu_metrics.gpus[].processes[].memory_bytes";
    let memory_bytes = shown.as_ref().and_then(|(value, unit)| units.named(field, *value, unit));
    let memory_usage = shown.map(|(value, unit): (Amount, String)| ProcessMemory { value, unit });
    GpuProcess { process_info: old.process_info, memory_usage, memory_bytes, pid: None }
}
