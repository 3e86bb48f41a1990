//! Every figure of a tool's table that a result has a place for.

use vramscope_results::{LatencyKind, LoadResult};

use crate::{results, text};

/// `Mean TTFT (ms):   58.21` of the tables that vLLM and SGLang print: each line with a known name, and what we read.
fn printed(result: &LoadResult, table: &str) -> usize {
    let mut checked = 0;
    for line in table.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let Ok(value) = value.trim().parse::<f64>() else { continue };
        let Some(ours) = named(result, name) else { continue };
        assert!((ours - value).abs() <= 0.005 + 1e-9, "{name}: printed {value}, read {ours}");
        checked += 1;
    }
    checked
}

fn whole(count: Option<u64>) -> Option<f64> {
    count.map(|n| f64::from(u32::try_from(n).unwrap()))
}

fn named(result: &LoadResult, name: &str) -> Option<f64> {
    match name {
        "Successful requests" => return whole(result.counts.completed),
        "Failed requests" => return whole(result.counts.failed),
        "Maximum request concurrency" | "Max request concurrency" => return whole(result.asked.concurrency),
        "Traffic request rate" | "Request rate configured (RPS)" => return result.asked.rate_per_s,
        "Benchmark duration (s)" => return result.duration_s,
        "Total input tokens" => return whole(result.counts.input_tokens),
        "Total generated tokens" => return whole(result.counts.output_tokens),
        "Request throughput (req/s)" => return result.rates.requests_per_s,
        "Output token throughput (tok/s)" => return result.rates.output_tokens_per_s,
        "Total token throughput (tok/s)" => return result.rates.total_tokens_per_s,
        _ => {}
    }
    let (statistic, time) = name.strip_suffix(" (ms)")?.split_once(' ')?;
    let kind = match time {
        "TTFT" => LatencyKind::TimeToFirstToken,
        "TPOT" => LatencyKind::TimePerOutputToken,
        "ITL" => LatencyKind::InterTokenLatency,
        "E2EL" | "E2E Latency" => LatencyKind::EndToEnd,
        _ => return None,
    };
    let latency = result.latency(kind).unwrap_or_else(|| panic!("no {time}"));
    match statistic {
        "Mean" => latency.mean_ms,
        "Median" => latency.percentile_ms(50.0),
        _ => latency.percentile_ms(statistic.strip_prefix('P')?.parse().ok()?),
    }
}

#[test]
fn figures_of_vllm_are_those_that_it_printed() {
    for (file, tables) in [
        ("vllm/plain.json", &["vllm/plain.txt"][..]),
        ("vllm/detailed-failed.json", &["vllm/detailed-failed.txt"]),
        ("vllm/appended.json", &["vllm/appended-1.txt", "vllm/appended-2.txt"]),
    ] {
        let found = results(file);
        assert_eq!(found.len(), tables.len(), "{file}");
        for (result, table) in found.iter().zip(tables) {
            let checked = printed(result, &text(table));
            assert!(checked >= 28, "{table}: only {checked} figures were compared");
            assert_eq!((result.tool.name, &result.tool.version), ("vllm bench serve", &None));
        }
    }
    let failed = &results("vllm/detailed-failed.json")[0];
    assert_eq!((failed.counts.completed, failed.counts.failed, failed.counts.unsent), (Some(6), Some(2), None));
    let appended = &results("vllm/appended.json")[1];
    assert_eq!((appended.asked.rate_per_s, appended.asked.concurrency), (Some(20.0), None));
}

#[test]
fn figures_of_sglang_are_those_that_it_printed() {
    let found = results("sglang/results.jsonl");
    assert_eq!(found.len(), 2);
    for (result, table) in found.iter().zip(["sglang/results-1.txt", "sglang/results-2.txt"]) {
        let checked = printed(result, &text(table));
        assert!(checked >= 26, "{table}: only {checked} figures were compared");
        assert_eq!(result.tool.name, "sglang bench_serving");
    }
    assert_eq!(found[0].counts.failed, None, "without --output-details nothing says how many failed");
    assert_eq!(found[0].asked.rate_per_s, None, "Infinity is no rate");
    assert_eq!((found[1].counts.completed, found[1].counts.failed), (Some(6), Some(2)));
    assert_eq!((found[1].asked.input_len, found[1].asked.output_len), (Some(16), Some(8)));
}

#[test]
fn figures_of_aiperf_are_those_that_it_printed() {
    for (file, table, failed) in
        [("aiperf/plain.json", "aiperf/plain.txt", 0), ("aiperf/failed.json", "aiperf/failed.txt", 2)]
    {
        let result = &results(file)[0];
        let mut checked = 0;
        for line in text(table).lines() {
            let cells: Vec<&str> = line.split('│').map(str::trim).collect();
            let [_, name, rest @ ..] = &cells[..] else { continue };
            let number = |place: usize| rest.get(place).and_then(|cell| cell.replace(',', "").parse::<f64>().ok());
            let kind = match *name {
                "Time to First Token (ms)" => LatencyKind::TimeToFirstToken,
                "Inter Token Latency (ms)" => LatencyKind::TimePerOutputToken,
                "Request Latency (ms)" => LatencyKind::EndToEnd,
                "Output Token Throughput (tokens/sec)" => {
                    near(name, result.rates.output_tokens_per_s, number(0).unwrap(), 0.005, &mut checked);
                    continue;
                }
                "Request Throughput (requests/sec)" => {
                    near(name, result.rates.requests_per_s, number(0).unwrap(), 0.005, &mut checked);
                    continue;
                }
                "Request Count (requests)" => {
                    near(name, whole(result.counts.completed), number(0).unwrap(), 0.0, &mut checked);
                    continue;
                }
                _ => continue,
            };
            let latency = result.latency(kind).unwrap();
            let ours = [
                latency.mean_ms,
                latency.min_ms,
                latency.max_ms,
                latency.percentile_ms(99.0),
                latency.percentile_ms(90.0),
                latency.percentile_ms(50.0),
                latency.std_ms,
            ];
            for (place, ours) in ours.into_iter().enumerate() {
                near(name, ours, number(place).unwrap(), 0.005, &mut checked);
            }
        }
        assert_eq!(checked, 24, "{table}");
        assert_eq!(result.counts.failed, Some(failed), "{file}");
        assert_eq!(result.tool.version.as_deref(), Some("0.13.0"));
    }
    let (plain, failed) = (&results("aiperf/plain.json")[0], &results("aiperf/failed.json")[0]);
    assert_eq!((plain.asked.concurrency, failed.asked.rate_per_s), (Some(2), Some(20.0)));
    assert!(plain.latency(LatencyKind::InterTokenLatency).is_some(), "its inter-chunk latency");
}

#[test]
fn figures_of_guidellm_are_those_that_it_printed_under_their_right_names() {
    let result = &results("guidellm/benchmarks.json")[0];
    let table = text("guidellm/benchmarks.txt");
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.starts_with("| concurrent@2"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let number = |row: usize, place: usize| {
        let cell = rows[row][place].split('±').next().unwrap().trim().trim_end_matches('*');
        cell.parse::<f64>().unwrap()
    };
    let mut checked = 0;
    // Mean, median and 95 %; its table shows one decimal, and end to end in seconds.
    for (kind, first, unit) in [
        (LatencyKind::EndToEnd, 1, 1e3),
        (LatencyKind::TimeToFirstToken, 4, 1.0),
        (LatencyKind::TimePerOutputToken, 10, 1.0),
        (LatencyKind::EndToEndPerToken, 13, 1.0),
    ] {
        let latency = result.latency(kind).unwrap();
        let ours = [latency.mean_ms, latency.percentile_ms(50.0), latency.percentile_ms(95.0)];
        for (place, ours) in ours.into_iter().enumerate() {
            near("a time", ours, number(1, first + place) * unit, 0.051 * unit, &mut checked);
        }
    }
    near("output tokens", result.rates.output_tokens_per_s, number(2, 5), 0.051, &mut checked);
    assert_eq!(checked, 13);
    let requests = result.rates.requests_per_s.unwrap();
    let all = number(2, 3);
    assert!((requests - all * 6.0 / 8.0).abs() < 0.05, "its table counts failed requests as served: {all}, {requests}");
    assert_eq!((result.counts.completed, result.counts.failed), (Some(6), Some(2)));
    assert_eq!((result.asked.concurrency, result.asked.requests), (Some(2), Some(8)));
    assert_eq!(result.latency(LatencyKind::InterTokenLatency), None, "it has no time of single gaps");
    assert_eq!(result.tool.version.as_deref(), Some("0.8.1"));
}

#[test]
fn a_sweep_is_read_from_its_runs_and_from_its_summary() {
    let run = &results("sweep/BENCH--max_concurrency=4/run=1.json")[0];
    let summary = results("sweep/BENCH--max_concurrency=4/summary.json");
    assert_eq!(summary.len(), 2);
    assert_eq!(run, &summary[1], "the summary holds the same runs");
    assert_eq!((run.asked.concurrency, run.label.as_deref()), (Some(4), Some("run 1")));
}

#[track_caller]
fn near(name: &str, ours: Option<f64>, printed: f64, off: f64, checked: &mut usize) {
    let ours = ours.unwrap_or_else(|| panic!("{name}: nothing was read, printed {printed}"));
    assert!((ours - printed).abs() <= off + 1e-9, "{name}: printed {printed}, read {ours}");
    *checked += 1;
}

/// The cells of a row of our own table, without its name.
fn row(table: &str, heading: &str, name: &str) -> Vec<f64> {
    let mut lines = table.lines().skip_while(|line| !line.contains(heading));
    let line = lines.find(|line| line.trim_start().starts_with(&format!("{name} "))).unwrap();
    let cells = line.trim_start()[name.len()..].split_whitespace();
    cells.filter_map(|cell| cell.parse().ok()).collect()
}

#[test]
fn levels_of_our_own_are_runs_with_the_figures_of_its_table() {
    let (runs, table) = (results("vramscope/load.json"), text("vramscope/load.txt"));
    let names = ["2 in flight", "2 in flight #2", "8 in flight", "8 in flight #2"];
    assert_eq!(runs.iter().map(|run| run.label.as_deref().unwrap()).collect::<Vec<_>>(), names);
    for (run, name) in runs.iter().zip(names) {
        let [sent, failed, _, done, output, ..] = row(&table, "sent failed", name)[..] else { panic!("{name}") };
        assert_eq!(whole(run.counts.failed), Some(failed), "{name}");
        assert_eq!(whole(run.counts.completed), Some(sent - failed), "{name}");
        assert_eq!(whole(run.counts.failures.get("status_429").copied()), Some(failed), "{name}");
        let near = |ours: Option<f64>, printed: f64, digits: f64| {
            let ours = ours.unwrap();
            assert!((ours - printed).abs() <= 0.5 * digits + 1e-9, "{name}: {ours}, printed {printed}");
        };
        near(run.rates.requests_per_s, done, if done < 100.0 { 0.1 } else { 1.0 });
        near(run.rates.output_tokens_per_s, output, 1.0);
        let times = row(&table, "TTFT p50", name);
        let [ttft50, ttft95, ttft99, tpot50, tpot99, itl50, itl99, e2e50, e2e95, e2e99] = times[..] else {
            panic!("{times:?}")
        };
        for (kind, percent, printed, digits) in [
            (LatencyKind::TimeToFirstToken, 50.0, ttft50, 0.1),
            (LatencyKind::TimeToFirstToken, 95.0, ttft95, 0.1),
            (LatencyKind::TimeToFirstToken, 99.0, ttft99, 0.1),
            (LatencyKind::TimePerOutputToken, 50.0, tpot50, 0.01),
            (LatencyKind::TimePerOutputToken, 99.0, tpot99, 0.01),
            (LatencyKind::InterTokenLatency, 50.0, itl50, 0.01),
            (LatencyKind::InterTokenLatency, 99.0, itl99, 0.01),
            (LatencyKind::EndToEnd, 50.0, e2e50, 0.1),
            (LatencyKind::EndToEnd, 95.0, e2e95, 0.1),
            (LatencyKind::EndToEnd, 99.0, e2e99, 0.1),
        ] {
            near(run.latency(kind).unwrap().percentile_ms(percent), printed, digits);
        }
        assert_eq!((run.asked.input_len, run.asked.output_len, run.asked.seed), (Some(64), Some(16), Some(7)));
        assert!(run.rates.good_per_s.is_some());
    }
    assert_eq!((runs[2].asked.concurrency, runs[0].tool.name), (Some(8), "vramscope load"));
}

#[test]
fn a_load_document_of_another_version_or_with_a_figure_that_is_none_is_refused() {
    let text = text("vramscope/load.json");
    let newer = text.replacen("\"vramscope_load\": 1", "\"vramscope_load\": 9", 1);
    let newer = newer.replacen("\"vramscope_load\":1", "\"vramscope_load\":9", 1);
    let refused = vramscope_results::read(newer.as_bytes()).unwrap_err().to_string();
    assert!(refused.contains("vramscope_load is 9"), "{refused}");
    let mut wrong: serde_json::Value = serde_json::from_str(&text).unwrap();
    wrong["levels"][1]["ttft"]["p50_ms"] = (-1.0).into();
    let refused = vramscope_results::read(wrong.to_string().as_bytes()).unwrap_err().to_string();
    assert!(refused.contains("run 2: ttft.p50_ms is -1"), "{refused}");
}
