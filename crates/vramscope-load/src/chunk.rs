//! What a chunk of a completion says, of text and chat.

use std::fmt;

use memchr::memchr2;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The server's own count of a request's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Usage {
    pub(crate) prompt_tokens: Option<u64>,
    pub(crate) completion_tokens: Option<u64>,
}

/// What a chunk brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Brings {
    /// No choice, or only the name of the role: no token stands behind it.
    Nothing,
    /// A choice without text: a token whose text is not whole yet, or none. The server's count tells.
    Empty {
        /// It says why the answer ended.
        ends: bool,
    },
    /// Text, reasoning or a part of a call, so at least one token.
    Tokens,
}

/// What one event of the stream says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    Chunk(Chunk),
    /// The server gave up, in its own words.
    Error(String),
    /// `[DONE]`.
    Done,
}

/// One chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) brings: Brings,
    pub(crate) usage: Option<Usage>,
    /// Why the answer ended, if it says so.
    pub(crate) end: Option<End>,
    pub(crate) id: Option<String>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It has as many tokens as were asked for.
    Length,
    /// Another reason.
    Other,
}

/// Reads the events of one answer. Chunks of an answer differ in little but their text: one that differs from the last
/// in nothing else says the same, and is not parsed. Anything else is.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// The last chunk that was parsed, if all that can differ in it is a text.
    last: Vec<u8>,
    /// Where that text begins and ends, between its quotes.
    text: (usize, usize),
}

/// What an event says, as far as it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Read {
    /// The same as the last chunk with tokens, but for its text.
    Tokens,
    Event(Event),
}

impl Events {
    /// Reads the data of one event.
    pub(crate) fn read(&mut self, data: &[u8]) -> Result<Read, serde_json::Error> {
        if self.is_like_last(data) {
            return Ok(Read::Tokens);
        }
        let (event, text) = event(data)?;
        self.last.clear();
        if let (Some(span), Event::Chunk(Chunk { brings: Brings::Tokens, usage: None, end: None, .. })) = (text, &event)
        {
            self.last.extend_from_slice(data);
            self.text = span;
        }
        Ok(Read::Event(event))
    }

    fn is_like_last(&self, data: &[u8]) -> bool {
        let (from, to) = self.text;
        if self.last.is_empty() || data.len() + to <= from + self.last.len() {
            return false;
        }
        let end = data.len() - (self.last.len() - to);
        data[..from] == self.last[..from] && data[end..] == self.last[to..] && is_inside_of_string(&data[from..end])
    }
}

/// Whether these bytes can stand between the quotes of a JSON string, as far as it is quickly told.
fn is_inside_of_string(mut bytes: &[u8]) -> bool {
    while let Some(at) = memchr2(b'"', b'\\', bytes) {
        match bytes.get(at..at + 2) {
            Some([b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't']) => bytes = &bytes[at + 2..],
            _ => return false,
        }
    }
    true
}

/// Reads an event whole; where its only text is one that can differ, it gives that text's place too.
fn event(data: &[u8]) -> Result<(Event, Option<(usize, usize)>), serde_json::Error> {
    if data == b"[DONE]" {
        return Ok((Event::Done, None));
    }
    let body: Body<'_> = serde_json::from_slice(data)?;
    if let Some(error) = body.error {
        return Ok((Event::Error(error.into_message()), None));
    }
    if body.object.as_deref() == Some("error") {
        return Ok((Event::Error(body.message.unwrap_or_default()), None));
    }
    let choices = body.choices.unwrap_or_default();
    let brings = choices.iter().map(Choice::brings).max_by_key(|brings| match brings {
        Brings::Nothing => 0,
        Brings::Empty { .. } => 1,
        Brings::Tokens => 2,
    });
    let end = choices.iter().find_map(|choice| choice.finish_reason.as_deref()).map(|reason| match reason {
        "length" => End::Length,
        _ => End::Other,
    });
    let span = match &choices[..] {
        [one] => one.only_text().and_then(|text| {
            let from = (text.as_ptr() as usize).checked_sub(data.as_ptr() as usize)?;
            Some((from, from + text.len()))
        }),
        _ => None,
    };
    let usage = body.usage.filter(|usage| usage.completion_tokens.is_some());
    let id = if let Text::Plain(id) = body.id { Some(id.to_owned()) } else { None };
    Ok((Event::Chunk(Chunk { brings: brings.unwrap_or(Brings::Nothing), usage, end, id }), span))
}

/// The message of an error body, in any of the shapes that servers use; the text itself if it has none of them.
pub(crate) fn error_message(body: &[u8]) -> String {
    let parsed: Result<Body<'_>, _> = serde_json::from_slice(body);
    let message = parsed.ok().and_then(|body| {
        body.error.map(ErrorBody::into_message).or(body.message).or_else(|| body.detail.map(|d| d.to_string()))
    });
    message.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
}

/// All that may stand in a chunk or an error body. vLLM up to 0.10 puts `message` at the top, with `object: error`.
#[derive(Debug, Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    id: Text<'a>,
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    usage: Option<Usage>,
    error: Option<ErrorBody>,
    object: Option<String>,
    message: Option<String>,
    detail: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default)]
    text: Text<'a>,
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    finish_reason: Option<String>,
    token_ids: Option<Vec<IgnoredAny>>,
}

#[derive(Debug, Default, Deserialize)]
struct Delta<'a> {
    role: Option<IgnoredAny>,
    #[serde(borrow, default)]
    content: Text<'a>,
    #[serde(borrow, default)]
    reasoning_content: Text<'a>,
    #[serde(borrow, default)]
    reasoning: Text<'a>,
    #[serde(borrow, default)]
    refusal: Text<'a>,
    tool_calls: Option<Vec<ToolCall<'a>>>,
}

#[derive(Debug, Deserialize)]
struct ToolCall<'a> {
    #[serde(borrow, default)]
    function: Option<Function<'a>>,
}

#[derive(Debug, Deserialize)]
struct Function<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow, default)]
    arguments: Text<'a>,
}

impl<'a> Choice<'a> {
    fn texts(&self) -> impl Iterator<Item = &Text<'a>> {
        let delta = self
            .delta
            .iter()
            .flat_map(|delta| [&delta.content, &delta.reasoning_content, &delta.reasoning, &delta.refusal]);
        std::iter::once(&self.text).chain(delta)
    }

    fn brings(&self) -> Brings {
        let calls = self.delta.iter().filter_map(|delta| delta.tool_calls.as_ref()).flatten();
        let calls = calls.filter_map(|call| call.function.as_ref());
        let says = self.texts().any(Text::says)
            || calls.into_iter().any(|function| function.name.says() || function.arguments.says())
            || self.token_ids.as_ref().is_some_and(|ids| !ids.is_empty());
        if says {
            return Brings::Tokens;
        }
        let names_role = self.delta.as_ref().is_some_and(|delta| delta.role.is_some());
        match self.finish_reason {
            None if names_role => Brings::Nothing,
            _ => Brings::Empty { ends: self.finish_reason.is_some() },
        }
    }

    /// The one text, if nothing else is said and it stands in the data as it is meant.
    fn only_text(&self) -> Option<&'a str> {
        if self.token_ids.is_some() || self.delta.as_ref().is_some_and(|delta| delta.tool_calls.is_some()) {
            return None;
        }
        let mut said = self.texts().filter(|text| text.says());
        match (said.next()?, said.next()) {
            (Text::Plain(text), None) => Some(text),
            _ => None,
        }
    }
}

/// A text, of which only matters whether there is any.
#[derive(Debug, Default)]
enum Text<'a> {
    #[default]
    None,
    /// As it stands in the data.
    Plain(&'a str),
    /// Written with escapes, or no string at all.
    Other,
}

impl Text<'_> {
    fn says(&self) -> bool {
        match self {
            Self::None => false,
            Self::Plain(text) => !text.is_empty(),
            Self::Other => true,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or null")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text::Plain(text))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(if text.is_empty() { Text::None } else { Text::Other })
            }
            fn visit_unit<E>(self) -> Result<Text<'de>, E> {
                Ok(Text::None)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Text<'de>, E> {
                Ok(Text::Other)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Text<'de>, E> {
                Ok(Text::Other)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Text<'de>, E> {
                Ok(Text::Other)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Text<'de>, E> {
                Ok(Text::None)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Text<'de>, A::Error> {
                let mut any = false;
                while parts.next_element::<IgnoredAny>()?.is_some() {
                    any = true;
                }
                Ok(if any { Text::Other } else { Text::None })
            }
            fn visit_map<A: MapAccess<'de>>(self, mut parts: A) -> Result<Text<'de>, A::Error> {
                let mut any = false;
                while parts.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    any = true;
                }
                Ok(if any { Text::Other } else { Text::None })
            }
        }
        deserializer.deserialize_any(Texts)
    }
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
    use proptest::prelude::*;

    fn of(json: &str) -> Event {
        event(json.as_bytes()).unwrap().0
    }

    fn brings(choice: &str) -> Brings {
        match of(&format!("{{\"choices\":[{choice}],\"usage\":null}}")) {
            Event::Chunk(chunk) => chunk.brings,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_a_choice_brings_is_told_in_each_shape() {
        for text in [
            r#"{"text":"a"}"#,
            r#"{"text":"\n","finish_reason":"length"}"#,
            r#"{"text":"","token_ids":[7]}"#,
            r#"{"delta":{"role":"assistant","content":"a"}}"#,
            r#"{"delta":{"content":null,"reasoning_content":"a"}}"#,
            r#"{"delta":{"reasoning":"a"}}"#,
            r#"{"delta":{"content":[{"type":"text"}]}}"#,
            r#"{"delta":{"tool_calls":[{"function":{"name":"f"}}]}}"#,
            r#"{"delta":{"tool_calls":[{"function":{"arguments":"{"}}]}}"#,
        ] {
            assert_eq!(brings(text), Brings::Tokens, "{text}");
        }
        assert_eq!(brings(r#"{"text":"","finish_reason":null}"#), Brings::Empty { ends: false });
        assert_eq!(brings(r#"{"text":"","finish_reason":"length"}"#), Brings::Empty { ends: true });
        assert_eq!(brings(r#"{"delta":{},"finish_reason":"stop"}"#), Brings::Empty { ends: true });
        assert_eq!(brings(r#"{"delta":{"content":""}}"#), Brings::Empty { ends: false });
        assert_eq!(brings(r#"{"delta":{"role":"assistant","content":""}}"#), Brings::Nothing);
        assert_eq!(brings(""), Brings::Nothing);
    }

    #[test]
    fn counts_ends_and_errors_are_read() {
        let json = r#"{"id":"cmpl-1","choices":[],"usage":{"prompt_tokens":4,"total_tokens":6,"completion_tokens":2}}"#;
        let usage = Some(Usage { prompt_tokens: Some(4), completion_tokens: Some(2) });
        let id = Some("cmpl-1".to_owned());
        assert_eq!(of(json), Event::Chunk(Chunk { brings: Brings::Nothing, usage, end: None, id }));
        assert!(matches!(of(r#"{"choices":[],"usage":{}}"#), Event::Chunk(Chunk { usage: None, .. })));
        let ended = of(r#"{"choices":[{"text":"x","finish_reason":"length"}]}"#);
        assert!(matches!(ended, Event::Chunk(Chunk { end: Some(End::Length), .. })));
        assert_eq!(of("[DONE]"), Event::Done);
        assert_eq!(of(r#"{"error":{"message":"dead","code":500}}"#), Event::Error("dead".into()));
        assert_eq!(of(r#"{"error":"dead"}"#), Event::Error("dead".into()));
        assert_eq!(of(r#"{"object":"error","message":"dead","code":400}"#), Event::Error("dead".into()));
        assert!(event(b"<html>").is_err() && event(b"").is_err());
    }

    #[test]
    fn an_error_body_is_read_in_each_shape() {
        assert_eq!(error_message(br#"{"error":{"message":"too long"}}"#), "too long");
        assert_eq!(error_message(br#"{"object":"error","message":"too long"}"#), "too long");
        assert_eq!(error_message(br#"{"detail":"Not Found"}"#), "\"Not Found\"");
        assert_eq!(error_message(b"Bad gateway"), "Bad gateway");
    }

    fn chunk(text: &str, tail: &str) -> String {
        format!(
            "{{\"id\":\"c\",\"choices\":[{{\"index\":0,\"text\":{},\"finish_reason\":{tail}}}],\"usage\":null}}",
            serde_json::Value::from(text)
        )
    }

    #[test]
    fn only_another_text_is_not_parsed_again() {
        let mut events = Events::default();
        assert!(matches!(events.read(chunk("a", "null").as_bytes()).unwrap(), Read::Event(_)));
        for same in ["b", "long \u{e9}", "\n\"quoted\" \\ /"] {
            assert_eq!(events.read(chunk(same, "null").as_bytes()).unwrap(), Read::Tokens, "{same}");
        }
        // None of these is the same but for its text, though each begins and ends as the last.
        for other in [chunk("", "null"), chunk("a", "\"length\"")] {
            let mut events = Events::default();
            events.read(chunk("a", "null").as_bytes()).unwrap();
            assert!(matches!(events.read(other.as_bytes()).unwrap(), Read::Event(_)), "{other}");
        }
        let (plain, mut events) = (chunk("a", "null"), Events::default());
        events.read(plain.as_bytes()).unwrap();
        let smuggled = plain.replace("\"a\"", "\"a\",\"delta\":{},\"x\":\"y\"");
        assert!(matches!(events.read(smuggled.as_bytes()).unwrap(), Read::Event(Event::Chunk(_))));
        assert!(events.read(plain.replace("\"a\"", "\"a\\").as_bytes()).is_err());
    }

    proptest! {
        /// The quick look and the parser agree on every chunk, whatever came before it.
        #[test]
        fn a_quick_look_says_what_the_parser_says(
            chunks in prop::collection::vec((".{0,6}|[\"\\\\a]{0,4}", prop::sample::select(vec!["null", "\"length\""])), 1..12)
        ) {
            let mut events = Events::default();
            for (text, tail) in &chunks {
                let data = chunk(text, tail);
                let Event::Chunk(whole) = of(&data) else { panic!("a chunk") };
                match events.read(data.as_bytes()).unwrap() {
                    Read::Tokens => prop_assert_eq!((whole.brings, whole.usage, whole.end), (Brings::Tokens, None, None)),
                    Read::Event(event) => prop_assert_eq!(event, Event::Chunk(whole)),
                }
            }
        }
    }
}
