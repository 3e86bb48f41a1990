use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use snapbox::{assert_data_eq, file};

use crate::{stderr, stdout, vramscope};

/// A snapshot of a process that keeps `blocks` buffers of 1 MiB, at a time in seconds.
fn made(blocks: u64, second: i64) -> Value {
    let frames = |line: u64| {
        json!([{"name": "empty", "filename": "/v/lib/python3.12/site-packages/torch/x.py", "line": 1},
            {"name": "remember", "filename": "/app/serve.py", "line": line}])
    };
    let size = 1u64 << 20;
    let block = |n: u64| {
        json!({"address": n * size, "size": size, "requested_size": size - 24, "state": "active_allocated",
            "frames": frames(7)})
    };
    let mut list: Vec<Value> = (0..blocks).map(block).collect();
    list.push(json!({"address": blocks * size, "size": size, "requested_size": 0, "state": "inactive", "frames": []}));
    let event = |n: u64| {
        json!({"action": "alloc", "addr": n * size, "size": size - 24, "stream": 0, "time_us": second * 1_000_000,
            "frames": frames(7)})
    };
    json!({
        "segments": [{"device": 0, "address": 0, "total_size": (blocks + 1) * size, "allocated_size": blocks * size,
            "active_size": blocks * size, "requested_size": blocks * (size - 24), "stream": 0, "segment_type": "large",
            "segment_pool_id": [0, 0], "is_expandable": false, "frames": [], "blocks": list}],
        "device_traces": [(0..blocks).map(event).collect::<Vec<_>>()],
        "allocator_settings": {"PYTORCH_CUDA_ALLOC_CONF": ""},
    })
}

fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    fs::write(&path, text).expect("the folder takes a file");
    path.display().to_string()
}

fn document(args: &[&str]) -> Value {
    let ran = vramscope(args);
    assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
    serde_json::from_str(&stdout(&ran)).expect("the output is JSON")
}

#[test]
fn one_snapshot_is_one_document_and_one_page_of_eighty_columns() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "a.json", made(3, 1).to_string());
    let found = document(&["snapshot", &file, "--format", "json"]);
    assert_eq!(found["vramscope_snapshot"], 1);
    assert_eq!((&found["totals"]["active_bytes"], &found["totals"]["rounding_bytes"]), (&json!(3 << 20), &json!(72)));
    assert_eq!(found["holders"]["rows"][0]["name"], "/app/serve.py:7 remember");
    assert_eq!(found["histories"][0]["peak"]["requested_bytes"], (3 << 20) - 72);
    for by in ["stack", "function", "file", "module"] {
        let ran = vramscope(&["snapshot", &file, "--by", by]);
        let text = stdout(&ran);
        assert!(text.contains("reserved") && text.contains("/app"), "{by}: {text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}

#[test]
fn stacks_are_written_folded_with_their_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "a.json", made(2, 1).to_string());
    let out = folder.path().join("m.folded").display().to_string();
    let ran = vramscope(&["snapshot", &file, "--stacks", &out]);
    assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
    assert_eq!(fs::read_to_string(&out).unwrap(), "/app/serve.py:7 remember;torch/x.py:1 empty 2097152\n");
}

#[test]
fn a_series_names_what_keeps_growing_and_its_exit_code_tells() {
    let folder = tempfile::tempdir().unwrap();
    let file = |n: u64, blocks: u64| {
        write(folder.path(), &format!("{n:02}.json"), made(blocks, i64::try_from(n).unwrap() * 60).to_string())
    };
    let growing: Vec<String> = (0..8).map(|n| file(n, 3 + 3 * n)).collect();
    let steady: Vec<String> = (0..8).map(|n| file(20 + n, 5)).collect();
    let with = |files: &[String], more: &[&str]| {
        let mut args = vec!["snapshot"];
        args.extend(files.iter().map(String::as_str));
        args.extend(more);
        vramscope(&args)
    };
    let ran = with(&growing, &["--fail-on-growth"]);
    assert_eq!(ran.status.code(), Some(8), "{}", stderr(&ran));
    assert!(stdout(&ran).contains("+3.00 ±0.00 MiB/min") && stdout(&ran).contains("remember"), "{}", stdout(&ran));
    assert!(stdout(&ran).lines().all(|line| line.chars().count() <= 80), "{}", stdout(&ran));
    let ran = with(&steady, &["--fail-on-growth"]);
    assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
    assert!(stdout(&ran).contains("nothing keeps growing"), "{}", stdout(&ran));
    let ran = with(&growing[..2], &["--format", "json"]);
    let found: Value = serde_json::from_str(&stdout(&ran)).unwrap();
    assert_eq!((&found["change_bytes"], &found["rows"][0]["change_count"]), (&json!(3 << 20), &json!(3)));
    assert_eq!((&found["trend"], &found["growing"]), (&Value::Null, &json!(0)));
}

#[test]
fn what_is_no_snapshot_or_asks_for_code_is_bad_input() {
    let folder = tempfile::tempdir().unwrap();
    let harm = write(folder.path(), "h.pickle", b"\x80\x04cposix\nsystem\n\x8c\x02ls\x85R.");
    let empty = write(folder.path(), "e.pickle", b"");
    for (file, said) in
        [(&harm, "`posix.system`"), (&empty, "it is empty"), (&"/nowhere".to_owned(), "open the snapshot")]
    {
        let ran = vramscope(&["snapshot", file]);
        assert_eq!((ran.status.code(), stdout(&ran).as_str()), (Some(3), ""), "{}", stderr(&ran));
        assert!(stderr(&ran).contains(said), "{}", stderr(&ran));
    }
    let ran = vramscope(&["snapshot", &harm, "--fail-on-growth"]);
    assert_eq!(ran.status.code(), Some(2), "{}", stderr(&ran));
}

#[test]
fn the_page_of_an_engine_that_ran_out_of_memory() {
    let file = "crates/vramscope-snapshot/tests/it/data/vllm-8b-oom.pickle.gz";
    let ran = vramscope(&["snapshot", file, "--by", "part", "--top", "5"]);
    assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
    assert_data_eq!(stdout(&ran), file!["data/snapshot-oom.txt"]);
    assert!(stdout(&ran).lines().all(|line| line.chars().count() <= 80), "{}", stdout(&ran));
}

#[test]
fn the_page_of_a_process_that_leaks() {
    let folder = "crates/vramscope-snapshot/tests/it/data/growth";
    let files: Vec<String> = (0..10).map(|k| format!("{folder}/{k}.pickle.gz")).collect();
    let mut args = vec!["snapshot"];
    args.extend(files.iter().map(String::as_str));
    let ran = vramscope(&args);
    assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
    assert_data_eq!(stdout(&ran), file!["data/snapshot-growth.txt"]);
    assert!(stdout(&ran).lines().all(|line| line.chars().count() <= 80), "{}", stdout(&ran));
}

#[test]
fn the_recorded_time_is_a_trace_of_counters_slices_and_instants() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("memory.trace.json").display().to_string();
    let file = "crates/vramscope-snapshot/tests/it/data/vllm-8b-oom.pickle.gz";
    let ran = vramscope(&["snapshot", file, "--perfetto", &out, "--top", "20"]);
    assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
    let trace: Value = serde_json::from_slice(&fs::read(&out).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let of = |phase: &str| events.iter().filter(|event| event["ph"] == phase).collect::<Vec<_>>();
    let counters = |name: &str| of("C").into_iter().filter(|event| event["name"] == name).collect::<Vec<_>>();
    let size = |event: &Value, key: &str| event["args"][key].as_f64().unwrap() * f64::from(1 << 30);
    let document = document(&["snapshot", file, "--by", "part", "--format", "json"]);
    let history = &document["histories"][0];
    let peak = history["peak"]["requested_bytes"].as_f64().unwrap();
    let requested = counters("requested in active blocks");
    assert_eq!(requested.iter().map(|event| size(event, "GiB")).fold(0.0, f64::max), peak);
    let by_part = counters("requested by part (GiB)");
    let sums = by_part
        .iter()
        .map(|event| event["args"].as_object().unwrap().keys().map(|part| size(event, part)).sum::<f64>());
    assert_eq!(sums.fold(0.0, f64::max), peak);
    assert!(!counters("reserved of the driver").is_empty());
    assert_eq!(of("X").len(), 20);
    let failed = of("i");
    let said = history["out_of_memory"].as_array().unwrap();
    assert_eq!(failed.len(), said.len());
    assert_eq!(failed.last().unwrap()["args"]["asked_bytes"], said.last().unwrap()["asked_bytes"]);
    assert!(events.iter().filter_map(|event| event["ts"].as_f64()).all(|ts| ts >= 0.0));
}

#[test]
fn tracks_need_one_snapshot_with_a_history_that_has_times() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("x.json").display().to_string();
    let mut bare = made(3, 1);
    bare["device_traces"] = json!([]);
    let without = write(folder.path(), "a.json", bare.to_string());
    let mut timeless = made(3, 1);
    for event in timeless["device_traces"][0].as_array_mut().unwrap() {
        event.as_object_mut().unwrap().remove("time_us");
    }
    let timeless = write(folder.path(), "b.json", timeless.to_string());
    for (files, code, said) in [
        (vec![&without], 3, "no recorded history"),
        (vec![&timeless], 3, "no times in its history"),
        (vec![&without, &timeless], 2, "give one file"),
    ] {
        let mut args = vec!["snapshot", "--perfetto", &out];
        args.extend(files.iter().map(|file| file.as_str()));
        let ran = vramscope(&args);
        assert_eq!(ran.status.code(), Some(code), "{}", stderr(&ran));
        assert!(stderr(&ran).contains(said) && !Path::new(&out).exists(), "{}", stderr(&ran));
    }
}

#[test]
fn a_page_is_made_of_a_pickle_as_of_its_document_and_of_several_as_a_series() {
    let folder = tempfile::tempdir().unwrap();
    let page = |paths: &[&str]| {
        let out = folder.path().join("page.html").display().to_string();
        let mut args = vec!["report", "-o", &out];
        args.extend(paths);
        let ran = vramscope(&args);
        assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
        fs::read_to_string(&out).unwrap()
    };
    let file = "crates/vramscope-snapshot/tests/it/data/streams-oom.pickle.gz";
    let ran = vramscope(&["snapshot", file, "--format", "json"]);
    let document = write(folder.path(), "document.json", stdout(&ran));
    let of_pickle = page(&[file]);
    assert_eq!(of_pickle, page(&[&document]));
    assert!(of_pickle.contains("<figure class=\"flame\"") && of_pickle.contains("out of memory: "));
    let json = write(folder.path(), "raw.json", made(3, 1).to_string());
    assert!(page(&[&json]).contains("What reserved memory is made of"));
    let later = write(folder.path(), "later.json", made(5, 61).to_string());
    assert!(page(&[&json, &later]).contains("What grows in a process&#39;s memory"));
}
