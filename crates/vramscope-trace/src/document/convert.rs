//! From a summary to its document.

use super::{
    About, Between, CallRow, CategoryRow, CopyRow, Delay, Device, EvidenceRow, Exact, Extract, File, FlopsDocument,
    Gpu, Graphs, IdleByCause, KernelRow, Lane, LayerRow, MemoryDevice, MemoryStep, Note, OperatorRow, Pause, ScopeRow,
    Share, StacksDocument, StepKindRow, StepRow, StepsDocument, Stream, Time, TraceDocument, VERSION, VerdictDocument,
};
use crate::summary::{
    CallSummary, DeviceSummary, DeviceTime, GpuShare, KernelSummary, MemorySummary, MoveSummary, Step, StepGpu, Steps,
    Summary,
};
use crate::{Cause, Notes, StepKind, TraceInfo, Verdict, Window};

impl TraceDocument {
    /// The document of a summary, with lists cut to `extract`. `window` is the part of the time that was asked for.
    pub fn of(summary: &Summary, window: Option<Window>, extract: Extract) -> Self {
        let all = summary.kernel_totals.time_ns;
        let top = extract.top;
        Self {
            vramscope_trace: VERSION,
            file: File {
                name: summary.file.name.clone(),
                compression: summary.file.compression.name().into(),
                file_bytes: summary.file.file_bytes,
                json_bytes: summary.file.json_bytes,
            },
            trace: about(&summary.info),
            between: window.map(|w| Between { from_ns: w.from_ns, to_ns: w.to_ns }),
            start_ns: summary.extent_ns.map(|(first, _)| first),
            exact: Exact::of(summary),
            verdict: verdict(&summary.verdict),
            devices: summary.devices.iter().map(|device| self::device(device, &summary.info)).collect(),
            launch_delay: summary.launch_delay.map(|d| Delay { median_ns: d.median_ns, p95_ns: d.p95_ns }),
            categories: summary
                .categories
                .iter()
                .map(|c| CategoryRow {
                    category: c.category.name().into(),
                    count: c.count,
                    total_ns: c.total_ns,
                    share: ratio(c.total_ns, all),
                    rules: c.rules.clone(),
                })
                .collect(),
            kernels: summary.kernels.iter().take(top).map(|k| kernel(k, all)).collect(),
            kernels_unique: summary.kernels.len() as u64,
            copies: summary.moves.iter().map(copy).collect(),
            steps: steps(&summary.steps, extract.steps),
            operators: summary
                .operators
                .iter()
                .take(top)
                .map(|o| OperatorRow {
                    name: o.name.clone(),
                    count: o.count,
                    total_ns: o.total_ns,
                    own_ns: o.own_ns,
                    max_ns: o.max_ns,
                    gpu: share(o.gpu),
                })
                .collect(),
            operators_unique: summary.operators.len() as u64,
            outside_operators: share(summary.outside_operators),
            calls: summary.calls.iter().take(top).map(call).collect(),
            graphs: Graphs {
                launches: summary.graphs.launches,
                kernels: summary.graphs.kernels,
                kernel_time_ns: summary.graphs.kernel_time_ns,
            },
            flops: summary.flops.as_ref().map(|flops| FlopsDocument::of(flops, top)),
            scopes: summary
                .scopes
                .iter()
                .take(top)
                .map(|s| ScopeRow { name: s.name.clone(), count: s.count, cpu_ns: s.cpu_ns, gpu: share(s.gpu) })
                .collect(),
            layers: summary
                .layers
                .iter()
                .map(|l| LayerRow { name: l.name.clone(), count: l.count, cpu_ns: l.cpu_ns, gpu: share(l.gpu) })
                .collect(),
            stacks: summary.stacks.as_ref().map(StacksDocument::of),
            memory: summary.memory.iter().map(memory).collect(),
            profiler_overhead: summary.overhead.iter().map(call).collect(),
            notes: notes(&summary.notes),
        }
    }
}

/// A part of a whole; 0 of nothing.
#[expect(clippy::cast_precision_loss, reason = "below 2^53 exact; above, the loss is under 1e-15")]
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn about(info: &TraceInfo) -> About {
    About {
        platform: info.platform.map(|p| p.name().into()),
        vllm_version: info.vllm_version.clone(),
        backend: info.backend.clone(),
        base_time_ns: info.base_time_ns,
        with_stack: info.with_stack,
        record_shapes: info.record_shapes,
        profile_memory: info.profile_memory,
        with_flops: info.with_flops,
        gpus: info
            .gpus
            .iter()
            .map(|gpu| Gpu {
                id: gpu.id.clone(),
                name: gpu.name.clone(),
                memory_bytes: gpu.memory.map(vramscope_core::Bytes::get),
            })
            .collect(),
    }
}

fn verdict(verdict: &Verdict) -> VerdictDocument {
    VerdictDocument {
        bound: verdict.bound.name().into(),
        within_steps: verdict.within_steps,
        evidence: verdict
            .evidence
            .iter()
            .map(|e| EvidenceRow {
                name: e.name.into(),
                share: e.share,
                threshold: e.threshold,
                reached: e.reached,
                meaning: e.meaning.into(),
            })
            .collect(),
        advice: verdict.advice.iter().map(|&text| text.into()).collect(),
    }
}

fn device(device: &DeviceSummary, info: &TraceInfo) -> Device {
    let streams = device.streams.iter().map(|(name, stream)| {
        let stream = Stream {
            kernels: stream.kernels,
            kernel_time_ns: stream.kernel_time_ns,
            copies: stream.moves,
            busy_ns: stream.busy_ns,
        };
        (name.clone(), stream)
    });
    let gaps = device.longest_gaps.iter().map(|gap| Pause {
        start_ns: gap.start_ns,
        length_ns: gap.length_ns,
        cause: gap.cause.name().into(),
        before: gap.before.clone(),
        after: gap.after.clone(),
    });
    Device {
        device: device.device.clone(),
        name: info.gpus.iter().find(|gpu| gpu.id == device.device).and_then(|gpu| gpu.name.clone()),
        whole: time(&device.whole),
        within_steps: device.steps.as_ref().map(time),
        streams: streams.collect(),
        longest_gaps: gaps.collect(),
        lane: (!device.lane.steps.is_empty()).then(|| Lane::of(&device.lane)),
    }
}

fn time(time: &DeviceTime) -> Time {
    Time {
        span_ns: time.span_ns,
        busy_ns: time.busy_ns,
        idle_ns: time.idle_ns,
        busy_share: ratio(time.busy_ns, time.span_ns),
        kernel_ns: time.kernel_ns,
        communication_ns: time.communication_ns,
        compute_ns: time.compute_ns,
        communication_overlap_ns: time.communication_overlap_ns(),
        exposed_communication_ns: time.exposed_communication_ns(),
        copy_ns: time.moves_ns,
        copy_overlap_ns: time.moves_overlap_ns(),
        exposed_copy_ns: time.exposed_moves_ns(),
        idle_by_cause: IdleByCause {
            host_bound_ns: time.idle_of(Cause::HostBound),
            kernel_wait_ns: time.idle_of(Cause::KernelWait),
            sync_ns: time.idle_of(Cause::Sync),
            other_ns: time.idle_of(Cause::Other),
        },
        gaps: time.gaps,
    }
}

fn kernel(kernel: &KernelSummary, all_ns: u64) -> KernelRow {
    KernelRow {
        name: kernel.name.clone(),
        count: kernel.count,
        total_ns: kernel.total_ns,
        share: ratio(kernel.total_ns, all_ns),
        min_ns: kernel.min_ns,
        mean_ns: ratio(kernel.total_ns, kernel.count),
        p50_ns: kernel.p50_ns,
        p95_ns: kernel.p95_ns,
        max_ns: kernel.max_ns,
        category: kernel.category.name().into(),
        rule: kernel.rule.clone(),
    }
}

fn copy(part: &MoveSummary) -> CopyRow {
    let sized = part.sized > 0;
    CopyRow {
        operation: part.operation.clone(),
        kinds: part.kinds.clone(),
        count: part.count,
        total_ns: part.total_ns,
        max_ns: part.max_ns,
        bytes: sized.then(|| part.bytes.get()),
        rate_gb_per_s: (part.sized_time_ns > 0).then(|| ratio(part.bytes.get(), part.sized_time_ns)),
    }
}

fn share(share: GpuShare) -> Share {
    Share { kernels: share.kernels, kernel_time_ns: share.time_ns }
}

fn call(call: &CallSummary) -> CallRow {
    CallRow { name: call.name.clone(), count: call.count, total_ns: call.total_ns, max_ns: call.max_ns }
}

fn steps(steps: &Steps, limit: usize) -> StepsDocument {
    StepsDocument {
        source: steps.source.map(|source| source.name().into()),
        count: steps.list.len() as u64,
        kinds: StepKind::ALL.into_iter().filter_map(|kind| step_kind(steps, kind)).collect(),
        list: steps.list.iter().take(limit).map(step).collect(),
    }
}

fn step_kind(steps: &Steps, kind: StepKind) -> Option<StepKindRow> {
    let of_kind: Vec<&Step> = steps.list.iter().filter(|step| step.kind == kind).collect();
    let gpu: Vec<StepGpu> = of_kind.iter().filter_map(|step| step.gpu).collect();
    let mut cpu: Vec<u64> = of_kind.iter().filter_map(|step| step.cpu_ns).collect();
    let mut spans: Vec<u64> = gpu.iter().map(|gpu| gpu.span_ns).collect();
    let mut busy: Vec<u64> = gpu.iter().map(|gpu| gpu.busy_ns).collect();
    (!of_kind.is_empty()).then(|| StepKindRow {
        kind: kind.name().into(),
        count: of_kind.len() as u64,
        with_gpu: gpu.len() as u64,
        cpu_p50_ns: quantile(&mut cpu, 50),
        gpu_span_p50_ns: quantile(&mut spans, 50),
        gpu_busy_p50_ns: quantile(&mut busy, 50),
        gpu_busy_p95_ns: quantile(&mut busy, 95),
        gpu_busy_ns: busy.iter().sum(),
        kernels: gpu.iter().map(|gpu| gpu.kernels).sum(),
    })
}

/// A percentile by linear interpolation between ranks.
fn quantile(values: &mut [u64], percent: usize) -> Option<f64> {
    values.sort_unstable();
    let way = values.len().checked_sub(1)? * percent;
    let (low, rest) = (values[way / 100], way % 100);
    let high = values.get(way / 100 + 1).copied().unwrap_or(low);
    Some(ratio(low * 100 + (high - low) * rest as u64, 100))
}

fn step(step: &Step) -> StepRow {
    StepRow {
        name: step.name.clone(),
        kind: step.kind.name().into(),
        context_requests: step.context_requests,
        context_tokens: step.context_tokens,
        generation_requests: step.generation_requests,
        generation_tokens: step.generation_tokens,
        start_ns: step.start_ns,
        cpu_ns: step.cpu_ns,
        gpu_span_ns: step.gpu.map(|gpu| gpu.span_ns),
        gpu_busy_ns: step.gpu.map(|gpu| gpu.busy_ns),
        kernels: step.gpu.map_or(0, |gpu| gpu.kernels),
        kernel_time_ns: step.gpu.map_or(0, |gpu| gpu.kernel_time_ns),
    }
}

fn memory(memory: &MemorySummary) -> MemoryDevice {
    MemoryDevice {
        device: memory.device.clone(),
        events: memory.events,
        peak_allocated_bytes: memory.peak_allocated.map(|(bytes, _)| bytes.get()),
        peak_at_ns: memory.peak_allocated.map(|(_, at)| at),
        peak_reserved_bytes: memory.peak_reserved.map(vramscope_core::Bytes::get),
        allocated_bytes: memory.allocated.get(),
        freed_bytes: memory.freed.get(),
        timeline_step_ns: memory.curve_step_ns,
        timeline: memory
            .curve
            .iter()
            .map(|point| MemoryStep {
                at_ns: point.at_ns,
                allocated_bytes: point.allocated.map(vramscope_core::Bytes::get),
                reserved_bytes: point.reserved.map(vramscope_core::Bytes::get),
            })
            .collect(),
    }
}

fn notes(notes: &Notes) -> Vec<Note> {
    notes
        .iter()
        .map(|(oddity, met)| Note {
            kind: oddity.name().into(),
            count: met.count,
            first_offset: oddity.has_place().then_some(met.first_offset),
            text: oddity.meaning().into(),
        })
        .collect()
}
