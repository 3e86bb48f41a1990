//! Conducts one run and assembles its profile from evidence.

mod evidence;

pub use evidence::gpu_csv::read as read_gpu_csv;
pub use evidence::gpu_log::{Clock, GpuLog, GpuLogError, Note as GpuLogNote, ProcessUse};
