//! The sampler: threads that own the sources, and recordings that borrow it one at a time.

use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use vramscope_core::{Device, DeviceIndex};
use vramscope_gpu::{GpuBackend, whole_devices};

use crate::lane::{self, Lane, LaneState, Session, Speed};
use crate::recording::Recording;
use vramscope_timeline::AnalysisOptions;
use vramscope_timeline::Sink;
use vramscope_timeline::document;

/// The shortest period that is allowed.
pub const SHORTEST_PERIOD: Duration = Duration::from_millis(5);
/// As much of the past is at hand for live views.
pub(crate) const HISTORY: Duration = Duration::from_secs(60);
/// Samples in the ring, at most: a minute of eight devices at 5 ms.
pub(crate) const MAX_RING: usize = 100_000;

/// How to sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SamplerConfig {
    /// The time between two ticks.
    pub period: Duration,
    /// The time between two slow readings (energy, processes, links); `None` for none.
    pub slow_period: Option<Duration>,
    /// What recordings keep in memory.
    pub keep: Keep,
    /// The statistics to keep of each recording while it is made; `None` for none.
    pub summary: Option<AnalysisOptions>,
}

impl Default for SamplerConfig {
    fn default() -> Self {
        let slow_period = Some(Duration::from_secs(1));
        Self { period: Duration::from_millis(100), slow_period, keep: Keep::All, summary: None }
    }
}

/// What a recording keeps in memory for its timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Every sample. For runs of minutes to hours.
    All,
    /// The samples of the last so long. Memory does not grow.
    Last(Duration),
    /// No sample; statistics and files alone.
    Nothing,
}

/// A source with the devices of it that are sampled.
pub struct Source {
    /// The source.
    pub backend: Box<dyn GpuBackend>,
    /// Its devices; none means all whole ones.
    pub devices: Vec<DeviceIndex>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("backend", &self.backend.name()).field("devices", &self.devices).finish()
    }
}

impl From<Box<dyn GpuBackend>> for Source {
    fn from(backend: Box<dyn GpuBackend>) -> Self {
        Self { backend, devices: Vec::new() }
    }
}

/// A sampler that cannot be started, or a recording that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SamplerError {
    /// The period is shorter than any source stands.
    #[error("sample every {asked:?}: the shortest period is {shortest:?}{}", of(.backend))]
    TooFast {
        /// What was asked for.
        asked: Duration,
        /// What is allowed.
        shortest: Duration,
        /// The source that sets the limit, if one does.
        backend: Option<&'static str>,
    },
    /// There is nothing to sample.
    #[error("sample devices: none was given")]
    NoDevice,
    /// A source has no device of that index, or two sources have the same.
    #[error("sample device {device}: {what}")]
    Device {
        /// Which device.
        device: DeviceIndex,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The system starts no thread.
    #[error("start a sampling thread")]
    Thread(#[source] std::io::Error),
    /// A driver call of an earlier recording has not come back.
    #[error("begin a recording: a call into {backend} from the recording before has not come back")]
    Stalled {
        /// The source.
        backend: &'static str,
    },
    /// The recording could not be written to its end. What was written is kept, and so is the rest in memory.
    #[error("write the recording: it is kept up to the failure")]
    Write {
        /// What the system said.
        source: std::io::Error,
        /// The recording.
        finished: Box<crate::Finished>,
    },
    /// The collecting thread ended early.
    #[error("finish the recording: its collecting thread is gone")]
    Gone,
}

fn of(backend: &Option<&'static str>) -> String {
    backend.map(|name| format!(" for {name}")).unwrap_or_default()
}

/// A thread that waits for recordings.
struct Thread {
    lane: usize,
    speed: Speed,
    backend: &'static str,
    sessions: mpsc::Sender<Session>,
    state: Arc<LaneState>,
}

/// Owns the sources, each on its own thread, and makes recordings of them one at a time. Between recordings nothing is
/// read.
///
/// ```
/// use std::time::Duration;
/// use vramscope_gpu::FakeGpu;
/// use vramscope_sampler::{Sampler, SamplerConfig};
///
/// let config = SamplerConfig { period: Duration::from_millis(5), ..SamplerConfig::default() };
/// let mut sampler = Sampler::spawn(Box::new(FakeGpu::steady(2)), config).unwrap();
/// let recording = sampler.record().unwrap();
/// std::thread::sleep(Duration::from_millis(30));
/// let finished = recording.finish().unwrap();
/// assert!(finished.timeline.samples().len() >= 4);
/// ```
pub struct Sampler {
    threads: Vec<Thread>,
    devices: Vec<Device>,
    lanes: Vec<Vec<Device>>,
    backends: Vec<document::Backend>,
    /// Whether a source is read slowly between its fast ticks, by lane.
    slow_between: Vec<bool>,
    config: SamplerConfig,
}

impl std::fmt::Debug for Sampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sampler").field("devices", &self.devices).field("config", &self.config).finish_non_exhaustive()
    }
}

impl Sampler {
    /// Starts a sampler of one source's whole devices.
    ///
    /// # Errors
    /// [`SamplerError`] if the period is too short or a thread cannot be started.
    pub fn spawn(gpu: Box<dyn GpuBackend>, config: SamplerConfig) -> Result<Self, SamplerError> {
        Self::spawn_all(vec![Source::from(gpu)], config)
    }

    /// Starts a sampler of several sources, each on its own thread. Their devices must have different indices (see
    /// [`vramscope_gpu::Renumbered`]).
    ///
    /// # Errors
    /// [`SamplerError`] if the period is too short, devices clash or are absent, or a thread cannot be started.
    pub fn spawn_all(sources: Vec<Source>, config: SamplerConfig) -> Result<Self, SamplerError> {
        let plan = Plan::of(sources, &config)?;
        let mut threads = Vec::new();
        for lane in plan.threads {
            threads.push(start(lane)?);
        }
        Ok(Self {
            threads,
            devices: plan.devices,
            lanes: plan.lanes,
            backends: plan.backends,
            slow_between: plan.slow_between,
            config,
        })
    }

    /// The devices that are sampled, by index.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// Where the readings come from.
    pub fn backends(&self) -> &[document::Backend] {
        &self.backends
    }

    /// Begins a recording in memory.
    ///
    /// # Errors
    /// [`SamplerError::Stalled`] if a driver call of an earlier recording hangs, [`SamplerError::Thread`].
    pub fn record(&mut self) -> Result<Recording<'_>, SamplerError> {
        self.begin(None)
    }

    /// Begins a recording that is also written to a destination as it is made.
    ///
    /// # Errors
    /// [`SamplerError::Stalled`] if a driver call of an earlier recording hangs, [`SamplerError::Thread`].
    pub fn record_to(&mut self, sink: Box<dyn Sink>) -> Result<Recording<'_>, SamplerError> {
        self.begin(Some(sink))
    }

    fn begin(&mut self, sink: Option<Box<dyn Sink>>) -> Result<Recording<'_>, SamplerError> {
        if let Some(thread) = self.threads.iter().find(|thread| thread.state.running.load(Ordering::Acquire)) {
            return Err(SamplerError::Stalled { backend: thread.backend });
        }
        let parts = crate::recording::Parts {
            config: &self.config,
            devices: &self.devices,
            lanes: &self.lanes,
            backends: &self.backends,
            states: self.threads.iter().map(|t| (t.lane, t.speed, Arc::clone(&t.state))).collect(),
        };
        let (recording, session) = crate::recording::begin(parts, sink)?;
        for thread in &self.threads {
            let (period, slow_between) = match (thread.speed, self.config.slow_period) {
                (Speed::Fast, slow) => (self.config.period, slow.filter(|_| self.slow_between[thread.lane])),
                (Speed::Slow, Some(slow)) => (slow, None),
                (Speed::Slow, None) => continue,
            };
            thread.state.running.store(true, Ordering::Release);
            let session = Session { period, slow_between, ..session.clone() };
            if thread.sessions.send(session).is_err() {
                return Err(SamplerError::Gone);
            }
        }
        Ok(recording)
    }
}

fn start(lane: Lane) -> Result<Thread, SamplerError> {
    let (sessions, inbox) = mpsc::channel();
    let state = Arc::new(LaneState::default());
    let (number, speed, backend) = (lane.number, lane.speed, lane.backend_name());
    let shown = Arc::clone(&state);
    let what = if speed == Speed::Fast { "fast" } else { "slow" };
    // Linux shows 15 characters of a thread's name.
    std::thread::Builder::new()
        .name(format!("vs-{what}-{number}"))
        .spawn(move || lane::run(lane, &inbox, &shown))
        .map_err(SamplerError::Thread)?;
    Ok(Thread { lane: number, speed, backend, sessions, state })
}

/// Sources made into lanes, checked.
pub(crate) struct Plan {
    pub(crate) threads: Vec<Lane>,
    pub(crate) devices: Vec<Device>,
    pub(crate) lanes: Vec<Vec<Device>>,
    pub(crate) backends: Vec<document::Backend>,
    pub(crate) slow_between: Vec<bool>,
}

impl Plan {
    pub(crate) fn of(sources: Vec<Source>, config: &SamplerConfig) -> Result<Self, SamplerError> {
        if config.period < SHORTEST_PERIOD {
            let (asked, shortest) = (config.period, SHORTEST_PERIOD);
            return Err(SamplerError::TooFast { asked, shortest, backend: None });
        }
        let mut plan = Self { threads: vec![], devices: vec![], lanes: vec![], backends: vec![], slow_between: vec![] };
        for (number, mut source) in sources.into_iter().enumerate() {
            let (name, info) = (source.backend.name(), source.backend.info());
            if let Some(shortest) = info.shortest_period.filter(|&shortest| config.period < shortest) {
                return Err(SamplerError::TooFast { asked: config.period, shortest, backend: Some(name) });
            }
            let chosen = chosen(&source)?;
            if let Some(device) = chosen.iter().find(|new| plan.devices.iter().any(|d| d.index == new.index)) {
                let what = "two sources have a device of that index";
                return Err(SamplerError::Device { device: device.index, what });
            }
            let indices: Vec<DeviceIndex> = chosen.iter().map(|device| device.index).collect();
            let slow = config.slow_period.and_then(|_| source.backend.slow_handle());
            plan.slow_between.push(slow.is_none());
            plan.backends.push(document::Backend::of(name, &info));
            plan.threads.push(Lane::new(number, Speed::Fast, source.backend, indices.clone()));
            plan.threads.extend(slow.map(|handle| Lane::new(number, Speed::Slow, handle, indices)));
            plan.devices.extend(chosen.iter().cloned());
            plan.lanes.push(chosen);
        }
        if plan.devices.is_empty() {
            return Err(SamplerError::NoDevice);
        }
        plan.devices.sort_by_key(|device| device.index);
        Ok(plan)
    }
}

fn chosen(source: &Source) -> Result<Vec<Device>, SamplerError> {
    let all = source.backend.devices();
    let wanted = if source.devices.is_empty() { whole_devices(all) } else { source.devices.clone() };
    let find = |index: &DeviceIndex| {
        let missing = SamplerError::Device { device: *index, what: "the source has no such device" };
        all.iter().find(|device| device.index == *index).cloned().ok_or(missing)
    };
    wanted.iter().map(find).collect()
}
