//! The bytes of a response, taken apart as they come (RFC 9112).

/// A head may not be larger; servers and proxies send a kilobyte or two.
const MAX_HEAD: usize = 64 << 10;
/// So many headers a head may have.
const MAX_HEADERS: usize = 128;
/// The size of a chunk and its extensions, or a line of a trailer, may not be longer.
const MAX_LINE: usize = 4 << 10;

/// What came is no HTTP/1.1 that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoHttp(pub(crate) &'static str);

/// The head of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    /// What the server calls itself.
    pub(crate) server: Option<String>,
    /// Whether the server keeps the connection.
    keep_alive: bool,
}

impl Head {
    #[cfg(test)]
    pub(crate) fn of(status: u16, content_type: &str) -> Self {
        Self { status, content_type: Some(content_type.to_owned()), server: None, keep_alive: true }
    }

    /// Whether the status says that all is well.
    pub(crate) const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 300
    }
}

/// Where the reading of a response is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Head,
    /// So many bytes of the body are to come.
    Sized(u64),
    /// The body ends with the connection.
    Unsized,
    /// The size of a chunk; how much of its line was read, and whether its digits are over.
    Size {
        size: u64,
        line: usize,
        digits_over: bool,
    },
    /// So many bytes of a chunk are to come.
    Chunk(u64),
    /// The line end behind a chunk.
    ChunkEnd,
    /// A line of the trailer, and how much of it was read.
    Trailer(usize),
    End,
}

/// Reads one response.
#[derive(Debug)]
pub(crate) struct Reader {
    place: Place,
    head: Option<Head>,
    /// The part of the head that came.
    begun: Vec<u8>,
    /// Bytes came behind the end.
    surplus: bool,
}

impl Default for Reader {
    fn default() -> Self {
        Self { place: Place::Head, head: None, begun: Vec::new(), surplus: false }
    }
}

impl Reader {
    /// The head, once it is there.
    pub(crate) fn into_head(self) -> Option<Head> {
        self.head
    }

    /// Whether no byte has come.
    pub(crate) fn is_untouched(&self) -> bool {
        self.head.is_none() && self.begun.is_empty()
    }

    /// Whether all of the response is there.
    pub(crate) fn is_whole(&self) -> bool {
        self.place == Place::End
    }

    /// Whether the end of the connection is the end of the response.
    pub(crate) fn ends_with_connection(&self) -> bool {
        matches!(self.place, Place::Unsized | Place::End)
    }

    /// Whether the connection can serve again.
    pub(crate) fn keeps_connection(&self) -> bool {
        self.is_whole() && !self.surplus && self.head.as_ref().is_some_and(|head| head.keep_alive)
    }

    /// Takes what came, and gives the parts of the body in it, with the head, to `body`.
    pub(crate) fn push(&mut self, mut bytes: &[u8], body: &mut impl FnMut(&Head, &[u8])) -> Result<(), NoHttp> {
        while let [first, rest @ ..] = bytes {
            match &mut self.place {
                Place::Head => {
                    bytes = self.take_head(bytes)?;
                }
                Place::Unsized => {
                    if let Some(head) = &self.head {
                        body(head, bytes);
                    }
                    return Ok(());
                }
                Place::Sized(left) | Place::Chunk(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= taken as u64;
                    if let Some(head) = &self.head {
                        body(head, &bytes[..taken]);
                    }
                    bytes = &bytes[taken..];
                    match self.place {
                        Place::Sized(0) => self.place = Place::End,
                        Place::Chunk(0) => self.place = Place::ChunkEnd,
                        _ => {}
                    }
                }
                Place::Size { size, line, digits_over } => {
                    *line += 1;
                    match (char::from(*first).to_digit(16), first) {
                        (_, b'\n') if *line == 1 => return Err(NoHttp("a chunk has no size")),
                        (_, b'\n') => self.place = if *size == 0 { Place::Trailer(0) } else { Place::Chunk(*size) },
                        (Some(digit), _) if !*digits_over => {
                            let grown = size.checked_mul(16).and_then(|size| size.checked_add(u64::from(digit)));
                            *size = grown.ok_or(NoHttp("the size of a chunk is beyond reason"))?;
                        }
                        (_, b';' | b'\r' | b' ' | b'\t') if *line > 1 => *digits_over = true,
                        _ if *digits_over && *line <= MAX_LINE => {}
                        _ => return Err(NoHttp("the size of a chunk is no number")),
                    }
                    bytes = rest;
                }
                Place::ChunkEnd => {
                    match first {
                        b'\r' => {}
                        b'\n' => self.place = Place::Size { size: 0, line: 0, digits_over: false },
                        _ => return Err(NoHttp("a chunk is longer than its size")),
                    }
                    bytes = rest;
                }
                Place::Trailer(line) => {
                    match first {
                        b'\n' if *line == 0 => self.place = Place::End,
                        b'\n' => *line = 0,
                        b'\r' => {}
                        _ => *line += 1,
                    }
                    if matches!(self.place, Place::Trailer(line) if line > MAX_LINE) {
                        return Err(NoHttp("a line of the trailer is beyond reason"));
                    }
                    bytes = rest;
                }
                Place::End => {
                    self.surplus = true;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Takes what belongs to the head, and gives what follows.
    fn take_head<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], NoHttp> {
        let before = self.begun.len();
        self.begun.extend_from_slice(bytes);
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(&self.begun).map_err(|_| NoHttp("the answer is no HTTP"))?;
        let httparse::Status::Complete(length) = parsed else {
            return if self.begun.len() > MAX_HEAD { Err(NoHttp("the head is beyond reason")) } else { Ok(&[]) };
        };
        let status = response.code.ok_or(NoHttp("the answer has no status"))?;
        let (place, head) = framing(status, response.version == Some(0), response.headers)?;
        self.begun = Vec::new();
        // What is in between, such as 100 Continue, says nothing about the answer.
        if status >= 200 {
            (self.place, self.head) = (place, Some(head));
        }
        Ok(&bytes[length.saturating_sub(before)..])
    }
}

/// How long the body is, by the head.
fn framing(status: u16, is_1_0: bool, headers: &[httparse::Header<'_>]) -> Result<(Place, Head), NoHttp> {
    let (mut length, mut chunked, mut content_type, mut server) = (None, false, None, None);
    let mut keep_alive = !is_1_0;
    for header in headers {
        let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
        if header.name.eq_ignore_ascii_case("content-length") {
            let said: u64 = value.parse().map_err(|_| NoHttp("the length of the body is no number"))?;
            if length.replace(said).is_some_and(|earlier| earlier != said) {
                return Err(NoHttp("the body has two lengths"));
            }
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if !value.eq_ignore_ascii_case("chunked") {
                return Err(NoHttp("the body is encoded in a way that was not asked for"));
            }
            chunked = true;
        } else if header.name.eq_ignore_ascii_case("content-type") {
            content_type = Some(value.to_owned());
        } else if header.name.eq_ignore_ascii_case("server") {
            server = Some(value.to_owned());
        } else if header.name.eq_ignore_ascii_case("connection") {
            let says = |word: &str| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word));
            keep_alive = !says("close") && (keep_alive || says("keep-alive"));
        }
    }
    let place = match length {
        _ if matches!(status, 204 | 304) => Place::End,
        _ if chunked => Place::Size { size: 0, line: 0, digits_over: false },
        Some(0) => Place::End,
        Some(length) => Place::Sized(length),
        None => {
            keep_alive = false;
            Place::Unsized
        }
    };
    Ok((place, Head { status, content_type, server, keep_alive }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Result<(), NoHttp>, Reader, Vec<u8>) {
        let (mut reader, mut body) = (Reader::default(), Vec::new());
        for piece in pieces {
            if let Err(wrong) = reader.push(piece, &mut |_, part| body.extend_from_slice(part)) {
                return (Err(wrong), reader, body);
            }
        }
        (Ok(()), reader, body)
    }

    #[test]
    fn each_way_to_end_a_body_is_heeded() {
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: a/b\r\n\r\n\
                        3;x=y\r\nabc\r\n00a\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n";
        let (_, reader, body) = read([&chunked[..]]);
        assert!(reader.is_whole() && reader.keeps_connection());
        assert_eq!(
            (body.as_slice(), reader.head.as_ref().unwrap().content_type.as_deref()),
            (&b"abc0123456789"[..], Some("a/b"))
        );
        let (_, reader, body) = read([&b"HTTP/1.1 500 X\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno"[..]]);
        assert!(reader.is_whole() && !reader.keeps_connection() && body == b"no");
        let (_, reader, body) = read([&b"HTTP/1.1 200 OK\r\n\r\nall"[..]]);
        assert!(!reader.is_whole() && reader.ends_with_connection() && body == b"all");
        let (_, reader, _) = read([&b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 X\r\n\r\n"[..]]);
        assert!(reader.is_whole() && reader.head.as_ref().unwrap().status == 204);
        let (_, reader, _) = read([&b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\nmore"[..]]);
        assert!(reader.is_whole() && !reader.keeps_connection());
    }

    #[test]
    fn what_is_no_http_is_refused() {
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let long = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(MAX_HEAD));
        for text in [
            "SSH-2.0-OpenSSH_9.6\r\n".to_owned(),
            "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n".to_owned(),
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n".to_owned(),
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n".to_owned(),
            format!("{chunked}xyz\r\n"),
            format!("{chunked}\r\n"),
            format!("{chunked}ffffffffffffffffff\r\n"),
            format!("{chunked}2\r\nabc\r\n"),
            format!("{chunked}1;{}", "e".repeat(MAX_LINE)),
            format!("{chunked}0\r\n{}", "e".repeat(MAX_LINE + 1)),
            long,
        ] {
            assert!(read([text.as_bytes()]).0.is_err(), "{text:.80}");
        }
    }

    proptest! {
        #[test]
        fn where_the_stream_is_cut_makes_no_difference(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..6),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mut stream = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
            for chunk in &chunks {
                stream.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
                stream.extend_from_slice(chunk);
                stream.extend_from_slice(b"\r\n");
            }
            stream.extend_from_slice(b"0\r\n\r\n");
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            places.extend([0, stream.len()]);
            places.sort_unstable();
            let (result, reader, body) = read(places.windows(2).map(|pair| &stream[pair[0]..pair[1]]));
            prop_assert_eq!(result, Ok(()));
            prop_assert!(reader.keeps_connection());
            prop_assert_eq!(body, chunks.concat());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), chunked: bool) {
            let head: &[u8] = if chunked { b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" } else { b"" };
            let _ = read([head, bytes.as_slice()]);
        }
    }
}
