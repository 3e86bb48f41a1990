//! A line of JSON for each request: `prompt` (a text or a list of token ids) or `messages`, and its length.

use std::fmt;
use std::io::Read;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::error::DatasetError;
use super::input::Input;
use super::{Given, GivenPrompt, MAX_TEXT, Skipped};
use crate::plan::{MAX_LEN, MAX_REQUESTS};

#[derive(Deserialize)]
struct Line<'a> {
    prompt: Option<Prompt>,
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    output_tokens: Option<u64>,
    max_tokens: Option<u64>,
}

enum Prompt {
    Text(String),
    Ids(Vec<u32>),
}

impl<'de> Deserialize<'de> for Prompt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Prompt;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`prompt` as a text or a list of token ids")
            }
            fn visit_str<E>(self, text: &str) -> Result<Prompt, E> {
                Ok(Prompt::Text(text.to_owned()))
            }
            fn visit_string<E>(self, text: String) -> Result<Prompt, E> {
                Ok(Prompt::Text(text))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Prompt, A::Error> {
                let mut ids = Vec::new();
                while let Some(id) = list.next_element()? {
                    ids.push(id);
                }
                Ok(Prompt::Ids(ids))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A message, as far as it is checked here; what it says is the server's to judge.
#[derive(Deserialize)]
struct Message {
    #[serde(rename = "role")]
    _role: String,
}

/// What was read.
#[derive(Default)]
pub(super) struct Lines {
    pub(super) given: Vec<Given>,
    pub(super) read: u64,
    pub(super) skipped: Skipped,
}

/// Reads the file.
pub(super) fn read<R: Read>(input: &mut Input<R>) -> Result<Lines, DatasetError> {
    let mut lines = Lines::default();
    let (mut text, mut kept) = (Vec::new(), 0);
    input.first()?;
    while input.line(&mut text)? {
        lines.read += 1;
        let given = given(&text).map_err(|problem| input.wrong(problem))?;
        let size = given.prompt.bytes();
        if kept + size > MAX_TEXT || lines.given.len() as u64 >= MAX_REQUESTS {
            lines.skipped.one("beyond the text that is kept in memory");
            continue;
        }
        kept += size;
        lines.given.push(given);
    }
    Ok(lines)
}

fn given(text: &[u8]) -> Result<Given, String> {
    const EXPECTED: &str = "expected an object with \"prompt\" (a text or token ids) or \"messages\", and optionally \
                            \"output_tokens\" or \"max_tokens\"";
    let line: Line<'_> = serde_json::from_slice(text).map_err(|error| format!("{error}; {EXPECTED}"))?;
    let output = match (line.output_tokens, line.max_tokens) {
        (Some(a), Some(b)) if a != b => return Err(format!("output_tokens is {a} and max_tokens {b}; give one")),
        (a, b) => a.or(b),
    };
    if output.is_some_and(|output| !(1..=MAX_LEN).contains(&output)) {
        return Err(format!("its output length is out of range; expected 1 to {MAX_LEN} tokens"));
    }
    let prompt = match (line.prompt, line.messages) {
        (Some(_), Some(_)) => return Err("it has both a prompt and messages; give one".into()),
        (None, None) => return Err(format!("it has neither a prompt nor messages; {EXPECTED}")),
        (Some(Prompt::Text(text)), None) if text.is_empty() => return Err("its prompt is empty".into()),
        (Some(Prompt::Ids(ids)), None) if ids.is_empty() => return Err("its prompt has no token".into()),
        (Some(Prompt::Text(text)), None) => GivenPrompt::Text(text.into()),
        (Some(Prompt::Ids(ids)), None) => GivenPrompt::Ids(ids.into()),
        (None, Some(messages)) => {
            let wrong = "its messages are no list of objects with a \"role\"";
            let list: Vec<Message> =
                serde_json::from_str(messages.get()).map_err(|error| format!("{wrong} ({error})"))?;
            if list.is_empty() {
                return Err("its list of messages is empty".into());
            }
            GivenPrompt::Messages(messages.to_owned())
        }
    };
    Ok(Given { prompt, output })
}
