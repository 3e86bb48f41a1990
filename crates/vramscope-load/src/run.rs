//! Conducts a load: tries the server out, warms it up, measures.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::client::Client;
use crate::completion::Request;
use crate::error::{Failure, FailureKind, LoadError};
use crate::plan::{Arrival, LoadPlan};
use crate::prompt::{Prompt, PromptForm, prompt};
use crate::report::{Anchor, LoadReport};
use crate::request::{Ready, RequestRecord, complete};

/// Prompts of the warmup have numbers from here on, so that they are not those of measured requests.
const WARMUP_PROMPTS: u64 = 1 << 32;
/// The prompt of the request that tries the server out.
const PROBE_PROMPT: u64 = 1 << 33;

/// What happens while a load runs. Times count from the load's anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadEvent {
    /// The server gave one token to a prompt of this form.
    Probed {
        /// The form that all prompts have.
        form: PromptForm,
    },
    /// The warmup begins. There is none if the plan has none.
    WarmupStarted {
        /// When.
        at: Duration,
        /// Its requests.
        requests: u64,
    },
    /// The measurement begins.
    MeasureStarted {
        /// When.
        at: Duration,
        /// Its requests.
        requests: u64,
    },
    /// A request ended.
    RequestDone {
        /// When.
        at: Duration,
        /// Whether it is a measured one.
        measured: bool,
        /// How many of its kind have ended, this one with them.
        done: u64,
        /// How many of those failed.
        failed: u64,
    },
    /// All measured requests ended.
    MeasureEnded {
        /// When.
        at: Duration,
    },
}

/// Sends the load of a plan and reports what came back. A failed request is part of the report, not an error. If the
/// server goes away, nothing more is sent, and the report counts what was not.
///
/// Dropping the future cancels every request in flight. It needs a tokio runtime with I/O and time.
///
/// # Errors
/// [`LoadError::Plan`] before anything is sent; [`LoadError::Probe`] if the server does not give one token;
/// [`LoadError::Warmup`] if no warmup request succeeds.
pub async fn run(
    client: &Client,
    plan: &LoadPlan,
    observe: &mut (dyn FnMut(LoadEvent) + Send),
) -> Result<LoadReport, LoadError> {
    plan.check()?;
    let anchor = Anchor { monotonic: Instant::now(), wall: SystemTime::now() };
    let form = probe(client, plan, anchor.monotonic).await.map_err(|failure| LoadError::Probe { failure })?;
    observe(LoadEvent::Probed { form });
    let mut drive = Drive { client, plan, form, anchor: anchor.monotonic, measured: false, observe };
    if plan.warmup_requests > 0 {
        let at = anchor.monotonic.elapsed();
        (drive.observe)(LoadEvent::WarmupStarted { at, requests: plan.warmup_requests });
        let records = drive.all(at, &vec![Duration::ZERO; length(plan.warmup_requests)]).await;
        let failures = records.iter().map(|record| record.outcome.as_ref().err().cloned());
        if let Some(failure) = failures.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().next()) {
            return Err(LoadError::Warmup { requests: plan.warmup_requests, failure });
        }
    }
    drive.measured = true;
    let due = plan.due();
    let started = anchor.monotonic.elapsed();
    (drive.observe)(LoadEvent::MeasureStarted { at: started, requests: plan.requests });
    let requests = drive.all(started, &due).await;
    let ended = anchor.monotonic.elapsed();
    observe(LoadEvent::MeasureEnded { at: ended });
    let unsent = plan.requests.saturating_sub(requests.len() as u64);
    Ok(LoadReport { anchor, plan: plan.clone(), form, started, ended, requests, unsent })
}

/// Asks for one token: with the text that is given, else with the largest token id, so that ids beyond the vocabulary show
/// at once, then with words if the server refuses ids.
async fn probe(client: &Client, plan: &LoadPlan, anchor: Instant) -> Result<PromptForm, Failure> {
    let ask = async |prompt: Prompt| {
        let ready = Ready {
            number: 0,
            due: Duration::ZERO,
            body: body(plan, &prompt, 1),
            output_len: 1,
            stall_timeout: plan.stall_timeout,
        };
        complete(client.clone(), ready, anchor).await.outcome
    };
    if plan.text.is_some() {
        return ask(prompt(plan, PromptForm::Given, PROBE_PROMPT, 0)).await.map(|_| PromptForm::Given);
    }
    let refused = match ask(Prompt::Ids(vec![plan.token_ids.end.saturating_sub(1)])).await {
        Ok(_) => return Ok(PromptForm::TokenIds),
        Err(refused) => refused,
    };
    if !matches!(refused.kind, FailureKind::Status(400 | 415 | 422)) {
        return Err(refused);
    }
    // If words are refused too, ids were not the reason, and the first answer tells more.
    ask(prompt(plan, PromptForm::Text, PROBE_PROMPT, 1)).await.map(|_| PromptForm::Text).map_err(|_| refused)
}

fn body(plan: &LoadPlan, prompt: &Prompt, output_len: u64) -> Result<Bytes, Failure> {
    let json = serde_json::to_vec(&Request::new(&plan.model, prompt, output_len));
    json.map(Bytes::from).map_err(|source| Failure::new(FailureKind::Malformed, source.to_string()))
}

fn length(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Sends requests as they are due, up to so many at once.
struct Drive<'a> {
    client: &'a Client,
    plan: &'a LoadPlan,
    form: PromptForm,
    anchor: Instant,
    measured: bool,
    observe: &'a mut (dyn FnMut(LoadEvent) + Send),
}

impl Drive<'_> {
    /// The records of all requests sent, in the order of their numbers.
    async fn all(&mut self, started: Duration, due: &[Duration]) -> Vec<RequestRecord> {
        // Dropping the set aborts its tasks.
        let mut flying = JoinSet::new();
        let concurrency = match self.plan.arrival {
            Arrival::Concurrency(n) => Some(length(n)),
            Arrival::Rate { .. } => None,
        };
        let mut records: Vec<RequestRecord> = Vec::with_capacity(due.len());
        let mut failed = 0;
        let mut gone = false;
        let mut waiting = due.iter().zip(0u64..);
        // The next request is made before it is due, so that making it delays nothing.
        let mut next = waiting.next().map(|(due, number)| self.ready(number, started.saturating_add(*due)));
        loop {
            let may_send = !gone && concurrency.is_none_or(|most| flying.len() < most);
            let due_at = next.as_ref().filter(|_| may_send).map(|next| self.anchor + next.due);
            tokio::select! {
                biased;
                Some(joined) = flying.join_next(), if !flying.is_empty() => {
                    let record: RequestRecord = match joined {
                        Ok(record) => record,
                        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
                    };
                    let refused = record.outcome.as_ref().is_err_and(|failure| failure.kind == FailureKind::Refused);
                    gone |= refused;
                    failed += u64::from(record.outcome.is_err());
                    let (at, done) = (record.end, records.len() as u64 + 1);
                    records.push(record);
                    (self.observe)(LoadEvent::RequestDone { at, measured: self.measured, done, failed });
                }
                () = sleep_until(due_at), if due_at.is_some() => {
                    if let Some(mut ready) = next.take() {
                        if concurrency.is_some() {
                            ready.due = self.anchor.elapsed();
                        }
                        flying.spawn(complete(self.client.clone(), ready, self.anchor));
                    }
                    next = waiting.next().map(|(due, number)| self.ready(number, started.saturating_add(*due)));
                }
                else => break,
            }
        }
        records.sort_by_key(|record| record.number);
        records
    }

    fn ready(&self, number: u64, due: Duration) -> Ready {
        let (plan, first) = (self.plan, if self.measured { 0 } else { WARMUP_PROMPTS });
        let prompt = prompt(plan, self.form, first + number, plan.input_len);
        Ready {
            number,
            due,
            body: body(plan, &prompt, plan.output_len),
            output_len: plan.output_len,
            stall_timeout: plan.stall_timeout,
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at.into()).await;
    }
}
