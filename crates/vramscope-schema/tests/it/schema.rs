//! The schema says what it must: units everywhere, nothing that a strict validator refuses, pairs throughout.

use serde_json::Value;

/// Calls `visit` on every property with its path, and on every element of a list under the list's path.
fn properties(schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
    let defs = schema["$defs"].as_object().cloned().unwrap_or_default();
    let named = defs.iter().map(|(name, node)| (name.as_str(), node)).chain([("Profile", schema)]);
    for (name, node) in named {
        if node["properties"].is_null() {
            visit(name, node);
        }
        for (key, property) in node["properties"].as_object().into_iter().flatten() {
            visit(&format!("{name}.{key}"), property);
        }
    }
}

fn schema() -> Value {
    serde_json::to_value(vramscope_schema::json_schema()).unwrap()
}

fn is_number(node: &Value) -> bool {
    node["type"] == "integer" || node["type"] == "number"
}

#[test]
fn every_number_has_its_unit_in_its_description() {
    let mut numbers = 0;
    properties(&schema(), &mut |path, node| {
        let holds = is_number(node) || is_number(&node["items"]) || is_number(&node["additionalProperties"]);
        if holds {
            numbers += 1;
            let description = node["description"].as_str().unwrap_or_default();
            let unit = description.split_once("Unit: ").map_or("", |(_, unit)| unit);
            assert!(unit.len() > 3 && unit.ends_with('.'), "{path} has no unit: {description:?}");
        }
    });
    assert!(numbers > 150, "only {numbers} numbers found: the walk has missed the fields");
}

#[test]
fn every_property_is_described() {
    properties(&schema(), &mut |path, node| {
        assert!(node["description"].as_str().is_some_and(|d| d.len() > 3), "{path}: {node}");
    });
}

#[test]
fn every_exact_amount_has_its_companion_and_the_other_way_round() {
    let schema = schema();
    let mut pairs = 0;
    let defs = schema["$defs"].as_object().unwrap();
    for (name, node) in defs {
        let Some(fields) = node["properties"].as_object() else { continue };
        for key in fields.keys() {
            if let Some(stem) = key.strip_suffix("_bytes") {
                pairs += 1;
                let other = format!("{stem}_gb");
                assert!(fields.contains_key(&other), "{name}.{key} stands alone");
                assert_eq!(node["dependentRequired"][key], serde_json::json!([other]), "{name}.{key}");
            }
            if let Some(stem) = key.strip_suffix("_gb") {
                assert!(fields.contains_key(&format!("{stem}_bytes")), "{name}.{key} stands alone");
            }
        }
    }
    assert!(pairs > 60, "only {pairs} pairs found");
}

#[test]
fn no_null_no_default_and_no_format_of_rust() {
    let text = schema().to_string();
    for word in ["null", "\"default\"", "\"format\"", "uint", "```"] {
        assert!(!text.contains(word), "the schema contains {word}");
    }
    assert_eq!(schema()["$schema"], "https://json-schema.org/draft/2020-12/schema");
}
