//! Documents that the command reads.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use anyhow::Context as _;
use vramscope_schema::{ExitCode, Loaded, MAX_DOCUMENT_BYTES, ReadError};

use crate::exit::OrExit as _;

/// Reads a profile of any version. What a person should know of the reading is in its notes.
pub(crate) fn profile(path: &Path) -> anyhow::Result<Loaded> {
    let text =
        bounded(path).with_context(|| format!("could not read {}", path.display())).or_exit(ExitCode::BadInput)?;
    vramscope_schema::read(&text).map_err(|error| {
        let code = match error {
            ReadError::NewerMajor { .. } => ExitCode::NewerVersion,
            _ => ExitCode::BadInput,
        };
        let context = anyhow::Error::new(error).context(format!("could not read {}", path.display()));
        context.context(crate::exit::Failed { code })
    })
}

/// Reads no more than the largest document and one byte, by which a larger one is told.
fn bounded(path: &Path) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(MAX_DOCUMENT_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut text)?;
    Ok(text)
}
