//! The bytes of answers.

use std::fmt::Write as _;

use serde_json::json;

use crate::script::{Said, Script, UsageAt};

/// What is asked of a completion, as far as the answer depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) number: u64,
    pub(crate) chat: bool,
    pub(crate) input: u64,
    pub(crate) output: u64,
}

/// A whole answer with its length.
pub(crate) fn whole(status: u16, kind: &str, body: &str) -> Vec<u8> {
    served(status, kind, body, None)
}

/// A whole answer of a server that goes by a name.
pub(crate) fn served(status: u16, kind: &str, body: &str, server: Option<&str>) -> Vec<u8> {
    let reason = if status < 400 { "OK" } else { "Error" };
    let server = server.map_or(String::new(), |name| format!("server: {name}\r\n"));
    format!(
        "HTTP/1.1 {status} {reason}\r\n{server}content-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A refusal in the words of the API.
pub(crate) fn refusal(status: u16, message: &str) -> Vec<u8> {
    let body = json!({"error": {"message": message, "type": "Error", "param": null, "code": status}});
    whole(status, "application/json", &body.to_string())
}

/// The head of a stream of events.
pub(crate) const STREAM_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";

/// The end of a stream.
pub(crate) const STREAM_END: &[u8] = b"0\r\n\r\n";

/// One event as a chunk of the transfer.
pub(crate) fn event(out: &mut Vec<u8>, data: &str) {
    out.extend_from_slice(format!("{:x}\r\ndata: {data}\n\n\r\n", data.len() + 8).as_bytes());
}

/// A chunk with these tokens, from the first to before the last; without tokens it is an empty one.
pub(crate) fn chunk(script: &Script, asked: &Asked, from: u64, to: u64) -> String {
    let last = to == asked.output && to > from;
    let mut text = String::new();
    let texts = u64::try_from(script.texts.len()).unwrap_or(1).max(1);
    for token in from..to {
        let at = usize::try_from((token + asked.number) % texts).unwrap_or(0);
        text.push_str(script.texts.get(at).map_or("", String::as_str));
    }
    let reason = if last && !script.empty_last { "\"length\"" } else { "null" };
    let usage = match script.usage {
        UsageAt::WithLast if last => usage(asked, to),
        UsageAt::Each => usage(asked, to),
        _ => "null".into(),
    };
    let choice = said(script, asked, &text, reason);
    framed(script, asked, &choice, &usage)
}

/// The chunk that says why the answer ended, and nothing else.
pub(crate) fn reason_chunk(script: &Script, asked: &Asked) -> String {
    let choice = if asked.chat {
        "{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"length\",\"stop_reason\":null}".into()
    } else {
        said(script, asked, "", "\"length\"")
    };
    framed(script, asked, &choice, "null")
}

/// The first chunk of a chat, which names the role.
pub(crate) fn role_chunk(script: &Script, asked: &Asked) -> String {
    let choice =
        "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}";
    framed(script, asked, choice, "null")
}

/// The chunk that has the count and no choice.
pub(crate) fn usage_chunk(script: &Script, asked: &Asked, output: u64) -> String {
    framed(script, asked, "", &usage(asked, output))
}

/// The whole answer to a request that is not streamed.
pub(crate) fn body(script: &Script, asked: &Asked) -> String {
    let choice = if asked.chat {
        "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"ba\"},\"finish_reason\":\"length\"}".into()
    } else {
        said(script, asked, "ba", "\"length\"")
    };
    framed(script, asked, &choice, &usage(asked, asked.output))
}

fn said(script: &Script, asked: &Asked, text: &str, reason: &str) -> String {
    let text = serde_json::Value::from(text).to_string();
    let mut choice = String::with_capacity(text.len() + 128);
    let _ = match (asked.chat, script.said) {
        (false, _) => write!(choice, "{{\"index\":0,\"text\":{text}"),
        (true, Said::Content) => write!(choice, "{{\"index\":0,\"delta\":{{\"content\":{text}}}"),
        (true, Said::ReasoningContent) => write!(choice, "{{\"index\":0,\"delta\":{{\"reasoning_content\":{text}}}"),
        (true, Said::Reasoning) => write!(choice, "{{\"index\":0,\"delta\":{{\"reasoning\":{text}}}"),
        (true, Said::ToolCalls) => write!(
            choice,
            "{{\"index\":0,\"delta\":{{\"tool_calls\":[{{\"index\":0,\"function\":{{\"arguments\":{text}}}}}]}}"
        ),
    };
    let _ = write!(choice, ",\"logprobs\":null,\"finish_reason\":{reason},\"stop_reason\":null}}");
    choice
}

fn usage(asked: &Asked, output: u64) -> String {
    let (input, total) = (asked.input, asked.input.saturating_add(output));
    format!("{{\"prompt_tokens\":{input},\"total_tokens\":{total},\"completion_tokens\":{output}}}")
}

fn framed(script: &Script, asked: &Asked, choice: &str, usage: &str) -> String {
    let (id, object) = if asked.chat { ("chatcmpl", "chat.completion.chunk") } else { ("cmpl", "text_completion") };
    format!(
        "{{\"id\":\"{id}-{}\",\"object\":\"{object}\",\"created\":1764445000,\"model\":\"{}\",\"choices\":[{choice}],\"usage\":{usage}}}",
        asked.number, script.model
    )
}
