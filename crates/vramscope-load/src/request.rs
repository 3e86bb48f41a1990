//! One request: sent, its stream read, each chunk's time kept.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::{Method, Response};

use crate::client::{Client, Unsent, collect, content_type};
use crate::completion::{Event, Usage, error_message, event};
use crate::error::{Failure, FailureKind};
use crate::sse::Decoder;

/// As much of a refusal as is read.
const MAX_REFUSAL: usize = 64 << 10;
/// Chunks that may come beyond one per token asked for: some servers send empty ones at the beginning and the end.
const SPARE_CHUNKS: u64 = 64;

/// What one request did. All times count from the load's anchor.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestRecord {
    /// Its number among the warmup's or the measured requests, from 0.
    pub number: u64,
    /// When it was due; with a fixed concurrency, when its turn came.
    pub due: Duration,
    /// When it was sent.
    pub start: Duration,
    /// When each chunk with tokens came. One chunk may carry several tokens.
    pub chunks: Vec<Duration>,
    /// When the last chunk with tokens came, or when it failed.
    pub end: Duration,
    /// The server's count of tokens, or why there is none.
    pub outcome: Result<Tokens, Failure>,
}

/// A request's tokens by the server's count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tokens {
    /// Of the prompt.
    pub input: u64,
    /// Generated.
    pub output: u64,
}

impl RequestRecord {
    /// Time to first token: from sending to the first chunk with tokens.
    pub fn ttft(&self) -> Option<Duration> {
        self.chunks.first()?.checked_sub(self.start)
    }

    /// Time from sending to the last chunk with tokens.
    pub fn latency(&self) -> Duration {
        self.end.saturating_sub(self.start)
    }

    /// Mean time per output token after the first; `None` if it failed or has no second token.
    pub fn tpot(&self) -> Option<Duration> {
        let later = self.outcome.as_ref().ok()?.output.checked_sub(1).filter(|n| *n > 0)?;
        let nanoseconds = (self.latency().checked_sub(self.ttft()?)?).as_nanos() / u128::from(later);
        Some(Duration::from_nanos(u64::try_from(nanoseconds).ok()?))
    }

    /// The times between chunks. They are times between tokens only where each chunk carries one.
    pub fn itls(&self) -> impl Iterator<Item = Duration> + '_ {
        self.chunks.windows(2).map(|pair| pair[1].saturating_sub(pair[0]))
    }
}

/// A request ready to be sent.
pub(crate) struct Ready {
    pub(crate) number: u64,
    pub(crate) due: Duration,
    pub(crate) body: Result<Bytes, Failure>,
    pub(crate) output_len: u64,
    pub(crate) stall_timeout: Duration,
}

/// Sends a request and follows its answer to the end. Dropping the future closes the connection, and the engine aborts.
pub(crate) async fn complete(client: Client, ready: Ready, anchor: Instant) -> RequestRecord {
    let Ready { number, due, body, output_len, stall_timeout } = ready;
    let most = output_len.saturating_mul(2).saturating_add(SPARE_CHUNKS);
    let mut stream = Stream { anchor, stall_timeout, last: Instant::now(), chunks: Vec::new(), usage: None, most };
    let start = stream.last.saturating_duration_since(anchor);
    let outcome = match body {
        Ok(body) => stream.follow(&client, body).await,
        Err(failure) => Err(failure),
    };
    let end = match (&outcome, stream.chunks.last()) {
        (Ok(_), Some(last)) => *last,
        _ => anchor.elapsed(),
    };
    RequestRecord { number, due, start, chunks: stream.chunks, end, outcome }
}

/// An answer while it comes.
struct Stream {
    anchor: Instant,
    stall_timeout: Duration,
    /// When the last token came, or the request was sent.
    last: Instant,
    chunks: Vec<Duration>,
    usage: Option<Usage>,
    /// More chunks than this are refused.
    most: u64,
}

impl Stream {
    async fn follow(&mut self, client: &Client, body: Bytes) -> Result<Tokens, Failure> {
        let response = self.in_time(client.send(Method::POST, "/v1/completions", body)).await?;
        let mut response = response.map_err(|unsent| {
            let (kind, source) = match unsent {
                Unsent::Refused(source) => (FailureKind::Refused, source),
                Unsent::Cut(source) => (FailureKind::Cut, source),
            };
            Failure::new(kind, client.quote(&chain(source.as_ref())))
        })?;
        if !response.status().is_success() {
            return Err(self.refusal(client, response).await);
        }
        if let Some(kind) = content_type(&response).filter(|kind| !kind.starts_with("text/event-stream")) {
            let message = format!("the server answers {}, not a stream of events", client.quote(kind));
            return Err(Failure::new(FailureKind::Malformed, message));
        }
        self.read(client, response.body_mut()).await?;
        if self.chunks.is_empty() {
            return Err(Failure::new(FailureKind::NoToken, "the stream ended without a token"));
        }
        let usage = self.usage.ok_or_else(|| {
            Failure::new(FailureKind::NoUsage, "the stream ended without the server's count of tokens (usage)")
        })?;
        Ok(Tokens { input: usage.prompt_tokens, output: usage.completion_tokens })
    }

    /// Reads the stream to its end, so that the connection can serve again.
    async fn read(&mut self, client: &Client, body: &mut Incoming) -> Result<(), Failure> {
        let mut decoder = Decoder::default();
        let mut done = false;
        let cut = |done, what: String| if done { Ok(()) } else { Err(Failure::new(FailureKind::Cut, what)) };
        loop {
            let Some(frame) = self.in_time(body.frame()).await? else {
                let place = if decoder.is_within_event() { "within an event" } else { "before [DONE]" };
                return cut(done, format!("the stream ended {place}"));
            };
            // One time for all that one read brought: no later parsing is counted.
            let now = Instant::now();
            let frame = match frame {
                Ok(frame) => frame,
                Err(source) => return cut(done, format!("the connection broke: {}", client.quote(&chain(&source)))),
            };
            let Ok(data) = frame.into_data() else { continue };
            let mut wrong = None;
            let taken = decoder.push(&data, &mut |data| {
                if wrong.is_none() && !done {
                    match self.take(client, data, now) {
                        Ok(ended) => done = ended,
                        Err(failure) => wrong = Some(failure),
                    }
                }
            });
            if let Some(failure) = wrong {
                return Err(failure);
            }
            taken.map_err(|_| Failure::new(FailureKind::TooLarge, "the server sends an event of more than 1 MiB"))?;
        }
    }

    /// Takes one event; tells whether it is the last.
    fn take(&mut self, client: &Client, data: &[u8], now: Instant) -> Result<bool, Failure> {
        let event = event(data).map_err(|source| {
            let text = client.quote(&String::from_utf8_lossy(data));
            Failure::new(FailureKind::Malformed, format!("an event is no chunk of a completion ({source}): {text}"))
        })?;
        match event {
            Event::Done => return Ok(true),
            Event::Error(message) => {
                let message = format!("the server reports in mid-stream: {}", client.quote(&message));
                return Err(Failure::new(FailureKind::InStream, message));
            }
            Event::Chunk { tokens, usage } => {
                self.usage = usage.or(self.usage);
                if tokens {
                    self.last = now;
                    self.chunks.push(now.saturating_duration_since(self.anchor));
                }
            }
        }
        if self.chunks.len() as u64 > self.most {
            return Err(Failure::new(FailureKind::TooLarge, "the server sends many more chunks than tokens asked for"));
        }
        Ok(false)
    }

    async fn refusal(&self, client: &Client, response: Response<Incoming>) -> Failure {
        let status = response.status().as_u16();
        let message = match self.in_time(collect(response.into_body(), MAX_REFUSAL)).await {
            Ok(Ok(Some(body))) => client.quote(&error_message(&body)),
            _ => "its reason cannot be read".into(),
        };
        Failure::new(FailureKind::Status(status), format!("the server answers {status}: {message}"))
    }

    /// Waits for something, but no longer than the server may be silent.
    async fn in_time<T>(&self, what: impl Future<Output = T>) -> Result<T, Failure> {
        let deadline = self.last.checked_add(self.stall_timeout);
        let Some(deadline) = deadline else { return Ok(what.await) };
        tokio::time::timeout_at(deadline.into(), what).await.map_err(|_| {
            let message = format!("the server sent no token for {} s", self.stall_timeout.as_secs_f64());
            Failure::new(FailureKind::Stalled, message)
        })
    }
}

/// An error with its causes.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn latencies_are_those_of_vllm_bench_serve() {
        // Two tokens in the second chunk: 4 tokens in 3 chunks.
        let outcome = Ok(Tokens { input: 8, output: 4 });
        let chunks = vec![ms(150), ms(160), ms(180)];
        let record = RequestRecord { number: 0, due: ms(90), start: ms(100), chunks, end: ms(180), outcome };
        assert_eq!((record.ttft(), record.latency(), record.tpot()), (Some(ms(50)), ms(80), Some(ms(10))));
        assert_eq!(record.itls().collect::<Vec<_>>(), [ms(10), ms(20)]);
        let one = RequestRecord { outcome: Ok(Tokens { input: 8, output: 1 }), ..record };
        assert_eq!(one.tpot(), None);
    }
}
