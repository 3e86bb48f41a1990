//! An answer under way.

use crate::answer::{Asked, STREAM_END, STREAM_HEAD, body, chunk, event, reason_chunk, role_chunk, usage_chunk, whole};
use crate::script::{Done, How, Script, UsageAt, ns};

/// What comes next of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is not running yet.
    Queued,
    /// A write with tokens.
    Tokens,
    /// The end of the stream, which was held back.
    End,
    /// Nothing, for ever.
    Nothing,
}

#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) asked: Asked,
    pub(crate) stream: bool,
    pub(crate) failure: Option<How>,
    /// Where it stands in the truth.
    pub(crate) row: usize,
    pub(crate) next: Next,
    /// When that is due.
    pub(crate) due_ns: u64,
    /// Writes with tokens so far.
    pub(crate) writes: u64,
    /// Tokens written so far.
    pub(crate) tokens: u64,
}

/// What a write holds and how the answer goes on after it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) bytes: Vec<u8>,
    pub(crate) tokens: u64,
    pub(crate) then: Then,
}

/// How an answer goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// With more tokens.
    Tokens,
    /// With its end, so many nanoseconds later.
    EndAfter(u64),
    /// It is whole, and the connection serves again.
    Whole,
    /// It has failed, and the connection serves again.
    Failed,
    /// It has failed, and the connection closes.
    Cut,
}

impl Flight {
    /// What is written when the request arrives, before any token.
    pub(crate) fn begin(&self, script: &Script) -> Vec<u8> {
        if !self.stream {
            return Vec::new();
        }
        let mut bytes = STREAM_HEAD.to_vec();
        if self.asked.chat {
            event(&mut bytes, &role_chunk(script, &self.asked));
        } else if script.empty_first {
            event(&mut bytes, &chunk(script, &self.asked, 0, 0));
        }
        bytes
    }

    /// The next write with tokens.
    pub(crate) fn write(&mut self, script: &Script) -> Written {
        if !self.stream {
            let bytes = whole(200, "application/json", &body(script, &self.asked));
            return Written { bytes, tokens: self.asked.output, then: Then::Whole };
        }
        let mut bytes = Vec::with_capacity(512);
        let middle = self.tokens.saturating_mul(2) >= self.asked.output;
        match self.failure.filter(|_| middle) {
            Some(How::InStream) => {
                event(
                    &mut bytes,
                    "{\"error\":{\"message\":\"the script fails here\",\"type\":\"Error\",\"code\":500}}",
                );
                event(&mut bytes, "[DONE]");
                bytes.extend_from_slice(STREAM_END);
                return Written { bytes, tokens: 0, then: Then::Failed };
            }
            Some(How::Cut) => return Written { bytes, tokens: 0, then: Then::Cut },
            _ => {}
        }
        let from = self.tokens;
        for _ in 0..script.chunks_per_write {
            let to = self.tokens.saturating_add(script.tokens_per_chunk).min(self.asked.output);
            if to > self.tokens {
                event(&mut bytes, &chunk(script, &self.asked, self.tokens, to));
            }
            self.tokens = to;
        }
        self.writes += 1;
        let tokens = self.tokens - from;
        if self.tokens < self.asked.output {
            return Written { bytes, tokens, then: Then::Tokens };
        }
        if script.empty_last {
            event(&mut bytes, &reason_chunk(script, &self.asked));
        }
        if script.usage == UsageAt::Own {
            event(&mut bytes, &usage_chunk(script, &self.asked, self.asked.output));
        }
        let then = match script.done {
            Done::LateMs(ms) => Then::EndAfter(ns(ms)),
            Done::AtOnce | Done::Never => {
                bytes.extend(end(script));
                Then::Whole
            }
        };
        Written { bytes, tokens, then }
    }
}

/// What stands behind the last chunk.
pub(crate) fn end(script: &Script) -> Vec<u8> {
    let mut bytes = Vec::new();
    if script.done != Done::Never {
        event(&mut bytes, "[DONE]");
    }
    bytes.extend_from_slice(STREAM_END);
    bytes
}
