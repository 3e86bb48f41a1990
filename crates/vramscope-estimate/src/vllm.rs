//! What vLLM sets up, by its own rules: its arguments, the lengths and runner that it chooses, its budget, its cache.

pub(crate) mod activations;
pub(crate) mod asked;
pub(crate) mod budget;
pub(crate) mod classes;
pub(crate) mod drafts;
pub(crate) mod fit;
pub(crate) mod grammar;
pub(crate) mod graph_args;
pub(crate) mod graphs;
pub(crate) mod held;
pub(crate) mod indifferent;
pub(crate) mod input;
pub(crate) mod kv;
pub(crate) mod lengths;
pub(crate) mod outside;
pub(crate) mod per_layer;
pub(crate) mod refused;
pub(crate) mod resolve;
pub(crate) mod time;
pub(crate) mod trust;
pub(crate) mod words;
