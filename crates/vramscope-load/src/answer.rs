//! An answer while it comes: which of its chunks are tokens, and when they came.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::chunk::{Brings, Chunk, End, Event, Events, Read, Usage, error_message};
use crate::client::Client;
use crate::error::{Failure, FailureKind};
use crate::http::Head;
use crate::request::{Asked, Counted, Tokens};
use crate::said;
use crate::sse::{Decoder, TooLong};

/// As much of a refusal as is read.
const MAX_REFUSAL: usize = 64 << 10;
/// Chunks that may come beyond one per token asked for: some servers send empty ones at the beginning and the end.
const SPARE_CHUNKS: u64 = 64;
/// A longer name of an answer is not kept.
const MAX_ID: usize = 128;

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) asked: Asked,
    pub(crate) id: Option<String>,
    decoder: Decoder,
    body: Body,
    /// The bytes of the answer, where what it says is wanted.
    kept: Option<Vec<u8>>,
}

#[derive(Debug)]
struct Body {
    anchor: Instant,
    events: Events,
    /// When each chunk with a choice came.
    chunks: Vec<Duration>,
    /// Which of them have no text, and whether these say why the answer ended.
    empty: Vec<(usize, bool)>,
    usage: Option<Usage>,
    end: Option<End>,
    done: bool,
    wrong: Option<Failure>,
    refusal: Vec<u8>,
    id: Option<String>,
    /// More chunks than this are refused.
    most: u64,
}

impl Answer {
    pub(crate) fn new(asked: Asked, anchor: Instant) -> Self {
        let body = Body {
            anchor,
            events: Events::default(),
            chunks: Vec::new(),
            empty: Vec::new(),
            usage: None,
            end: None,
            done: false,
            wrong: None,
            refusal: Vec::new(),
            id: None,
            most: asked.output.saturating_mul(2).saturating_add(SPARE_CHUNKS),
        };
        Self { asked, id: None, decoder: Decoder::default(), body, kept: None }
    }

    /// Has the bytes kept.
    pub(crate) fn keep(&mut self) {
        self.kept = Some(Vec::new());
    }

    /// What was said, once the answer has ended; `None` where it was not kept.
    pub(crate) fn said(&mut self) -> Option<String> {
        self.kept.take().map(|kept| said::text(&kept))
    }

    /// Takes a part of the body, read at this time; tells whether it brought a choice.
    pub(crate) fn take(&mut self, client: &Client, head: &Head, bytes: &[u8], at: Instant) -> bool {
        let body = &mut self.body;
        if !head.is_success() {
            let room = MAX_REFUSAL.saturating_sub(body.refusal.len());
            body.refusal.extend_from_slice(&bytes[..bytes.len().min(room)]);
            return false;
        }
        if let Some(kind) = head.content_type.as_ref().filter(|kind| !kind.starts_with("text/event-stream")) {
            let message = format!("the server answers {}, not a stream of events", client.quote(kind));
            body.wrong.get_or_insert_with(|| Failure::new(FailureKind::Malformed, message));
            return false;
        }
        if let Some(kept) = &mut self.kept {
            let room = said::MAX_KEPT.saturating_sub(kept.len());
            kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        let before = body.chunks.len();
        let taken = self.decoder.push(bytes, &mut |data| body.event(client, data, at));
        if let Err(TooLong) = taken {
            let message = "the server sends an event of more than 1 MiB";
            body.wrong.get_or_insert_with(|| Failure::new(FailureKind::TooLarge, message));
        }
        body.chunks.len() > before
    }

    /// Whether more of it is wanted.
    pub(crate) fn flow(&self) -> ControlFlow<()> {
        if self.body.wrong.is_some() || self.body.refusal.len() >= MAX_REFUSAL {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// Whether `[DONE]` came.
    pub(crate) fn is_done(&self) -> bool {
        self.body.done
    }

    /// Why there is no answer, now that nothing more comes.
    pub(crate) fn failure(&mut self, client: &Client, head: Option<&Head>) -> Option<Failure> {
        let body = &mut self.body;
        if let Some(wrong) = body.wrong.take() {
            return Some(wrong);
        }
        let head = head?;
        if !head.is_success() {
            let said = client.quote(&error_message(&body.refusal));
            let message = format!("the server answers {}: {said}", head.status);
            return Some(Failure::new(FailureKind::Status(head.status), message));
        }
        // Some servers leave out [DONE]; an answer that said why it ended, or was counted, is whole without it.
        if body.done || body.end.is_some() || body.usage.is_some() {
            return None;
        }
        let place = if self.decoder.is_within_event() { "within an event" } else { "before [DONE]" };
        Some(Failure::new(FailureKind::Cut, format!("the stream ended {place}")))
    }

    /// Decides which chunks are tokens, and counts. With `None` the answer is not whole, and nothing is counted.
    pub(crate) fn settle(&mut self, whole: Option<()>) -> Result<Tokens, Failure> {
        let body = &mut self.body;
        self.id = body.id.take();
        let usage = body.usage.filter(|_| whole.is_some());
        let counted = usage.and_then(|usage| usage.completion_tokens).map(|count| (count, Counted::Usage));
        let by_length =
            (whole.is_some() && body.end == Some(End::Length)).then_some((self.asked.output, Counted::Length));
        let counted = counted.or(by_length);
        body.drop_empty(counted.map(|(count, _)| count));
        let chunks = body.chunks.len() as u64;
        let (output, counted) = counted.unwrap_or((chunks, Counted::Chunks));
        if chunks == 0 || output == 0 {
            return Err(Failure::new(FailureKind::NoToken, "the stream ended without a token"));
        }
        Ok(Tokens { input: usage.and_then(|usage| usage.prompt_tokens), output, counted })
    }

    /// The times of the chunks with tokens, as far as that was decided.
    pub(crate) fn take_chunks(&mut self) -> Vec<Duration> {
        std::mem::take(&mut self.body.chunks)
    }
}

impl Body {
    fn event(&mut self, client: &Client, data: &[u8], at: Instant) {
        if self.wrong.is_some() || self.done {
            return;
        }
        match self.events.read(data) {
            Ok(Read::Tokens) => self.chunks.push(at.saturating_duration_since(self.anchor)),
            Ok(Read::Event(Event::Done)) => self.done = true,
            Ok(Read::Event(Event::Chunk(chunk))) => self.chunk(chunk, at),
            Ok(Read::Event(Event::Error(message))) => {
                let message = format!("the server reports in mid-stream: {}", client.quote(&message));
                self.wrong = Some(Failure::new(FailureKind::InStream, message));
            }
            Err(source) => {
                let text = client.quote(&String::from_utf8_lossy(data));
                let message = format!("an event is no chunk of a completion ({source}): {text}");
                self.wrong = Some(Failure::new(FailureKind::Malformed, message));
            }
        }
        if self.chunks.len() as u64 > self.most {
            let message = "the server sends many more chunks than tokens asked for";
            self.wrong = Some(Failure::new(FailureKind::TooLarge, message));
        }
    }

    fn chunk(&mut self, chunk: Chunk, at: Instant) {
        self.usage = chunk.usage.or(self.usage);
        self.end = chunk.end.or(self.end);
        self.id = self.id.take().or(chunk.id.filter(|id| id.len() <= MAX_ID));
        match chunk.brings {
            Brings::Nothing => return,
            Brings::Empty { ends } => self.empty.push((self.chunks.len(), ends)),
            Brings::Tokens => {}
        }
        self.chunks.push(at.saturating_duration_since(self.anchor));
    }

    /// Drops the chunks without text that are no tokens. A token whose text is not whole yet comes as such a chunk too;
    /// only where the count says so, or where no chunk has a text, are they tokens.
    fn drop_empty(&mut self, count: Option<u64>) {
        let all = self.chunks.len();
        let (empty, ends) = (self.empty.len(), self.empty.iter().filter(|(_, ends)| *ends).count());
        let is_count = |chunks: usize| count == u64::try_from(chunks).ok();
        let only_ends = is_count(all - ends) || (empty == all && ends < all);
        if empty == 0 || is_count(all) {
            return;
        }
        let mut dropped = self.empty.iter().filter(|(_, ends)| !only_ends || *ends).map(|(at, _)| *at).peekable();
        let mut at = 0;
        self.chunks.retain(|_| {
            let drop = dropped.next_if_eq(&at).is_some();
            at += 1;
            !drop
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is made of an answer whose chunks come a millisecond apart: when the tokens came, and their count.
    fn read(output: u64, events: &[&str]) -> (Vec<u64>, Result<Tokens, FailureKind>) {
        let client = Client::new("http://h:1", None).unwrap();
        let anchor = Instant::now();
        let mut answer = Answer::new(Asked { input: Some(3), output, of: crate::request::Origin::default() }, anchor);
        let head = Head::of(200, "text/event-stream");
        for (event, at) in events.iter().zip(1..) {
            let bytes = format!("data: {event}\n\n");
            answer.take(&client, &head, bytes.as_bytes(), anchor + Duration::from_millis(at));
        }
        let outcome = match answer.failure(&client, Some(&head)) {
            Some(failure) => Err(failure),
            None => answer.settle(Some(())),
        };
        let chunks = answer.take_chunks().iter().map(|at| u64::try_from(at.as_millis()).unwrap()).collect();
        (chunks, outcome.map_err(|failure| failure.kind))
    }

    fn text(text: &str) -> String {
        format!("{{\"choices\":[{{\"text\":\"{text}\",\"finish_reason\":null}}]}}")
    }

    const ENDS: &str = r#"{"choices":[{"text":"","finish_reason":"length"}]}"#;
    const DONE: &str = "[DONE]";

    fn usage(count: u64) -> String {
        format!("{{\"choices\":[],\"usage\":{{\"prompt_tokens\":3,\"completion_tokens\":{count}}}}}")
    }

    fn tokens(output: u64, counted: Counted) -> Result<Tokens, FailureKind> {
        Ok(Tokens { input: (counted == Counted::Usage).then_some(3), output, counted })
    }

    #[test]
    fn empty_chunks_are_tokens_only_where_the_count_says_so() {
        let (a, e) = (text("a"), text(""));
        let by_usage = |count| tokens(count, Counted::Usage);
        // Four tokens a chunk between an empty first and an empty last one.
        assert_eq!(read(8, &[&e, &a, &a, ENDS, &usage(8), DONE]), (vec![2, 3], by_usage(8)));
        // A token a chunk, one of which has no text yet.
        assert_eq!(read(3, &[&a, &e, &a, &usage(3), DONE]), (vec![1, 2, 3], by_usage(3)));
        // The same with a last chunk that only ends.
        assert_eq!(read(3, &[&a, &e, &a, ENDS, &usage(3), DONE]), (vec![1, 2, 3], by_usage(3)));
        // No text at all: ids that stand for nothing.
        assert_eq!(read(4, &[&e, &e, ENDS, &usage(4), DONE]), (vec![1, 2], by_usage(4)));
        // An empty first one where each other is a token.
        assert_eq!(read(2, &[&e, &a, &a, &usage(2), DONE]), (vec![2, 3], by_usage(2)));
    }

    #[test]
    fn an_answer_is_whole_without_done_and_counted_without_usage() {
        let a = text("a");
        let last = r#"{"choices":[{"text":"a","finish_reason":"length"}]}"#;
        let stop = r#"{"choices":[{"text":"a","finish_reason":"stop"}]}"#;
        assert_eq!(read(2, &[&a, last, &usage(2)]).1, tokens(2, Counted::Usage));
        assert_eq!(read(4, &[&a, last]).1, tokens(4, Counted::Length));
        assert_eq!(read(9, &[&a, stop, DONE]).1, tokens(2, Counted::Chunks));
        assert_eq!(read(2, &[&a]).1, Err(FailureKind::Cut));
        assert_eq!(read(2, &[&usage(0), DONE]).1, Err(FailureKind::NoToken));
    }
}
