//! A JSON list of conversations: `[{"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", …}]}]`.

use std::cell::RefCell;
use std::fmt;
use std::io::Read;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};

use super::error::DatasetError;
use super::input::{Fresh, Input};
use super::{MAX_TEXT, Skipped, Talk, TalkTurn};

/// As much of the answers is kept to have their tokens counted.
const SAMPLE: usize = 32 << 10;

#[derive(Deserialize)]
struct Conversation {
    #[serde(default)]
    conversations: Option<Vec<Said>>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    from: Option<Text>,
    #[serde(default)]
    value: Option<Text>,
}

/// A text in which halves of surrogate pairs may stand alone, as they do where somebody cut one: Python reads them.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Text, E> {
                Ok(Text(String::from_utf8_lossy(bytes).into_owned()))
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

impl Said {
    fn speaker(&self) -> Option<&str> {
        self.from.as_ref().map(|from| from.0.as_str())
    }

    fn is_human(&self) -> bool {
        matches!(self.speaker(), Some("human" | "user"))
    }

    fn is_answer(&self) -> bool {
        matches!(self.speaker(), Some("gpt" | "chatgpt" | "assistant" | "model" | "bing" | "bard"))
    }
}

/// What was read.
#[derive(Default)]
pub(super) struct Talks {
    pub(super) talks: Vec<Talk>,
    /// Conversations in the file.
    pub(super) read: u64,
    pub(super) skipped: Skipped,
    /// Some of the answers, to have their tokens counted.
    pub(super) sample: String,
    text: usize,
    turns: usize,
}

/// Reads the file, of each conversation up to so many turns.
pub(super) fn read<R: Read>(input: &mut Input<R>, turns: u32) -> Result<Talks, DatasetError> {
    if input.first()? != Some(b'[') {
        let problem = "it is no JSON list; expected [{\"conversations\": [{\"from\": \"human\", \"value\": …}, …]}, …]";
        return Err(DatasetError::File { file: input.file.clone(), problem: problem.into() });
    }
    let (file, skipped_lines) = (input.file.clone(), input.line);
    let fresh = input.fresh();
    let talks = RefCell::new(Talks { turns: turns as usize, ..Talks::default() });
    let mut parser = serde_json::Deserializer::from_reader(input);
    let parsed = parser.deserialize_seq(List { talks: &talks, fresh });
    parsed.and_then(|()| parser.end()).map_err(|error| {
        let line = skipped_lines + error.line() as u64;
        let problem =
            format!("{error}; expected conversations, each a list of objects with the texts \"from\" and \"value\"");
        DatasetError::Line { file, line, problem }
    })?;
    Ok(talks.into_inner())
}

struct List<'a> {
    talks: &'a RefCell<Talks>,
    fresh: Fresh,
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of conversations")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        loop {
            self.fresh.record();
            if list.next_element_seed(One(self.talks))?.is_none() {
                return Ok(());
            }
        }
    }
}

struct One<'a>(&'a RefCell<Talks>);

impl<'de> DeserializeSeed<'de> for One<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let conversation = Conversation::deserialize(deserializer)?;
        self.0.borrow_mut().take(&conversation.conversations.unwrap_or_default());
        Ok(())
    }
}

impl Talks {
    fn take(&mut self, said: &[Said]) {
        self.read += 1;
        let Some(first) = said.iter().position(Said::is_human) else {
            return self.skipped.one("no human turn");
        };
        let mut turns = Vec::new();
        for pair in said[first..].chunks(2) {
            let [human, answer] = pair else { break };
            if !human.is_human() || !answer.is_answer() || turns.len() >= self.turns {
                break;
            }
            let (Some(Text(text)), Some(Text(answer))) = (&human.value, &answer.value) else { break };
            if self.sample.len() < SAMPLE {
                self.sample.extend(answer.chars().take(SAMPLE));
                self.sample.push('\n');
            }
            let answer_bytes = u32::try_from(answer.len()).unwrap_or(u32::MAX);
            turns.push(TalkTurn { text: text.as_str().into(), answer_bytes });
        }
        if turns.is_empty() {
            return self.skipped.one("no answer after the first human turn");
        }
        let text: usize = turns.iter().map(|turn| turn.text.len()).sum();
        if self.text + text > MAX_TEXT {
            return self.skipped.one("beyond the text that is kept in memory");
        }
        self.text += text;
        self.talks.push(Talk { turns: turns.into() });
    }
}
