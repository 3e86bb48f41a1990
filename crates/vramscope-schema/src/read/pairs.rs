//! The check of `x_gb` against `x_bytes`, in one pass over the text and before anything is built.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::{ReadError, not_json};
use crate::units;

/// Fails on the first pair that disagrees.
pub(super) fn check(json: &[u8]) -> Result<(), ReadError> {
    let mut walk = Walk::default();
    let mut text = serde_json::Deserializer::from_slice(json);
    let walked = text.deserialize_any(Node(&mut walk)).and_then(|_| text.end());
    match (walked, walk.failure) {
        (_, Some(failure)) => Err(failure),
        (Err(error), None) => Err(not_json(&error)),
        (Ok(()), None) => Ok(()),
    }
}

/// Where the walk is, and what it found.
#[derive(Default)]
struct Walk<'de> {
    path: Vec<Step<'de>>,
    failure: Option<ReadError>,
}

enum Step<'de> {
    Key(Cow<'de, str>),
    Index(usize),
}

impl Walk<'_> {
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

    /// Compares what one object holds.
    fn compare(&self, exact: &[(Cow<'_, str>, i128)], derived: &[(Cow<'_, str>, f64)]) -> Result<(), ReadError> {
        for (key, gb) in derived {
            let Some(stem) = units::derived_stem(key) else { continue };
            let pair = exact.iter().find(|(key, _)| units::exact_stem(key) == Some(stem));
            let field = || self.field(stem);
            match pair {
                Some(&(_, bytes)) if units::agree(bytes, *gb) => {}
                Some(&(_, bytes)) => return Err(ReadError::Disagree { field: field(), bytes, gb: *gb }),
                None => return Err(ReadError::DerivedAlone { field: field() }),
            }
        }
        Ok(())
    }

    /// Keeps a failure, and gives the parser an error to stop with.
    fn fail<E: serde::de::Error>(&mut self, failure: ReadError) -> E {
        let error = E::custom(&failure);
        self.failure = Some(failure);
        error
    }
}

/// A key, borrowed from the text where it has no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

/// The number at a place, if it is one.
enum Seen {
    Whole(i128),
    Float(f64),
    Other,
}

/// Visits one value.
struct Node<'a, 'de>(&'a mut Walk<'de>);

impl<'de> DeserializeSeed<'de> for Node<'_, 'de> {
    type Value = Seen;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Seen, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, 'de> {
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
        let mut exact = Vec::new();
        let mut derived = Vec::new();
        while let Some(key) = map.next_key_seed(Key)? {
            self.0.path.push(Step::Key(key));
            let seen = map.next_value_seed(Node(self.0))?;
            let Some(Step::Key(key)) = self.0.path.pop() else { return Err(A::Error::custom("the path is lost")) };
            match (units::exact_stem(&key).is_some(), units::derived_stem(&key).is_some(), seen) {
                (true, _, Seen::Whole(bytes)) => exact.push((key, bytes)),
                (true, _, Seen::Float(value)) => {
                    let field = self.0.field(&key);
                    return Err(self.0.fail(ReadError::NotWhole { field, value }));
                }
                (_, true, Seen::Float(gb)) => derived.push((key, gb)),
                #[expect(clippy::cast_precision_loss, reason = "a whole number of GB is far below 2^53")]
                (_, true, Seen::Whole(gb)) => derived.push((key, gb as f64)),
                _ => {}
            }
        }
        self.0.compare(&exact, &derived).map_err(|failure| self.0.fail(failure))?;
        Ok(Seen::Other)
    }
}
