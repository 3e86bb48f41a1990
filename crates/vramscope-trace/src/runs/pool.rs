//! Where packed batches are kept: in memory up to a budget, then in one unnamed temporary file.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::TraceError;

/// Memory and a file shared by all sets of records of one analysis.
#[derive(Clone)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    budget: usize,
    folder: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    in_memory: usize,
    file: Option<File>,
    file_bytes: u64,
}

/// One packed batch. Its memory is given back to the pool when it is dropped.
pub(crate) struct Batch {
    pool: Pool,
    place: Place,
}

enum Place {
    Memory(Box<[u8]>),
    File { offset: u64, length: u64 },
}

impl Drop for Batch {
    fn drop(&mut self) {
        if let Place::Memory(bytes) = &self.place {
            self.pool.release(bytes.len());
        }
    }
}

impl Pool {
    /// A pool that keeps `budget` bytes in memory and the rest in `folder`; everything in memory without a folder.
    pub(crate) fn new(budget: usize, folder: Option<PathBuf>) -> Self {
        Self { shared: Arc::new(Shared { budget, folder, state: Mutex::default() }) }
    }

    /// Bytes that went to the file.
    pub(crate) fn spilled_bytes(&self) -> u64 {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).file_bytes
    }

    pub(crate) fn keep(&self, bytes: Vec<u8>) -> Result<Batch, TraceError> {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(folder) = self.shared.folder.as_ref().filter(|_| state.in_memory + bytes.len() > self.shared.budget)
        else {
            state.in_memory += bytes.len();
            return Ok(Batch { pool: self.clone(), place: Place::Memory(bytes.into_boxed_slice()) });
        };
        let failed = |source| TraceError::Spill { folder: folder.clone(), source };
        if state.file.is_none() {
            state.file = Some(tempfile::tempfile_in(folder).map_err(failed)?);
        }
        let offset = state.file_bytes;
        if let Some(file) = &mut state.file {
            file.seek(SeekFrom::Start(offset)).and_then(|_| file.write_all(&bytes)).map_err(failed)?;
        }
        let length = bytes.len() as u64;
        state.file_bytes += length;
        Ok(Batch { pool: self.clone(), place: Place::File { offset, length } })
    }

    /// Memory of a batch that is no longer needed.
    fn release(&self, bytes: usize) {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.in_memory = state.in_memory.saturating_sub(bytes);
    }

    fn read_at(&self, offset: u64, length: usize, into: &mut Vec<u8>) -> Result<(), TraceError> {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        let start = into.len();
        into.resize(start + length, 0);
        let read = match &mut state.file {
            Some(file) => file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(&mut into[start..])),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        read.map_err(|source| TraceError::Spill { folder: self.shared.folder.clone().unwrap_or_default(), source })
    }
}

/// Bytes of a batch that are read from the file at a time.
const CHUNK: usize = 1 << 14;

/// The longest record takes fewer bytes than this: nine numbers of at most ten bytes.
const LONGEST: usize = 128;

impl Batch {
    pub(crate) fn open(&self) -> Window<'_> {
        match &self.place {
            Place::Memory(bytes) => Window::Memory(bytes),
            &Place::File { offset, length } => {
                Window::File(Chunk { pool: &self.pool, offset, length, ready: Vec::new(), at: 0 })
            }
        }
    }
}

/// A batch being read.
pub(crate) enum Window<'a> {
    Memory(&'a [u8]),
    File(Chunk<'a>),
}

/// The part of a batch in the file that is in memory, and where the rest is.
pub(crate) struct Chunk<'a> {
    pool: &'a Pool,
    offset: u64,
    length: u64,
    ready: Vec<u8>,
    at: usize,
}

impl Window<'_> {
    /// Lets `take` remove one record; `None` at the end.
    pub(crate) fn take<T>(&mut self, mut take: impl FnMut(&mut &[u8]) -> Option<T>) -> Result<Option<T>, TraceError> {
        match self {
            Self::Memory(bytes) => Ok(if bytes.is_empty() { None } else { take(bytes) }),
            Self::File(chunk) => {
                chunk.refill()?;
                let mut rest = &chunk.ready[chunk.at..];
                if rest.is_empty() {
                    return Ok(None);
                }
                let found = take(&mut rest);
                chunk.at = chunk.ready.len() - rest.len();
                Ok(found)
            }
        }
    }
}

impl Chunk<'_> {
    fn refill(&mut self) -> Result<(), TraceError> {
        if self.length == 0 || self.ready.len() - self.at >= LONGEST {
            return Ok(());
        }
        self.ready.drain(..self.at);
        self.at = 0;
        let bytes = usize::try_from(self.length).map_or(CHUNK, |n| n.min(CHUNK));
        self.pool.read_at(self.offset, bytes, &mut self.ready)?;
        self.offset += bytes as u64;
        self.length -= bytes as u64;
        Ok(())
    }
}
