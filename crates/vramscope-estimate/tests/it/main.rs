//! Figures against the formula reference, published totals and recorded engines.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests may")]

mod cases;
mod classes;
mod database;
mod drafts;
mod laws;
mod llama_cpp;
mod llama_cpp_doubts;
mod llama_cpp_fit;
mod llama_cpp_h200;
mod llama_cpp_models;
mod ollama;
mod per_layer;
mod recordings;
mod reference;
mod second_card;
mod sglang_fit;
mod sglang_logs;
mod shared;
mod time;
mod time_serve;
