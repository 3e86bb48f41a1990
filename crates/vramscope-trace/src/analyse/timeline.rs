//! What each GPU did over time.

mod idle;
mod lane;
mod steps;
mod union;

use std::collections::HashMap;

pub(crate) use idle::{Gap, Idle};
pub(crate) use lane::Lane;
pub(crate) use steps::StepWork;
use steps::Steps;
pub(crate) use union::Union;

use super::join::Region;

use crate::collect::GpuStep;
use crate::names::NameId;
use crate::record::{TimedOp, Unlaunched, Wait, Work};
use crate::runs::{Pool, Runs, Sorted};
use crate::{Category, Cause, TraceError};

/// What the GPU did in some time: lengths of unions, in nanoseconds. Shares of two kinds follow from them, because
/// |A and B| = |A| + |B| - |A or B|.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Unions {
    /// Kernels, copies and fills.
    pub all: Union,
    pub kernels: Union,
    pub communication: Union,
    /// Kernels that are no communication.
    pub compute: Union,
    pub moves: Union,
    pub idle: Idle,
    pub first: Option<i64>,
    pub last: i64,
}

impl Unions {
    /// Adds an operation. Gives from where on it is new among all work, among kernels, and among those that compute.
    fn add(&mut self, op: &TimedOp, communication: bool, cause: Option<&[i64; Cause::COUNT]>) -> [i64; 3] {
        if let Some(parts) = cause {
            self.idle.add(parts);
        }
        self.first.get_or_insert(op.start);
        self.last = self.last.max(op.end);
        let all = self.all.add(op.start, op.end);
        match (op.work, communication) {
            (Work::Kernel, true) => {
                let kernels = self.kernels.add(op.start, op.end);
                self.communication.add(op.start, op.end);
                [all, kernels, op.end]
            }
            (Work::Kernel, false) => {
                let kernels = self.kernels.add(op.start, op.end);
                [all, kernels, self.compute.add(op.start, op.end)]
            }
            (Work::Copy | Work::Fill, _) => {
                self.moves.add(op.start, op.end);
                [all, op.end, op.end]
            }
        }
    }

    /// From the first beginning to the last end.
    pub(crate) fn span(&self) -> i64 {
        self.first.map_or(0, |first| self.last - first)
    }
}

/// One stream's work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StreamWork {
    pub kernels: u64,
    pub kernel_time: i64,
    pub moves: u64,
    pub busy: Union,
}

/// One device's work.
pub(crate) struct DeviceWork {
    pub device: NameId,
    pub whole: Unions,
    /// The same within the steps, where there are steps.
    pub steps: Option<Unions>,
    pub streams: HashMap<NameId, StreamWork>,
    pub longest_gaps: Vec<Gap>,
    /// The same over time.
    pub lane: Lane,
}

/// What the walk needs to know.
pub(crate) struct Question<'a> {
    pub ops: &'a Sorted<TimedOp>,
    pub waits: &'a Sorted<Wait>,
    pub category: &'a dyn Fn(NameId) -> Category,
    pub regions: &'a HashMap<NameId, Region>,
    /// Steps marked on the CPU: how many. Without any, marks of the GPU count, and without those, steps are detected.
    pub marked_steps: usize,
    pub gpu_steps: &'a [GpuStep],
    /// Where records are kept.
    pub pool: &'a Pool,
}

/// What the walk found.
pub(crate) struct Timeline {
    pub devices: Vec<DeviceWork>,
    pub steps: Vec<StepWork>,
    pub detected: bool,
    pub too_many_steps: u64,
}

/// Walks over all devices.
pub(crate) fn walk(question: &Question<'_>) -> Result<Timeline, TraceError> {
    let mut steps = Steps::new(question.marked_steps, question.gpu_steps);
    let mut devices: Vec<DeviceWork> = Vec::new();
    let mut unlaunched = Runs::new(question.pool);
    let mut current: Option<Walk> = None;
    let mut reader = question.ops.read()?;
    while let Some(op) = reader.next()? {
        if current.as_ref().is_none_or(|walk| walk.work.device != op.device) {
            devices.extend(current.take().map(Walk::finish));
            current = Some(Walk::new(question, op.device, devices.len()));
            steps.begin_device();
        }
        if let Some(walk) = &mut current {
            let category = if op.work == Work::Kernel { Some((question.category)(op.name)) } else { None };
            walk.add(&op, category == Some(Category::Communication), &mut unlaunched)?;
            steps.add(&op, category);
        }
    }
    devices.extend(current.take().map(Walk::finish));
    idle::settle(&mut devices, &Runs::sorted([unlaunched])?, question.waits)?;
    Lane::align(devices.iter_mut().map(|device| &mut device.lane));
    let detected = steps.are_detected();
    let too_many_steps = steps.refused();
    Ok(Timeline { devices, steps: steps.finish(), detected, too_many_steps })
}

/// A pause that the host caused; `None` for none.
fn host(from: i64, to: i64) -> Option<[i64; Cause::COUNT]> {
    let mut parts = [0; Cause::COUNT];
    parts[Cause::HostBound.place()] = to - from;
    (from < to).then_some(parts)
}

struct Walk {
    work: DeviceWork,
    /// The device's place among the devices.
    place: u32,
    region: Option<Region>,
    last_name: Option<NameId>,
}

/// Gaps that are shown one by one.
const LONGEST_GAPS: usize = 10;

impl Walk {
    fn new(question: &Question<'_>, device: NameId, place: usize) -> Self {
        let region = question.regions.get(&device).copied();
        Self {
            work: DeviceWork {
                device,
                whole: Unions::default(),
                steps: region.map(|_| Unions::default()),
                streams: HashMap::new(),
                longest_gaps: Vec::new(),
                lane: Lane::default(),
            },
            // Devices have names, and names are numbered in as many bits.
            place: u32::try_from(place).unwrap_or(u32::MAX),
            region,
            last_name: None,
        }
    }

    /// Adds an operation; what of a pause before it was not launched yet is put to the others of its kind.
    fn add(&mut self, op: &TimedOp, communication: bool, unlaunched: &mut Runs<Unlaunched>) -> Result<(), TraceError> {
        let mut causes = None;
        let before = self.work.whole.all.end();
        if let Some(from) = before.filter(|&end| end < op.start) {
            let (parts, until) = idle::split(from, op);
            if let Some((thread, to)) = until {
                self.unlaunched(thread, from, to, unlaunched)?;
            }
            self.note_gap(Gap { from, to: op.start, parts, before: self.last_name, after: op.name });
            causes = Some(parts);
            let launched = op.start - parts[Cause::KernelWait.place()];
            let before = if op.launched.is_some() { Cause::HostBound } else { Cause::Other };
            self.work.lane.add(from, launched, |step| &mut step.idle[before.place()]);
            self.work.lane.add(launched, op.start, |step| &mut step.idle[Cause::KernelWait.place()]);
        }
        let [all, kernels, compute] = self.work.whole.add(op, communication, causes.as_ref());
        self.work.lane.add(all, op.end, |step| &mut step.all);
        self.work.lane.add(kernels, op.end, |step| &mut step.kernels);
        self.work.lane.add(compute, op.end, |step| &mut step.compute);
        if let (Some(region), Some(steps)) = (self.region, &mut self.work.steps) {
            // A step's mark may begin before any work of the device: until then the host let it wait.
            let between = match before {
                Some(from) => idle::split_within(from, op, &region),
                None => host(region.from, op.start.min(region.to)),
            };
            if let Some(parts) = between {
                steps.idle.add(&parts);
            }
            // Work that began before the first step or goes on after the last one counts as far as it lies between.
            if region.from <= op.end && op.start <= region.to {
                let clipped = TimedOp { start: op.start.max(region.from), end: op.end.min(region.to), ..*op };
                steps.add(&clipped, communication, None);
            }
        }
        let stream = self.work.streams.entry(op.stream).or_default();
        stream.busy.add(op.start, op.end);
        if op.work == Work::Kernel {
            stream.kernels += 1;
            stream.kernel_time = stream.kernel_time.saturating_add(op.end - op.start);
        } else {
            stream.moves += 1;
        }
        self.last_name = Some(op.name);
        Ok(())
    }

    fn note_gap(&mut self, gap: Gap) {
        let gaps = &mut self.work.longest_gaps;
        let length = |gap: &Gap| gap.to - gap.from;
        if gaps.len() == LONGEST_GAPS && gaps.last().is_some_and(|last| length(last) >= length(&gap)) {
            return;
        }
        let place = gaps.partition_point(|other| length(other) >= length(&gap));
        gaps.insert(place, gap);
        gaps.truncate(LONGEST_GAPS);
    }

    /// Notes a stretch in which the host had launched nothing, cut where the steps begin and end.
    fn unlaunched(
        &self,
        thread: NameId,
        from: i64,
        to: i64,
        unlaunched: &mut Runs<Unlaunched>,
    ) -> Result<(), TraceError> {
        let device = self.place;
        let mut push = |from: i64, to: i64, in_steps: bool| {
            if from < to { unlaunched.push(Unlaunched { thread, from, to, device, in_steps }) } else { Ok(()) }
        };
        let Some(region) = self.region else { return push(from, to, false) };
        let (begin, end) = region.of(from, to);
        push(from, begin.min(to), false)?;
        push(begin.max(from), end.min(to), true)?;
        push(end.max(from), to, false)
    }

    /// The device's work when no more comes. The steps reach to the end of their region: what of it lies behind the last
    /// operation, the host launched nothing in.
    fn finish(mut self) -> DeviceWork {
        if let (Some(region), Some(steps)) = (self.region, &mut self.work.steps) {
            let last = self.work.whole.all.end().unwrap_or(region.to);
            let (from, to) = region.of(last, region.to);
            if let Some(parts) = host(from, to) {
                steps.idle.add(&parts);
            }
            (steps.first, steps.last) = (Some(region.from), region.to);
        }
        self.work
    }
}
