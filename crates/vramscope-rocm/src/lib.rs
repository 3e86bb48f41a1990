//! AMD GPUs through ROCm SMI, sysfs and KFD, and saved outputs of AMD's tools.
//!
//! ```
//! let text = r#"{"card0": {"VRAM Total Memory (B)": "536870912", "GPU use (%)": "0"}}"#;
//! let snapshot = vramscope_rocm::tools::read(text).unwrap();
//! assert_eq!(snapshot.gpus[0].mem_used_mib, None, "what the output does not say is absent");
//! ```

pub mod tools;
