//! The threads that read devices: one for fast readings and one for slow ones, for each source.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};
use std::time::Duration;

use vramscope_core::{DeviceIndex, PhaseMark, Reading, SlowReading};
use vramscope_gpu::{CallCost, GpuBackend, GpuError, GpuErrorKind};

use crate::clock::{Clock, Stop, nanoseconds, thread_cpu};
use crate::schedule::{Due, Schedule, is_rare};

/// What the reading threads tell the collecting one.
#[derive(Debug)]
pub(crate) enum Message {
    Tick(TickReport),
    Slow(SlowReport),
    Calls {
        lane: usize,
        speed: Speed,
        costs: Vec<CallCost>,
    },
    Mark(PhaseMark),
    /// A thread has ended its part of the recording.
    Done {
        lane: usize,
        speed: Speed,
    },
}

/// One tick of one source.
#[derive(Debug)]
pub(crate) struct TickReport {
    pub(crate) lane: usize,
    pub(crate) due: Due,
    pub(crate) begin: Duration,
    pub(crate) end: Duration,
    /// Ticks before this one that were taken and could not be handed over.
    pub(crate) dropped: u64,
    pub(crate) rows: Vec<Row>,
}

/// One device at one tick.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) device: DeviceIndex,
    /// The middle of the reading.
    pub(crate) at: Duration,
    pub(crate) result: Result<Reading, GpuError>,
}

/// A part of a slow reading. One that fails does not cost the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Usual,
    Rare,
}

/// The parts that were asked for, with what came of each.
pub(crate) type Parts = Vec<(Part, Result<(), GpuError>)>;

/// One device's slow reading.
#[derive(Debug)]
pub(crate) struct SlowReport {
    pub(crate) device: DeviceIndex,
    pub(crate) at: Duration,
    /// `None` if no part was read.
    pub(crate) reading: Option<SlowReading>,
    pub(crate) parts: Parts,
}

/// Which of a source's two threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speed {
    Fast,
    Slow,
}

/// What a reading thread shows to others while it runs.
#[derive(Debug, Default)]
pub(crate) struct LaneState {
    /// Whether it is in a recording.
    pub(crate) running: AtomicBool,
    /// Processor time since the recording began, in nanoseconds.
    pub(crate) cpu_ns: AtomicU64,
    /// Since when it is in the driver, in nanoseconds after the anchor, plus one; 0 when it is not.
    busy_since: AtomicU64,
}

impl LaneState {
    /// Since when the thread is in the driver, if it is.
    pub(crate) fn busy_since(&self) -> Option<Duration> {
        self.busy_since.load(Ordering::Acquire).checked_sub(1).map(Duration::from_nanos)
    }

    fn enter(&self, now: Duration) {
        self.busy_since.store(nanoseconds(now).saturating_add(1), Ordering::Release);
    }

    fn leave(&self) {
        self.busy_since.store(0, Ordering::Release);
    }
}

/// One recording, as a reading thread sees it.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stop: Arc<Stop>,
    pub(crate) period: Duration,
    /// How often slow figures are read between the fast ones, for a source without a second handle.
    pub(crate) slow_between: Option<Duration>,
    pub(crate) out: SyncSender<Message>,
}

/// A source with its devices, read at one speed.
pub(crate) struct Lane {
    pub(crate) number: usize,
    pub(crate) speed: Speed,
    backend: Box<dyn GpuBackend>,
    devices: Vec<DeviceIndex>,
    /// The answer that a lost device gave last; it is not asked again.
    lost: Vec<Option<GpuError>>,
    /// A source without a second handle is read slowly between its fast ticks.
    slow_between: Option<Schedule>,
    slow_ticks: u64,
    dropped: u64,
}

impl Lane {
    pub(crate) fn new(number: usize, speed: Speed, backend: Box<dyn GpuBackend>, devices: Vec<DeviceIndex>) -> Self {
        let lost = vec![None; devices.len()];
        Self { number, speed, backend, devices, lost, slow_between: None, slow_ticks: 0, dropped: 0 }
    }

    pub(crate) fn backend_name(&self) -> &'static str {
        self.backend.name()
    }

    /// Begins a recording.
    pub(crate) fn begin(&mut self, slow_between: Option<Duration>) {
        self.lost.fill(None);
        self.dropped = 0;
        self.slow_ticks = 0;
        self.slow_between = slow_between.map(Schedule::new);
        self.backend.reset_call_costs();
    }

    /// Reads all devices once.
    pub(crate) fn tick(&mut self, due: Due, clock: &dyn Clock, state: &LaneState) -> TickReport {
        let begin = clock.now();
        let mut rows = Vec::with_capacity(self.devices.len());
        for (place, &device) in self.devices.iter().enumerate() {
            let before = clock.now();
            let result = match &self.lost[place] {
                Some(lost) => Err(lost.clone()),
                None => {
                    state.enter(before);
                    let answer = self.backend.read(device);
                    state.leave();
                    answer
                }
            };
            let after = clock.now();
            if let Err(error) = &result
                && error.kind() == GpuErrorKind::Lost
            {
                self.lost[place] = Some(error.clone());
            }
            rows.push(Row { device, at: middle(before, after), result });
        }
        let dropped = std::mem::take(&mut self.dropped);
        TickReport { lane: self.number, due, begin, end: clock.now(), dropped, rows }
    }

    /// Reads all devices' slow figures once, and the rare ones when it is their turn.
    pub(crate) fn slow_tick(&mut self, clock: &dyn Clock, state: &LaneState, tell: impl FnMut(SlowReport)) {
        let tick = self.slow_ticks;
        self.slow_ticks += 1;
        self.read_slowly(|place| is_rare(tick, place), clock, state, tell);
    }

    /// Reads all devices' slow and rare figures once more at the end, so that counters cover the whole recording. A
    /// thread that has read nothing slow has nothing to end.
    pub(crate) fn last_slow_tick(&mut self, clock: &dyn Clock, state: &LaneState, tell: impl FnMut(SlowReport)) {
        if self.slow_ticks > 0 {
            self.read_slowly(|_| true, clock, state, tell);
        }
    }

    fn read_slowly(
        &mut self,
        rare: impl Fn(usize) -> bool,
        clock: &dyn Clock,
        state: &LaneState,
        mut tell: impl FnMut(SlowReport),
    ) {
        for (place, &device) in self.devices.iter().enumerate() {
            if self.lost[place].is_some() {
                continue;
            }
            let before = clock.now();
            state.enter(before);
            let (reading, parts) = read_parts(self.backend.as_mut(), device, rare(place));
            state.leave();
            self.lost[place] = parts.iter().find_map(|(_, outcome)| lost(outcome)).cloned();
            tell(SlowReport { device, at: middle(before, clock.now()), reading, parts });
        }
    }

    /// Whether slow readings are due on this thread, which they are only for a source without a second handle.
    pub(crate) fn slow_is_due(&mut self, now: Duration) -> bool {
        let Some(schedule) = &mut self.slow_between else { return false };
        let due = now >= schedule.deadline();
        if due {
            schedule.take(now);
        }
        due
    }

    /// What the driver calls of this thread have cost.
    pub(crate) fn calls(&self) -> Message {
        Message::Calls { lane: self.number, speed: self.speed, costs: self.backend.call_costs() }
    }
}

/// Reads the usual part and, if wanted, the rare one.
fn read_parts(backend: &mut dyn GpuBackend, device: DeviceIndex, rare: bool) -> (Option<SlowReading>, Parts) {
    let (mut reading, usual) = match backend.read_slow(device) {
        Ok(reading) => (Some(reading), Ok(())),
        Err(error) => (None, Err(error)),
    };
    let gone = lost(&usual).is_some();
    let mut parts = vec![(Part::Usual, usual)];
    if rare && !gone {
        let mut with_rare = reading.clone().unwrap_or_default();
        let outcome = backend.read_rare(device, &mut with_rare);
        // A backend without rare figures has read nothing; one that failed has added what it read before.
        if with_rare != SlowReading::default() {
            reading = Some(with_rare);
        }
        parts.push((Part::Rare, outcome));
    }
    (reading, parts)
}

fn lost(outcome: &Result<(), GpuError>) -> Option<&GpuError> {
    outcome.as_ref().err().filter(|error| error.kind() == GpuErrorKind::Lost)
}

fn middle(before: Duration, after: Duration) -> Duration {
    before + after.saturating_sub(before) / 2
}

/// How often a thread states what its driver calls cost.
const CALLS_EVERY: Duration = Duration::from_secs(5);

/// A reading thread: waits for recordings and takes its part in each.
pub(crate) fn run(mut lane: Lane, sessions: &Receiver<Session>, state: &LaneState) {
    while let Ok(session) = sessions.recv() {
        lane.begin(session.slow_between);
        record(&mut lane, &session, state);
        state.running.store(false, Ordering::Release);
        // The collector may have given up on this thread; then nobody listens.
        let _ = session.out.send(Message::Done { lane: lane.number, speed: lane.speed });
    }
}

fn record(lane: &mut Lane, session: &Session, state: &LaneState) {
    let Session { clock, stop, period, out, .. } = session;
    let clock = clock.as_ref();
    let cpu_before = thread_cpu();
    let mut schedule = Schedule::new(*period);
    let mut next_calls = CALLS_EVERY;
    while !stop.is_set() {
        clock.wait_until(schedule.deadline(), stop);
        if stop.is_set() {
            break;
        }
        let due = schedule.take(clock.now());
        match lane.speed {
            Speed::Fast => {
                let report = lane.tick(due, clock, state);
                let report_dropped = report.dropped;
                // Never wait for the collector: a tick that it has no room for is counted and left out.
                if let Err(TrySendError::Full(_)) = out.try_send(Message::Tick(report)) {
                    lane.dropped = report_dropped + 1;
                }
                if lane.slow_is_due(clock.now()) {
                    slow(lane, clock, state, out);
                }
            }
            Speed::Slow => slow(lane, clock, state, out),
        }
        if clock.now() >= next_calls {
            next_calls = clock.now() + CALLS_EVERY;
            let _ = out.try_send(lane.calls());
        }
        if let (Some(before), Some(now)) = (cpu_before, thread_cpu()) {
            state.cpu_ns.store(nanoseconds(now.saturating_sub(before)), Ordering::Release);
        }
    }
    lane.last_slow_tick(clock, state, |report| {
        let _ = out.try_send(Message::Slow(report));
    });
    let _ = out.try_send(lane.calls());
}

/// A slow reading that the collector has no room for is left out: the next one states the counters anew.
fn slow(lane: &mut Lane, clock: &dyn Clock, state: &LaneState, out: &SyncSender<Message>) {
    lane.slow_tick(clock, state, |report| {
        let _ = out.try_send(Message::Slow(report));
    });
}
