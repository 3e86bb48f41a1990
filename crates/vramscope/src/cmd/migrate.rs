//! `vramscope migrate`: a profile of an earlier version in, the current one out.

use std::path::PathBuf;

use vramscope_core::escape_controls;
use vramscope_schema::{ExitCode, Loaded, Version, WriteError};

use crate::exit::OrExit as _;
use crate::{input, output};

/// Turn a profile of an earlier version into the current one
///
/// Reads versions 1.0, 2.0 and 3.0 and writes the current version. Every number is recorded with the unit it was read
/// in and whether that unit is certain; what the old document could not say stays absent. Notes go to stderr and into
/// the document.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  vramscope migrate old.json -o new.json
  vramscope migrate old.json | jq .migration

Exit codes: 0 done, 3 not a profile, 4 the result cannot be written, 5 the document is of a newer version.")]
pub(crate) struct Args {
    /// The profile to read; - is stdin
    #[arg(value_name = "OLD.json")]
    old: PathBuf,
    /// Where to write the result; stdout without it
    #[arg(short, long, value_name = "NEW.json")]
    output: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let loaded = input::profile(&args.old)?;
    let document = written(&loaded)?;
    match &args.output {
        Some(path) => output::write_file(path, |out| Ok(out.write_all(&document)?))?,
        None => output::print(&escape_controls(&String::from_utf8(document)?))?,
    }
    report(args, &loaded);
    Ok(ExitCode::Success)
}

fn written(loaded: &Loaded) -> anyhow::Result<Vec<u8>> {
    let mut document = Vec::new();
    let result = vramscope_schema::write(&loaded.profile, &mut document);
    let code = match result {
        Err(WriteError::OtherVersion { .. }) => ExitCode::NewerVersion,
        _ => ExitCode::CannotWrite,
    };
    result.or_exit(code)?;
    Ok(document)
}

fn report(args: &Args, loaded: &Loaded) {
    for note in &loaded.notes {
        output::say(&format!("note: {note}"));
    }
    let what = if loaded.from == Version::WRITTEN { "was already of version" } else { "migrated from" };
    let to = if loaded.from == Version::WRITTEN { String::new() } else { format!(" to {}", Version::WRITTEN) };
    output::say(&format!("{} {what} {}{to}", args.old.display(), loaded.from));
}
