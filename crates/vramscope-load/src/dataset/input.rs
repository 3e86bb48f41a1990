//! A file as it is read: hashed on the way, and never more than a record of it in memory.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use sha2::{Digest as _, Sha256};

use super::error::DatasetError;

/// A record of more is no prompt of any model: 16 million tokens are refused elsewhere too.
const MAX_RECORD: usize = 16 << 20;
/// So much is read at once.
const BLOCK: usize = 64 << 10;

/// A data set's bytes.
pub(super) struct Input<R> {
    /// What errors call it.
    pub(super) file: String,
    bytes: BufReader<Hashed<R>>,
    left: Rc<Cell<usize>>,
    /// Lines that were given out by [`Input::line`].
    pub(super) line: u64,
}

struct Hashed<R> {
    inner: R,
    hash: Sha256,
    length: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.hash.update(&into[..read]);
        self.length += read as u64;
        Ok(read)
    }
}

/// What was read, for the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) sha256: String,
    pub(super) bytes: u64,
}

/// Sets back what a record may still take, whoever holds the reader meanwhile.
#[derive(Clone)]
pub(super) struct Fresh(Rc<Cell<usize>>);

impl Fresh {
    /// A record begins.
    pub(super) fn record(&self) {
        self.0.set(MAX_RECORD);
    }
}

impl Input<File> {
    pub(super) fn open(path: &Path) -> Result<Self, DatasetError> {
        let file = path.display().to_string();
        match File::open(path) {
            Ok(inner) => Ok(Self::new(file, inner)),
            Err(source) => Err(DatasetError::Read { file, source }),
        }
    }
}

impl<R: Read> Input<R> {
    pub(super) fn new(file: String, inner: R) -> Self {
        let hashed = Hashed { inner, hash: Sha256::new(), length: 0 };
        Self { file, bytes: BufReader::with_capacity(BLOCK, hashed), left: Rc::new(Cell::new(MAX_RECORD)), line: 0 }
    }

    pub(super) fn fresh(&self) -> Fresh {
        Fresh(self.left.clone())
    }

    /// The first byte that is no white space or mark of UTF-8, which stays to be read.
    pub(super) fn first(&mut self) -> Result<Option<u8>, DatasetError> {
        loop {
            let ready =
                self.bytes.fill_buf().map_err(|source| DatasetError::Read { file: self.file.clone(), source })?;
            let skipped = if ready.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
            let found = ready[skipped..].iter().position(|byte| !byte.is_ascii_whitespace());
            let (used, first) = match found {
                Some(at) => (skipped + at, Some(ready[skipped + at])),
                None => (ready.len(), None),
            };
            let ended = ready.is_empty();
            let lines = ready[..used].iter().filter(|byte| **byte == b'\n').count() as u64;
            self.line += lines;
            self.bytes.consume(used);
            if ended || first.is_some() {
                return Ok(first);
            }
        }
    }

    /// The next line with something in it, and its number is [`Input::line`]; `None` at the end.
    pub(super) fn line(&mut self, into: &mut Vec<u8>) -> Result<bool, DatasetError> {
        loop {
            into.clear();
            self.left.set(MAX_RECORD);
            let read = self.bytes.by_ref().take(MAX_RECORD as u64 + 1).read_until(b'\n', into);
            let read = read.map_err(|source| DatasetError::Read { file: self.file.clone(), source })?;
            if read == 0 {
                return Ok(false);
            }
            self.line += 1;
            if read > MAX_RECORD {
                return Err(self.wrong(too_long()));
            }
            if !into.iter().all(u8::is_ascii_whitespace) {
                return Ok(true);
            }
        }
    }

    /// An error in the line that was given out last.
    pub(super) fn wrong(&self, problem: impl Into<String>) -> DatasetError {
        DatasetError::Line { file: self.file.clone(), line: self.line, problem: problem.into() }
    }

    /// Reads what is left, so that the hash is of the whole file.
    pub(super) fn end(mut self) -> Result<Seen, DatasetError> {
        let rest = io::copy(&mut self.bytes, &mut io::sink());
        rest.map_err(|source| DatasetError::Read { file: self.file.clone(), source })?;
        let Hashed { hash, length, .. } = self.bytes.into_inner();
        let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Seen { sha256, bytes: length })
    }
}

fn too_long() -> String {
    format!("a record is longer than {} MiB; leave it out", MAX_RECORD >> 20)
}

impl<R: Read> Read for Input<R> {
    /// For parsers that read on their own: fails when a record is too long.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, too_long()));
        }
        let most = into.len().min(left);
        let read = self.bytes.read(&mut into[..most])?;
        self.left.set(left - read);
        Ok(read)
    }
}
