//! One request: sent, its stream read, each chunk's time kept.

use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use crate::answer::Answer;
use crate::client::{Client, Part};
use crate::completion::Endpoint;
use crate::error::{Failure, FailureKind};
use crate::health::Reads;
use crate::http::{Arrived, Head, Unsent};

/// What one request did. All times count from the load's anchor.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestRecord {
    /// Its number among the warmup's or the measured requests, from 0.
    pub number: u64,
    /// What was asked for.
    pub asked: Asked,
    /// When it was due; with a fixed concurrency, when its turn came.
    pub due: Duration,
    /// How long it was held back after that, because as many as allowed were in flight.
    pub held: Duration,
    /// When it was sent: its connection stood, and its first byte was about to be written.
    pub start: Duration,
    /// When each chunk with tokens came. One chunk may carry several tokens.
    pub chunks: Vec<Duration>,
    /// When the last chunk with tokens came, or when it failed.
    pub end: Duration,
    /// The server's name for the answer, if it gave one.
    pub id: Option<String>,
    /// The count of tokens, or why there is none.
    pub outcome: Result<Tokens, Failure>,
}

/// The lengths of a request, as it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Asked {
    /// Tokens of the prompt, or words of a prompt that is made of them; `None` for a text that was given.
    pub input: Option<u64>,
    /// Tokens to be generated.
    pub output: u64,
    /// What of the plan it is.
    pub of: Origin,
}

/// Of what a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Origin {
    /// The model's place in the plan's mix, from 0; 0 without a mix.
    pub model: u32,
    /// The record of the data set, by its place among those that can be sent, from 0.
    pub record: Option<u64>,
    /// The turn of its conversation, from 0.
    pub turn: u32,
    /// The tokens of the common prefix that its prompt begins with.
    pub prefix: u64,
}

/// A request's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tokens {
    /// Of the prompt; `None` where the server does not count.
    pub input: Option<u64>,
    /// Generated.
    pub output: u64,
    /// Who counted the generated ones.
    pub counted: Counted,
}

/// Who counted tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Counted {
    /// The server, in its `usage`.
    Usage,
    /// Nobody, but the server says that the answer ended because it was as long as asked for.
    Length,
    /// Nobody: these are the chunks with tokens, and one chunk may carry several.
    Chunks,
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

    /// Time from being due to the last chunk with tokens: what somebody waited who came at that moment.
    pub fn latency_from_due(&self) -> Duration {
        self.end.saturating_sub(self.due)
    }

    /// How far this client was behind: from being due, and allowed, to being sent. A new connection is part of it.
    pub fn lateness(&self) -> Duration {
        self.start.saturating_sub(self.due.saturating_add(self.held))
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

    /// Whether it was answered with fewer tokens than asked for.
    pub fn is_short(&self) -> bool {
        self.outcome.as_ref().is_ok_and(|tokens| tokens.output < self.asked.output)
    }

    /// Whether it failed by the server's doing or this machine's: one that was under way when the load was stopped did not.
    pub fn has_failed(&self) -> bool {
        self.outcome.as_ref().is_err_and(|failure| failure.kind != FailureKind::Stopped)
    }
}

/// A request ready to be sent.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) number: u64,
    pub(crate) asked: Asked,
    pub(crate) due: Duration,
    pub(crate) held: Duration,
    /// All of its bytes.
    pub(crate) request: Result<Vec<u8>, Failure>,
}

/// What all requests of a load share.
#[derive(Debug, Clone)]
pub(crate) struct Common {
    pub(crate) anchor: Instant,
    pub(crate) stall_timeout: Duration,
    /// Who is given the record of a request that is dropped under way.
    pub(crate) dropped: UnboundedSender<RequestRecord>,
    /// How late reads are.
    pub(crate) reads: Arc<Reads>,
    /// Whether answers are kept, for the next turn to be asked with them.
    pub(crate) keeps_answers: bool,
}

impl Ready {
    /// The path that is asked and the body.
    pub(crate) fn bytes(
        client: &Client,
        endpoint: Endpoint,
        body: Result<bytes::Bytes, Failure>,
    ) -> Result<Vec<u8>, Failure> {
        body.map(|body| client.request("POST", endpoint.path(), &body))
    }
}

/// A request that ended, and what was answered where that is kept.
pub(crate) struct Ended {
    pub(crate) record: RequestRecord,
    pub(crate) said: Option<String>,
}

/// A request under way. Dropped before its end, it leaves what it has.
struct Flight {
    number: u64,
    due: Duration,
    held: Duration,
    start: Duration,
    anchor: Instant,
    answer: Answer,
    dropped: Option<UnboundedSender<RequestRecord>>,
}

impl Flight {
    fn record(&mut self, outcome: Result<Tokens, Failure>) -> RequestRecord {
        let chunks = self.answer.take_chunks();
        let end = match (&outcome, chunks.last()) {
            (Ok(_), Some(last)) => *last,
            _ => self.anchor.elapsed(),
        };
        let (number, due, held, start) = (self.number, self.due, self.held, self.start);
        RequestRecord {
            number,
            asked: self.answer.asked,
            due,
            held,
            start,
            chunks,
            end,
            id: self.answer.id.take(),
            outcome,
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(dropped) = self.dropped.take() {
            let _ = self.answer.settle(None);
            let stopped = Failure::new(FailureKind::Stopped, "the load was stopped while it was under way");
            // Nobody listens where the whole load was dropped.
            let _ = dropped.send(self.record(Err(stopped)));
        }
    }
}

/// Sends a request and follows its answer to the end. Dropping the future closes the connection, and the engine aborts.
pub(crate) async fn complete(client: Client, ready: Ready, common: Common) -> Ended {
    let Ready { number, asked, due, held, request } = ready;
    let Common { anchor, stall_timeout, dropped, reads, keeps_answers } = common;
    let mut answer = Answer::new(asked, anchor);
    if keeps_answers {
        answer.keep();
    }
    let start = anchor.elapsed();
    let mut flight = Flight { number, due, held, start, anchor, answer, dropped: Some(dropped) };
    let outcome = match request {
        Ok(request) => {
            let heard = AtomicU64::new(nanoseconds(start));
            let (answer, start) = (&mut flight.answer, &mut flight.start);
            let mut take = |part: Part<'_>| match part {
                Part::Sending(at) => {
                    *start = at.saturating_duration_since(anchor);
                    heard.store(nanoseconds(*start), Relaxed);
                    ControlFlow::Continue(())
                }
                Part::Body(head, bytes, Arrived { at, read_after }) => {
                    // No answer comes before its question, whatever a clock says that was set meanwhile.
                    let at = at.max(anchor + *start);
                    if answer.take(&client, head, bytes, at) {
                        heard.store(nanoseconds(at.saturating_duration_since(anchor)), Relaxed);
                    }
                    if let Some(late) = read_after {
                        reads.note(late);
                    }
                    answer.flow()
                }
            };
            let ended = in_time(client.exchange(request, &mut take), anchor, &heard, stall_timeout).await;
            outcome(&client, answer, ended)
        }
        Err(failure) => Err(failure),
    };
    flight.dropped = None;
    let said = flight.answer.said();
    Ended { record: flight.record(outcome), said }
}

/// What the end of an exchange means for its request.
fn outcome(
    client: &Client,
    answer: &mut Answer,
    ended: Result<Result<Head, Unsent>, Failure>,
) -> Result<Tokens, Failure> {
    let told = |kind, source: std::io::Error| Failure::new(kind, client.quote(&source.to_string()));
    let head = match ended? {
        Ok(head) => Some(head),
        Err(Unsent::Refused(source)) => return Err(told(FailureKind::Refused, source)),
        Err(Unsent::OwnLimit(source)) => return Err(told(FailureKind::OwnLimit, source)),
        Err(Unsent::Tls(problem)) => {
            return Err(Failure::new(FailureKind::Tls, format!("no connection by TLS: {}", client.quote(&problem))));
        }
        Err(Unsent::Slow) => {
            let message = "no connection within 10 s: the server accepts too slowly";
            return Err(Failure::new(FailureKind::ConnectTimedOut, message));
        }
        // What breaks after the end does no harm.
        Err(Unsent::Cut(_)) if answer.is_done() => None,
        Err(Unsent::Cut(source)) => {
            let message = format!("the connection broke: {}", client.quote(&source.to_string()));
            let failure = answer.failure(client, None);
            return Err(failure.unwrap_or_else(|| Failure::new(FailureKind::Cut, message)));
        }
    };
    if let Some(failure) = answer.failure(client, head.as_ref()) {
        return Err(failure);
    }
    answer.settle(Some(()))
}

/// Waits for an exchange, but no longer than the server may say nothing.
async fn in_time<T>(
    what: impl Future<Output = T>,
    anchor: Instant,
    heard: &AtomicU64,
    patience: Duration,
) -> Result<T, Failure> {
    let deadline = || {
        let heard = anchor.checked_add(Duration::from_nanos(heard.load(Relaxed)))?;
        heard.checked_add(patience)
    };
    let Some(first) = deadline() else { return Ok(what.await) };
    let (mut what, mut sleep) = (pin!(what), pin!(tokio::time::sleep_until(first.into())));
    loop {
        tokio::select! {
            biased;
            done = &mut what => return Ok(done),
            // Set once, and looked at again when it fires: to set it at each chunk would cost more than to read one.
            () = &mut sleep => match deadline() {
                Some(deadline) if deadline > Instant::now() => sleep.as_mut().reset(deadline.into()),
                _ => {
                    let message = format!("the server sent no token for {} s", patience.as_secs_f64());
                    return Err(Failure::new(FailureKind::Stalled, message));
                }
            },
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
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
        let outcome = Ok(Tokens { input: Some(8), output: 4, counted: Counted::Usage });
        let (asked, chunks) =
            (Asked { input: Some(8), output: 4, of: Origin::default() }, vec![ms(150), ms(160), ms(180)]);
        let (due, held, start, end, id) = (ms(70), ms(20), ms(100), ms(180), None);
        let record = RequestRecord { number: 0, asked, due, held, start, chunks, end, id, outcome };
        assert_eq!((record.ttft(), record.latency(), record.tpot()), (Some(ms(50)), ms(80), Some(ms(10))));
        assert_eq!((record.latency_from_due(), record.lateness()), (ms(110), ms(10)));
        assert_eq!(record.itls().collect::<Vec<_>>(), [ms(10), ms(20)]);
        assert!(!record.is_short() && !record.has_failed());
        let outcome = Ok(Tokens { input: Some(8), output: 1, counted: Counted::Usage });
        let one = RequestRecord { outcome, ..record };
        assert_eq!((one.tpot(), one.is_short()), (None, true));
    }
}
