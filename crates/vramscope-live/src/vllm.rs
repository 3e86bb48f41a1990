//! How vLLM is asked for a run: its command lines, and the flags that a release of it takes.

pub(crate) mod command;
pub(crate) mod flags;
