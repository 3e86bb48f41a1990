//! What somebody recorded of a run.

mod civil;
pub(crate) mod gpu_csv;
pub(crate) mod gpu_log;
