//! Laws of the pages of snapshots, over whole documents.

use serde_json::{Value, json};

use crate::law;

const GIB: u64 = 1 << 30;

fn holders(name: &str, bytes: u64) -> Value {
    json!({"by": "stack", "rows": [{"name": name, "bytes": bytes, "share": 1.0, "count": 2, "frames": [name, name]},
        {"bytes": 0, "share": 0.0, "count": 1}], "rest_rows": 3, "rest_bytes": 0})
}

fn amounts() -> Value {
    json!({"segments": 2, "active_blocks": 3, "free_blocks": 2, "reserved_bytes": 10 * GIB, "allocated_bytes": 7 * GIB,
        "active_bytes": 7 * GIB, "requested_bytes": 6 * GIB, "rounding_bytes": GIB, "waiting_bytes": 0,
        "inactive_bytes": 3 * GIB, "releasable_bytes": 2 * GIB, "split_bytes": GIB, "largest_free_bytes": 2 * GIB,
        "expandable_bytes": 0})
}

/// A snapshot with everything that a document may hold.
fn snapshot(name: &str) -> Value {
    let point = |event: Option<u32>, weights: u64, trial: u64| {
        json!({"event": event, "time_us": event.map(|event| 1000 * u64::from(event)), "requested_bytes": weights + trial,
            "reserved_bytes": 10 * GIB, "parts_bytes": [weights, trial, 0]})
    };
    json!({
        "vramscope_snapshot": 1,
        "file": {"name": name, "format": "pickle", "protocol": 4, "compression": "gzip", "file_bytes": 100,
            "plain_bytes": 1000, "stacks": 3},
        "settings": {"text": name, "max_split_size_bytes": 1024, "garbage_collection_threshold": 0.5,
            "expandable_segments": true},
        "totals": amounts(),
        "pools": [{"device": 0, "pool": [0, 0], "kind": "default", "stream": 0, "amounts": amounts()},
            {"device": 0, "pool": [0, 1], "kind": "program", "stream": 93824992231680u64, "amounts": amounts(), "mostly": name}],
        "holders": holders(name, 7 * GIB),
        "parts": [{"name": "weights", "blocks": 2, "active_bytes": 5 * GIB, "requested_bytes": 4 * GIB},
            {"blocks": 1, "active_bytes": 2 * GIB, "requested_bytes": 2 * GIB}],
        "flame": {"bytes": 7 * GIB, "frames_unique": 9, "frames": [
            {"name": name, "bytes": 5 * GIB, "own_bytes": 0, "count": 2},
            {"name": name, "parent": 0, "bytes": 4 * GIB, "own_bytes": 4 * GIB, "count": 1, "part": "weights"},
            {"bytes": 2 * GIB, "own_bytes": 2 * GIB, "count": 1}]},
        "histories": [{"device": 0, "events": 9, "first_us": 1000, "last_us": 9000,
            "actions": [{"action": "alloc", "count": 5, "bytes": 9}], "allocations_per_second": 2.5,
            "allocated_bytes_per_second": 4.5,
            "peak": {"event": 3, "time_us": 3000, "requested_bytes": 9 * GIB, "reserved_bytes": 10 * GIB,
                "alive": holders(name, 9 * GIB)},
            "most_reserved_bytes": 10 * GIB,
            "curve": {"parts": ["weights", "trial run", null],
                "points": [point(None, 0, 0), point(Some(1), 4 * GIB, 0), point(Some(3), 4 * GIB, 5 * GIB), point(Some(8), 4 * GIB, 2 * GIB)]},
            "kept": holders(name, GIB), "allocated": holders(name, 20 * GIB), "out_of_memories": 1,
            "out_of_memory": [{"event": 8, "time_us": 8000, "asked_bytes": 5 * GIB, "device_free_bytes": GIB,
                "asked_by": {"name": name, "bytes": GIB, "share": 1.0, "count": 1, "frames": [name]},
                "largest_free_bytes": GIB, "moment": {"requested_bytes": 6 * GIB, "reserved_bytes": 10 * GIB,
                    "alive": holders(name, 6 * GIB)},
                "before": [{"action": "free_completed", "bytes": 7, "time_us": 7000, "place": name}]}],
            "older": 1}],
        "host": {"segments": 1, "bytes": 100, "active_bytes": 50},
        "annotations": 2,
        "notes": [{"kind": "older_allocations", "count": 1, "text": name}],
    })
}

fn series(name: &str) -> Value {
    let trend = |grows: bool| json!({"per": "second", "slope_bytes": 1000.0, "low_bytes": 900.0, "high_bytes": 1100.0, "chance": 0.0001, "grows": grows});
    let point = |at: u64| json!({"name": name, "time_us": at * 1_000_000, "active_bytes": at * GIB, "active_blocks": at, "reserved_bytes": 9 * GIB});
    json!({
        "vramscope_snapshot_series": 1, "by": "stack", "snapshots": [point(1), point(2), point(3)], "reordered": true,
        "repeated": 1, "needed_snapshots": 5, "change_bytes": 2 * GIB, "trend": trend(true), "growing": 1,
        "rows": [{"name": name, "change_bytes": GIB, "change_count": 3, "bytes": [1, 2, 3], "counts": [1, 2, 3],
                "trend": trend(true), "frames": [name]},
            {"change_bytes": -5, "change_count": 0, "bytes": [9, 9, 4], "counts": [1, 1, 1]}],
        "rest_rows": 4, "rest_change_bytes": -1,
    })
}

#[test]
fn a_snapshot_of_any_words_is_a_page() {
    law::of_kind(&snapshot("/app/serve.py:7 remember"));
}

#[test]
fn a_series_of_any_words_is_a_page() {
    law::of_kind(&series("hour3.pickle"));
}

#[test]
fn the_pictures_sums_are_the_documents() {
    let page = law::check(snapshot("/app/serve.py:7 remember"));
    // The last bar of the amounts begins at nothing and ends where the one above it ends.
    for words in [
        "weights: 4.00 GiB (40 %)",
        "no stack recorded: 2.00 GiB (20 %)",
        "rounding: 1.00 GiB (10 %)",
        "releasable: 2.00 GiB (20 %)",
        "split: 1.00 GiB (10 %)",
        "reserved: 10.00 GiB",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert!(page.contains("all: 7.00 GiB, 100 %") && page.contains("/app/serve.py:7 remember: 4.00 GiB, 57.14 %"));
    assert!(page.contains("highest use 9.00 GiB") && page.contains("out of memory: 5.00 GiB asked for"));
    assert!(page.contains("4 events: 9.00 GiB; trial run 5.00 GiB; weights 4.00 GiB"));
}

#[test]
fn without_what_was_asked_for_parts_have_their_rounding_inside() {
    let mut document = snapshot("a");
    document["totals"]["rounding_bytes"] = Value::Null;
    document["parts"][1]["requested_bytes"] = Value::Null;
    let page = law::check(document);
    assert!(page.contains("weights: 5.00 GiB (50 %)") && !page.contains("rounding: "), "rounding is in the parts");
}

#[test]
fn what_keeps_growing_is_marked_in_words_and_by_a_sign() {
    let page = law::check(series("hour3.pickle"));
    assert!(
        page.contains("One row keeps growing.")
            && page.contains("+0.0572 ±0.0057 MiB/min")
            && page.contains("▲ hour3.pickle"),
        "{page}"
    );
    let mut steady = series("a");
    steady["growing"] = json!(0);
    steady["trend"]["grows"] = json!(false);
    assert!(law::check(steady.clone()).contains("3 snapshots are too few"));
    steady["needed_snapshots"] = json!(3);
    assert!(law::check(steady).contains("Nothing keeps growing."));
}

#[test]
fn rows_that_a_page_leaves_out_are_among_the_others() {
    let mut document = snapshot("a");
    let row = |n: u64| json!({"name": format!("f{n}"), "bytes": GIB, "share": 0.01, "count": 1});
    document["holders"]["rows"] = (0..150).map(row).collect();
    document["holders"]["rest_rows"] = json!(7);
    document["holders"]["rest_bytes"] = json!(3 * GIB);
    let page = law::check(document);
    assert!(page.contains("57 others") && page.contains("53.00 GiB"), "50 of the page's and 7 of the document's");
}

#[test]
fn doubts_of_a_series_are_on_its_page_and_too_few_snapshots_deny_nothing() {
    let mut document = series("a");
    document["notes"] =
        json!([{"kind": "no_common_blocks", "count": 2, "text": "snapshots may be of other processes"}]);
    document["rows"][0]["trend"]["grows"] = json!(false);
    assert!(law::check(document.clone()).contains("2 snapshots may be of other processes"));
    assert!(!law::check(document.clone()).contains(">no<"), "5 are needed, and 3 there");
    document["needed_snapshots"] = json!(3);
    assert!(law::check(document).contains(">no<"));
}
