//! A stream that comes out unpacked.

use std::io::{self, BufRead as _, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Compression;

/// The largest zstd window, as a power of two: 128 MiB, what the zstd tool allows without being told.
const MAX_ZSTD_WINDOW: u32 = 27;

/// Bytes that are taken from the stream at a time.
const CHUNK: usize = 1 << 18;

/// First bytes that are kept for who wants to know what a plain stream is.
const HEAD: usize = 64;

/// A stream that is unpacked while it is read. Errors of its packing speak of the file: cut short, damaged, or packed
/// with a longer window than is read.
pub struct Unpacked {
    compression: Compression,
    reader: Box<dyn Read + Send>,
    packed: Arc<AtomicU64>,
    head: Vec<u8>,
}

impl std::fmt::Debug for Unpacked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unpacked").field("compression", &self.compression).field("packed", &self.packed).finish()
    }
}

impl Unpacked {
    /// Looks at the first bytes of a stream.
    ///
    /// # Errors
    /// What the stream says.
    pub fn new(stream: impl Read + Send + 'static) -> io::Result<Self> {
        let packed = Arc::new(AtomicU64::new(0));
        let mut reader = BufReader::with_capacity(CHUNK, Counted { stream, count: Arc::clone(&packed) });
        // A pipe gives its bytes as they come, and one may come alone.
        let mut start = Vec::with_capacity(4);
        let first = loop {
            let more = reader.fill_buf()?;
            if more.is_empty() || start.is_empty() && more.len() >= 4 {
                break more;
            }
            let taken = more.len().min(4 - start.len());
            start.extend_from_slice(&more[..taken]);
            reader.consume(taken);
            if start.len() == 4 {
                break reader.buffer();
            }
        };
        let head: Vec<u8> = start.iter().chain(first).copied().take(HEAD).collect();
        let compression = Compression::of_head(&head);
        let reader = io::Cursor::new(start).chain(reader);
        let reader: Box<dyn Read + Send> = match compression {
            Compression::Plain => Box::new(reader),
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(reader)?;
                decoder.window_log_max(MAX_ZSTD_WINDOW)?;
                Box::new(decoder)
            }
        };
        Ok(Self { compression, reader, packed, head })
    }

    /// How the stream is packed.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Bytes taken from the stream, packed as they are.
    pub fn packed_bytes(&self) -> u64 {
        self.packed.load(Ordering::Relaxed)
    }

    /// The first bytes of the stream, packed as they are: 64 of them, or what came with the first read.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    fn about_the_file(&self, error: io::Error) -> io::Error {
        let (name, test) = match self.compression {
            Compression::Plain => return error,
            Compression::Gzip => ("gzip", "gzip -t"),
            Compression::Zstd => ("zstd", "zstd -t"),
        };
        let what = match error.kind() {
            io::ErrorKind::Interrupted => return error,
            // The stream's own refusal; a decoder has no number of the system.
            _ if error.raw_os_error().is_some() => return error,
            io::ErrorKind::UnexpectedEof => {
                format!("its {name} stream is cut short: copy the file again, or wait for its writer")
            }
            _ if error.to_string().contains("too much memory") => {
                "its zstd stream was packed with a longer window than is read (--long): unpack it first with \
                 `zstd -d --long=31`"
                    .into()
            }
            _ => format!("its {name} stream is damaged: copy the file again; `{test}` tests it"),
        };
        io::Error::new(error.kind(), what)
    }
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer).map_err(|error| self.about_the_file(error))
    }
}

/// What a kind of file may at most grow to when it is unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    /// As a multiple of its packed size.
    pub ratio: u64,
    /// Bytes that are always allowed, so that a small file is never judged by its ratio.
    pub free: u64,
}

impl Growth {
    /// Whether so many bytes may have come out of `stream` by now.
    pub fn allows(self, plain: u64, stream: &Unpacked) -> bool {
        stream.compression == Compression::Plain
            || plain <= self.free.saturating_add(stream.packed_bytes().saturating_mul(self.ratio))
    }
}

struct Counted<R> {
    stream: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.stream.read(buffer)?;
        self.count.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte a read, as a slow pipe may.
    struct Slow(io::Cursor<Vec<u8>>);

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let one = buffer.len().min(1);
            self.0.read(&mut buffer[..one])
        }
    }

    fn text_of(stream: impl Read + Send + 'static) -> (Compression, String) {
        let mut unpacked = Unpacked::new(stream).unwrap();
        let mut text = String::new();
        unpacked.read_to_string(&mut text).unwrap();
        (unpacked.compression(), text)
    }

    #[test]
    fn packing_is_told_by_the_first_bytes_also_where_they_come_one_by_one() {
        for compression in [Compression::Plain, Compression::Gzip, Compression::Zstd] {
            for text in ["", "a", "ab", "abcd", &"a longer text".repeat(1000)] {
                let mut packed = Vec::new();
                compression
                    .pack(&mut packed, |error| error, |out| out.write_all(text.as_bytes()))
                    .expect("memory takes everything");
                assert_eq!(text_of(io::Cursor::new(packed.clone())), (compression, text.to_owned()));
                assert_eq!(text_of(Slow(io::Cursor::new(packed))), (compression, text.to_owned()));
            }
        }
    }

    #[test]
    fn a_frame_that_is_passed_over_may_stand_first() {
        let frame = [&[0x53, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2][..], &zstd::encode_all(&b"text"[..], 1).unwrap()];
        assert_eq!(text_of(io::Cursor::new(frame.concat())), (Compression::Zstd, "text".into()));
    }

    #[test]
    fn growth_is_judged_above_what_is_free_and_of_packed_streams_alone() {
        let packed = zstd::encode_all(&[0_u8; 1 << 20][..], 1).unwrap();
        let mut unpacked = Unpacked::new(io::Cursor::new(packed)).unwrap();
        let plain = io::copy(&mut unpacked, &mut io::sink()).unwrap();
        assert!(!Growth { ratio: 10, free: 1 << 10 }.allows(plain, &unpacked));
        assert!(Growth { ratio: 10, free: 1 << 20 }.allows(plain, &unpacked));
        let text = Unpacked::new(io::Cursor::new(vec![b' '; 100])).unwrap();
        assert!(Growth { ratio: 0, free: 0 }.allows(1 << 40, &text));
        assert_eq!(text.head().len(), HEAD);
    }
}
