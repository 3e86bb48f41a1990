//! Conducts a load: tries the server out, warms it up, measures.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::client::Client;
use crate::completion::{Endpoint, body};
use crate::drive::{Drive, Turn};
use crate::error::{Failure, FailureKind, LoadError};
use crate::files::make_room;
use crate::health::Watch;
use crate::http::Unsent;
use crate::pause::Pause;
use crate::plan::{LoadPlan, Prompts};
use crate::prompt::{Prompt, PromptForm, prompt};
use crate::report::{Anchor, LoadReport};
use crate::request::{Asked, Common, Origin, Ready, complete};

/// The prompt of the request that tries the server out.
const PROBE_PROMPT: u64 = 1 << 33;
/// More connections than these are not opened before they are needed: some servers close what is silent at once.
const MOST_OPENED: usize = 32 << 10;

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
        /// Its requests, where the plan counts them.
        requests: Option<u64>,
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
/// The load has a thread and a runtime of its own: what else the program does delays no request and no reading, and one
/// thread reads faster than several that wake each other. Dropping the future cancels every request in flight. The limit
/// of open files is raised to the hard limit as far as the plan needs it.
///
/// # Errors
/// [`LoadError::Plan`] and [`LoadError::OpenFiles`] before anything is sent; [`LoadError::Probe`] if the server does not
/// give one token; [`LoadError::Warmup`] if no warmup request succeeds.
pub async fn run(
    client: &Client,
    plan: &LoadPlan,
    observe: &mut (dyn FnMut(LoadEvent) + Send),
) -> Result<LoadReport, LoadError> {
    run_until(client, plan, std::future::pending(), observe).await
}

/// As [`run`], until `stop` comes: then nothing more is sent, what is under way is cancelled, and the report has every
/// answer that came until then, [`LoadReport::stopped`] with it.
///
/// # Errors
/// As [`run`]; [`LoadError::Stopped`] if the measurement had not begun.
pub async fn run_until(
    client: &Client,
    plan: &LoadPlan,
    stop: impl Future<Output = ()> + Send,
    observe: &mut (dyn FnMut(LoadEvent) + Send),
) -> Result<LoadReport, LoadError> {
    plan.check()?;
    let (in_flight, sure) = plan.in_flight();
    make_room(in_flight, sure)?;
    let (told, mut events) = unbounded_channel();
    // The thread ends its load when its stop comes, and leaves it on the spot when nobody holds the other end any more.
    let (asked_to_stop, stopping) = oneshot::channel();
    let (answer, mut answered) = oneshot::channel();
    let (client, plan) = (client.apart(), plan.clone());
    let thread = std::thread::Builder::new().name("load".to_owned());
    thread
        .spawn(move || {
            let pause = Arc::new(Pause::default());
            let resting = pause.clone();
            let rest = move || resting.rest();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().on_thread_park(rest).build();
            let report = match runtime {
                Ok(runtime) => runtime.block_on(conduct(&client, &plan, told, stopping, &pause)),
                Err(source) => Some(Err(LoadError::Thread { source })),
            };
            if let Some(report) = report {
                // Nobody waits for a load that was dropped.
                let _ = answer.send(report);
            }
        })
        .map_err(|source| LoadError::Thread { source })?;
    let mut stop = std::pin::pin!(stop);
    let mut asked_to_stop = Some(asked_to_stop);
    let report = loop {
        tokio::select! {
            biased;
            () = &mut stop, if asked_to_stop.is_some() => {
                let _ = asked_to_stop.take().map(|ask| ask.send(()));
            }
            Some(event) = events.recv() => observe(event),
            report = &mut answered => break report,
        }
    };
    drain(&mut events, observe);
    report.unwrap_or_else(|_| Err(LoadError::Thread { source: std::io::Error::other("it ended without a report") }))
}

fn drain(events: &mut UnboundedReceiver<LoadEvent>, observe: &mut (dyn FnMut(LoadEvent) + Send)) {
    while let Ok(event) = events.try_recv() {
        observe(event);
    }
}

/// The load, on its own thread. `None` if nobody wants its report any more.
async fn conduct(
    client: &Client,
    plan: &LoadPlan,
    told: UnboundedSender<LoadEvent>,
    stopping: oneshot::Receiver<()>,
    pause: &Pause,
) -> Option<Result<LoadReport, LoadError>> {
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let abandoned = async {
        if stopping.await.is_ok() {
            stop.send_replace(true);
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        report = measure(client, plan, &told, stopped, pause) => Some(report),
        () = abandoned => None,
    }
}

async fn measure(
    client: &Client,
    plan: &LoadPlan,
    told: &UnboundedSender<LoadEvent>,
    mut stopped: tokio::sync::watch::Receiver<bool>,
    pause: &Pause,
) -> Result<LoadReport, LoadError> {
    // Nobody listens to a load that was dropped.
    let tell = |event| {
        let _ = told.send(event);
    };
    let anchor = Anchor { monotonic: Instant::now(), wall: SystemTime::now() };
    let form = tokio::select! {
        form = probe(client, plan, anchor.monotonic) => form.map_err(|failure| LoadError::Probe { failure })?,
        _ = stopped.wait_for(|stopped| *stopped) => return Err(LoadError::Stopped),
    };
    tell(LoadEvent::Probed { form });
    open(client, plan).await?;
    let mut drive = Drive {
        client,
        plan,
        form,
        anchor: anchor.monotonic,
        told,
        stopped: stopped.clone(),
        reads: Arc::default(),
        pause,
    };
    if plan.warmup_requests > 0 {
        let at = anchor.monotonic.elapsed();
        tell(LoadEvent::WarmupStarted { at, requests: plan.warmup_requests });
        let records = drive.all(Turn::Warmup, at).await.records;
        if *stopped.borrow() {
            return Err(LoadError::Stopped);
        }
        let failures = records.iter().map(|record| record.outcome.as_ref().err().cloned());
        if let Some(failure) = failures.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().next()) {
            return Err(LoadError::Warmup { requests: plan.warmup_requests, failure });
        }
    }
    let watch = Watch::start();
    drive.reads = watch.reads();
    let started = anchor.monotonic.elapsed();
    tell(LoadEvent::MeasureStarted { at: started, requests: plan.requests() });
    let driven = drive.all(Turn::Measured, started).await;
    let ended = anchor.monotonic.elapsed();
    tell(LoadEvent::MeasureEnded { at: ended });
    let health = watch.end();
    let stopped = *stopped.borrow();
    let (requests, unsent) = (driven.records, driven.unsent);
    Ok(LoadReport { anchor, plan: plan.clone(), form, started, ended, requests, unsent, stopped, health })
}

/// Opens the connections that a fixed concurrency needs, so that the first wave of requests does not wait for them. What
/// the server does not take now, the requests will find out.
async fn open(client: &Client, plan: &LoadPlan) -> Result<(), LoadError> {
    let (in_flight, sure) = plan.in_flight();
    let count = usize::try_from(in_flight).unwrap_or(usize::MAX).min(MOST_OPENED);
    match client.open(if sure { count } else { 0 }).await {
        Err(Unsent::OwnLimit(source)) => Err(LoadError::OwnLimit { source }),
        _ => Ok(()),
    }
}

/// Asks each model for one token: the first with the text that is given, else with the largest token id, so that ids beyond
/// the vocabulary show at once, then with words if the server refuses ids. A chat takes words only.
async fn probe(client: &Client, plan: &LoadPlan, anchor: Instant) -> Result<PromptForm, Failure> {
    let ask = async |model: &str, prompt: Prompt| {
        let request = Ready::bytes(client, plan.endpoint, body(plan, model, &prompt, 1));
        let asked = Asked { input: None, output: 1, of: Origin::default() };
        let ready = Ready { number: 0, asked, due: Duration::ZERO, held: Duration::ZERO, request };
        let (dropped, _) = unbounded_channel();
        let common =
            Common { anchor, stall_timeout: plan.stall_timeout, dropped, reads: Arc::default(), keeps_answers: false };
        complete(client.clone(), ready, common).await.record.outcome
    };
    let words = || prompt(plan, PromptForm::Text, PROBE_PROMPT, 1);
    let form = match &plan.prompts {
        Prompts::Text(_) => {
            ask(&plan.model, prompt(plan, PromptForm::Given, PROBE_PROMPT, 0)).await?;
            PromptForm::Given
        }
        Prompts::Data(data) if data.set.is_given() => {
            ask(&plan.model, words()).await?;
            PromptForm::Given
        }
        _ if plan.endpoint == Endpoint::Chat => {
            ask(&plan.model, words()).await?;
            PromptForm::Text
        }
        _ => match ask(&plan.model, Prompt::Ids(vec![plan.token_ids.end.saturating_sub(1)])).await {
            Ok(_) => PromptForm::TokenIds,
            // If words are refused too, ids were not the reason, and the first answer tells more.
            Err(refused) if matches!(refused.kind, FailureKind::Status(400 | 415 | 422)) => {
                ask(&plan.model, words()).await.map_err(|_| refused)?;
                PromptForm::Text
            }
            Err(refused) => return Err(refused),
        },
    };
    for other in plan.mix.models().filter(|model| **model != plan.model) {
        ask(other, words()).await?;
    }
    Ok(form)
}
