//! Documents made from the schema alone: whatever it allows, with every field sooner or later.

use serde_json::{Map, Number, Value, json};

/// A source of choices (splitmix64).
pub(crate) struct Choices(pub(crate) u64);

impl Choices {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_of<T: Clone>(&mut self, of: &[T]) -> T {
        let index = usize::try_from(self.below(of.len() as u64)).unwrap();
        of[index].clone()
    }

    /// From 0 to 1.
    fn fraction(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap()) / f64::from(u32::MAX)
    }
}

/// Which optional fields a document has.
#[derive(Clone, Copy)]
pub(crate) enum Fields {
    All,
    Some,
}

/// A document that the schema allows.
pub(crate) fn document(choices: &mut Choices, fields: Fields) -> Value {
    let schema = serde_json::to_value(vramscope_schema::json_schema()).unwrap();
    let mut made = Made { defs: schema["$defs"].clone(), choices, fields };
    made.value(&schema)
}

struct Made<'a> {
    defs: Value,
    choices: &'a mut Choices,
    fields: Fields,
}

impl Made<'_> {
    fn value(&mut self, schema: &Value) -> Value {
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.rsplit('/').next().unwrap();
            let target = self.defs[name].clone();
            return self.value(&target);
        }
        if !schema["const"].is_null() {
            return schema["const"].clone();
        }
        if let Some(choices) = schema["oneOf"].as_array() {
            let choice = self.choices.one_of(choices);
            return self.value(&choice);
        }
        if let Some(choices) = schema["enum"].as_array() {
            return self.choices.one_of(choices);
        }
        match schema["type"].as_str() {
            Some("object") => self.object(schema),
            Some("array") => (0..=self.choices.below(2)).map(|_| self.value(&schema["items"])).collect(),
            Some("string") => self.string(schema),
            Some("integer") => self.integer(schema),
            Some("number") => self.number(schema),
            Some("boolean") => Value::Bool(self.choices.below(2) == 0),
            other => panic!("a schema of type {other:?}: {schema}"),
        }
    }

    fn object(&mut self, schema: &Value) -> Value {
        let required: Vec<&str> =
            schema["required"].as_array().map(|r| r.iter().filter_map(Value::as_str).collect()).unwrap_or_default();
        let mut object = Map::new();
        for (key, property) in schema["properties"].as_object().cloned().unwrap_or_default() {
            // Derived amounts are written beside the exact ones.
            let derived = key.ends_with("_gb");
            let wanted = matches!(self.fields, Fields::All) || self.choices.below(2) == 0;
            if !derived && (wanted || required.contains(&key.as_str())) {
                object.insert(key, self.value(&property));
            }
        }
        if let Some(values) = schema.get("additionalProperties").filter(|v| v.is_object()) {
            for key in ["a_pct", "b s", "\u{e4}\"\\_s"] {
                object.insert(key.to_owned(), self.value(values));
            }
            if values["type"] == "number" {
                object.insert("c_bytes".to_owned(), json!(self.choices.below(1 << 50)));
            }
        }
        Value::Object(object)
    }

    fn string(&mut self, schema: &Value) -> Value {
        let text = match schema["pattern"].as_str() {
            None => self.choices.one_of(&["", "plain", "two\nlines \"quoted\" \\ \u{1f600} \u{0}"]).to_owned(),
            Some("^[0-9a-f]{64}$") => "0123456789abcdef".repeat(4),
            Some("^[a-z][a-z0-9_]*$") => "a_code".to_owned(),
            Some(pattern) if pattern.starts_with(r"^\d{4}") => "2026-11-22T09:15:00.25Z".to_owned(),
            Some(other) => panic!("make a text for the pattern {other}"),
        };
        Value::String(text)
    }

    fn integer(&mut self, schema: &Value) -> Value {
        let small = self.choices.below(1 << 31);
        let size = match self.choices.below(3) {
            0 => small,
            _ if schema["maximum"].is_null() && self.choices.below(2) == 0 && fits_64_bits(schema) => {
                self.choices.below(1 << 53)
            }
            1 => 1,
            _ => small / 2,
        };
        let low = schema["minimum"].as_i64();
        let negative = low.is_none() && self.choices.below(2) == 0;
        let value = i64::try_from(size).unwrap();
        json!(if negative { -value } else { value.max(low.unwrap_or(0)) })
    }

    fn number(&mut self, schema: &Value) -> Value {
        let fraction = self.choices.fraction();
        let scale = self.choices.one_of(&[1e-9_f64, 1.0, 97.0, 1e12]);
        let scale = schema["maximum"].as_f64().map_or(scale, |max| scale.min(max));
        let value = if schema["minimum"].is_null() && self.choices.below(2) == 0 { -fraction } else { fraction };
        Value::Number(Number::from_f64(value * scale).unwrap())
    }
}

/// Amounts of memory and times are 64 bits wide; indexes and other counts may be narrower.
fn fits_64_bits(schema: &Value) -> bool {
    let description = schema["description"].as_str().unwrap_or_default();
    ["Unit: bytes", "Unit: nanoseconds"].iter().any(|unit| description.contains(unit))
}
