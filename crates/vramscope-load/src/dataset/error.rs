//! What can be wrong with a data set.

use std::io;

/// A data set that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// The file cannot be read.
    #[error("read the data set {file}")]
    Read {
        /// The file.
        file: String,
        /// The operating system's answer.
        #[source]
        source: io::Error,
    },
    /// A line is not what it should be.
    #[error("read the data set {file}:{line}: {problem}")]
    Line {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
        /// What is wrong, and what is expected.
        problem: String,
    },
    /// The file as a whole is not what it should be.
    #[error("read the data set {file}: {problem}")]
    File {
        /// The file.
        file: String,
        /// What is wrong, and what is expected.
        problem: String,
    },
}
