//! Tests over whole logs.

mod corpus;
mod labels;
mod laws;
mod recordings;
