//! The labelled public logs, compared field by field.

use serde_json::Value;
use vramscope_log::LogParser;
use vramscope_log::document::LogDocument;

use crate::corpus;

#[test]
fn every_label_is_met() {
    let Some(folder) = corpus::folder("vllm-logs-public") else { return };
    let exceptions: Vec<Value> = serde_json::from_str(include_str!("data/label-exceptions.json")).unwrap();
    let mut wrong = Vec::new();
    let mut fields = 0;
    let mut names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    for label in names.iter().filter(|p| p.extension().is_some_and(|e| e == "json")) {
        let label_text = std::fs::read(label).unwrap();
        let label_json: Value = serde_json::from_slice(&label_text).unwrap();
        let mut parser = LogParser::new();
        parser.push_bytes(&std::fs::read(label.with_extension("log")).unwrap());
        let document = LogDocument::of(&parser.finish());
        let summary = serde_json::to_value(&document.summary).unwrap();
        let id = label.file_stem().unwrap().to_string_lossy().into_owned();
        for (name, expected) in label_json["expect"].as_object().unwrap() {
            if matches!(name.as_str(), "notes" | "device_vendor") {
                continue;
            }
            fields += 1;
            let exception = exceptions.iter().find(|e| e["id"] == id.as_str() && e["field"] == name.as_str());
            if let Some(exception) = exception {
                let line = exception["line"].as_u64().unwrap();
                let log = std::fs::read_to_string(label.with_extension("log")).unwrap();
                let quoted = log.lines().nth(usize::try_from(line).unwrap() - 1).unwrap();
                assert!(quoted.contains(exception["quote"].as_str().unwrap()), "{id}: line {line} is not as quoted");
            }
            let expected = exception.map_or(expected, |e| &e["log_states"]);
            if !same(expected, &summary[name]) {
                wrong.push(format!("{id} {name}: expected {expected}, found {}", summary[name]));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {fields} fields:\n{}", wrong.len(), wrong.join("\n"));
}

/// Numbers by value, everything else as it is.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| same(v, w)))
        }
        _ => a == b,
    }
}
