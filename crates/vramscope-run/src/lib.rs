//! Conducts one run and assembles its profile from evidence.

mod clock;
mod derive;
mod evidence;
mod levels;
mod phases;

pub use clock::Alignment;
pub use evidence::gpu_csv::read as read_gpu_csv;
pub use evidence::gpu_log::{Clock, GpuLog, GpuLogError, Note as GpuLogNote, ProcessUse};
