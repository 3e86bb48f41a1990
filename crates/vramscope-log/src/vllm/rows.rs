//! The table of formats. A format is one row; everything else in the crate is independent of wording.

mod engine;
mod exhausted;
mod failure;
#[cfg(test)]
mod fixtures;
mod graphs;
mod known;
mod kv_cache;
mod profile;
mod running;
mod weights;

use std::sync::LazyLock;

use vramscope_core::{EngineKind, Generation, Milestone};

use crate::needles::Candidates;
use crate::pattern::{Matched, Pattern};

/// What a line of a format does beyond stating its figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Effect {
    /// Nothing: the figures are all.
    None,
    /// Something happened; a time in the line is how long it took.
    Event(Milestone),
    /// The engine's configuration follows the match.
    Config,
    /// A repetition of the configuration follows the match.
    ConfigAgain,
    /// The arguments that differ from their defaults follow the match.
    Args,
    /// All arguments follow the match.
    Namespace,
    /// An engine announces itself, before its configuration.
    Begin,
    /// Where a worker is placed.
    Rank,
    /// A backend that may be one of attention.
    Backend,
    /// The periodic report.
    Report,
    /// The engine failed.
    Fails(Fails),
    /// Part of a benchmark's result.
    Bench(BenchPart),
    /// Known, and says nothing about memory or time.
    Known,
}

impl Effect {
    /// Whether an engine announces itself by such a line.
    pub(crate) fn announces(self) -> bool {
        matches!(self, Self::Begin | Self::Args | Self::Namespace | Self::Config)
    }
}

/// The kinds of failure that rows know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fails {
    NoKvCacheMemory,
    MaxSeqLen,
    KvCacheTooSmall,
    FreeMemory,
    FreeMemoryGrew,
    OutOfMemory,
    HostOutOfMemory,
    Collective,
    WorkerDied,
    Architecture,
    Arguments,
    Device,
    EngineCore,
    WaitingForGpus,
}

impl Fails {
    /// Whether memory ran out, the device's or the host's.
    pub(crate) fn is_exhausted(self) -> bool {
        matches!(self, Self::OutOfMemory | Self::HostOutOfMemory)
    }
}

/// The parts of benchmark results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BenchPart {
    Latency,
    Throughput,
    Serve,
}

/// One format.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// The releases that print it, first and last; empty where it is open.
    pub(crate) versions: &'static str,
    /// A rare text of at least four bytes without which the line cannot be of this format; rows may share it.
    pub(crate) needle: &'static str,
    /// The format, in the language of the `pattern` module.
    pub(crate) pattern: &'static str,
    pub(crate) effect: Effect,
    /// The generation that alone prints it, where its words say so.
    pub(crate) says: Option<Generation>,
    /// The words are a code that prose mentions as well: they count only where an error is raised.
    pub(crate) where_raised: bool,
}

/// The engine whose words these rows are.
pub(crate) const ENGINE: EngineKind = EngineKind::Vllm;

/// The needle of formats that are always raised as an exception: the exception's name ends with it.
pub(crate) const RAISED: &str = "rror: ";

/// The needle of formats that say nothing: they are looked for only where unknown figures are listed.
pub(crate) const FIGURES_ONLY: &str = "";

/// A format that states figures and nothing else.
const fn row(versions: &'static str, needle: &'static str, pattern: &'static str) -> Row {
    Row { versions, needle, pattern, effect: Effect::None, says: None, where_raised: false }
}

impl Row {
    const fn does(self, effect: Effect) -> Self {
        Self { effect, ..self }
    }

    const fn event(self, milestone: Milestone) -> Self {
        self.does(Effect::Event(milestone))
    }

    const fn fails(self, fails: Fails) -> Self {
        self.does(Effect::Fails(fails))
    }

    const fn where_raised(self) -> Self {
        Self { where_raised: true, ..self }
    }

    const fn known(self) -> Self {
        self.does(Effect::Known)
    }

    const fn says(self, generation: Generation) -> Self {
        Self { says: Some(generation), ..self }
    }
}

/// A row with its compiled pattern.
#[derive(Debug)]
pub(crate) struct Format {
    pub(crate) row: &'static Row,
    /// The byte with which every line of it begins, where there is one.
    first: Option<u8>,
    pub(crate) pattern: Pattern,
}

impl Format {
    /// Whether a line of this format at this level says what it seems to say: who is told that memory may run out has not
    /// run out of it, so that a code that prose mentions as well counts where an error is raised.
    pub(crate) fn counts(&self, level: Option<&str>, raised: bool) -> bool {
        raised || !self.row.where_raised || matches!(level, Some("ERROR" | "CRITICAL"))
    }
}

/// All formats, in the order in which they are tried.
static FORMATS: LazyLock<Vec<Format>> = LazyLock::new(|| {
    let parts = [
        weights::ROWS,
        kv_cache::ROWS,
        profile::ROWS,
        graphs::ROWS,
        engine::ROWS,
        running::ROWS,
        exhausted::ROWS,
        failure::ROWS,
        known::ROWS,
    ];
    let compile = |row: &'static Row| {
        Pattern::compile(row.pattern).map(|pattern| Format { row, first: pattern.first_byte(), pattern })
    };
    // A pattern that does not compile is caught by the tests of this module, so none is lost here.
    parts.iter().flat_map(|rows| rows.iter()).filter_map(|row| compile(row).ok()).collect()
});

/// A format that this release of the crate knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownFormat {
    /// The engine that prints it.
    pub engine: EngineKind,
    /// The engine's releases that print it, `first-last`; an end that is open is empty.
    pub versions: &'static str,
    /// The text, with the values as `{key}`, parts that may be absent in `[[ ]]`, and `{..}` for any text.
    pub pattern: &'static str,
}

/// All formats that this release of the crate knows, in the order in which they are tried.
pub fn known_formats() -> impl Iterator<Item = KnownFormat> {
    let own =
        formats().iter().map(|f| KnownFormat { engine: ENGINE, versions: f.row.versions, pattern: f.row.pattern });
    own.chain(crate::others::known_formats())
}

/// All formats.
pub(crate) fn formats() -> &'static [Format] {
    &FORMATS
}

/// The format of a message that begins with it: the one that reads most of it, a whole one before one that is cut off,
/// and else the first.
pub(crate) fn find(candidates: Candidates, message: &str) -> Option<(&'static Format, Matched)> {
    let first = message.bytes().next()?;
    let mut best: Option<(&'static Format, Matched)> = None;
    for format in candidates.iter().filter(|format| format.first.is_none_or(|byte| byte == first)) {
        let Some(matched) = format.pattern.match_start(message) else { continue };
        let rank = |m: &Matched| (m.captured.len(), !m.cut);
        if best.as_ref().is_none_or(|(_, known)| rank(&matched) > rank(known)) {
            best = Some((format, matched));
        }
    }
    best
}

/// Whether the message ends within a format before any value of it.
pub(crate) fn is_cut(candidates: Candidates, message: &str) -> bool {
    let Some(first) = message.bytes().next() else { return false };
    candidates.iter().any(|format| format.first.is_none_or(|byte| byte == first) && format.pattern.is_cut(message))
}

/// The first format that stands anywhere in a line without the engine's prefix, and where. Text in quotes is a line of
/// source code or of a prompt, and letters before it make it part of another word.
pub(crate) fn find_within(candidates: Candidates, text: &str) -> Option<(&'static Format, Matched, usize)> {
    candidates.iter().find_map(|format| {
        let first = format.pattern.first_text();
        if first.len() < 8 {
            return None;
        }
        let at = memchr::memmem::find(text.as_bytes(), first.as_bytes())?;
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '"' | '\'' | '`')) {
            return None;
        }
        format.pattern.match_start(&text[at..]).map(|matched| (format, matched, at))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Key;

    fn rows() -> impl Iterator<Item = &'static Row> {
        [
            weights::ROWS,
            kv_cache::ROWS,
            profile::ROWS,
            graphs::ROWS,
            engine::ROWS,
            running::ROWS,
            exhausted::ROWS,
            failure::ROWS,
            known::ROWS,
        ]
        .into_iter()
        .flatten()
    }

    #[test]
    fn every_pattern_compiles_and_holds_its_needle() {
        for row in rows() {
            let pattern = Pattern::compile(row.pattern).unwrap_or_else(|e| panic!("{}: {e}", row.pattern));
            let said = row.needle != FIGURES_ONLY;
            assert!(!said || row.needle.len() >= 4, "{}: the needle is too short", row.pattern);
            assert_eq!(said, row.effect != Effect::Known, "{}: only what says nothing has no needle", row.pattern);
            // In a pattern one space stands for any number; the needle is searched for as it is.
            let needle = row.needle.replace("  ", " ");
            assert!(
                row.needle == RAISED || pattern.must_contain(&needle),
                "{}: does not contain {needle:?}",
                row.pattern
            );
            assert!(!row.pattern.contains("  "), "{}: one space stands for any number", row.pattern);
        }
    }

    #[test]
    fn every_key_can_be_read() {
        let read: Vec<Key> = rows().flat_map(|row| Pattern::compile(row.pattern).unwrap().keys()).collect();
        // What a row calls a capture is a trial where it stands before the size of the KV cache.
        let trial = [Key::GraphsTried, Key::TrialSecs];
        let others = crate::others::keys();
        for key in Key::ALL.iter().filter(|key| !trial.contains(key) && !others.contains(key)) {
            assert!(read.contains(key), "no row reads {}", key.name());
        }
    }
}
