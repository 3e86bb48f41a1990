//! What a source of GPU readings is.
//!
//! A [`GpuBackend`] lists devices and reads them. Absent is `None`, zero is a reading, failure is a [`GpuError`] whose
//! kind says whether to go on. This crate has three backends without a driver: [`FakeGpu`], which follows a script,
//! [`Replay`], which plays a recorded timeline, and [`ProcessMemory`], which measures an engine's processes where there
//! is no GPU.
//!
//! ```
//! use vramscope_gpu::{FakeGpu, GpuBackend as _};
//!
//! let mut gpu = FakeGpu::steady(2);
//! let second = gpu.devices()[1].index;
//! let reading = gpu.read(second).unwrap();
//! assert_eq!(reading.utilization_pct, Some(0), "an idle device reads zero, which is not the same as nothing");
//! ```

mod backend;
mod cost;
pub mod document;
mod error;
mod fake;
mod figure;
mod process_memory;
mod renumbered;
mod replay;
mod select;
pub mod smi_csv;
mod snapshot;

pub use backend::{BackendInfo, GpuBackend, PowerKind};
pub use cost::{CallCost, CallMeter};
pub use error::{Attempt, GpuError, GpuErrorKind, OpenError};
pub use fake::{FakeGpu, Pause, Step};
pub use figure::Figure;
pub use process_memory::{ProcessMemory, ProcessTree, machine_memory};
pub use renumbered::Renumbered;
pub use replay::{Pace, Replay};
pub use select::{SelectError, Selector, Visible, select, visible, whole_devices};
pub use snapshot::snapshot;

/// The example of the README, which is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
