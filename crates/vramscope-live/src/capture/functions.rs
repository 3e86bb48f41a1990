//! The trace of every python function that a deep capture makes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::CaptureError;
use crate::vllm::profiler::FUNCTION_TRACE;

/// How often is looked how large it has become. What is written meanwhile is on the disk for so long.
const STEP: Duration = Duration::from_millis(250);
/// Folders below the engine's folder of temporary files that are looked into.
const DEPTH: usize = 4;

/// A folder for the temporary files of one engine. vLLM writes its trace of python functions where python's
/// `tempfile.gettempdir()` points (`enable_trace_function_call_for_thread`, 0.5 to 0.32) and lets no one choose or bound
/// it: a model's start alone fills hundreds of megabytes. In a folder of its own the files are certainly this engine's, so
/// that they may be cut; it goes with all that is in it.
pub(super) struct FunctionTrace {
    folder: TempDir,
    /// All files together, in bytes.
    limit: u64,
    cut: bool,
}

/// What is left of it.
pub(super) struct Kept {
    /// Each file with its size in bytes.
    pub(super) files: Vec<(PathBuf, u64)>,
    /// It was larger than it was allowed to be.
    pub(super) cut: bool,
}

impl FunctionTrace {
    pub(super) fn new(limit: u64) -> Result<Self, CaptureError> {
        // Sockets are made in it, whose paths have little more than a hundred bytes: its name is short.
        let folder = tempfile::Builder::new().prefix("vramscope-").tempdir();
        let folder = folder.map_err(|source| CaptureError::MakeDir { path: std::env::temp_dir(), source })?;
        Ok(Self { folder, limit, cut: false })
    }

    /// What tells the engine of the folder.
    pub(super) fn environment(&self) -> (&'static str, String) {
        ("TMPDIR", self.folder.path().display().to_string())
    }

    /// Waits for some work, and keeps the trace within its limit meanwhile.
    pub(super) async fn bounding<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(STEP) => self.cut_to_limit(),
            }
        }
    }

    /// Cuts off what is too much. The engine opens the file anew for each line and appends to what is there, so what is
    /// left is the beginning; what it writes next is cut off at the next look.
    fn cut_to_limit(&mut self) {
        let mut room = self.limit;
        for (path, bytes) in self.files() {
            let allowed = bytes.min(room);
            room -= allowed;
            if bytes > allowed {
                // One that has gone meanwhile takes no room.
                let cut = fs::OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(allowed));
                self.cut |= cut.is_ok();
            }
        }
    }

    /// The files with their sizes, in the order of their paths.
    fn files(&self) -> Vec<(PathBuf, u64)> {
        let mut found = Vec::new();
        below(self.folder.path(), DEPTH, &mut found);
        found.sort();
        found
    }

    /// Moves what is within the limit to a folder; the rest goes with the engine's own folder.
    pub(super) fn keep_in(mut self, dir: &Path) -> Result<Kept, CaptureError> {
        self.cut_to_limit();
        let mut files = Vec::new();
        for (path, bytes) in self.files().into_iter().filter(|(_, bytes)| *bytes > 0) {
            let Some(name) = path.file_name() else { continue };
            let kept = dir.join(name);
            moved(&path, &kept).map_err(|source| CaptureError::KeepFunctions { path: kept.clone(), source })?;
            files.push((kept, bytes));
        }
        Ok(Kept { files, cut: self.cut })
    }
}

/// Moves a file, to another disk too.
fn moved(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to).or_else(|_| fs::copy(from, to).map(drop))
}

fn below(folder: &Path, depth: usize, found: &mut Vec<(PathBuf, u64)>) {
    // What cannot be listed is gone, or the engine's own secret.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(about) = entry.path().symlink_metadata() else { continue };
        if about.is_file() && entry.file_name().to_string_lossy().starts_with(FUNCTION_TRACE) {
            found.push((entry.path(), about.len()));
        } else if about.is_dir() && depth > 1 {
            below(&entry.path(), depth - 1, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// Where vLLM 0.32 writes, below its folder of temporary files.
    fn write(trace: &FunctionTrace, process: u32, bytes: usize) -> PathBuf {
        let folder = trace.folder.path().join("user/vllm/vllm-instance-1");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("VLLM_TRACE_FUNCTION_for_process_{process}_thread_1_at_now.log"));
        let mut file = fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
        file.write_all(&vec![b'x'; bytes]).unwrap();
        path
    }

    #[tokio::test]
    async fn all_files_together_stay_within_the_limit_and_the_rest_goes() {
        let kept_in = tempfile::tempdir().unwrap();
        let mut trace = FunctionTrace::new(100).unwrap();
        let folder = trace.folder.path().to_owned();
        fs::write(folder.join("socket"), "the engine's own").unwrap();
        let (first, second) = (write(&trace, 1, 60), write(&trace, 2, 70));
        trace.cut_to_limit();
        let lengths = |paths: [&Path; 2]| paths.map(|path| path.metadata().unwrap().len());
        assert_eq!(lengths([&first, &second]), [60, 40]);
        // The engine goes on to write into what was cut.
        write(&trace, 2, 70);
        write(&trace, 1, 10);
        let kept = trace.keep_in(kept_in.path()).unwrap();
        assert!(kept.cut && !folder.exists());
        let named: Vec<(&Path, u64)> = kept.files.iter().map(|(path, bytes)| (path.as_path(), *bytes)).collect();
        let [first, second] = [&first, &second].map(|path| kept_in.path().join(path.file_name().unwrap()));
        assert_eq!(named, [(first.as_path(), 70), (second.as_path(), 30)]);
        assert_eq!(lengths([&first, &second]), [70, 30]);
    }

    #[test]
    fn nothing_is_kept_where_nothing_may_be() {
        let kept_in = tempfile::tempdir().unwrap();
        let trace = FunctionTrace::new(0).unwrap();
        write(&trace, 1, 10);
        let kept = trace.keep_in(kept_in.path()).unwrap();
        assert!(kept.cut && kept.files.is_empty() && kept_in.path().read_dir().unwrap().next().is_none());
    }
}
