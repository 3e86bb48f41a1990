//! Conducts one run: starts or attaches to an engine, watches it through every phase, and keeps what happens in a
//! recording folder, from which the profile is derived.

mod cancel;
mod command;
mod conduct;
mod event;
mod flags;
mod folder;
mod preflight;
mod probe;

mod scrape;
mod secrets;
mod spec;

pub use cancel::{CancelHandle, CancelToken, cancel};
pub use command::{Asked, Work, own_benchmark, server};
pub use conduct::{Run, RunError};
pub use event::RunEvent;
pub use flags::{FlagError, Flags};
pub use folder::{FolderError, RecordingFolder};
pub(crate) use preflight::gpu_model;
pub use preflight::{DeviceNow, Finding, Preflight};
pub use probe::{PROBE, probe};
pub use secrets::Secrets;
pub use spec::{RunSpec, Times, Workload};
