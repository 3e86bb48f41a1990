//! Ollama: what its server starts for a GGUF file, and what that takes.
//!
//! From 0.30 on it starts llama.cpp's server with a command line of its own. The rules were read in its source at each
//! release named in `release.rs`; no run of it was compared, so nothing here is more than estimated.

pub(crate) mod answers;
pub(crate) mod args;
pub(crate) mod release;
pub(crate) mod start;
