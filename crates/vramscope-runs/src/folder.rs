//! The recording folder: everything that happens in a run, as it happens.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::args_file::ArgsFile;
use crate::layout;
use crate::record::RunRecord;

/// Room that is taken while the run goes on, so that a disk that fills up has place for the outcome and the profile.
/// A run's record and its profile have a tenth of this with one device, and each further one adds a few thousand bytes.
const ROOM_BYTES: usize = 512 << 10;

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
    /// A file without a name, so that it is gone with this process, however that ends.
    room: Arc<Mutex<Option<File>>>,
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
        // A disk that has no room for it now will say so of the files that matter.
        let room = tempfile::tempfile_in(path).and_then(|mut file| file.write_all(&vec![0; ROOM_BYTES]).map(|()| file));
        Ok(Self { path: path.to_owned(), room: Arc::new(Mutex::new(room.ok())) })
    }

    /// Gives back the room that was kept for the end.
    pub fn give_room_back(&self) {
        drop(self.room.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file of the full-rate timeline.
    pub fn timeline(&self) -> PathBuf {
        self.path.join(layout::TIMELINE)
    }

    /// Writes a file whole, through a temporary name beside it.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), FolderError> {
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
    ///
    /// # Errors
    /// [`FolderError::Write`] if it cannot be written.
    pub fn write_args(&self, args: &ArgsFile) -> Result<(), FolderError> {
        let text = serde_json::to_vec(args).map_err(io::Error::from);
        let text = text.map_err(|source| FolderError::Write { path: self.path.join(layout::ARGS), source })?;
        self.write(layout::ARGS, &text)
    }

    /// Writes the outcome.
    pub fn write_record(&self, record: &RunRecord) -> Result<(), FolderError> {
        let text = serde_json::to_vec_pretty(record).map_err(io::Error::from);
        let text = text.map_err(|source| FolderError::Write { path: self.path.join(layout::RECORD), source })?;
        self.write(layout::RECORD, &text)
    }

    /// Opens a file that is written line by line.
    pub fn lines(&self, name: &str) -> Result<LineFile, FolderError> {
        let path = self.path.join(name);
        let file = File::create(&path).map_err(|source| FolderError::Write { path: path.clone(), source })?;
        Ok(LineFile { path, out: Some(BufWriter::new(file)) })
    }
}

/// A file that is written line by line. After an error nothing more is written: what is there stays as it is.
#[derive(Debug)]
pub struct LineFile {
    path: PathBuf,
    out: Option<BufWriter<File>>,
}

impl LineFile {
    /// Bytes of a line, and its end if it is ended.
    ///
    /// # Errors
    /// [`FolderError::Write`] with what the system says; of the first error alone, after which nothing is written.
    pub fn push(&mut self, bytes: &[u8], ended: bool) -> Result<(), FolderError> {
        let end: &[u8] = if ended { b"\n" } else { b"" };
        self.write(|out| out.write_all(bytes).and_then(|()| out.write_all(end)))
    }

    /// A line of JSON.
    ///
    /// # Errors
    /// [`FolderError::Write`] with what the system says; of the first error alone, after which nothing is written.
    pub fn push_json(&mut self, value: &impl serde::Serialize) -> Result<(), FolderError> {
        let text = serde_json::to_vec(value).map_err(io::Error::from);
        let text = text.map_err(|source| FolderError::Write { path: self.path.clone(), source })?;
        self.push(&text, true)
    }

    /// Hands everything to the system.
    ///
    /// # Errors
    /// [`FolderError::Write`] with what the system says; of the first error alone, after which nothing is written.
    pub fn flush(&mut self) -> Result<(), FolderError> {
        self.write(BufWriter::flush)
    }

    /// Tells of the first error alone.
    fn write(&mut self, work: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<(), FolderError> {
        let Some(out) = &mut self.out else { return Ok(()) };
        work(out).map_err(|source| {
            // Dropping the writer would write what it still holds once the disk has room again.
            drop(self.out.take().map(BufWriter::into_parts));
            FolderError::Write { path: self.path.clone(), source }
        })
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
        let args = ArgsFile { argv: vec!["a".to_owned()], model: Some("m".to_owned()), engine_version: None };
        folder.write_args(&args).unwrap();
        assert_eq!(fs::read_to_string(path.join("args.json")).unwrap(), r#"{"argv":["a"],"model":"m","vllm":null}"#);
        assert!(matches!(RecordingFolder::create(&path), Err(FolderError::NotEmpty { .. })));
        folder.give_room_back();
        assert!(fs::read_dir(&path).unwrap().all(|file| file.unwrap().file_name() == "args.json"));
        assert!(matches!(RecordingFolder::create(&path.join("args.json")), Err(FolderError::Write { .. })));
    }

    #[test]
    fn a_file_whose_disk_is_full_says_so_once_and_takes_nothing_more() {
        let full = Path::new("/dev/full");
        let file = File::options().write(true).open(full).unwrap();
        let mut lines = LineFile { path: full.to_owned(), out: Some(BufWriter::new(file)) };
        lines.push(b"a line", true).unwrap();
        let Err(FolderError::Write { source, .. }) = lines.flush() else { panic!("the disk is full") };
        assert_eq!(source.kind(), io::ErrorKind::StorageFull);
        lines.push(b"another", true).unwrap();
        lines.flush().unwrap();
    }
}
