//! Where results go: stdout, or a file that appears whole or not at all.
//!
//! All that is shown passes through here, and much of it was written by others: logs, configs, profiles, names of files
//! and processes. What would steer the terminal is taken out of text and escaped in JSON, on a terminal or not: a pipe
//! often ends in one.

use std::borrow::Cow;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, anyhow};
use vramscope_core::{escape_controls, without_controls};
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

/// What our own styles write behind the escape: bold, dim, a colour of the eight, bright blue, and their end.
const STYLES: &[&str] = &["[0m", "[1m", "[2m", "[31m", "[32m", "[33m", "[34m", "[35m", "[36m", "[37m", "[94m"];

/// Writes the result to stdout, as far as it is text and our own styles. JSON comes from [`json_text`] or
/// [`escape_controls`] and passes as it is.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(styled(text).as_bytes()).and_then(|()| out.flush()).or_exit(ExitCode::CannotWrite)
}

/// Writes help to stdout, in clap's styles: it is all our own.
pub(crate) fn print_help(text: &str) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).or_exit(ExitCode::CannotWrite)
}

/// The text without what steers a terminal, but for our own styles.
pub(crate) fn styled(text: &str) -> Cow<'_, str> {
    let mut parts = text.split('\u{1b}');
    let first = without_controls(parts.next().unwrap_or_default());
    let mut shown = match first {
        // Nothing was taken out, and no escape follows.
        Cow::Borrowed(first) if first.len() == text.len() => return Cow::Borrowed(text),
        first => first.into_owned(),
    };
    for part in parts {
        if STYLES.iter().any(|style| part.starts_with(style)) {
            shown.push('\u{1b}');
        }
        shown.push_str(&without_controls(part));
    }
    Cow::Owned(shown)
}

/// A document as JSON text, in which a parser reads what was meant and a terminal nothing.
pub(crate) fn json_text(document: &impl serde::Serialize) -> anyhow::Result<String> {
    Ok(escape_controls(&(serde_json::to_string_pretty(document)? + "\n")).into_owned())
}

/// Writes a document to stdout as JSON, without holding its text.
pub(crate) fn print_json(document: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut out = io::BufWriter::new(EscapedJson::new(io::stdout().lock()));
    serde_json::to_writer_pretty(&mut out, document)
        .map_err(io::Error::from)
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush())
        .or_exit(ExitCode::CannotWrite)
}

/// Passes JSON on, with escapes for what would steer a terminal.
pub(crate) struct EscapedJson<W> {
    out: W,
    /// The beginning of a character whose rest has not come.
    begun: Vec<u8>,
}

impl<W: io::Write> EscapedJson<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, begun: Vec::new() }
    }
}

impl<W: io::Write> io::Write for EscapedJson<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begun.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.begun) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.begun.len(),
        };
        let rest = self.begun.split_off(whole);
        let text = String::from_utf8_lossy(&self.begun);
        self.out.write_all(escape_controls(&text).as_bytes())?;
        self.begun = rest;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Writes a document as a file.
pub(crate) fn write_json(path: &Path, document: &impl serde::Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(document)? + "\n";
    write_file(path, |out| Ok(out.write_all(text.as_bytes())?))
}

/// Says something to the person at the terminal, on stderr, as plain text. Where nobody can hear it, all goes on.
pub(crate) fn say(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{}", without_controls(text));
}

/// Writes a file through a temporary name beside it, so that no reader ever sees a part of it. Missing parent folders
/// are made. A device or a pipe is written to; through a link, the file behind it is replaced.
pub(crate) fn write_file(
    path: &Path,
    write: impl FnOnce(&mut (dyn io::Write + Send)) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let attempt = || -> anyhow::Result<()> {
        if is_no_file(path) {
            let mut out = io::BufWriter::new(fs::OpenOptions::new().write(true).open(path)?);
            write(&mut out)?;
            return Ok(out.flush()?);
        }
        let (path, temporary) = beside(path)?;
        let mut out = io::BufWriter::new(temporary);
        write(&mut out)?;
        let temporary = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        temporary.as_file().sync_all()?;
        temporary.persist(path).map_err(|failed| failed.error)?;
        Ok(())
    };
    attempt().with_context(|| cannot_write(path)).or_exit(ExitCode::CannotWrite)
}

/// Refuses a result that could not be written, before the work for it is done.
pub(crate) fn can_write(path: &Path) -> anyhow::Result<()> {
    let attempt = || -> anyhow::Result<()> {
        anyhow::ensure!(!path.is_dir(), "it is a folder");
        if !is_no_file(path) {
            drop(beside(path)?);
        }
        Ok(())
    };
    attempt().with_context(|| cannot_write(path)).or_exit(ExitCode::CannotWrite)
}

fn cannot_write(path: &Path) -> String {
    format!("could not write {}: check that the folder exists and has room", path.display())
}

/// Whether a device or a pipe is there.
fn is_no_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir())
}

/// A temporary file beside the one that is to be written, which a link may name.
fn beside(path: &Path) -> io::Result<(std::path::PathBuf, tempfile::NamedTempFile)> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(parent)?;
    let temporary = shared_like_any_file(tempfile::Builder::new().prefix(".vramscope-")).tempfile_in(parent)?;
    Ok((path, temporary))
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

/// Temporary files are private; a result is to be read by whoever the umask lets read.
#[cfg(unix)]
fn shared_like_any_file<'b, 'p, 's>(builder: &'b mut tempfile::Builder<'p, 's>) -> &'b mut tempfile::Builder<'p, 's> {
    use std::os::unix::fs::PermissionsExt as _;
    builder.permissions(fs::Permissions::from_mode(0o666))
}

#[cfg(not(unix))]
fn shared_like_any_file<'b, 'p, 's>(builder: &'b mut tempfile::Builder<'p, 's>) -> &'b mut tempfile::Builder<'p, 's> {
    builder
}

/// The width that tables may use: the terminal's, or 80 columns where there is none; never under 60.
pub(crate) fn width() -> usize {
    terminal_size::terminal_size().map_or(80, |(w, _)| usize::from(w.0)).clamp(60, 140)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_styles_reach_the_terminal() {
        let bold = anstyle::Style::new().bold();
        let ours = format!("{bold}title{bold:#}\n\ta\n");
        assert!(matches!(styled(&ours), Cow::Borrowed(_)) || styled(&ours) == ours);
        for (text, shown) in [
            ("a\u{1b}]52;c;ZXZpbA==\u{7}b", "a]52;c;ZXZpbA==b"),
            ("\u{1b}[2J\u{1b}[8mhidden\u{1b}[1;31m", "[2J[8mhidden[1;31m"),
            ("\u{9b}2Ja\u{202e}b", "2Jab"),
            ("\u{1b}[1\u{1b}m", "[1m"),
        ] {
            assert_eq!(styled(text), shown);
        }
    }

    #[test]
    fn json_is_escaped_however_it_is_cut() {
        let json = "{\"a\": \"\u{9b}é\u{202e}模\u{7f}\"}";
        for size in 1..json.len() {
            let mut out = Vec::new();
            let mut escaped = EscapedJson::new(&mut out);
            json.as_bytes().chunks(size).for_each(|part| escaped.write_all(part).unwrap());
            assert_eq!(String::from_utf8(out).unwrap(), "{\"a\": \"\\u009bé\\u202e模\\u007f\"}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_result_has_the_mode_that_the_umask_leaves() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
        fs::write(folder.path().join("any"), "").unwrap();
        write_file(&folder.path().join("result"), |out| Ok(out.write_all(b"x")?)).unwrap();
        assert_eq!(mode("result"), mode("any"));
    }
}
