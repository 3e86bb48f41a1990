//! llama.cpp: what its server takes of a device and of the host, from a GGUF file and a command line.
//!
//! Weights follow from the file's tensors, the cache from its shape and the arguments, and the compute buffers from
//! ggml's own way of laying out a graph, which is gone through here tensor by tensor.

mod allocator;
pub(crate) mod answers;
pub(crate) mod answers_document;
pub(crate) mod args;
pub(crate) mod budget;
mod cache;
pub(crate) mod command;
mod compute;
pub(crate) mod document;
mod driver;
pub(crate) mod error;
pub(crate) mod fit;
pub(crate) mod grammar;
mod graph;
mod keep;
pub(crate) mod kind;
mod model;
pub(crate) mod place;
mod reorder;
mod schedule;
pub(crate) mod shape;
pub(crate) mod split;
