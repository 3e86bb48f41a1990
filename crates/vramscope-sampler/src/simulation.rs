//! The same engine on a simulated clock, in one thread, as fast as it goes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use vramscope_gpu::Pause;

use crate::clock::{Clock as _, SimulatedClock};
use crate::collector::{Collector, Finished, Setup};
use crate::lane::{LaneState, Message, Speed};
use crate::live::Live;
use crate::sampler::{Plan, SamplerConfig, SamplerError, Source};
use crate::schedule::Schedule;
use crate::stream::Listeners;
use vramscope_timeline::Sink;
use vramscope_timeline::document::Ending;

/// Runs the engine without waiting: for tests, and to make a recording of a replayed one.
///
/// ```
/// use std::time::Duration;
/// use vramscope_gpu::{FakeGpu, GpuBackend};
/// use vramscope_sampler::{SamplerConfig, Simulation};
///
/// let gpu: Box<dyn GpuBackend> = Box::new(FakeGpu::steady(1));
/// let minute = Duration::from_secs(60);
/// let finished = Simulation::new().run(vec![gpu.into()], &SamplerConfig::default(), minute, None).unwrap();
/// assert_eq!((finished.end.ticks, finished.end.missed), (600, 0));
/// ```
#[derive(Debug, Default)]
pub struct Simulation {
    clock: Arc<SimulatedClock>,
}

impl Simulation {
    /// A simulation at its beginning.
    pub fn new() -> Self {
        Self::default()
    }

    /// Spends a scripted delay by moving the clock (see [`vramscope_gpu::FakeGpu::paused_by`]).
    pub fn pause(&self) -> Pause {
        let clock = Arc::clone(&self.clock);
        Arc::new(move |time| clock.advance(time))
    }

    /// Records for so long on the simulated clock.
    ///
    /// # Errors
    /// [`SamplerError`] as for a sampler; [`SamplerError::Write`] if the destination failed.
    pub fn run(
        self,
        sources: Vec<Source>,
        config: &SamplerConfig,
        length: Duration,
        sink: Option<Box<dyn Sink>>,
    ) -> Result<Finished, SamplerError> {
        let plan = Plan::of(sources, config)?;
        let clock = self.clock;
        let setup = Setup {
            clock: clock.clone(),
            header: crate::recording::header(config, &plan.devices, &plan.backends, 0),
            live: Arc::new(Mutex::new(Live::new(&plan.devices))),
            devices: plan.devices,
            lanes: plan.lanes,
            states: Vec::new(),
            period: config.period,
            keep: config.keep,
            summary: config.summary,
            sink,
            listeners: Listeners::default(),
        };
        let mut collector = Collector::new(setup);
        let state = LaneState::default();
        let stop = crate::clock::Stop::default();
        let mut lanes: Vec<_> = plan
            .threads
            .into_iter()
            .filter_map(|mut lane| {
                let slow = config.slow_period.filter(|_| plan.slow_between[lane.number]);
                lane.begin(slow);
                let period = match lane.speed {
                    Speed::Fast => Some(config.period),
                    Speed::Slow => config.slow_period,
                };
                Some((lane, Schedule::new(period?)))
            })
            .collect();
        while let Some((lane, schedule)) = lanes.iter_mut().min_by_key(|(_, schedule)| schedule.deadline()) {
            if schedule.deadline() >= length {
                break;
            }
            clock.wait_until(schedule.deadline(), &stop);
            let due = schedule.take(clock.now());
            let mut slow_reports = Vec::new();
            if lane.speed == Speed::Fast {
                collector.accept(Message::Tick(lane.tick(due, clock.as_ref(), &state)));
            }
            if lane.speed == Speed::Slow || lane.slow_is_due(clock.now()) {
                lane.slow_tick(clock.as_ref(), &state, |report| slow_reports.push(report));
            }
            slow_reports.into_iter().for_each(|report| collector.accept(Message::Slow(report)));
        }
        for (lane, _) in &mut lanes {
            lane.last_slow_tick(clock.as_ref(), &state, |report| collector.accept(Message::Slow(report)));
            collector.accept(lane.calls());
        }
        match collector.finish(Ending::Finished, &[]) {
            (finished, None) => Ok(finished),
            (finished, Some(source)) => Err(SamplerError::Write { source, finished: Box::new(finished) }),
        }
    }
}
