//! NVIDIA GPUs through NVML, and saved outputs of nvidia-smi.
//!
//! ```
//! let text = "index, memory.used [MiB]\n0, 12 MiB\n";
//! let snapshot = vramscope_nvml::tools::read_csv(text).unwrap();
//! assert_eq!(snapshot.gpus[0].mem_total_mib, None, "what the output does not say is absent");
//! ```

mod throttle;
pub mod tools;
