//! Conducts one run: starts or attaches to an engine, watches it through every phase, and keeps what happens in a
//! recording folder, from which the profile is derived.
//!
//! ```no_run
//! use vramscope_gpu::GpuBackend;
//! use vramscope_live::{Found, Measured, Plan, PlanError, Request, Run, RunPaths, cancel};
//! use vramscope_runs::RecordingFolder;
//! use vramscope_sampler::{Sampler, SamplerConfig};
//!
//! # async fn example(request: Request, measured: Measured, gpus: Box<dyn GpuBackend>)
//! #     -> Result<(), Box<dyn std::error::Error>> {
//! let plan = Plan::make(request, &measured).await?;
//! let paths = RunPaths::new(&plan, 1)?;
//! paths.check()?;
//! for finding in plan.preflight(None, &measured.devices).check_place() {
//!     println!("{}: {}", finding.code, finding.message);
//! }
//! let found = Found::ask(&plan, &mut |_| {}).await?;
//! let spec = plan.spec(&found, &measured, &paths)?;
//! let mut sampler = Sampler::spawn_all(vec![gpus.into()], SamplerConfig::default())?;
//! let folder = RecordingFolder::create(&paths.folder).map_err(PlanError::Recording)?;
//! let (_stop, token) = cancel();
//! let run = Run::new(spec, &mut sampler, plan.host.clone(), folder);
//! let profile = run.execute(&mut |event| println!("{event:?}"), token).await?;
//! println!("{:?}", profile.metadata.status);
//! # Ok(())
//! # }
//! ```
//!
//! It reads no environment variables and prints nothing: what it needs of either is in the [`Request`], and what it tells
//! comes as [`RunEvent`]s. Containers come with the feature `docker`.

mod cancel;
mod capture;
mod conduct;
mod event;
mod found;
mod llama_cpp;
mod measured;
mod ollama;
mod paths;
mod place;
mod plan;
mod preflight;
mod request;
mod scrape;
mod secrets;
mod served;
mod sglang;
mod snapshots;
mod spec;
mod transformers;
mod unready;
mod vllm;

pub use cancel::{CancelHandle, CancelToken, cancel};
pub use capture::{Capture, CaptureError, CaptureEvent, CaptureMode, Captured, CapturedMemory};
pub use conduct::{Run, RunError};
pub use event::RunEvent;
pub use found::Found;
pub use measured::{Measured, confinement};
pub use paths::RunPaths;
pub use plan::{Plan, PlanError};
pub use preflight::{DeviceNow, DiskRoom, Finding, Longest, Preflight};
pub use request::{AskedEngine, AskedModel, AskedWork, Environment, Place, Request, Watched, WorkKind};
pub use secrets::Secrets;
pub use served::{Served, ServedError, ServerLine};
pub use snapshots::{AskedSnapshots, SnapshotMoment};
pub use spec::{RunSpec, Times, Workload};
pub use transformers::{PROBE, probe};
pub use vllm::command::{Asked, Work, own_benchmark, server};
pub use vllm::engines::Engines;
pub use vllm::flags::{FlagError, Flags};
pub use vllm::words::EngineWords;

/// The example of the README, which is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
