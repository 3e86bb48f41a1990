//! Sends requests as they are due, up to as many at once as the plan allows.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{Receiver, UnboundedSender, channel, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::arrival::Arrival;
use crate::client::Client;
use crate::error::FailureKind;
use crate::health::Reads;
use crate::item::{Made, Talking, Which, made, plan_talks};
use crate::pause::Pause;
use crate::plan::{LoadPlan, Prompts, Until};
use crate::prompt::PromptForm;
use crate::request::{Common, Ended, Ready, RequestRecord, complete};
use crate::run::LoadEvent;

/// Prompts of the warmup have numbers from here on, so that they are not those of measured requests.
const WARMUP_PROMPTS: u64 = 1 << 32;
/// So many requests are made ahead, so that making one delays none, as far as they fit [`MADE_BYTES`].
const MADE: u64 = 1024;
/// Memory for requests that are made ahead.
const MADE_BYTES: u64 = 64 << 20;
/// A token id in JSON takes about so many bytes, and a word no more.
const TOKEN_BYTES: u64 = 7;

/// Which requests are driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Warmup,
    Measured,
}

pub(crate) struct Drive<'a> {
    pub(crate) client: &'a Client,
    pub(crate) plan: &'a LoadPlan,
    pub(crate) form: PromptForm,
    pub(crate) anchor: Instant,
    pub(crate) told: &'a UnboundedSender<LoadEvent>,
    pub(crate) stopped: watch::Receiver<bool>,
    pub(crate) reads: Arc<Reads>,
    pub(crate) pause: &'a Pause,
}

/// What came of them.
pub(crate) struct Driven {
    /// All requests that were sent, in the order of their numbers.
    pub(crate) records: Vec<RequestRecord>,
    /// Those that were due, or counted, and were not sent.
    pub(crate) unsent: u64,
}

impl Drive<'_> {
    /// Sends all requests of a turn that begins now.
    pub(crate) async fn all(&mut self, turn: Turn, started: Duration) -> Driven {
        let due = if turn == Turn::Measured { self.plan.due() } else { None };
        let count = match (turn, &due) {
            (Turn::Warmup, _) => Some(self.plan.warmup_requests),
            (Turn::Measured, Some(due)) => Some(due.len() as u64),
            (Turn::Measured, None) => self.plan.requests(),
        };
        let mut made = self.made(turn, count);
        let (dropped, mut unfinished) = unbounded_channel();
        let (anchor, stall_timeout, reads) = (self.anchor, self.plan.stall_timeout, self.reads.clone());
        let keeps_answers = turn == Turn::Measured && plan_talks(self.plan);
        let common = Common { anchor, stall_timeout, dropped, reads, keeps_answers };
        // Dropping the set aborts its tasks.
        let mut flying = JoinSet::new();
        let mut records: Vec<RequestRecord> = Vec::new();
        let (mut number, mut failed, mut gone, mut blocked) = (0u64, 0, false, false);
        let mut next: Option<Made> = None;
        // Conversations that wait for an answer, and those whose next turn is ready. That goes before a new one.
        let mut talks: HashMap<u64, Talking> = HashMap::new();
        let mut turns: VecDeque<Made> = VecDeque::new();
        let mut took = Duration::ZERO;
        let over = match (self.plan.until, &due) {
            (Until::Elapsed(time), None) if turn == Turn::Measured => Some(started.saturating_add(time)),
            _ => None,
        };
        loop {
            let now = self.anchor.elapsed();
            let is_over = gone || over.is_some_and(|over| now >= over) || count.is_some_and(|count| number >= count);
            let due_at = due.as_ref().and_then(|due| due.get(usize::try_from(number).ok()?));
            let due_at = due_at.map_or(now, |due| started.saturating_add(*due));
            let (allowed, more_at) = self.allowed(turn, started, now);
            let has_room = flying.len() < allowed;
            if !is_over && due_at <= now {
                blocked |= !has_room;
                if has_room && let Some(Made { asked, request, talk }) = turns.pop_front().or_else(|| next.take()) {
                    // By the clock a request is held back from its time on; else its turn comes now.
                    let held = if blocked && due.is_some() { now.saturating_sub(due_at) } else { Duration::ZERO };
                    let ready = Ready { number, asked, due: due_at, held, request };
                    flying.spawn(complete(self.client.clone(), ready, common.clone()));
                    talks.extend(talk.map(|talk| (number, talk)));
                    number += 1;
                    // Who has had to wait once waits with all that come behind it.
                    blocked = blocked && due_is_past(due.as_deref(), number, started, now);
                }
            }
            if is_over && flying.is_empty() {
                break;
            }
            let wants_next = next.is_none() && !is_over;
            let sleeps_until = [
                (!is_over && due_at > now).then_some(due_at),
                (!is_over && !has_room).then_some(more_at).flatten(),
                over.filter(|over| *over > now),
            ];
            let waits = is_over || due_at > now || !has_room || (next.is_none() && turns.is_empty());
            tokio::select! {
                biased;
                _ = self.stopped.wait_for(|stopped| *stopped) => break,
                Some(joined) = flying.join_next(), if !flying.is_empty() => {
                    let Ended { record, said } = match joined {
                        Ok(ended) => ended,
                        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
                    };
                    gone |= record.outcome.as_ref().is_err_and(|failure| failure.kind == FailureKind::Refused);
                    failed += u64::from(record.outcome.is_err());
                    let (at, done) = (record.end, records.len() as u64 + 1);
                    took = took.saturating_add(record.latency());
                    self.pause.set(flying.len(), took / u32::try_from(done).unwrap_or(u32::MAX));
                    // A conversation whose turn failed has ended.
                    if let Some(talk) = talks.remove(&record.number)
                        && record.outcome.is_ok()
                    {
                        turns.extend(talk.next(self.client, self.plan, said.unwrap_or_default()));
                    }
                    records.push(record);
                    let measured = turn == Turn::Measured;
                    // Nobody listens to a load that was dropped.
                    let _ = self.told.send(LoadEvent::RequestDone { at, measured, done, failed });
                }
                Some(one) = made.recv(), if wants_next => next = Some(one),
                () = sleep_until(self.anchor, sleeps_until), if waits && sleeps_until.iter().any(Option::is_some) => {}
                // Something can be sent at once.
                () = std::future::ready(()), if !waits => {}
            }
        }
        // What is under way when the load is stopped leaves what it has.
        flying.shutdown().await;
        drop(common);
        while let Ok(record) = unfinished.try_recv() {
            records.push(record);
        }
        records.sort_by_key(|record| record.number);
        Driven { records, unsent: count.unwrap_or(number).saturating_sub(number) }
    }

    /// How many may be in flight now, and when more may.
    fn allowed(&self, turn: Turn, started: Duration, now: Duration) -> (usize, Option<Duration>) {
        let (most, ramps) = match self.plan.arrival {
            Arrival::Concurrency(most) => (most, turn == Turn::Measured),
            Arrival::Rate { max_in_flight, .. } | Arrival::Trace { max_in_flight, .. } => {
                (max_in_flight.unwrap_or(u64::MAX), false)
            }
        };
        let ramp = self.plan.ramp_up;
        let since = now.saturating_sub(started);
        if !ramps || since >= ramp {
            return (usize::try_from(most).unwrap_or(usize::MAX), None);
        }
        // One at once, and one more each time a part of the ramp is over.
        let step = ramp.as_nanos() / u128::from(most.max(1));
        let steps = since.as_nanos().checked_div(step).unwrap_or(u128::from(most));
        let next_ns = u64::try_from((steps + 1).saturating_mul(step)).unwrap_or(u64::MAX);
        let allowed = usize::try_from((steps + 1).min(u128::from(most))).unwrap_or(usize::MAX);
        (allowed, Some(started.saturating_add(Duration::from_nanos(next_ns))))
    }

    /// Makes the requests of a turn on a thread of their own, some ahead.
    fn made(&self, turn: Turn, count: Option<u64>) -> Receiver<Made> {
        let (client, plan, form) = (self.client.clone(), self.plan.clone(), self.form);
        let each = match &plan.prompts {
            Prompts::Data(data) => data.set.longest_prompt_bytes(),
            _ => plan.input_len.longest().saturating_mul(TOKEN_BYTES),
        };
        let ahead = MADE.min(MADE_BYTES / each.saturating_add(1024)).max(2);
        let (sender, receiver) = channel(usize::try_from(ahead).unwrap_or(2));
        let make = move || {
            for number in 0..count.unwrap_or(u64::MAX) {
                let which = match turn {
                    Turn::Warmup => Which::Warmup { number: WARMUP_PROMPTS + number, like: number },
                    Turn::Measured => Which::Measured(number),
                };
                // Nobody takes them any more where the load has ended.
                if sender.blocking_send(made(&client, &plan, form, which)).is_err() {
                    return;
                }
            }
        };
        // The blocking threads of the runtime: it is there without failing, and ends with the receiver.
        tokio::task::spawn_blocking(make);
        receiver
    }
}

fn due_is_past(due: Option<&[Duration]>, number: u64, started: Duration, now: Duration) -> bool {
    let next = due.and_then(|due| due.get(usize::try_from(number).ok()?));
    next.is_some_and(|next| started.saturating_add(*next) <= now)
}

async fn sleep_until(anchor: Instant, times: [Option<Duration>; 3]) {
    if let Some(at) = times.into_iter().flatten().min().and_then(|at| anchor.checked_add(at)) {
        tokio::time::sleep_until(at.into()).await;
    }
}
