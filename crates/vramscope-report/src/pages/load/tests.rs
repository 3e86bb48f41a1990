use serde_json::{Value, json};

use crate::law::{check, fixture};

fn sweep() -> Value {
    fixture(include_str!("../../../tests/data/load.json"))
}

#[test]
fn a_load_without_a_level_says_that_nothing_is_known() {
    let mut value = sweep();
    value["levels"] = json!([]);
    value["stopped"] = json!(true);
    let html = check(value);
    assert!(html.contains("No level was measured") && html.contains("stopped before its end"));
    check(json!({"vramscope_load": 1}));
    check(json!({"vramscope_load": 1, "levels": [{}, {"asked": {}}, {"asked": {"concurrency": 3}}]}));
}

#[test]
fn the_level_that_the_search_names_is_the_one_to_run() {
    let html = check(sweep());
    assert!(html.contains("Run 10 in flight: it is the highest level at which 99 % of the requests keep"));
    assert!(html.contains("11 in flight does not."), "the lowest level that fails is named");
    assert!(html.contains("data-figure=\"0:/search/holds\" data-value=\"10.0\""));
}

#[test]
fn without_a_search_the_page_says_so_and_what_the_levels_show() {
    let mut value = sweep();
    value.as_object_mut().unwrap().remove("search");
    let html = check(value);
    assert!(html.contains("so the document names none") && html.contains("No knee was looked for"));
}

#[test]
fn requests_that_failed_are_said_before_any_figure() {
    let html = check(fixture(include_str!("../../../tests/data/load-rate.json")));
    assert!(html.find("requests failed").unwrap() < html.find("class=\"headline\"").unwrap());
}

fn rate() -> Value {
    fixture(include_str!("../../../tests/data/load-rate.json"))
}

/// Each level with so many requests of which so many failed for these reasons.
fn failing(mut value: Value, failed: u64, kinds: Value) -> Value {
    for level in value["levels"].as_array_mut().unwrap() {
        level["requests"] =
            json!({"sent": 1000, "completed": 1000 - failed, "failed": failed, "unsent": 0, "short": 0});
        level["failures"] = kinds.clone();
        level["findings"] =
            json!([{"code": "requests_failed", "severity": "warning", "message": "the first with: a cut"}]);
    }
    value
}

#[test]
fn failures_are_counted_by_kind_and_no_failing_level_is_named() {
    let html = check(failing(rate(), 970, json!({"status_429": 620, "cut": 350})));
    let of_all = rate()["levels"].as_array().unwrap().len() * 620;
    assert!(html.contains(&format!("{of_all} × 429 (too many requests)")), "the most frequent kind comes first");
    assert!(html.contains("620 × 429 (too many requests), 350 × cut off") && !html.contains("the first with"));
    assert!(html.contains("lower the rate") && !html.contains("were not sent"));
    assert!(html.contains("so none of them is named") && !html.contains("← this</td>"));
    let html = check(failing(rate(), 10, json!({"cut": 10})));
    assert!(!html.contains("so none of them is named"));
}

#[test]
fn levels_stand_in_their_order_with_the_one_to_run_marked_and_zeros_left_out() {
    let value = sweep();
    let html = check(value.clone());
    let table = &html[html.find("Output tokens per second and latency of each level").unwrap()..];
    let table = &table[..table.find("</table>").unwrap()];
    let levels: Vec<f64> = table
        .split("/asked/concurrency\" data-value=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(levels.len(), value["levels"].as_array().unwrap().len());
    assert!(levels.is_sorted(), "{levels:?}");
    let run = value["search"]["holds"].as_f64().unwrap();
    let row = table.split("<tr>").find(|row| row.contains("← this"));
    assert_eq!(row.is_some(), levels.contains(&run), "no other level is marked");
    let mut without = value;
    without["search"]["holds"] = json!(4.0);
    let html = check(without);
    let row = html.split("<tr>").find(|row| row.contains("← this")).unwrap();
    assert!(row.contains("data-value=\"4\""), "{row}");
    assert!(table.find(">good<").unwrap() < table.find(">tokens/s<").unwrap());
    assert!(html.contains("None in any row: ") && !html.contains(">short</th>"));
}

#[test]
fn thin_measurements_are_said_once() {
    let text = "p99 there is that of the slowest";
    let mut value = sweep();
    assert_eq!(check(value.clone()).matches(text).count(), 1);
    for level in value["levels"].as_array_mut().unwrap() {
        level["duration_s"] = json!(60.0);
        level["requests"]["completed"] = json!(1000);
    }
    assert_eq!(check(value).matches(text).count(), 0);
}

#[test]
fn levels_that_hardly_differ_are_called_equal() {
    let mut value = sweep();
    let equal = "Equal, within 1 % or the spread of their repeats, are";
    for (place, level) in (1_u32..).zip(value["levels"].as_array_mut().unwrap()) {
        level["e2e"]["mean_ms"] = json!(100.0 * f64::from(place));
        level["output_tokens_per_s"] = json!(100.0 * f64::from(place));
    }
    assert!(!check(value.clone()).contains(equal));
    value["levels"][1]["e2e"]["mean_ms"] = json!(100.5);
    value["levels"][1]["output_tokens_per_s"] = json!(100.5);
    assert!(check(value).contains(equal));
}
