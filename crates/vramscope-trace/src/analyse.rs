//! From records to figures, each walk in the one order it needs.
//!
//! 1. [`threads`]: spans by thread and time, so that nesting is a stack: operators, annotations, steps, and what is around
//!    each call.
//! 2. [`join`]: GPU operations and calls by correlation: who launched what, and how long it waited.
//! 3. [`timeline`]: GPU operations by device and time: busy, idle and why, overlap, steps.
//! 4. [`lengths`]: durations by group and length: quantiles.

pub(crate) mod join;
pub(crate) mod lengths;
pub(crate) mod threads;
pub(crate) mod timeline;
