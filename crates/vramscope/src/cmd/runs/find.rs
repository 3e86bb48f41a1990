//! Which runs are meant by a list of paths.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use vramscope_runs::{EvidenceFiles, layout};
use vramscope_schema::ExitCode;

use crate::exit::OrExit as _;

/// Folders below a named one that are looked into: a campaign's folder, and its parts.
const DEPTH: usize = 3;

/// A run to be read.
pub(super) struct Found {
    /// A profile document or a recording folder.
    pub(super) path: PathBuf,
    /// It was named itself, so it has to be readable.
    pub(super) named: bool,
}

/// The runs, in the order of the paths, and by name within a folder.
pub(super) fn runs(paths: &[PathBuf]) -> anyhow::Result<Vec<Found>> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() && !is_recording(path) {
            below(path, DEPTH, &mut found)?;
        } else {
            found.push(Found { path: path.clone(), named: true });
        }
    }
    Ok(found)
}

fn is_recording(folder: &Path) -> bool {
    EvidenceFiles::find(folder).is_ok()
}

/// Profiles in a folder, and recordings that have no profile beside them.
fn below(folder: &Path, depth: usize, found: &mut Vec<Found>) -> anyhow::Result<()> {
    let list = || -> std::io::Result<Vec<PathBuf>> { fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect() };
    let listed = list().with_context(|| format!("could not list {}", folder.display()));
    let mut entries = listed.or_exit(ExitCode::BadInput)?;
    entries.sort();
    for path in &entries {
        let profile = path.extension().is_some_and(|extension| extension == "json");
        // What `profile --repeat` and `campaign` say of several runs is no run.
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let summary = layout::SUMMARIES.iter().any(|end| stem.ends_with(end));
        // A run of a campaign that is complete is not told of with its failures.
        let overcome =
            stem.split_once(layout::FAILED).is_some_and(|(key, _)| folder.join(format!("{key}.json")).is_file());
        // A sweep of a load generator has its runs beside their summary.
        let of_sweep = file_name(path) == layout::SWEEP_SUMMARY
            && entries.iter().any(|other| file_name(other).starts_with(layout::SWEEP_RUN));
        if path.is_file() && profile && (summary || overcome || of_sweep) {
            continue;
        }
        // What was published of a campaign's attempts stands for them.
        if path.is_dir() && file_name(path) == layout::ATTEMPTS && folder.join(layout::CAMPAIGN_PLAN).is_file() {
            continue;
        }
        if path.is_file() && profile {
            found.push(Found { path: path.clone(), named: false });
        } else if path.is_dir() && is_recording(path) {
            let beside = path.with_file_name(format!("{}.json", file_name(path)));
            if !beside.is_file() {
                found.push(Found { path: path.clone(), named: false });
            }
        } else if path.is_dir() && depth > 1 {
            below(path, depth - 1, found)?;
        }
    }
    Ok(())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
