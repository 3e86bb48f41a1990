//! The parser: bytes or lines in, a report out.

use vramscope_core::{Failure, FailureKind, Generation, LogTime, Milestone, Origin};

use crate::engine::{Engine, Place};
use crate::failure;
use crate::figure::Value;
use crate::key::Key;
use crate::note::ParseNote;
use crate::pattern::{Captured, Matched};
use crate::record::{self, Record};
use crate::report::Report;
use crate::rows::{self, Effect, Format};
use crate::settings::{self, SettingSource};
use crate::worker::{Placement, Worker};

/// Longest piece of a line that is read; the engine's own configuration lines have about 10,000 characters.
const MAX_PIECE: usize = 256 * 1024;
/// Most engine starts in one input that are told apart.
const MAX_ENGINES: usize = 200;

/// Reads a log as it comes. It never fails: what it does not understand it leaves alone.
///
/// ```
/// use vramscope_vllm_log::LogParser;
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
    engines: Vec<Engine>,
    clock: Option<LogTime>,
    /// Within a traceback that has no prefix.
    in_traceback: bool,
    notes: Vec<ParseNote>,
}

impl Default for LogParser {
    fn default() -> Self {
        Self::new()
    }
}

impl LogParser {
    /// A parser at the start of a log.
    pub fn new() -> Self {
        Self {
            carry: Vec::new(),
            overlong: false,
            line: 1,
            engines: vec![Engine::new(1)],
            clock: None,
            in_traceback: false,
            notes: Vec::new(),
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
    pub fn push_bytes(&mut self, mut bytes: &[u8]) {
        while let Some(end) = memchr::memchr2(b'\n', b'\r', bytes) {
            let (piece, rest) = bytes.split_at(end);
            if self.carry.is_empty() && !self.overlong {
                self.piece(piece);
            } else {
                self.keep(piece);
                let carried = std::mem::take(&mut self.carry);
                self.piece(&carried);
                self.carry = carried;
                self.carry.clear();
                self.overlong = false;
            }
            if rest[0] == b'\n' {
                self.line += 1;
            }
            bytes = &rest[1..];
        }
        self.keep(bytes);
    }

    /// Ends the log and gives what it says.
    pub fn finish(mut self) -> crate::LogReport {
        if !self.carry.is_empty() {
            let carried = std::mem::take(&mut self.carry);
            self.piece(&carried);
        }
        crate::report_of(self.engines, self.notes, self.line)
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = MAX_PIECE - self.carry.len().min(MAX_PIECE);
        if bytes.len() > room && !self.overlong {
            self.overlong = true;
            self.notes.push(ParseNote::new(self.line, format!("longer than {MAX_PIECE} bytes; the rest is not read")));
        }
        self.carry.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// One piece of a line, without its end.
    fn piece(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(bytes);
        let plain = record::plain(&text);
        record::each(&plain, |record| self.record(&record));
    }

    fn record(&mut self, record: &Record<'_>) {
        let origin = Origin { line: self.line, worker: record.tag.map(str::to_owned) };
        if let Some(clock) = record.clock {
            self.clock = Some(clock);
            self.engine().clock(clock, &origin);
        }
        let place = Place { origin, at: self.clock, at_is_own: record.clock.is_some(), repeated: record.repeated };
        if record.level.is_none() && self.bar(record.message, &place) {
            return;
        }
        let (stripped, exception) = failure::strip_exceptions(record.message);
        let found = rows::find(record.message).or_else(|| exception.and_then(|_| rows::find(stripped)));
        let found = found.map(|(format, matched)| (format, matched, stripped));
        let found = found.or_else(|| {
            let within = record.level.is_none().then(|| rows::find_within(record.message)).flatten();
            within.map(|(format, matched, at)| (format, matched, &record.message[at..]))
        });
        match found {
            Some((format, matched, text)) => {
                let text = if text.len() >= matched.end { text } else { record.message };
                self.apply(format, matched, text, record, place);
            }
            None => self.unknown(record, exception, place),
        }
    }

    /// The engine that is being read.
    fn engine(&mut self) -> &mut Engine {
        let line = self.line;
        if self.engines.is_empty() {
            self.engines.push(Engine::new(line));
        }
        let last = self.engines.len() - 1;
        let engine = &mut self.engines[last];
        engine.last_line = line;
        engine
    }

    /// An engine announces itself: a new one, if the one being read has already done so.
    fn begins(&mut self, again: impl Fn(&Engine) -> bool) {
        let line = self.line;
        if !again(self.engine()) {
            return;
        }
        if self.engines.len() == MAX_ENGINES {
            self.engines.pop();
            if !self.notes.iter().any(|n| n.text.starts_with("more than")) {
                self.notes.push(ParseNote::new(
                    line,
                    format!("more than {MAX_ENGINES} engine starts; the first and the last are kept"),
                ));
            }
        }
        self.engines.push(Engine::new(line));
        if let Some(clock) = self.clock {
            self.engine().clock(clock, &Origin { line, worker: None });
        }
    }

    fn apply(&mut self, format: &'static Format, matched: Matched, text: &str, record: &Record<'_>, place: Place) {
        let Matched { captured, end, .. } = matched;
        let rest = text.get(end..).unwrap_or("");
        let secs = captured.iter().find(|c| c.key.kind() == crate::key::Kind::Seconds && c.key != Key::CompileSecs);
        let secs = secs.or_else(|| captured.iter().find(|c| c.key == Key::CompileSecs));
        let took = secs.and_then(|c| match c.value {
            Value::Number(secs) => Some(secs),
            _ => None,
        });
        match format.row.effect {
            Effect::Begin => self.begins(|engine| engine.marks.begin && (engine.marks.args || engine.marks.config)),
            Effect::Args | Effect::Namespace => self.begins(|engine| engine.marks.args || engine.marks.config),
            Effect::Config => {
                let tag = place.origin.worker.clone().unwrap_or_default();
                self.begins(|engine| {
                    engine.marks.config && (!tag.contains("_DP") || engine.config_tags.contains(&tag))
                });
            }
            _ => {}
        }
        if let Some(generation) = generation(format, &captured) {
            self.engine().says(generation, &place);
        }
        let line = self.line;
        let engine = self.engine();
        match format.row.effect {
            Effect::None | Effect::Known => {}
            Effect::Begin => engine.marks.begin = true,
            Effect::Event(milestone) => engine.event(milestone, took, &place),
            Effect::Config => {
                engine.marks.config = true;
                engine.config_tags.push(place.origin.worker.clone().unwrap_or_default());
                engine.configure(settings::assignments(rest, SettingSource::Config, &place.origin));
            }
            Effect::ConfigAgain if !engine.marks.config => {
                engine.configure(settings::assignments(rest, SettingSource::Config, &place.origin));
            }
            Effect::ConfigAgain => return,
            Effect::Args => {
                engine.marks.args = true;
                engine.configure(settings::non_default(rest, &place.origin));
            }
            Effect::Namespace => {
                engine.marks.args = true;
                engine.configure(settings::assignments(rest, SettingSource::Namespace, &place.origin));
            }
            Effect::Rank => {
                if let Some(placement) = placement(&captured, record.tag, line) {
                    engine.placements.push(placement);
                }
                return;
            }
            Effect::Report => {
                let report = Report::of(&captured, line, place.at);
                if report.running.is_some_and(|n| n > 0) {
                    engine.traffic(&place);
                }
                engine.reports.push(report);
                return;
            }
            Effect::Fails(fails) => {
                let message = failure::message(record.message);
                engine.fail(Failure { kind: failure::kind(fails, &captured), message, origin: place.origin.clone() });
                self.in_traceback = false;
            }
            Effect::Bench(part) => {
                engine.bench.take(part, &captured, &place.origin);
                return;
            }
        }
        let captured =
            if captured.iter().any(|c| c.key == Key::AttentionBackend) { backend(captured) } else { captured };
        self.engine().take(captured, &place);
    }

    /// A progress bar of a benchmark, or another one. Gives whether it was one.
    fn bar(&mut self, message: &str, place: &Place) -> bool {
        let Some((name, rest)) = message.split_once(": ") else { return false };
        let Some((percent, rest)) = rest.trim_start().split_once("%|") else { return false };
        if percent.bytes().any(|b| !b.is_ascii_digit()) {
            return false;
        }
        let (begins, ends) = match name {
            "Warmup iterations" => (Milestone::WarmupBegan, Milestone::WarmupEnded),
            "Bench iterations" => (Milestone::MeasureBegan, Milestone::MeasureEnded),
            _ => return true,
        };
        let engine = self.engine();
        if !engine.events.iter().any(|e| e.milestone == begins) {
            engine.event(begins, None, place);
        }
        if percent == "100" {
            let elapsed = rest.rsplit_once('[').and_then(|(_, times)| elapsed(times));
            engine.events.retain(|e| e.milestone != ends);
            engine.event(ends, elapsed, place);
        }
        true
    }

    /// A record of no known format: an exception, a line of a result, or nothing.
    fn unknown(&mut self, record: &Record<'_>, exception: Option<usize>, place: Place) {
        let origin = place.origin.clone();
        if self.engine().bench.serve_line(record.message, &origin) {
            return;
        }
        let engine_process =
            record.tag.map(Worker::of).is_some_and(|w| !w.name.starts_with("API") && !w.name.starts_with("Api"));
        match (record.level, exception) {
            (Some("ERROR" | "CRITICAL"), Some(at)) if engine_process => self.other(record, at, place),
            (None, Some(at)) if self.in_traceback && !record.message.starts_with(' ') => {
                self.in_traceback = false;
                self.other(record, at, place);
            }
            (None, None) if record.message.starts_with("Traceback (most recent call last)") => self.in_traceback = true,
            (Some(_), _) => self.in_traceback = false,
            _ => {}
        }
    }

    fn other(&mut self, record: &Record<'_>, exception: usize, place: Place) {
        let message = failure::message(&record.message[exception..]);
        self.engine().fail(Failure { kind: FailureKind::Other, message, origin: place.origin });
    }
}

/// The generation that a line proves: by its words, or by a version that had only one.
fn generation(format: &Format, captured: &[Captured]) -> Option<Generation> {
    format.row.says.or_else(|| {
        let version = captured.iter().find(|c| c.key == Key::Version)?;
        let Value::Text(version) = &version.value else { return None };
        let mut parts =
            version.split('.').map(|p| p.bytes().take_while(u8::is_ascii_digit).count()).zip(version.split('.'));
        let mut next = || parts.next().and_then(|(digits, part)| part[..digits].parse::<u32>().ok());
        let (major, minor, patch) = (next()?, next()?, next().unwrap_or(0));
        match (major, minor, patch) {
            (0, 0..=5, _) | (0, 6, 0..=3) => Some(Generation::V0),
            (0, 0..=10, _) => None,
            _ => Some(Generation::V1),
        }
    })
}

/// Drops what is called a backend and is not one of attention.
fn backend(captured: Vec<Captured>) -> Vec<Captured> {
    let is_attention = |name: &str| {
        let name = name.to_ascii_lowercase();
        !name.contains("prefill")
            && !name.contains("moe")
            && !name.contains('[')
            && !name.contains("reduce")
            && [
                "attn",
                "attention",
                "attenion",
                "flash",
                "mla",
                "xformers",
                "sdpa",
                "pallas",
                "triton",
                "aiter",
                "cutlass",
            ]
            .iter()
            .any(|word| name.contains(word))
    };
    captured
        .into_iter()
        .filter(|c| c.key != Key::AttentionBackend || matches!(&c.value, Value::Text(name) if is_attention(name)))
        .collect()
}

fn placement(captured: &[Captured], tag: Option<&str>, line: u64) -> Option<Placement> {
    let count = |key: Key| {
        captured.iter().find(|c| c.key == key).and_then(|c| match c.value {
            Value::Count(count) => u32::try_from(count).ok(),
            _ => None,
        })
    };
    Some(Placement {
        pid: tag.map(|tag| Worker::of(tag).pid.to_owned()),
        rank: count(Key::Rank)?,
        world_size: count(Key::WorldSize)?,
        data: count(Key::DpRank)?,
        pipeline: count(Key::PpRank)?,
        tensor: count(Key::TpRank)?,
        line,
    })
}

/// The seconds of `[00:13<00:19,  6.59s/it]`, `1:02:03<…`.
fn elapsed(times: &str) -> Option<f64> {
    let (spent, _) = times.split_once('<')?;
    let mut secs = 0u32;
    for part in spent.split(':') {
        secs = secs.checked_mul(60)?.checked_add(part.parse().ok()?)?;
    }
    Some(f64::from(secs))
}
