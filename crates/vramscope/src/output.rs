//! Where results go: stdout, or a file that appears whole or not at all.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, anyhow};
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

/// Writes a document as a file.
pub(crate) fn write_json(path: &Path, document: &impl serde::Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(document)? + "\n";
    write_file(path, |out| Ok(out.write_all(text.as_bytes())?))
}

/// Says something to the person at the terminal, on stderr. Where nobody can hear it, all goes on.
pub(crate) fn say(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Writes a file through a temporary name beside it, so that no reader ever sees a part of it. Missing parent folders
/// are made. A device or a pipe is written to; through a link, the file behind it is replaced.
pub(crate) fn write_file(
    path: &Path,
    write: impl FnOnce(&mut (dyn io::Write + Send)) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let attempt = || -> anyhow::Result<()> {
        if fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
            let mut out = io::BufWriter::new(fs::OpenOptions::new().write(true).open(path)?);
            write(&mut out)?;
            return Ok(out.flush()?);
        }
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
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

/// Refuses an output that would overwrite a file from which it is made.
pub(crate) fn apart<'p>(output: &Path, inputs: impl IntoIterator<Item = &'p Path>) -> anyhow::Result<()> {
    let Ok(output) = fs::canonicalize(output) else { return Ok(()) };
    let same = |input: &Path| fs::canonicalize(input).is_ok_and(|input| input == output && input.is_file());
    match inputs.into_iter().find(|input| same(input)) {
        None => Ok(()),
        Some(input) => {
            let over = anyhow!("{} is read for this very result: choose another name for the output", input.display());
            Err(over).or_exit(ExitCode::Usage)
        }
    }
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
