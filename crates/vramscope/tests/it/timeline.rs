//! `vramscope timeline`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use snapbox::{assert_data_eq, file};
use vramscope_timeline::document::{
    Backend, Call, Cost, Device, End, Ending, Gap, Header, Line, Mark, Percentiles, Sample, Slow, Writer,
};

use crate::{stderr, stdout, vramscope};

const ANCHOR: i64 = 1_795_323_230_000_000_000;
const SECOND: i64 = 1_000_000_000;

/// Two minutes of two devices: the first works in waves, and its memory follows; the second one does nothing.
fn lines() -> (Header, Vec<Line>) {
    let device = |gpu_index: u32| Device {
        gpu_index,
        uuid: Some(format!("GPU-{gpu_index}")),
        name: Some("NVIDIA H200".into()),
        total_bytes: Some(150_754_820_096),
        ..Device::default()
    };
    let backend = Backend {
        name: "nvml".into(),
        driver_version: Some("580.159.04".into()),
        power_kind: Some("instant".into()),
        ..Backend::default()
    };
    let header = Header {
        anchor_unix_ns: Some(ANCHOR),
        period_ms: Some(1000.0),
        slow_period_ms: Some(1000.0),
        backends: vec![backend],
        devices: vec![device(0), device(1)],
        ..Header::default()
    };
    let mut lines = vec![mark(0, "baseline")];
    for tick in 0..120u32 {
        let timestamp_ns = ANCHOR + i64::from(tick) * SECOND;
        // A wave with some noise of a fixed sequence.
        let level = [0, 3, 9, 14, 20, 24, 17, 8, 2, 0][tick as usize % 10] + tick * 7919 % 5;
        let slow = Slow { timestamp_ns, gpu_index: 0, energy_mj: Some(u64::from(tick) * 300_000), ..Slow::default() };
        lines.push(Line::Slow(slow));
        if tick == 60 {
            lines.push(mark(60, "measure"));
        }
        if (80..83).contains(&tick) {
            continue;
        }
        for gpu_index in 0..2 {
            let busy = if gpu_index == 0 { level } else { 0 };
            lines.push(Line::Sample(Sample {
                timestamp_ns,
                tick,
                gpu_index,
                used_bytes: (u64::from(busy) + 3 + u64::from(gpu_index == 0) * (u64::from(tick) * 104_729 % 7)) << 30,
                power_mw: Some(80_000 + busy * 20_000),
                temp_c: Some(36 + busy / 3 + tick * 31 % 3),
                util_gpu_pct: u8::try_from(busy * 4).ok(),
                ..Sample::default()
            }));
        }
        if tick == 83 {
            lines.push(Line::Gap(Gap {
                timestamp_ns: ANCHOR + 79 * SECOND,
                end_ns: timestamp_ns,
                gpu_index: None,
                cause: "missed_ticks".into(),
                missed: 6,
                error: None,
            }));
        }
    }
    let time = Percentiles { p50_us: 5.4, p99_us: 11.25, max_us: 320.0 };
    let call = |call: &str| Call { call: call.into(), count: 240, total_ms: 1.5, time };
    lines.push(Line::Cost(Cost {
        timestamp_ns: ANCHOR + 120 * SECOND,
        cpu_ms: Some(36.0),
        wall_ms: 120_000.0,
        ticks: 117,
        missed: 3,
        lateness: Percentiles { p50_us: 60.0, p99_us: 250.0, max_us: 1900.0 },
        calls: vec![call("memory"), call("power")],
        ..Cost::default()
    }));
    let timestamp_ns = ANCHOR + 120 * SECOND;
    lines.push(Line::End(End { timestamp_ns, ending: Ending::Finished, ticks: 117, missed: 3, dropped: 0 }));
    (header, lines)
}

fn mark(at_s: i64, phase: &str) -> Line {
    Line::Mark(Mark { timestamp_ns: ANCHOR + at_s * SECOND, phase: phase.into() })
}

fn recording(folder: &Path) -> PathBuf {
    let (header, lines) = lines();
    let mut writer = Writer::new(Vec::new(), &header).unwrap();
    lines.iter().for_each(|line| writer.line(line).unwrap());
    let path = folder.join("run.jsonl");
    fs::write(&path, writer.into_inner()).unwrap();
    path
}

fn timeline(path: &Path, args: &[&str]) -> Output {
    vramscope(&[&["timeline", path.to_str().unwrap()], args].concat())
}

fn report(path: &Path, args: &[&str]) -> Value {
    let output = timeline(path, &[args, &["--format", "json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_recording_is_shown_with_all_that_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let output = timeline(&recording(folder.path()), &["--correlate"]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    let text = stdout(&output);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert_data_eq!(text, file!["data/timeline.txt"]);
}

#[test]
fn its_document_has_the_same_and_says_where_there_is_no_number() {
    let folder = tempfile::tempdir().unwrap();
    let found = report(&recording(folder.path()), &["--correlate", "--idle-below", "20"]);
    assert_eq!(found["devices"][0]["idle"]["threshold_pct"], 20);
    assert_eq!(found["devices"][1]["correlations"][0]["not_enough"], "used_bytes does not vary");
    assert_eq!(found["devices"][1]["correlations"][0]["pearson"], Value::Null);
    assert_data_eq!(serde_json::to_string_pretty(&found).unwrap() + "\n", file!["data/timeline.json"]);
}

#[test]
fn every_form_has_the_same_statistics_and_the_way_back_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let first = recording(folder.path());
    let (parquet, again) = (folder.path().join("a.parquet"), folder.path().join("b.jsonl"));
    let from_lines = report(&first, &["-o", parquet.to_str().unwrap()]);
    let from_parquet = report(&parquet, &["-o", again.to_str().unwrap()]);
    assert_eq!(from_parquet, from_lines);
    assert!(fs::read(&again).unwrap() == fs::read(&first).unwrap(), "byte for byte");
    let csv = folder.path().join("c.csv");
    let output = timeline(&first, &["-o", csv.to_str().unwrap()]);
    let said = stderr(&output);
    assert!(said.contains("120 slow readings, 2 phase marks, 1 gaps are left out"), "{said}");
    let from_csv = report(&csv, &[]);
    let metrics = |report: &Value| report["devices"][0]["metrics"].clone();
    assert_eq!(metrics(&from_csv), metrics(&from_lines));
    assert_eq!(from_csv["missing"], 3, "the gap of all devices is found again, counted in ticks");
}

#[test]
fn a_recording_that_was_killed_is_shown_up_to_its_last_whole_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = recording(folder.path());
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let found = report(&path, &[]);
    assert_eq!(found["complete"], false);
    let notes = found["notes"].to_string();
    assert!(notes.contains("torn") && notes.contains("cut short"), "{notes}");
    assert!(found["ticks"].as_u64().unwrap() > 50);
    let table = stdout(&timeline(&path, &[]));
    assert!(table.contains("note: the recording has no end: it was cut short"), "{table}");
    // Cut short, it can still become another form, and stays known as cut short.
    let parquet = folder.path().join("cut.parquet");
    report(&path, &["-o", parquet.to_str().unwrap()]);
    assert_eq!(report(&parquet, &[])["complete"], false);
}

#[test]
fn a_log_of_nvidia_smi_is_a_recording_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gpu.csv");
    let mut text = "timestamp, index, memory.used [MiB], power.draw [W], utilization.gpu [%]\n".to_owned();
    for second in 10..50 {
        text.push_str(&format!("2026/11/22 05:24:{second}.000, 0, 300 MiB, 90.50 W, 0 %\n"));
    }
    text.push_str("2026/11/22 05:24:50.000, 0, 30");
    fs::write(&path, text).unwrap();
    let found = report(&path, &[]);
    assert_eq!((&found["start_unix_ns"], &found["complete"]), (&Value::Null, &Value::Bool(false)));
    assert_eq!(found["devices"][0]["samples"], 40);
    let notes = found["notes"].to_string();
    assert!(notes.contains("torn") && notes.contains("does not name"), "{notes}");
    assert_eq!(found["devices"][0]["idle"]["share"], 1.0);
}

#[test]
fn so_is_a_log_of_its_dmon_that_powershell_has_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gpu_log.txt");
    let mut text = "\u{feff}#Date Time gpu sm fb pwr gtemp\r\n#YYYYMMDD HH:MM:SS Idx % MB W C\r\n".to_owned();
    for second in 10..50 {
        text.push_str(&format!(" 20261122   05:24:{second}      0     98   1024    300      -\r\n"));
    }
    fs::write(&path, text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()).unwrap();
    let found = report(&path, &[]);
    let device = &found["devices"][0];
    assert_eq!((&found["complete"], &device["samples"]), (&Value::Bool(true), &Value::from(40)), "{found:#}");
    let mean = |name: &str| {
        device["metrics"].as_array().unwrap().iter().find(|m| m["metric"] == name).unwrap()["mean"].clone()
    };
    assert_eq!((mean("used_bytes"), mean("power_mw")), (Value::from(1024.0 * 1_048_576.0), Value::from(300_000.0)));
}

#[test]
fn what_is_no_recording_or_cannot_be_written_has_its_own_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    for (text, said) in [
        ("dear colleague\n", "neither a recording of this program"),
        ("{\"profile\": 1}\n", "a timeline's header"),
        ("", "it is empty"),
        ("PAR1", "Parquet file"),
    ] {
        fs::write(&path, text).unwrap();
        let output = timeline(&path, &[]);
        assert_eq!(output.status.code(), Some(3), "{text}");
        assert!(stderr(&output).contains(said) && stderr(&output).contains("notes.txt"), "{}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
    let output = timeline(&folder.path().join("absent"), &[]);
    assert_eq!(output.status.code(), Some(3));
    let recorded = recording(folder.path());
    assert_eq!(timeline(&recorded, &["-o", "/proc/nowhere/x.csv"]).status.code(), Some(4));
    let unknown = timeline(&recorded, &["-o", "x.txt"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).contains(".parquet"));
}

#[test]
fn a_device_of_which_nothing_was_read_has_no_empty_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("begun.jsonl");
    let header = "{\"vramscope_timeline\": 1, \"devices\": [{\"gpu_index\": 0, \"name\": \"Stand-in GPU\"}, \
                  {\"gpu_index\": 3, \"partition\": \"mig 0/2/1\"}]}\n";
    std::fs::write(&path, header).unwrap();
    let text = stdout(&vramscope(&["timeline", path.to_str().unwrap()]));
    assert!(
        text.contains("\nGPU 0  Stand-in GPU  0 samples\n\nGPU 3  (name not stated) [mig 0/2/1]  0 samples\n"),
        "{text}"
    );
    assert!(!text.contains("median"), "{text}");
}

#[test]
fn what_data_tools_wrote_anew_is_shown_with_what_is_not_known() {
    let data = crate::root().join("crates/vramscope-timeline/tests/it/data");
    let shown = |name: &str| {
        let ran = vramscope(&["timeline", data.join(name).to_str().unwrap(), "--format", "json"]);
        assert_eq!(ran.status.code(), Some(0), "{name}: {}", stderr(&ran));
        serde_json::from_str::<Value>(&stdout(&ran)).unwrap()
    };
    let first = shown("recording.jsonl");
    for name in ["duckdb.parquet", "polars.parquet", "pandas.parquet", "pyarrow.parquet"] {
        let report = shown(name);
        for key in ["complete", "start_unix_ns", "samples", "phases", "gaps"] {
            assert_eq!(report[key], first[key], "{name}: {key}");
        }
        let noted = report["notes"].to_string().contains("`vramscope_timeline`");
        assert_eq!(noted, name != "pyarrow.parquet", "{name}: {}", report["notes"]);
    }
    let ran = vramscope(&["timeline", data.join("duckdb-two.parquet").to_str().unwrap()]);
    assert_eq!(ran.status.code(), Some(3));
    assert!(stderr(&ran).contains("no column gpu_index"), "{}", stderr(&ran));
}
