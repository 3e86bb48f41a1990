//! Text in UTF-16, as PowerShell writes it where output is redirected into a file, read as UTF-8.

use std::io::{self, Read};

/// How much is read at once.
const CHUNK: usize = 8 << 10;

/// Which byte of a unit comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

impl Order {
    /// What the mark at the beginning of a file says, if it is one.
    pub(crate) fn of_mark(head: [u8; 2]) -> Option<Self> {
        match head {
            [0xFF, 0xFE] => Some(Self::Little),
            [0xFE, 0xFF] => Some(Self::Big),
            _ => None,
        }
    }
}

/// The source's text in UTF-8. What is not valid is replaced.
#[derive(Debug)]
pub(crate) struct Utf16<R> {
    source: R,
    order: Order,
    /// Bytes of units that are not whole yet: half a unit, or the first unit of a pair.
    held: Vec<u8>,
    /// Text that is read and not given out yet.
    text: io::Cursor<String>,
}

impl<R: Read> Utf16<R> {
    /// Reads from behind the mark.
    pub(crate) fn new(source: R, order: Order) -> Self {
        Self { source, order, held: Vec::new(), text: io::Cursor::default() }
    }

    /// Reads on until there is text, or the source has ended.
    fn fill(&mut self) -> io::Result<()> {
        let mut text = String::new();
        let mut chunk = [0; CHUNK];
        while text.is_empty() {
            let got = self.source.read(&mut chunk)?;
            self.held.extend_from_slice(&chunk[..got]);
            let units: Vec<u16> = self.held.chunks_exact(2).map(|pair| self.unit([pair[0], pair[1]])).collect();
            let is_first_of_pair = |unit: &u16| (0xD800..0xDC00).contains(unit);
            let whole =
                if got > 0 && units.last().is_some_and(is_first_of_pair) { units.len() - 1 } else { units.len() };
            let decoded = char::decode_utf16(units[..whole].iter().copied());
            text.extend(decoded.map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)));
            self.held.drain(..2 * whole);
            if got == 0 {
                // Half a unit at the end of a file that was cut off.
                if !std::mem::take(&mut self.held).is_empty() {
                    text.push(char::REPLACEMENT_CHARACTER);
                }
                break;
            }
        }
        self.text = io::Cursor::new(text);
        Ok(())
    }

    fn unit(&self, bytes: [u8; 2]) -> u16 {
        match self.order {
            Order::Little => u16::from_le_bytes(bytes),
            Order::Big => u16::from_be_bytes(bytes),
        }
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.text.read(out)? {
            0 if !out.is_empty() => self.fill().and_then(|()| self.text.read(out)),
            n => Ok(n),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source that gives one byte at a time.
    struct Drops(Vec<u8>);

    impl Read for Drops {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() || out.is_empty() {
                return Ok(0);
            }
            out[0] = self.0.remove(0);
            Ok(1)
        }
    }

    #[test]
    fn text_is_the_same_however_it_arrives() {
        let text = "INFO \u{1f600} é\r\n".repeat(2000);
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let mut read = String::new();
        Utf16::new(&little[..], Order::Little).read_to_string(&mut read).unwrap();
        assert_eq!(read, text);
        read.clear();
        Utf16::new(Drops(big[..400].to_vec()), Order::Big).read_to_string(&mut read).unwrap();
        assert!(text.starts_with(&read) && read.len() > 200);
    }

    #[test]
    fn what_is_cut_off_or_no_pair_is_replaced() {
        let read = |bytes: &[u8]| {
            let mut text = String::new();
            Utf16::new(bytes, Order::Little).read_to_string(&mut text).unwrap();
            text
        };
        assert_eq!(read(b"a\0b"), "a\u{fffd}");
        assert_eq!(read(&[0x3D, 0xD8, b'a', 0]), "\u{fffd}a");
        assert_eq!(read(&[0x3D, 0xD8]), "\u{fffd}");
        assert_eq!(read(b""), "");
    }
}
