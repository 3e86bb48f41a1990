//! The bytes of a snapshot, opened and unpacked, with a look ahead.

use std::io::{self, Read};

use vramscope_unpack::{Compression, Growth, Source, Unpacked};

use crate::SnapshotError;

/// Real snapshots grow 8 to 40 times when they are unpacked: the stacks of a loop are all alike.
const MAX_GROWTH: Growth = Growth { ratio: 200, free: 8 << 20 };

/// Bytes that are taken from the file at a time.
const CHUNK: usize = 1 << 18;

/// An opened snapshot: unpacked bytes come out.
pub(crate) struct Input {
    name: String,
    unpacked: Unpacked,
    buffer: Vec<u8>,
    at: usize,
    end: usize,
    /// Unpacked bytes before the buffer.
    before: u64,
}

impl Input {
    /// Opens a snapshot at its beginning.
    pub(crate) fn open(source: &Source) -> Result<Self, SnapshotError> {
        let name = source.name().to_owned();
        let unpacked = source.open().map_err(|source| SnapshotError::Open { path: name.clone().into(), source })?;
        Ok(Self { name, unpacked, buffer: vec![0; CHUNK], at: 0, end: 0, before: 0 })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn compression(&self) -> Compression {
        self.unpacked.compression()
    }

    /// Bytes taken from the file.
    pub(crate) fn packed_bytes(&self) -> u64 {
        self.unpacked.packed_bytes()
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
            match self.unpacked.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(n) => self.end += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    let bytes = self.before + self.end as u64;
                    return Err(SnapshotError::Read { name: self.name.clone(), bytes, source });
                }
            }
        }
        let plain = self.before + self.end as u64;
        if !MAX_GROWTH.allows(plain, &self.unpacked) {
            let compressed = self.unpacked.packed_bytes();
            return Err(SnapshotError::Bomb { name: self.name.clone(), compressed, limit: MAX_GROWTH.ratio });
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
