//! Ollama's words: records of `key=value` pairs, and bare lines of the runners that it starts, which use llama.cpp's
//! library or an engine of its own.

pub(crate) mod advice;
pub(crate) mod facts;
pub(crate) mod rows;
mod slog;

use std::sync::LazyLock;

use vramscope_core::{BufferKind, FailureKind, Milestone};

use crate::clock;
use crate::figure::Value;
use crate::key::{Key, Kind};
use crate::llama_cpp;
use crate::others::{Desk, Now, Said, desk};
use crate::pattern::{self, Captured};
use rows::{Does, Format};
use slog::Slog;

/// Texts of which the beginning of its log holds one.
pub(crate) const SIGNS: &[&str] = &[".go:", "[GIN]", "OLLAMA_", "Error: llama runner"];

static FORMATS: LazyLock<Vec<Format>> = LazyLock::new(rows::formats);

/// Whether a line is one of its own.
pub(crate) fn is_own(said: &Said<'_>) -> bool {
    Slog::of(said.text).is_some()
        || is_of_gin(said.text)
        || is_early(said.text)
        || said.text.starts_with("Error: llama runner")
}

/// What its web framework prints of a request to its own API.
fn is_of_gin(text: &str) -> bool {
    text.starts_with("[GIN]") && (text.contains("\"/api/") || text.contains("\"/v1/"))
}

/// Up to 0.1.22: `2024/01/09 05:14:22 routes.go:953: `.
fn is_early(text: &str) -> bool {
    let mut words = text.splitn(4, ' ');
    let (Some(date), Some(time), Some(place)) = (words.next(), words.next(), words.next()) else { return false };
    let file = place.split(".go:").next().unwrap_or("");
    date.len() == 10
        && date.as_bytes()[4] == b'/'
        && time.len() == 8
        && [
            "routes",
            "llama",
            "gpu",
            "images",
            "download",
            "upload",
            "ext_server_common",
            "dyn_ext_server",
            "server",
            "payload_common",
            "rocm_common",
            "sched",
            "memory",
        ]
        .contains(&file)
        && place.contains(".go:")
}

/// Whether a new engine begins by this line: a model is about to be loaded, and one was loaded before. Runners that only
/// look for devices have no model.
pub(crate) fn begins(said: &Said<'_>, now: &Now) -> bool {
    let Some(slog) = Slog::of(said.text) else { return false };
    match rows::does(&FORMATS, &slog) {
        Some(Does::Starts) => loads_model(&slog) && now.starts,
        Some(Does::Plan | Does::Host) => now.starts && now.ends,
        _ => false,
    }
}

fn loads_model(slog: &Slog<'_>) -> bool {
    slog.field("cmd").is_some_and(|cmd| [" --model ", " -m ", " --model="].iter().any(|flag| cmd.contains(flag)))
}

/// Reads a line; gives whether it is of a known format.
pub(crate) fn read(said: &Said<'_>, desk: &mut Desk<'_>) -> bool {
    let Some(slog) = Slog::of(said.text) else {
        let before = desk.now.allocated;
        let read = llama_cpp::read(said, desk);
        if desk.now.allocated && !before {
            facts::all_planned(desk.engine);
        }
        return read || is_of_gin(said.text) || is_early(said.text);
    };
    desk.clock(slog.time.and_then(clock::iso).map(|(clock, _)| clock));
    failures(&slog, desk);
    let Some((does, captured)) = rows::find(&FORMATS, &slog, value) else { return slog.is_quiet() };
    apply(does, captured, &slog, desk);
    true
}

/// The values of a field: one, or several of a list.
fn value(key: Key, text: &str) -> Vec<Captured> {
    let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    if key.kind() == Kind::Memory
        && let Some(inside) = inside
    {
        let words: Vec<&str> = inside.split_whitespace().collect();
        return words.chunks(2).filter_map(|pair| pattern::value(key, &pair.join(" "))).collect();
    }
    pattern::value(key, text).into_iter().collect()
}

fn apply(does: Does, mut captured: Vec<Captured>, slog: &Slog<'_>, desk: &mut Desk<'_>) {
    let planned = desk.now.planning || desk.now.allocated;
    let place = desk::text(&captured, Key::Place);
    let host = place.as_deref().is_some_and(llama_cpp::is_host);
    match does {
        // The last record of a layout.
        Does::State if captured.iter().any(|c| c.key == Key::HeldTotal) => desk.now.laid_out = true,
        Does::State | Does::Host => {}
        Does::Starts => {
            if !loads_model(slog) {
                return;
            }
            desk.now.starts = true;
            desk.event(Milestone::LoadBegan, None);
            captured.extend(slog.field("cmd").map(command).unwrap_or_default());
        }
        Does::Ready => {
            desk.now.ends = true;
            let took = captured.iter().find(|c| c.key == Key::LoadSecs).and_then(|c| match c.value {
                Value::Number(secs) => Some(secs),
                _ => None,
            });
            desk.event(Milestone::EngineReady, took);
        }
        Does::Listens => desk.event(Milestone::ServerReady, None),
        Does::Load => {
            let request = slog.field("request").unwrap_or("");
            desk.now.planning = !request.contains("Operation:commit");
            if desk.now.planning {
                return;
            }
            desk.now.committed = true;
            captured.extend(load_request(request));
        }
        Does::Plan => {
            let on_host = slog.field("library").or_else(|| slog.msg.strip_prefix("offload to ")) == Some("cpu");
            replan(desk);
            desk.now.laid_out = true;
            let amounts: Vec<_> = captured.iter().filter(|c| c.key == Key::PlannedOnDevice).cloned().collect();
            for (at, amount) in amounts.into_iter().enumerate() {
                let library = slog.field("library").or_else(|| slog.msg.strip_prefix("offload to ")).unwrap_or("");
                let name = if on_host { "CPU".to_owned() } else { format!("{library}{at}") };
                let name = Captured { key: Key::Place, value: Value::Text(name), resolution: None };
                desk.buffer(&[name, amount], Key::PlannedOnDevice, BufferKind::Total, on_host, true);
            }
        }
        Does::Weights | Does::Kv | Does::Compute if desk.now.laid_out && slog.field("device").is_some() => {
            desk.now.laid_out = false;
            replan(desk);
            return apply(does, captured, slog, desk);
        }
        Does::Weights => desk.buffer(&captured, Key::Weights, BufferKind::Weights, host, planned),
        Does::Kv => desk.buffer(&captured, Key::KvPool, BufferKind::KvCache, host, planned),
        Does::Compute if planned => desk.buffer(&captured, Key::ComputeBuffer, BufferKind::Compute, host, true),
        Does::Compute => desk.buffer_again(&captured, Key::ComputeBuffer, BufferKind::Compute, host),
        Does::TooLarge => {
            let tried = desk::memory(&captured, Key::FailTried).and_then(|m| m.bytes.as_bytes());
            desk.fail(FailureKind::HostOutOfMemory { tried, process: None }, slog.whole);
        }
        Does::BadVariable => {
            let (key, value) = (slog.field("key").unwrap_or("?"), slog.field("value").unwrap_or("?"));
            let default = slog.field("default").unwrap_or("its default");
            desk.note(format!("{key} is set to {value}, which is refused: {default} is used (sizes are in bytes)"));
        }
    }
    // The same records state the layout that is kept, and one that was computed before anything was loaded: nothing but
    // what stands before them tells which. A runner that names a buffer has it.
    if slog.field("device").is_some() && !desk.now.committed {
        let line = desk.line;
        for part in desk.engine.buffers.iter_mut().filter(|part| part.amount.origin.line == line && !part.planned) {
            part.unconfirmed = true;
        }
    }
    if planned && matches!(does, Does::Weights | Does::Kv | Does::Compute | Does::State) {
        captured.iter_mut().for_each(facts::plan);
    }
    desk.take(&captured);
}

/// What was planned before, or printed as a layout that nothing says is kept, is so no longer: another plan comes.
fn replan(desk: &mut Desk<'_>) {
    desk.forget(|part| part.unconfirmed || part.planned);
}

fn count(key: Key, value: u64) -> Captured {
    Captured { key, value: Value::Count(value), resolution: None }
}

/// What the command line of a runner says of lengths and slots.
fn command(cmd: &str) -> Vec<Captured> {
    let words: Vec<&str> = cmd.split_whitespace().collect();
    let number = |names: &[&str]| {
        words.windows(2).find(|pair| names.contains(&pair[0])).and_then(|pair| pair[1].parse::<u64>().ok())
    };
    let mut captured = Vec::new();
    captured.extend(number(&["--ctx-size", "-c"]).map(|n| count(Key::ContextTokens, n)));
    captured.extend(number(&["--parallel", "-np"]).map(|n| count(Key::Slots, n)));
    captured.extend(number(&["--batch-size", "-b"]).map(|n| count(Key::BatchTokens, n)));
    let model = words.windows(2).find(|pair| matches!(pair[0], "--model" | "-m")).map(|pair| pair[1]);
    captured.extend(model.map(|model| Captured {
        key: Key::Model,
        value: Value::Text(model.trim_matches('"').to_owned()),
        resolution: None,
    }));
    captured
}

/// `{Operation:commit … Parallel:1 BatchSize:512 FlashAttention:Enabled KvSize:32768 KvCacheType:q8_0 …}`.
fn load_request(request: &str) -> Vec<Captured> {
    let after = |name: &str| {
        let rest = &request[request.find(name)? + name.len()..];
        Some(rest.split([' ', '}']).next().unwrap_or(""))
    };
    let number = |name: &str| after(name)?.parse::<u64>().ok();
    let word = |key: Key, name: &str| {
        let value = after(name).filter(|value| !value.is_empty())?;
        Some(Captured { key, value: Value::Text(value.to_owned()), resolution: None })
    };
    let mut captured = Vec::new();
    captured.extend(number(" KvSize:").map(|n| count(Key::ContextTokens, n)));
    captured.extend(number(" Parallel:").map(|n| count(Key::Slots, n)));
    captured.extend(number(" BatchSize:").map(|n| count(Key::BatchTokens, n)));
    captured.extend(word(Key::FlashAttention, " FlashAttention:"));
    captured.extend(word(Key::KvCacheDtype, " KvCacheType:"));
    captured
}

/// What a record tells of a failure, in its error.
fn failures(slog: &Slog<'_>, desk: &mut Desk<'_>) {
    let error = slog.field("error").or_else(|| slog.field("err")).unwrap_or("");
    if llama_cpp::tells_failure(error, desk, slog.whole) || llama_cpp::tells_failure(slog.msg, desk, slog.whole) {
        return;
    }
    let too_large = "model requires more system memory (";
    if let Some(at) = error.find(too_large) {
        let tried = pattern::value(Key::FailTried, &error[at + too_large.len()..]);
        let tried = tried.and_then(|c| desk::memory(&[c], Key::FailTried).and_then(|m| m.bytes.as_bytes()));
        desk.fail(FailureKind::HostOutOfMemory { tried, process: None }, slog.whole);
        return;
    }
    let ended = ["llama runner terminated", "llama runner process has terminated", "error loading llama server"];
    if slog.level == Some("ERROR") && ended.iter().any(|words| slog.msg.contains(words) || error.contains(words))
        || slog.level == Some("ERROR") && slog.msg == "Load failed"
    {
        desk.fail(FailureKind::Other, slog.whole);
    }
}
