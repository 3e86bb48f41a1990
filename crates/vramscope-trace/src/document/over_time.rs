//! What devices did over time, and in which stacks time went, in a trace's document.

use serde::{Deserialize, Serialize};

use crate::Cause;
use crate::summary::{LaneStepSummary, LaneSummary, Stacks};

/// What a device did, in up to 600 even steps of time. Each list has one value a step, or none where all are 0. Values of
/// one list sum to the same kind of time in `whole`; those of one step to its length, but for the first and the last
/// one, which the device's time fills in part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Lane {
    /// When the first step begins, in nanoseconds of the trace's clock.
    pub start_ns: i64,
    /// The length of a step, in nanoseconds; the same for all devices.
    pub step_ns: u64,
    /// How many steps there are.
    pub steps: u64,
    /// A kernel ran that is no communication, in nanoseconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compute_ns: Vec<u64>,
    /// Communication ran, and no other kernel, in nanoseconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exposed_communication_ns: Vec<u64>,
    /// Copies or fills ran, and no kernel, in nanoseconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exposed_copy_ns: Vec<u64>,
    /// Idle: the host had not launched the next operation and was not waiting, in nanoseconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_bound_ns: Vec<u64>,
    /// Idle: the next operation was launched and had not begun, in nanoseconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kernel_wait_ns: Vec<u64>,
    /// Idle: the host was in a call that waits for the GPU, in nanoseconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sync_ns: Vec<u64>,
    /// Idle: the launching call is not in the trace, in nanoseconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_ns: Vec<u64>,
}

impl Lane {
    pub(super) fn of(lane: &LaneSummary) -> Self {
        let list = |of: &dyn Fn(&LaneStepSummary) -> u64| -> Vec<u64> {
            let values: Vec<u64> = lane.steps.iter().map(of).collect();
            if values.iter().all(|value| *value == 0) { Vec::new() } else { values }
        };
        let idle = |cause: Cause| list(&|step| step.idle_by_cause_ns[cause.place()]);
        Self {
            start_ns: lane.start_ns,
            step_ns: lane.step_ns,
            steps: lane.steps.len() as u64,
            compute_ns: list(&|step| step.compute_ns),
            exposed_communication_ns: list(&|step| step.communication_ns),
            exposed_copy_ns: list(&|step| step.moves_ns),
            host_bound_ns: idle(Cause::HostBound),
            kernel_wait_ns: idle(Cause::KernelWait),
            sync_ns: idle(Cause::Sync),
            other_ns: idle(Cause::Other),
        }
    }
}

/// Frames at most by each of the two times: as many as a picture can name.
const MOST_FRAMES: usize = 300;

/// Stacks of python functions, operators and calls: the frames with the most time on the CPU, and those whose kernels
/// took the most. Frames of all threads are put together, and so are modules of one class (`nn.Module: Linear_3`) and
/// methods of several objects in one place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct StacksDocument {
    /// Time on the CPU in all frames, in nanoseconds.
    pub cpu_ns: u64,
    /// Time of kernels launched in any frame, in nanoseconds.
    pub gpu_ns: u64,
    /// How many frames there are; those with less time are not listed.
    pub frames_unique: u64,
    /// Frames, each behind the one around it.
    pub frames: Vec<FrameRow>,
}

/// A frame in its stack. What it holds beyond its own and the listed frames within it lies in frames that are not listed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct FrameRow {
    /// A python function, an operator, or a call of the runtime.
    pub name: String,
    /// The frame around it, as a place in the list; absent for an outermost one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<u64>,
    /// Time on the CPU with the frames within, in nanoseconds.
    pub cpu_ns: u64,
    /// Time on the CPU in the frame itself, in nanoseconds.
    pub cpu_own_ns: u64,
    /// Time of kernels launched in it or within, in nanoseconds.
    pub gpu_ns: u64,
    /// Time of kernels that the frame itself launched, in nanoseconds.
    pub gpu_own_ns: u64,
}

impl StacksDocument {
    pub(super) fn of(stacks: &Stacks) -> Self {
        let found = stacks.heaviest(MOST_FRAMES);
        let frames = found.frames.into_iter().map(|frame| FrameRow {
            name: frame.name,
            parent: frame.parent.map(|place| place as u64),
            cpu_ns: frame.cpu_ns,
            cpu_own_ns: frame.cpu_own_ns,
            gpu_ns: frame.gpu_ns,
            gpu_own_ns: frame.gpu_own_ns,
        });
        Self {
            cpu_ns: found.cpu_ns,
            gpu_ns: found.gpu_ns,
            frames_unique: found.unique as u64,
            frames: frames.collect(),
        }
    }
}
