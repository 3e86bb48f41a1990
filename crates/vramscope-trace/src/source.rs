//! The bytes of a trace: opened, unpacked, and refused where they are of something else.

use std::io::{self, Read as _};

use vramscope_unpack::{Compression, Growth, Source, Unpacked};

use crate::TraceError;

/// Real traces grow 12 to 21 times when they are unpacked. gzip cannot exceed 1032, so a file of blanks is caught and no
/// trace is.
const MAX_GROWTH: Growth = Growth { ratio: 300, free: 64 << 20 };

/// An opened trace: plain JSON bytes come out.
pub(crate) struct Input {
    name: String,
    unpacked: Unpacked,
    plain: u64,
    damage: Option<io::Error>,
    ended: bool,
}

impl Input {
    /// Opens a trace at its beginning.
    pub(crate) fn open(source: &Source) -> Result<Self, TraceError> {
        let name = source.name().to_owned();
        let unpacked = source.open().map_err(|source| TraceError::Open { path: name.clone().into(), source })?;
        let other = (unpacked.compression() == Compression::Plain).then(|| other_format(unpacked.head())).flatten();
        if let Some(problem) = other {
            return Err(TraceError::NotATrace { name, problem: problem.into() });
        }
        Ok(Self { name, unpacked, plain: 0, damage: None, ended: false })
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
            match self.unpacked.read(&mut buffer[filled..]) {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if self.unpacked.compression() != Compression::Plain && (self.plain > 0 || filled > start) => {
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
        if MAX_GROWTH.allows(self.plain, &self.unpacked) {
            return Ok(());
        }
        Err(TraceError::Bomb { name: self.name.clone(), compressed: self.packed_bytes(), limit: MAX_GROWTH.ratio })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn compression(&self) -> Compression {
        self.unpacked.compression()
    }

    /// Bytes of JSON handed out.
    pub(crate) fn plain_bytes(&self) -> u64 {
        self.plain
    }

    /// Bytes read from the file.
    pub(crate) fn packed_bytes(&self) -> u64 {
        self.unpacked.packed_bytes()
    }

    /// Whether the compressed stream broke.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damage.is_some()
    }
}

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
