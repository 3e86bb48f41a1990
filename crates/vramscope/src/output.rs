//! Where results go: stdout, or a file that appears whole or not at all.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context as _;
use vramscope_schema::ExitCode;

use crate::exit::OrExit as _;

/// How a result is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For programs: one JSON document.
    Json,
}

/// Writes the result to stdout.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).or_exit(ExitCode::CannotWrite)
}

/// Writes a document to stdout as JSON, without holding its text.
pub(crate) fn print_json(document: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    serde_json::to_writer_pretty(&mut out, document)
        .map_err(io::Error::from)
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush())
        .or_exit(ExitCode::CannotWrite)
}

/// Says something to the person at the terminal, on stderr.
pub(crate) fn say(text: &str) {
    anstream::eprintln!("{text}");
}

/// Writes a file through a temporary name beside it, so that no reader ever sees a part of it. Missing parent folders
/// are made.
pub(crate) fn write_file(
    path: &Path,
    write: impl FnOnce(&mut (dyn io::Write + Send)) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let attempt = || -> anyhow::Result<()> {
        fs::create_dir_all(parent)?;
        let temporary = tempfile::Builder::new().prefix(".vramscope-").tempfile_in(parent)?;
        let mut out = io::BufWriter::new(temporary);
        write(&mut out)?;
        let temporary = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        temporary.as_file().sync_all()?;
        share_like_any_file(temporary.as_file())?;
        temporary.persist(path).map_err(|failed| failed.error)?;
        Ok(())
    };
    attempt()
        .with_context(|| format!("could not write {}: check that the folder exists and has room", path.display()))
        .or_exit(ExitCode::CannotWrite)
}

/// Temporary files are private; a result is to be read by whoever may read the folder.
#[cfg(unix)]
fn share_like_any_file(file: &fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn share_like_any_file(_: &fs::File) -> io::Result<()> {
    Ok(())
}

/// The width that tables may use: the terminal's, or 80 columns where there is none; never under 60.
pub(crate) fn width() -> usize {
    terminal_size::terminal_size().map_or(80, |(w, _)| usize::from(w.0)).clamp(60, 140)
}
