//! A file, or bytes in memory, that can be read any number of times from its beginning.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Unpacked;
use crate::opened::{OpenedFile, is_handed_over, open_file};

/// A file, or its bytes.
#[derive(Debug, Clone)]
pub struct Source {
    name: String,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    File(PathBuf),
    Memory(Arc<[u8]>),
}

impl Source {
    /// A file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { name: path.display().to_string(), place: Place::File(path) }
    }

    /// Bytes in memory, with a name for messages.
    pub fn memory(name: impl Into<String>, bytes: impl Into<Arc<[u8]>>) -> Self {
        Self { name: name.into(), place: Place::Memory(bytes.into()) }
    }

    /// The path or the name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Opens it at its beginning.
    ///
    /// # Errors
    /// What the system says, or that this is no file: what comes through a pipe comes once.
    pub fn open(&self) -> io::Result<Unpacked> {
        match &self.place {
            Place::File(path) => Unpacked::new(open_again(path)?),
            Place::Memory(bytes) => Unpacked::new(io::Cursor::new(Arc::clone(bytes))),
        }
    }
}

/// Opens a file that may be opened again later; of pipes only those are let through that were opened for this process,
/// `/dev/stdin` and the `/dev/fd/N` of a shell's `<(…)`.
fn open_again(path: &Path) -> io::Result<OpenedFile> {
    if !is_handed_over(path) {
        let about = path.metadata()?;
        if !about.is_file() && !about.is_dir() {
            let what = "this is a pipe, a socket or a device, not a file; pipe it to `-`";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
    }
    open_file(path)
}
