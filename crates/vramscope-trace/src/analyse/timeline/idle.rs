//! Why a GPU is idle.
//!
//! A gap ends with an operation. Until the call that launched it began, the GPU had nothing to do because of the host:
//! it waited for the GPU (`sync`, the thread was in a blocking call) or it was busy elsewhere (`host`). From the call
//! on, the operation was under way and did not run: launch latency, or a dependency (`launched`). An operation whose
//! call is not in the trace tells nothing (`unknown`).

use std::collections::VecDeque;

use super::DeviceWork;
use crate::analyse::join::Region;
use crate::names::NameId;
use crate::record::{TimedOp, Unlaunched, Wait};
use crate::runs::{Merged, Sorted};
use crate::{Cause, TraceError};

/// Idle time by cause, in nanoseconds, and the number of gaps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Idle {
    parts: [i64; Cause::COUNT],
    pub gaps: u64,
}

impl Idle {
    pub(super) fn add(&mut self, parts: &[i64; Cause::COUNT]) {
        for (sum, part) in self.parts.iter_mut().zip(parts) {
            *sum += part;
        }
        self.gaps += 1;
    }

    pub(crate) fn of(&self, cause: Cause) -> i64 {
        self.parts[cause.place()]
    }

    fn waited(&mut self, length: i64) {
        waited(&mut self.parts, length);
    }

    pub(crate) fn total(&self) -> i64 {
        self.parts.iter().sum()
    }
}

/// So much of what was laid to the host was a call that waits for the GPU.
fn waited(parts: &mut [i64; Cause::COUNT], length: i64) {
    parts[Cause::HostBound.place()] -= length;
    parts[Cause::Sync.place()] += length;
}

/// One gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    pub from: i64,
    pub to: i64,
    pub parts: [i64; Cause::COUNT],
    pub before: Option<NameId>,
    pub after: NameId,
}

impl Gap {
    /// The cause of most of it.
    pub(crate) fn cause(&self) -> Cause {
        let longest = |best: Cause, next: Cause| {
            if self.parts[next.place()] > self.parts[best.place()] { next } else { best }
        };
        Cause::ALL.into_iter().reduce(longest).unwrap_or(Cause::Other)
    }
}

/// Splits the gap before an operation by cause, as far as its launch tells: until the call began the host is the cause.
/// Gives the end of that part, with the call's thread.
pub(super) fn split(from: i64, op: &TimedOp) -> ([i64; Cause::COUNT], Option<(NameId, i64)>) {
    let mut parts = [0; Cause::COUNT];
    let to = op.start;
    let Some((launched, thread)) = op.launched else {
        parts[Cause::Other.place()] = to - from;
        return (parts, None);
    };
    let launched = launched.clamp(from, to);
    parts[Cause::KernelWait.place()] = to - launched;
    parts[Cause::HostBound.place()] = launched - from;
    (parts, (launched > from).then_some((thread, launched)))
}

/// The same as far as the gap lies in the time of the steps; `None` where nothing of it does.
pub(super) fn split_within(from: i64, op: &TimedOp, region: &Region) -> Option<[i64; Cause::COUNT]> {
    let (begin, end) = region.of(from, op.start);
    if from >= op.start || begin >= end {
        return None;
    }
    let mut parts = [0; Cause::COUNT];
    match op.launched {
        Some((launched, _)) => {
            let launched = launched.clamp(begin, end);
            parts[Cause::HostBound.place()] = launched - begin;
            parts[Cause::KernelWait.place()] = end - launched;
        }
        None => parts[Cause::Other.place()] = end - begin,
    }
    Some(parts)
}

/// Tells, of what was laid to the host, how much of it was spent in calls that wait for the GPU. Pauses of all devices
/// and calls of all threads are gone through once, beside each other: looking the calls up for each device would take
/// the product of the two.
pub(super) fn settle(
    devices: &mut [DeviceWork],
    unlaunched: &Sorted<Unlaunched>,
    waits: &Sorted<Wait>,
) -> Result<(), TraceError> {
    let mut asked = unlaunched.read()?;
    let mut waits = Waits::new(waits.read()?);
    while let Some(part) = asked.next()? {
        let length = waits.within(&part)?;
        let Some(device) = usize::try_from(part.device).ok().and_then(|place| devices.get_mut(place)) else { continue };
        device.whole.idle.waited(length);
        if length > 0 {
            device.lane.split(part.from, part.to, |step, at, end| {
                waited(&mut step.idle, waits.until(end) - waits.until(at));
            });
        }
        if let (true, Some(steps)) = (part.in_steps, &mut device.steps) {
            steps.idle.waited(length);
        }
        // Gaps of one device do not overlap, so where a part of it lies tells which one it is.
        if let Some(gap) = device.longest_gaps.iter_mut().find(|gap| gap.from <= part.from && part.to <= gap.to) {
            waited(&mut gap.parts, length);
        }
    }
    Ok(())
}

/// The blocking calls of one thread at a time, as far as they matter still.
struct Waits<'a> {
    reader: Merged<'a, Wait>,
    thread: Option<NameId>,
    /// Stretches in which some call waits, in order and apart from each other, each with the time waited before it.
    stretches: VecDeque<Stretch>,
    /// Where the last stretch ends.
    end: i64,
    /// The time of all stretches.
    total: i64,
}

#[derive(Debug, Clone, Copy)]
struct Stretch {
    start: i64,
    end: i64,
    before: i64,
}

impl<'a> Waits<'a> {
    fn new(reader: Merged<'a, Wait>) -> Self {
        Self { reader, thread: None, stretches: VecDeque::new(), end: i64::MIN, total: 0 }
    }

    /// How long the thread was in blocking calls between two times. Asked in order of thread and beginning.
    fn within(&mut self, part: &Unlaunched) -> Result<i64, TraceError> {
        if self.thread != Some(part.thread) {
            self.stretches.clear();
            (self.thread, self.end, self.total) = (Some(part.thread), i64::MIN, 0);
        }
        while self.reader.peek().is_some_and(|next| (next.thread, next.start) < (part.thread, part.to)) {
            if let Some(wait) = self.reader.next()?.filter(|wait| wait.thread == part.thread) {
                self.add(&wait);
            }
        }
        // No later pause begins before this one, so what has ended is not needed again.
        while self.stretches.front().is_some_and(|first| first.end <= part.from) {
            self.stretches.pop_front();
        }
        Ok(self.until(part.to) - self.until(part.from))
    }

    /// Adds a call that begins no earlier than the ones before.
    fn add(&mut self, wait: &Wait) {
        let start = wait.start.max(self.end);
        if wait.end > start {
            self.stretches.push_back(Stretch { start, end: wait.end, before: self.total });
            self.total += wait.end - start;
            self.end = wait.end;
        }
    }

    /// The time waited until then.
    fn until(&self, at: i64) -> i64 {
        let begun = self.stretches.partition_point(|stretch| stretch.start < at);
        match begun.checked_sub(1).and_then(|last| self.stretches.get(last)) {
            Some(last) => last.before + at.min(last.end) - last.start,
            None => self.stretches.front().map_or(self.total, |first| first.before),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::runs::{Pool, Runs, records_read};
    use proptest::prelude::*;

    fn sorted<T: crate::runs::Packed>(records: impl IntoIterator<Item = T>) -> Sorted<T> {
        let mut runs = Runs::new(&Pool::new(usize::MAX, None));
        records.into_iter().for_each(|record| runs.push(record).unwrap());
        Runs::sorted([runs]).unwrap()
    }

    proptest! {
        #[test]
        fn each_nanosecond_in_a_blocking_call_counts_once(
            waits in prop::collection::vec((0u32..3, 0i64..60, 0i64..20), 0..30),
            parts in prop::collection::vec((0u32..3, 0i64..60, 1i64..30), 0..30),
        ) {
            let wait = |&(thread, start, length)| Wait { thread, start, end: start + length };
            let part = |&(thread, from, length)| Unlaunched { thread, from, to: from + length, device: 0, in_steps: false };
            let (calls, parts) = (sorted(waits.iter().map(wait)), sorted(parts.iter().map(part)));
            let mut read = Waits::new(calls.read().unwrap());
            let mut parts = parts.read().unwrap();
            while let Some(part) = parts.next().unwrap() {
                let covered = (part.from..part.to).filter(|at| {
                    waits.iter().map(wait).any(|w| w.thread == part.thread && w.start <= *at && *at < w.end)
                });
                prop_assert_eq!(read.within(&part).unwrap(), i64::try_from(covered.count()).unwrap());
            }
        }
    }

    /// Some devices, each with a pause, launched by one thread that waits as often.
    fn devices_and_waits(many: usize) -> String {
        let mut events = String::new();
        for n in 0..many {
            let (first, second) = (n * 100, n * 100 + 60);
            let _ = write!(
                events,
                r#"{{"ph":"X","cat":"kernel","name":"k","pid":{n},"tid":7,"ts":{first},"dur":10,"args":{{"device":{n},"stream":7}}}},
                {{"ph":"X","cat":"cuda_runtime","name":"cudaDeviceSynchronize","pid":1,"tid":1,"ts":{},"dur":20}},
                {{"ph":"X","cat":"cuda_runtime","name":"cudaLaunchKernel","pid":1,"tid":1,"ts":{},"dur":2,"args":{{"correlation":{n}}}}},
                {{"ph":"X","cat":"kernel","name":"k","pid":{n},"tid":7,"ts":{second},"dur":10,"args":{{"device":{n},"stream":7,"correlation":{n}}}}},"#,
                first + 15,
                first + 50,
            );
        }
        format!(r#"{{"traceEvents":[{}]}}"#, events.trim_end_matches(','))
    }

    #[test]
    fn work_grows_with_devices_and_waits_and_not_with_their_product() {
        let read = |many: usize| {
            let before = records_read();
            let source = crate::Source::memory("made", devices_and_waits(many).into_bytes());
            let summary = crate::summarize(&source, &crate::Options::default()).unwrap();
            assert_eq!(summary.devices.len(), many);
            for device in &summary.devices {
                assert_eq!(device.whole.idle_by_cause_ns, [20_000, 10_000, 20_000, 0]);
                assert_eq!(device.longest_gaps.len(), 1);
            }
            records_read() - before
        };
        let (few, many) = (read(100), read(400));
        assert!(many <= few * 5, "four times as many devices and waits took {many} records instead of {few}");
    }
}
