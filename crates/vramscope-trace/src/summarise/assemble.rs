//! The figures of the walks, named and put in order. Every list has a total order, so that one trace gives one summary
//! however it was read.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use vramscope_core::Bytes;

use super::{Collected, text};
use crate::analyse::join::{GpuTally, Joined, step_source};
use crate::analyse::lengths::Quantiles;
use crate::analyse::threads::{MarkedStep, Tally, Threads};
use crate::analyse::timeline::{DeviceWork, Lane, StepWork, Timeline, Unions};
use crate::collect::{GpuStep, Shard};
use crate::names::NameId;
use crate::read::Reading;
use crate::steps::{Flags, StepName};
use crate::summary::{
    CallSummary, CategorySummary, DeviceSummary, DeviceTime, FileSummary, GapSummary, GpuShare, GraphSummary,
    KernelSummary, KernelTotals, LaneStepSummary, LaneSummary, LaunchDelay, LayerSummary, MemoryPoint, MemorySummary,
    MoveSummary, OperatorSummary, ScopeSummary, Stacks, Step, StepGpu, Steps, StreamSummary,
};
use crate::verdict::{Facts, judge};
use crate::{Category, Cause, Notes, StepKind, StepSource, Summary};

/// Everything found.
pub(super) struct Parts {
    pub table: Arc<[Arc<[u8]>]>,
    pub reading: Reading<Shard>,
    pub collected: Collected,
    pub threads: Threads,
    pub marked: Vec<MarkedStep>,
    pub gpu_steps: Vec<GpuStep>,
    pub joined: Joined,
    pub categories: HashMap<NameId, (Category, Option<String>)>,
    pub timeline: Timeline,
    pub durations: HashMap<u32, Quantiles>,
    pub delay: Option<Quantiles>,
    pub notes: Notes,
    pub with_stacks: bool,
    /// Whether the work of all devices counts.
    pub all_devices: bool,
    pub spilled_bytes: u64,
}

/// A length in nanoseconds; lengths are differences of times in order, so none is negative.
pub(super) fn ns(length: i64) -> u64 {
    u64::try_from(length).unwrap_or(0)
}

impl Parts {
    pub(super) fn summary(mut self, name: &str) -> Summary {
        let kernels = self.kernels();
        let categories = categories(&kernels);
        let devices = self.devices();
        let graphs = GraphSummary {
            launches: self.threads.graph_launches,
            kernels: self.joined.graph_kernels,
            kernel_time_ns: ns(self.joined.graph_kernel_time),
        };
        let launch_delay = self.delay.map(|delay| LaunchDelay { median_ns: delay.middle, p95_ns: delay.p95 });
        let steps = self.steps();
        let kernel_totals = KernelTotals {
            count: kernels.iter().map(|k| k.count).sum(),
            time_ns: kernels.iter().map(|k| k.total_ns).sum(),
            with_launch: self.joined.linked_kernels,
        };
        let flags = steps.list.iter().find_map(|step| step.name.as_deref()).and_then(Flags::of);
        let verdict = judge(&devices, Facts { graphs, launch_delay, kernels: kernel_totals, flags });
        let outside = self.joined.by_operator.get(&None).copied().unwrap_or_default();
        let file = FileSummary {
            name: name.to_owned(),
            json_bytes: self.reading.json_bytes,
            file_bytes: self.reading.file_bytes,
            compression: self.reading.compression,
        };
        Summary {
            file,
            events: self.collected.counts.values().sum(),
            extent_ns: self.collected.extent,
            kernel_totals,
            kernels,
            categories,
            devices,
            launch_delay,
            moves: self.moves(),
            steps,
            operators: self.operators(),
            outside_operators: share(&outside),
            calls: self.calls(&self.threads.calls),
            graphs,
            flops: self.flops(),
            scopes: self.scopes(),
            layers: self.layers(),
            memory: self.memory(),
            overhead: self.calls(&self.collected.overhead),
            verdict,
            stacks: self.stacks(),
            info: std::mem::take(&mut self.reading.info),
            counts: std::mem::take(&mut self.collected.counts),
            notes: self.notes,
            spilled_bytes: self.spilled_bytes,
        }
    }

    pub(super) fn text(&self, id: NameId) -> String {
        text(&self.table, id)
    }

    /// Kernels by name. Names that differ only in defects of their text are one.
    fn kernels(&self) -> Vec<KernelSummary> {
        let mut kernels: Vec<KernelSummary> = Vec::with_capacity(self.joined.kernels.len());
        for (&id, tally) in &self.joined.kernels {
            let quantiles = self.durations.get(&id);
            let (category, rule) = self.categories.get(&id).cloned().unwrap_or((Category::Other, None));
            kernels.push(KernelSummary {
                name: self.text(id),
                count: tally.count,
                total_ns: ns(tally.total),
                min_ns: ns(tally.min),
                max_ns: ns(tally.max),
                p50_ns: quantiles.map_or(0.0, |q| q.p50),
                p95_ns: quantiles.map_or(0.0, |q| q.p95),
                category,
                rule,
            });
        }
        kernels.sort_by(|a, b| (Reverse(a.total_ns), &a.name).cmp(&(Reverse(b.total_ns), &b.name)));
        kernels
    }

    fn devices(&self) -> Vec<DeviceSummary> {
        let mut devices: Vec<DeviceSummary> = self.timeline.devices.iter().map(|work| self.device(work)).collect();
        devices.sort_by(|a, b| (a.device.len(), &a.device).cmp(&(b.device.len(), &b.device)));
        devices
    }

    fn device(&self, work: &DeviceWork) -> DeviceSummary {
        let streams = work.streams.iter().map(|(&id, stream)| {
            let summary = StreamSummary {
                kernels: stream.kernels,
                kernel_time_ns: ns(stream.kernel_time),
                moves: stream.moves,
                busy_ns: ns(stream.busy.length()),
            };
            (self.text(id), summary)
        });
        let gaps = work.longest_gaps.iter().map(|gap| GapSummary {
            start_ns: gap.from,
            length_ns: ns(gap.to - gap.from),
            cause: gap.cause(),
            before: gap.before.map(|id| self.text(id)).unwrap_or_default(),
            after: self.text(gap.after),
        });
        DeviceSummary {
            device: self.text(work.device),
            whole: device_time(&work.whole),
            steps: work.steps.as_ref().filter(|steps| steps.first.is_some()).map(device_time),
            streams: streams.collect(),
            longest_gaps: gaps.collect(),
            lane: lane(&work.lane),
        }
    }

    /// Copies by direction and kinds: `Memcpy HtoD (Pinned -> Device)`.
    fn moves(&self) -> Vec<MoveSummary> {
        let mut moves: Vec<MoveSummary> = Vec::new();
        for (&(_, id), tally) in &self.joined.moves {
            let name = self.text(id);
            let (operation, kinds) = match name.split_once(" (") {
                Some((operation, kinds)) => (operation.to_owned(), Some(kinds.trim_end_matches(')').to_owned())),
                None => (name, None),
            };
            moves.push(MoveSummary {
                operation,
                kinds,
                count: tally.time.count,
                total_ns: ns(tally.time.total),
                max_ns: ns(tally.time.max),
                sized: tally.sized,
                bytes: Bytes::new(tally.bytes),
                sized_time_ns: ns(tally.sized_time),
            });
        }
        moves.sort_by(|a, b| (&a.operation, &a.kinds, a.total_ns).cmp(&(&b.operation, &b.kinds, b.total_ns)));
        moves
    }

    fn steps(&self) -> Steps {
        let mut steps = Steps { source: step_source(&self.marked), list: Vec::new() };
        if steps.source.is_some() {
            let pairs = self.marked.iter().zip(&self.timeline.steps);
            steps.list = pairs.map(|(mark, work)| self.marked_step(mark, work)).collect();
            return steps;
        }
        steps.list = self.timeline.steps.iter().map(|work| self.gpu_step(work)).collect();
        steps.list.sort_by_cached_key(|step| {
            let gpu = step.gpu.map(|gpu| (gpu.span_ns, gpu.busy_ns, gpu.kernels, gpu.kernel_time_ns));
            (step.start_ns, gpu, step.name.clone())
        });
        if !steps.list.is_empty() {
            steps.source = Some(if self.timeline.detected { StepSource::Detected } else { StepSource::GpuMarks });
        }
        steps
    }

    fn marked_step(&self, mark: &MarkedStep, work: &StepWork) -> Step {
        let mut step = named_step(self.text(mark.name), &mark.said);
        step.start_ns = mark.start;
        step.cpu_ns = Some(ns(mark.end - mark.start));
        step.gpu = step_gpu(work);
        step
    }

    fn gpu_step(&self, work: &StepWork) -> Step {
        let mark = work.gpu_mark.and_then(|at| self.gpu_steps.get(at));
        let said = mark.and_then(|mark| {
            let name = self.text(mark.name);
            StepName::parse(name.as_bytes()).map(|said| named_step(name, &said))
        });
        let mut step = said.unwrap_or(Step {
            name: None,
            kind: StepKind::Unknown,
            context_requests: None,
            context_tokens: None,
            generation_requests: None,
            generation_tokens: None,
            start_ns: 0,
            cpu_ns: None,
            gpu: None,
        });
        step.start_ns = work.first;
        step.gpu = step_gpu(work);
        step
    }

    fn operators(&self) -> Vec<OperatorSummary> {
        let mut operators: Vec<OperatorSummary> = self
            .threads
            .operators
            .iter()
            .map(|(&id, time)| OperatorSummary {
                name: self.text(id),
                count: time.tally.count,
                total_ns: ns(time.tally.total),
                own_ns: ns(time.own),
                max_ns: ns(time.tally.max),
                gpu: self.joined.by_operator.get(&Some(id)).map(share).unwrap_or_default(),
            })
            .collect();
        operators.sort_by(|a, b| (Reverse(a.own_ns), &a.name).cmp(&(Reverse(b.own_ns), &b.name)));
        operators
    }

    fn calls(&self, tallies: &HashMap<NameId, Tally>) -> Vec<CallSummary> {
        let mut calls: Vec<CallSummary> = tallies
            .iter()
            .map(|(&id, tally)| CallSummary {
                name: self.text(id),
                count: tally.count,
                total_ns: ns(tally.total),
                max_ns: ns(tally.max),
            })
            .collect();
        calls.sort_by(|a, b| (Reverse(a.total_ns), &a.name).cmp(&(Reverse(b.total_ns), &b.name)));
        calls
    }

    /// Annotations by name. Kernels count once for each name around their launch.
    fn scopes(&self) -> Vec<ScopeSummary> {
        let mut by_name: BTreeMap<NameId, ScopeSummary> = BTreeMap::new();
        let entry = |id: NameId| ScopeSummary { name: self.text(id), count: 0, cpu_ns: 0, gpu: GpuShare::default() };
        for (&node, tally) in &self.threads.scope_times {
            if let Some(id) = self.threads.scopes.up(node).next() {
                let scope = by_name.entry(id).or_insert_with(|| entry(id));
                scope.count += tally.count;
                scope.cpu_ns += ns(tally.total);
            }
        }
        for (&node, tally) in &self.joined.by_scope {
            let around: HashSet<NameId> = self.threads.scopes.up(node).collect();
            for id in around {
                let scope = by_name.entry(id).or_insert_with(|| entry(id));
                scope.gpu.kernels += tally.count;
                scope.gpu.time_ns += ns(tally.total);
            }
        }
        let mut scopes: Vec<ScopeSummary> = by_name.into_values().collect();
        scopes.sort_by(|a, b| (Reverse(a.cpu_ns), &a.name).cmp(&(Reverse(b.cpu_ns), &b.name)));
        scopes
    }

    fn layers(&self) -> Vec<LayerSummary> {
        let mut layers: Vec<LayerSummary> = self
            .threads
            .layers
            .iter()
            .map(|(&id, tally)| LayerSummary {
                name: self.text(id),
                count: tally.count,
                cpu_ns: ns(tally.total),
                gpu: self.joined.by_layer.get(&id).map(share).unwrap_or_default(),
            })
            .collect();
        layers.sort_by_cached_key(|layer| (layer_order(&layer.name), layer.name.clone()));
        layers
    }

    fn memory(&self) -> Vec<MemorySummary> {
        let devices = self.collected.memory.devices.iter();
        devices
            .map(|(device, log)| MemorySummary {
                device: device.clone(),
                events: log.events,
                peak_allocated: log.peak_allocated.map(|(bytes, at)| (Bytes::new(bytes), at)),
                peak_reserved: log.peak_reserved.map(Bytes::new),
                allocated: Bytes::new(log.allocated),
                freed: Bytes::new(log.freed),
                curve_step_ns: log.step_ns(),
                curve: log
                    .curve()
                    .map(|(at_ns, point)| MemoryPoint {
                        at_ns,
                        allocated: point.allocated.map(Bytes::new),
                        reserved: point.reserved.map(Bytes::new),
                    })
                    .collect(),
            })
            .collect()
    }

    fn stacks(&mut self) -> Option<Stacks> {
        let tree = std::mem::take(&mut self.threads.stacks);
        let cpu = self.threads.stack_times.iter().map(|(&node, &time)| (node, ns(time)));
        let gpu = self.joined.by_stack.iter().filter_map(|(node, &time)| node.map(|node| (node, ns(time))));
        self.with_stacks.then(|| Stacks::new(Arc::clone(&self.table), tree, cpu, gpu))
    }
}

/// The class of a layer and its number, so that layer 10 comes after layer 9.
fn layer_order(name: &str) -> (String, u64) {
    let digits = name.chars().filter(char::is_ascii_digit).take(18).collect::<String>();
    let class = name.chars().filter(|c| !c.is_ascii_digit()).collect();
    (class, digits.parse().unwrap_or(0))
}

fn share(tally: &GpuTally) -> GpuShare {
    GpuShare { kernels: tally.count, time_ns: ns(tally.total) }
}

fn device_time(unions: &Unions) -> DeviceTime {
    let busy_ns = ns(unions.all.length());
    let span_ns = ns(unions.span());
    DeviceTime {
        first_ns: unions.first.unwrap_or_default(),
        span_ns,
        busy_ns,
        idle_ns: ns(unions.idle.total()),
        kernel_ns: ns(unions.kernels.length()),
        communication_ns: ns(unions.communication.length()),
        compute_ns: ns(unions.compute.length()),
        moves_ns: ns(unions.moves.length()),
        idle_by_cause_ns: Cause::ALL.map(|cause| ns(unions.idle.of(cause))),
        gaps: unions.idle.gaps,
    }
}

fn lane(lane: &Lane) -> LaneSummary {
    let steps = lane.steps().iter().map(|step| LaneStepSummary {
        compute_ns: ns(step.compute),
        communication_ns: ns(step.kernels - step.compute),
        moves_ns: ns(step.all - step.kernels),
        idle_by_cause_ns: step.idle.map(ns),
    });
    LaneSummary { start_ns: lane.start_ns(), step_ns: ns(lane.step_ns()), steps: steps.collect() }
}

fn categories(kernels: &[KernelSummary]) -> Vec<CategorySummary> {
    let mut found: BTreeMap<Category, CategorySummary> = BTreeMap::new();
    for kernel in kernels {
        let category = kernel.category;
        let summary =
            found.entry(category).or_insert(CategorySummary { category, count: 0, total_ns: 0, rules: Vec::new() });
        summary.count += kernel.count;
        summary.total_ns += kernel.total_ns;
        if let Some(rule) = kernel.rule.as_ref().filter(|rule| !summary.rules.contains(rule)) {
            summary.rules.push(rule.clone());
        }
    }
    let mut categories: Vec<CategorySummary> = found.into_values().collect();
    categories.sort_by_key(|c| (Reverse(c.total_ns), c.category));
    categories
}

fn named_step(name: String, said: &StepName) -> Step {
    Step {
        name: Some(name),
        kind: said.kind,
        context_requests: said.context.requests,
        context_tokens: said.context.tokens,
        generation_requests: said.generation.requests,
        generation_tokens: said.generation.tokens,
        start_ns: 0,
        cpu_ns: None,
        gpu: None,
    }
}

fn step_gpu(work: &StepWork) -> Option<StepGpu> {
    (!work.is_empty()).then(|| StepGpu {
        start_ns: work.first,
        span_ns: ns(work.last - work.first),
        busy_ns: ns(work.busy_ns()),
        kernels: work.kernels,
        kernel_time_ns: ns(work.kernel_time),
    })
}
