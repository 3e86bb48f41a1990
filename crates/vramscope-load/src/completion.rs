//! The bodies of requests for completions, of text and of chats.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::error::{Failure, FailureKind};
use crate::plan::LoadPlan;
use crate::prompt::{Prompt, Said};

/// Which of the two questions is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Endpoint {
    /// `/v1/completions`: a prompt is a list of token ids or a text.
    #[default]
    Completions,
    /// `/v1/chat/completions`: a prompt is a user's message, and the server's template stands around it.
    Chat,
}

impl Endpoint {
    /// The path below the server's address.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Completions => "/v1/completions",
            Self::Chat => "/v1/chat/completions",
        }
    }

    /// The name as documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Completions => "completions",
            Self::Chat => "chat",
        }
    }
}

/// What a plan decides alone: another value of it in an extra body would make the plan untrue.
pub(crate) const DECIDED: [&str; 8] =
    ["model", "prompt", "messages", "max_tokens", "max_completion_tokens", "stream", "n", "best_of"];

/// A request for exactly so many tokens, streamed. `min_tokens` and `ignore_eos` are the engine's own additions to the
/// API; they make lengths exact. What an extra body names again is left out here.
#[derive(Debug, Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<&'a Prompt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Messages<'a>>,
    max_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignore_eos: Option<bool>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Messages<'a> {
    One([Message<'a>; 1]),
    Given(&'a RawValue),
    Said(&'a [Said]),
}

#[derive(Debug, Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a Prompt,
}

#[derive(Debug, Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// The body of a request of a plan to one of its models.
pub(crate) fn body(plan: &LoadPlan, model: &str, prompt: &Prompt, output_len: u64) -> Result<Bytes, Failure> {
    let unless_extra = |name: &str| (!plan.extra_body.contains_key(name)).then_some(());
    let (prompt, messages) = match (plan.endpoint, prompt) {
        (_, Prompt::Messages(messages)) => (None, Some(Messages::Given(messages))),
        (_, Prompt::Said(said)) => (None, Some(Messages::Said(said))),
        (Endpoint::Completions, _) => (Some(prompt), None),
        (Endpoint::Chat, _) => (None, Some(Messages::One([Message { role: "user", content: prompt }]))),
    };
    let body = Body {
        model,
        prompt,
        messages,
        max_tokens: output_len,
        min_tokens: unless_extra("min_tokens").map(|()| output_len),
        ignore_eos: unless_extra("ignore_eos").map(|()| true),
        stream: true,
        stream_options: unless_extra("stream_options").map(|()| StreamOptions { include_usage: true }),
        extra: &plan.extra_body,
    };
    let json = serde_json::to_vec(&body);
    json.map(Bytes::from).map_err(|source| Failure::new(FailureKind::Malformed, source.to_string()))
}
