//! What a script may say. Everything has a default: an empty script answers at once, a token a chunk.

use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::play::Play;

/// The whole script. Times are in milliseconds; a list is gone through again when it ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// The engine as which the server answers questions beside completions.
    pub engine: Engine,
    /// The one model that is served; a request for another is answered with 404.
    pub model: String,
    /// More names that are served, as those of adapters are.
    pub adapters: Vec<String>,
    /// The longest prompt and answer together, in tokens.
    pub max_model_len: u64,
    /// What `/version` answers.
    pub version: String,
    /// With a key, `/v1` is served only to who has it.
    pub api_key: Option<String>,
    /// From the arrival of a request to the write with its first token, by the request's number.
    pub ttft_ms: Vec<f64>,
    /// From one write to the next, by the number of the write within its answer, from the second on.
    pub gap_ms: Vec<f64>,
    /// Tokens of one chunk; the last one may hold fewer.
    pub tokens_per_chunk: u64,
    /// Chunks of one write.
    pub chunks_per_write: u64,
    /// The texts of tokens, in turn.
    pub texts: Vec<String>,
    /// In which field a token of a chat is said.
    pub said: Said,
    /// Nothing is written for a while.
    pub stall: Option<Stall>,
    /// Requests that fail.
    pub fail: Vec<Fail>,
    /// A chunk without text stands before the first token, right after the arrival. A chat has one with the role anyhow.
    pub empty_first: bool,
    /// The reason of the end comes in a chunk of its own, without text.
    pub empty_last: bool,
    /// Where the server's count of tokens stands.
    pub usage: UsageAt,
    /// When `[DONE]` comes.
    pub done: Done,
    /// An answer has fewer tokens than asked for, by so many.
    pub tokens_short: u64,
    /// Prompts that are lists of token ids are refused.
    pub refuses_token_ids: bool,
    /// Whole blocks of 16 tokens or words that a prompt begins with and that came before are counted as found in a prefix
    /// cache. It is answered no sooner.
    pub prefix_cache: bool,
    /// A text has a token for so many bytes, and a chat eleven more; `/tokenize` tells. Without it a word is a token, and there
    /// is no such path.
    pub bytes_per_token: Option<f64>,
    /// Times follow from how many requests run; `ttft_ms` and `gap_ms` are then not looked at.
    pub capacity: Option<Capacity>,
    /// What a program that stands in for another one prints, and what its device holds.
    pub play: Play,
    /// Times follow from lengths; `ttft_ms` and `gap_ms` are then not looked at. Not together with `capacity`.
    pub linear: Option<Linear>,
}

/// The field of a chat's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// `content`.
    Content,
    /// `reasoning_content`.
    ReasoningContent,
    /// `reasoning`.
    Reasoning,
    /// The arguments of a call of a tool.
    ToolCalls,
}

/// A time without writes. What was due then is written at its end.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stall {
    /// From the arrival of the first request.
    pub after_ms: f64,
    /// How long.
    pub for_ms: f64,
}

/// A failure that comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fail {
    /// Each so many-th request, counted from 1.
    pub every: u64,
    /// How it fails.
    pub how: How,
}

/// How a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// With this HTTP status, at once.
    Status(u16),
    /// With an event that says so, in place of the middle write.
    InStream,
    /// With the end of the connection, in place of the middle write.
    Cut,
    /// It is never answered.
    Silent,
}

/// Where the count of tokens stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageAt {
    /// In a chunk of its own, without choices.
    Own,
    /// In the chunk of the last token.
    WithLast,
    /// In each chunk, as far as it goes.
    Each,
    /// Nowhere.
    None,
}

/// When the end is said.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// With the last chunk.
    AtOnce,
    /// So many milliseconds after it.
    LateMs(f64),
    /// Never: the answer ends without it.
    Never,
}

/// A server that batches: so many requests run, the others wait in the order of their arrival.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capacity {
    /// Requests that run at most.
    pub running: usize,
    /// A thousand tokens of a prompt take so long before the first token.
    pub prefill_ms_per_1000: f64,
    /// A token takes so long when one request runs.
    pub step_ms: f64,
    /// And so much longer for each other one that runs.
    pub step_ms_per_other: f64,
}

/// A server whose times follow from lengths alone, each request for itself.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Linear {
    /// From the arrival of a request to its first token, whatever its prompt.
    pub ttft_ms: f64,
    /// And so much more for each token of the prompt.
    pub ttft_ms_per_token: f64,
    /// And so much more for each token of the prompt times each.
    pub ttft_ms_per_token_squared: f64,
    /// From one token to the next, whatever stands before it.
    pub gap_ms: f64,
    /// And so much more for each token that stands before it, prompt and answer.
    pub gap_ms_per_token: f64,
}

impl Linear {
    /// From the arrival of a prompt of so many tokens to its first token.
    pub(crate) fn first_ns(&self, input: u64) -> u64 {
        let input = float(input);
        ns(self.ttft_ms + self.ttft_ms_per_token * input + self.ttft_ms_per_token_squared * input * input)
    }

    /// From a token to the next, with so many before that.
    pub(crate) fn gap_ns(&self, before: u64) -> u64 {
        ns(self.gap_ms + self.gap_ms_per_token * float(before))
    }
}

impl Default for Script {
    fn default() -> Self {
        // As in prose, one in twenty needs an escape in JSON.
        let texts = " the of and a to in is that it was for on are as with his they at be\n";
        Self {
            engine: Engine::Vllm,
            model: "standin".into(),
            adapters: Vec::new(),
            max_model_len: 1 << 20,
            version: "0.32.0".into(),
            api_key: None,
            ttft_ms: vec![0.0],
            gap_ms: vec![0.0],
            tokens_per_chunk: 1,
            chunks_per_write: 1,
            texts: texts.split_inclusive(' ').map(str::to_owned).collect(),
            said: Said::Content,
            stall: None,
            fail: Vec::new(),
            empty_first: false,
            empty_last: false,
            usage: UsageAt::Own,
            done: Done::AtOnce,
            tokens_short: 0,
            refuses_token_ids: false,
            prefix_cache: false,
            bytes_per_token: None,
            capacity: None,
            play: Play::default(),
            linear: None,
        }
    }
}

impl Script {
    /// What is wrong with it, if anything is.
    ///
    /// # Errors
    /// The field and what is expected of it.
    pub fn check(&self) -> Result<(), String> {
        let times = self.ttft_ms.iter().chain(&self.gap_ms);
        if self.ttft_ms.is_empty() || self.gap_ms.is_empty() || times.clone().any(|ms| !(0.0..=1e9).contains(ms)) {
            return Err("ttft_ms, gap_ms: expected lists of times from 0 to 1e9 ms".into());
        }
        if self.tokens_per_chunk == 0 || self.chunks_per_write == 0 || self.texts.is_empty() {
            return Err("tokens_per_chunk, chunks_per_write, texts: expected at least one".into());
        }
        if self.fail.iter().any(|fail| fail.every == 0) || self.capacity.is_some_and(|capacity| capacity.running == 0) {
            return Err("fail, capacity: expected `every` and `running` of at least one".into());
        }
        if let Some(linear) = self.linear {
            let parts = [linear.ttft_ms, linear.ttft_ms_per_token, linear.gap_ms, linear.gap_ms_per_token];
            let all = parts.iter().chain([&linear.ttft_ms_per_token_squared]);
            if self.capacity.is_some() || all.clone().any(|ms| !(0.0..=1e6).contains(ms)) {
                return Err("linear: expected times from 0 to 1e6 ms, and no capacity".into());
            }
            if self.tokens_per_chunk != 1 || self.chunks_per_write != 1 {
                return Err("linear: expected one token a chunk and one chunk a write".into());
            }
        }
        Ok(())
    }

    /// A time of a list.
    pub(crate) fn turn(list: &[f64], number: u64) -> u64 {
        let length = u64::try_from(list.len()).unwrap_or(1).max(1);
        ns(usize::try_from(number % length).ok().and_then(|at| list.get(at)).copied().unwrap_or(0.0))
    }

    /// How a request fails, if it does. Numbers count from 0.
    pub(crate) fn failure(&self, number: u64) -> Option<How> {
        self.fail.iter().find(|fail| (number + 1).is_multiple_of(fail.every)).map(|fail| fail.how)
    }
}

/// Milliseconds as nanoseconds.
pub(crate) fn ns(ms: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked: 0 to 1e9 ms")]
    let ns = (ms * 1e6) as u64;
    ns
}

#[expect(clippy::cast_precision_loss, reason = "tokens of one request")]
fn float(tokens: u64) -> f64 {
    tokens as f64
}
