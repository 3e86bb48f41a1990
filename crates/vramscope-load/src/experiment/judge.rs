//! What the figures of an experiment say of what bounds the server, and what to try. Nothing is said that was not measured:
//! where figures leave two causes, both are named.

mod lengths;

use super::float;
use super::vllm::{KV_CACHE_FULL, QUEUE};
use crate::document::{
    EvidenceDocument, LatencyExperiment, LevelDocument, ServerDocument, ThroughputExperiment, ThroughputLevel,
    VerdictDocument,
};

pub(super) use lengths::lengths;

/// A deviation of more than this part of the mean is more than one machine's own.
const SPREAD: f64 = 0.1;
/// Twice the requests bring at least this part of twice the tokens where batches pay.
const PAYS: f64 = 0.8;
/// Less than this part of it is hardly any gain.
const HARDLY: f64 = 0.6;
/// A KV cache that is used to this part is full: what is left holds no further request.
const FULL: f64 = 0.95;
/// Requests wait where on average more than this part of those in flight do: a few wait for a step at any time.
const WAITS: f64 = 0.05;
/// Fewer readings of the metrics say nothing of a level.
const READINGS: u64 = 3;
/// A part of the time of a token, or of a request, that is worth a word.
const MATTERS: f64 = 0.1;

fn evidence(name: &str, value: f64, unit: &str) -> EvidenceDocument {
    EvidenceDocument { name: name.to_owned(), value, unit: unit.to_owned() }
}

fn verdict(code: &str, message: String, advice: Option<&str>, evidence: Vec<EvidenceDocument>) -> VerdictDocument {
    VerdictDocument { code: code.to_owned(), message, advice: advice.map(str::to_owned), evidence }
}

/// What stands before every other verdict: that figures are not the server's, or not of all requests.
fn caveats<'a>(levels: impl Iterator<Item = &'a LevelDocument> + Clone) -> Vec<VerdictDocument> {
    let mut verdicts = Vec::new();
    let own = levels.clone().filter(|level| level.client.is_the_limit).count() as u64;
    if own > 0 {
        let busiest = levels.clone().map(|level| level.client.busy).fold(0.0, f64::max);
        verdicts.push(verdict(
            "client_is_the_limit",
            format!("the client, not the server, may be the limit in {own} of {} measurements", levels.clone().count()),
            Some("run it on a machine with time to spare; the warnings say what speaks against it"),
            vec![evidence("measurements", float(own), ""), evidence("busiest client thread", busiest, "")],
        ));
    }
    let failed: u64 = levels.clone().map(LevelDocument::failed).sum();
    if failed > 0 {
        let sent: u64 = levels.map(|level| level.requests.sent + level.requests.unsent).sum();
        verdicts.push(verdict(
            "requests_failed",
            format!("{failed} of {sent} requests failed: the figures are of the others"),
            Some("see the warnings, and the server's log"),
            vec![evidence("failed", float(failed), "requests"), evidence("sent", float(sent), "requests")],
        ));
    }
    verdicts
}

/// Of one request at a time.
pub(super) fn latency(of: &LatencyExperiment) -> Vec<VerdictDocument> {
    let mut verdicts = caveats(std::iter::once(&of.measurement));
    if let (Some(ttft), Some(e2e)) = (of.ttft, of.e2e)
        && e2e.mean_ms > 0.0
    {
        let share = ttft.mean_ms / e2e.mean_ms;
        let mut figures = vec![
            evidence("mean time to first token", ttft.mean_ms, "ms"),
            evidence("mean time of a request", e2e.mean_ms, "ms"),
            evidence("their ratio", share, ""),
        ];
        figures.extend(of.tpot.map(|tpot| evidence("mean time of a further token", tpot.mean_ms, "ms")));
        verdicts.push(if share > 0.5 {
            verdict(
                "prompt_bound",
                format!("{:.0} % of a request's time passes before its first token", share * 100.0),
                Some("shorter prompts, prefix caching, or more compute for prompts (tensor parallelism, a faster device)"),
                figures,
            )
        } else {
            verdict(
                "token_bound",
                format!("{:.0} % of a request's time goes into its further tokens, one step each", (1.0 - share) * 100.0),
                Some(
                    "what makes a step shorter: graphs rather than eager mode, quantized weights, speculative decoding, \
                     tensor parallelism; shorter answers",
                ),
                figures,
            )
        });
    }
    if let Some(e2e) = of.e2e
        && let Some(std) = e2e.std_ms
        && e2e.n >= READINGS
    {
        let part = std / e2e.mean_ms;
        let figures = vec![
            evidence("mean", e2e.mean_ms, "ms"),
            evidence("standard deviation", std, "ms"),
            evidence("their ratio", part, ""),
            evidence("requests", float(e2e.n), ""),
        ];
        verdicts.push(if part > SPREAD {
            verdict(
                "unsteady",
                format!("equal requests differ: the deviation is {:.0} % of the mean", part * 100.0),
                Some("look for other work on the machine, changing clocks, or a warm-up that is too short (--warmup); repeat"),
                figures,
            )
        } else {
            verdict("steady", format!("equal requests agree to {:.2} % of their mean", part * 100.0), None, figures)
        });
    }
    verdicts
}

/// Of more and more requests in flight.
pub(super) fn throughput(of: &ThroughputExperiment) -> Vec<VerdictDocument> {
    let mut verdicts = caveats(of.levels.iter().map(|level| &level.measurement));
    let steps: Vec<Step<'_>> = of.levels.windows(2).filter_map(|pair| Step::of(&pair[0], &pair[1])).collect();
    let (Some(first), Some(last)) = (steps.first(), steps.last()) else { return verdicts };
    if first.from.concurrency == 1 && first.pays >= PAYS {
        verdicts.push(verdict(
            "fixed_cost_of_a_step",
            format!(
                "at one request a step costs about what it costs for {}: it is bound by what a step takes whatever its batch \
                 (reading the weights, launches, scheduling; these figures do not tell which)",
                first.to.concurrency
            ),
            Some("send requests together; for one alone: graphs rather than eager mode, quantized weights"),
            first.evidence(),
        ));
    }
    // One step may be weak by chance; bound is what no later one overcomes.
    let bound_from = steps.iter().rposition(|step| step.pays >= HARDLY).map_or(0, |last| last + 1);
    match steps.get(bound_from) {
        Some(step) => verdicts.push(bound(step)),
        None if last.pays >= PAYS => verdicts.push(verdict(
            "still_scales",
            format!("{} in flight do not saturate the server", last.to.concurrency),
            Some("more in flight: --concurrency 32,64,128, or --sweep"),
            last.evidence(),
        )),
        None => verdicts.push(verdict(
            "scales_less",
            format!("batches bring less from {} in flight on, and still something", last.from.concurrency),
            Some("more in flight buy tokens with latency: choose by --sweep --slo"),
            last.evidence(),
        )),
    }
    verdicts
}

/// From one level to the next.
struct Step<'a> {
    from: &'a ThroughputLevel,
    to: &'a ThroughputLevel,
    /// How many times the tokens.
    growth: f64,
    /// What twice the requests bring, as a part of twice the tokens.
    pays: f64,
}

impl<'a> Step<'a> {
    fn of(from: &'a ThroughputLevel, to: &'a ThroughputLevel) -> Option<Self> {
        let growth = to.output_tokens_per_s? / from.output_tokens_per_s.filter(|rate| *rate > 0.0)?;
        let more = float(to.concurrency) / float(from.concurrency);
        let pays = (more > 1.0 && growth > 0.0).then(|| (growth.log2() / more.log2() - 1.0).exp2())?;
        Some(Self { from, to, growth, pays })
    }

    fn evidence(&self) -> Vec<EvidenceDocument> {
        let mut figures = Vec::new();
        for level in [self.from, self.to] {
            let named = format!("throughput of {}", level.concurrency);
            figures.extend(level.output_tokens_per_s.map(|rate| evidence(&named, rate, "tokens/s")));
        }
        figures.push(evidence("growth", self.growth, ""));
        figures.push(evidence("of the ideal, per doubling", self.pays, ""));
        figures
    }
}

/// Why a step to more in flight hardly brings more, as far as the engine's own figures say.
fn bound(step: &Step<'_>) -> VerdictDocument {
    let to = &step.to.measurement;
    let mut figures = step.evidence();
    let head = format!(
        "from {} to {} in flight throughput grows {:.2} times",
        step.from.concurrency, step.to.concurrency, step.growth
    );
    for level in [step.from, step.to] {
        let named = |what: &str| format!("{what} of {}", level.concurrency);
        figures.extend(level.measurement.ttft.map(|t| evidence(&named("median time to first token"), t.p50_ms, "ms")));
        figures
            .extend(level.measurement.tpot.map(|t| evidence(&named("median time of a further token"), t.p50_ms, "ms")));
    }
    let Some(server) = to.server.filter(|server| server.readings >= READINGS && server.waiting_mean.is_some()) else {
        return verdict(
            "saturated",
            format!("{head}; whether requests wait or steps take longer the server does not say"),
            Some("compare the times of first and of further tokens below; with /metrics the queue would be known"),
            figures,
        );
    };
    figures.extend(queue(&server));
    let waiting = server.waiting_mean.unwrap_or(0.0);
    let waits = waiting > WAITS * float(step.to.concurrency);
    let thrown_out = server.preemptions.is_some_and(|count| count > 0);
    let full = server.kv_cache_usage_max_ratio.is_some_and(|used| used >= FULL);
    if thrown_out || (waits && full) {
        return verdict(
            "kv_cache_full",
            format!("{head}: the KV cache is full, and requests wait or are thrown out of it"),
            Some(KV_CACHE_FULL),
            figures,
        );
    }
    if waits {
        let running = server.running_max.map_or_else(String::new, |most| format!(", at most {most} ran"));
        return verdict(
            "queue",
            format!("{head}: {waiting:.1} requests waited on average{running}, and the KV cache had room"),
            Some(QUEUE),
            figures,
        );
    }
    verdict(
        "compute_or_bandwidth",
        format!("{head}, and requests did not wait: steps take longer, bound by memory bandwidth or arithmetic"),
        Some(
            "which of the two, `vramscope trace capture` tells; quantized weights and KV cache help the first, a faster device \
             or tensor parallelism both",
        ),
        figures,
    )
}

fn queue(server: &ServerDocument) -> Vec<EvidenceDocument> {
    let count = |name, value: Option<u64>| value.map(|value| evidence(name, float(value), "requests"));
    [
        count("most that ran", server.running_max),
        server.waiting_mean.map(|mean| evidence("mean that waited", mean, "requests")),
        server.kv_cache_usage_max_ratio.map(|used| evidence("KV cache used at most", used, "")),
        count("thrown out of the KV cache", server.preemptions),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{AskedLevel, ClientDocument, MeanTime, RequestCounts, TokenCounts};
    use crate::{Arrival, document::LatencyDocument};

    fn level(concurrency: u64, rate: f64, server: Option<ServerDocument>) -> LevelDocument {
        let latency =
            LatencyDocument { n: 9, mean_ms: 9.0, std_ms: 0.0, p50_ms: 9.0, p95_ms: 9.0, p99_ms: 9.0, max_ms: 9.0 };
        LevelDocument {
            asked: AskedLevel::of(Arrival::Concurrency(concurrency)),
            repeat: 1,
            stream: 0,
            started_at: None,
            duration_s: 10.0,
            stopped: false,
            requests: RequestCounts {
                sent: 9,
                completed: 9,
                failed: 0,
                short: 0,
                late: 0,
                held: 0,
                unsent: 0,
                stopped: 0,
            },
            failures: std::collections::BTreeMap::new(),
            tokens: TokenCounts {
                input: 9,
                output: 9,
                chunks: 9,
                counted_by_usage: 9,
                counted_by_length: 0,
                counted_by_chunks: 0,
            },
            sent_per_s: None,
            completed_per_s: None,
            output_tokens_per_s: Some(rate),
            total_tokens_per_s: None,
            max_in_flight: concurrency,
            ttft: Some(latency),
            tpot: Some(latency),
            itl: None,
            e2e: Some(latency),
            e2e_from_due: None,
            quantiles: Vec::new(),
            goodput: None,
            energy: None,
            cost: None,
            models: Vec::new(),
            records: None,
            shared: None,
            client: ClientDocument {
                is_the_limit: false,
                limits: Vec::new(),
                cpu_s: 0.1,
                busy: 0.01,
                loop_lag: None,
                chunk_times: "packets".to_owned(),
                read_after_p50_ms: None,
                read_after_p99_ms: None,
                lateness: None,
            },
            server,
            findings: Vec::new(),
        }
    }

    fn server(running: u64, waiting: f64, kv: f64, preemptions: u64) -> ServerDocument {
        ServerDocument {
            readings: 50,
            running_max: Some(running),
            running_mean: Some(float(running)),
            waiting_max: Some(99),
            waiting_mean: Some(waiting),
            kv_cache_usage_max_ratio: Some(kv),
            prefix_query_tokens: None,
            prefix_hit_tokens: None,
            preemptions: Some(preemptions),
        }
    }

    fn codes(levels: Vec<(u64, f64, Option<ServerDocument>)>) -> Vec<String> {
        let mut of = ThroughputExperiment::new(8, 8);
        for (concurrency, rate, server) in levels {
            of.add(concurrency, level(concurrency, rate, server));
        }
        assert!(of.verdicts.iter().all(|one| !one.evidence.is_empty()), "{:?}", of.verdicts);
        of.verdicts.into_iter().map(|one| one.code).collect()
    }

    #[test]
    fn why_a_batch_brings_no_more_is_said_as_far_as_the_engine_says_it() {
        let idle = |n| Some(server(n, 0.0, 0.2, 0));
        let upto = |last: Option<ServerDocument>| {
            codes(vec![(1, 100.0, idle(1)), (4, 380.0, idle(4)), (8, 700.0, idle(8)), (16, 730.0, last)])
        };
        assert_eq!(upto(idle(16)), ["fixed_cost_of_a_step", "compute_or_bandwidth"]);
        assert_eq!(upto(Some(server(8, 8.0, 0.2, 0))), ["fixed_cost_of_a_step", "queue"]);
        assert_eq!(upto(Some(server(9, 7.0, 0.99, 0))), ["fixed_cost_of_a_step", "kv_cache_full"]);
        assert_eq!(upto(Some(server(16, 0.1, 0.9, 3))), ["fixed_cost_of_a_step", "kv_cache_full"]);
        assert_eq!(upto(None), ["fixed_cost_of_a_step", "saturated"]);
        let few = ServerDocument { readings: 2, ..server(8, 8.0, 0.2, 0) };
        assert_eq!(upto(Some(few)), ["fixed_cost_of_a_step", "saturated"], "two readings say nothing");
    }

    #[test]
    fn a_server_that_scales_is_told_from_one_that_does_less_and_less() {
        let levels =
            |rates: [f64; 3]| codes([1, 2, 4].into_iter().zip(rates).map(|(n, rate)| (n, rate, None)).collect());
        assert_eq!(levels([100.0, 195.0, 380.0]), ["fixed_cost_of_a_step", "still_scales"]);
        assert_eq!(levels([100.0, 150.0, 220.0]), ["scales_less"]);
        assert_eq!(levels([100.0, 110.0, 115.0]), ["saturated"]);
        // One weak step that a later one makes good is no bound.
        assert_eq!(levels([100.0, 105.0, 390.0]), ["still_scales"]);
        assert!(codes(vec![(1, 100.0, None)]).is_empty(), "one level says nothing of others");
    }

    #[test]
    fn a_client_at_its_limit_and_failures_come_first() {
        let mut of = ThroughputExperiment::new(8, 8);
        of.add(1, level(1, 100.0, None));
        let mut bad = level(2, 200.0, None);
        (bad.client.is_the_limit, bad.requests.failed) = (true, 3);
        of.add(2, bad);
        let codes: Vec<&str> = of.verdicts.iter().map(|one| one.code.as_str()).collect();
        assert_eq!(codes, ["client_is_the_limit", "requests_failed", "fixed_cost_of_a_step", "still_scales"]);
    }

    #[test]
    fn one_request_is_bound_by_its_prompt_or_by_its_tokens_and_steady_or_not() {
        let time = |mean: f64, std: f64| MeanTime {
            n: 10,
            mean_ms: mean,
            std_ms: Some(std),
            min_ms: mean,
            max_ms: mean,
            ci95_low_ms: None,
            ci95_high_ms: None,
        };
        let codes = |ttft: f64, std: f64| {
            let of = LatencyExperiment {
                input_len: 8,
                output_len: 8,
                e2e: Some(time(100.0, std)),
                ttft: Some(time(ttft, 0.1)),
                tpot: None,
                output_rate: None,
                measurement: level(1, 1.0, None),
                verdicts: Vec::new(),
            };
            latency(&of).into_iter().map(|one| one.code).collect::<Vec<_>>()
        };
        assert_eq!(codes(80.0, 1.0), ["prompt_bound", "steady"]);
        assert_eq!(codes(20.0, 30.0), ["token_bound", "unsteady"]);
    }
}
