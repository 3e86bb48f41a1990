//! Server-sent events, cut out of a byte stream as it comes (WHATWG HTML, section 9.2.6).

use memchr::memchr2;

/// One event may not be longer. A chunk of a completion is a few hundred bytes; a long error text a few thousand.
pub(crate) const MAX_EVENT: usize = 1 << 20;

/// An event longer than [`MAX_EVENT`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Splits a stream into the data of its events. Comments (keep-alives) and other fields are passed over.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The line begun.
    line: Vec<u8>,
    /// The data lines of the event begun, joined by line feeds.
    data: Option<Vec<u8>>,
    /// A carriage return ended the last line, so a line feed that follows belongs to it.
    after_return: bool,
}

impl Decoder {
    /// Takes what came, and gives the data of each event that is whole now to `event`.
    pub(crate) fn push(&mut self, mut bytes: &[u8], event: &mut impl FnMut(&[u8])) -> Result<(), TooLong> {
        if self.after_return && !bytes.is_empty() {
            self.after_return = false;
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while !bytes.is_empty() {
            if self.line.is_empty()
                && self.data.is_none()
                && let Some((data, rest)) = whole_event(bytes)
            {
                event(data);
                bytes = rest;
                continue;
            }
            let end = memchr2(b'\n', b'\r', bytes);
            self.line.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
            if self.line.len() + self.data.as_ref().map_or(0, Vec::len) > MAX_EVENT {
                return Err(TooLong);
            }
            let Some(end) = end else { return Ok(()) };
            self.end_line(event);
            let is_return = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            if is_return {
                self.after_return = bytes.is_empty();
                bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
            }
        }
        Ok(())
    }

    /// Whether an event is begun and not ended.
    pub(crate) fn is_within_event(&self) -> bool {
        !self.line.is_empty() || self.data.is_some()
    }

    fn end_line(&mut self, event: &mut impl FnMut(&[u8])) {
        if self.line.is_empty() {
            if let Some(data) = self.data.take() {
                event(&data);
            }
            return;
        }
        let value = self.line.strip_prefix(b"data").and_then(|rest| match rest {
            [] => Some(rest),
            [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
            _ => None,
        });
        if let Some(value) = value {
            match &mut self.data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                none => *none = Some(value.to_vec()),
            }
        }
        self.line.clear();
    }
}

/// The data of an event of one line at the beginning of some bytes, as engines send it, and what follows; `None` for
/// anything else.
fn whole_event(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = bytes.strip_prefix(b"data: ")?;
    let end = memchr2(b'\n', b'\r', line)?;
    let rest = line[end..].strip_prefix(b"\n\n").or_else(|| line[end..].strip_prefix(b"\r\n\r\n"))?;
    (end <= MAX_EVENT).then(|| (&line[..end], rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn events<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
        let mut decoder = Decoder::default();
        let mut found = Vec::new();
        for piece in pieces {
            decoder.push(piece, &mut |data| found.push(String::from_utf8_lossy(data).into_owned())).unwrap();
        }
        found
    }

    #[test]
    fn comments_fields_and_line_ends_are_as_the_standard_says() {
        let stream = b": ping\n\ndata: a\ndata:b\r\n\r\nevent: x\ndata:  c\rid: 7\r\rdata\n\n: end\n\ndata: cut off\n";
        assert_eq!(events([&stream[..]]), ["a\nb", " c", ""]);
    }

    #[test]
    fn an_endless_event_is_refused_whether_in_one_line_or_many() {
        let mut decoder = Decoder::default();
        assert_eq!(decoder.push(&vec![b'x'; MAX_EVENT + 1], &mut |_| {}), Err(TooLong));
        let mut decoder = Decoder::default();
        assert_eq!(decoder.push(&b"data: 0123456789\n".repeat(MAX_EVENT / 10), &mut |_| {}), Err(TooLong));
    }

    proptest! {
        #[test]
        fn where_the_stream_is_cut_makes_no_difference(
            lines in prop::collection::vec("(data: ?|: |event:|x)?[a-c:{}\u{e9} ]{0,8}(\n|\r\n|\r)(\n|\r\n|\r)?", 0..12),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let stream = lines.concat().into_bytes();
            let whole = events([stream.as_slice()]);
            prop_assert_eq!(&events(stream.chunks(1)), &whole);
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            places.extend([0, stream.len()]);
            places.sort_unstable();
            prop_assert_eq!(&events(places.windows(2).map(|pair| &stream[pair[0]..pair[1]])), &whole);
        }
    }
}
