//! llama.cpp's words: whose line it is, what it states, and what to do about its failures. Its library is in many
//! programs, which print its lines behind prefixes of their own.

pub(crate) mod advice;
mod apply;
pub(crate) mod facts;
mod failure;
pub(crate) mod rows;
pub(crate) mod trials;

use std::sync::LazyLock;

use crate::figure::Value;
use crate::others::{Desk, Now, Said};
use crate::pattern::{Captured, Matched};
use crate::rows::Table;
use rows::Does;

/// Texts of which the beginning of its log holds one.
pub(crate) const SIGNS: &[&str] = &[
    "llama_model_load",
    "llama_model_loader: ",
    "llm_load_",
    "load_tensors: ",
    "llama_context: ",
    "llama_new_context_with_model: ",
    "llama_kv_cache",
    "llama_init_from_",
    "buffer size = ",
    "buffer size =  ",
    "llama.cpp: ",
    "memory_breakdown_print: ",
    "common_param",
    "common_init",
    "llama_params_fit",
    "KV self size",
    "kv self size",
    "main: build = ",
    "build: ",
    "srv  ",
    "srv   ",
    "print_info: ",
    "sched_reserve: ",
    "] build info | tid=",
    "VRAM used: ",
    "llama_print_timings: ",
    "llama_perf_",
    "new slot",
];

/// Beginnings of its functions' names, of which one stands before what it says.
const FUNCTIONS: &[&str] = &[
    "llama_",
    "llm_load_",
    "load_tensors: ",
    "print_info: ",
    "sched_reserve: ",
    "common_params_fit",
    "common_fit_params",
    "common_memory_breakdown_print: ",
    "common_params_print_info: ",
    "common_init_",
    "common_param: ",
    "~llama_context: ",
    "llama.cpp: ",
];

/// Farthest that a function's name stands into a line, behind prefixes of programs that use the library.
const MAX_PREFIX: usize = 160;

static TABLE: LazyLock<Table<Does>> = LazyLock::new(|| Table::of(rows::ROWS));

/// Whether a line is one of its own, wherever it stands.
pub(crate) fn is_own(text: &str) -> bool {
    let text = timed(text).unwrap_or(text);
    function(text).is_some()
        || is_of_server(text)
        || [" KV buffer size = ", " compute buffer size = ", " model buffer size = ", " RS buffer size = "]
            .iter()
            .any(|words| holds(text, words))
        || TABLE.find(text).is_some_and(|(row, _)| matches!(row.does, Does::Begin | Does::Verbosity))
        || after_colon(text).is_some_and(|text| {
            TABLE.find(text).is_some_and(|(row, matched)| matches!(row.does, Does::Begin) && !matched.cut)
        })
}

/// Whether a line holds words whose spaces may be more.
fn holds(text: &str, words: &str) -> bool {
    text.contains(words.trim_end()) && text.contains(words)
}

/// Its server's own lines: `srv    load_model: `, `slot         init: id  0 | `, and those of 2024.
fn is_of_server(text: &str) -> bool {
    let named = |name: &str| {
        text.strip_prefix(name).is_some_and(|rest| {
            rest.starts_with(' ')
                && rest.trim_start().split_once(": ").is_some_and(|(function, _)| !function.contains(' '))
        })
    };
    named("srv") || (named("slot") && text.contains("id ")) || (text.starts_with("INFO [") && text.contains("| tid=\""))
}

/// Whether a line says that a server of its own is at work, that nothing else started. `now` is of a launcher.
pub(crate) fn is_alone(said: &Said<'_>, now: &Now) -> bool {
    timed(said.text).is_some() && !now.starts
}

/// Whether a new engine begins by this line.
pub(crate) fn begins(said: &Said<'_>, now: &Now) -> bool {
    messages(said.text).iter().any(|message| match TABLE.find(message) {
        Some((row, _)) if matches!(row.does, Does::Begin) => now.has_model || now.has_context,
        // Programs that load a model again announce nothing else.
        Some((row, _)) if matches!(row.does, Does::Model | Does::Planning(true)) => {
            now.has_context && now.allocated && !now.planning && !now.of_draft
        }
        _ => false,
    })
}

/// The places in a line where a format may begin.
pub(crate) fn messages(text: &str) -> Vec<&str> {
    let text = timed(text).unwrap_or(text);
    // The server of 2024: `INFO [              main] build info | tid=…`.
    let text = ["INFO [", "WARN [", " ERR ["]
        .iter()
        .find_map(|level| text.strip_prefix(level)?.split_once("] "))
        .map_or(text, |(_, rest)| rest);
    let text = function(text).map_or(text, |at| &text[at..]);
    let first = after_colon(text);
    let second = first.and_then(after_colon);
    let third = second.and_then(after_colon);
    [Some(text), first, second, third].into_iter().flatten().collect()
}

fn after_colon(text: &str) -> Option<&str> {
    text.split_once(": ").map(|(_, rest)| rest.trim_start())
}

/// Where the name of one of its functions stands.
fn function(text: &str) -> Option<usize> {
    let mut end = text.len().min(MAX_PREFIX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    FUNCTIONS.iter().filter_map(|name| find_name(&text[..end], text, name)).min()
}

fn find_name(head: &str, text: &str, name: &str) -> Option<usize> {
    let at = head.find(name)?;
    let before = text[..at].chars().next_back();
    let begins = before.is_none_or(|c| matches!(c, ' ' | ':' | ']' | '|' | '\t'));
    // The whole name, up to its colon.
    let rest = &text[at..];
    let colon = rest.find(": ").or_else(|| rest.ends_with(':').then(|| rest.len() - 1))?;
    let is_name = rest[..colon].bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'~' | b' '));
    (begins && is_name && colon < 48).then_some(at)
}

/// What stands behind `0.00.253.899 I `: minutes, seconds, milliseconds, microseconds, and a level.
pub(crate) fn timed(text: &str) -> Option<&str> {
    let (clock, rest) = text.split_once(' ')?;
    let parts: Vec<&str> = clock.split('.').collect();
    let digits = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if parts.len() != 4 || !parts.iter().all(digits) || parts[2].len() != 3 || parts[3].len() != 3 {
        return None;
    }
    let rest = rest.strip_prefix(['I', 'W', 'E', 'D', 'T'])?;
    rest.starts_with(' ').then(|| rest.trim_start())
}

/// Whether memory of that name is the host's.
pub(crate) fn is_host(place: &str) -> bool {
    place.starts_with("CPU")
        || place.ends_with("_Host")
        || place == "Host"
        || ["AMX", "BLAS", "KleidiAI", "RPC_Host"].iter().any(|name| place.starts_with(name))
}

/// Reads a line; gives whether it is of a known format.
pub(crate) fn read(said: &Said<'_>, desk: &mut Desk<'_>) -> bool {
    desk.now.is_server |= is_of_server(timed(said.text).unwrap_or(said.text));
    let (text, wraps) =
        if said.text.contains("memory_breakdown_print") { unwrapped(said.text) } else { (None, Vec::new()) };
    let text = text.as_deref().unwrap_or(said.text);
    let messages = messages(text);
    let found = messages.iter().find_map(|message| TABLE.find(message).map(|(row, matched)| (row.does, matched)));
    let Some((does, Matched { mut captured, .. })) = found else {
        return failure::read(said.text, &messages, desk);
    };
    as_printed(&mut captured, &wraps, desk);
    apply::apply(does, captured, said, desk);
    true
}

/// Up to May 2026 a negative amount is printed as it stands in 64 bits without a sign, shifted to MiB: 2^44 too large.
const WRAP: i64 = 1 << 44;

/// A line with such amounts as what they stand for, if it holds any, and what they stand for.
fn unwrapped(text: &str) -> (Option<String>, Vec<i64>) {
    let (mut line, mut rest, mut wraps) = (String::new(), text, Vec::new());
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let end = rest[at..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |len| at + len);
        let stands_for = rest[at..end].parse().ok().filter(|n| (WRAP / 2..WRAP).contains(n)).map(|n: i64| n - WRAP);
        line.push_str(&rest[..at]);
        match stands_for {
            Some(stands_for) => line.push_str(&stands_for.to_string()),
            None => line.push_str(&rest[at..end]),
        }
        wraps.extend(stands_for);
        rest = &rest[end..];
    }
    line.push_str(rest);
    ((!wraps.is_empty()).then_some(line), wraps)
}

/// Gives figures that were unwrapped the number that the line has, and says what it stands for.
fn as_printed(captured: &mut [Captured], wraps: &[i64], desk: &mut Desk<'_>) {
    for c in captured {
        let Value::Memory(memory) = &mut c.value else { continue };
        #[expect(clippy::cast_precision_loss, reason = "below 2^44")]
        let wrap = wraps.iter().find(|wrap| (**wrap as f64 - memory.printed).abs() < 0.5);
        let Some(wrap) = wrap else { continue };
        #[expect(clippy::cast_precision_loss, reason = "below 2^44")]
        let printed = (wrap + WRAP) as f64;
        memory.printed = printed;
        desk.note(
            "amounts below zero are printed in this table without their sign, 2^44 MiB too large: they are read as what \
             they stand for",
        );
    }
}

/// Whether a text that a launcher passes on tells of a failure, which is then added.
pub(crate) fn tells_failure(text: &str, desk: &mut Desk<'_>, whole: &str) -> bool {
    failure::told(text, desk, whole)
}
