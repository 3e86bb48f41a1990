//! What somebody recorded of a run.

pub(crate) mod args;
pub(crate) mod bench;
pub(crate) mod civil;
pub(crate) mod files;
pub(crate) mod gpu_csv;
pub(crate) mod gpu_log;
pub(crate) mod marks;
