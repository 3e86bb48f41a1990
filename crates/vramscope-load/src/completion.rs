//! The bodies of `/v1/completions`: what is sent, and what a chunk of the answer says.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::prompt::Prompt;

/// A request. `min_tokens` and `ignore_eos` are the engine's own additions to the API; they make lengths exact.
#[derive(Debug, Serialize)]
pub(crate) struct Request<'a> {
    pub(crate) model: &'a str,
    pub(crate) prompt: &'a Prompt,
    pub(crate) max_tokens: u64,
    pub(crate) min_tokens: u64,
    pub(crate) ignore_eos: bool,
    pub(crate) stream: bool,
    pub(crate) stream_options: StreamOptions,
}

#[derive(Debug, Serialize)]
pub(crate) struct StreamOptions {
    pub(crate) include_usage: bool,
}

impl<'a> Request<'a> {
    /// A request for exactly `output_len` tokens, streamed.
    pub(crate) fn new(model: &'a str, prompt: &'a Prompt, output_len: u64) -> Self {
        Self {
            model,
            prompt,
            max_tokens: output_len,
            min_tokens: output_len,
            ignore_eos: true,
            stream: true,
            stream_options: StreamOptions { include_usage: true },
        }
    }
}

/// The server's own count of a request's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Usage {
    pub(crate) prompt_tokens: u64,
    pub(crate) completion_tokens: u64,
}

/// What one event of the stream says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A chunk: whether it carries tokens, and the count if it carries that.
    Chunk { tokens: bool, usage: Option<Usage> },
    /// The server gave up, in its own words.
    Error(String),
    /// `[DONE]`.
    Done,
}

/// Reads the data of one event.
pub(crate) fn event(data: &[u8]) -> Result<Event, serde_json::Error> {
    if data == b"[DONE]" {
        return Ok(Event::Done);
    }
    let chunk: Chunk = serde_json::from_slice(data)?;
    if let Some(error) = chunk.error {
        return Ok(Event::Error(error.into_message()));
    }
    if chunk.object.as_deref() == Some("error") {
        return Ok(Event::Error(chunk.message.unwrap_or_default()));
    }
    Ok(Event::Chunk { tokens: chunk.choices.is_some_and(|choices| !choices.is_empty()), usage: chunk.usage })
}

/// The message of an error body, in any of the shapes that servers use; the text itself if it has none of them.
pub(crate) fn error_message(body: &[u8]) -> String {
    let parsed: Result<Chunk, _> = serde_json::from_slice(body);
    let message = parsed.ok().and_then(|chunk| {
        chunk.error.map(ErrorBody::into_message).or(chunk.message).or_else(|| chunk.detail.map(|d| d.to_string()))
    });
    message.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
}

/// All that may stand in a chunk or an error body. vLLM up to 0.10 puts `message` at the top, with `object: error`.
#[derive(Debug, Deserialize)]
struct Chunk {
    choices: Option<Vec<IgnoredAny>>,
    usage: Option<Usage>,
    error: Option<ErrorBody>,
    object: Option<String>,
    message: Option<String>,
    detail: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ErrorBody {
    Object { message: String },
    Text(String),
}

impl ErrorBody {
    fn into_message(self) -> String {
        match self {
            Self::Object { message } | Self::Text(message) => message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_of_a_chunk_is_told_apart() {
        let usage = Usage { prompt_tokens: 4, completion_tokens: 2 };
        let chunk = |json: &str| event(json.as_bytes()).unwrap();
        assert_eq!(chunk(r#"{"choices":[{"text":""}],"usage":null}"#), Event::Chunk { tokens: true, usage: None });
        assert_eq!(
            chunk(r#"{"choices":[],"usage":{"prompt_tokens":4,"total_tokens":6,"completion_tokens":2}}"#),
            Event::Chunk { tokens: false, usage: Some(usage) }
        );
        assert_eq!(chunk("[DONE]"), Event::Done);
        assert_eq!(chunk(r#"{"error":{"message":"dead","code":500}}"#), Event::Error("dead".into()));
        assert_eq!(chunk(r#"{"error":"dead"}"#), Event::Error("dead".into()));
        assert_eq!(chunk(r#"{"object":"error","message":"dead","code":400}"#), Event::Error("dead".into()));
        assert!(event(b"<html>").is_err());
        assert!(event(b"").is_err());
    }

    #[test]
    fn an_error_body_is_read_in_each_shape() {
        assert_eq!(error_message(br#"{"error":{"message":"too long"}}"#), "too long");
        assert_eq!(error_message(br#"{"object":"error","message":"too long"}"#), "too long");
        assert_eq!(error_message(br#"{"detail":"Not Found"}"#), "\"Not Found\"");
        assert_eq!(error_message(b"Bad gateway"), "Bad gateway");
    }
}
