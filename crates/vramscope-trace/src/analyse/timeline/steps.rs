//! The GPU's work by step.

use crate::Category;
use crate::collect::{GpuStep, MAX_STEPS};
use crate::record::{TimedOp, Work};

use super::Union;

/// What GPUs did for one step; busy time is summed over devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StepWork {
    pub first: i64,
    pub last: i64,
    pub busy: Union,
    pub kernels: u64,
    pub kernel_time: i64,
    device_busy: i64,
    /// The mark on the GPU that it belongs to, where those tell the steps.
    pub gpu_mark: Option<usize>,
}

impl StepWork {
    const NEW: Self = Self {
        first: i64::MAX,
        last: i64::MIN,
        busy: Union::EMPTY,
        kernels: 0,
        kernel_time: 0,
        device_busy: 0,
        gpu_mark: None,
    };

    fn add(&mut self, op: &TimedOp) {
        self.first = self.first.min(op.start);
        self.last = self.last.max(op.end);
        self.busy.add(op.start, op.end);
        if op.work == Work::Kernel {
            self.kernels += 1;
            self.kernel_time = self.kernel_time.saturating_add(op.end - op.start);
        }
    }

    fn end_device(&mut self) {
        self.device_busy += self.busy.length();
        self.busy = Union::EMPTY;
    }

    /// Time in which some operation of the step ran, summed over devices, in nanoseconds.
    pub(crate) fn busy_ns(&self) -> i64 {
        self.device_busy
    }

    /// Whether any operation belongs to it.
    pub(crate) fn is_empty(&self) -> bool {
        self.first > self.last
    }
}

/// How steps are told.
enum Manner<'a> {
    Marked,
    /// Marks in order of device and time, and the place of the one that was last looked at.
    GpuMarks {
        marks: &'a [GpuStep],
        at: usize,
    },
    Detected(Detector),
}

pub(super) struct Steps<'a> {
    manner: Manner<'a>,
    work: Vec<StepWork>,
    /// The steps that have work on the device that is walked over, in the order of their first; neighbours once.
    touched: Vec<usize>,
    refused: u64,
}

/// After sampling, the next kernel of the model begins a step.
#[derive(Default)]
struct Detector {
    sampled: bool,
    seen_sampling: bool,
}

impl Detector {
    /// Whether an operation begins a new step.
    fn begins(&mut self, category: Option<Category>) -> bool {
        match category {
            Some(Category::Sampling) => {
                self.sampled = true;
                self.seen_sampling = true;
                false
            }
            Some(Category::Attention | Category::GemmMoe | Category::Normalisation) => {
                std::mem::take(&mut self.sampled)
            }
            _ => false,
        }
    }
}

impl<'a> Steps<'a> {
    pub(super) fn new(marked: usize, gpu_marks: &'a [GpuStep]) -> Self {
        let manner = match (marked, gpu_marks) {
            (0, []) => Manner::Detected(Detector::default()),
            (0, marks) => Manner::GpuMarks { marks, at: 0 },
            _ => Manner::Marked,
        };
        let mut work = vec![StepWork::NEW; marked];
        if let Manner::GpuMarks { marks, .. } = &manner {
            work.extend((0..marks.len()).map(|at| StepWork { gpu_mark: Some(at), ..StepWork::NEW }));
        }
        Self { manner, work, touched: Vec::new(), refused: 0 }
    }

    /// Steps are told anew on each device.
    pub(super) fn begin_device(&mut self) {
        self.end_device();
        if let Manner::Detected(detector) = &mut self.manner {
            detector.sampled = false;
            self.work.push(StepWork::NEW);
        }
    }

    /// Ends the steps that have work on this device. Looking at all of them for each device would take their product.
    fn end_device(&mut self) {
        for place in self.touched.drain(..) {
            if let Some(step) = self.work.get_mut(place) {
                step.end_device();
            }
        }
    }

    pub(super) fn add(&mut self, op: &TimedOp, category: Option<Category>) {
        let place = match &mut self.manner {
            Manner::Marked => op.step.and_then(|id| usize::try_from(id).ok()),
            Manner::GpuMarks { marks, at } => {
                while marks.get(*at).is_some_and(|mark| (mark.device, mark.end) <= (op.device, op.start)) {
                    *at += 1;
                }
                let inside = marks.get(*at).is_some_and(|mark| mark.device == op.device && mark.start <= op.start);
                inside.then_some(*at)
            }
            Manner::Detected(detector) => {
                if detector.begins(category) {
                    if self.work.len() < MAX_STEPS {
                        self.work.push(StepWork::NEW);
                    } else {
                        self.refused += 1;
                    }
                }
                self.work.len().checked_sub(1)
            }
        };
        let Some(place) = place else { return };
        if let Some(step) = self.work.get_mut(place) {
            if step.busy == Union::EMPTY {
                self.touched.push(place);
            }
            step.add(op);
        }
    }

    pub(super) fn are_detected(&self) -> bool {
        matches!(&self.manner, Manner::Detected(detector) if detector.seen_sampling)
    }

    /// Steps that were not told apart because there are too many.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// The work of all steps: of marked ones one each, also if it is empty.
    pub(super) fn finish(mut self) -> Vec<StepWork> {
        self.end_device();
        match self.manner {
            Manner::Marked => self.work,
            Manner::GpuMarks { .. } => self.work.into_iter().filter(|step| !step.is_empty()).collect(),
            Manner::Detected(Detector { seen_sampling: true, .. }) => {
                self.work.into_iter().filter(|step| !step.is_empty()).collect()
            }
            Manner::Detected(_) => Vec::new(),
        }
    }
}
