//! How vLLM is asked for a run: its command lines, the flags that a release of it takes, and what it says of itself.

pub(crate) mod command;
pub(crate) mod engines;
pub(crate) mod flags;
pub(crate) mod found;
pub(crate) mod profiler;
pub(crate) mod words;
