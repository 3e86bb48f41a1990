//! Conducts one run: starts or attaches to an engine, watches it through every phase, and keeps what happens in a
//! recording folder, from which the profile is derived.

mod cancel;
mod conduct;
mod event;
mod preflight;
mod scrape;
mod secrets;
mod spec;
mod transformers;
mod vllm;

pub use cancel::{CancelHandle, CancelToken, cancel};
pub use conduct::{Run, RunError};
pub use event::RunEvent;
pub use preflight::{DeviceNow, Finding, Preflight};
pub use secrets::Secrets;
pub use spec::{RunSpec, Times, Workload};
pub use transformers::{PROBE, probe};
pub use vllm::command::{Asked, Work, own_benchmark, server};
pub use vllm::flags::{FlagError, Flags};
