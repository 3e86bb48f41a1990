//! What a GPU did, in even steps of time.
//!
//! How long a trace is shows only at its end. So a step begins short and doubles whenever the steps grow too many; steps
//! begin at multiples of their length, so that those of several devices can be put on one scale.

use crate::Cause;

/// Steps of one device at most: a picture has some hundred columns, and a document is to stay small.
pub(crate) const MAX_STEPS: usize = 600;

/// Time in one step, in nanoseconds: of unions, and idle by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LaneStep {
    pub all: i64,
    pub kernels: i64,
    pub compute: i64,
    pub idle: [i64; Cause::COUNT],
}

/// One device's steps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lane {
    /// A step is 2 to the power of this, in nanoseconds.
    shift: u32,
    /// The place of the first step, counted from time zero.
    first: i64,
    steps: Vec<LaneStep>,
}

impl Lane {
    /// Adds a stretch that begins no earlier than the first one.
    pub(super) fn add(&mut self, from: i64, to: i64, part: impl Fn(&mut LaneStep) -> &mut i64) {
        if from >= to {
            return;
        }
        self.reach(from, to);
        self.split(from, to, |step, at, end| *part(step) += end - at);
    }

    /// Goes through the steps that a stretch touches, with its beginning and end in each.
    pub(super) fn split(&mut self, from: i64, to: i64, mut each: impl FnMut(&mut LaneStep, i64, i64)) {
        let mask = (1_i64 << self.shift) - 1;
        let mut at = from;
        while at < to {
            let end = (at | mask).saturating_add(1).min(to);
            let place = usize::try_from((at >> self.shift) - self.first).ok();
            if let Some(step) = place.and_then(|place| self.steps.get_mut(place)) {
                each(step, at, end);
            }
            at = end;
        }
    }

    fn reach(&mut self, from: i64, to: i64) {
        if self.steps.is_empty() {
            self.first = from >> self.shift;
        }
        loop {
            let last = ((to - 1) >> self.shift).saturating_sub(self.first);
            match usize::try_from(last) {
                Ok(last) if last < MAX_STEPS => {
                    if self.steps.len() <= last {
                        self.steps.resize(last + 1, LaneStep::default());
                    }
                    return;
                }
                _ if self.shift < 62 => self.widen(),
                _ => return,
            }
        }
    }

    /// Doubles the length of a step.
    fn widen(&mut self) {
        let odd = usize::from(self.first & 1 == 1);
        let mut wide = vec![LaneStep::default(); (self.steps.len() + odd).div_ceil(2)];
        for (place, step) in self.steps.iter().enumerate() {
            let sum = &mut wide[(place + odd) / 2];
            sum.all += step.all;
            sum.kernels += step.kernels;
            sum.compute += step.compute;
            sum.idle.iter_mut().zip(step.idle).for_each(|(sum, part)| *sum += part);
        }
        self.first >>= 1;
        self.shift += 1;
        self.steps = wide;
    }

    /// Puts all devices on the scale of the coarsest one.
    pub(super) fn align<'a>(lanes: impl Iterator<Item = &'a mut Self>) {
        let mut lanes: Vec<&mut Self> = lanes.collect();
        let shift = lanes.iter().map(|lane| lane.shift).max().unwrap_or(0);
        for lane in &mut lanes {
            while lane.shift < shift {
                lane.widen();
            }
        }
    }

    /// The length of a step.
    pub(crate) fn step_ns(&self) -> i64 {
        1 << self.shift
    }

    /// When the first step begins.
    pub(crate) fn start_ns(&self) -> i64 {
        self.first.saturating_mul(self.step_ns())
    }

    pub(crate) fn steps(&self) -> &[LaneStep] {
        &self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_nanosecond_is_in_its_step(
            origin in -1_000_000_i64..1_000_000,
            lengths in prop::collection::vec((0_i64..5000, 1_i64..100_000), 1..40),
        ) {
            let mut lane = Lane::default();
            let (mut at, mut stretches) = (origin, Vec::new());
            for (pause, length) in lengths {
                at += pause;
                lane.add(at, at + length, |step| &mut step.all);
                stretches.push((at, at + length));
                at += length;
            }
            prop_assert!(lane.steps().len() <= MAX_STEPS && lane.start_ns() <= stretches[0].0);
            let mut from = lane.start_ns();
            for step in lane.steps() {
                let to = from + lane.step_ns();
                let within = stretches.iter().map(|s| (s.1.min(to) - s.0.max(from)).max(0)).sum::<i64>();
                prop_assert_eq!(step.all, within);
                from = to;
            }
            prop_assert!(from >= at);
        }
    }
}
