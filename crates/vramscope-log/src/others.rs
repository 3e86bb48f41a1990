//! Engines that have rooms of their own beside the first: whose line it is, and the engine that it goes to.
//!
//! Such engines print few lines, so where one of them is known to speak each line is asked for. Where none is, nothing is
//! done that the search for needles does not do.

pub(crate) mod desk;
pub(crate) mod fact;

use std::sync::LazyLock;

use vramscope_core::{EngineKind, LogTime};

use crate::note::ParseNote;
use crate::reader::Router;
use crate::record;
use crate::rows::Row;
use crate::vllm::rows::KnownFormat;
use crate::{llama_cpp, ollama, sglang, tgi};

pub(crate) use desk::{Desk, Now};

/// Most programs of one log that are told apart.
const MAX_SEATS: usize = 64;
/// Most lines of others that are asked for before one of these engines has spoken.
const MAX_PASSED: u32 = 20_000;
/// How far into a line its owner is looked for.
const MAX_LOOK: usize = 4096;

/// A line with what stands around it taken away.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said<'a> {
    /// The line behind its wrappers.
    pub(crate) text: &'a str,
    /// The whole line, without colours.
    pub(crate) whole: &'a str,
    /// The clock of a wrapper.
    pub(crate) clock: Option<LogTime>,
    /// The line's number.
    pub(crate) line: u64,
}

/// A program of the log, with the engine that it is.
#[derive(Debug)]
struct Seat {
    /// The service or pod that a wrapper names.
    stream: String,
    kind: EngineKind,
    engine: usize,
    now: Now,
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It is of none of these engines.
    NotTheirs,
    /// It was read.
    Read,
    /// It is of one of these engines, and states nothing that is known.
    Unread,
}

/// The engines that have rooms of their own.
#[derive(Debug, Default)]
pub(crate) struct Others {
    seats: Vec<Seat>,
    /// Each line is asked for.
    open: bool,
    /// How many lines were asked for before any of these engines spoke.
    passed: u32,
    /// Engines whose logs are not read, by name, where they were first met.
    unread: Vec<(&'static str, u64)>,
}

/// Texts of which each line of an engine's own that begins a log holds one. They may stand in other logs too: what they
/// cost there is time.
const SIGNS: &[&[&str]] = &[llama_cpp::SIGNS, ollama::SIGNS, sglang::SIGNS, tgi::SIGNS];

/// Engines whose logs are not read, and a text that stands in nobody else's.
const UNREAD: &[(&str, &str)] = &[
    ("TensorRT-LLM", "[TensorRT-LLM]"),
    ("TensorRT-LLM", "] [TRT-LLM] ["),
    ("LMDeploy", "[TM][INFO]"),
    ("LMDeploy", "[TM][WARN"),
    ("MLC LLM", "mlc_llm."),
    ("Aphrodite", "aphrodite_engine"),
];

static FINDERS: LazyLock<Vec<memchr::memmem::Finder<'static>>> = LazyLock::new(|| {
    let unread = UNREAD.iter().map(|(_, sign)| *sign);
    SIGNS.iter().flat_map(|signs| signs.iter().copied()).chain(unread).map(memchr::memmem::Finder::new).collect()
});

/// Whether the beginning of a log may be of one of these engines.
pub(crate) fn may_be_in(head: &[u8]) -> bool {
    FINDERS.iter().any(|finder| finder.find(head).is_some())
}

impl Others {
    /// From here on each line is asked for.
    pub(crate) fn open(&mut self) {
        self.open = true;
    }

    /// Whether each line is asked for.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// Reads a line if it is of one of these engines. `announces` tells whether the first engine begins by it.
    pub(crate) fn hear(&mut self, whole: &str, line: u64, router: &mut Router, announces: bool) -> Heard {
        let (wrapper, text) = record::unwrapped(whole);
        let said = Said { text, whole, clock: wrapper.clock, line };
        let stream = wrapper.stream.unwrap_or("");
        let seat = self.seats.iter().position(|seat| seat.stream == stream);
        if announces {
            // The program at this place is another one now.
            self.seats.retain(|seat| seat.stream != stream);
            return Heard::NotTheirs;
        }
        let told = owner(&said, seat.map(|seat| &self.seats[seat]));
        let Some(kind) = told.or_else(|| seat.map(|seat| self.seats[seat].kind)) else {
            self.name_unread(text, line);
            self.pass();
            return Heard::NotTheirs;
        };
        // A line of the first engine that stands among those of another one, which prints such lines too.
        if told.is_none() && record::has_own_head(text) {
            return Heard::NotTheirs;
        }
        let seat = self.seat(seat, stream, kind, &said, router);
        let Some(Seat { engine, now, .. }) = self.seats.get_mut(seat) else { return Heard::NotTheirs };
        router.go_to(*engine, line);
        let engine = router.engine(*engine);
        let mut desk = Desk::new(engine, now, &said);
        let read = match kind {
            EngineKind::LlamaCpp => llama_cpp::read(&said, &mut desk),
            EngineKind::Ollama => ollama::read(&said, &mut desk),
            EngineKind::SgLang => sglang::read(&said, &mut desk),
            EngineKind::Tgi => tgi::read(&said, &mut desk),
            _ => return Heard::NotTheirs,
        };
        if read { Heard::Read } else { Heard::Unread }
    }

    /// The place of a program in the list, with the engine that a line of it goes to.
    fn seat(
        &mut self,
        seat: Option<usize>,
        stream: &str,
        kind: EngineKind,
        said: &Said<'_>,
        router: &mut Router,
    ) -> usize {
        let begins = |now: &Now| match kind {
            EngineKind::LlamaCpp => llama_cpp::begins(said, now),
            EngineKind::Ollama => ollama::begins(said, now),
            EngineKind::SgLang => sglang::begins(said, now),
            EngineKind::Tgi => tgi::begins(said, now),
            _ => false,
        };
        match seat {
            Some(at) if self.seats[at].kind == kind => {
                if begins(&self.seats[at].now) {
                    self.seats[at].engine = router.open_other(kind, said.line);
                    self.seats[at].now = Now::default();
                }
                at
            }
            // What a launcher starts prints before the launcher does, where the log begins late.
            Some(at)
                if kind == EngineKind::Ollama
                    && self.seats[at].kind == EngineKind::LlamaCpp
                    && !self.seats[at].now.is_server =>
            {
                self.seats[at].kind = kind;
                router.engine(self.seats[at].engine).kind = Some(kind);
                at
            }
            Some(at) => {
                let engine = router.open_other(kind, said.line);
                self.seats[at] = Seat { stream: stream.to_owned(), kind, engine, now: Now::default() };
                at
            }
            None => {
                if self.seats.len() == MAX_SEATS {
                    self.seats.pop();
                }
                let engine = router.open_other(kind, said.line);
                self.seats.push(Seat { stream: stream.to_owned(), kind, engine, now: Now::default() });
                self.seats.len() - 1
            }
        }
    }

    /// A sign that nobody stood behind: the first engine's own search goes on, which opens again at the next one.
    fn pass(&mut self) {
        self.passed = self.passed.saturating_add(1);
        self.open &= !self.seats.is_empty() || self.passed < MAX_PASSED;
    }

    fn name_unread(&mut self, text: &str, line: u64) {
        let Some((name, _)) = UNREAD.iter().find(|(_, sign)| text.contains(sign)) else { return };
        if !self.unread.iter().any(|(known, _)| known == name) {
            self.unread.push((name, line));
        }
    }

    /// Remarks about engines whose logs are not read.
    pub(crate) fn notes(&self) -> impl Iterator<Item = ParseNote> {
        self.unread.iter().map(|(name, line)| {
            ParseNote::new(*line, format!("{name} prints here; its logs are known by sight and not read"))
        })
    }
}

/// The engine whose words a line holds; `None` where any may have printed it.
fn owner(said: &Said<'_>, seat: Option<&Seat>) -> Option<EngineKind> {
    let mut end = said.text.len().min(MAX_LOOK);
    while !said.text.is_char_boundary(end) {
        end -= 1;
    }
    let said = &Said { text: &said.text[..end], ..*said };
    // What the first engine prints may hold anything: prompts, and names of models.
    if record::has_own_head(said.text) {
        return sglang::is_own(said).then_some(EngineKind::SgLang);
    }
    if tgi::is_own(said) {
        return Some(EngineKind::Tgi);
    }
    if ollama::is_own(said) {
        return Some(EngineKind::Ollama);
    }
    if sglang::is_own(said) {
        return Some(EngineKind::SgLang);
    }
    if !llama_cpp::is_own(said.text) {
        return None;
    }
    let launched = seat.is_some_and(|seat| seat.kind == EngineKind::Ollama && !llama_cpp::is_alone(said, &seat.now));
    Some(if launched { EngineKind::Ollama } else { EngineKind::LlamaCpp })
}

/// The formats of these engines.
pub(crate) fn known_formats() -> impl Iterator<Item = KnownFormat> {
    fn of<D>(engine: EngineKind, rows: &'static [Row<D>]) -> impl Iterator<Item = KnownFormat> {
        rows.iter().map(move |row| KnownFormat { engine, versions: row.versions, pattern: row.pattern })
    }
    of(EngineKind::LlamaCpp, llama_cpp::rows::ROWS)
        .chain(of(EngineKind::Ollama, ollama::rows::ROWS))
        .chain(of(EngineKind::SgLang, sglang::rows::ROWS))
        .chain(of(EngineKind::Tgi, tgi::rows::ROWS))
}

/// The keys that these engines' formats read.
#[cfg(test)]
pub(crate) fn keys() -> Vec<crate::key::Key> {
    let mut keys: Vec<crate::key::Key> = ollama::rows::formats().into_iter().flat_map(|format| format.keys()).collect();
    keys.extend(crate::rows::law::keys(llama_cpp::rows::ROWS));
    keys.extend(crate::rows::law::keys(sglang::rows::ROWS));
    keys.extend(crate::rows::law::keys(tgi::rows::ROWS));
    // What a room makes of what it read.
    use crate::key::Key;
    keys.extend([Key::WeightsWithKv, Key::PlannedContext, Key::PlannedRepeating, Key::KvTokens]);
    keys
}
