//! From pieces of lines to engines.

mod apply;
mod join;
mod json;
mod route;

use vramscope_core::{LogTime, Origin};

use crate::engine::Place;
use crate::failure;
use crate::needles::Needles;
use crate::note::ParseNote;
use crate::record::{self, Record};
use crate::rows;
use crate::unknown::Unknown;

pub(crate) use join::Joiner;
pub(crate) use route::Router;

/// Most lines that are looked at for the clock nearest to a line that has none.
const MAX_CLOCK_LINES: usize = 400;
/// How far an exception may stand from the head of its traceback.
const MAX_TRACEBACK_LINES: u64 = 2000;
/// Most lines of a serving benchmark's result.
const MAX_RESULT_LINES: u32 = 120;

/// Reads pieces of lines: those that hold a needle, and the ones that those ask for.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) needles: &'static Needles,
    pub(crate) router: Router,
    /// The last clock that was seen.
    clock: Option<LogTime>,
    /// Where the last traceback without prefixes began.
    traceback: Option<u64>,
    /// The engine whose serving result is being printed, and how many lines more it may have.
    result: Option<(usize, u32)>,
    joiner: Joiner,
    pub(crate) unknown: Option<Unknown>,
    pub(crate) notes: Vec<ParseNote>,
    /// The line that is being read.
    line: u64,
}

impl Reader {
    pub(crate) fn new(keep_unknown: bool) -> Self {
        Self {
            needles: if keep_unknown { Needles::with_figures() } else { Needles::get() },
            router: Router::new(),
            clock: None,
            traceback: None,
            result: None,
            joiner: Joiner::default(),
            unknown: keep_unknown.then(Unknown::default),
            notes: Vec::new(),
            line: 0,
        }
    }

    /// Whether the next piece must be read whatever it holds.
    pub(crate) fn wants_next(&self) -> bool {
        self.result.is_some() || self.joiner.wants_next()
    }

    /// Takes notice of text that holds no needle: only its first and its last clock matter. `first_line` is the number
    /// of its first line.
    pub(crate) fn gap(&mut self, gap: &[u8], first_line: u64) {
        if gap.is_empty() {
            return;
        }
        if self.router.current().first_clock.is_none() {
            let clock = (first_line..)
                .zip(gap.split(|b| *b == b'\n').take(MAX_CLOCK_LINES))
                .find_map(|(line, piece)| Some((line, clock_of(piece)?)));
            if let Some((line, clock)) = clock {
                self.router.current().clock(clock, &Origin { line, worker: None });
            }
        }
        for (back, piece) in (0..).zip(
            memchr::memrchr_iter(b'\n', gap)
                .map(|at| at + 1)
                .chain([0])
                .scan(gap.len(), |end, start| {
                    let piece = &gap[start..*end];
                    *end = start.saturating_sub(1);
                    Some(piece)
                })
                .take(MAX_CLOCK_LINES),
        ) {
            if let Some(clock) = clock_of(piece) {
                self.clock = Some(clock);
                let line = first_line + count(gap, b'\n') - back;
                self.router.current().clock(clock, &Origin { line, worker: None });
                return;
            }
        }
    }

    /// Reads one piece of a line, without its end.
    pub(crate) fn piece(&mut self, bytes: &[u8], line: u64) {
        self.line = line;
        let text = String::from_utf8_lossy(bytes);
        let plain = record::plain(&text);
        match self.joiner.runtime(&plain) {
            join::Runtime::Whole => self.text(&plain),
            join::Runtime::Held => {}
            join::Runtime::Joined(joined) => self.text(&joined),
        }
    }

    /// Ends the log.
    pub(crate) fn end(&mut self) {
        for held in self.joiner.end() {
            self.text(&held);
        }
    }

    fn text(&mut self, text: &str) {
        if let Some((joined, owner)) = self.joiner.continued(text) {
            self.again(&joined, owner);
        }
        if let Some(object) = json::object(text) {
            self.json(&object);
            return;
        }
        record::each(text, |record| self.record(&record));
    }

    /// A line that a JSON formatter or a container runtime has written.
    fn json(&mut self, object: &json::Object) {
        for line in object.message.split(['\n', '\r']).filter(|line| !line.trim().is_empty()) {
            let plain = record::plain(line);
            record::each(&plain, |record| {
                let tag = record.tag.or(object.tag.as_deref());
                let level = record.level.or(object.level.as_deref());
                self.record(&Record { tag, level, clock: record.clock.or(object.clock), ..record });
            });
        }
    }

    fn record(&mut self, record: &Record<'_>) {
        let line = self.line;
        let engine = self.router.route(record, line);
        if let Some(clock) = record.clock {
            self.clock = Some(clock);
            let origin = Origin { line, worker: record.tag.map(str::to_owned) };
            self.router.engine(engine).clock(clock, &origin);
        }
        let place = Place {
            origin: Origin { line, worker: record.tag.map(str::to_owned) },
            at: record.clock.or(self.clock),
            at_is_own: record.clock.is_some(),
            repeated: record.repeated,
        };
        if record.level.is_none() && self.bar(engine, record.message, &place) {
            return;
        }
        let candidates = self.needles.candidates(record.message);
        let (stripped, exception) = failure::strip_exceptions(record.message);
        let found = rows::find(candidates, record.message).map(|found| (found, record.message)).or_else(|| {
            let stripped = exception.and_then(|_| rows::find(candidates, stripped).map(|found| (found, stripped)));
            stripped.or_else(|| {
                let bare = record.level.is_none().then(|| rows::find_within(candidates, record.message)).flatten();
                bare.map(|(format, matched, at)| ((format, matched), &record.message[at..]))
            })
        });
        match found {
            Some(((format, matched), text)) => {
                let cut = matched.cut.then_some(matched.captured.len());
                self.apply(engine, format, matched, text, record, place);
                if let Some(known) = cut {
                    self.joiner.open(record, line, known, true);
                }
            }
            None => {
                if rows::is_cut(candidates, record.message) || rows::is_cut(candidates, stripped) {
                    self.joiner.open(record, line, 0, false);
                }
                self.unknown_record(engine, record, exception, place);
            }
        }
    }

    /// A record of no known format: a line of a result, an exception, a figure of memory, or nothing.
    fn unknown_record(&mut self, engine: usize, record: &Record<'_>, exception: Option<usize>, place: Place) {
        if let Some((owner, left)) = self.result {
            let bench = &mut self.router.engine(owner).bench;
            let taken = bench.serve_line(record.message, &place.origin);
            self.result = (bench.in_serve && left > 0).then_some((owner, left.saturating_sub(1)));
            if taken {
                return;
            }
        }
        if let Some(unknown) = &mut self.unknown {
            unknown.offer(record.message, self.line);
        }
        self.exception(engine, record, exception, place);
    }
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

fn count(text: &[u8], byte: u8) -> u64 {
    u64::try_from(memchr::memchr_iter(byte, text).count()).unwrap_or(u64::MAX)
}
