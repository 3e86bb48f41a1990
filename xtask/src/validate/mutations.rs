//! Damage done to a document on purpose, guided by its schema: each piece must make a validator refuse it.

use serde_json::{Map, Value, json};

/// Elements of a list that the shortened copy keeps.
const KEPT: usize = 2;

/// A copy in which every list is cut to its first elements, so that thousands of validations take seconds.
pub(super) fn shortened(document: &Value) -> Value {
    match document {
        Value::Array(list) => list.iter().take(KEPT).map(shortened).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), shortened(value))).collect(),
        other => other.clone(),
    }
}

/// Every mutation of a document: what it is, where (keys and indexes), and the new value, absent to remove the old one.
pub(super) fn of(schema: &Value, document: &Value) -> Vec<Value> {
    let mut mutations = Mutations { root: schema, path: Vec::new(), found: Vec::new() };
    mutations.node(schema, document);
    mutations.found
}

struct Mutations<'a> {
    root: &'a Value,
    path: Vec<Value>,
    found: Vec<Value>,
}

impl Mutations<'_> {
    fn add(&mut self, what: &str, value: Option<Value>) {
        let place: Vec<String> = self.path.iter().map(|step| step.to_string().replace('"', "")).collect();
        let mut mutation = Map::new();
        mutation.insert("why".into(), format!("{what} at {}", place.join(".")).into());
        mutation.insert("path".into(), self.path.clone().into());
        if let Some(value) = value {
            mutation.insert("value".into(), value);
        }
        self.found.push(Value::Object(mutation));
    }

    fn at(&mut self, step: Value, go: impl FnOnce(&mut Self)) {
        self.path.push(step);
        go(self);
        self.path.pop();
    }

    fn node(&mut self, schema: &Value, value: &Value) {
        let schema = self.resolved(schema);
        if !self.path.is_empty() {
            self.scalar(&schema, value);
        }
        match value {
            Value::Object(fields) => self.object(&schema, fields),
            Value::Array(list) => {
                for (index, element) in list.iter().enumerate() {
                    self.at(index.into(), |m| m.node(&schema["items"], element));
                }
            }
            _ => {}
        }
    }

    fn resolved(&self, schema: &Value) -> Value {
        let target = schema["$ref"].as_str().and_then(|reference| self.root.pointer(reference.trim_start_matches('#')));
        target.unwrap_or(schema).clone()
    }

    fn object(&mut self, schema: &Value, fields: &Map<String, Value>) {
        for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            self.at(key.into(), |m| m.add("no required key", None));
        }
        for (key, companions) in schema["dependentRequired"].as_object().into_iter().flatten() {
            let there = companions.as_array().into_iter().flatten().filter_map(Value::as_str).next();
            if let Some(companion) = there.filter(|_| fields.contains_key(key)) {
                self.at(companion.into(), |m| m.add("half of a pair missing", None));
            }
        }
        for (key, value) in fields {
            let known = schema["properties"].get(key).or_else(|| schema.get("additionalProperties"));
            if let Some(known) = known.filter(|s| s.is_object()) {
                self.at(key.as_str().into(), |m| m.node(known, value));
            }
        }
    }

    /// Wrong values for one place, each wrong whatever else the schema allows there.
    fn scalar(&mut self, schema: &Value, value: &Value) {
        let types: Vec<&str> = match &schema["type"] {
            Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
            single => single.as_str().into_iter().collect(),
        };
        let words = schema.get("const").is_some() || schema.get("enum").is_some() || schema.get("oneOf").is_some();
        if words && value.is_string() {
            self.add("an unknown word", Some(json!("no_such_word")));
        }
        if types.is_empty() {
            return;
        }
        let wrong_type = if types.contains(&"string") { json!(17) } else { json!("seventeen") };
        self.add("a wrong type", Some(wrong_type));
        if !types.contains(&"null") {
            self.add("a null", Some(Value::Null));
        }
        if types.contains(&"integer") && !types.contains(&"number") {
            self.add("a fraction", Some(json!(1.5)));
        }
        if let Some(minimum) = schema["minimum"].as_i64() {
            self.add("a value below the least", Some(json!(minimum - 1)));
        }
        if schema.get("pattern").is_some() {
            self.add("a text of another form", Some(json!("~ not it ~")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_damage_is_found_once_a_place() {
        let schema = json!({
            "type": "object",
            "required": ["kind"],
            "properties": {"kind": {"$ref": "#/$defs/Kind"}, "list": {"type": "array", "items": {"$ref": "#/$defs/Size"}}},
            "$defs": {
                "Kind": {"oneOf": [{"type": "string", "const": "a"}]},
                "Size": {
                    "type": "object",
                    "properties": {"x_bytes": {"type": "integer", "minimum": 0}, "x_gb": {"type": "number"}},
                    "dependentRequired": {"x_bytes": ["x_gb"]},
                },
            },
        });
        let document = json!({"kind": "a", "list": [{"x_bytes": 1, "x_gb": 0.0}, {}, {}], "unknown": 5});
        let short = shortened(&document);
        assert_eq!(short["list"].as_array().map(Vec::len), Some(KEPT));
        let why: Vec<String> = of(&schema, &short).iter().map(|m| m["why"].as_str().unwrap().to_owned()).collect();
        for expected in [
            "no required key at kind",
            "an unknown word at kind",
            "a wrong type at list",
            "a null at list.1",
            "half of a pair missing at list.0.x_gb",
            "a fraction at list.0.x_bytes",
            "a value below the least at list.0.x_bytes",
        ] {
            assert_eq!(why.iter().filter(|w| *w == expected).count(), 1, "{expected}: {why:?}");
        }
        assert!(!why.iter().any(|w| w.contains("unknown ") && w.contains("at unknown")));
    }
}
