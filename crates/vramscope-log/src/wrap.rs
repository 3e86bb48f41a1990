//! Lines that a terminal has wrapped at a fixed width, as they are when a log is copied from a screen.

use std::borrow::Cow;

use crate::needles::Needles;
use crate::reader::{Gap, Reader, join};
use crate::record;
use crate::vllm::failure;
use crate::vllm::rows;

/// Narrowest and widest terminal that is looked for.
const WIDTHS: std::ops::RangeInclusive<usize> = 40..=400;
/// Longest line that is put together.
const MAX_JOINED: usize = 64 * 1024;

/// How the lines of a log are wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Columns of a whole line, without the frame.
    pub(crate) width: usize,
    /// Each line stands between two edges of a frame, as terminals draw one around a log.
    pub(crate) framed: bool,
}

/// How the lines of this beginning of a log are wrapped, if they are.
pub(crate) fn layout(head: &[u8]) -> Option<Layout> {
    let text = String::from_utf8_lossy(head);
    let bare = || width(&text).map(|width| Layout { width, framed: false });
    frame(&text).map(|width| Layout { width, framed: true }).or_else(bare)
}

/// The width at which lines are wrapped: no line is wider, and lines of exactly this width that have the engine's prefix
/// are followed by lines that have none and say nothing by themselves.
fn width(text: &str) -> Option<usize> {
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

/// Fewest lines of one width between edges that make a frame.
const LEAST_FRAMED: usize = 3;

/// The width between the edges of a frame in which a line of the engine is wrapped. The frame shows where lines end, so
/// one that is wrapped is enough.
fn frame(text: &str) -> Option<usize> {
    let inner: Vec<Cow<'_, str>> = text.lines().filter_map(unframed).collect();
    let width = inner.first().map(|line| line.chars().count()).filter(|width| WIDTHS.contains(width))?;
    let even = inner.len() >= LEAST_FRAMED && inner.iter().all(|line| line.chars().count() == width);
    let wrapped = inner
        .windows(2)
        .any(|pair| has_own_prefix(&pair[0]) && goes_on(pair[0].trim_end(), room(&pair[0], width), &pair[1]));
    (even && wrapped).then_some(width)
}

/// What stands between two edges of a frame, without the space behind the first one.
fn unframed(line: &str) -> Option<Cow<'_, str>> {
    fn inside(line: &str) -> Option<&str> {
        let line = line.trim_end();
        let edge = line.chars().next().filter(|c| matches!(c, '│' | '┃' | '║' | '|'))?;
        let inside = line.strip_prefix(edge)?.strip_suffix(edge)?;
        Some(inside.strip_prefix(' ').unwrap_or(inside))
    }
    match record::plain(line) {
        Cow::Borrowed(line) => inside(line).map(Cow::Borrowed),
        Cow::Owned(line) => inside(&line).map(|inside| Cow::Owned(inside.to_owned())),
    }
}

/// Columns that a line between edges leaves empty.
fn room(line: &str, width: usize) -> usize {
    width.saturating_sub(line.trim_end().chars().count())
}

/// Longest text of which it is tried whether a line that says something by itself is the rest of it.
const MAX_TRIED: usize = 4096;

/// Whether a line between edges is the rest of what stands before it: its first word did not fit there, and it says
/// nothing by itself that it does not say as the rest.
fn goes_on(before: &str, room: usize, line: &str) -> bool {
    let first = line.split_whitespace().next().map_or(0, |word| word.chars().count());
    let follows = first > 0 && first + 1 > room && !join::is_of_its_own(line) && !is_row_of_a_result(line);
    let as_rest = || {
        let gap = if room > 0 { " " } else { "" };
        before.len() < MAX_TRIED && values(&format!("{before}{gap}{}", line.trim_end())) >= values(line).max(1)
    };
    follows && (!says_something(line) || as_rest())
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
        let stripped = failure::heart(record.message).text;
        let whole = |text| rows::find(candidates, text).is_some_and(|(_, matched)| !matched.cut);
        says |= whole(record.message) || whole(stripped);
    });
    says
}

/// How many values the formats read from a line.
fn values(line: &str) -> usize {
    let mut values = 0;
    record::each(&record::plain(line), |record| {
        let candidates = Needles::get().candidates(record.message);
        let found = rows::find(candidates, record.message)
            .or_else(|| rows::find(candidates, failure::heart(record.message).text));
        values += found.map_or(0, |(_, matched)| matched.captured.len());
    });
    values
}

/// Most places of one line at which a space is tried.
const MAX_SEAMS: usize = 16;

/// A line that may go on.
#[derive(Debug)]
struct Held {
    text: String,
    /// The number of its first part.
    line: u64,
    /// Where parts meet at the edge of a frame: a space may have been lost there.
    seams: Vec<usize>,
}

impl Held {
    /// The line, with a space at each seam where more can be read with one.
    fn joined(mut self) -> String {
        // From the left, as formats are read: what follows a seam is not reached before it is right.
        let mut added = 0;
        for seam in self.seams {
            let mut spaced = self.text.clone();
            spaced.insert(seam + added, ' ');
            if values(&spaced) > values(&self.text) {
                self.text = spaced;
                added += 1;
            }
        }
        self.text
    }
}

/// Puts wrapped lines together.
#[derive(Debug)]
pub(crate) struct Unwrapper {
    layout: Layout,
    held: Option<Held>,
    /// Columns that the last part of it left empty.
    room: usize,
}

impl Unwrapper {
    pub(crate) fn new(layout: Layout) -> Self {
        Self { layout, held: None, room: usize::MAX }
    }

    /// Takes a piece; lines that have their end are read.
    pub(crate) fn piece(&mut self, piece: &[u8], line: u64, reader: &mut Reader) {
        if piece.is_empty() {
            return;
        }
        let whole = String::from_utf8_lossy(piece);
        let Layout { width, framed } = self.layout;
        let inner = if framed { unframed(&whole) } else { None };
        let room = match &inner {
            Some(inner) => room(inner, width),
            None if framed => usize::MAX,
            None => width.saturating_sub(columns(&whole)),
        };
        let text = inner.as_deref().unwrap_or(&whole);
        let before = self.held.as_ref().map_or("", |held| &held.text);
        let is_rest = if framed { goes_on(before, self.room, text) } else { self.room == 0 && may_continue(text) };
        match &mut self.held {
            Some(held) if is_rest && held.text.len() < MAX_JOINED => {
                if framed && self.room > 0 {
                    held.text.push(' ');
                } else if framed && held.seams.len() < MAX_SEAMS {
                    held.seams.push(held.text.len());
                }
                held.text.push_str(if framed { text.trim_end() } else { text });
            }
            _ => {
                self.end(reader);
                let may_go_on = if framed { room < usize::MAX } else { room == 0 };
                if may_go_on && has_own_prefix(text) {
                    let text = if framed { text.trim_end() } else { text };
                    self.held = Some(Held { text: text.to_owned(), line, seams: Vec::new() });
                } else {
                    reader.piece(text.as_bytes(), line, Gap::default());
                }
            }
        }
        self.room = room;
    }

    /// Reads what is held.
    pub(crate) fn end(&mut self, reader: &mut Reader) {
        if let Some(held) = self.held.take() {
            let line = held.line;
            reader.piece(held.joined().as_bytes(), line, Gap::default());
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

    fn width(head: &[u8]) -> Option<usize> {
        layout(head).map(|layout| layout.width)
    }

    const OUT: &str = "ERROR 03-24 04:04:51 [core.py:340] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate \
                       252.00 MiB. GPU 0 has a total capacity of 21.96 GiB of which 57.12 MiB is free. Including \
                       non-PyTorch memory, this process has 21.90 GiB memory in use.";

    /// Lines in a frame: each is cut at the width, or at its last space before it.
    fn framed(edge: char, width: usize, by_words: bool) -> String {
        let mut out = String::new();
        for line in ["INFO 03-24 04:04:50 [kv_cache_utils.py:537] GPU KV cache size: 41,328 tokens", OUT] {
            let mut rest: Vec<char> = line.chars().collect();
            while !rest.is_empty() {
                let fits = rest.len().min(width);
                let space =
                    rest.iter().take(fits + 1).rposition(|c| *c == ' ').filter(|_| by_words && fits < rest.len());
                let part: String = rest.drain(..space.unwrap_or(fits)).collect();
                out += &format!("{edge} {part:width$}{edge}\n");
                // A terminal that wraps at the edge shows no space in its first column.
                if rest.first() == Some(&' ') {
                    rest.remove(0);
                }
            }
        }
        out
    }

    #[test]
    fn lines_in_a_frame_say_what_whole_ones_say() {
        let read = |log: &str| {
            let mut parser = crate::LogParser::new();
            parser.push_bytes(log.as_bytes());
            parser.finish().engines.remove(0).facts
        };
        let whole = read(OUT);
        for edge in ['│', '┃', '|'] {
            for width in 60..120 {
                for by_words in [false, true] {
                    let log = framed(edge, width, by_words);
                    let found = read(&log);
                    assert_eq!(found.failures.len(), 1, "{log}");
                    assert_eq!(found.failures[0].kind, whole.failures[0].kind, "{log}");
                    assert_eq!(found.kv_cache_tokens(), Some(41_328), "{log}");
                }
            }
        }
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
