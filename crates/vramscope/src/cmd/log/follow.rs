//! Facts as they come.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value as Json, json};
use vramscope_core::escape_controls;
use vramscope_log::document::{event, failure, figure, setting};
use vramscope_log::{LogParser, News};
use vramscope_runs::{OpenedFile, open_file};
use vramscope_schema::ExitCode;

use super::render;
use crate::exit::OrExit as _;
use crate::output::{self, Format};

/// How long to wait before looking at a file again.
const PAUSE: Duration = Duration::from_millis(200);

/// Follows one file, or stdin.
pub(super) fn run(files: &[PathBuf], format: Format) -> anyhow::Result<ExitCode> {
    let only_one = || -> anyhow::Result<&PathBuf> {
        match files {
            [file] => Ok(file),
            _ => bail!("--follow takes one file, or - for stdin"),
        }
    };
    let file = only_one().or_exit(ExitCode::Usage)?;
    let mut parser = LogParser::following();
    let failed = if file == Path::new("-") {
        stream(&mut parser, &mut io::stdin().lock(), format)?
    } else {
        grow(&mut parser, file, format)?
    };
    Ok(if failed { ExitCode::EngineFailed } else { ExitCode::Success })
}

/// Reads to the end of a stream. Gives whether a failure was seen.
fn stream(parser: &mut LogParser, source: &mut dyn Read, format: Format) -> anyhow::Result<bool> {
    let mut buffer = vec![0; 64 * 1024];
    let mut failed = false;
    loop {
        match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(got) => parser.push_bytes(&buffer[..got]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context("could not read stdin").or_exit(ExitCode::BadInput),
        }
        failed |= tell(parser, format)?;
    }
    parser.push_bytes(b"\n");
    Ok(failed | tell(parser, format)?)
}

/// Reads a file as it grows, as much of it at a time as the buffer takes; the parser keeps no line beyond its own bound.
/// What has no end, and a pipe that nobody writes to, is refused as everywhere. A file that has become shorter, or another one under the name, is read from its start.
fn grow(parser: &mut LogParser, path: &Path, format: Format) -> anyhow::Result<bool> {
    let open = || open_file(path).with_context(|| format!("could not open {}", path.display()));
    let mut file = open().or_exit(ExitCode::BadInput)?;
    let mut behind = 0u64;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let got = file.read(&mut buffer).with_context(|| format!("could not read {}", path.display()));
        let got = got.or_exit(ExitCode::BadInput)?;
        if got > 0 {
            behind += u64::try_from(got).unwrap_or(0);
            parser.push_bytes(&buffer[..got]);
            tell(parser, format)?;
            continue;
        }
        std::thread::sleep(PAUSE);
        // While a log is rotated its name may be missing for a moment.
        let Ok(now) = path.metadata() else { continue };
        if now.len() < behind || is_other(&file, &now) {
            file = open().or_exit(ExitCode::BadInput)?;
            behind = 0;
            parser.push_bytes(b"\n");
        }
    }
}

#[cfg(unix)]
fn is_other(file: &OpenedFile, now: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    file.metadata().is_ok_and(|ours| (ours.ino(), ours.dev()) != (now.ino(), now.dev()))
}

#[cfg(not(unix))]
fn is_other(_: &OpenedFile, _: &std::fs::Metadata) -> bool {
    false
}

/// Prints what is new. Gives whether a failure was among it.
fn tell(parser: &mut LogParser, format: Format) -> anyhow::Result<bool> {
    let mut failed = false;
    let mut text = String::new();
    for news in parser.take_news() {
        failed |= matches!(news, News::Failure { .. });
        match format {
            Format::Table => text.push_str(&render::news(&news)),
            Format::Json => {
                if let Some(value) = object(&news)? {
                    text.push_str(&escape_controls(&value.to_string()));
                    text.push('\n');
                }
            }
        }
    }
    if !text.is_empty() {
        output::print(&text)?;
    }
    Ok(failed)
}

fn object(news: &News) -> anyhow::Result<Option<Json>> {
    Ok(Some(match news {
        News::Engine { line } => json!({"engine": {"first_line": line}}),
        News::Figure(known) => json!({"figure": serde_json::to_value(figure(known))?}),
        News::Setting(known) => json!({"setting": serde_json::to_value(setting(known))?}),
        News::Event(known) => json!({"event": serde_json::to_value(event(known))?}),
        News::Failure { failure: known, advice } => {
            json!({"failure": serde_json::to_value(failure(known, advice.clone()))?})
        }
        _ => return Ok(None),
    }))
}
