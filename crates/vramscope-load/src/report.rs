//! What a load measured.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use vramscope_core::{Stats, quantile_sorted};

use crate::error::FailureKind;
use crate::health::ClientHealth;
use crate::plan::LoadPlan;
use crate::prompt::PromptForm;
use crate::request::{Counted, RequestRecord, Tokens};

/// The moment from which all times of a load count, by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Anchor {
    /// By the clock that never steps.
    pub monotonic: Instant,
    /// By the clock on the wall.
    pub wall: SystemTime,
}

/// The measured requests of a load.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LoadReport {
    /// From which moment times count.
    pub anchor: Anchor,
    /// What was to be sent.
    pub plan: LoadPlan,
    /// In which form prompts were sent.
    pub form: PromptForm,
    /// When the measurement began.
    pub started: Duration,
    /// When its last request ended.
    pub ended: Duration,
    /// Each request that was sent, in the order of sending.
    pub requests: Vec<RequestRecord>,
    /// Requests not sent because the server went away or the load was stopped.
    pub unsent: u64,
    /// Whether the load was stopped before its end.
    pub stopped: bool,
    /// How well this client did.
    pub health: ClientHealth,
}

/// The figures of a load. Latencies are of the requests that succeeded.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// From the beginning of the measurement to the end of its last request.
    pub duration: Duration,
    /// Requests that succeeded.
    pub completed: u64,
    /// Requests that failed.
    pub failed: u64,
    /// The failed ones by kind.
    pub failures: BTreeMap<FailureKind, u64>,
    /// Requests that were under way when the load was stopped.
    pub stopped: u64,
    /// Requests not sent because the server went away or the load was stopped.
    pub unsent: u64,
    /// Completed requests with fewer tokens than were asked for.
    pub short: u64,
    /// Requests that this client sent more than [`LATE`] after they were due and allowed.
    pub late: u64,
    /// Requests that were held back because as many as allowed were in flight.
    pub held: u64,
    /// Completed requests that keep the bounds of the plan; `None` if it has none.
    pub good: Option<u64>,
    /// Completed requests by who counted their tokens.
    pub counted: BTreeMap<Counted, u64>,
    /// Requests per second that were sent, from the first to the last due one; `None` for fewer than two.
    pub sent_per_s: Option<f64>,
    /// Good requests per second.
    pub good_per_s: Option<f64>,
    /// Tokens of the prompts that were answered, as far as somebody knows them.
    pub input_tokens: u64,
    /// Tokens generated for them.
    pub output_tokens: u64,
    /// Requests that got another number of tokens than was asked for.
    pub other_output_len: u64,
    /// Chunks that brought these tokens. Fewer than tokens mean that gaps between chunks are not gaps between tokens.
    pub chunks: u64,
    /// Requests that were in flight together at most.
    pub max_concurrent_requests: u64,
    /// Completed requests per second; `None` if no time passed, as for the next two.
    pub requests_per_s: Option<f64>,
    /// Generated tokens per second.
    pub output_tokens_per_s: Option<f64>,
    /// Prompt and generated tokens per second.
    pub total_tokens_per_s: Option<f64>,
    /// Chunks in the busiest second, counted in whole seconds from the first sending.
    pub max_chunks_per_s: u64,
    /// Time to first token.
    pub ttft: Option<Latency>,
    /// Mean time per output token after the first, one figure a request.
    pub tpot: Option<Latency>,
    /// Times between chunks, of all requests together.
    pub itl: Option<Latency>,
    /// Time from sending to the last token.
    pub e2el: Option<Latency>,
    /// Time from being due to the last token: with a rate, what somebody waited who came at that moment.
    pub e2el_from_due: Option<Latency>,
    /// Time from being due to being sent: how far this client, not the server, was behind. Of it is what a request was
    /// held back because as many as allowed were in flight.
    pub client_queue_time: Option<Latency>,
}

/// A request that is sent later than this after it was due and allowed is late.
pub const LATE: Duration = Duration::from_millis(5);

/// The quantiles that are kept of times, from the smallest to the largest: enough to draw how they are spread.
pub const QUANTILES: [f64; 24] = [
    0.0, 0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95,
    0.99, 0.999, 1.0,
];

/// Statistics of times, in milliseconds. Quantiles are of type 7, as NumPy's.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Latency {
    /// How many times.
    pub n: u64,
    /// Arithmetic mean.
    pub mean_ms: f64,
    /// Population standard deviation.
    pub std_ms: f64,
    /// The 0.5 quantile.
    pub median_ms: f64,
    /// The 0.95 quantile.
    pub p95_ms: f64,
    /// The 0.99 quantile.
    pub p99_ms: f64,
    /// The largest.
    pub max_ms: f64,
    /// The quantiles of [`QUANTILES`].
    pub quantiles_ms: [f64; QUANTILES.len()],
}

impl Latency {
    /// The statistics of some times, or `None` if there are none.
    pub fn of(times: impl IntoIterator<Item = Duration>) -> Option<Self> {
        // 2^64 ns are 584 years.
        let mut ns: Vec<u64> =
            times.into_iter().map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)).collect();
        let stats = Stats::of(&mut ns)?;
        let variance = ns.iter().map(|&ns| (float(ns) - stats.mean).powi(2)).sum::<f64>() / float(ns.len() as u64);
        let ms = |ns: f64| ns / 1e6;
        Some(Self {
            n: ns.len() as u64,
            mean_ms: ms(stats.mean),
            std_ms: ms(variance.sqrt()),
            median_ms: ms(stats.median),
            p95_ms: ms(stats.p95),
            p99_ms: ms(stats.p99),
            max_ms: ms(stats.max.as_f64()),
            // `Stats` has left them in order.
            quantiles_ms: QUANTILES.map(|quantile| ms(quantile_sorted(&ns, quantile))),
        })
    }
}

impl LoadReport {
    /// The requests that succeeded, with their tokens.
    pub fn completed(&self) -> impl Iterator<Item = (&RequestRecord, Tokens)> + Clone {
        self.requests.iter().filter_map(|record| Some((record, *record.outcome.as_ref().ok()?)))
    }

    /// The figures.
    pub fn summary(&self) -> Summary {
        let duration = self.ended.saturating_sub(self.started);
        let done = || self.completed().map(|(record, _)| record);
        let sum =
            |of: fn(Tokens) -> u64| self.completed().fold(0u64, |sum, (_, tokens)| sum.saturating_add(of(tokens)));
        let (input_tokens, output_tokens) = (sum(|t| t.input.unwrap_or(0)), sum(|t| t.output));
        let completed = done().count() as u64;
        let count =
            |is: &dyn Fn(&RequestRecord) -> bool| self.requests.iter().filter(|record| is(record)).count() as u64;
        let mut failures = BTreeMap::new();
        for failure in self.requests.iter().filter_map(|record| record.outcome.as_ref().err()) {
            *failures.entry(failure.kind).or_default() += 1;
        }
        let stopped = failures.remove(&FailureKind::Stopped).unwrap_or(0);
        let mut counted = BTreeMap::new();
        for (_, tokens) in self.completed() {
            *counted.entry(tokens.counted).or_default() += 1;
        }
        let slo = self.plan.slo;
        let good = slo.is_some().then(|| count(&|record| slo.holds(record)));
        let per_s = |count: u64| (!duration.is_zero()).then(|| float(count) / duration.as_secs_f64());
        Summary {
            duration,
            completed,
            failed: failures.values().sum(),
            failures,
            stopped,
            unsent: self.unsent,
            short: count(&RequestRecord::is_short),
            late: count(&|record| record.lateness() > LATE),
            held: count(&|record| !record.held.is_zero()),
            good,
            counted,
            sent_per_s: self.sent_per_s(),
            good_per_s: good.and_then(per_s),
            input_tokens,
            output_tokens,
            other_output_len: self.completed().filter(|(r, t)| t.output != r.asked.output).count() as u64,
            chunks: done().map(|record| record.chunks.len() as u64).sum(),
            max_concurrent_requests: most_at_once(done()),
            requests_per_s: per_s(completed),
            output_tokens_per_s: per_s(output_tokens),
            total_tokens_per_s: per_s(input_tokens.saturating_add(output_tokens)),
            max_chunks_per_s: busiest_second(done()),
            ttft: Latency::of(done().filter_map(RequestRecord::ttft)),
            tpot: Latency::of(done().filter_map(RequestRecord::tpot)),
            itl: Latency::of(done().flat_map(RequestRecord::itls)),
            e2el: Latency::of(done().map(RequestRecord::latency)),
            e2el_from_due: Latency::of(done().map(RequestRecord::latency_from_due)),
            client_queue_time: Latency::of(done().map(|record| record.start.saturating_sub(record.due))),
        }
    }
}

impl LoadReport {
    /// How fast requests were sent.
    fn sent_per_s(&self) -> Option<f64> {
        let starts = || self.requests.iter().map(|record| record.start);
        let time = starts().max()?.checked_sub(starts().min()?).filter(|time| !time.is_zero())?;
        Some(float(self.requests.len() as u64 - 1) / time.as_secs_f64())
    }
}

/// The largest number of requests whose times (without their ends) overlap.
fn most_at_once<'a>(records: impl Iterator<Item = &'a RequestRecord>) -> u64 {
    let mut turns: Vec<(Duration, bool)> =
        records.flat_map(|record| [(record.start, true), (record.end, false)]).collect();
    // At the same moment ends come first.
    turns.sort_unstable();
    let (mut now, mut most) = (0u64, 0);
    for (_, begins) in turns {
        now = if begins { now + 1 } else { now.saturating_sub(1) };
        most = most.max(now);
    }
    most
}

fn busiest_second<'a>(records: impl Iterator<Item = &'a RequestRecord> + Clone) -> u64 {
    let Some(first) = records.clone().map(|record| record.start).min() else { return 0 };
    let mut seconds: BTreeMap<u64, u64> = BTreeMap::new();
    for chunk in records.flat_map(|record| &record.chunks) {
        *seconds.entry(chunk.saturating_sub(first).as_secs()).or_default() += 1;
    }
    seconds.into_values().max().unwrap_or(0)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts and nanoseconds of a load are below 2^53, or one rounding is fine"
)]
fn float(count: u64) -> f64 {
    count as f64
}
