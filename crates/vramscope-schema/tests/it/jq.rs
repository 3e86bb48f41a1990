//! The `jq` lines that the guides of the earlier profilers print, run on documents of today.

use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Vars, data, unwrap_valr};
use jaq_json::{Val, read};
use serde_json::Value;

use crate::generated::{Choices, Fields, document};

/// What `jq LINE` prints for a document.
fn jq(line: &str, document: &str) -> Vec<Value> {
    let input = read::parse_single(document.as_bytes()).unwrap();
    let loader = Loader::new(jaq_core::defs());
    let arena = Arena::default();
    let modules = loader.load(&arena, File { code: line, path: () }).unwrap_or_else(|_| panic!("parse {line}"));
    let filter =
        Compiler::default().with_funs(jaq_core::funs()).compile(modules).unwrap_or_else(|_| panic!("compile {line}"));
    let context = Ctx::<data::JustLut<Val>>::new(&filter.lut, Vars::new([]));
    let outputs = filter.id.run((context, input)).map(unwrap_valr);
    outputs.map(|out| serde_json::from_str(&out.unwrap().to_string()).unwrap()).collect()
}

/// A document of this version with every field, and each migrated one that has the field in question.
fn written() -> String {
    let made = document(&mut Choices(11), Fields::All).to_string();
    crate::text(&vramscope_schema::read(made.as_bytes()).unwrap().profile)
}

fn migrated(name: &str) -> String {
    crate::text(&vramscope_schema::read(&crate::data(name)).unwrap().profile)
}

/// The one line whose names no document ever had; jq answers it with nulls. (A quick check names `.memory.total_gb`
/// beside a key that exists; the existing one is tested.)
pub(crate) const OF_NO_DOCUMENT: [&str; 1] =
    [".memory_breakdown | {weights, kv_cache, activations, overhead, confidence}"];

/// The lines of one document, as printed, with a blank line between them.
const LINES: &str = include_str!("guide_lines.txt");

/// The lines of one document.
fn lines() -> impl Iterator<Item = &'static str> {
    LINES.split("\n\n").map(str::trim)
}

/// Of version 3.
const LINE_OF_V3: &str = ".vllm_internal_metrics.total_gpu_kv_cache_gb";

/// Of two documents (`jq -s`).
const LINE_OF_TWO: &str = ".[0].memory_breakdown.total_measured_gb as $a |
       .[1].memory_breakdown.total_measured_gb as $b |
       {profile1: $a, profile2: $b, diff_gb: ($b - $a),
        diff_pct: (($b - $a) / $a * 100)}";

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static str> {
    lines().chain([LINE_OF_TWO])
}

fn holds_no_null(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(values) => values.iter().all(holds_no_null),
        Value::Object(fields) => fields.values().all(holds_no_null),
        _ => true,
    }
}

#[test]
fn every_line_that_names_existing_keys_works_on_a_written_document() {
    let document = written();
    for line in lines() {
        let found = jq(line, &document);
        assert!(!found.is_empty() && found.iter().all(holds_no_null), "{line}: {found:?}");
    }
}

#[test]
fn every_line_works_on_migrated_documents() {
    for name in ["v2.json", "v3_0.json"] {
        let document = migrated(name);
        for line in lines().filter(|line| name != "v2.json" || *line != LINE_OF_V3) {
            let found = jq(line, &document);
            assert!(!found.is_empty() && found.iter().all(holds_no_null), "{name}: {line}: {found:?}");
        }
    }
    let pool = jq(LINE_OF_V3, &migrated("v3_0.json"));
    assert_eq!(pool, [Value::from(14.495_515)], "13.5 GiB as written are 14.495515 GB");
}

#[test]
fn a_migrated_document_is_still_told_by_its_profiler() {
    let line = ".profiler_version == \"2.0\"";
    assert_eq!(jq(line, &migrated("v2.json")), [Value::Bool(true)]);
    assert_eq!(jq(line, &migrated("v3_0.json")), [Value::Bool(false)]);
}

#[test]
fn two_documents_are_compared() {
    let both = format!("[{}, {}]", migrated("v2.json"), migrated("v3_0.json"));
    let found = &jq(LINE_OF_TWO, &both)[0];
    assert!(holds_no_null(found) && found["diff_gb"].as_f64().unwrap() < 0.0, "{found}");
}

#[test]
fn version_1s_keys_are_still_there() {
    let document = migrated("v1.json");
    let lines = [
        ".memory_breakdown | .model_weights_gb, .kv_cache_gb, .activations_gb, .framework_overhead_gb, .total_gb",
        ".model_info | .model_name, .dtype, .num_parameters, .prompt_length, .generated_length, .total_sequence_length, \
         .batch_size",
        ".gpu_info | .num_gpus, .gpu_memory_per_device[0], .multi_gpu_overhead_gb",
    ];
    for line in lines {
        let found = jq(line, &document);
        assert!(found.len() > 2 && found.iter().all(holds_no_null), "{line}: {found:?}");
    }
}
