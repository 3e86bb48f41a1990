use std::fs;
use std::path::Path;

use crate::{stderr, stdout, vramscope};

/// A trace of two steps on one device: kernels, a copy, their calls, and one operator.
fn trace(scale: u32) -> String {
    let mut events = Vec::new();
    for step in 0..2u32 {
        let at = 1000 + step * 100;
        let name = format!("execute_context_0(0)_generation_{0}({0})", step + 1);
        events.push(format!(
            r#"{{"ph":"X","cat":"user_annotation","name":"{name}","pid":5,"tid":5,"ts":{at},"dur":90}}"#
        ));
        events.push(format!(r#"{{"ph":"X","cat":"cpu_op","name":"aten::mm","pid":5,"tid":5,"ts":{at}.5,"dur":20}}"#));
        let work = [(0, "kernel", "nvjet_tst", 30 * scale), (1, "gpu_memcpy", "Memcpy HtoD (Pinned -> Device)", 5)];
        for (n, category, kernel, length) in work {
            let id = step * 10 + n;
            let (call, start) = (at + 1 + 2 * n, at + 10 + 40 * scale * n);
            events.push(format!(
                r#"{{"ph":"X","cat":"cuda_runtime","name":"cudaLaunchKernel","pid":5,"tid":5,"ts":{call},"dur":1,"args":{{"correlation":{id}}}}}"#
            ));
            events.push(format!(
                r#"{{"ph":"X","cat":"{category}","name":"{kernel}","pid":0,"tid":7,"ts":{start},"dur":{length}.250,"args":{{"device":0,"stream":7,"correlation":{id},"bytes":64}}}}"#
            ));
        }
    }
    format!(r#"{{"distributedInfo":{{"rank":{scale}}},"traceEvents":[{}]}}"#, events.join(",\n"))
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).expect("the folder takes a file");
    path.display().to_string()
}

fn json(args: &[&str]) -> serde_json::Value {
    let ran = vramscope(args);
    assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
    serde_json::from_str(&stdout(&ran)).expect("the output is JSON")
}

#[test]
fn one_trace_is_one_document_with_its_plain_facts() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "t.json", &trace(1));
    let document = json(&["trace", &file, "--format", "json"]);
    assert_eq!(document["vramscope_trace"], 1);
    assert_eq!(document["exact"]["gpu_kernel_time_ns"], 60_500);
    assert_eq!(document["exact"]["memory_ops"]["Memcpy HtoD"]["bytes"], 128);
    assert_eq!(document["exact"]["world_size"], serde_json::Value::Null);
    assert_eq!(document["steps"]["kinds"][0]["kind"], "decode");
    assert_eq!(document["operators"][0]["gpu"]["kernels"], 2);
}

#[test]
fn every_format_and_group_shows_the_same_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "t.json", &trace(1));
    for format in ["table", "csv", "markdown"] {
        for (group, word) in [("kernel", "nvjet"), ("category", "gemm"), ("op", "aten::mm"), ("step", "decode")] {
            let ran = vramscope(&["trace", &file, "--group-by", group, "--format", format]);
            assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
            assert!(stdout(&ran).contains(word), "{format} {group}: {}", stdout(&ran));
        }
    }
    let table = stdout(&vramscope(&["trace", &file]));
    assert!(table.contains("Verdict: ") && table.lines().all(|line| line.chars().count() <= 130), "{table}");
}

#[test]
fn a_slice_is_a_trace_that_says_what_the_window_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "t.json", &trace(1));
    for name in ["part.json", "part.json.gz", "part.json.zst"] {
        let part = folder.path().join(name).display().to_string();
        let ran = vramscope(&["trace", "slice", &file, "--between", "0us..95us", "-o", &part]);
        assert_eq!((ran.status.code(), stdout(&ran).as_str()), (Some(0), ""), "{}", stderr(&ran));
        let mut sliced = json(&["trace", &part, "--format", "json"]);
        let mut between = json(&["trace", &file, "--between", "..1095", "--format", "json"]);
        for document in [&mut sliced, &mut between] {
            document["file"].take();
            document["between"].take();
            document["exact"]["json_bytes"].take();
            document.as_object_mut().unwrap().remove("between");
        }
        assert_eq!(sliced, between, "{name}");
        assert_eq!(sliced["exact"]["gpu_kernel_count"], 1);
    }
}

#[test]
fn a_difference_fails_only_beyond_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    let fast = write(folder.path(), "a.json", &trace(1));
    let slow = write(folder.path(), "b.json", &trace(2));
    let itself = json(&["trace", "diff", &fast, &fast, "--fail-above", "0%", "--format", "json"]);
    assert_eq!((itself["kernels"].as_array().unwrap().len(), &itself["unchanged"]), (0, &1.into()));
    let worse = vramscope(&["trace", "diff", &fast, &slow, "--fail-above", "5%"]);
    assert_eq!(worse.status.code(), Some(8), "{}", stdout(&worse));
    assert!(stdout(&worse).contains("exceeded"), "{}", stdout(&worse));
    let better = vramscope(&["trace", "diff", &slow, &fast, "--fail-above", "5%"]);
    assert_eq!(better.status.code(), Some(0), "{}", stdout(&better));
    assert_eq!(vramscope(&["trace", "diff", &fast, &slow]).status.code(), Some(0), "no limit, no failure");
}

#[test]
fn several_traces_are_ranks() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (write(folder.path(), "a.json", &trace(1)), write(folder.path(), "b.json", &trace(2)));
    let document = json(&["trace", &b, &a, "--format", "json"]);
    let ranks: Vec<i64> = document["ranks"].as_array().unwrap().iter().map(|r| r["rank"].as_i64().unwrap()).collect();
    assert_eq!(ranks, [1, 2]);
    assert_eq!(document["traces"][1]["exact"]["rank"], 2);
}

#[test]
fn stacks_and_rules_go_to_and_come_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "t.json", &trace(1));
    let stacks = folder.path().join("t.folded");
    let ran = vramscope(&["trace", &file, "--stacks", &stacks.display().to_string(), "--stacks-weight", "gpu"]);
    assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
    assert_eq!(fs::read_to_string(stacks).unwrap(), "aten::mm;cudaLaunchKernel 60500\n");
    let printed = stdout(&vramscope(&["trace", "--print-rules"]));
    let rules = write(folder.path(), "rules.txt", &format!("sampling: nvjet\n{printed}"));
    let document = json(&["trace", &file, "--rules", &rules, "--format", "json"]);
    assert_eq!(
        (&document["kernels"][0]["category"], &document["kernels"][0]["rule"]),
        (&"sampling".into(), &"nvjet".into())
    );
}

#[test]
fn mistakes_say_what_is_wrong_and_leave_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "t.json", &trace(1));
    let other = write(folder.path(), "other.json", "{\"a\": 1}");
    let rules = write(folder.path(), "rules.txt", "nonsense: x");
    let part = folder.path().join("part.json").display().to_string();
    let absurd = write(folder.path(), "absurd.json", &trace(1).replace("\"ts\":1100,", "\"ts\":1e30,"));
    let cases: [(&[&str], i32, &str); 9] = [
        (&["trace"], 2, "FILE"),
        (&["trace", "/nonexistent.json"], 3, "/nonexistent.json"),
        (&["trace", &other], 3, "traceEvents"),
        (&["trace", &file, "--device", "9"], 3, "no GPU work on device 9"),
        (&["trace", &file, "--between", "5ms..1ms"], 2, "before it begins"),
        (&["trace", &file, "--rules", &rules], 3, "line 1"),
        (&["trace", &absurd], 3, "its ts is 1e30"),
        (&["trace", "diff", &file, &absurd], 3, "absurd.json"),
        (&["trace", "slice", &other, "--between", "0us..1us", "-o", &part], 3, "traceEvents"),
    ];
    for (args, code, part) in cases {
        let ran = vramscope(args);
        assert_eq!((ran.status.code(), stdout(&ran).as_str()), (Some(code), ""), "{args:?}: {}", stderr(&ran));
        assert!(stderr(&ran).contains(part), "{args:?}: {}", stderr(&ran));
    }
    assert!(!Path::new(&part).exists());
}

#[test]
fn operations_that_a_trace_states_are_shown_and_absent_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let plain = write(folder.path(), "plain.json", &trace(1));
    let stated = trace(1).replace(r#""dur":20}"#, r#""dur":20,"args":{"kernel_flop":1000000000}}"#);
    let stated = write(folder.path(), "stated.json", &stated);
    let document = json(&["trace", &stated, "--format", "json"]);
    let flops = &document["flops"];
    assert_eq!((&flops["total"], &flops["stated_by"]), (&2_000_000_000_u64.into(), &"operators".into()));
    assert_eq!((&flops["operators"][0]["name"], &flops["busy_ns"]), (&"aten::mm".into(), &71_000.into()));
    let table = stdout(&vramscope(&["trace", &stated]));
    assert!(table.contains("2.00 GFLOP in all, by operators; 28.17 TFLOP/s"), "{table}");
    assert_eq!(json(&["trace", &plain, "--format", "json"]).get("flops"), None);
    assert!(!stdout(&vramscope(&["trace", &plain])).contains("FLOP"), "what is not there has no row");
}

/// A disk that is full is no fault of the trace.
#[cfg(target_os = "linux")]
#[test]
fn a_slice_onto_a_full_disk_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "t.json", &trace(1));
    for name in ["full", "full.json.gz", "full.json.zst"] {
        let full = folder.path().join(name);
        std::os::unix::fs::symlink("/dev/full", &full).unwrap();
        let ran = vramscope(&["trace", "slice", &file, "--between", "0us..95us", "-o", &full.display().to_string()]);
        assert_eq!((ran.status.code(), stdout(&ran).as_str()), (Some(4), ""), "{name}: {}", stderr(&ran));
        let said = stderr(&ran);
        assert!(said.contains(name) && said.contains("has room") && said.contains("No space left"), "{name}: {said}");
    }
}
