//! The traces that an engine writes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::CaptureError;

/// What tells one version of a file from another.
type Mark = (u64, Option<SystemTime>);

/// Files must stay as they are for this long to be taken for whole.
const QUIET: Duration = Duration::from_secs(2);

const STEP: Duration = Duration::from_millis(250);

/// The traces in a folder, with their sizes and times.
pub(super) fn found(dir: &Path) -> Result<BTreeMap<PathBuf, Mark>, CaptureError> {
    let mut traces = BTreeMap::new();
    for entry in std::fs::read_dir(dir).map_err(|source| CaptureError::List { path: dir.to_owned(), source })? {
        let entry = entry.map_err(CaptureError::Entry)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_trace = [".pt.trace.json", ".pt.trace.json.gz"].iter().any(|end| name.ends_with(end));
        // A file may be renamed between the listing and the question.
        if let Some(about) = entry.metadata().ok().filter(|about| is_trace && about.is_file()) {
            traces.insert(entry.path(), (about.len(), about.modified().ok()));
        }
    }
    Ok(traces)
}

/// Waits until new traces are there and no longer change.
pub(super) async fn wait_for_new(
    dir: &Path,
    before: &BTreeMap<PathBuf, Mark>,
    timeout: Duration,
) -> Result<Vec<PathBuf>, CaptureError> {
    let start = Instant::now();
    let mut last = BTreeMap::new();
    let mut since = Instant::now();
    loop {
        let mut now = found(dir)?;
        now.retain(|path, mark| before.get(path) != Some(mark));
        if now != last {
            last = now;
            since = Instant::now();
        } else if !last.is_empty() && since.elapsed() >= QUIET {
            return Ok(last.into_keys().collect());
        }
        if start.elapsed() > timeout {
            return Err(CaptureError::NoTrace { dir: dir.to_owned(), after: timeout });
        }
        tokio::time::sleep(STEP).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_new_traces_count() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("old.pt.trace.json"), "x").unwrap();
        let before = found(folder.path()).unwrap();
        assert!(wait_for_new(folder.path(), &before, Duration::from_millis(10)).await.is_err());
        std::fs::write(folder.path().join("rank0.pt.trace.json.gz"), "y").unwrap();
        std::fs::write(folder.path().join("profiler_out.txt"), "z").unwrap();
        let new = wait_for_new(folder.path(), &before, Duration::from_secs(20)).await.unwrap();
        assert_eq!(new, [folder.path().join("rank0.pt.trace.json.gz")]);
    }
}
