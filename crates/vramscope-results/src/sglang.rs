//! `python -m sglang.bench_serving --output-file`: JSON lines, a run each. Source: `sglang/benchmark/serving.py` of 0.5.23.

use std::collections::BTreeMap;

use crate::error::ResultError;
use crate::flat::Flat;
use crate::result::{Asked, Counts, LatencyKind, LoadResult, Rates, Tool};

pub(crate) const TOOL: &str = "sglang bench_serving";

const LATENCIES: [(LatencyKind, &str); 4] = [
    (LatencyKind::TimeToFirstToken, "ttft"),
    (LatencyKind::TimePerOutputToken, "tpot"),
    (LatencyKind::InterTokenLatency, "itl"),
    (LatencyKind::EndToEnd, "e2e_latency"),
];

/// Whether a run is of this tool: its words for what others call otherwise.
pub(crate) fn wrote(run: &Flat) -> bool {
    run.has("mean_e2e_latency_ms") || (run.has("total_throughput") && run.has("sharegpt_output_len"))
}

pub(crate) fn read(run: &Flat) -> Result<LoadResult, ResultError> {
    let completed = run.count("completed")?;
    let mut latencies = BTreeMap::new();
    for (kind, name) in LATENCIES {
        let latency = run.latency(name)?.filter(|latency| completed != Some(0) && latency.is_measured());
        latencies.extend(latency.map(|latency| (kind, latency)));
    }
    // With a ratio below one the lengths are drawn.
    let even = run.amount("random_range_ratio")? == Some(1.0)
        && run.text("dataset_name").is_some_and(|name| name.starts_with("random"));
    let len = |name: &str| if even { run.count(name) } else { Ok(None) };
    Ok(LoadResult {
        tool: Tool { name: TOOL, version: None },
        label: run.text("tag"),
        date: None,
        model: None,
        asked: Asked {
            concurrency: run.count("max_concurrency")?,
            rate_per_s: run.asked_rate("request_rate")?,
            requests: None,
            input_len: len("random_input_len")?,
            output_len: len("random_output_len")?,
            seed: None,
        },
        counts: Counts {
            completed,
            // Only --output-details tells of failures.
            failed: run.filled("errors"),
            input_tokens: run.count("total_input_tokens")?,
            output_tokens: run.count("total_output_tokens")?,
            ..Counts::default()
        },
        duration_s: run.amount("duration")?,
        rates: Rates {
            requests_per_s: run.amount("request_throughput")?,
            good_per_s: run.amount("request_goodput")?,
            output_tokens_per_s: run.amount("output_throughput")?,
            total_tokens_per_s: run.amount("total_throughput")?,
        },
        latencies,
        stopped: None,
    })
}
