//! Statistics of a whole recording, from memory or from its file, in bounded memory.

mod correlate;
mod energy;
mod exact;
mod idle;
mod passes;
mod report;

pub use passes::{Item, Passes, RecordingFile};
pub use report::{AnalysisOptions, RunningAnalysis, analyse};
