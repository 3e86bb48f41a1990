//! Where the bytes of a snapshot come from: a file or memory, plain or compressed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::SnapshotError;

/// A snapshot's file, or its bytes.
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

/// How a snapshot is packed. It is told from the first bytes, not from the file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// As torch writes it.
    Plain,
    /// gzip, of any number of members.
    Gzip,
    /// zstd, of any number of frames.
    Zstd,
}

impl Compression {
    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
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
    pub(crate) fn open(&self) -> Result<Input, SnapshotError> {
        match &self.place {
            Place::File(path) => {
                let failed = |source| SnapshotError::Open { path: path.clone(), source };
                check_kind(path).map_err(failed)?;
                let file = File::open(path).map_err(failed)?;
                Input::new(self.name.clone(), Box::new(file))
            }
            Place::Memory(bytes) => Input::new(self.name.clone(), Box::new(io::Cursor::new(Arc::clone(bytes)))),
        }
    }
}

/// Refuses what is no file before it is opened, as a named pipe waits for its writer. What was opened for this process
/// is let through: `/dev/stdin` and the `/dev/fd/N` of a shell's `<(…)`.
fn check_kind(path: &Path) -> io::Result<()> {
    if ["/dev/stdin", "/dev/fd", "/proc/self/fd"].iter().any(|place| path.starts_with(place)) {
        return Ok(());
    }
    let about = path.metadata()?;
    if about.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "this is a folder, not a file"));
    }
    if !about.is_file() {
        let what = "this is a pipe, a socket or a device, not a file; pipe it to `-`";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    Ok(())
}

/// What a snapshot may at most grow to when it is unpacked, as a multiple of its packed size. Real ones grow 8 to 40
/// times: the stacks of a loop are all alike.
const MAX_RATIO: u64 = 200;

/// Output that is always allowed, so that a small file is never judged by its ratio.
const FREE_BYTES: u64 = 8 << 20;

/// The largest zstd window, as a power of two: 128 MiB, what the zstd tool allows without being told.
const MAX_ZSTD_WINDOW: u32 = 27;

/// Bytes that are taken from the file at a time.
const CHUNK: usize = 1 << 18;

/// An opened snapshot: unpacked bytes come out.
pub(crate) struct Input {
    name: String,
    compression: Compression,
    reader: Box<dyn Read>,
    packed: std::rc::Rc<std::cell::Cell<u64>>,
    buffer: Vec<u8>,
    at: usize,
    end: usize,
    /// Unpacked bytes before the buffer.
    before: u64,
}

impl Input {
    fn new(name: String, reader: Box<dyn Read>) -> Result<Self, SnapshotError> {
        let packed = std::rc::Rc::new(std::cell::Cell::new(0));
        let mut reader = BufReader::with_capacity(CHUNK, Counted { reader, count: packed.clone() });
        let failed = |source| SnapshotError::Read { name: name.clone(), bytes: 0, source };
        let compression = match reader.fill_buf().map_err(failed)? {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
            _ => Compression::Plain,
        };
        let reader: Box<dyn Read> = match compression {
            Compression::Plain => Box::new(reader),
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(reader).map_err(failed)?;
                decoder.window_log_max(MAX_ZSTD_WINDOW).map_err(failed)?;
                Box::new(decoder)
            }
        };
        Ok(Self { name, compression, reader, packed, buffer: vec![0; CHUNK], at: 0, end: 0, before: 0 })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn compression(&self) -> Compression {
        self.compression
    }

    /// Bytes taken from the file.
    pub(crate) fn packed_bytes(&self) -> u64 {
        self.packed.get()
    }

    /// The place of the next byte.
    pub(crate) fn offset(&self) -> u64 {
        self.before + self.at as u64
    }

    /// The next bytes without taking them: fewer only at the end.
    pub(crate) fn peek(&mut self, wanted: usize) -> Result<&[u8], SnapshotError> {
        if self.end - self.at < wanted {
            self.fill(wanted)?;
        }
        Ok(&self.buffer[self.at..self.end.min(self.at + wanted)])
    }

    /// Takes exactly so many bytes.
    #[inline]
    pub(crate) fn take(&mut self, wanted: usize, what: &'static str) -> Result<&[u8], SnapshotError> {
        if self.end - self.at < wanted {
            self.fill(wanted)?;
            if self.end - self.at < wanted {
                let offset = self.before + self.end as u64;
                return Err(SnapshotError::Truncated { name: self.name.clone(), offset, what });
            }
        }
        let from = self.at;
        self.at += wanted;
        Ok(&self.buffer[from..self.at])
    }

    /// Bytes that are at hand: none only where more must be taken from the file.
    #[inline]
    pub(crate) fn at_hand(&self) -> &[u8] {
        &self.buffer[self.at..self.end]
    }

    /// Takes bytes that are at hand.
    #[inline]
    pub(crate) fn advance(&mut self, taken: usize) {
        self.at = (self.at + taken).min(self.end);
    }

    /// Passes over bytes without keeping them.
    pub(crate) fn skip(&mut self, mut wanted: u64, what: &'static str) -> Result<(), SnapshotError> {
        while wanted > 0 {
            let part = usize::try_from(wanted).unwrap_or(CHUNK).min(CHUNK);
            self.take(part, what)?;
            wanted -= part as u64;
        }
        Ok(())
    }

    /// Takes up to the next line feed and without it; a longer line than `limit` is none.
    pub(crate) fn line(&mut self, limit: usize, what: &'static str) -> Result<Option<&[u8]>, SnapshotError> {
        let found = self.peek(limit)?.iter().position(|byte| *byte == b'\n');
        match found {
            Some(length) => Ok(Some(&self.take(length + 1, what)?[..length])),
            None if self.end - self.at < limit => {
                let offset = self.before + self.end as u64;
                Err(SnapshotError::Truncated { name: self.name.clone(), offset, what })
            }
            None => Ok(None),
        }
    }

    /// Makes the buffer hold so many bytes, as far as there are any.
    fn fill(&mut self, wanted: usize) -> Result<(), SnapshotError> {
        self.buffer.copy_within(self.at..self.end, 0);
        self.before += self.at as u64;
        self.end -= self.at;
        self.at = 0;
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        while self.end < wanted {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(n) => self.end += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    let bytes = self.before + self.end as u64;
                    return Err(SnapshotError::Read { name: self.name.clone(), bytes, source });
                }
            }
        }
        let (plain, compressed) = (self.before + self.end as u64, self.packed.get());
        let allowed = FREE_BYTES.saturating_add(compressed.saturating_mul(MAX_RATIO));
        if self.compression != Compression::Plain && plain > allowed {
            return Err(SnapshotError::Bomb { name: self.name.clone(), compressed, limit: MAX_RATIO });
        }
        Ok(())
    }
}

impl Read for Input {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.end {
            self.fill(1).map_err(io::Error::other)?;
        }
        let n = out.len().min(self.end - self.at);
        out[..n].copy_from_slice(&self.buffer[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

struct Counted<R> {
    reader: R,
    count: std::rc::Rc<std::cell::Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buffer)?;
        self.count.set(self.count.get() + n as u64);
        Ok(n)
    }
}
