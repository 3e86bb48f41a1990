//! Lines that a terminal has wrapped at a fixed width, as they are when a log is copied from a screen.

use crate::reader::{Gap, Reader};
use crate::record;

/// Narrowest and widest terminal that is looked for.
const WIDTHS: std::ops::RangeInclusive<usize> = 40..=400;
/// Longest line that is put together.
const MAX_JOINED: usize = 64 * 1024;

/// The width at which the lines of this beginning of a log are wrapped, if they are: no line is wider, and lines of
/// exactly this width that have a prefix are followed by lines that have none.
pub(crate) fn width(head: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(head);
    let lines: Vec<(usize, bool)> = text.lines().map(|line| (columns(line), has_prefix(line))).collect();
    let widest = lines.iter().map(|(width, _)| *width).max().filter(|width| WIDTHS.contains(width))?;
    let full = || lines.windows(2).filter(|pair| pair[0].0 == widest && pair[0].1);
    let wrapped = full().filter(|pair| !pair[1].1 && pair[1].0 > 0).count();
    (wrapped >= 2 && wrapped * 5 >= full().count() * 4).then_some(widest)
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
        let prefix = has_prefix(&text);
        match &mut self.held {
            Some((held, _)) if self.full && !prefix && held.len() < MAX_JOINED => held.push_str(&text),
            _ => {
                self.end(reader);
                if full && prefix {
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
        for _ in 0..3 {
            let chars: Vec<char> = LINE.chars().collect();
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
        let table = "Mean TTFT (ms):                          75.88     \n".repeat(9);
        assert_eq!(width(table.as_bytes()), None);
    }
}
