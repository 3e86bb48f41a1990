//! What an answer says, for the next turn of its conversation. It is read from the kept bytes when the answer has ended, so
//! that no chunk is read later for it.

use serde::Deserialize;

use crate::sse::Decoder;

/// More of an answer than this is not kept; what the next turn is asked with ends there.
pub(crate) const MAX_KEPT: usize = 16 << 20;

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    text: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    #[serde(default)]
    content: Option<String>,
}

/// The text of a stream of chunks, without what was only thought.
pub(crate) fn text(stream: &[u8]) -> String {
    let mut said = String::new();
    let mut decoder = Decoder::default();
    let _ = decoder.push(stream, &mut |data| {
        let Ok(chunk) = serde_json::from_slice::<Chunk>(data) else { return };
        if let Some(choice) = chunk.choices.into_iter().next() {
            let content = choice.delta.and_then(|delta| delta.content).or(choice.text);
            said.push_str(&content.unwrap_or_default());
        }
    });
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_was_said_and_not_what_was_thought() {
        let stream = concat!(
            "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n: ping\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"a\\u00e9\"}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"b\"},\"finish_reason\":\"length\"}]}\n\n",
            "data: {\"choices\":[],\"usage\":{}}\n\ndata: [DONE]\n\n",
        );
        assert_eq!(text(stream.as_bytes()), "a\u{e9}b");
    }
}
