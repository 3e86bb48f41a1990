use serde_json::{Value, json};

use crate::pages::sound::{check, fixture, laws};

/// More is no page any more.
const LARGEST_PAGE: usize = 2_000_000;

/// A campaign of a thousand runs over four axes with everything that a profile may say.
fn thousand() -> Value {
    let mut runs = Vec::new();
    let mut series = Vec::new();
    for place in 0..1000_u32 {
        let (batch, input) = (1 << (place % 10), 128 << (place / 10 % 10));
        let (output, parallel) = (64 << (place / 100 % 5), 1 << (place / 500));
        let rate = 100.0 * f64::from(batch).powf(0.8) / f64::from(input).ln();
        let mut figures = json!({
            "tokens_per_second": rate, "requests_per_second": rate / 64.0, "mean_latency_ms": 64e3 * f64::from(batch) / rate,
            "peak_bytes": 40_000_000_000_u64 + u64::from(place) * 1_048_576, "kv_cache_bytes": 20_000_000_000_u64,
            "model_weights_bytes": 16_000_000_000_u64, "kv_cache_tokens": 914_304.0,
        });
        for name in ["time_to_first_token_median_ms", "time_to_first_token_p99_ms", "end_to_end_p99_ms"] {
            figures[name] = json!(12.345_678_9 + f64::from(place));
        }
        runs.push(json!({
            "name": format!("results/campaign-of-november/batch{batch}-in{input}-out{output}-tp{parallel}.json"),
            "status": "complete",
            "settings": {
                "model": "llama-3.1-8b", "batch_size": batch.to_string(), "input_len": input.to_string(),
                "output_len": output.to_string(), "tensor_parallel_size": parallel.to_string(), "dtype": "bfloat16",
            },
            "figures": figures,
            "cautions": [format!("caution number {place} of the thousand")],
            "campaign": {
                "key": format!("run-{place}"), "state": if place % 97 == 0 { "failed" } else { "complete" }, "attempts": 1,
                "failure": format!("the engine ended with exit status {place}"),
            },
        }));
    }
    for (axis, count) in [("batch_size", 100), ("input_len", 100), ("output_len", 200), ("tensor_parallel_size", 500)] {
        for one in 0..count {
            let point = |place: u32| {
                json!({"value": 1 << place, "runs": 1, "tokens_per_second": 100.5 * f64::from(place + one), "speedup": 1.25,
                    "mean_latency_ms": 10.25 * f64::from(place), "slowdown": 1.5, "peak_bytes": 4e10 + 1e9 * f64::from(place)})
            };
            let points: Vec<Value> = (0..1000 / count).map(point).collect();
            series
                .push(json!({"axis": axis, "fixed": {"number": one.to_string(), "model": "llama"}, "points": points}));
        }
    }
    json!({"vramscope_runs": 1, "runs": runs, "series": series})
}

#[test]
fn pages_of_runs_keep_the_laws() {
    laws(&fixture(include_str!("../../../tests/data/runs.json")), &["vramscope_runs"]);
    check(json!({"vramscope_runs": 1}));
    check(json!({"vramscope_runs": 1, "runs": [{}, {"settings": {}}], "series": [{}, {"axis": "batch_size"}]}));
}

#[test]
fn a_page_of_a_thousand_runs_is_small_and_has_all_in_its_pictures() {
    let html = check(thousand());
    assert!(html.len() < LARGEST_PAGE, "{}", html.len());
    assert!(html.contains("800 more are in the document"));
    // Each run that is done has a point of its own where throughput stands against latency.
    let front = &html[html.find("Throughput against latency</h2>").unwrap()..];
    let end = front.find("</svg>").unwrap();
    assert!(front[..end].matches("<circle").count() > 900, "{}", front[..end].matches("<circle").count());
}

#[test]
fn runs_tell_which_batch_size_still_keeps_up() {
    let html = check(fixture(include_str!("../../../tests/data/runs.json")));
    assert!(html.contains("is the last that keeps up"));
}

#[test]
fn a_campaign_counts_what_is_done_and_what_is_still_to_come() {
    let mut runs = Vec::new();
    for (state, count) in [("complete", 3), ("running", 1), ("pending", 4), ("failed", 2)] {
        runs.extend((0..count).map(|place| {
            json!({
                "name": format!("{state}-{place}"), "settings": {}, "figures": {}, "cautions": [],
                "campaign": {"key": "k", "state": state, "attempts": 1},
            })
        }));
    }
    let html = check(json!({"vramscope_runs": 1, "runs": runs, "series": []}));
    assert!(html.contains("3 of 10 runs are done (30 %). 5 are still to come"));
    assert!(html.contains("10 runs: 3 done, 1 running, 4 waiting and 2 failed."));
}
