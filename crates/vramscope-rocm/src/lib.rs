//! AMD GPUs through ROCm SMI, sysfs and KFD, and saved outputs of AMD's tools.
//!
//! Nothing is loaded until [`open`]; on a machine without driver or card it says what is missing.
//!
//! ```
//! let text = r#"{"card0": {"VRAM Total Memory (B)": "536870912", "GPU use (%)": "0"}}"#;
//! let snapshot = vramscope_rocm::tools::read(text).unwrap();
//! assert_eq!(snapshot.gpus[0].mem_used_mib, None, "what the output does not say is absent");
//! ```

mod card;
mod ffi;
mod files;
mod open;
mod process;
#[cfg(feature = "rocm-smi-lib")]
mod smi_crate;
mod smi_lib;
mod sysfs;
mod tool_backend;
pub mod tools;

pub use open::{RocmOptions, Source, open};

/// The example of the README, which is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
