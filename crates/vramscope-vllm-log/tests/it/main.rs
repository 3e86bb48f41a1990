//! Tests over whole logs.

mod corpus;
mod recordings;
