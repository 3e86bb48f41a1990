//! What holds for any file.

use proptest::prelude::*;
use vramscope_results::{LatencyKind, ResultError, is_result, read};

use crate::recorded;

const FILES: [&str; 6] = [
    "vllm/plain.json",
    "vllm/detailed-failed.json",
    "vllm/appended.json",
    "sglang/results.jsonl",
    "guidellm/benchmarks.json",
    "aiperf/failed.json",
];

#[test]
fn a_file_that_is_cut_is_told_by_its_place_or_holds_whole_runs_only() {
    for name in FILES {
        let whole = recorded(name);
        let all = read(&whole).unwrap();
        for cut in (0..whole.len()).step_by(whole.len() / 37 + 1) {
            match read(&whole[..cut]) {
                Ok(found) => assert!(all.starts_with(&found), "{name} cut at {cut}"),
                Err(ResultError::Json { line, .. }) => assert!(line > 0, "{name} cut at {cut}"),
                Err(ResultError::Kind { .. }) => assert_eq!(cut, 0, "{name}"),
                Err(other) => panic!("{name} cut at {cut}: {other}"),
            }
        }
    }
}

#[test]
fn what_is_no_figure_is_refused_by_run_and_field() {
    for (text, said) in [
        (r#"{"duration": 1, "completed": 2}{"duration": -1}"#, "run 2: duration is -1"),
        (r#"{"duration": 1, "completed": 2.5}"#, "run 1: completed is 2.5; expected a whole number"),
        (r#"{"duration": 1, "completed": 2, "mean_ttft_ms": "x"}"#, "mean_ttft_ms is a text"),
        (r#"{"duration": 1, "completed": 2}{"completed": 2}"#, "run 2: duration is absent"),
        (
            r#"{"aiperf_version": "9", "request_latency": {"unit": "fortnights", "avg": 1}}"#,
            "request_latency.unit is fortnights; expected ms",
        ),
        (r#"{"metadata": {"version": 7}, "benchmarks": []}"#, "metadata.version is 7"),
        (
            r#"{"metadata": {}, "benchmarks": [{"metrics": {"request_totals": 3}}]}"#,
            "benchmarks[0].metrics.request_totals",
        ),
        (r#"{"vramscope_profile": 3}"#, "there is other JSON"),
        ("", "there is nothing"),
        ("{\"duration\"", "line 1"),
    ] {
        let error = read(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(said), "{text}: {error}");
    }
}

#[test]
fn zeros_of_a_run_that_answered_nothing_are_no_times() {
    let nothing = r#"{"duration": 3.0, "completed": 0, "failed": 8, "mean_ttft_ms": 0.0, "p99_ttft_ms": 0.0, "mean_e2el_ms": 7.0}"#;
    let result = &read(nothing.as_bytes()).unwrap()[0];
    assert!(result.latencies.is_empty() && result.counts.failed == Some(8));
    let one_token =
        r#"{"duration": 3.0, "completed": 4, "mean_tpot_ms": 0.0, "p99_tpot_ms": 0.0, "mean_e2el_ms": 7.0}"#;
    let result = &read(one_token.as_bytes()).unwrap()[0];
    assert_eq!(result.latency(LatencyKind::TimePerOutputToken), None, "answers of one token have no time between");
    assert!(result.latency(LatencyKind::EndToEnd).is_some());
}

#[test]
fn our_own_counts_stand_under_our_own_name() {
    let ours = br#"{"duration": 2, "completed": 5, "failed": 3, "vramscope": {"generator": "vramscope-load 0.1.0",
        "unsent": 2, "short": 1, "late": 4, "chunks": 40, "stopped": false, "input_len": 16, "output_len": "8..16",
        "failures": {"cut": 2, "status 429": 1}}}"#;
    let result = &read(ours).unwrap()[0];
    let counts = &result.counts;
    assert_eq!((counts.unsent, counts.short, counts.late, counts.chunks), (Some(2), Some(1), Some(4), Some(40)));
    assert_eq!(counts.failures.values().sum::<u64>(), counts.failed.unwrap());
    assert_eq!((result.asked.input_len, result.asked.output_len, result.stopped), (Some(16), None, Some(false)));
    assert_eq!((result.tool.name, result.tool.version.as_deref()), ("vramscope", Some("0.1.0")));
}

#[test]
fn depth_and_number_of_runs_are_bounded() {
    let deep = format!("{{\"duration\": 1, \"completed\": {}", "[".repeat(100_000));
    assert!(read(deep.as_bytes()).is_err());
    let many = "{\"duration\": 1, \"completed\": 1}\n".repeat(vramscope_results::MOST_RESULTS + 1);
    assert!(matches!(read(many.as_bytes()), Err(ResultError::TooMuch { .. })));
    let listed =
        format!("[{}]", vec!["{\"duration\": 1, \"completed\": 1}"; vramscope_results::MOST_RESULTS + 1].join(","));
    assert!(read(listed.as_bytes()).unwrap_err().to_string().contains("more runs"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(name in 0..FILES.len(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut file = recorded(FILES[name]);
        let place = at.index(file.len());
        file[place] = byte;
        let _ = (is_result(&file), read(&file));
    }

    #[test]
    fn no_control_code_of_a_file_is_said(text in "\\PC{0,8}[\u{1}-\u{1f}]{1,4}") {
        let json = serde_json::json!({"duration": 1, "completed": 1, "model_id": text, "label": text});
        let result = &read(json.to_string().as_bytes()).unwrap()[0];
        for said in result.model.iter().chain(&result.label) {
            prop_assert_eq!(said, &vramscope_core::on_one_line(said));
        }
    }
}
