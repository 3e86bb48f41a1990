//! Lines that a terminal has wrapped at a fixed width, as they are when a log is copied from a screen.

use crate::needles::Needles;
use crate::reader::{Gap, Reader};
use crate::record;
use crate::vllm::failure;
use crate::vllm::rows;

/// Narrowest and widest terminal that is looked for.
const WIDTHS: std::ops::RangeInclusive<usize> = 40..=400;
/// Longest line that is put together.
const MAX_JOINED: usize = 64 * 1024;

/// The width at which the lines of this beginning of a log are wrapped, if they are: no line is wider, and lines of
/// exactly this width that have the engine's prefix are followed by lines that have none and say nothing by themselves.
pub(crate) fn width(head: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(head);
    let lines: Vec<(usize, &str)> = text.lines().map(|line| (columns(line), line)).collect();
    let widest = lines.iter().map(|(width, _)| *width).max().filter(|width| WIDTHS.contains(width))?;
    let full = || lines.windows(2).filter(|pair| pair[0].0 == widest && has_own_prefix(pair[0].1));
    let wrapped: Vec<&str> =
        full().filter(|pair| pair[1].0 > 0 && may_continue(pair[1].1)).map(|pair| pair[0].1).collect();
    // One line that is repeated is as wide as itself; that says nothing of a terminal.
    let differ = wrapped.iter().any(|line| *line != wrapped[0]);
    let wrapped = wrapped.len();
    (differ && wrapped * 5 >= full().count() * 4).then_some(widest)
}

fn columns(line: &str) -> usize {
    let line = line.trim_end_matches('\r');
    record::plain(line.rsplit('\r').next().unwrap_or(line)).chars().count()
}

fn has_prefix(line: &str) -> bool {
    let mut prefix = false;
    record::each(&record::plain(line), |r| prefix |= r.level.is_some() || r.tag.is_some() || r.clock.is_some());
    prefix
}

/// Whether a line has a level or a process tag, as the engine's own lines have. A clock alone is anybody's.
fn has_own_prefix(line: &str) -> bool {
    let mut prefix = false;
    record::each(&record::plain(line), |r| prefix |= r.level.is_some() || r.tag.is_some());
    prefix
}

/// Whether a line can be the rest of the one before it: it has no prefix, and no format reads it by itself.
fn may_continue(line: &str) -> bool {
    !has_prefix(line) && !says_something(line) && !is_row_of_a_result(line)
}

/// `Label:      12.34`, as benchmarks print their results, or a rule between such rows.
fn is_row_of_a_result(line: &str) -> bool {
    let line = line.trim();
    let rule = line.len() >= 20 && (line.starts_with("----") || line.starts_with("===="));
    let row = line.split_once(':').is_some_and(|(_, value)| {
        let number = crate::number::number(value.trim());
        value.starts_with("  ") && number.is_some_and(|n| n.len == value.trim().len())
    });
    rule || row
}

fn says_something(line: &str) -> bool {
    let plain = record::plain(line);
    let mut says = false;
    record::each(&plain, |record| {
        let candidates = Needles::get().candidates(record.message);
        let (stripped, _) = failure::strip_exceptions(record.message);
        let whole = |text| rows::find(candidates, text).is_some_and(|(_, matched)| !matched.cut);
        says |= whole(record.message) || whole(stripped);
    });
    says
}

/// Puts wrapped lines together.
#[derive(Debug)]
pub(crate) struct Unwrapper {
    width: usize,
    /// A line that may go on, with its number.
    held: Option<(String, u64)>,
    /// The last part of it was full, so that it does go on.
    full: bool,
}

impl Unwrapper {
    pub(crate) fn new(width: usize) -> Self {
        Self { width, held: None, full: false }
    }

    /// Takes a piece; lines that have their end are read.
    pub(crate) fn piece(&mut self, piece: &[u8], line: u64, reader: &mut Reader) {
        if piece.is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(piece);
        let full = columns(&text) >= self.width;
        match &mut self.held {
            Some((held, _)) if self.full && held.len() < MAX_JOINED && may_continue(&text) => held.push_str(&text),
            _ => {
                self.end(reader);
                if full && has_own_prefix(&text) {
                    self.held = Some((text.into_owned(), line));
                } else {
                    reader.piece(piece, line, Gap::default());
                }
            }
        }
        self.full = full;
    }

    /// Reads what is held.
    pub(crate) fn end(&mut self, reader: &mut Reader) {
        if let Some((held, line)) = self.held.take() {
            reader.piece(held.as_bytes(), line, Gap::default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        "INFO 05-20 19:02:33 [gpu_worker.py:1] Available KV cache memory: 14.88 GiB and something more to read";

    fn wrapped(width: usize) -> String {
        let mut out = String::new();
        for n in 0..3 {
            let chars: Vec<char> = LINE.replace("19:02:33", &format!("19:02:3{n}")).chars().collect();
            for part in chars.chunks(width) {
                out.extend(part);
                out.push('\n');
            }
        }
        out
    }

    #[test]
    fn the_width_is_found_and_only_where_there_is_one() {
        assert_eq!(width(wrapped(60).as_bytes()), Some(60));
        assert_eq!(width(format!("{LINE}\n{LINE}\n{LINE}\n").as_bytes()), None);
        assert_eq!(width(b""), None);
        let other =
            "2026-07-18 05:10:58 | INFO | httpx | HTTP Request: GET https://example.org/a \"HTTP/1.1 200 OK\"\n";
        let bare = "Throughput: 6.94 requests/s, 7994.35 total tokens/s, 693.82 output tokens/s\n";
        assert_eq!(width(format!("{other}{bare}{other}{bare}").as_bytes()), None, "a clock alone is anybody's");
        let own = format!("INFO 05-20 19:02:33 [a.py:1] {}\n", "x".repeat(80));
        assert_eq!(width(format!("{own}{bare}{own}{bare}").as_bytes()), None, "what says something is no continuation");
        let table = "Mean TTFT (ms):                          75.88     \n".repeat(9);
        assert_eq!(width(table.as_bytes()), None);
    }
}
