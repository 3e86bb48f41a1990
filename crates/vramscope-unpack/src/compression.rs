//! How bytes are packed, and packing them so.

use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Bytes that are packed at a time.
const PIECE: usize = 1 << 16;

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// As it was written.
    Plain,
    /// gzip (RFC 1952), of any number of members.
    Gzip,
    /// zstd (RFC 8878), of any number of frames.
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

    /// Told by a file's first bytes; four are enough.
    pub const fn of_head(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A skippable frame may stand first; its magic number has sixteen values.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }

    /// How a file of this name is to be packed, by its ending: `.gz`, `.zst`, or neither.
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
        out: &mut dyn Write,
        failed: impl Fn(io::Error) -> E,
        write: impl FnOnce(&mut dyn Write) -> Result<T, E>,
    ) -> Result<T, E> {
        match self {
            Self::Plain => write(out),
            // Small pieces are dear to pack one by one.
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
