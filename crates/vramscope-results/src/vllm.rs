//! `vllm bench serve --save-result`, and what is written in its shape. Source: `vllm/benchmarks/serve.py` of 0.12 to 0.32;
//! a sweep (`vllm/benchmarks/sweep/serve.py`) adds `run_number` and what it varied.

use std::collections::BTreeMap;

use crate::error::ResultError;
use crate::flat::Flat;
use crate::result::{Asked, Counts, Latency, LatencyKind, LoadResult, Rates, Tool};

pub(crate) const TOOL: &str = "vllm bench serve";
/// Who writes this shape with an object of its own.
const OURS: &str = "vramscope";

/// Its words for times.
const LATENCIES: [(LatencyKind, &str); 5] = [
    (LatencyKind::TimeToFirstToken, "ttft"),
    (LatencyKind::TimePerOutputToken, "tpot"),
    (LatencyKind::InterTokenLatency, "itl"),
    (LatencyKind::EndToEnd, "e2el"),
    (LatencyKind::ClientQueue, "client_queue_time"),
];

pub(crate) fn read(run: &Flat) -> Result<LoadResult, ResultError> {
    let own = run.object(OURS);
    let own_count = |name: &str| own.as_ref().map_or(Ok(None), |own| own.count(name));
    let completed = run.count("completed")?;
    let failed = match run.count("failed")? {
        Some(failed) => Some(failed),
        // Releases without that key write each request's error with --save-detailed.
        None => run.filled("errors"),
    };
    let kinds = own.as_ref().and_then(|own| own.object("failures"));
    let mut failures = BTreeMap::new();
    if let Some(kinds) = &kinds {
        for kind in kinds.names() {
            failures.extend(kinds.count(kind)?.map(|count| (kind.to_owned(), count)));
        }
    }
    let counts = Counts {
        completed,
        failed,
        incomplete: None,
        unsent: own_count("unsent")?,
        short: own_count("short")?,
        late: own_count("late")?,
        failures,
        input_tokens: run.count("total_input_tokens")?,
        output_tokens: run.count("total_output_tokens")?,
        chunks: own_count("chunks")?,
    };
    let mut latencies = BTreeMap::new();
    for (kind, name) in LATENCIES {
        // A request may well be sent without any delay.
        let measured = |latency: &Latency| kind == LatencyKind::ClientQueue || latency.is_measured();
        let latency = run.latency(name)?.filter(|latency| completed != Some(0) && measured(latency));
        latencies.extend(latency.map(|latency| (kind, latency)));
    }
    let number = run.count("run_number")?.map(|n| format!("run {n}"));
    let fixed = |name: &str| own.as_ref().and_then(|own| own.count(name).ok().flatten());
    Ok(LoadResult {
        tool: match &own {
            Some(own) => Tool { name: OURS, version: own.text("generator").map(|text| version(&text)) },
            None => Tool { name: TOOL, version: None },
        },
        label: run.text("label").or(number),
        date: run.text("date"),
        model: run.text("model_id"),
        asked: Asked {
            concurrency: run.count("max_concurrency")?,
            rate_per_s: run.asked_rate("request_rate")?,
            requests: run.count("num_prompts")?,
            // Ours are texts where lengths differ.
            input_len: fixed("input_len"),
            output_len: fixed("output_len"),
            seed: own_count("seed")?,
        },
        counts,
        duration_s: run.amount("duration")?,
        rates: Rates {
            requests_per_s: run.amount("request_throughput")?,
            good_per_s: run.amount("request_goodput")?,
            output_tokens_per_s: run.amount("output_throughput")?,
            total_tokens_per_s: run.amount("total_token_throughput")?,
        },
        latencies,
        stopped: own.as_ref().and_then(|own| own.flag("stopped")),
    })
}

/// The version behind a generator's name.
fn version(generator: &str) -> String {
    generator.rsplit(' ').next().unwrap_or_default().to_owned()
}
