//! A flat object of figures, of which arrays of single requests are counted and not kept.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::error::ResultError;
use crate::json::printable;
use crate::result::Latency;

/// More keys than any tool writes, so that a made-up file cannot fill the memory with them.
const MOST_KEYS: usize = 10_000;
/// Objects in objects are followed as deep as a tool writes them.
const DEEPEST: usize = 4;

/// A value of such an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Field {
    Null,
    Flag(bool),
    Number(f64),
    Text(String),
    /// How many entries are texts that are not empty.
    List {
        filled: u64,
    },
    Object(BTreeMap<String, Field>),
}

/// An object, with the number of its run for errors.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Flat {
    pub(crate) run: usize,
    fields: BTreeMap<String, Field>,
}

impl Flat {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    pub(crate) fn object(&self, name: &str) -> Option<Self> {
        match self.fields.get(name) {
            Some(Field::Object(fields)) => Some(Self { run: self.run, fields: fields.clone() }),
            _ => None,
        }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        match self.fields.get(name) {
            Some(Field::Text(text)) => Some(printable(text)).filter(|text| !text.is_empty()),
            _ => None,
        }
    }

    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        match self.fields.get(name) {
            Some(Field::Flag(flag)) => Some(*flag),
            _ => None,
        }
    }

    /// How many entries of a list are texts that are not empty.
    pub(crate) fn filled(&self, name: &str) -> Option<u64> {
        match self.fields.get(name) {
            Some(Field::List { filled }) => Some(*filled),
            _ => None,
        }
    }

    /// A number that is not negative; `None` where it is absent or `null`.
    pub(crate) fn amount(&self, name: &str) -> Result<Option<f64>, ResultError> {
        match self.fields.get(name) {
            None | Some(Field::Null) => Ok(None),
            Some(Field::Number(number)) if *number >= 0.0 => Ok(Some(*number)),
            Some(field) => Err(self.wrong(name, field, "a number that is not negative")),
        }
    }

    /// A whole number.
    pub(crate) fn count(&self, name: &str) -> Result<Option<u64>, ResultError> {
        match self.amount(name)? {
            None => Ok(None),
            Some(number) => {
                let wrong = || self.wrong(name, &Field::Number(number), "a whole number below 2^53");
                whole(number).map(Some).ok_or_else(wrong)
            }
        }
    }

    /// A rate that was asked for: a text says that there was no limit, or that a trace set the times.
    pub(crate) fn asked_rate(&self, name: &str) -> Result<Option<f64>, ResultError> {
        match self.fields.get(name) {
            Some(Field::Text(_)) => Ok(None),
            _ => self.amount(name),
        }
    }

    /// The figures of one time: `mean_NAME_ms`, `p99_NAME_ms`; `None` where nothing was measured.
    pub(crate) fn latency(&self, name: &str) -> Result<Option<Latency>, ResultError> {
        let of = |lead: &str| self.amount(&format!("{lead}_{name}_ms"));
        let mut latency = Latency { mean_ms: of("mean")?, std_ms: of("std")?, ..Latency::default() };
        if let Some(ms) = of("median")? {
            latency.add(50.0, ms);
        }
        let end = format!("_{name}_ms");
        for field in self.names() {
            let percent = field.strip_prefix('p').and_then(|field| field.strip_suffix(end.as_str()));
            let percent = percent.and_then(|percent| percent.parse::<f64>().ok()).filter(|p| (0.0..=100.0).contains(p));
            if let Some(percent) = percent
                && let Some(ms) = self.amount(field)?
            {
                latency.add(percent, ms);
            }
        }
        Ok((latency != Latency::default()).then_some(latency))
    }

    fn wrong(&self, name: &str, field: &Field, expected: &'static str) -> ResultError {
        let found = match field {
            Field::Null => "null".to_owned(),
            Field::Flag(flag) => flag.to_string(),
            Field::Number(number) => number.to_string(),
            Field::Text(_) => "a text".to_owned(),
            Field::List { .. } => "a list".to_owned(),
            Field::Object(_) => "an object".to_owned(),
        };
        ResultError::Figure { run: self.run, field: printable(name), found, expected }
    }
}

/// A number that counts.
pub(crate) fn whole(number: f64) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and below 2^53 by the test")]
    (number.fract() == 0.0 && (0.0..9e15).contains(&number)).then_some(number as u64)
}

/// What a document holds at its top: one run, or a list of runs.
#[derive(Debug)]
pub(crate) enum Runs {
    One(BTreeMap<String, Field>),
    Many(Vec<BTreeMap<String, Field>>),
}

impl Runs {
    pub(crate) fn into_flat(documents: Vec<Self>) -> Vec<Flat> {
        let each = documents.into_iter().flat_map(|document| match document {
            Self::One(fields) => vec![fields],
            Self::Many(runs) => runs,
        });
        each.enumerate().map(|(place, fields)| Flat { run: place + 1, fields }).collect()
    }
}

impl<'de> Deserialize<'de> for Runs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Top;
        impl<'de> Visitor<'de> for Top {
            type Value = Runs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object, or a list of objects")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Runs, A::Error> {
                fields(map, DEEPEST).map(Runs::One)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Runs, A::Error> {
                let mut runs = Vec::new();
                while let Some(Object(fields)) = list.next_element()? {
                    if runs.len() == crate::read::MOST_RESULTS {
                        return Err(serde::de::Error::custom("more runs than are read of a file"));
                    }
                    runs.push(fields);
                }
                Ok(Runs::Many(runs))
            }
        }
        deserializer.deserialize_any(Top)
    }
}

struct Object(BTreeMap<String, Field>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Run;
        impl<'de> Visitor<'de> for Run {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object, A::Error> {
                fields(map, DEEPEST).map(Object)
            }
        }
        deserializer.deserialize_map(Run)
    }
}

fn fields<'de, A: MapAccess<'de>>(mut map: A, depth: usize) -> Result<BTreeMap<String, Field>, A::Error> {
    let mut found = BTreeMap::new();
    while let Some(name) = map.next_key::<String>()? {
        if found.len() == MOST_KEYS {
            return Err(serde::de::Error::custom("more keys than a result has"));
        }
        let value = map.next_value_seed(Seed(depth))?;
        found.insert(name, value);
    }
    Ok(found)
}

struct Seed(usize);

impl<'de> serde::de::DeserializeSeed<'de> for Seed {
    type Value = Field;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Field, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Field, E> {
        Ok(Field::Flag(flag))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Field, E> {
        Ok(Field::Number(number))
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are below 2^53, and what is not is refused as a count")]
    fn visit_u64<E>(self, number: u64) -> Result<Field, E> {
        Ok(Field::Number(number as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "negative numbers are refused wherever they are read")]
    fn visit_i64<E>(self, number: i64) -> Result<Field, E> {
        Ok(Field::Number(number as f64))
    }

    fn visit_str<E>(self, text: &str) -> Result<Field, E> {
        Ok(Field::Text(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Field, E> {
        Ok(Field::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Field, A::Error> {
        let mut filled = 0;
        while let Some(Entry(text)) = list.next_element()? {
            filled += u64::from(text);
        }
        Ok(Field::List { filled })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Field, A::Error> {
        let Some(depth) = self.0.checked_sub(1) else {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Field::Null);
        };
        fields(map, depth).map(Field::Object)
    }
}

/// Whether an entry of a list is a text that is not empty.
struct Entry(bool);

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Entry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_str<E>(self, text: &str) -> Result<Entry, E> {
                Ok(Entry(!text.is_empty()))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Entry, E> {
                Ok(Entry(false))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Entry, E> {
                Ok(Entry(false))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Entry, E> {
                Ok(Entry(false))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Entry, E> {
                Ok(Entry(false))
            }

            fn visit_unit<E>(self) -> Result<Entry, E> {
                Ok(Entry(false))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Entry, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Entry(false))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Entry(false))
            }
        }
        deserializer.deserialize_any(Any)
    }
}
