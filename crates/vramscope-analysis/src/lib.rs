//! From recorded evidence to a profile: what the engine printed, what the driver measured, what `config.json` implies and
//! what the benchmark wrote, brought together to the byte. Files in, documents out: nothing is started, and no device is
//! asked.
//!
//! ```no_run
//! use vramscope_analysis::{Evidence, assemble};
//! use vramscope_runs::EvidenceFiles;
//! use vramscope_schema::v3::Generator;
//!
//! let files = EvidenceFiles::find("recording".as_ref()).unwrap();
//! let evidence = Evidence::load(&files, &mut |_, _| {}).unwrap();
//! let generator = Generator { name: "mine".into(), version: "1".into() };
//! let profile = assemble(&evidence, generator).unwrap();
//! vramscope_schema::write(&profile, std::io::stdout()).unwrap();
//! ```

mod advice;
mod allocator;
mod assemble;
mod attribution;
mod budget;
mod clock;
mod derive;
mod device;
mod diagnose;
mod evidence;
mod known;
mod levels;
mod llama_cpp;
mod model;
mod moments;
mod named;
mod ollama;
mod phases;
mod sglang;
mod vllm;

pub use assemble::{Beside, LayersError, RunLayers, assemble, profile_of_load, run_layers};
pub use attribution::{Attribution, DeviceObservation, Evidenced, KvGeometry, RankEvidence, attribute};
pub use clock::{Alignment, events_since_anchor};
pub use derive::DeriveError;
pub use device::gpu_model;
pub use evidence::allocator::AllocatorSnapshot;
pub use evidence::args::{Args, ArgsError, Flag, read as read_args};
pub use evidence::bench::{Bench, BenchError, Throughput, read as read_bench};
pub use evidence::gpu_log::{Clock, GpuLog, GpuLogError, Note as GpuLogNote, ProcessUse, read as read_gpu_log};
pub use evidence::marks::ALLOCATED;
pub use evidence::marks::{Marks, MarksError, read as read_marks};
pub use evidence::metrics::{MetricsError, MetricsReading, read as read_metrics};
pub use evidence::probe::{
    Probe, ProbeDevice, ProbeError, ProbeFailure, ProbeMark, ProbeModel, ProbeMoment, ProbePeak, ProbeProcess,
    ProbeProcessMoment, ProbeRequest, ProbeVersions, read as read_probe,
};
pub use evidence::{EngineLog, Evidence, EvidenceError, LogTail};
pub use named::{ModelError, NamedModel, read_config_text, read_draft};
pub use phases::RETURNED_WITHIN;

/// The example of the README, which is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
