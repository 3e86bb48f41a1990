//! The parser: bytes or lines in, a report out.

use crate::log_report::LogReport;
use crate::news::News;
use crate::note::ParseNote;
use crate::others;
use crate::reader::{Gap, Reader};
use crate::wrap::{self, Unwrapper};

/// Longest piece of a line that is read; the engine's own configuration lines have about 10,000 characters.
const MAX_PIECE: usize = 256 * 1024;
/// How much of the beginning is kept to see whether a terminal has wrapped the lines.
const HEAD: usize = 64 * 1024;

/// Reads a log as it comes. It never fails: what it does not understand it leaves alone.
///
/// ```
/// use vramscope_log::LogParser;
/// let mut parser = LogParser::new();
/// parser.push_line("INFO 01-22 15:07:31 [gpu_model_runner.py:1347] Model loading took 14.99 GiB memory and 3.1 seconds");
/// let report = parser.finish();
/// let weights = &report.engines[0].facts.weights[0];
/// assert_eq!((weights.origin.line, weights.value.to_string()), (1, "14.99 GiB".to_owned()));
/// ```
#[derive(Debug)]
pub struct LogParser {
    /// The beginning of a piece whose end has not come.
    carry: Vec<u8>,
    /// The carry is longer than a piece may be; the rest of the piece is dropped.
    overlong: bool,
    /// The line that is being read, counted from 1.
    line: u64,
    /// How many lines were too long, and the first of them.
    overlong_lines: (u64, u64),
    reader: Reader,
    /// The beginning of the log, until it is long enough to judge.
    head: Option<Vec<u8>>,
    /// Puts wrapped lines together, where a terminal has wrapped them.
    unwrapper: Option<Unwrapper>,
    keep_unknown: bool,
    /// The first line has been looked at.
    looked: bool,
    following: bool,
}

impl Default for LogParser {
    fn default() -> Self {
        Self::new()
    }
}

impl LogParser {
    /// A parser at the start of a log.
    pub fn new() -> Self {
        Self::with(false)
    }

    /// A parser that also keeps the lines that look like figures of memory and that it does not understand.
    pub fn keeping_unknown() -> Self {
        Self::with(true)
    }

    /// A parser that tells what it learns as it learns it, see [`Self::take_news`]. It does not look for lines that a
    /// terminal has wrapped.
    pub fn following() -> Self {
        let mut parser = Self::with(false);
        parser.reader.router.follow();
        // What was passed over cannot be read again: each line is asked for from the first on.
        parser.reader.others.open();
        parser.following = true;
        parser
    }

    /// What a parser made by [`Self::following`] has learned since this was called last, in order.
    pub fn take_news(&mut self) -> Vec<News> {
        self.reader.router.take_news()
    }

    fn with(keep_unknown: bool) -> Self {
        Self {
            carry: Vec::new(),
            overlong: false,
            line: 1,
            overlong_lines: (0, 0),
            reader: Reader::new(keep_unknown),
            head: Some(Vec::new()),
            unwrapper: None,
            keep_unknown,
            looked: false,
            following: false,
        }
    }

    /// Reads one line, without or with its line end.
    pub fn push_line(&mut self, line: &str) {
        self.push_bytes(line.as_bytes());
        if !line.ends_with('\n') {
            self.push_bytes(b"\n");
        }
    }

    /// Reads the next bytes of a log, split anywhere. Lines end with LF or CR LF; a lone CR ends a part of a line, as
    /// progress bars use it. Bytes that are not UTF-8 are replaced.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        let Some(head) = &mut self.head else {
            self.feed(bytes);
            return;
        };
        let (into_head, rest) = bytes.split_at(bytes.len().min(HEAD - head.len().min(HEAD)));
        let first_line = !self.looked && memchr::memchr2(b'\n', b'\r', into_head).is_some();
        head.extend_from_slice(into_head);
        if first_line {
            self.looked = true;
            self.reader.look_at_head(head);
        }
        let full = head.len() >= HEAD;
        self.feed(into_head);
        if full {
            self.judge_head();
            self.feed(rest);
        }
    }

    /// Ends the log and gives what it says.
    pub fn finish(mut self) -> LogReport {
        self.judge_head();
        // Behind the last line end there is no line.
        let lines = if self.carry.is_empty() { self.line.saturating_sub(1) } else { self.line };
        if !self.carry.is_empty() {
            let carried = std::mem::take(&mut self.carry);
            self.lone(&carried);
        }
        if let Some(mut unwrapper) = self.unwrapper.take() {
            unwrapper.end(&mut self.reader);
        }
        self.reader.end(lines.max(1));
        let mut notes = std::mem::take(&mut self.reader.notes);
        notes.extend(self.reader.others.notes());
        if self.overlong_lines.0 > 0 {
            let (lines, first) = self.overlong_lines;
            notes.push(ParseNote::new(
                first,
                format!("{lines} lines are longer than {MAX_PIECE} bytes; their ends are not read"),
            ));
        }
        let unknown = self.reader.unknown.take().map(|unknown| unknown.lines);
        LogReport::of(self.reader.router, notes, lines, unknown)
    }

    /// If the beginning shows that a terminal has wrapped the lines, reads it again as such.
    fn judge_head(&mut self) {
        let Some(head) = self.head.take() else { return };
        let others = !self.following && others::may_be_in(&head);
        let Some(layout) = wrap::layout(&head).filter(|_| !self.following) else {
            if others {
                *self = Self { head: None, looked: true, ..Self::with(self.keep_unknown) };
                self.reader.look_at_head(&head);
                self.reader.others.open();
                self.feed(&head);
            }
            return;
        };
        let place = if layout.framed { "in a frame of" } else { "at" };
        let text = format!("lines are wrapped {place} {} columns; they have been put together again", layout.width);
        *self =
            Self { head: None, looked: true, unwrapper: Some(Unwrapper::new(layout)), ..Self::with(self.keep_unknown) };
        self.reader.notes.push(ParseNote::new(0, text));
        if others {
            self.reader.others.open();
        }
        self.feed(&head);
    }

    fn feed(&mut self, mut bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if !self.carry.is_empty() || self.overlong {
            let Some(end) = memchr::memchr2(b'\n', b'\r', bytes) else {
                self.keep(bytes);
                return;
            };
            self.keep(&bytes[..end]);
            let mut carried = std::mem::take(&mut self.carry);
            self.lone(&carried);
            carried.clear();
            self.carry = carried;
            self.overlong = false;
            self.line += u64::from(bytes[end] == b'\n');
            bytes = &bytes[end + 1..];
        }
        let whole = memchr::memrchr2(b'\n', b'\r', bytes).map_or(0, |at| at + 1);
        self.block(&bytes[..whole]);
        self.keep(&bytes[whole..]);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = MAX_PIECE - self.carry.len().min(MAX_PIECE);
        if bytes.len() > room && !self.overlong {
            self.overlong = true;
            let (lines, first) = self.overlong_lines;
            self.overlong_lines = (lines + 1, if lines == 0 { self.line } else { first });
        }
        self.carry.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// One piece that is not part of a block.
    fn lone(&mut self, piece: &[u8]) {
        if let Some(unwrapper) = &mut self.unwrapper {
            unwrapper.piece(piece, self.line, &mut self.reader);
        } else if self.reader.wants_next() || self.reader.needles.find(piece, 0).is_some() {
            self.reader.piece(piece, self.line, Gap::default());
        } else {
            self.reader.pass(Gap { text: piece, line: self.line });
        }
    }

    /// Whole pieces: looks for needles in all of them at once, and reads those that hold one.
    fn block(&mut self, block: &[u8]) {
        if self.unwrapper.is_some() {
            self.every_piece(block);
            return;
        }
        // Everything before this has been read or passed over.
        let mut done = 0;
        while done < block.len() {
            let start = if self.reader.wants_next() {
                done
            } else {
                let Some((needle, at)) = self.reader.needles.find(block, done) else { break };
                if self.reader.needles.is_sign(needle) {
                    self.reader.others.open();
                }
                memchr::memrchr2(b'\n', b'\r', &block[done..at]).map_or(done, |before| done + before + 1)
            };
            let gap = Gap { text: trimmed(&block[done..start]), line: self.line };
            self.line += lines(&block[done..start]);
            let end = memchr::memchr2(b'\n', b'\r', &block[start..]).map_or(block.len(), |at| start + at);
            self.reader.piece(&block[start..end], self.line, gap);
            self.line += u64::from(block.get(end) == Some(&b'\n'));
            done = end + 1;
        }
        let rest = block.get(done..).unwrap_or(&[]);
        self.reader.pass(Gap { text: trimmed(rest), line: self.line });
        self.line += lines(rest);
    }

    fn every_piece(&mut self, mut block: &[u8]) {
        while let Some(end) = memchr::memchr2(b'\n', b'\r', block) {
            self.lone(&block[..end]);
            self.line += u64::from(block[end] == b'\n');
            block = &block[end + 1..];
        }
    }
}

/// Without the end of its last line.
fn trimmed(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"\n").unwrap_or(text)
}

fn lines(text: &[u8]) -> u64 {
    u64::try_from(memchr::memchr_iter(b'\n', text).count()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pythons_keeper_says_of_killed_processes_is_no_failure() {
        let failures = |last: &str| {
            let mut parser = LogParser::new();
            parser.push_bytes(b"INFO 11-26 01:34:31 [api_server.py:1] vLLM API server version 0.32.0\n");
            let keeper =
                "Traceback (most recent call last):\n  File \"/x/multiprocessing/resource_tracker.py\", line 239\n";
            parser.push_bytes(format!("{keeper}    cache[rtype].remove(name)\n{last}\n").as_bytes());
            let report = parser.finish();
            report.engines[0].facts.failures.len()
        };
        assert_eq!(failures("KeyError: '/psm_814aa78d'"), 0);
        assert_eq!(failures("KeyError: '/mp-8kd_2'"), 0);
        assert_eq!(failures("KeyError: 'layers.0'"), 1, "an engine's own");
    }

    #[test]
    fn the_clocks_of_lines_of_no_interest_count_wherever_the_log_is_split() {
        for log in [
            "2025-06-02T11:20:30.1Z stdout P INFO 05-20 19:0\rF ing took 5.41 GiB\nINFO 09-03 07:12:45 [a.py:1] Available KV cache memory: 8.47 GiB\n",
            "INFO 09-03 07:12:45 [a.py:1] Available KV cache memory: 8.47 GiB\nINFO 09-03 07:12:46 [a.py:1] x\n(a available GPUs pid=5) \n",
            "INFO 09-03 07:12:45 [a.py:1] x\rINFO 09-03 07:12:46 [a.py:1] y\nbare\nAvg latency: 1.5 seconds\n",
        ] {
            let mut whole = LogParser::new();
            whole.push_bytes(log.as_bytes());
            let mut parts = LogParser::new();
            log.as_bytes().chunks(9).for_each(|part| parts.push_bytes(part));
            assert_eq!(whole.finish(), parts.finish(), "{log}");
        }
    }
}
