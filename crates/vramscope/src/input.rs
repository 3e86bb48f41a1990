//! Documents that the command reads.

use std::convert::Infallible;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use vramscope_analysis::{Evidence, assemble, profile_of_load};
use vramscope_results::MOST_RESULT_BYTES;
use vramscope_runs::EvidenceFiles;
use vramscope_schema::v3::{Generator, Profile};
use vramscope_schema::{ExitCode, Loaded, MAX_DOCUMENT_BYTES, ReadError};

use crate::exit::OrExit as _;
use crate::progress::Progress;

/// Every run of a path: a profile of any version, a recording folder, or all runs of a load generator's result, told apart
/// by what the file holds.
pub(crate) fn runs(path: &Path) -> anyhow::Result<Vec<Profile>> {
    if path.is_dir() {
        return Ok(vec![profile_or_recording(path)?]);
    }
    let read = || format!("could not read {}", path.display());
    let text =
        bounded(path, MOST_RESULT_BYTES.max(MAX_DOCUMENT_BYTES)).with_context(read).or_exit(ExitCode::BadInput)?;
    if !vramscope_results::is_result(&text) {
        return Ok(vec![profile_in(&text, path)?.profile]);
    }
    let results = vramscope_results::read(&text).with_context(read).or_exit(ExitCode::BadInput)?;
    Ok(results.iter().map(|result| profile_of_load(result, generator())).collect())
}

/// The one run of a path.
pub(crate) fn run(path: &Path) -> anyhow::Result<Profile> {
    let mut runs = runs(path)?;
    match (runs.pop(), runs.len()) {
        (Some(run), 0) => Ok(run),
        (_, others) => Err(anyhow!(
            "{} holds {} runs, and one was expected; `compare … --against …` takes them as repeats, `runs` shows each",
            path.display(),
            others + 1
        ))
        .or_exit(ExitCode::BadInput),
    }
}

/// Who makes these profiles.
pub(crate) fn generator() -> Generator {
    Generator { name: "vramscope".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
}

/// A profile of any version, or the one that is derived from a recording folder.
pub(crate) fn profile_or_recording(path: &Path) -> anyhow::Result<Profile> {
    if path.is_dir() {
        return recording(&EvidenceFiles::find(path).or_exit(ExitCode::BadInput)?);
    }
    Ok(profile(path)?.profile)
}

/// A profile of any version, a recording folder, or an engine's log alone, told apart by what the file begins with.
pub(crate) fn profile_recording_or_log(path: &Path) -> anyhow::Result<Profile> {
    if path.is_dir() || is_stdin(path) {
        return profile_or_recording(path);
    }
    let mut head = [0; 512];
    let mut file = vramscope_runs::open_file(path)
        .with_context(|| format!("could not read {}", path.display()))
        .or_exit(ExitCode::BadInput)?;
    let read = file.read(&mut head).with_context(|| format!("could not read {}", path.display()));
    let head = &head[..read.or_exit(ExitCode::BadInput)?];
    let is_document = path.extension().is_some_and(|end| end == "json") && head.trim_ascii_start().starts_with(b"{");
    if is_document {
        return profile_or_recording(path);
    }
    recording(&EvidenceFiles { engine_logs: vec![path.to_owned()], ..EvidenceFiles::default() })
}

/// The profile of recorded evidence.
pub(crate) fn recording(files: &EvidenceFiles) -> anyhow::Result<Profile> {
    let mut progress = Progress::new();
    let evidence = Evidence::load(files, &mut |file: &Path, behind| progress.bytes(file, behind));
    progress.end();
    let evidence = evidence.or_exit(ExitCode::BadInput)?;
    assemble(&evidence, generator()).or_exit(ExitCode::BadInput)
}

/// Reads a profile of any version. What a person should know of the reading is in its notes.
pub(crate) fn profile(path: &Path) -> anyhow::Result<Loaded> {
    let text = bounded(path, MAX_DOCUMENT_BYTES)
        .with_context(|| format!("could not read {}", path.display()))
        .or_exit(ExitCode::BadInput)?;
    profile_in(&text, path)
}

pub(crate) fn profile_in(text: &[u8], path: &Path) -> anyhow::Result<Loaded> {
    vramscope_schema::read(text).map_err(|error| {
        let code = match error {
            ReadError::NewerMajor { .. } => ExitCode::NewerVersion,
            _ => ExitCode::BadInput,
        };
        let context = anyhow::Error::new(error).context(format!("could not read {}", path.display()));
        context.context(crate::exit::Failed { code })
    })
}

/// Whether a path stands for stdin.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// A file that is read once, from its beginning to its end; `-` is stdin.
pub(crate) fn streamed(text: &str) -> Result<PathBuf, Infallible> {
    Ok(if is_stdin(Path::new(text)) { "/dev/stdin".into() } else { text.into() })
}

/// Reads no more than `most` bytes of a file, or of stdin for `-`, and one byte, by which a larger one is told.
pub(crate) fn bounded(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = Vec::new();
    let source: Box<dyn io::Read> =
        if is_stdin(path) { Box::new(io::stdin().lock()) } else { Box::new(vramscope_runs::open_file(path)?) };
    source.take(limit).read_to_end(&mut text)?;
    Ok(text)
}

/// A table that a person writes by hand is not larger.
const MOST_TABLE_BYTES: usize = 4 << 20;

/// Reads a table of settings, or of rules, as text.
pub(crate) fn table(path: &Path) -> anyhow::Result<String> {
    let read = || -> anyhow::Result<String> {
        let bytes = bounded(path, MOST_TABLE_BYTES)?;
        anyhow::ensure!(
            bytes.len() <= MOST_TABLE_BYTES,
            "it is larger than {} MiB, which no such table is",
            MOST_TABLE_BYTES >> 20
        );
        String::from_utf8(bytes).context("it is not UTF-8 text")
    };
    read().with_context(|| format!("could not read {}", path.display())).or_exit(ExitCode::BadInput)
}
