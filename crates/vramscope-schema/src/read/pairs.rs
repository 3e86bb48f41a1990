//! The check of `x_gb` against `x_bytes`, in one pass over the text and before anything is built.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::{ReadError, not_json};
use crate::units;

/// Fails on the first pair that disagrees.
pub(super) fn check(json: &[u8]) -> Result<(), ReadError> {
    let mut walk = Walk { path: Vec::new(), failure: None };
    let mut text = serde_json::Deserializer::from_slice(json);
    let walked = text.deserialize_any(Node(&mut walk)).and_then(|_| text.end());
    match (walked, walk.failure) {
        (_, Some(failure)) => Err(failure),
        (Err(error), None) => Err(not_json(&error)),
        (Ok(()), None) => Ok(()),
    }
}

/// Where the walk is, and what it found.
struct Walk {
    path: Vec<Step>,
    failure: Option<ReadError>,
}

enum Step {
    Key(String),
    Index(usize),
}

impl Walk {
    /// The path of a key in the current object.
    fn field(&self, key: &str) -> String {
        let mut field = String::new();
        for step in &self.path {
            match step {
                Step::Key(key) if field.is_empty() => field.push_str(key),
                Step::Key(key) => field.extend([".", key]),
                Step::Index(index) => field.push_str(&format!("[{index}]")),
            }
        }
        if !field.is_empty() {
            field.push('.');
        }
        field + key
    }
}

/// The number at a place, if it is one.
enum Seen {
    Whole(i128),
    Float(f64),
    Other,
}

/// Visits one value.
struct Node<'a>(&'a mut Walk);

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Seen;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Seen, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Seen;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Seen, E> {
        Ok(Seen::Other)
    }

    fn visit_u64<E>(self, value: u64) -> Result<Seen, E> {
        Ok(Seen::Whole(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Seen, E> {
        Ok(Seen::Whole(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Seen, E> {
        Ok(Seen::Float(value))
    }

    fn visit_str<E>(self, _: &str) -> Result<Seen, E> {
        Ok(Seen::Other)
    }

    fn visit_unit<E>(self) -> Result<Seen, E> {
        Ok(Seen::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Seen, A::Error> {
        let mut index = 0;
        loop {
            self.0.path.push(Step::Index(index));
            let element = list.next_element_seed(Node(self.0))?;
            self.0.path.pop();
            if element.is_none() {
                return Ok(Seen::Other);
            }
            index += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Seen, A::Error> {
        let mut exact: Vec<(String, i128)> = Vec::new();
        let mut derived: Vec<(String, f64)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            self.0.path.push(Step::Key(key));
            let seen = map.next_value_seed(Node(self.0))?;
            let Some(Step::Key(key)) = self.0.path.pop() else { return Err(A::Error::custom("the path is lost")) };
            let (whole, stem) = (units::exact_stem(&key), units::derived_stem(&key));
            match (whole, stem, seen) {
                (Some(stem), _, Seen::Whole(bytes)) => exact.push((stem.to_owned(), bytes)),
                (Some(_), _, Seen::Float(bytes)) => {
                    self.0.failure = Some(ReadError::NotWhole { field: self.0.field(&key), value: bytes });
                    return Err(A::Error::custom("not whole"));
                }
                (_, Some(stem), Seen::Float(gb)) => derived.push((stem.to_owned(), gb)),
                #[expect(clippy::cast_precision_loss, reason = "a whole number of GB is far below 2^53")]
                (_, Some(stem), Seen::Whole(gb)) => derived.push((stem.to_owned(), gb as f64)),
                _ => {}
            }
        }
        for (stem, gb) in derived {
            let pair = exact.iter().find(|(name, _)| *name == stem);
            let field = || self.0.field(&stem);
            self.0.failure = match pair {
                Some(&(_, bytes)) if units::agree(bytes, gb) => continue,
                Some(&(_, bytes)) => Some(ReadError::Disagree { field: field(), bytes, gb }),
                None => Some(ReadError::DerivedAlone { field: field() }),
            };
            return Err(A::Error::custom("the pair disagrees"));
        }
        Ok(Seen::Other)
    }
}
