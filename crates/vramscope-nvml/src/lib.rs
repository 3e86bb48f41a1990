//! NVIDIA GPUs through NVML, and saved outputs of nvidia-smi.
//!
//! Nothing is loaded until [`NvmlBackend::open`]; on a machine without driver or GPU it says what is missing.
//!
//! ```
//! use vramscope_gpu::GpuBackend as _;
//! use vramscope_nvml::{NvmlBackend, NvmlOptions};
//!
//! match NvmlBackend::open(&NvmlOptions::default()) {
//!     Ok(backend) => assert!(!backend.devices().is_empty()),
//!     Err(error) => assert!(!error.advice.is_empty(), "it always says what to do"),
//! }
//! ```

mod backend;
mod fast;
mod ffi;
mod open;
mod slow;
mod support;
mod throttle;
pub mod tools;

pub use backend::{NvmlBackend, NvmlOptions};

/// The example of the README, which is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
