//! Laws of the pages of traces, over whole documents.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{Document, page};

fn time() -> Value {
    json!({"span_ns": 100, "busy_ns": 60, "idle_ns": 40, "busy_share": 0.6, "kernel_ns": 50, "communication_ns": 20,
        "compute_ns": 40, "communication_overlap_ns": 10, "exposed_communication_ns": 10, "copy_ns": 15,
        "copy_overlap_ns": 5, "exposed_copy_ns": 10, "gaps": 3,
        "idle_by_cause": {"host_bound_ns": 20, "kernel_wait_ns": 10, "sync_ns": 5, "other_ns": 5}})
}

/// A trace with everything that a document may hold.
fn trace(name: &str) -> Value {
    let gpu = json!({"kernels": 2, "kernel_time_ns": 50});
    let call = json!([{"name": name, "count": 2, "total_ns": 20, "max_ns": 15}]);
    let frame = |parent: Option<u64>, cpu: u64| json!({"name": name, "parent": parent, "cpu_ns": cpu, "cpu_own_ns": 5, "gpu_ns": cpu, "gpu_own_ns": 5});
    json!({
        "vramscope_trace": 1,
        "file": {"name": name, "compression": "gzip", "file_bytes": 10, "json_bytes": 100},
        "trace": {"platform": "cuda", "backend": "nccl", "gpus": [{"id": "0", "name": name, "memory_bytes": 1024}]},
        "between": {"from_ns": 0, "to_ns": 1000},
        "start_ns": 0,
        "exact": {"rank": 0, "world_size": 2, "events": 100, "gpu_kernel_count": 2, "gpu_kernel_time_ns": 50,
            "kernels_with_launch": 2},
        "verdict": {"bound": "cpu_bound", "within_steps": true, "advice": [name], "evidence": [
            {"name": "busy", "share": 0.3, "threshold": 0.85, "reached": false, "meaning": name},
            {"name": "host_idle", "share": 0.5, "reached": true, "meaning": name}]},
        "devices": [{"device": name, "name": name, "whole": time(), "within_steps": time(),
            "streams": {name: {"kernels": 2, "kernel_time_ns": 50, "copies": 1, "busy_ns": 60}},
            "longest_gaps": [{"start_ns": 60, "length_ns": 40, "cause": "sync", "before": name, "after": name}],
            "lane": {"start_ns": 0, "step_ns": 64, "steps": 2, "compute_ns": [30, 10], "exposed_copy_ns": [10, 0],
                "exposed_communication_ns": [0, 10], "host_bound_ns": [20, 0], "kernel_wait_ns": [4, 6]}}],
        "launch_delay": {"median_ns": 5, "p95_ns": 9.5},
        "categories": [{"category": "gemm_moe", "count": 2, "total_ns": 50, "share": 1.0, "rules": [name]}],
        "kernels": [{"name": name, "count": 2, "total_ns": 50, "share": 1.0, "min_ns": 20, "mean_ns": 25.0,
            "p50_ns": 25.0, "p95_ns": 30.0, "max_ns": 30, "category": name}],
        "kernels_unique": 5,
        "copies": [{"operation": name, "kinds": name, "count": 1, "total_ns": 10, "max_ns": 10, "bytes": 96,
            "rate_gb_per_s": 9.6}],
        "steps": {"source": "detected", "count": 3,
            "kinds": [{"kind": "decode", "count": 3, "with_gpu": 3, "cpu_p50_ns": 10.0, "gpu_span_p50_ns": 10.0,
                "gpu_busy_p50_ns": 9.0, "gpu_busy_p95_ns": 9.5, "gpu_busy_ns": 27, "kernels": 2}],
            "list": [{"kind": "decode", "name": name, "start_ns": 0, "cpu_ns": 10, "gpu_span_ns": 10, "kernels": 1},
                {"kind": "decode", "start_ns": 20, "gpu_span_ns": 50, "context_tokens": 3, "kernels": 1},
                {"kind": "empty", "start_ns": 80, "cpu_ns": 1, "kernels": 0}]},
        "operators": [{"name": name, "count": 1, "total_ns": 9, "own_ns": 8, "max_ns": 9, "gpu": gpu}],
        "operators_unique": 1,
        "outside_operators": gpu,
        "calls": call,
        "graphs": {"launches": 1, "kernels": 2, "kernel_time_ns": 50},
        "flops": {"total": 100, "stated_by": "kernels", "busy_ns": 60, "per_second": 1.5e9,
            "operators": [{"name": name, "count": 1, "flops": 50}], "kernels": []},
        "scopes": [{"name": name, "count": 1, "cpu_ns": 9, "gpu": gpu}],
        "layers": [{"name": name, "count": 1, "cpu_ns": 9, "gpu": gpu}, {"name": name, "count": 1, "cpu_ns": 7, "gpu": gpu}],
        "stacks": {"cpu_ns": 100, "gpu_ns": 100, "frames_unique": 9,
            "frames": [frame(None, 100), frame(Some(0), 60), frame(Some(1), 30), frame(Some(0), 30)]},
        "memory": [{"device": name, "events": 2, "peak_allocated_bytes": 1 << 30, "peak_at_ns": 10,
            "peak_reserved_bytes": 2_u64 << 30, "allocated_bytes": 1 << 30, "freed_bytes": 0, "timeline_step_ns": 5,
            "timeline": [{"at_ns": 0, "allocated_bytes": 5}, {"at_ns": 10, "allocated_bytes": 1 << 30, "reserved_bytes": 7}]}],
        "profiler_overhead": call,
        "notes": [{"kind": "truncated", "count": 1, "first_offset": 5, "text": name}]
    })
}

fn ranks(name: &str) -> Value {
    let rank = |rank: u64, communication: u64| {
        json!({"rank": rank, "file": name, "span_ns": 100, "busy_ns": 60, "compute_ns": 40,
            "communication_ns": communication, "exposed_communication_ns": communication, "bound": name})
    };
    json!({"vramscope_trace_ranks": 1, "ranks": [rank(0, 5), rank(1, 20)], "straggler": name,
        "spread": [{"name": "communication", "min_ns": 5, "max_ns": 20, "imbalance": 0.75}],
        "traces": [trace(name), trace(name)]})
}

fn diff(name: &str) -> Value {
    let side = json!({"count": 1, "total_ns": 10, "compared_ns": 10.0});
    json!({"vramscope_trace_diff": 1, "before": name, "after": name, "basis": "step", "before_steps": 1, "after_steps": 2,
        "totals": [{"name": "kernel_time", "before_ns": 10.0, "after_ns": 20.0, "relative": 1.0}],
        "kernels": [
            {"name": name, "folded": true, "category": "attention", "after": side, "delta_ns": 10.0},
            {"name": name, "folded": false, "category": name, "before": side, "after": side, "delta_ns": 0.5, "relative": 0.05},
            {"name": name, "folded": false, "category": name, "before": side, "delta_ns": -10.0, "relative": -1.0}],
        "unchanged": 3, "fail_above": 0.05, "exceeded": [{"name": name, "relative": 1.0}]})
}

const DOCUMENTS: [fn(&str) -> Value; 3] = [trace, ranks, diff];

fn html(value: &Value) -> String {
    page(&[Document::new("a.json", value.clone()).unwrap()], None).unwrap().html().replace('\u{a0}', " ")
}

/// Every figure of the page is the number that stands in the document. Gives how many there are.
fn check_figures(html: &str, value: &Value) -> usize {
    let mut found = 0;
    for part in html.split("data-figure=\"").skip(1) {
        let (pointer, rest) = part.split_once('"').unwrap();
        let shown = rest.split("data-value=\"").nth(1).unwrap().split('"').next().unwrap();
        let unescaped = pointer.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
        let pointer = unescaped.replace("&amp;", "&");
        let there = value.pointer(pointer.strip_prefix("0:").unwrap()).unwrap_or_else(|| panic!("{pointer}"));
        assert_eq!(there.to_string(), shown, "{pointer}");
        found += 1;
    }
    found
}

#[test]
fn a_figure_is_the_documents_to_its_last_digit() {
    let text = trace("name").to_string().replace("25.0", "107333.33333333333");
    let document = Document::read("a.json", text.as_bytes()).unwrap();
    assert!(page(&[document], None).unwrap().html().contains("data-value=\"107333.33333333333\""));
}

/// Everywhere that something is in a document, as pointers.
fn places(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                places(value, format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(list) => {
            for (place, value) in list.iter().enumerate() {
                places(value, format!("{at}/{place}"), found);
            }
        }
        _ => {}
    }
    found.push(at);
}

#[test]
fn all_figures_of_a_document_are_on_its_page() {
    for (document, least) in DOCUMENTS.into_iter().zip([90, 45, 15]) {
        let value = document("name");
        let found = check_figures(&html(&value), &value);
        assert!(found >= least, "{found}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_stands_in_a_document_its_page_says_no_other_numbers(
        which in 0..3_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..12_usize), 1..6),
    ) {
        let mut value = DOCUMENTS[which]("name");
        for (place, change) in changes {
            let mut all = Vec::new();
            places(&value, String::new(), &mut all);
            let pointer = &all[place.index(all.len())];
            // The keys of the root tell what kind of document it is.
            if pointer.matches('/').count() == 0 || pointer.starts_with("/vramscope") {
                continue;
            }
            let odd = [
                json!(null), json!(0), json!(-1), json!(u64::MAX), json!(i64::MIN), json!(1e300), json!(-1e300),
                json!(5e-324), json!("text"), json!([]), json!({}), json!([1, null, "x", {}]),
            ];
            *value.pointer_mut(pointer).unwrap() = odd[change].clone();
        }
        let html = html(&value);
        check_figures(&html, &value);
        for word in ["NaN", "inf\""] {
            let near = html.find(word).map(|at| &html[html.floor_char_boundary(at.saturating_sub(200))..at]);
            prop_assert!(near.is_none(), "{word} behind {near:?}");
        }
    }
}

#[test]
fn hostile_names_are_text_and_short() {
    let long = "k<".repeat(1 << 19);
    for name in
        ["</script><script>alert(1)</script>", "\" onload=\"alert(1)", "a\u{202e}b\u{1b}[2Jc", &long, "/~1 ~0", ""]
    {
        for document in DOCUMENTS {
            let value = document(name);
            let document = Document::new("a.json", value.clone()).unwrap();
            let page = page(&[document], None).unwrap();
            let html = page.html();
            assert!(!html.contains("<script>alert") && !html.contains("\" onload=\"") && !html.contains('\u{202e}'));
            assert!(html.len() < 200_000, "{} bytes of {}", html.len(), &name[..name.len().min(20)]);
            assert!(page.markdown().len() < 100_000);
            if name.len() < 100 && !name.contains('\u{1b}') {
                check_figures(&html, &value);
            }
        }
    }
}

#[test]
fn what_is_not_there_has_no_section() {
    let mut value = trace("name");
    for key in
        ["devices", "categories", "kernels", "copies", "operators", "calls", "scopes", "layers", "memory", "notes"]
    {
        value[key] = json!([]);
    }
    value["steps"] = json!({"count": 0, "kinds": [], "list": []});
    value["verdict"] = json!({"bound": "undetermined", "within_steps": false, "evidence": [], "advice": []});
    value["graphs"]["launches"] = json!(0);
    for key in ["stacks", "flops", "launch_delay", "between"] {
        value.as_object_mut().unwrap().remove(key);
    }
    let html = html(&value);
    assert_eq!(html.matches("<h2").count(), 2, "the verdict, and what the trace is");
    assert!(html.contains("does not tell") && !html.contains("<svg"));
}

#[test]
fn large_lists_make_no_large_page() {
    let mut value = trace(&"name ".repeat(40));
    for list in ["kernels", "operators", "calls", "scopes", "layers", "copies", "notes", "memory", "profiler_overhead"]
    {
        value[list] = Value::Array(vec![value[list][0].clone(); 5000]);
    }
    value["devices"] = Value::Array(vec![value["devices"][0].clone(); 500]);
    let step = value["steps"]["list"][0].clone();
    value["steps"]["list"] = Value::Array(vec![step; 10_000]);
    let frame = json!({"name": "f", "parent": 0, "cpu_ns": 1, "cpu_own_ns": 1, "gpu_ns": 1, "gpu_own_ns": 1});
    value["stacks"]["frames"] = Value::Array(vec![frame; 5000]);
    let html = html(&value);
    check_figures(&html, &value);
    assert!(html.len() < 1_500_000, "{}", html.len());
    let mut value = diff("name");
    value["kernels"] = Value::Array(vec![value["kernels"][0].clone(); 100_000]);
    assert!(self::html(&value).len() < 200_000);
    assert!(self::html(&value).contains("99,850 kernels") || self::html(&value).contains("99850 kernels"));
}

#[test]
fn the_verdict_says_over_what_it_is_judged_and_has_a_bar_of_it() {
    let mut value = trace("name");
    value["verdict"]["evidence"][0]["share"] = json!(0.6);
    let text = html(&value);
    assert!(text.contains("<dt>GPU busy, within the steps</dt>") && text.contains("over these the verdict is judged"));
    assert!(text.contains(", steps</text>") && text.contains(", all</text>"));
    value["verdict"]["within_steps"] = json!(false);
    assert!(html(&value).contains("<dt>GPU busy, over all its work</dt>"));
    let share = json!({"name": "linked", "share": 0.25, "threshold": 0.5, "reached": false, "meaning": "m"});
    value["verdict"]["evidence"].as_array_mut().unwrap().push(share);
    assert!(html(&value).contains("The launch of 25 % of the kernels is in the trace"));
}
