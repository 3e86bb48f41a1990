use serde_json::{Value, json};

use crate::law::{check, fixture};

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
fn a_page_is_made_of_runs_that_say_nothing() {
    check(json!({"vramscope_runs": 1}));
    check(json!({"vramscope_runs": 1, "runs": [{}, {"settings": {}}], "series": [{}, {"axis": "batch_size"}]}));
}

#[test]
fn a_page_of_a_thousand_runs_is_small_and_has_all_in_its_pictures() {
    let html = check(thousand());
    assert!(html.len() < LARGEST_PAGE, "{}", html.len());
    assert!(html.contains("The first 200 of 1,000 rows; all are in the document"));
    // Each run that is done has a point of its own where throughput stands against latency.
    let front = &html[html.find("Throughput against latency</h2>").unwrap()..];
    let end = front.find("</svg>").unwrap();
    assert!(front[..end].matches("<circle").count() > 900, "{}", front[..end].matches("<circle").count());
}

#[test]
fn runs_tell_which_batch_size_still_keeps_up() {
    let mut value = fixture(include_str!("../../../tests/data/runs.json"));
    for run in value["runs"].as_array_mut().unwrap() {
        (run["status"], run["campaign"]["state"]) = (json!("complete"), json!("complete"));
    }
    assert!(check(value).contains("is the last that keeps up"));
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

/// Runs at some batch sizes, each with its campaign's state; the series has points of all.
fn campaign(states: &[(u64, &str)]) -> Value {
    let run = |(batch, state): &(u64, &str)| {
        json!({"name": format!("b{batch}.json"), "settings": {"batch_size": batch.to_string(), "input_len": "256"},
            "figures": {"tokens_per_second": batch * 100, "peak_bytes": 70_000_000_000_u64 + batch},
            "campaign": {"key": "k", "state": state}})
    };
    let point = |(batch, _): &(u64, &str)| json!({"value": batch, "runs": 1, "tokens_per_second": batch * 100});
    json!({"vramscope_runs": 1, "runs": states.iter().map(run).collect::<Vec<_>>(), "series": [
        {"axis": "batch_size", "fixed": {"input_len": "256"}, "slows_at": 64,
            "points": states.iter().map(point).collect::<Vec<_>>()}]})
}

#[test]
fn points_without_a_finished_run_are_neither_drawn_nor_told() {
    let done = [(8, "complete"), (16, "complete"), (32, "complete"), (64, "complete"), (128, "complete")];
    let html = check(campaign(&done));
    assert!(html.contains("at batch size 128") && html.contains("32 is the last that keeps up"));
    assert!(html.contains(">slows</text>") && !html.contains("are left out"));
    let open = [(8, "complete"), (16, "complete"), (32, "failed"), (64, "running"), (128, "interrupted")];
    let html = check(campaign(&open));
    assert!(
        html.contains("most tokens are 1,600/s at batch size 16") || html.contains("1600"),
        "the largest that is done"
    );
    assert!(!html.contains("is the last that keeps up") && !html.contains(">slows</text>"));
    assert!(html.contains("Points without a run that is done are left out: at batch size 32, 64 and 128."));
    assert!(!html.contains("/series/0/points/4/"));
    // Where a point between is left out, what is left tells where it slows.
    let html = check(campaign(&[(8, "complete"), (64, "failed"), (128, "complete")]));
    assert!(!html.contains("is the last that keeps up") && html.contains("still keeps up at the largest batch size"));
    assert!(html.contains("a larger one may be better"), "the failed one is a smaller one");
    // What ran out of memory is no advice.
    let html = check(campaign(&[(8, "complete"), (16, "complete"), (32, "failed"), (64, "failed")]));
    assert!(html.contains("Larger ones were tried and failed: 32 and 64.") && !html.contains("may be better"));
    let mut value = campaign(&[(8, "complete"), (64, "failed"), (128, "complete")]);
    value["series"][0]["points"][2]["tokens_per_second"] = json!(900);
    assert!(check(value).contains("From batch size 128 on, less than half"));
}

#[test]
fn each_series_has_its_own_mark() {
    let mut value = campaign(&[(8, "complete"), (16, "complete"), (64, "complete")]);
    let mut other = value["series"][0].clone();
    other["fixed"]["input_len"] = json!("4096");
    other["slows_at"] = json!(16);
    value["series"].as_array_mut().unwrap().push(other);
    let html = check(value);
    assert!(html.contains("64 (prompt 256)") && html.contains("16 (prompt 4096)"));
    assert!(html.contains(">slows: prompt 256</text>") && html.contains(">slows: prompt 4096</text>"));
}

#[test]
fn runs_that_are_equal_have_no_first() {
    let html = check(campaign(&[(8, "complete"), (16, "complete")]));
    assert!(html.contains("most memory at the peak: all runs equal, to 1 %") && html.contains("most tokens: b16"));
}

#[test]
fn members_of_the_front_that_hardly_differ_are_called_equal() {
    let with = |latencies: [f64; 3]| {
        let mut value = campaign(&[(8, "complete"), (16, "complete"), (32, "complete")]);
        for (place, latency) in latencies.into_iter().enumerate() {
            value["runs"][place]["figures"]["mean_latency_ms"] = json!(latency);
            value["runs"][place]["figures"]["tokens_per_second"] = json!(latency * 10.0);
        }
        check(value)
    };
    assert!(with([100.0, 100.5, 200.0]).contains("1 of them differ from the one before by less than 1 % in both"));
    assert!(!with([100.0, 110.0, 200.0]).contains("these are equal"));
}
