//! SGLang's words. Each rank prints its own lines; what is free on the device before and after a step is printed beside
//! what the step took.

pub(crate) mod advice;
pub(crate) mod facts;
pub(crate) mod rows;
mod settings;

use std::sync::LazyLock;

use vramscope_core::{BufferKind, FailureKind, LogTime, Milestone};

use crate::clock;
use crate::figure::Value;
use crate::key::Key;
use crate::others::{Desk, Now, Said, desk};
use crate::pattern::{Captured, Matched};
use crate::report::Report;
use crate::rows::Table;
use crate::vllm::failure;
use rows::Does;

/// Texts of which the beginning of its log holds one.
pub(crate) const SIGNS: &[&str] = &[
    "ServerArgs(",
    " avail mem=",
    "max_total_num_tokens=",
    "KV Cache is allocated",
    "Init torch distributed",
    "Decode batch",
    "Prefill batch",
    "TP0]",
    "TP1]",
    "TP2]",
    "TP3]",
    "TP4]",
    "TP5]",
    "TP6]",
    "TP7]",
    "pool sizes: full=",
    "[gpu_id=",
    "Mamba Cache is allocated",
    "Capture cuda graph",
    "hit an exception: Traceback",
    "Received sigquit from a child",
];

static TABLE: LazyLock<Table<Does>> = LazyLock::new(|| Table::of(rows::ROWS));

/// A line's own prefix: `[2025-03-08 12:29:13 DP0 TP1] `, `[2025-03-08 12:29:13] ` or `[gpu_id=0] `.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Prefixed<'a> {
    clock: Option<LogTime>,
    /// `TP0`, `DP0 TP1`.
    tag: &'a str,
    message: &'a str,
}

/// The last prefix of a line: progress bars may stand before one.
fn prefixed(text: &str) -> Option<Prefixed<'_>> {
    let mut found = None;
    for (at, _) in text.match_indices('[') {
        let inside = &text[at + 1..];
        let Some((head, message)) = inside.split_once(']') else { break };
        if head.len() > 80 {
            continue;
        }
        let message = message.trim_start();
        if let Some((clock, len)) = clock::iso(head) {
            let tag = head[len..].trim();
            if tag.is_empty() || tag.split(' ').all(is_rank) {
                found = Some(Prefixed { clock: Some(clock), tag, message });
            }
        } else if head.strip_prefix("gpu_id=").is_some_and(|id| id.bytes().all(|b| b.is_ascii_digit())) {
            found = Some(Prefixed { clock: None, tag: head, message });
        }
    }
    found
}

/// `TP0`, `DP1`, `PP0`, `EP3`, `ATTN_CP0`.
fn is_rank(word: &str) -> bool {
    let digits = word.trim_start_matches(|c: char| c.is_ascii_uppercase() || c == '_');
    digits.len() < word.len() && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// The rank of a tag among those that split a layer; stages of a pipeline have ranks of their own, and no number here.
fn rank(tag: &str) -> Option<u32> {
    if let Some(id) = tag.strip_prefix("gpu_id=") {
        return id.parse().ok();
    }
    if number(tag, "PP").is_some_and(|stage| stage > 0) {
        return None;
    }
    number(tag, "TP")
}

/// The number behind a word of a tag: 1 of `TP` in `DP0 TP1`.
fn number(tag: &str, name: &str) -> Option<u32> {
    tag.split(' ').find_map(|word| word.strip_prefix(name)?.parse().ok())
}

/// Whether a line is one of its own.
pub(crate) fn is_own(said: &Said<'_>) -> bool {
    if said.text.contains("server_args=ServerArgs(") || is_start(said.text) || said.text.starts_with("ServerArgs(") {
        return true;
    }
    match prefixed(said.whole) {
        Some(line) => {
            !line.tag.is_empty() && line.tag.contains("TP") || line.tag.starts_with("gpu_id=") || is_known(line.message)
        }
        // What a wrapper's clock was taken for may have been its own.
        None => is_known(said.text),
    }
}

fn is_known(message: &str) -> bool {
    TABLE.find(message).is_some_and(|(row, _)| row.does != Does::NotBound)
}

/// Whether a new engine begins by this line.
pub(crate) fn begins(said: &Said<'_>, now: &Now) -> bool {
    now.has_model && (said.text.contains("ServerArgs(") || is_start(said.text))
}

/// Whether a line prints the server's arguments in their form of 2026, which is not read: `server_args={'model_path': …`.
fn is_start(text: &str) -> bool {
    text.contains("server_args={'")
}

/// Reads a line; gives whether it is of a known format.
pub(crate) fn read(said: &Said<'_>, desk: &mut Desk<'_>) -> bool {
    let line = prefixed(said.whole);
    let message = line.map_or(said.text, |line| line.message);
    if let Some(line) = line {
        desk.clock(line.clock);
        desk.tag = (!line.tag.is_empty()).then(|| line.tag.to_owned());
        desk.rank = rank(line.tag);
    }
    if let Some(at) = said.text.find("ServerArgs(") {
        desk.now.has_model = true;
        let origin = vramscope_core::Origin { line: desk.line, worker: None };
        desk.engine.configure(settings::arguments(&said.text[at + "ServerArgs(".len()..], &origin));
        return true;
    }
    if is_start(said.text) {
        desk.now.has_model = true;
        return true;
    }
    // A process that prints anything else is behind its traceback.
    desk.now.traceback &= line.is_none();
    if let Some((row, Matched { captured, .. })) = TABLE.find(message) {
        // The server's own lines come behind its arguments, also where those are missing.
        desk.now.has_model |= row.does != Does::NotBound;
        desk.now.traceback = row.does == Does::Crashed;
        apply(row.does, captured, message, desk);
        return true;
    }
    let exhausted = desk.exhausted(message, message);
    if desk.now.traceback && (exhausted || raised(message, desk)) {
        // Of errors that follow from each other the first is the cause.
        desk.now.traceback = false;
        return true;
    }
    exhausted
}

/// Reads the error at the end of a traceback that nothing else tells more of; gives whether it is one.
fn raised(message: &str, desk: &mut Desk<'_>) -> bool {
    let (_, name) = failure::strip_exceptions(message);
    if name.is_none() {
        return false;
    }
    let unsupported = message.contains("Model architectures ") && message.contains(" not supported");
    desk.fail(if unsupported { FailureKind::UnsupportedArchitecture } else { FailureKind::Other }, message);
    true
}

fn apply(does: Does, mut captured: Vec<Captured>, message: &str, desk: &mut Desk<'_>) {
    let tag = desk.tag.clone().unwrap_or_default();
    // The draft's worker prints on the ranks of the target's, behind what that one has allocated.
    let pooled = desk.now.again.iter().any(|(_, kind, name, _)| *kind == BufferKind::Total && *name == tag);
    let loaded = desk.now.again.iter().any(|(_, kind, name, _)| *kind == BufferKind::Weights && *name == tag);
    desk.now.of_draft = pooled || message.contains(" draft ");
    match does {
        Does::State => {}
        Does::Communication => {
            desk.buffer(&captured, Key::Communication, BufferKind::Communication, false, false);
        }
        Does::LoadBegins => desk.event(Milestone::LoadBegan, None),
        Does::Loaded => {
            desk.now.of_draft = loaded;
            desk.buffer(&captured, Key::Weights, BufferKind::Weights, false, false);
            desk.now.again.push((0, BufferKind::Weights, tag, usize::MAX));
            desk.event(Milestone::WeightsLoaded, seconds(&captured, Key::LoadSecs));
        }
        Does::Pool => {
            for key in [Key::KvKeys, Key::KvValues, Key::KvPool] {
                desk.buffer(&captured, key, BufferKind::KvCache, false, false);
            }
        }
        // Its two parts have printed themselves before, where the release lets them.
        Does::Pools => {
            let parts = desk.engine.figures.iter().rev().take(12);
            let known = parts.filter(|f| f.key == Key::KvTokens && f.origin.worker == desk.tag).count();
            if known < 2 {
                desk.buffer(&captured, Key::KvTotal, BufferKind::KvCache, false, false);
            }
        }
        Does::States => {
            for one in captured.iter().filter(|c| c.key == Key::RecurrentState) {
                desk.buffer(std::slice::from_ref(one), Key::RecurrentState, BufferKind::RecurrentState, false, false);
            }
        }
        Does::PoolsEnd => {
            desk.now.again.push((0, BufferKind::Total, tag, usize::MAX));
            desk.event(Milestone::KvPoolSized, None);
        }
        Does::Captured => {
            desk.now.of_draft = message.contains(" draft ");
            desk.buffer(&captured, Key::Graphs, BufferKind::Graphs, false, false);
            desk.event(Milestone::GraphsCaptured, seconds(&captured, Key::CaptureSecs));
        }
        Does::HostPool => {
            decimal(&mut captured);
            desk.buffer(&captured, Key::KvHostPool, BufferKind::KvCache, true, false);
        }
        Does::Ready => desk.event(Milestone::EngineReady, None),
        Does::Serves => desk.event(Milestone::ServerReady, None),
        Does::Batch => {
            batch(&captured, desk);
            return;
        }
        Does::NoPool => {
            desk.fail(FailureKind::NoKvCacheMemory, message);
        }
        Does::GraphsFailed => {
            let because = message.split_once("failed: ").map_or("", |(_, because)| because);
            if !desk.exhausted(because, message) && message.contains("memory") {
                desk.fail(no_memory(), message);
            } else if !message.contains("memory") {
                desk.fail(FailureKind::Other, message);
            }
        }
        Does::PoolFull | Does::NotBound => desk.fail(FailureKind::Other, message),
        Does::Crashed | Does::Died => desk.fail(FailureKind::WorkerDied, message),
    }
    desk.take(&captured);
}

fn no_memory() -> FailureKind {
    FailureKind::OutOfMemory {
        tried: None,
        capacity: None,
        free: None,
        process: None,
        allocated: None,
        reserved_unallocated: None,
    }
}

fn seconds(captured: &[Captured], key: Key) -> Option<f64> {
    captured.iter().find(|c| c.key == key).and_then(|c| match c.value {
        Value::Number(secs) => Some(secs),
        _ => None,
    })
}

/// Pools in host memory are printed in units of 10^9, unlike everything else.
fn decimal(captured: &mut [Captured]) {
    for c in captured {
        if let Value::Memory(memory) = &mut c.value
            && memory.unit.as_deref() == Some("GB")
        {
            #[expect(clippy::cast_possible_truncation, reason = "an amount of memory, whole and far below 2^63")]
            let bytes = (memory.printed * 1e9).round() as i64;
            memory.bytes = vramscope_core::ByteDelta::new(bytes);
            c.resolution = Some(crate::number::half_step(memory.decimals) * 1e9);
        }
    }
}

/// The periodic report of decoding.
fn batch(captured: &[Captured], desk: &mut Desk<'_>) {
    let number = |key: Key| seconds(captured, key);
    let report = Report {
        line: desk.line,
        at: desk.now.clock,
        generation_tokens_per_second: number(Key::GenerationRate),
        running: desk::count(captured, Key::Running),
        waiting: desk::count(captured, Key::Waiting),
        kv_usage_pct: number(Key::KvUsage).map(|share| share * 100.0),
        ..Report::default()
    };
    if report.running.is_some_and(|n| n > 0) {
        desk.traffic();
    }
    desk.engine.reports.push(report);
}

/// What a line says, behind its prefix.
#[cfg(test)]
pub(crate) fn message_of(line: &str) -> &str {
    prefixed(line).map_or(line, |line| line.message)
}
