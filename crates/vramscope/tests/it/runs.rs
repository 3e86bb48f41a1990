//! `vramscope runs`.

use std::fs;

use snapbox::{assert_data_eq, file};

use crate::{stderr, stdout, vramscope};

#[test]
fn recordings_in_a_folder() {
    let output = vramscope(&["runs", "examples"]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    assert_data_eq!(stdout(&output), file!["data/runs.txt"]);
}

/// A document of version 2 with this batch and speed.
fn document(batch: u64, tokens_per_second: f64) -> String {
    let document = serde_json::json!({
        "schema_version": "2.0",
        "profiler_version": "2.0",
        "model_info": {"name": "m", "batch_size": batch},
        "memory_breakdown": {"total_measured_gb": 10.0},
        "latency_stats": {"mean_latency_ms": 100.0, "tokens_per_second": tokens_per_second},
    });
    document.to_string()
}

#[test]
fn a_sweep_of_earlier_profiles_shows_how_speed_scales_and_that_their_units_are_doubtful() {
    let folder = tempfile::tempdir().unwrap();
    for (batch, rate) in [(1, 42.0), (4, 150.0), (16, 450.0), (32, 470.0)] {
        fs::write(folder.path().join(format!("bs{batch:02}.json")), document(batch, rate)).unwrap();
    }
    fs::write(folder.path().join("x.repeat.json"), "{}").unwrap();
    fs::write(folder.path().join("broken.json"), "{").unwrap();
    let path = folder.path().to_str().unwrap();
    let output = vramscope(&["runs", path]);
    assert_eq!(output.status.code(), Some(0));
    assert_data_eq!(stdout(&output).replace(path, "[FOLDER]"), file!["data/runs-sweep.txt"]);
    assert!(stderr(&output).starts_with("left out: could not read") && stderr(&output).lines().count() == 1);
    let csv = stdout(&vramscope(&["runs", path, "--format", "csv"]));
    assert_eq!(csv.lines().next(), Some("run,status,model,batch_size,peak_bytes,mean_latency_ms,tokens_per_second"));
    assert_eq!(csv.lines().count(), 5);
    let json: serde_json::Value =
        serde_json::from_str(&stdout(&vramscope(&["runs", path, "--format", "json"]))).unwrap();
    assert_eq!(json["series"][0]["slows_at"], 32);
}

#[test]
fn a_profile_with_its_recording_beside_it_is_one_run() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.json"), document(1, 1.0)).unwrap();
    fs::create_dir(folder.path().join("a")).unwrap();
    fs::copy(crate::root().join("examples/noisy-neighbour/vllm.log"), folder.path().join("a/engine.log")).unwrap();
    let csv = stdout(&vramscope(&["runs", folder.path().to_str().unwrap(), "--format", "csv"]));
    assert_eq!(csv.lines().count(), 2, "{csv}");
}

#[test]
fn served_runs_show_what_their_requests_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let served = serde_json::json!({
        "schema_version": "3.1",
        "profiler_version": "3.1",
        "generator": {"name": "vramscope", "version": "0"},
        "metadata": {"status": "complete"},
        "served_stats": {"time_to_first_token": {"median_ms": 12.5}, "time_per_output_token": {"median_ms": 3.25}},
    });
    fs::write(folder.path().join("served.json"), served.to_string()).unwrap();
    let path = folder.path().to_str().unwrap();
    let table = stdout(&vramscope(&["runs", path]));
    assert!(table.contains("TTFT ms") && table.contains("TPOT ms"), "{table}");
    assert!(table.contains("12.50") && table.contains("3.25"), "{table}");
    fs::write(folder.path().join("served.json"), document(1, 1.0)).unwrap();
    let table = stdout(&vramscope(&["runs", path]));
    assert!(!table.contains("TTFT"), "{table}");
}

#[test]
fn what_is_named_must_be_readable_and_a_folder_must_hold_something() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("broken.json"), "{").unwrap();
    let broken = folder.path().join("broken.json");
    assert_eq!(vramscope(&["runs", broken.to_str().unwrap()]).status.code(), Some(3));
    assert_eq!(vramscope(&["runs", folder.path().to_str().unwrap()]).status.code(), Some(3));
    assert_eq!(vramscope(&["runs", "no/such"]).status.code(), Some(3));
    assert_eq!(vramscope(&["runs"]).status.code(), Some(2));
}

#[test]
fn results_of_load_generators_are_runs() {
    let data = "crates/vramscope-results/tests/it/data";
    let (sglang, guidellm) = (format!("{data}/sglang/results.jsonl"), format!("{data}/guidellm/benchmarks.json"));
    let sweep = format!("{data}/sweep");
    let output = vramscope(&["runs", &sweep, &sglang, &guidellm, "--format", "csv"]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    let csv = stdout(&output);
    let mut lines = csv.lines();
    let heads: Vec<&str> = lines.next().unwrap().split(',').collect();
    let column = |name: &str| heads.iter().position(|head| *head == name).unwrap_or_else(|| panic!("no {name}: {csv}"));
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 7, "four runs of a sweep without its summary, two lines, one strategy: {csv}");
    let of = |name: &str| rows.iter().map(|row| row[column(name)]).collect::<Vec<_>>();
    assert_eq!(of("batch_size"), ["1", "1", "4", "4", "4", "", "2"]);
    assert_eq!(of("failed_requests"), ["0", "0", "0", "0", "", "2", "2"]);
    assert!(of("run")[4].ends_with("results.jsonl#1"), "{csv}");
    assert!(of("sent_by")[6].starts_with("guidellm 0.8.1"), "{csv}");
}
