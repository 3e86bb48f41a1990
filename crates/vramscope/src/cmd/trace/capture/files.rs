//! The traces that an engine writes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, bail};

/// What tells one version of a file from another.
type Mark = (u64, Option<SystemTime>);

/// Files must stay as they are for this long to be taken for whole.
const QUIET: Duration = Duration::from_secs(2);

const STEP: Duration = Duration::from_millis(250);

/// The traces in a folder, with their sizes and times.
pub(super) fn found(dir: &Path) -> anyhow::Result<BTreeMap<PathBuf, Mark>> {
    let mut traces = BTreeMap::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("could not list {}", dir.display()))? {
        let entry = entry?;
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
pub(super) fn wait_for_new(
    dir: &Path,
    before: &BTreeMap<PathBuf, Mark>,
    timeout: Duration,
) -> anyhow::Result<Vec<PathBuf>> {
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
            bail!(
                "no new trace in {} after {} s: is that the folder that the engine writes to?",
                dir.display(),
                timeout.as_secs()
            );
        }
        thread::sleep(STEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_traces_count() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("old.pt.trace.json"), "x").unwrap();
        let before = found(folder.path()).unwrap();
        assert!(wait_for_new(folder.path(), &before, Duration::from_millis(10)).is_err());
        std::fs::write(folder.path().join("rank0.pt.trace.json.gz"), "y").unwrap();
        std::fs::write(folder.path().join("profiler_out.txt"), "z").unwrap();
        let new = wait_for_new(folder.path(), &before, Duration::from_secs(20)).unwrap();
        assert_eq!(new, [folder.path().join("rank0.pt.trace.json.gz")]);
    }
}
