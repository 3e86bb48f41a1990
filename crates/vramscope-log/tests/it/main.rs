//! Tests over whole logs.

mod corpus;
mod engine_labels;
mod engine_words;
mod engines;
mod failure_texts;
mod failures;
mod labels;
mod laws;
mod recordings;
