//! One measured level in the load document.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::data::{ModelDocument, RecordsDocument, SharedDocument};
use super::{CostDocument, EnergyDocument, PriceDocument, QuantileDocument};
use crate::arrival::{Arrival, Spacing};
use crate::plan::Prompts;
use crate::report::{Latency, LoadReport};
use crate::server_side::ServerSide;

/// A level, once measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LevelDocument {
    /// What was asked of the server.
    pub asked: AskedLevel,
    /// Which measurement of this level it is, from 1. Unit: none, a number.
    pub repeat: u32,
    /// Which of the loads of the seed it is: seed and stream name every prompt, length and arrival. Unit: none, a number.
    pub stream: u64,
    /// When the measurement began. Unit: none, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// From the beginning to the end of the last request. Unit: seconds.
    pub duration_s: f64,
    /// Whether it was stopped before its end.
    pub stopped: bool,
    /// Requests by what became of them.
    pub requests: RequestCounts,
    /// Failed requests by kind. Unit: count.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub failures: BTreeMap<String, u64>,
    /// The tokens of the completed requests.
    pub tokens: TokenCounts,
    /// Requests that were sent each second, between the first and the last. Unit: requests per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_per_s: Option<f64>,
    /// Completed requests each second. Unit: requests per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_per_s: Option<f64>,
    /// Generated tokens each second. Unit: tokens per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens_per_s: Option<f64>,
    /// Prompt and generated tokens each second. Unit: tokens per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_tokens_per_s: Option<f64>,
    /// The most completed requests that were in flight together. Unit: count.
    pub max_in_flight: u64,
    /// Time to first token of completed requests, from sending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttft: Option<LatencyDocument>,
    /// Mean time per output token after the first, one figure a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpot: Option<LatencyDocument>,
    /// Times between chunks of all requests together; between tokens only where each chunk carries one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub itl: Option<LatencyDocument>,
    /// From sending to the last token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e2e: Option<LatencyDocument>,
    /// From being due to the last token. With a rate it has what a stall of the server cost those who came meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e2e_from_due: Option<LatencyDocument>,
    /// How these times are spread: the same quantiles of each, smallest first; absent where no request was completed.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub quantiles: Vec<QuantileDocument>,
    /// Requests that keep the bounds; absent without bounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goodput: Option<GoodputDocument>,
    /// The energy of the server's devices; absent where it was not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy: Option<EnergyDocument>,
    /// What its tokens cost; absent without a price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostDocument>,
    /// What each model of a mix did; absent without a mix.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub models: Vec<ModelDocument>,
    /// What of the data set was sent; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<RecordsDocument>,
    /// Which parts of prompts were alike by design; absent where none were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<SharedDocument>,
    /// How this client did.
    pub client: ClientDocument,
    /// What the engine said of itself meanwhile; absent where it has no metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerDocument>,
    /// What is to be known of this level.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub findings: Vec<FindingDocument>,
}

/// What a level asks of the server: a number in flight, a rate, or the times of a trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct AskedLevel {
    /// Requests in flight always. Unit: count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u64>,
    /// Requests by the clock. Unit: requests per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_per_s: Option<f64>,
    /// The shape of the distances between them: 1 is a Poisson process; absent where all are the same. Unit: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burstiness: Option<f64>,
    /// Requests as a trace has them, so many times as fast. Unit: none, a factor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_speed: Option<f64>,
    /// Requests in flight at most; others that are due are held back. Unit: count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<u64>,
}

/// Requests by what became of them. Unit: count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RequestCounts {
    /// Sent. Unit: count.
    pub sent: u64,
    /// Answered whole. Unit: count.
    pub completed: u64,
    /// Failed. Unit: count.
    pub failed: u64,
    /// Answered with fewer tokens than asked for; they are completed too. Unit: count.
    pub short: u64,
    /// Sent more than 5 ms after they were due and allowed. Unit: count.
    pub late: u64,
    /// Held back because as many as allowed were in flight. Unit: count.
    pub held: u64,
    /// Not sent, because the server went away or the load was stopped. Unit: count.
    pub unsent: u64,
    /// Under way when the load was stopped. Unit: count.
    pub stopped: u64,
}

/// Tokens of completed requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct TokenCounts {
    /// Of their prompts, as the server counts them. Unit: tokens.
    pub input: u64,
    /// Generated. Unit: tokens.
    pub output: u64,
    /// Chunks that brought them. Unit: count.
    pub chunks: u64,
    /// Requests whose generated tokens the server counted. Unit: count.
    pub counted_by_usage: u64,
    /// Requests that the server did not count, but said that they are as long as asked for. Unit: count.
    pub counted_by_length: u64,
    /// Requests that nobody counted: their chunks stand for tokens. Unit: count.
    pub counted_by_chunks: u64,
}

/// Statistics of times; quantiles are of type 7.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LatencyDocument {
    /// How many. Unit: count.
    pub n: u64,
    /// Arithmetic mean. Unit: milliseconds.
    pub mean_ms: f64,
    /// Population standard deviation. Unit: milliseconds.
    pub std_ms: f64,
    /// The 0.5 quantile. Unit: milliseconds.
    pub p50_ms: f64,
    /// The 0.95 quantile. Unit: milliseconds.
    pub p95_ms: f64,
    /// The 0.99 quantile. Unit: milliseconds.
    pub p99_ms: f64,
    /// The largest. Unit: milliseconds.
    pub max_ms: f64,
}

impl From<Latency> for LatencyDocument {
    fn from(of: Latency) -> Self {
        let Latency { n, mean_ms, std_ms, median_ms, p95_ms, p99_ms, max_ms, quantiles_ms: _ } = of;
        Self { n, mean_ms, std_ms, p50_ms: median_ms, p95_ms, p99_ms, max_ms }
    }
}

/// Requests that keep the bounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct GoodputDocument {
    /// So many. Unit: count.
    pub good: u64,
    /// Of those that were sent, failed ones with them. Unit: none, 0 to 1.
    pub share: f64,
    /// Each second. Unit: requests per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_s: Option<f64>,
}

/// How this client did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ClientDocument {
    /// Whether anything speaks against it: then the figures may be its own, not the server's.
    pub is_the_limit: bool,
    /// What speaks against it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub limits: Vec<String>,
    /// Which times stand for those of chunks: `packets`, when the system had them, or `reads`, when this client came to read
    /// them, where the system does not say (a unix socket; another system than Linux).
    pub chunk_times: String,
    /// CPU time of the thread that sends and reads. Unit: seconds.
    pub cpu_s: f64,
    /// The part of the measurement for which it was on a CPU. Unit: none, 0 to 1.
    pub busy: f64,
    /// How late its loop came to a timer, beyond the timer's resolution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loop_lag: Option<LatencyDocument>,
    /// How much later than it came half of the chunks were read, to a power of two; absent where the system does not say
    /// when something came, and the time of the read stands for it. Unit: milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_after_p50_ms: Option<f64>,
    /// The same of 99 % of them. Unit: milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_after_p99_ms: Option<f64>,
    /// From being due, and allowed, to being sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lateness: Option<LatencyDocument>,
}

/// What the engine said of itself.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ServerDocument {
    /// Readings of its metrics. Unit: count.
    pub readings: u64,
    /// The most requests that were computed together. Unit: count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_max: Option<u64>,
    /// Their mean over the readings. Unit: count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_mean: Option<f64>,
    /// The most requests that waited. Unit: count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_max: Option<u64>,
    /// Their mean over the readings. Unit: count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_mean: Option<f64>,
    /// The largest used part of the KV cache. Unit: none, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_cache_usage_max_ratio: Option<f64>,
    /// Prompt tokens looked up in the prefix cache. Unit: tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_query_tokens: Option<u64>,
    /// Prompt tokens found there. Unit: tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_hit_tokens: Option<u64>,
    /// Requests thrown out of the KV cache. Unit: count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preemptions: Option<u64>,
}

impl From<ServerSide> for ServerDocument {
    fn from(side: ServerSide) -> Self {
        Self {
            readings: side.readings,
            running_max: side.running_max,
            running_mean: side.running_mean,
            waiting_max: side.waiting_max,
            waiting_mean: side.waiting_mean,
            kv_cache_usage_max_ratio: side.kv_cache_usage_max_ratio,
            prefix_query_tokens: side.prefix_query_tokens,
            prefix_hit_tokens: side.prefix_hit_tokens,
            preemptions: side.preemptions,
        }
    }
}

/// Something to be known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct FindingDocument {
    /// What it is, for programs; a code is never renamed.
    pub code: String,
    /// How much it matters.
    pub severity: Severity,
    /// What it is and what to do, for people.
    pub message: String,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Severity {
    /// The figures mean what they say.
    Note,
    /// Some figures do not mean what they seem to.
    Warning,
}

impl FindingDocument {
    /// Something to be known that leaves the figures what they are.
    pub fn note(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), severity: Severity::Note, message: message.into() }
    }

    /// Something that makes figures mean something else.
    pub fn warning(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), severity: Severity::Warning, message: message.into() }
    }
}

/// The code of a rate with which the server does not keep up.
const FALLS_BEHIND: &str = "falls_behind";
/// More of the prompts' tokens than this come from the prefix cache only where prompts are known to the server.
const PREFIX_HITS: f64 = 0.01;

impl LevelDocument {
    /// A level as it was measured.
    pub fn of(report: &LoadReport, repeat: u32, server: Option<ServerSide>) -> Self {
        let summary = report.summary();
        let sent = report.requests.len() as u64;
        let by = |kind| summary.counted.get(&kind).copied().unwrap_or(0);
        let limits = report.client_limits();
        let health = &report.health;
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let started = report.anchor.wall.checked_add(report.started);
        let started_at = started.and_then(|at| jiff::Timestamp::try_from(at).ok()).map(|at| at.to_string());
        let share = |good: u64| if sent == 0 { 0.0 } else { float(good) / float(sent) };
        Self {
            asked: AskedLevel::of(report.plan.arrival),
            repeat,
            stream: report.plan.stream,
            started_at,
            duration_s: summary.duration.as_secs_f64(),
            stopped: report.stopped,
            requests: RequestCounts {
                sent,
                completed: summary.completed,
                failed: summary.failed,
                short: summary.short,
                late: summary.late,
                held: summary.held,
                unsent: summary.unsent,
                stopped: summary.stopped,
            },
            failures: summary.failures.iter().map(|(kind, count)| (kind.to_string(), *count)).collect(),
            tokens: TokenCounts {
                input: summary.input_tokens,
                output: summary.output_tokens,
                chunks: summary.chunks,
                counted_by_usage: by(crate::Counted::Usage),
                counted_by_length: by(crate::Counted::Length),
                counted_by_chunks: by(crate::Counted::Chunks),
            },
            sent_per_s: summary.sent_per_s,
            completed_per_s: summary.requests_per_s,
            output_tokens_per_s: summary.output_tokens_per_s,
            total_tokens_per_s: summary.total_tokens_per_s,
            max_in_flight: summary.max_concurrent_requests,
            ttft: summary.ttft.map(Into::into),
            tpot: summary.tpot.map(Into::into),
            itl: summary.itl.map(Into::into),
            e2e: summary.e2el.map(Into::into),
            e2e_from_due: summary.e2el_from_due.map(Into::into),
            quantiles: QuantileDocument::all_of(&summary),
            goodput: summary.good.map(|good| GoodputDocument { good, share: share(good), per_s: summary.good_per_s }),
            energy: None,
            cost: None,
            models: ModelDocument::all_of(report),
            records: RecordsDocument::of(report),
            shared: SharedDocument::of(report, server.as_ref()),
            client: ClientDocument {
                is_the_limit: !limits.is_empty(),
                limits: limits.iter().map(ToString::to_string).collect(),
                chunk_times: if health.read_after.is_some() { "packets" } else { "reads" }.to_owned(),
                cpu_s: health.cpu.as_secs_f64(),
                busy: health.busy,
                loop_lag: health.loop_lag.map(Into::into),
                read_after_p50_ms: health.read_after.map(|reads| ms(reads.p50)),
                read_after_p99_ms: health.read_after.map(|reads| ms(reads.p99)),
                lateness: Latency::of(report.requests.iter().map(crate::RequestRecord::lateness)).map(Into::into),
            },
            findings: findings(report, server.as_ref()),
            server: server.map(Into::into),
        }
    }
}

impl LevelDocument {
    /// Notes the energy of the server's devices between two readings, in joules and seconds; over less than a second their
    /// counters say nothing, and none is noted.
    pub fn took(&mut self, joules: f64, seconds: f64) {
        self.energy = EnergyDocument::of(joules, seconds, self.tokens.output, self.tokens.input);
    }

    /// Notes what its tokens cost at a price.
    pub fn cost_at(&mut self, price: PriceDocument) {
        self.cost = Some(CostDocument::of(price, self.duration_s, self.tokens.output, self.tokens.input));
    }

    /// Whether the server does not keep up with the rate, however short requests wait yet.
    pub fn falls_behind(&self) -> bool {
        self.findings.iter().any(|finding| finding.code == FALLS_BEHIND)
    }

    /// Requests that failed, or were not sent though nobody stopped the load.
    pub fn failed(&self) -> u64 {
        self.requests.failed + if self.stopped { 0 } else { self.requests.unsent }
    }
}

impl AskedLevel {
    /// What an arrival asks.
    pub fn of(arrival: Arrival) -> Self {
        let none =
            Self { concurrency: None, rate_per_s: None, burstiness: None, trace_speed: None, max_in_flight: None };
        match arrival {
            Arrival::Concurrency(most) => Self { concurrency: Some(most), ..none },
            Arrival::Trace { speed, max_in_flight } => Self { trace_speed: Some(speed), max_in_flight, ..none },
            Arrival::Rate { per_s, spacing, max_in_flight } => {
                let burstiness = match spacing {
                    Spacing::Poisson => Some(1.0),
                    Spacing::Even => None,
                    Spacing::Gamma { burstiness } => Some(burstiness),
                };
                Self { rate_per_s: Some(per_s), burstiness, max_in_flight, ..none }
            }
        }
    }
}

fn findings(report: &LoadReport, server: Option<&ServerSide>) -> Vec<FindingDocument> {
    let mut findings = Vec::new();
    let mut say = |code: &str, severity, message: String| {
        findings.push(FindingDocument { code: code.to_owned(), severity, message });
    };
    let summary = report.summary();
    let (sent, failed) = (report.requests.len() as u64, summary.failed);
    if failed > 0 {
        let first = report.requests.iter().filter(|one| one.has_failed()).find_map(|one| one.outcome.as_ref().err());
        let first = first.map(ToString::to_string).unwrap_or_default();
        let message = format!("{failed} of {sent} requests failed, the first with: {first}; no latency is of them");
        say("requests_failed", Severity::Warning, message);
    }
    if summary.unsent > 0 && !report.stopped {
        let unsent = summary.unsent;
        let message = format!("the server went away: {unsent} requests were not sent; see its log");
        say("server_gone", Severity::Warning, message);
    }
    if let Some(backlog) = report.falls_behind() {
        let message = format!(
            "the server does not keep up with this rate: {} requests were open when half of the time was over and {} at its \
             end, of {} that came meanwhile; the longer it goes on, the longer requests wait",
            backlog.half, backlog.end, backlog.came
        );
        say(FALLS_BEHIND, Severity::Warning, message);
    }
    for limit in report.client_limits() {
        let message = format!("these figures may be the client's, not the server's: {limit}");
        say("client_is_the_limit", Severity::Warning, message);
    }
    if let Some(ratio) = server.and_then(ServerSide::prefix_hit_ratio).filter(|ratio| *ratio > PREFIX_HITS)
        && report.plan.prompts == Prompts::Random
    {
        let message = format!(
            "the server found {:.0} % of the prompts' tokens in its prefix cache, though no prompt is sent twice under one \
             seed: it had them from an earlier run with the same seed, or of somebody else; leave out --seed",
            ratio * 100.0
        );
        say("prefix_cache_hits", Severity::Warning, message);
    }
    if let Prompts::Data(data) = &report.plan.prompts
        && let Some(records) = RecordsDocument::of(report)
        && !data.set.kind().is_trace()
    {
        let (all, sent) = (data.set.len() as u64, records.used + records.repeated);
        let again = data.first.saturating_add(sent).saturating_sub(all).min(sent);
        if again > 0 {
            let message = format!(
                "{again} of {sent} prompts had been sent before: the data set has {all} records that can be sent, and a \
                 prefix cache finds what it has seen; send fewer requests, or take a larger file"
            );
            say("data_repeated", Severity::Warning, message);
        }
    }
    if let Some(shared) = SharedDocument::of(report, server) {
        let found = match shared.found {
            Some(found) => format!("the server found {:.1} % in its prefix cache", found * 100.0),
            None => "what the server found of it in a prefix cache, it does not tell".to_owned(),
        };
        let message =
            format!("{:.1} % of the prompts' tokens had been sent before, by design; {found}", shared.share * 100.0);
        say("shared_prefixes", Severity::Note, message);
    }
    if summary.short > 0 {
        let message =
            format!("{} answers have fewer tokens than asked for: the server does not heed ignore_eos", summary.short);
        say("short_answers", Severity::Note, message);
    }
    let by_chunks = summary.counted.get(&crate::Counted::Chunks).copied().unwrap_or(0);
    if by_chunks > 0 {
        let message = format!("{by_chunks} answers were counted by nobody: their chunks stand for tokens");
        say("tokens_are_chunks", Severity::Warning, message);
    }
    // A few that came together are no rule.
    if summary.chunks > 0 && summary.output_tokens.saturating_mul(20) > summary.chunks.saturating_mul(21) {
        let each = float(summary.output_tokens) / float(summary.chunks);
        let message = format!("a chunk brings {each:.1} tokens: ITL is the time between chunks, not tokens");
        say("several_tokens_a_chunk", Severity::Note, message);
    }
    findings
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests and tokens")]
fn float(count: u64) -> f64 {
    count as f64
}
