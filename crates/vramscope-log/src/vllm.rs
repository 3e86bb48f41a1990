//! vLLM's words: the rows of its formats, what its failures mean, and what its settings and workers are called.

pub(crate) mod advice;
pub(crate) mod bench;
pub(crate) mod contradiction;
pub(crate) mod facts;
pub(crate) mod failure;
pub(crate) mod generation;
pub(crate) mod meaning;
pub(crate) mod python;
pub(crate) mod rows;
pub(crate) mod settings;
pub(crate) mod worker;
