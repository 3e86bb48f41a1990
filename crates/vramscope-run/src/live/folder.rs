//! The recording folder: everything that happens in a run, as it happens.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::evidence::record::RunRecord;

/// A folder that cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// There is something in it already.
    #[error("record into {}: the folder is not empty; name another one with --output", .path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("write {}: check that the folder exists, may be written and has room", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// A recording folder.
#[derive(Debug, Clone)]
pub struct RecordingFolder {
    path: PathBuf,
}

impl RecordingFolder {
    /// Makes the folder with its parents.
    ///
    /// # Errors
    /// [`FolderError::NotEmpty`] if it holds anything, [`FolderError::Write`] if it cannot be made.
    pub fn create(path: &Path) -> Result<Self, FolderError> {
        let failed = |source| FolderError::Write { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(failed)?;
        if fs::read_dir(path).map_err(failed)?.next().is_some() {
            return Err(FolderError::NotEmpty { path: path.to_owned() });
        }
        Ok(Self { path: path.to_owned() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file of the full-rate timeline.
    pub fn timeline(&self) -> PathBuf {
        self.path.join("timeline.jsonl")
    }

    /// Writes a file whole, through a temporary name beside it.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), FolderError> {
        let path = self.path.join(name);
        let unfinished = self.path.join(format!(".{name}.unfinished"));
        let written = fs::write(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, &path));
        written.map_err(|source| {
            // What could not be finished is of no use, and takes room.
            let _ = fs::remove_file(&unfinished);
            FolderError::Write { path, source }
        })
    }

    /// Writes the command line.
    pub(crate) fn write_args(&self, argv: &[String], version: Option<&str>, model: &str) -> Result<(), FolderError> {
        let text = json!({ "argv": argv, "vllm": version, "model": model }).to_string();
        self.write("args.json", text.as_bytes())
    }

    /// Writes the outcome.
    pub(crate) fn write_record(&self, record: &RunRecord) -> Result<(), FolderError> {
        let text = serde_json::to_vec_pretty(record).map_err(io::Error::from);
        let text = text.map_err(|source| FolderError::Write { path: self.path.join("run.json"), source })?;
        self.write("run.json", &text)
    }

    /// Opens a file that is written line by line.
    pub(crate) fn lines(&self, name: &str) -> Result<LineFile, FolderError> {
        let path = self.path.join(name);
        let file = File::create(&path).map_err(|source| FolderError::Write { path: path.clone(), source })?;
        Ok(LineFile { path, out: BufWriter::new(file) })
    }
}

/// A file that is written line by line.
#[derive(Debug)]
pub(crate) struct LineFile {
    path: PathBuf,
    out: BufWriter<File>,
}

impl LineFile {
    pub(crate) fn push(&mut self, bytes: &[u8], ended: bool) -> Result<(), FolderError> {
        let end: &[u8] = if ended { b"\n" } else { b"" };
        let written = self.out.write_all(bytes).and_then(|()| self.out.write_all(end));
        written.map_err(|source| FolderError::Write { path: self.path.clone(), source })
    }

    pub(crate) fn flush(&mut self) -> Result<(), FolderError> {
        self.out.flush().map_err(|source| FolderError::Write { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_anything_in_it_is_not_written_to() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let folder = RecordingFolder::create(&path).unwrap();
        folder.write_args(&["vllm".to_owned()], None, "m").unwrap();
        assert_eq!(fs::read_to_string(path.join("args.json")).unwrap(), r#"{"argv":["vllm"],"model":"m","vllm":null}"#);
        assert!(matches!(RecordingFolder::create(&path), Err(FolderError::NotEmpty { .. })));
        assert!(matches!(RecordingFolder::create(&path.join("args.json")), Err(FolderError::Write { .. })));
    }
}
