//! What limits the GPU, by stated thresholds.

use crate::steps::Flags;
use crate::summary::{DeviceSummary, DeviceTime, GraphSummary, KernelTotals};
use crate::{Cause, LaunchDelay};

/// What limits the GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Bound {
    /// Kernels.
    Gpu,
    /// The host, which does not launch work in time.
    Cpu,
    /// Communication that no computation hides.
    Communication,
    /// Copies that no computation hides.
    MemoryCopy,
    /// No one thing.
    Mixed,
    /// The trace does not tell.
    Undetermined,
}

impl Bound {
    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gpu => "gpu_bound",
            Self::Cpu => "cpu_bound",
            Self::Communication => "communication_bound",
            Self::MemoryCopy => "memory_copy_bound",
            Self::Mixed => "mixed",
            Self::Undetermined => "undetermined",
        }
    }
}

/// One share with the threshold that it is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Evidence {
    /// What is measured, `snake_case`.
    pub name: &'static str,
    /// What it means, in a few words.
    pub meaning: &'static str,
    /// The share, 0 to 1.
    pub share: f64,
    /// The threshold, 0 to 1; `None` if it is shown for information.
    pub threshold: Option<f64>,
    /// Whether it reaches the threshold.
    pub reached: bool,
}

/// What limits the GPU, why, and what to do.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Verdict {
    /// The answer.
    pub bound: Bound,
    /// Whether it was judged within the steps (with the pauses between them) or over all GPU work.
    pub within_steps: bool,
    /// The shares that it rests on.
    pub evidence: Vec<Evidence>,
    /// What to try first.
    pub advice: Vec<&'static str>,
}

/// From this share of busy time on, a GPU is busy.
pub const BUSY: f64 = 0.85;
/// Below this share of busy time, something keeps a GPU waiting.
pub const WAITING: f64 = 0.70;
/// From this share of the time on, communication or copies that nothing hides are what limits.
pub const EXPOSED: f64 = 0.30;
/// From this share of idle time on, the host is why a GPU waits.
pub const HOST: f64 = 0.50;
/// From this share of kernels with a known launch on, a trace tells what the host did.
pub(crate) const LINKED: f64 = 0.50;

/// What the judgement uses beside the devices' times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    pub graphs: GraphSummary,
    pub launch_delay: Option<LaunchDelay>,
    pub kernels: KernelTotals,
    /// Of the engine that marked the steps.
    pub flags: Option<Flags>,
}

/// Judges the devices of one trace together.
pub(crate) fn judge(devices: &[DeviceSummary], facts: Facts) -> Verdict {
    let within_steps = !devices.is_empty() && devices.iter().any(|device| device.steps.is_some());
    let times = devices.iter().filter_map(|device| if within_steps { device.steps } else { Some(device.whole) });
    let Some(time) = times.reduce(|a, b| a.plus(&b)).filter(|time| time.span_ns > 0) else {
        return Verdict {
            bound: Bound::Undetermined,
            within_steps: false,
            evidence: Vec::new(),
            advice: vec!["the trace has no GPU work: record with the CUDA activity to judge the GPU"],
        };
    };
    let shares = Shares::of(&time, facts.kernels);
    let bound = shares.bound();
    let mut advice = advice(bound, facts);
    if bound == Bound::Mixed && shares.busy < WAITING && shares.launched >= HOST {
        advice = vec![
            "work was launched and did not begin: look for waits between streams, and for other processes on the GPU",
        ];
    }
    Verdict { bound, within_steps, evidence: shares.evidence(), advice }
}

struct Shares {
    busy: f64,
    communication: f64,
    copies: f64,
    host: f64,
    launched: f64,
    unknown: f64,
    idle: f64,
    linked: f64,
}

impl Shares {
    fn of(time: &DeviceTime, kernels: KernelTotals) -> Self {
        let host = time.idle_of(Cause::HostBound) + time.idle_of(Cause::Sync);
        Self {
            busy: share(time.busy_ns, time.span_ns),
            communication: share(time.exposed_communication_ns(), time.span_ns),
            copies: share(time.exposed_moves_ns(), time.span_ns),
            host: share(host, time.idle_ns),
            launched: share(time.idle_of(Cause::KernelWait), time.idle_ns),
            unknown: share(time.idle_of(Cause::Other), time.idle_ns),
            idle: share(time.idle_ns, time.span_ns),
            // Without a kernel, no launch is missing.
            linked: if kernels.count == 0 { 1.0 } else { share(kernels.with_launch, kernels.count) },
        }
    }

    fn bound(&self) -> Bound {
        if self.communication >= EXPOSED && self.communication >= self.copies {
            Bound::Communication
        } else if self.copies >= EXPOSED {
            Bound::MemoryCopy
        } else if self.busy >= BUSY {
            Bound::Gpu
        } else if self.busy < WAITING && (self.unknown >= HOST || self.linked < LINKED) {
            Bound::Undetermined
        } else if self.busy < WAITING && self.host >= HOST {
            Bound::Cpu
        } else {
            Bound::Mixed
        }
    }

    fn evidence(&self) -> Vec<Evidence> {
        let held = |name, meaning, share: f64, threshold: f64| Evidence {
            name,
            meaning,
            share,
            threshold: Some(threshold),
            reached: share >= threshold,
        };
        let shown = |name, meaning, share| Evidence { name, meaning, share, threshold: None, reached: false };
        vec![
            held("busy", "of the time, some GPU operation ran; gpu_bound from 85 %", self.busy, BUSY),
            held("idle", "of the time, none ran; cpu_bound needs more than 30 %", self.idle, 1.0 - WAITING),
            held("host_idle", "of idle time, the host had launched nothing; cpu_bound from 50 %", self.host, HOST),
            shown("launched_idle", "of idle time, the next operation was launched but had not begun", self.launched),
            held("unlinked_idle", "of idle time, no launch is known; undetermined from 50 %", self.unknown, HOST),
            held("linked", "of kernels, the launch is in the trace; the host is judged from 50 %", self.linked, LINKED),
            held("exposed_communication", "of the time, only communication ran", self.communication, EXPOSED),
            held("exposed_copies", "of the time, only copies or fills ran", self.copies, EXPOSED),
        ]
    }
}

fn advice(bound: Bound, facts: Facts) -> Vec<&'static str> {
    let mut advice = Vec::new();
    match bound {
        Bound::Gpu => {
            advice.push(
                "look at the top kernels: faster attention or GEMM backends, quantised weights, or a smaller batch",
            );
        }
        Bound::Cpu => {
            if facts.graphs.launches == 0 {
                advice.push(facts.flags.map_or(
                    "launch whole graphs rather than one kernel after another (CUDA graphs, torch.compile)",
                    |flags| flags.graphs,
                ));
            } else {
                advice.push("graphs are in use: the pauses lie between them, in scheduling, sampling or detokenising");
            }
            advice.push(facts.flags.map_or("raise the batch, so that each launch does more", |flags| flags.batch));
            if facts.launch_delay.is_some_and(|delay| delay.median_ns < 20_000) {
                advice
                    .push("kernels start right after their launch: nothing is queued, so faster kernels will not help");
            }
        }
        Bound::Communication => {
            advice
                .push("use fewer ranks or faster links, a custom all-reduce, or overlap collectives with computation");
            advice.push("compare ranks: waiting for a slower rank counts as communication");
        }
        Bound::MemoryCopy => {
            advice.push("keep data on the GPU: look for transfers in each step, swapping, and unpinned buffers");
        }
        Bound::Mixed => advice.push("no single cause: compare idle causes, categories and steps below"),
        Bound::Undetermined if share(facts.kernels.with_launch, facts.kernels.count) < LINKED => {
            advice.push(
                "most kernels were launched before the recording, or by what it does not hold: what the host did is not known; \
                 record CPU activity, and begin a step earlier",
            );
        }
        Bound::Undetermined => {
            advice.push("record CPU activity beside CUDA, so that launches can be told from waiting");
        }
    }
    advice
}

#[expect(clippy::cast_precision_loss, reason = "shares of times below 2^53 ns; above, the loss is under 1e-15")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::LaneSummary;

    fn device(time: DeviceTime) -> DeviceSummary {
        let streams = std::collections::BTreeMap::new();
        DeviceSummary {
            device: "0".into(),
            whole: time,
            steps: None,
            streams,
            longest_gaps: Vec::new(),
            lane: LaneSummary::default(),
        }
    }

    fn facts() -> Facts {
        Facts { graphs: GraphSummary::default(), launch_delay: None, kernels: KernelTotals::default(), flags: None }
    }

    fn bound(busy: u64, kernel: u64, compute: u64, host: u64) -> Bound {
        let time = DeviceTime {
            span_ns: 1000,
            busy_ns: busy,
            idle_ns: 1000 - busy,
            kernel_ns: kernel,
            compute_ns: compute,
            idle_by_cause_ns: [host, 1000 - busy - host, 0, 0],
            ..DeviceTime::default()
        };
        judge(&[device(time)], facts()).bound
    }

    /// A step of the host from 0 to 33 ms, of which the GPU worked as long as told.
    fn step_with_kernels(work: &[(f64, f64)]) -> Verdict {
        step_among(work, &[]).verdict
    }

    /// The same with work whose launch is not in the trace.
    fn step_among(work: &[(f64, f64)], unlinked: &[(f64, f64)]) -> crate::Summary {
        let mut events: Vec<String> = (7..)
            .zip(work)
            .flat_map(|(id, (at, length))| {
                let call = format!(
                    r#"{{"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": 1, "tid": 1, "ts": {},
                    "dur": 4.0, "args": {{"correlation": {id}}}}}"#,
                    at - 12.0
                );
                let kernel = format!(
                    r#"{{"ph": "X", "cat": "kernel", "name": "k", "pid": 0, "tid": 7, "ts": {at}, "dur": {length},
                    "args": {{"correlation": {id}, "device": 0, "stream": 7}}}}"#
                );
                [call, kernel]
            })
            .collect();
        events.extend(unlinked.iter().map(|(at, length)| {
            format!(
                r#"{{"ph": "X", "cat": "kernel", "name": "k", "pid": 0, "tid": 7, "ts": {at}, "dur": {length},
                "args": {{"device": 0, "stream": 7}}}}"#
            )
        }));
        let trace = format!(
            r#"{{"traceEvents": [{{"ph": "X", "cat": "user_annotation", "name": "ProfilerStep#1", "pid": 1, "tid": 1,
            "ts": 0.0, "dur": 33000.0}}, {}]}}"#,
            events.join(",")
        );
        let source = crate::Source::memory("made", trace.into_bytes());
        crate::summarize(&source, &crate::Options::default()).unwrap()
    }

    fn evidence(verdict: &Verdict, name: &str) -> f64 {
        verdict.evidence.iter().find(|evidence| evidence.name == name).unwrap().share
    }

    #[test]
    fn work_in_a_step_counts_as_busy_whoever_launched_it() {
        // As an H100 ran a prompt: the step's own kernels began when earlier ones, of unknown launch, had ended.
        let summary = step_among(&[(14_000.0, 9_000.0), (23_500.0, 9_500.0)], &[(-2_000.0, 15_500.0)]);
        let (verdict, steps) = (&summary.verdict, summary.devices[0].steps.unwrap());
        assert_eq!((verdict.bound, verdict.within_steps), (Bound::Gpu, true));
        assert_eq!((steps.first_ns, steps.span_ns, steps.busy_ns), (0, 33_000_000, 32_000_000));
        assert_eq!(steps.idle_ns, steps.span_ns - steps.busy_ns);
        assert!((evidence(verdict, "busy") - 32.0 / 33.0).abs() < 1e-9, "the share of the steps' own figures");
        let summary = step_among(&[(30_000.0, 100.0)], &[(-900.0, 100.0), (40_000.0, 9.0)]);
        assert_eq!(summary.devices[0].steps.unwrap().busy_ns, 100_000, "what runs outside is no work of the steps");
    }

    #[test]
    fn without_most_launches_the_host_is_not_judged() {
        let few = step_among(&[(32_000.0, 100.0)], &[(10.0, 5.0), (20.0, 5.0)]).verdict;
        assert_eq!(few.bound, Bound::Undetermined);
        assert!((evidence(&few, "linked") - 1.0 / 3.0).abs() < 1e-9);
        assert!(few.advice[0].contains("most kernels"), "{:?}", few.advice);
    }

    #[test]
    fn flags_are_named_where_the_engine_is_known() {
        let advice = |step: Option<&str>| {
            advice(Bound::Cpu, Facts { flags: step.and_then(crate::steps::Flags::of), ..facts() }).join("; ")
        };
        assert!(advice(Some("execute_context_8(2048)_generation_0(0)")).contains("--enforce-eager"));
        assert!(advice(Some("step[DECODE bs=32]")).contains("--disable-cuda-graph"));
        for unknown in [None, Some("ProfilerStep#6")] {
            assert!(!advice(unknown).contains("--"), "{}", advice(unknown));
        }
    }

    #[test]
    fn a_step_that_hardly_uses_the_gpu_is_the_hosts() {
        let verdict = step_with_kernels(&[(1702.0, 6.0), (1708.0, 6.0)]);
        assert_eq!((verdict.bound, verdict.within_steps), (Bound::Cpu, true));
        let busy = verdict.evidence.iter().find(|evidence| evidence.name == "busy").unwrap().share;
        assert!((busy - 12.0 / 33_000.0).abs() < 1e-9, "{busy}");
        assert_eq!(step_with_kernels(&[(32_000.0, 900.0)]).bound, Bound::Cpu, "the work may come late");
        assert_eq!(step_with_kernels(&[(1000.0, 31_500.0)]).bound, Bound::Gpu);
        assert_eq!(step_with_kernels(&[(20.0, 40_000.0)]).bound, Bound::Gpu, "it may outlast the mark");
    }

    #[test]
    fn each_bound_has_its_case() {
        assert_eq!(bound(950, 950, 950, 0), Bound::Gpu);
        assert_eq!(bound(150, 150, 150, 800), Bound::Cpu);
        assert_eq!(bound(720, 720, 720, 200), Bound::Mixed);
        assert_eq!(bound(950, 950, 500, 0), Bound::Communication);
        assert_eq!(bound(950, 500, 500, 0), Bound::MemoryCopy);
        assert_eq!(judge(&[], facts()).bound, Bound::Undetermined);
    }
}
