//! Tests of the crate from outside.

mod corpus;
mod defects;
mod generator;
mod laws;
