//! Who launched what: GPU operations and calls, met by their correlation.

use std::collections::HashMap;

use super::threads::MarkedStep;
use crate::names::NameId;
use crate::record::{GpuOp, Launch, Length, TimedOp, Work};
use crate::runs::{Merged, Pool, Runs, Sorted};
use crate::steps::StepSource;
use crate::tree::NodeId;
use crate::{Notes, Oddity, TraceError};

/// A group of GPU operations: how many, how long together, and the shortest and longest, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GpuTally {
    pub count: u64,
    pub total: i64,
    pub min: i64,
    pub max: i64,
}

impl Default for GpuTally {
    fn default() -> Self {
        Self { count: 0, total: 0, min: i64::MAX, max: 0 }
    }
}

impl GpuTally {
    pub(crate) fn add(&mut self, length: i64) {
        self.count += 1;
        self.total = self.total.saturating_add(length);
        self.min = self.min.min(length);
        self.max = self.max.max(length);
    }
}

/// What states floating-point operations: how many there are, all operations, and the time of GPU work among them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FlopTally {
    pub count: u64,
    pub flops: u64,
    pub time: i64,
}

impl FlopTally {
    pub(crate) fn add(&mut self, flops: u64, time: i64) {
        self.merge(&Self { count: 1, flops, time });
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.flops = self.flops.saturating_add(other.flops);
        self.time = self.time.saturating_add(other.time);
    }
}

/// Copies or fills of one name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MoveTally {
    pub time: GpuTally,
    /// Bytes of those that state a size.
    pub bytes: u64,
    /// Time of those that state a size, for the rate.
    pub sized_time: i64,
    pub sized: u64,
}

/// The time of the steps on a device: from the first to the last operation of any step, and where steps are marked on the
/// CPU, no less than from the first to the last mark of a step with GPU work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Region {
    pub from: i64,
    pub to: i64,
}

impl Region {
    fn widen(&mut self, from: i64, to: i64) {
        self.from = self.from.min(from);
        self.to = self.to.max(to);
    }

    /// What of a stretch of time lies in it.
    pub(crate) fn of(&self, from: i64, to: i64) -> (i64, i64) {
        let from = from.clamp(self.from, self.to);
        (from, to.clamp(from, self.to))
    }
}

/// Everything that the meeting finds.
pub(crate) struct Joined {
    pub kernels: HashMap<NameId, GpuTally>,
    pub moves: HashMap<(Work, NameId), MoveTally>,
    pub by_operator: HashMap<Option<NameId>, GpuTally>,
    pub by_layer: HashMap<NameId, GpuTally>,
    pub by_scope: HashMap<NodeId, GpuTally>,
    pub by_stack: HashMap<Option<NodeId>, i64>,
    /// Floating-point operations that kernels state, by name.
    pub flops: HashMap<NameId, FlopTally>,
    pub linked_kernels: u64,
    pub graph_kernels: u64,
    pub graph_kernel_time: i64,
    pub regions: HashMap<NameId, Region>,
    /// Delays from the beginning of a call to the beginning of its kernel, all in group 0.
    pub delays: Sorted<Length>,
    /// Durations of kernels, grouped by name.
    pub durations: Sorted<Length>,
    pub ops: Sorted<TimedOp>,
}

/// Which steps count, and where to look for one by time.
pub(crate) struct StepFinder {
    /// Each marked step's place among those that count.
    places: Vec<Option<u32>>,
    /// Beginning, end and place of those that count, in order of time.
    by_time: Vec<(i64, i64, u32)>,
}

impl StepFinder {
    /// Engine steps count; the profiler's only if there are none.
    pub(crate) fn new(steps: &[MarkedStep]) -> (Self, Vec<MarkedStep>) {
        let best = steps.iter().map(|step| step.said.source).min();
        let mut order: Vec<usize> = (0..steps.len()).filter(|&at| Some(steps[at].said.source) == best).collect();
        order.sort_by_key(|&at| (steps[at].start, steps[at].end, steps[at].place));
        let mut places = vec![None; steps.len()];
        let mut by_time = Vec::new();
        let mut kept = Vec::new();
        for (place, &at) in (0u32..).zip(&order) {
            places[at] = Some(place);
            by_time.push((steps[at].start, steps[at].end, place));
            kept.push(steps[at]);
        }
        (Self { places, by_time }, kept)
    }

    fn of(&self, launch: &Launch) -> Option<u32> {
        let marked = launch.step.and_then(|id| usize::try_from(id).ok()).and_then(|id| self.places.get(id));
        marked.copied().flatten().or_else(|| self.at(launch.start))
    }

    /// Where a step's mark begins and ends.
    fn mark(&self, step: u32) -> Option<(i64, i64)> {
        let &(from, to, _) = self.by_time.get(usize::try_from(step).ok()?)?;
        Some((from, to))
    }

    /// The step that runs at a time, on whatever thread.
    fn at(&self, time: i64) -> Option<u32> {
        let after = self.by_time.partition_point(|&(start, ..)| start <= time);
        let &(_, end, place) = self.by_time.get(after.checked_sub(1)?)?;
        (time < end).then_some(place)
    }
}

/// Meets all operations with their calls. Only operations on `device` count, where one is given.
pub(crate) fn join(
    ops: &Sorted<GpuOp>,
    launches: &Sorted<Launch>,
    steps: &StepFinder,
    device: Option<&dyn Fn(NameId) -> bool>,
    pool: &Pool,
    notes: &mut Notes,
) -> Result<Joined, TraceError> {
    let mut join = Join::new(pool);
    let mut ops = ops.read()?;
    let mut launches = Launches { reader: launches.read()?, last: None };
    while let Some(op) = ops.next()? {
        if device.is_some_and(|wanted| !wanted(op.device)) {
            continue;
        }
        let launch = match op.correlation {
            Some(correlation) => launches.find(correlation)?,
            None => None,
        };
        join.add(&op, launch.as_ref(), steps)?;
    }
    notes.add_count(Oddity::StartsBeforeLaunch, join.early);
    join.finish()
}

/// Calls in order of correlation.
struct Launches<'a> {
    reader: Merged<'a, Launch>,
    last: Option<Launch>,
}

impl Launches<'_> {
    /// The earliest call with this correlation. Correlations are asked for in order.
    fn find(&mut self, correlation: u64) -> Result<Option<Launch>, TraceError> {
        if self.last.is_some_and(|last| last.correlation == correlation) {
            return Ok(self.last);
        }
        while self.reader.peek().is_some_and(|next| next.correlation < correlation) {
            self.reader.next()?;
        }
        if self.reader.peek().is_some_and(|next| next.correlation == correlation) {
            self.last = self.reader.next()?;
            return Ok(self.last);
        }
        Ok(None)
    }
}

struct Join {
    kernels: HashMap<NameId, GpuTally>,
    moves: HashMap<(Work, NameId), MoveTally>,
    by_operator: HashMap<Option<NameId>, GpuTally>,
    by_layer: HashMap<NameId, GpuTally>,
    by_scope: HashMap<NodeId, GpuTally>,
    by_stack: HashMap<Option<NodeId>, i64>,
    flops: HashMap<NameId, FlopTally>,
    linked_kernels: u64,
    graph_kernels: u64,
    graph_kernel_time: i64,
    regions: HashMap<NameId, Region>,
    /// From the first to the last mark of a step with GPU work.
    marks: Option<Region>,
    delays: Runs<Length>,
    durations: Runs<Length>,
    ops: Runs<TimedOp>,
    early: u64,
}

impl Join {
    fn new(pool: &Pool) -> Self {
        Self {
            kernels: HashMap::new(),
            moves: HashMap::new(),
            by_operator: HashMap::new(),
            by_layer: HashMap::new(),
            by_scope: HashMap::new(),
            by_stack: HashMap::new(),
            flops: HashMap::new(),
            linked_kernels: 0,
            graph_kernels: 0,
            graph_kernel_time: 0,
            regions: HashMap::new(),
            marks: None,
            delays: Runs::new(pool),
            durations: Runs::new(pool),
            ops: Runs::new(pool),
            early: 0,
        }
    }

    fn add(&mut self, op: &GpuOp, launch: Option<&Launch>, steps: &StepFinder) -> Result<(), TraceError> {
        let step = launch.and_then(|launch| steps.of(launch));
        let length = op.end - op.start;
        let &GpuOp { device, start, end, stream, name, work, place, .. } = op;
        if let Some(launch) = launch {
            self.early += u64::from(start < launch.start);
        }
        match work {
            Work::Kernel => self.kernel(op, launch)?,
            Work::Copy | Work::Fill => {
                let tally = self.moves.entry((work, name)).or_default();
                tally.time.add(length);
                if let Some(bytes) = op.bytes {
                    tally.bytes = tally.bytes.saturating_add(bytes);
                    tally.sized_time = tally.sized_time.saturating_add(length);
                    tally.sized += 1;
                }
            }
        }
        if step.is_some() {
            let region = self.regions.entry(device).or_insert(Region { from: start, to: end });
            region.widen(start, end);
        }
        if let Some((from, to)) = step.and_then(|step| steps.mark(step)) {
            self.marks.get_or_insert(Region { from, to }).widen(from, to);
        }
        let launched = launch.map(|l| (l.start, l.thread));
        self.ops.push(TimedOp { device, start, end, place, stream, name, work, launched, step })
    }

    fn kernel(&mut self, op: &GpuOp, launch: Option<&Launch>) -> Result<(), TraceError> {
        let length = op.end - op.start;
        self.kernels.entry(op.name).or_default().add(length);
        self.durations.push(Length { group: op.name, nanos: length })?;
        if let Some(flops) = op.flops {
            self.flops.entry(op.name).or_default().add(flops, length);
        }
        self.by_operator.entry(launch.and_then(|l| l.operator)).or_default().add(length);
        let around = self.by_stack.entry(launch.and_then(|l| l.stack)).or_default();
        *around = around.saturating_add(length);
        let Some(launch) = launch else { return Ok(()) };
        self.linked_kernels += 1;
        self.delays.push(Length { group: 0, nanos: op.start.saturating_sub(launch.start) })?;
        if launch.graph {
            self.graph_kernels += 1;
            self.graph_kernel_time = self.graph_kernel_time.saturating_add(length);
        }
        if let Some(layer) = launch.layer {
            self.by_layer.entry(layer).or_default().add(length);
        }
        if let Some(scope) = launch.scope {
            self.by_scope.entry(scope).or_default().add(length);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Joined, TraceError> {
        if let Some(marks) = self.marks {
            self.regions.values_mut().for_each(|region| region.widen(marks.from, marks.to));
        }
        Ok(Joined {
            kernels: self.kernels,
            moves: self.moves,
            by_operator: self.by_operator,
            by_layer: self.by_layer,
            by_scope: self.by_scope,
            by_stack: self.by_stack,
            flops: self.flops,
            linked_kernels: self.linked_kernels,
            graph_kernels: self.graph_kernels,
            graph_kernel_time: self.graph_kernel_time,
            regions: self.regions,
            delays: Runs::sorted([self.delays])?,
            durations: Runs::sorted([self.durations])?,
            ops: Runs::sorted([self.ops])?,
        })
    }
}

/// Whether steps were marked by the engine, by the profiler, or not at all.
pub(crate) fn step_source(steps: &[MarkedStep]) -> Option<StepSource> {
    steps.first().map(|step| step.said.source)
}
