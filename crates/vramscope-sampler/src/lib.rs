//! Fixed-rate sampling of GPUs into timelines.
//!
//! Each source is read on a thread of its own, at absolute deadlines: a tick that comes too late is counted and left
//! out, a reading that fails is a gap, and nothing is filled in. What was read goes to a timeline in memory, to files
//! that survive a kill, to live statistics of fixed size, and to asynchronous streams.
//!
//! ```
//! use std::time::Duration;
//! use vramscope_core::Phase;
//! use vramscope_gpu::FakeGpu;
//! use vramscope_sampler::{Sampler, SamplerConfig};
//!
//! let mut sampler = Sampler::spawn(Box::new(FakeGpu::steady(1)), SamplerConfig::default()).unwrap();
//! let recording = sampler.record().unwrap();
//! recording.mark(Phase::Measure).unwrap();
//! std::thread::sleep(Duration::from_millis(120));
//! let finished = recording.finish().unwrap();
//! assert!(finished.timeline.window(Phase::Measure).is_some());
//! ```

mod clock;
mod collector;
mod lane;
mod live;
mod recording;
mod sampler;
mod schedule;
mod simulation;
mod stream;

pub use collector::Finished;
pub use live::{Live, LiveDevice};
pub use recording::Recording;
pub use sampler::{Keep, SHORTEST_PERIOD, Sampler, SamplerConfig, SamplerError, Source};
pub use simulation::Simulation;
pub use stream::SampleStream;

/// The examples of the guide, which are tests of this crate.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/embedding.md")]
pub struct Embedding;

/// The example of the README, which is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
