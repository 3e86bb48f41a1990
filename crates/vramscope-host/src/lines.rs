//! Bytes in, log lines out, in bounded memory.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::engine::{LogLine, LogStream};

/// A line longer than this comes in pieces. vLLM prints its whole configuration as one line of a few thousand bytes; a
/// progress bar that is redrawn for an hour is one line, too.
pub(crate) const LONGEST_LINE: usize = 64 << 10;

/// Cuts one stream into lines.
#[derive(Debug)]
pub(crate) struct LineCutter {
    stream: LogStream,
    begun: Vec<u8>,
}

impl LineCutter {
    pub(crate) fn new(stream: LogStream) -> Self {
        Self { stream, begun: Vec::new() }
    }

    /// Gives every line that ends in `bytes`, which were read at `at_unix_ns`; it ends when `give` says so.
    pub(crate) fn push(&mut self, bytes: &[u8], at_unix_ns: i64, give: &mut impl FnMut(LogLine) -> bool) -> bool {
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = LONGEST_LINE - self.begun.len();
            let end = rest.iter().take(room).position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(room.min(rest.len()));
            self.begun.extend_from_slice(&rest[..taken]);
            rest = &rest[taken + usize::from(end.is_some())..];
            let full = self.begun.len() == LONGEST_LINE && !rest.is_empty();
            if (end.is_some() || full) && !give(self.take(at_unix_ns, end.is_some())) {
                return false;
            }
        }
        // A progress bar ends its line when it is full; whoever watches wants to see it grow.
        !self.begun.contains(&b'\r') || give(self.take(at_unix_ns, false))
    }

    /// The line that was begun and not ended.
    pub(crate) fn finish(&mut self, at_unix_ns: i64) -> Option<LogLine> {
        (!self.begun.is_empty()).then(|| self.take(at_unix_ns, false))
    }

    fn take(&mut self, at_unix_ns: i64, ended: bool) -> LogLine {
        LogLine { at_unix_ns, stream: self.stream, bytes: std::mem::take(&mut self.begun), ended }
    }
}

/// The time now, in nanoseconds since 1970.
pub(crate) fn now_unix_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&[u8]]) -> Vec<(Vec<u8>, bool)> {
        let mut cutter = LineCutter::new(LogStream::Stdout);
        let mut lines = Vec::new();
        for piece in pieces {
            cutter.push(piece, 0, &mut |line| {
                lines.push(line);
                true
            });
        }
        lines.extend(cutter.finish(0));
        lines.into_iter().map(|line| (line.bytes, line.ended)).collect()
    }

    #[test]
    fn lines_do_not_depend_on_how_the_bytes_arrive() {
        let text = b"one\n\ntwo\nlast";
        let whole = cut(&[text]);
        assert_eq!(whole.len(), 4);
        assert_eq!(whole[2], (b"two".to_vec(), true));
        assert_eq!(whole[3], (b"last".to_vec(), false));
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(cut(&bytes), whole);
    }

    #[test]
    fn a_progress_bar_comes_as_it_grows_and_loses_nothing() {
        let drawn: [&[u8]; 4] = [b"\r  0%|", b"\r 50%|", b"\r100%|\n", b"end\r\n"];
        let pieces = cut(&drawn);
        assert_eq!(pieces[0], (b"\r  0%|".to_vec(), false));
        assert_eq!(pieces[2], (b"\r100%|".to_vec(), true));
        let ends = |(bytes, ended): &(Vec<u8>, bool)| [bytes.as_slice(), if *ended { b"\n" } else { b"" }].concat();
        assert_eq!(pieces.iter().flat_map(ends).collect::<Vec<u8>>(), drawn.concat());
    }

    #[test]
    fn a_long_line_comes_in_pieces_that_say_so_and_loses_nothing() {
        for extra in [0, 1, LONGEST_LINE] {
            let mut text = vec![b'x'; LONGEST_LINE + extra];
            text.push(b'\n');
            let lines = cut(&text.chunks(1000).collect::<Vec<_>>());
            let joined: Vec<u8> = lines.iter().flat_map(|line| line.0.clone()).collect();
            assert_eq!(joined.len(), LONGEST_LINE + extra);
            assert!(lines.iter().all(|line| line.0.len() <= LONGEST_LINE));
            let ended: Vec<bool> = lines.iter().map(|line| line.1).collect();
            assert!(ended.split_last().is_some_and(|(last, before)| *last && before.iter().all(|ended| !ended)));
        }
    }

    #[test]
    fn a_reader_that_has_enough_is_obeyed() {
        let mut cutter = LineCutter::new(LogStream::Stderr);
        let mut seen = 0;
        let more = cutter.push(b"a\nb\nc\n", 0, &mut |_| {
            seen += 1;
            seen < 2
        });
        assert!(!more);
        assert_eq!(seen, 2);
    }
}
