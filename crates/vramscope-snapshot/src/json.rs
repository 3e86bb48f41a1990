//! Reads the JSON of a snapshot: the same lists and dictionaries, as `json.dump(torch.cuda.memory._snapshot(), file)`
//! writes them. Tuples are lists in it.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};

use crate::SnapshotError;
use crate::build::{Builder, Fault, MAX_ONE_TEXT, Value};
use crate::model::{Format, Snapshot};
use crate::pickle::told;
use crate::source::Input;

/// Elements of a list that wait before they are appended.
const PIECE: usize = 1000;

/// Reads a snapshot from JSON.
pub(crate) fn read(input: &mut Input) -> Result<Snapshot, SnapshotError> {
    let mut builder = Builder::default();
    let mut fault = None;
    let mut json = serde_json::Deserializer::from_reader(&mut *input);
    let read = Element { builder: &mut builder, fault: &mut fault }.deserialize(&mut json);
    let read = read.and_then(|value| json.end().map(|()| value));
    drop(json);
    match (read, fault) {
        (_, Some(fault)) => Err(told(input, input.offset(), fault)),
        (Err(source), _) => Err(SnapshotError::Json { name: input.name().to_owned(), source }),
        (Ok(value), None) => {
            let offset = input.offset();
            builder.finish(value, Format::Json, input, false).map_err(|fault| told(input, offset, fault))
        }
    }
}

/// One value, made known to the builder.
struct Element<'b> {
    builder: &'b mut Builder,
    /// What the builder refused; the parser has no room for it.
    fault: &'b mut Option<Fault>,
}

impl Element<'_> {
    fn kept<T, E: serde::de::Error>(&mut self, answer: Result<T, Fault>) -> Result<T, E> {
        answer.map_err(|fault| {
            *self.fault = Some(fault);
            E::custom("a value that cannot be")
        })
    }
}

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a snapshot")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::None)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or(Value::Uint(number), Value::Int))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E: serde::de::Error>(mut self, text: &str) -> Result<Value, E> {
        if text.len() as u64 > MAX_ONE_TEXT {
            return self.kept(Err(Fault::Limit("the length of a text", MAX_ONE_TEXT)));
        }
        let added = self.builder.text(text);
        self.kept(added)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut access: A) -> Result<Value, A::Error> {
        let list = self.builder.list();
        let list = self.kept(list)?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(Element { builder: self.builder, fault: self.fault })? {
            items.push(item);
            if items.len() >= PIECE {
                let appended = self.builder.append(list, &items);
                self.kept(appended)?;
                items.clear();
            }
        }
        let appended = self.builder.append(list, &items);
        self.kept(appended)?;
        Ok(list)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<Value, A::Error> {
        let dict = self.builder.dict();
        let dict = self.kept(dict)?;
        let mut pairs = Vec::new();
        while let Some(key) = access.next_key_seed(Element { builder: self.builder, fault: self.fault })? {
            if !matches!(key, Value::Text(_)) {
                return Err(A::Error::custom("a key that is no text"));
            }
            let value = access.next_value_seed(Element { builder: self.builder, fault: self.fault })?;
            pairs.extend([key, value]);
            if pairs.len() > MAX_KEYS {
                return self.kept(Err(Fault::Limit("the number of keys of a dictionary", MAX_KEYS as u64)));
            }
        }
        let filled = self.builder.fill(dict, &pairs);
        self.kept(filled)?;
        Ok(dict)
    }
}

/// Twice the most keys of a dictionary; torch's have a dozen.
const MAX_KEYS: usize = 1 << 16;
