//! From pieces of lines to engines.

mod apply;
mod csv;
pub(crate) mod join;
mod json;
mod route;

use std::borrow::Cow;

use vramscope_core::LogTime;

use crate::engine::{Frame, Place};
use crate::needles::Needles;
use crate::note::ParseNote;
use crate::others::{Heard, Others};
use crate::record::{self, Record};
use crate::unknown::Unknown;
use crate::vllm::failure;
use crate::vllm::rows;

pub(crate) use join::Joiner;
pub(crate) use route::Router;

/// How far an exception may stand from the head of its traceback.
const MAX_TRACEBACK_LINES: u64 = 2000;
/// Most lines of a serving benchmark's result.
const MAX_RESULT_LINES: u32 = 120;

/// Text that was passed over because it holds no needle.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Gap<'a> {
    pub(crate) text: &'a [u8],
    /// The line that it begins on.
    pub(crate) line: u64,
}

/// Reads pieces of lines: those that hold a needle, and the ones that those ask for.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) needles: &'static Needles,
    pub(crate) router: Router,
    /// Engines that have rooms of their own.
    pub(crate) others: Others,
    /// The last clock that was seen, and its line.
    clock: Option<(LogTime, u64)>,
    /// The first clock of the log.
    first_clock: Option<(LogTime, u64)>,
    /// Where the server said last that a request failed.
    request_failed: Option<u64>,
    /// Where the last traceback without prefixes began.
    traceback: Option<u64>,
    /// The last function in a traceback that tells what the engine was at.
    frame: Option<Frame>,
    /// The engine whose serving result is being printed, and how many lines more it may have.
    result: Option<(usize, u32)>,
    joiner: Joiner,
    pub(crate) unknown: Option<Unknown>,
    pub(crate) notes: Vec<ParseNote>,
    /// The line that is being read.
    line: u64,
}

impl Reader {
    /// A reader; a container runtime's log says so on its first line.
    pub(crate) fn new(keep_unknown: bool) -> Self {
        Self {
            needles: if keep_unknown { Needles::with_figures() } else { Needles::get() },
            router: Router::new(),
            others: Others::default(),
            clock: None,
            first_clock: None,
            request_failed: None,
            traceback: None,
            frame: None,
            result: None,
            joiner: Joiner::default(),
            unknown: keep_unknown.then(Unknown::default),
            notes: Vec::new(),
            line: 0,
        }
    }

    /// Looks at the first piece of the log for the marks of a container runtime.
    pub(crate) fn look_at_head(&mut self, head: &[u8]) {
        let line = &head[..memchr::memchr2(b'\n', b'\r', head).unwrap_or(head.len())];
        let marked = join::runtime_mark(&String::from_utf8_lossy(line)).is_some();
        if marked && self.unknown.is_none() {
            self.needles = Needles::with_runtime();
        }
    }

    /// Whether the next piece must be read whatever it holds.
    pub(crate) fn wants_next(&self) -> bool {
        self.others.is_open() || self.asks_for_next()
    }

    /// Whether the last line of the first engine asks for the next one.
    fn asks_for_next(&self) -> bool {
        self.result.is_some() || self.joiner.wants_next()
    }

    /// Takes notice of text that holds no needle: only its first and its last clock matter.
    pub(crate) fn pass(&mut self, mut gap: Gap<'_>) {
        self.settle(&mut gap);
    }

    /// Looks for the clocks of a gap, which is empty then.
    fn settle(&mut self, gap: &mut Gap<'_>) {
        let text = std::mem::take(&mut gap.text);
        if text.is_empty() {
            return;
        }
        if self.first_clock.is_none() {
            let mut line = gap.line;
            self.first_clock = text.split_inclusive(|b| matches!(b, b'\n' | b'\r')).find_map(|piece| {
                let found = clock_of(piece.strip_suffix(b"\n").unwrap_or(piece)).map(|clock| (clock, line));
                line += u64::from(piece.ends_with(b"\n"));
                found
            });
        }
        let mut end = text.len();
        loop {
            let start = memchr::memrchr2(b'\n', b'\r', &text[..end]).map_or(0, |at| at + 1);
            if let Some(clock) = clock_of(&text[start..end]) {
                let line = gap.line + count(&text[..start]);
                self.clock = Some((clock, line));
                return;
            }
            let Some(before) = start.checked_sub(1) else { return };
            end = before;
        }
    }

    /// Reads one piece of a line, without its end.
    ///
    /// `gap` is the text before it that was passed over; it is looked at only if its clocks are needed.
    pub(crate) fn piece(&mut self, bytes: &[u8], line: u64, mut gap: Gap<'_>) {
        self.line = line;
        if self.first_clock.is_none() {
            self.settle(&mut gap);
        }
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(bytes),
        };
        let plain = record::plain(&text);
        match self.joiner.runtime(&plain) {
            join::Runtime::Whole => self.text(&plain, &mut gap),
            join::Runtime::Held => {}
            join::Runtime::Joined(joined) => self.text(&joined, &mut gap),
        }
        // A piece without a record, as of a process tag alone, has looked at no clock.
        self.settle(&mut gap);
    }

    /// Ends the log.
    pub(crate) fn end(&mut self, last_line: u64) {
        for held in self.joiner.end() {
            self.text(&held, &mut Gap::default());
        }
        if let Some((clock, line)) = self.clock {
            self.router.current().clock(clock, line);
        }
        self.router.current().last_line = last_line;
        if let Some((clock, line)) = self.first_clock {
            self.router.engine(0).first_clock = Some((clock, line));
        }
    }

    fn text(&mut self, text: &str, gap: &mut Gap<'_>) {
        if self.others.is_open() {
            self.text_of_any(text, gap);
            return;
        }
        self.text_of_first(text, gap);
    }

    /// A line where engines that have rooms of their own may speak.
    fn text_of_any(&mut self, text: &str, gap: &mut Gap<'_>) {
        if self.asks_for_next() {
            self.text_of_first(text, gap);
            return;
        }
        if let Some(object) = json::object(text).or_else(|| csv::row(text)) {
            let mut theirs = false;
            for line in object.message.split(['\n', '\r']).filter(|line| !line.trim().is_empty()) {
                theirs |= self.is_theirs(&record::plain(line));
            }
            if theirs {
                return;
            }
        } else if self.is_theirs(text) {
            return;
        }
        if self.needles.find(text.as_bytes(), 0).is_some() {
            self.text_of_first(text, gap);
        } else {
            self.settle(gap);
            self.settle(&mut Gap { text: text.as_bytes(), line: self.line });
        }
    }

    /// Whether a line is of an engine that has a room of its own, which has read it then.
    fn is_theirs(&mut self, text: &str) -> bool {
        let announces = self.needles.candidates(text).begin() && record::has_own_head(text);
        let heard = self.others.hear(text, self.line, &mut self.router, announces);
        if heard == Heard::Unread
            && let Some(unknown) = &mut self.unknown
        {
            unknown.offer(text, self.line);
        }
        heard != Heard::NotTheirs
    }

    fn text_of_first(&mut self, text: &str, gap: &mut Gap<'_>) {
        if let Some((joined, owner)) = self.joiner.continued(text) {
            self.again(&joined, owner);
        }
        if let Some(object) = json::object(text).or_else(|| csv::row(text)) {
            self.json(&object, gap);
            return;
        }
        record::each(text, |record| self.record(&record, gap));
    }

    /// A line that a JSON formatter, a container runtime or an export has written.
    fn json(&mut self, object: &json::Object, gap: &mut Gap<'_>) {
        for line in object.message.split(['\n', '\r']).filter(|line| !line.trim().is_empty()) {
            let plain = record::plain(line);
            record::each(&plain, |record| {
                let tag = record.tag.or(object.tag.as_deref());
                let level = record.level.or(object.level.as_deref());
                self.record(&Record { tag, level, clock: record.clock.or(object.clock), ..record }, gap);
            });
        }
    }

    fn record(&mut self, record: &Record<'_>, gap: &mut Gap<'_>) {
        let line = self.line;
        let candidates = self.needles.candidates(record.message);
        if record.clock.is_none() || candidates.begin() {
            self.settle(gap);
        }
        if candidates.begin() {
            // The engine that ends here, if one does, was at work until now.
            if let Some((clock, line)) = self.clock {
                self.router.current().clock(clock, line);
            }
        }
        let engine = self.router.route(record, line);
        if let Some(clock) = record.clock {
            gap.text = &[];
            self.clock = Some((clock, line));
            self.first_clock = self.first_clock.or(self.clock);
            self.router.engine(engine).clock(clock, line);
        }
        self.router.engine(engine).is_told |= is_told(record);
        let place = Place {
            line,
            tag: record.tag,
            at: record.clock.or(self.clock.map(|(clock, _)| clock)),
            at_is_own: record.clock.is_some(),
            repeated: record.repeated,
            rank: record.rank,
        };
        if record.level.is_none() && self.bar(engine, record.message, &place) {
            return;
        }
        let failure::Heart { text: stripped, exception, .. } = failure::heart(record.message);
        let found = rows::find(candidates, record.message).map(|found| (found, record.message)).or_else(|| {
            let stripped = exception.and_then(|_| rows::find(candidates, stripped).map(|found| (found, stripped)));
            stripped.or_else(|| {
                let bare = record.level.is_none().then(|| rows::find_within(candidates, record.message)).flatten();
                bare.map(|(format, matched, at)| ((format, matched), &record.message[at..]))
            })
        });
        let found = found.or_else(|| {
            let raised = record.level.is_none().then(|| failure::raised_within(record.message)).flatten()?;
            rows::find(candidates, raised).map(|found| (found, raised))
        });
        let found = found.filter(|((format, _), text)| {
            let raised = exception.is_some() || text.len() < record.message.len();
            format.counts(record.level, raised)
        });
        match found {
            Some(((format, matched), text)) => {
                let cut = matched.cut.then_some(matched.captured.len());
                self.apply(engine, format, matched, text, record, &place);
                if let Some(known) = cut {
                    self.joiner.open(record, line, known, true);
                }
            }
            None => {
                if rows::is_cut(candidates, record.message) || rows::is_cut(candidates, stripped) {
                    self.joiner.open(record, line, 0, false);
                }
                self.unknown_record(engine, record, exception, &place);
            }
        }
    }

    /// A record of no known format: a line of a result, an exception, a figure of memory, or nothing.
    fn unknown_record(&mut self, engine: usize, record: &Record<'_>, exception: Option<usize>, place: &Place<'_>) {
        if let Some((owner, left)) = self.result {
            let bench = &mut self.router.engine(owner).bench;
            let taken = bench.serve_line(record.message, &place.origin());
            self.result = (bench.in_serve && left > 0).then_some((owner, left.saturating_sub(1)));
            if taken {
                return;
            }
        }
        if let Some(unknown) = &mut self.unknown {
            unknown.offer(record.message, self.line);
        }
        self.frame = Frame::of(record.message, self.line).or(self.frame);
        self.exception(engine, record, exception, place);
    }
}

/// Whether a record has a prefix that only the first engine's records have. The line that names the platform is printed
/// by its library too, which others import.
fn is_told(record: &Record<'_>) -> bool {
    record.tag.is_some() || record.level.is_some() && record.file.is_some_and(|file| !file.ends_with("__init__.py"))
}

/// The clock of a line, looked for where clocks stand.
fn clock_of(line: &[u8]) -> Option<LogTime> {
    // Beyond the first few hundred bytes there is only the message.
    let head = &line[..line.len().min(320)];
    if !head.iter().any(u8::is_ascii_digit) {
        return None;
    }
    let text = String::from_utf8_lossy(head);
    let mut clock = None;
    if let Some(object) =
        text.trim_start().starts_with('{').then(|| String::from_utf8_lossy(line)).as_deref().and_then(json::object)
    {
        return object.clock;
    }
    record::each(&record::plain(&text), |record| clock = clock.or(record.clock));
    clock
}

fn count(text: &[u8]) -> u64 {
    u64::try_from(memchr::memchr_iter(b'\n', text).count()).unwrap_or(u64::MAX)
}
