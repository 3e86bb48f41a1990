//! The engine's own output, in short.

use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

/// The engine's own output. Logs stay where they are: the document names the files and quotes what matters. Quoted text
/// never holds a credential.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct RawLogs {
    /// The files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<RawLogFile>,
    /// What matters in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excerpts: Vec<LogExcerpt>,
    /// The end of what the engine wrote to standard output, in documents migrated from version 3.0.
    pub stdout: Option<String>,
    /// The end of what the engine wrote to standard error, in documents migrated from version 3.0.
    pub stderr: Option<String>,
}

/// A log file.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct RawLogFile {
    /// Its name, relative to the folder that was analysed.
    pub file: String,
    /// Its size on disk. Unit: bytes.
    pub bytes: Option<u64>,
    /// Its lines. Unit: count.
    pub lines: Option<u64>,
    /// The SHA-256 of its content, in hexadecimal.
    #[cfg_attr(feature = "json-schema", schemars(regex(pattern = "^[0-9a-f]{64}$")))]
    pub sha256: Option<String>,
}

/// A few lines of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct LogExcerpt {
    /// The file's name.
    pub file: String,
    /// The first line quoted, counted from 1. Unit: none, a line number.
    #[cfg_attr(feature = "json-schema", schemars(range(min = 1)))]
    pub first_line: u64,
    /// The lines.
    pub text: String,
}
