//! A recording under way.

use std::marker::PhantomData;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use vramscope_core::{Device, Phase, PhaseMark};

use crate::clock::{Clock, Stop, SystemClock};
use crate::collector::{Collector, Finished, Setup};
use crate::lane::{LaneState, Message, Session, Speed};
use crate::live::Live;
use crate::sampler::{Sampler, SamplerConfig, SamplerError};
use crate::stream::{Listeners, SampleStream};
use vramscope_timeline::Sink;
use vramscope_timeline::document::{self, Ending, Header};

/// Messages that wait for the collector, at most: at 5 ms that is five seconds in which a disk may hang.
const ROOM: usize = 1024;
/// A driver call that has not come back this long after the end is given up.
const PATIENCE: Duration = Duration::from_secs(2);
/// The collector looks at its clock at least this often.
const LOOK: Duration = Duration::from_millis(100);

/// A recording under way. It borrows its sampler, so that there is one at a time; dropping it ends it.
pub struct Recording<'s> {
    stop: Arc<Stop>,
    clock: Arc<dyn Clock>,
    control: SyncSender<Message>,
    live: Arc<Mutex<Live>>,
    listeners: Listeners,
    ending: Arc<Mutex<Ending>>,
    collector: Option<JoinHandle<Outcome>>,
    _sampler: PhantomData<&'s mut Sampler>,
}

type Outcome = (Finished, Option<std::io::Error>);

impl std::fmt::Debug for Recording<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recording").field("elapsed", &self.clock.now()).finish_non_exhaustive()
    }
}

/// What a recording is made of.
pub(crate) struct Parts<'p> {
    pub(crate) config: &'p SamplerConfig,
    pub(crate) devices: &'p [Device],
    pub(crate) lanes: &'p [Vec<Device>],
    pub(crate) backends: &'p [document::Backend],
    pub(crate) states: Vec<(usize, Speed, Arc<LaneState>)>,
}

/// The first line of a recording.
pub(crate) fn header(
    config: &SamplerConfig,
    devices: &[Device],
    backends: &[document::Backend],
    unix_ns: i64,
) -> Header {
    Header {
        generator: Some(concat!("vramscope ", env!("CARGO_PKG_VERSION")).into()),
        period_ms: Some(config.period.as_secs_f64() * 1e3),
        slow_period_ms: config.slow_period.map(|period| period.as_secs_f64() * 1e3),
        backends: backends.to_vec(),
        ..Header::of(Some(unix_ns), devices)
    }
}

/// Starts the collecting thread; the session is for the reading ones.
pub(crate) fn begin(
    parts: Parts<'_>,
    sink: Option<Box<dyn Sink>>,
) -> Result<(Recording<'static>, Session), SamplerError> {
    let (clock, unix_ns) = SystemClock::start();
    let clock: Arc<dyn Clock> = Arc::new(clock);
    let (out, inbox) = mpsc::sync_channel(ROOM);
    let stop = Arc::new(Stop::default());
    let live = Arc::new(Mutex::new(Live::new(parts.devices)));
    let listeners = Listeners::default();
    let ending = Arc::new(Mutex::new(Ending::Finished));
    // A slow thread takes part only when there are slow readings.
    let slow_too = parts.config.slow_period.is_some();
    let states: Vec<_> = parts.states.into_iter().filter(|(_, speed, _)| slow_too || *speed == Speed::Fast).collect();
    let setup = Setup {
        clock: Arc::clone(&clock),
        header: header(parts.config, parts.devices, parts.backends, unix_ns),
        devices: parts.devices.to_vec(),
        lanes: parts.lanes.to_vec(),
        states,
        period: parts.config.period,
        keep: parts.config.keep,
        summary: parts.config.summary,
        sink,
        live: Arc::clone(&live),
        listeners: listeners.clone(),
    };
    let (ended, how) = (Arc::clone(&stop), Arc::clone(&ending));
    let collector = std::thread::Builder::new()
        .name("vs-collect".into())
        .spawn(move || collect(setup, &inbox, &ended, &how))
        .map_err(SamplerError::Thread)?;
    let session = Session {
        clock: Arc::clone(&clock),
        stop: Arc::clone(&stop),
        period: parts.config.period,
        slow_between: None,
        out: out.clone(),
    };
    let recording = Recording {
        stop,
        clock,
        control: out,
        live,
        listeners,
        ending,
        collector: Some(collector),
        _sampler: PhantomData,
    };
    Ok((recording, session))
}

/// The collecting thread: takes in messages until every reading thread is done, or has had its time to be.
fn collect(setup: Setup, inbox: &Receiver<Message>, stop: &Stop, ending: &Mutex<Ending>) -> Outcome {
    let mut open: Vec<(usize, Speed)> = setup.states.iter().map(|(lane, speed, _)| (*lane, *speed)).collect();
    let mut collector = Collector::new(setup);
    let mut stopped: Option<Instant> = None;
    while !open.is_empty() {
        match inbox.recv_timeout(LOOK) {
            Ok(Message::Done { lane, speed }) => open.retain(|thread| *thread != (lane, speed)),
            Ok(message) => collector.accept(message),
            Err(RecvTimeoutError::Timeout) => collector.keep_time(),
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if stop.is_set() && stopped.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
            break;
        }
    }
    let unfinished: Vec<usize> =
        open.iter().filter(|(_, speed)| *speed == Speed::Fast).map(|(lane, _)| *lane).collect();
    let ending = *ending.lock().unwrap_or_else(PoisonError::into_inner);
    collector.finish(ending, &unfinished)
}

impl Recording<'_> {
    /// Marks the beginning of a phase, now.
    ///
    /// # Errors
    /// [`SamplerError::Gone`] if the recording has ended by itself.
    pub fn mark(&self, phase: Phase) -> Result<(), SamplerError> {
        let mark = PhaseMark { phase, at: self.clock.now() };
        self.control.send(Message::Mark(mark)).map_err(|_| SamplerError::Gone)
    }

    /// How long it has been going on.
    pub fn elapsed(&self) -> Duration {
        self.clock.now()
    }

    /// Looks at its state. The recording waits meanwhile, so be quick.
    pub fn live<T>(&self, look: impl FnOnce(&Live) -> T) -> T {
        look(&self.live.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A handle to its state for other threads; it stays good after the end.
    pub fn live_handle(&self) -> Arc<Mutex<Live>> {
        Arc::clone(&self.live)
    }

    /// Its samples from now on, for a tokio program; `room` samples may wait.
    pub fn stream(&self, room: usize) -> SampleStream {
        self.listeners.add(room)
    }

    /// Ends it.
    ///
    /// # Errors
    /// [`SamplerError::Write`] if it could not be written to its end; the error holds what was recorded.
    pub fn finish(self) -> Result<Finished, SamplerError> {
        self.finish_as(Ending::Finished)
    }

    /// Ends it for this reason. A driver call that hangs is given up after two seconds and becomes a gap.
    ///
    /// # Errors
    /// [`SamplerError::Write`] if it could not be written to its end; the error holds what was recorded.
    pub fn finish_as(mut self, ending: Ending) -> Result<Finished, SamplerError> {
        *self.ending.lock().unwrap_or_else(PoisonError::into_inner) = ending;
        self.stop.set();
        let collector = self.collector.take().ok_or(SamplerError::Gone)?;
        let (finished, failure) = collector.join().map_err(|_| SamplerError::Gone)?;
        match failure {
            None => Ok(finished),
            Some(source) => Err(SamplerError::Write { source, finished: Box::new(finished) }),
        }
    }
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        *self.ending.lock().unwrap_or_else(PoisonError::into_inner) = Ending::Interrupted;
        self.stop.set();
        if let Some(collector) = self.collector.take() {
            // What was recorded is in the destination; there is nobody to hand it to.
            let _ = collector.join();
        }
    }
}
