//! The document's description for validators: JSON Schema, draft 2020-12.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::{units, v3};

/// The JSON Schema of the profile document as it is written: pairs of memory included, null excluded, each number with
/// its unit in its description.
pub fn json_schema() -> Schema {
    let mut schema =
        SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<v3::Profile>();
    for_validators(&mut schema);
    each(&mut schema, &mut forbid_null);
    each(&mut schema, &mut describe_properties);
    each(&mut schema, &mut unwrap_lines);
    let id = format!("urn:vramscope:profile:{}", v3::SCHEMA_VERSION);
    schema.insert("$id".into(), id.into());
    schema
}

/// Takes out of a schema what strict validators refuse: formats that name a Rust type (`uint64`, `double`), and default
/// values, which only reading knows.
pub fn for_validators(schema: &mut Schema) {
    each(schema, &mut |node| {
        let format = node.get("format").and_then(Value::as_str).unwrap_or_default();
        let of_rust = ["int", "uint", "float", "double"].iter().any(|prefix| format.starts_with(prefix));
        if of_rust {
            node.remove("format");
        }
        node.remove("default");
    });
}

/// Visits every subschema, the root first. Only keywords that hold schemas are followed, so a property may have any name.
fn each(schema: &mut Schema, visit: &mut impl FnMut(&mut Map<String, Value>)) {
    if let Some(node) = schema.as_object_mut() {
        each_node(node, visit);
    }
}

fn each_node(node: &mut Map<String, Value>, visit: &mut impl FnMut(&mut Map<String, Value>)) {
    visit(node);
    for (keyword, value) in node.iter_mut() {
        match (keyword.as_str(), value) {
            ("properties" | "$defs", Value::Object(children)) => {
                children.values_mut().filter_map(Value::as_object_mut).for_each(|child| each_node(child, visit));
            }
            ("items" | "additionalProperties", Value::Object(child)) => each_node(child, visit),
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(children)) => {
                children.iter_mut().filter_map(Value::as_object_mut).for_each(|child| each_node(child, visit));
            }
            _ => {}
        }
    }
}

/// What is not known is left out: a written document holds no null.
fn forbid_null(node: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = node.get_mut("type") {
        types.retain(|t| t != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            node.insert("type".into(), only);
        }
    }
    let Some(Value::Array(choices)) = node.get_mut("anyOf") else { return };
    choices.retain(|choice| choice.get("type") != Some(&json!("null")));
    if let [Value::Object(only)] = choices.as_mut_slice() {
        let only = std::mem::take(only);
        node.remove("anyOf");
        node.extend(only);
    }
}

/// States units, and puts `x_gb` behind `x_bytes`.
fn describe_properties(node: &mut Map<String, Value>) {
    let Some(Value::Object(properties)) = node.remove("properties") else { return };
    let mut described = Map::new();
    let mut together = Map::new();
    for (key, mut value) in properties {
        let companion = units::exact_stem(&key).filter(|_| value["type"] == "integer").map(|stem| {
            together.insert(format!("{stem}_gb"), json!([key]));
            together.insert(key.clone(), json!([format!("{stem}_gb")]));
            (format!("{stem}_gb"), derived(&key, &value))
        });
        state_unit(&key, &mut value);
        described.insert(key, value);
        described.extend(companion);
    }
    node.insert("properties".into(), Value::Object(described));
    if !together.is_empty() {
        node.insert("dependentRequired".into(), Value::Object(together));
    }
    require_companions(node);
}

/// The subschema of the derived companion of an exact amount of memory.
fn derived(key: &str, exact: &Value) -> Value {
    let mut schema = json!({
        "description": format!("`{key}` / 10^9, rounded to six decimals, for readers of earlier versions. Unit: GB (10^9 bytes)."),
        "type": "number",
    });
    if let Some(minimum) = exact.get("minimum") {
        schema["minimum"] = minimum.clone();
    }
    schema
}

fn state_unit(key: &str, value: &mut Value) {
    let Some(unit) = units::unit_of(key) else { return };
    let holds_numbers = ["integer", "number", "array"].iter().any(|&t| value["type"] == t);
    let description = value["description"].as_str().unwrap_or_default().to_owned();
    if holds_numbers && !description.contains("Unit: ") {
        value["description"] = format!("{description} Unit: {unit}.").trim_start().into();
    }
}

/// Doc comments are wrapped for the source; a description is one text.
fn unwrap_lines(node: &mut Map<String, Value>) {
    if let Some(Value::String(description)) = node.get_mut("description") {
        *description = description.replace('\n', " ");
    }
}

/// Where `x_bytes` is required, so is `x_gb`.
fn require_companions(node: &mut Map<String, Value>) {
    let Some(Value::Array(required)) = node.get_mut("required") else { return };
    let companions: Vec<Value> = required
        .iter()
        .filter_map(|key| units::exact_stem(key.as_str()?).map(|stem| format!("{stem}_gb").into()))
        .collect();
    required.extend(companions);
}
