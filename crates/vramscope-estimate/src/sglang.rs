//! SGLang: the pool of tokens that its server sets up, and what it takes beside it on each device.
//!
//! The pool follows from what the driver counts as free before and after the weights were loaded, and from a share whose
//! default each release computes in its own way. Sources: the releases of PyPI that [`release::SgLangVersion`] lists.

pub(crate) mod answers;
pub(crate) mod answers_document;
pub(crate) mod args;
pub(crate) mod budget;
pub(crate) mod cell;
pub(crate) mod command;
pub(crate) mod document;
pub(crate) mod error;
pub(crate) mod grammar;
pub(crate) mod lack;
pub(crate) mod length;
pub(crate) mod pool;
pub(crate) mod release;
pub(crate) mod share;
mod slack;
