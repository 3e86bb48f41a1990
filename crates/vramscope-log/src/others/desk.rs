//! Where a line of an engine is worked on: the engine, what is known of its course, and what may be added to it.

use vramscope_core::{Buffer, BufferKind, Bytes, Fact, Failure, FailureKind, LogTime, Milestone, Origin, Scope};

use super::Said;
use crate::engine::{Engine, Place, Statement};
use crate::figure::{Figure, Memory, Value};
use crate::key::Key;
use crate::needles::Needles;
use crate::news::News;
use crate::note::ParseNote;
use crate::pattern::Captured;
use crate::vllm::rows::Effect;
use crate::vllm::{failure, rows};

/// Most buffers that one engine keeps.
const MAX_PARTS: usize = 2048;
/// Most lines between an allocation that failed and what is said because of it.
const ONE_FAILURE_LINES: u64 = 16;

/// How far an engine has come, as its rooms need to know it.
#[derive(Debug, Default)]
pub(crate) struct Now {
    /// It tries how much would fit: what it prints of memory is a plan.
    pub(crate) planning: bool,
    /// Something was allocated.
    pub(crate) allocated: bool,
    /// A layout that was tried is kept.
    pub(crate) committed: bool,
    /// What comes is of the model that drafts tokens.
    pub(crate) of_draft: bool,
    /// A traceback is being printed, whose error is not read yet.
    pub(crate) traceback: bool,
    /// A layout was printed to its end: what is printed next is another one.
    pub(crate) laid_out: bool,
    /// The next table of a trial, and the one at hand, are of the model that drafts tokens.
    pub(crate) trial_of_draft: (bool, bool),
    /// How many contexts have begun: what is printed again within one replaces what was printed before.
    pub(crate) context: u32,
    /// The device's figure of weights holds its KV cache.
    pub(crate) with_kv: bool,
    /// A server of this engine printed, not a program that wraps its library.
    pub(crate) is_server: bool,
    /// A model was announced.
    pub(crate) has_model: bool,
    /// A KV cache was made.
    pub(crate) has_context: bool,
    /// It starts programs of others, and said so last.
    pub(crate) starts: bool,
    /// It ends.
    pub(crate) ends: bool,
    /// No size of the pool is measured.
    pub(crate) unmeasured: bool,
    /// The parts of the context, by place, that may be printed again.
    pub(crate) again: Vec<(u32, BufferKind, String, usize)>,
    /// The last clock.
    pub(crate) clock: Option<LogTime>,
    /// Where something failed last, and whether that was an allocation.
    pub(crate) failed: Option<(u64, bool)>,
}

/// A line's engine.
pub(crate) struct Desk<'a> {
    pub(crate) engine: &'a mut Engine,
    pub(crate) now: &'a mut Now,
    pub(crate) line: u64,
    /// Whose line it is, for engines of several ranks.
    pub(crate) tag: Option<String>,
    pub(crate) rank: Option<u32>,
    at_is_own: bool,
}

impl<'a> Desk<'a> {
    pub(crate) fn new(engine: &'a mut Engine, now: &'a mut Now, said: &Said<'_>) -> Self {
        let mut desk = Self { engine, now, line: said.line, tag: None, rank: None, at_is_own: false };
        desk.clock(said.clock);
        desk
    }

    /// The clock of the line.
    pub(crate) fn clock(&mut self, clock: Option<LogTime>) {
        if let Some(clock) = clock {
            self.now.clock = Some(clock);
            self.at_is_own = true;
            self.engine.clock(clock, self.line);
        }
    }

    fn origin(&self) -> Origin {
        Origin { line: self.line, worker: self.tag.clone() }
    }

    fn scope(&self) -> Scope {
        self.rank.map_or(Scope::PerRank, Scope::ThisRank)
    }

    /// Keeps the figures of a line, those of memory with the place that it names.
    pub(crate) fn take(&mut self, captured: &[Captured]) {
        let place = text(captured, Key::Place);
        for Captured { key, value, resolution } in captured {
            if key.is_ignored() || *key == Key::Place || !self.engine_has_room(*key) {
                continue;
            }
            let value = match value {
                Value::Text(text) => Value::Text(vramscope_core::redact(text)),
                other => other.clone(),
            };
            let figure = Figure {
                key: *key,
                place: place.clone().filter(|_| is_of_place(*key, &value)),
                value,
                resolution: *resolution,
                scope: self.scope(),
                origin: self.origin(),
                at: self.now.clock,
                repeated: 0,
            };
            self.engine.newsroom.push(|| News::Figure(figure.clone()));
            self.engine.figures.push(figure);
        }
    }

    fn engine_has_room(&mut self, key: Key) -> bool {
        let place = Place { line: self.line, tag: None, at: None, at_is_own: false, repeated: 0, rank: None };
        self.engine.room_for(key, &place)
    }

    /// Adds a buffer, from the amount of a key.
    pub(crate) fn buffer(&mut self, captured: &[Captured], key: Key, kind: BufferKind, on_host: bool, planned: bool) {
        let place = text(captured, Key::Place);
        let Some(amount) = memory(captured, key) else { return };
        let Some(value) = amount.bytes.as_bytes() else { return };
        let resolution = captured.iter().find(|c| c.key == key).and_then(|c| c.resolution);
        self.add(kind, place, on_host, planned, value, resolution);
    }

    /// Adds a buffer.
    pub(crate) fn add(
        &mut self,
        kind: BufferKind,
        place: Option<String>,
        on_host: bool,
        planned: bool,
        value: Bytes,
        resolution: Option<f64>,
    ) {
        if self.engine.buffers.len() >= MAX_PARTS {
            return;
        }
        let resolution = resolution.and_then(|step| Bytes::from_unit(step, vramscope_core::ByteUnit::B));
        let amount = Fact { value, scope: self.scope(), resolution, origin: self.origin() };
        let mut part = Buffer::new(kind, place, amount);
        part.on_host = on_host;
        part.planned = planned;
        part.of_draft = self.now.of_draft;
        self.engine.buffers.push(part);
    }

    /// Adds a buffer that replaces the one of the same kind and place in the same context.
    pub(crate) fn buffer_again(&mut self, captured: &[Captured], key: Key, kind: BufferKind, on_host: bool) {
        let name = text(captured, Key::Place).unwrap_or_default();
        let context = self.now.context;
        let before = self.engine.buffers.len();
        self.buffer(captured, key, kind, on_host, false);
        if self.engine.buffers.len() == before {
            return;
        }
        let known = self.now.again.iter().find(|(c, k, n, _)| *c == context && *k == kind && *n == name);
        match known.map(|(.., at)| *at) {
            Some(at) if at < before => {
                self.engine.buffers.swap(at, before);
                self.engine.buffers.truncate(before);
            }
            _ if self.now.again.len() < MAX_PARTS => self.now.again.push((context, kind, name, before)),
            _ => {}
        }
    }

    /// Takes buffers away.
    pub(crate) fn forget(&mut self, is_gone: impl Fn(&Buffer) -> bool) {
        let gone: Vec<usize> =
            self.engine.buffers.iter().enumerate().filter(|(_, part)| is_gone(part)).map(|(at, _)| at).collect();
        self.engine.buffers.retain(|part| !is_gone(part));
        self.now.again.retain(|(.., at)| gone.binary_search(at).is_err());
        for (.., at) in &mut self.now.again {
            *at -= gone.partition_point(|gone| gone < at);
        }
    }

    /// Adds an event.
    pub(crate) fn event(&mut self, milestone: Milestone, took: Option<f64>) {
        let tag = self.tag.clone();
        let place = Place { tag: tag.as_deref(), ..self.place_without_tag() };
        self.engine.event(milestone, took, &place);
    }

    fn place_without_tag(&self) -> Place<'static> {
        Place {
            line: self.line,
            tag: None,
            at: self.now.clock,
            at_is_own: self.at_is_own,
            repeated: 0,
            rank: self.rank,
        }
    }

    /// Notes traffic.
    pub(crate) fn traffic(&mut self) {
        let place = self.place_without_tag();
        self.engine.traffic(&place);
    }

    /// Adds a remark.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        let note = ParseNote::new(self.line, text);
        if !self.engine.notes.iter().any(|known| known.text == note.text) {
            self.engine.notes.push(note);
        }
    }

    /// Adds a failure. What is said of the same allocation shortly after follows from it.
    pub(crate) fn fail(&mut self, kind: FailureKind, message: &str) {
        self.fail_of(kind, message, false);
    }

    /// Adds a failure of which the cause comes behind it, where one comes: the head of a traceback.
    pub(crate) fn fail_ahead(&mut self, kind: FailureKind, message: &str) {
        self.fail_of(kind, message, true);
    }

    fn fail_of(&mut self, kind: FailureKind, message: &str, ahead: bool) {
        let exhausted = matches!(kind, FailureKind::OutOfMemory { .. } | FailureKind::HostOutOfMemory { .. });
        let before = self.now.failed.filter(|(line, _)| self.line.saturating_sub(*line) <= ONE_FAILURE_LINES);
        // An allocation explains what is said behind it, and not what was said before it.
        let retold = before.is_some_and(|(_, allocation)| kind == FailureKind::Other || exhausted && allocation);
        self.now.failed = Some((self.line, exhausted || retold && before.is_some_and(|(_, allocation)| allocation)));
        let mut failure = Failure::new(self.engine.kind, kind, failure::message(message), self.origin());
        failure.rank = self.rank;
        self.engine.fail(Statement { failure, retold: retold || ahead, may_pass: false, at: self.now.clock });
    }

    /// Reads what the allocator of a framework says that has no memory, which is alike in all engines that use it. Gives
    /// whether it did. `whole` is what is told of it.
    pub(crate) fn exhausted(&mut self, message: &str, whole: &str) -> bool {
        let candidates = Needles::get().candidates(message);
        let stripped = failure::heart(message).text;
        let found = rows::find(candidates, stripped)
            .or_else(|| rows::find_within(candidates, message).map(|(format, matched, _)| (format, matched)));
        let Some((format, matched)) = found else { return false };
        let Effect::Fails(fails) = format.row.effect else { return false };
        if !fails.is_exhausted() {
            return false;
        }
        let kind = failure::kind(fails, &matched.captured);
        self.take(&matched.captured);
        self.fail(kind, whole);
        true
    }
}

/// The text of a key.
pub(crate) fn text(captured: &[Captured], key: Key) -> Option<String> {
    captured.iter().find(|c| c.key == key).and_then(|c| match &c.value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    })
}

/// The amount of a key.
pub(crate) fn memory(captured: &[Captured], key: Key) -> Option<&Memory> {
    captured.iter().find(|c| c.key == key).and_then(|c| match &c.value {
        Value::Memory(memory) => Some(memory),
        _ => None,
    })
}

/// The count of a key.
pub(crate) fn count(captured: &[Captured], key: Key) -> Option<u64> {
    captured.iter().find(|c| c.key == key).and_then(|c| match c.value {
        Value::Count(count) => Some(count),
        _ => None,
    })
}

/// Whether a figure is one of the place that its line names.
fn is_of_place(key: Key, value: &Value) -> bool {
    matches!(value, Value::Memory(_)) || matches!(key, Key::DeviceName | Key::DeviceBusId)
}
