use serde_json::{Value, json};

use crate::pages::sound::{check, fixture, laws};

fn sweep() -> Value {
    fixture(include_str!("../../../tests/data/load.json"))
}

#[test]
fn pages_of_loads_keep_the_laws() {
    laws(&sweep(), &["vramscope_load"]);
    laws(&fixture(include_str!("../../../tests/data/load-rate.json")), &["vramscope_load"]);
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
    assert!(html.contains("so the document names none") && html.contains("The document names no knee"));
}

#[test]
fn requests_that_failed_are_said_before_any_figure() {
    let html = check(fixture(include_str!("../../../tests/data/load-rate.json")));
    assert!(html.find("requests failed").unwrap() < html.find("class=\"headline\"").unwrap());
}
