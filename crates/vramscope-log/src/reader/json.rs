//! Lines that are JSON objects: a JSON log formatter, or a container runtime's file.

use vramscope_core::LogTime;

use crate::clock;
use crate::record;

/// What matters of such a line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object {
    pub(crate) message: String,
    pub(crate) level: Option<String>,
    pub(crate) clock: Option<LogTime>,
    pub(crate) tag: Option<String>,
}

/// Names of the message, in the order in which they are tried. `log` is the container runtime's, `line` Loki's, `body`
/// OpenTelemetry's.
const MESSAGES: &[&str] = &["message", "msg", "log", "event", "text", "MESSAGE", "body", "line"];
/// Keys under which a process is named.
const PROCESS_NAMES: &[&str] = &["processName", "process_name", crate::vllm::worker::PROCESS_NAME_KEY];
const LEVELS: &[&str] = &["levelname", "level", "severity", "log.level", "lvl"];
const CLOCKS: &[&str] = &["asctime", "timestamp", "time", "@timestamp", "ts"];

/// Longest wrapper that is looked at for the brace behind it.
const MAX_LEAD: usize = 200;

/// Reads a text that is one JSON object, behind any wrapper.
pub(crate) fn object(text: &str) -> Option<Object> {
    memchr::memchr(b'{', &text.as_bytes()[..text.len().min(MAX_LEAD)])?;
    if !text.trim_end().ends_with('}') {
        return None;
    }
    let (outer, rest) = record::strip_wrappers(text);
    let rest = rest.trim();
    if !rest.starts_with("{\"") && !rest.starts_with("{ \"") {
        return None;
    }
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(rest).ok()?;
    let string = |names: &[&str]| names.iter().find_map(|name| fields.get(*name)?.as_str().map(str::to_owned));
    let mut message = string(MESSAGES)?;
    if let Some(exception) = string(&["exc_info", "exception", "stack"]) {
        message.push('\n');
        message.push_str(&exception);
    }
    let clock = string(CLOCKS)
        .and_then(|text| clock::iso(&text).or_else(|| clock::month_day(&text)))
        .map(|(clock, _)| clock)
        .or(outer);
    let name = string(PROCESS_NAMES).filter(|name| name != "MainProcess");
    let pid = fields.get("process").or_else(|| fields.get("pid")).and_then(serde_json::Value::as_u64);
    let tag = match (name, pid) {
        (Some(name), Some(pid)) => Some(format!("{name} pid={pid}")),
        _ => None,
    };
    Some(Object { message, level: string(LEVELS).map(|level| level.to_uppercase()), clock, tag })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatters_and_runtimes() {
        let line = r#"{"asctime": "2026-10-02 11:20:30,123", "levelname": "INFO", "processName": "Worker_TP1", "process": 71, "message": "Available KV cache memory: 5.4 GiB"}"#;
        let read = object(line).unwrap();
        assert_eq!(read.message, "Available KV cache memory: 5.4 GiB");
        assert_eq!(read.tag.as_deref(), Some("Worker_TP1 pid=71"));
        assert_eq!(read.clock.unwrap().year, Some(2026));
        let docker = r#"{"log":"INFO 05-20 19:02:33 [a.py:1] x\n","stream":"stderr","time":"2025-05-20T19:02:33.1Z"}"#;
        assert_eq!(object(docker).unwrap().message, "INFO 05-20 19:02:33 [a.py:1] x\n");
        let loki =
            r#"{"line":"INFO 05-20 19:02:33 [a.py:1] x","timestamp":"2025-05-20T19:02:33.1Z","labels":{"pod":"a"}}"#;
        assert_eq!(object(loki).unwrap().clock.unwrap().year, Some(2025));
        assert!(object(r#"{"line": 7, "file": "a.py"}"#).is_none(), "the number of a line is no message");
        assert!(object("INFO 05-20 19:02:33 non-default args: {'a': 1}").is_none());
        assert!(object("{not json}").is_none());
    }
}
