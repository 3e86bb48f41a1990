//! The nouns of vramscope: bytes, devices, samples, timelines and their statistics, engine facts, breakdowns.
//!
//! This crate does no I/O, knows no clock and no serialization format; every other crate speaks in its terms.
//!
//! ```
//! use vramscope_core::{Basis, Breakdown, Bytes, Component, ComponentKind, Confidence};
//!
//! let weights = Component {
//!     kind: ComponentKind::Weights,
//!     size: Bytes::new(16_110_919_680),
//!     resolution: None,
//!     confidence: Confidence::Reported,
//!     basis: Basis { method: "engine_log", detail: "Model loading took 15.0 GiB".into(), log_lines: vec![15] },
//! };
//! let breakdown = Breakdown::new(Bytes::new(20_000_000_000), Bytes::ZERO, vec![weights]).unwrap();
//! assert_eq!(breakdown.residual().get(), 3_889_080_320);
//! ```

mod arch;
mod breakdown;
mod bytes;
mod device;
mod draft;
mod engine_kind;
mod engine_line;
mod facts;
mod foreign;
mod mixer;
mod packed;
mod phase;
mod reading;
mod redact;
mod stats;
mod stored;
mod timeline;
mod words;
mod workload;

pub use arch::{
    Architecture, Dense, ElementType, Experts, FeedForward, Layer, Lengths, PipelineEnds, Quantization, Residual,
    RotaryTable, Tower, WeightFormat,
};
pub use breakdown::{Basis, Breakdown, BreakdownError, Component, ComponentKind, Confidence};
pub use bytes::{ByteDelta, ByteUnit, Bytes};
pub use device::{Device, DeviceIndex, Partition, Vendor};
pub use draft::DraftModel;
pub use engine_kind::EngineKind;
pub use engine_line::EngineLine;
pub use facts::{
    Activity, Buffer, BufferKind, Consequence, EngineFacts, Event, Fact, FactValue, Failure, FailureKind, Generation,
    LogTime, MaxConcurrency, Milestone, NamedFact, Origin, Parallel, RankFailure, Replica, Scope,
};
pub use foreign::{escape_controls, on_one_line, shortened, without_controls};
pub use mixer::{
    Attention, CompressedAttention, Compressor, Indexer, LatentAttention, Mixer, OutputGate, QkNorm, Recurrent, Span,
};
pub use packed::{PackedModel, PackedTensor, PackedValue};
pub use phase::{Phase, PhaseMark, UnknownPhase, Window};
pub use reading::{GpuProcess, ProcessKind, Reading, Sample, SlowReading, SlowSample, Throttle};
pub use redact::{REDACTED, is_secret_name, redact, redact_args, secrets_in, shown_env};
pub use stats::{Spread, Stats, Summary, quantile_sorted, upper_median};
pub use stored::{Matrix, Stored, StoredAs};
pub use timeline::{Gap, GapCause, TickTotal, Timeline, TimelineError};
pub use words::{Flag, Grammar, Part, shell_quoted};
pub use workload::{LatencyResult, Workload};

/// The example of the README, which is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
