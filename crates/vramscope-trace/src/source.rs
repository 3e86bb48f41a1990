//! Where the bytes of a trace come from: a file or memory, plain or compressed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::TraceError;

/// A trace that can be read any number of times from its beginning.
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

/// Bytes that are packed at a time.
const PIECE: usize = 1 << 16;

/// How a trace is packed. It is told from the first bytes, not from the file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// JSON as it is.
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

    /// How a file of this name is packed, by its ending: `.gz`, `.zst`, or neither.
    pub fn of_ending(path: &Path) -> Self {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("gz") => Self::Gzip,
            Some("zst") => Self::Zstd,
            _ => Self::Plain,
        }
    }

    /// Gives a writer whose bytes arrive packed. `failed` makes an error of the packing's own.
    ///
    /// # Errors
    /// Those of `write`, and of the packing.
    pub fn pack<T, E>(
        self,
        out: &mut dyn io::Write,
        failed: impl Fn(io::Error) -> E,
        write: impl FnOnce(&mut dyn io::Write) -> Result<T, E>,
    ) -> Result<T, E> {
        match self {
            Self::Plain => write(out),
            // Events come in small pieces, which are dear to pack one by one.
            Self::Gzip => {
                let gzip = flate2::write::GzEncoder::new(out, flate2::Compression::default());
                let mut packed = BufWriter::with_capacity(PIECE, gzip);
                let written = write(&mut packed)?;
                let packed = packed.into_inner().map_err(|error| failed(error.into_error()))?;
                packed.finish().map_err(failed)?;
                Ok(written)
            }
            Self::Zstd => {
                let packed = zstd::stream::write::Encoder::new(out, 0).map_err(&failed)?;
                let mut packed = BufWriter::with_capacity(PIECE, packed);
                let written = write(&mut packed)?;
                let packed = packed.into_inner().map_err(|error| failed(error.into_error()))?;
                packed.finish().map_err(failed)?;
                Ok(written)
            }
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
    pub(crate) fn open(&self) -> Result<Input, TraceError> {
        match &self.place {
            Place::File(path) => {
                let failed = |source| TraceError::Open { path: path.clone(), source };
                check_kind(path).map_err(failed)?;
                let file = File::open(path).map_err(failed)?;
                Input::new(self.name.clone(), Box::new(file))
            }
            Place::Memory(bytes) => Input::new(self.name.clone(), Box::new(io::Cursor::new(Arc::clone(bytes)))),
        }
    }
}

/// Refuses what is no file before it is opened: a named pipe waits for its writer, and a device has no end. What was
/// opened for this process is let through: `/dev/stdin` and the `/dev/fd/N` of a shell's `<(…)`.
fn check_kind(path: &Path) -> io::Result<()> {
    if ["/dev/stdin", "/dev/fd", "/proc/self/fd"].iter().any(|place| path.starts_with(place)) {
        return Ok(());
    }
    let about = path.metadata()?;
    if about.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "this is a folder, not a file"));
    }
    if !about.is_file() {
        let what = "this is a pipe, a socket or a device, not a file: a trace is read more than once; pipe it to `-`";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    Ok(())
}

/// What a trace may at most grow to when it is unpacked, as a multiple of its packed size. Real traces grow 12 to 21
/// times. gzip cannot exceed 1032, so a file of blanks is caught and no trace is.
const MAX_RATIO: u64 = 300;

/// Output that is always allowed, so that a small file is never judged by its ratio.
const FREE_BYTES: u64 = 64 << 20;

/// An opened trace: plain JSON bytes come out.
pub(crate) struct Input {
    name: String,
    compression: Compression,
    reader: Box<dyn Read + Send>,
    packed: Arc<AtomicU64>,
    plain: u64,
    damage: Option<io::Error>,
    ended: bool,
}

impl Input {
    fn new(name: String, reader: Box<dyn Read + Send>) -> Result<Self, TraceError> {
        let packed = Arc::new(AtomicU64::new(0));
        let mut reader = BufReader::with_capacity(1 << 18, Counted { reader, count: Arc::clone(&packed) });
        let failed = |source| TraceError::Read { name: name.clone(), bytes: 0, source };
        let head = reader.fill_buf().map_err(failed)?;
        let compression = match head {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            // A skippable frame may stand first; its magic number has sixteen values.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
            _ => {
                if let Some(problem) = other_format(head) {
                    return Err(TraceError::NotATrace { name, problem: problem.into() });
                }
                Compression::Plain
            }
        };
        let reader: Box<dyn Read + Send> = match compression {
            Compression::Plain => Box::new(reader),
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(reader)
                    .map_err(|source| TraceError::Read { name: name.clone(), bytes: 0, source })?;
                decoder.window_log_max(MAX_ZSTD_WINDOW).map_err(|source| TraceError::Read {
                    name: name.clone(),
                    bytes: 0,
                    source,
                })?;
                Box::new(decoder)
            }
        };
        Ok(Self { name, compression, reader, packed, plain: 0, damage: None, ended: false })
    }

    /// Appends up to `wanted` bytes of JSON to `buffer`; zero means the end. A compressed stream that breaks ends
    /// there, and [`Self::damage`] says so.
    pub(crate) fn read(&mut self, buffer: &mut Vec<u8>, wanted: usize) -> Result<usize, TraceError> {
        let start = buffer.len();
        if self.ended {
            return Ok(0);
        }
        buffer.resize(start + wanted, 0);
        let mut filled = start;
        while filled < buffer.len() {
            match self.reader.read(&mut buffer[filled..]) {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if self.compression != Compression::Plain && (self.plain > 0 || filled > start) => {
                    self.ended = true;
                    self.damage = Some(e);
                    break;
                }
                Err(source) => return Err(TraceError::Read { name: self.name.clone(), bytes: self.plain, source }),
            }
        }
        buffer.truncate(filled);
        self.plain += (filled - start) as u64;
        self.check_ratio()?;
        Ok(filled - start)
    }

    fn check_ratio(&self) -> Result<(), TraceError> {
        let compressed = self.packed_bytes();
        let allowed = FREE_BYTES.saturating_add(compressed.saturating_mul(MAX_RATIO));
        if self.compression != Compression::Plain && self.plain > allowed {
            return Err(TraceError::Bomb { name: self.name.clone(), compressed, limit: MAX_RATIO });
        }
        Ok(())
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn compression(&self) -> Compression {
        self.compression
    }

    /// Bytes of JSON handed out.
    pub(crate) fn plain_bytes(&self) -> u64 {
        self.plain
    }

    /// Bytes read from the file.
    pub(crate) fn packed_bytes(&self) -> u64 {
        self.packed.load(Ordering::Relaxed)
    }

    /// Whether the compressed stream broke.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damage.is_some()
    }
}

/// The largest zstd window, as a power of two: 128 MiB, what the zstd tool allows without being told.
const MAX_ZSTD_WINDOW: u32 = 27;

/// Formats that people mistake for a trace.
fn other_format(head: &[u8]) -> Option<&'static str> {
    Some(match head {
        [] => "it is empty",
        [b'P', b'K', 3, 4, ..] => "it is a zip archive (a pickle or a packed folder); unpack it first",
        [0x80, 2..=5, ..] => "it is a Python pickle, perhaps a memory snapshot",
        [b'S', b'Q', b'L', b'i', b't', b'e', ..] => "it is an SQLite database, perhaps of Nsight Systems",
        [0x0a, ..] if !head.iter().take(64).any(|b| matches!(b, b'{' | b'[')) => "it is binary, perhaps protobuf",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "it is UTF-16 text",
        [b'B', b'Z', b'h', ..] => "it is compressed with bzip2, which is not supported; unpack it first",
        [0xfd, b'7', b'z', b'X', b'Z', ..] => "it is compressed with xz, which is not supported; unpack it first",
        _ => return None,
    })
}

struct Counted<R> {
    reader: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buffer)?;
        self.count.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}
