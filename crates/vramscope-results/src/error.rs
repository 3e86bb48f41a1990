//! Why a file is no result.

use crate::own;
use crate::sglang;
use crate::vllm;

/// Why a file is no result of a load generator. Who opened the file adds its name.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ResultError {
    /// No JSON, or a value of a wrong type.
    #[error("read the load generator's result: {field}, line {line}, column {column}: {reason}")]
    Json {
        /// The path of the field; `the document` where it has none.
        field: String,
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1.
        column: usize,
        /// The parser's words.
        reason: String,
    },
    /// JSON of another kind.
    #[error(
        "read the load generator's result: expected the JSON of {} --save-result, of {} --output-file, GuideLLM's \
         benchmarks.json, AIPerf's profile_export_aiperf.json or the document of {}; there is {found}",
        vllm::TOOL,
        sglang::TOOL,
        own::TOOL
    )]
    Kind {
        /// What is there.
        found: &'static str,
    },
    /// A figure that cannot be one.
    #[error("read the load generator's result: run {run}: {field} is {found}; expected {expected}")]
    Figure {
        /// Which run of the file, counted from 1.
        run: usize,
        /// Its field.
        field: String,
        /// What is there.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A document of a version that is not known.
    #[error(
        "read the load generator's result: {field} is {found}; versions {known} are known. Write it again with a tool of \
         that version, or update vramscope"
    )]
    Version {
        /// The field that says it.
        field: &'static str,
        /// The version.
        found: u64,
        /// What is known.
        known: &'static str,
    },
    /// More than is read.
    #[error("read the load generator's result: it is larger than {most} {what}; cut it into several files")]
    TooMuch {
        /// The bound.
        most: usize,
        /// Of what.
        what: &'static str,
    },
}
