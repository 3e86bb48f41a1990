//! Marks the phases of a run on its timeline.

use std::time::Duration;

use vramscope_core::{
    Bytes, EngineFacts, LatencyResult, Milestone, Phase, PhaseMark, Sample, TickTotal, Timeline, Window,
};

use crate::clock::LogClock;

/// Memory within so much of the baseline has returned; drivers keep a few MiB a process for a moment.
pub const RETURNED_WITHIN: Bytes = Bytes::new(64 << 20);
/// A rise of so much over the first level is the engine's first sign on the device.
const FIRST_SIGN: u64 = 1 << 20;
/// A log's clock steps by seconds.
const LOG_STEP: Duration = Duration::from_secs(1);
/// Periodic statistics speak of the ten seconds before them (vLLM prints one each `VLLM_LOG_STATS_INTERVAL`, 10 s).
const STATS_INTERVAL: Duration = Duration::from_secs(10);

/// Instants that the host of the run wrote down itself, since the anchor. They are exact, where a log has seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HostMarks {
    pub(crate) launch: Option<Duration>,
    pub(crate) ready: Option<Duration>,
    pub(crate) work_ended: Option<Duration>,
}

/// What is known of the times of a run.
pub(crate) struct Times<'a> {
    pub(crate) timeline: &'a Timeline,
    pub(crate) facts: &'a EngineFacts,
    pub(crate) clock: Option<LogClock>,
    pub(crate) host: HostMarks,
    pub(crate) latency: Option<&'a LatencyResult>,
    /// Warm-up iterations, as the command line has them.
    pub(crate) warmup_iterations: Option<u64>,
}

/// The marks of all phases that can be told, in order of time.
pub(crate) fn marks(times: &Times<'_>) -> Vec<PhaseMark> {
    let totals: Vec<TickTotal> = times.timeline.totals(Window::ALL).collect();
    let (Some(first), Some(last)) = (totals.first(), totals.last()) else { return Vec::new() };
    let launch = times.launch(&totals);
    let ready = times.ready();
    let (warmup, measure, work_ended) = times.work(ready);
    let end = last.at + Duration::from_nanos(1);
    let settle = settle(&totals, launch);
    let shutdown = times.shutdown(work_ended, settle).or(settle).map(|at| at.min(settle.unwrap_or(end)));
    let known = [
        (Phase::Baseline, launch.filter(|at| *at > first.at).map(|_| first.at)),
        (Phase::Launch, launch),
        (Phase::Load, times.load()),
        (Phase::Ready, ready),
        (Phase::Warmup, warmup),
        (Phase::Measure, measure),
        (Phase::Shutdown, shutdown),
        (Phase::Settle, settle),
    ];
    in_order(&known, end)
}

/// Marks must not go back: a phase that would begin before the one ahead of it begins with it, and one that would
/// begin after the samples end is not marked.
fn in_order(known: &[(Phase, Option<Duration>)], end: Duration) -> Vec<PhaseMark> {
    let mut marks: Vec<PhaseMark> = Vec::new();
    for &(phase, at) in known {
        let Some(at) = at.filter(|at| *at < end) else { continue };
        let at = marks.last().map_or(at, |last| at.max(last.at));
        marks.push(PhaseMark { phase, at });
    }
    marks
}

impl Times<'_> {
    fn logged(&self, milestone: Milestone) -> Option<Duration> {
        self.clock?.at_or_start(self.facts.event(milestone)?.at?)
    }

    /// The host's own mark; else the log's first line, which an engine prints before it touches a device; else the
    /// first sign on the device.
    fn launch(&self, totals: &[TickTotal]) -> Option<Duration> {
        let logged = || self.logged(Milestone::FirstLine).filter(|_| !self.begins_midway());
        self.host.launch.or_else(logged).or_else(|| first_sign(totals))
    }

    /// Whether the log begins with a step that others have to come before: its head is missing, and the engine held memory
    /// before its first line.
    fn begins_midway(&self) -> bool {
        let line = |milestone| self.facts.event(milestone).map(|event| event.origin.line);
        let late = [
            Milestone::WeightsLoaded,
            Milestone::Profiled,
            Milestone::KvPoolSized,
            Milestone::GraphsCaptured,
            Milestone::EngineReady,
            Milestone::ServerReady,
        ];
        let first = line(Milestone::FirstLine);
        first.is_some() && late.into_iter().any(|milestone| line(milestone) == first)
    }

    fn load(&self) -> Option<Duration> {
        let loaded = || {
            let event = self.facts.event(Milestone::WeightsLoaded)?;
            Some(self.clock?.at_or_start(event.at?)?.saturating_sub(event.took?))
        };
        self.logged(Milestone::LoadBegan).or_else(loaded)
    }

    fn ready(&self) -> Option<Duration> {
        let logged = || self.logged(Milestone::ServerReady).or_else(|| self.logged(Milestone::EngineReady));
        self.host.ready.or_else(logged)
    }

    /// Warm-up and measurement, and the end of the work. A benchmark's own lines have no clock, so their lengths are
    /// laid end to end from the moment the engine was ready; a server's traffic shows in its periodic statistics.
    fn work(&self, ready: Option<Duration>) -> (Option<Duration>, Option<Duration>, Option<Duration>) {
        let Some(ready) = ready else { return (None, None, None) };
        let took = |m| self.facts.event(m).and_then(|e| e.took);
        let benchmark = self.facts.event(Milestone::MeasureBegan).is_some() || self.latency.is_some();
        if benchmark {
            let warmup = self.facts.event(Milestone::WarmupBegan).map(|_| ready);
            // A progress bar has whole seconds; iterations of warm-up take about as long as measured ones.
            let iterations = self.warmup_iterations.and_then(|n| u32::try_from(n).ok());
            let estimate = iterations.zip(self.latency.and_then(|l| l.mean)).map(|(n, mean)| mean.saturating_mul(n));
            let warmup_length = took(Milestone::WarmupBegan).max(estimate.filter(|_| warmup.is_some()));
            let sum = self.latency.map(|l| l.iterations.iter().sum::<Duration>()).filter(|sum| !sum.is_zero());
            let length = sum.or(took(Milestone::MeasureBegan));
            let end = self.host.work_ended;
            let from_end = end.zip(length).map(|(end, length)| end.saturating_sub(length).max(ready));
            let measure = from_end.unwrap_or(ready + warmup_length.unwrap_or_default());
            return (warmup, Some(measure), end.or(length.map(|length| measure + length)));
        }
        let first = self.logged(Milestone::FirstTraffic).map(|at| at.saturating_sub(STATS_INTERVAL).max(ready));
        let last = self.facts.last_event(Milestone::LastTraffic).and_then(|e| self.clock?.at(e.at?));
        (None, first, first.and(last))
    }

    /// The log's own word; else the end of the work, put off while the devices are still busy: whoever started the
    /// engine may have gone on with it.
    fn shutdown(&self, work_ended: Option<Duration>, settle: Option<Duration>) -> Option<Duration> {
        let busy = || {
            let until = Window { start: work_ended?, end: settle? };
            let busy = |s: &&Sample| until.contains(s.at) && s.reading.utilization_pct.is_some_and(|p| p > 0);
            self.timeline.samples().iter().rev().find(busy).map(|s| s.at)
        };
        // The log has whole seconds: within one, the work ends before the engine does.
        let logged = self.logged(Milestone::ShutdownBegan);
        let within = |at: Duration| work_ended.filter(|end| *end < at + LOG_STEP).map_or(at, |end| end.max(at));
        logged.map(within).or_else(|| work_ended.max(busy()))
    }
}

/// The first sample over the level from which the engine rose to the peak. Others may come before the engine and stay
/// after it: a lower level at the end than at the peak, where it is not the first one, is theirs.
fn first_sign(totals: &[TickTotal]) -> Option<Duration> {
    let (initial, last) = (totals.first()?.used, totals.last()?.used);
    let peak = totals.iter().map(|t| t.used).max()?;
    let engine_is_gone = last.get() < peak.get() / 2;
    let reference = if engine_is_gone { initial.max(last) } else { initial };
    let limit = reference.get().saturating_add(FIRST_SIGN);
    let top = totals.iter().position(|t| t.used == peak)?;
    let below = totals[..top].iter().rposition(|t| t.used.get() < limit)?;
    Some(totals[below + 1].at)
}

/// When memory was back at what it was before the engine, and stayed there.
fn settle(totals: &[TickTotal], launch: Option<Duration>) -> Option<Duration> {
    let before = totals.iter().take_while(|t| launch.is_some_and(|at| t.at < at)).last();
    let limit = before.map_or(Bytes::ZERO, |t| t.used).checked_add(RETURNED_WITHIN)?;
    let back = totals.iter().rev().take_while(|t| t.used <= limit).last()?;
    let was_away = totals.iter().any(|t| t.at < back.at && t.used > limit);
    was_away.then_some(back.at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(gib: &[u64]) -> Vec<TickTotal> {
        let at = |i: usize| Duration::from_secs(u64::try_from(i).unwrap());
        gib.iter().enumerate().map(|(i, g)| TickTotal { at: at(i), used: Bytes::new(g << 30) }).collect()
    }

    #[test]
    fn the_first_sign_is_a_rise_and_the_return_must_last() {
        let run = totals(&[0, 0, 0, 1, 15, 14, 130, 131, 0, 0]);
        assert_eq!(first_sign(&run), Some(Duration::from_secs(3)));
        assert_eq!(settle(&run, Some(Duration::from_secs(3))), Some(Duration::from_secs(8)));
        assert_eq!(settle(&totals(&[0, 1, 15, 130, 130]), Some(Duration::from_secs(1))), None);
        assert_eq!(first_sign(&totals(&[5, 5, 5])), None);
        assert_eq!(first_sign(&totals(&[0, 20, 20, 21, 90, 20])), Some(Duration::from_secs(3)), "20 are a neighbour's");
    }

    #[test]
    fn a_log_whose_head_is_missing_does_not_say_when_the_engine_came() {
        use vramscope_core::{Event, Origin};
        let begins = |milestone, line| {
            let mut facts = EngineFacts::default();
            for (milestone, line) in [(Milestone::FirstLine, 1), (milestone, line)] {
                let origin = Origin { line, worker: None };
                facts.events.push(Event { milestone, at: None, at_is_own: false, took: None, origin });
            }
            let timeline = Timeline::new(None);
            let host = HostMarks::default();
            let times =
                Times { timeline: &timeline, facts: &facts, clock: None, host, latency: None, warmup_iterations: None };
            times.begins_midway()
        };
        assert!(begins(Milestone::WeightsLoaded, 1) && begins(Milestone::KvPoolSized, 1));
        assert!(!begins(Milestone::WeightsLoaded, 9) && !begins(Milestone::LoadBegan, 1));
    }

    #[test]
    fn a_neighbour_is_in_the_baseline() {
        let run = totals(&[20, 20, 21, 90, 20, 20]);
        assert_eq!(settle(&run, Some(Duration::from_secs(2))), Some(Duration::from_secs(4)));
    }

    #[test]
    fn marks_do_not_go_back_and_end_with_the_samples() {
        let s = |n| Some(Duration::from_secs(n));
        let marks =
            in_order(&[(Phase::Launch, s(5)), (Phase::Load, s(3)), (Phase::Ready, s(99))], Duration::from_secs(50));
        let expected: Vec<PhaseMark> =
            [Phase::Launch, Phase::Load].map(|phase| PhaseMark { phase, at: Duration::from_secs(5) }).into();
        assert_eq!(marks, expected);
    }
}
