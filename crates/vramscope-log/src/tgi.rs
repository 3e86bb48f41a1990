//! The words of Text Generation Inference: its launcher and its router, as text or as JSON. It prints tokens and blocks,
//! and no byte of memory.

pub(crate) mod advice;
pub(crate) mod facts;
pub(crate) mod rows;

use std::borrow::Cow;
use std::sync::LazyLock;

use vramscope_core::{FailureKind, LogTime, Milestone};

use crate::clock;
use crate::figure::Value;
use crate::key::Key;
use crate::others::{Desk, Now, Said, desk};
use crate::pattern::{Captured, Matched};
use crate::rows::Table;
use rows::Does;

/// Texts of which every line of it holds one.
pub(crate) const SIGNS: &[&str] = &["text_generation_launcher", "text_generation_router", "text_generation_server"];

static TABLE: LazyLock<Table<Does>> = LazyLock::new(|| Table::of(rows::ROWS));

/// Whether a line is one of its own.
pub(crate) fn is_own(said: &Said<'_>) -> bool {
    let head = said.whole.len().min(400);
    let head = (0..=head).rev().find_map(|end| said.whole.get(..end)).unwrap_or("");
    let target = |name: &str| head.contains(&format!("{name}:")) || head.contains(&format!("\"{name}"));
    let json =
        said.text.starts_with('{') && SIGNS.iter().any(|name| said.text.contains(&format!("\"target\":\"{name}")));
    json || SIGNS[..2].iter().any(|name| target(name)) || head.contains("text_generation_router_v")
}

/// Whether a new engine begins by this line.
pub(crate) fn begins(said: &Said<'_>, now: &Now) -> bool {
    now.has_model && message(said).message.starts_with("Args {")
}

/// A line's parts.
struct Line<'a> {
    clock: Option<LogTime>,
    is_error: bool,
    message: Cow<'a, str>,
}

/// What a line says, behind its target and its place in the source.
fn message<'a>(said: &Said<'a>) -> Line<'a> {
    if said.text.starts_with('{')
        && let Ok(fields) = serde_json::from_str::<serde_json::Value>(said.text.trim_end())
    {
        let text = fields["fields"]["message"].as_str().or_else(|| fields["message"].as_str()).unwrap_or("");
        let clock = fields["timestamp"].as_str().and_then(clock::iso).map(|(clock, _)| clock);
        return Line { clock, is_error: fields["level"] == "ERROR", message: Cow::Owned(text.trim().to_owned()) };
    }
    let is_error = said.whole.contains(" ERROR ");
    let message = SIGNS.iter().find_map(|name| {
        let at = said.text.find(name)?;
        let rest = &said.text[at..];
        let rest = &rest[rest.find(": ")? + 2..];
        // `router/src/main.rs:354: ` of the router.
        let placed = rest.split_once(": ").filter(|(place, _)| place.contains(".rs:") && !place.contains(' '));
        Some(placed.map_or(rest, |(_, rest)| rest).trim())
    });
    Line { clock: said.clock, is_error, message: Cow::Borrowed(message.unwrap_or(said.text).trim()) }
}

/// Reads a line; gives whether it is of a known format.
pub(crate) fn read(said: &Said<'_>, desk: &mut Desk<'_>) -> bool {
    let line = message(said);
    desk.clock(line.clock);
    // A traceback is one record of several lines.
    let mut read = false;
    for text in line.message.split('\n').map(str::trim).filter(|text| !text.is_empty()) {
        read |= one(text, line.is_error, desk);
    }
    read
}

fn one(text: &str, is_error: bool, desk: &mut Desk<'_>) -> bool {
    if let Some((row, Matched { captured, .. })) = TABLE.find(text) {
        apply(row.does, captured, text, is_error, desk);
        return true;
    }
    desk.exhausted(text, text)
}

fn apply(does: Does, mut captured: Vec<Captured>, text: &str, is_error: bool, desk: &mut Desk<'_>) {
    match does {
        Does::State => {}
        Does::Args => desk.now.has_model = true,
        Does::Shard => {
            desk.rank = desk::count(&captured, Key::Rank).and_then(|rank| u32::try_from(rank).ok());
            captured.retain(|c| c.key != Key::Rank);
            let took = captured.iter().find(|c| c.key == Key::LoadSecs).and_then(|c| match c.value {
                Value::Number(secs) => Some(secs),
                _ => None,
            });
            desk.event(Milestone::WeightsLoaded, took);
        }
        Does::Unmeasured => desk.now.unmeasured = true,
        Does::Tokens => {
            // A limit sizes no pool.
            if !desk.now.unmeasured
                && let Some(tokens) = desk::count(&captured, Key::MaxBatchTotalTokens)
            {
                captured.push(Captured { key: Key::KvTokens, value: Value::Count(tokens), resolution: None });
                desk.event(Milestone::KvPoolSized, None);
            }
        }
        Does::Starts => desk.event(Milestone::LoadBegan, None),
        Does::WarmUp => desk.event(Milestone::WarmupBegan, None),
        Does::Connected => desk.event(Milestone::ServerReady, None),
        Does::NoMemory => desk.fail(
            FailureKind::OutOfMemory {
                tried: None,
                capacity: None,
                free: None,
                process: None,
                allocated: None,
                reserved_unallocated: None,
            },
            text,
        ),
        Does::Killed => desk.fail(FailureKind::HostOutOfMemory { tried: None, process: None }, text),
        Does::Fails if is_error => desk.fail(FailureKind::Other, text),
        Does::Heads if is_error => desk.fail_ahead(FailureKind::Other, text),
        Does::Fails | Does::Heads => {}
    }
    desk.take(&captured);
}

/// What a line says, behind its target.
#[cfg(test)]
pub(crate) fn messages_of(line: &str) -> Vec<String> {
    let (_, text) = crate::record::unwrapped(line);
    vec![message(&Said { text, whole: line, clock: None, line: 1 }).message.into_owned()]
}
