//! Fields of a config, read with their names, types and bounds in mind.

use std::cell::RefCell;

use serde_json::{Map, Value};

use crate::defaults::Defaults;
use crate::{ConfigError, Note};

/// No model has a width, a count or a length beyond this; products of four such numbers still fit 128 bits.
pub(crate) const MOST: u64 = 1 << 31;

/// What stands for an `Infinity` of Python's.
pub(crate) const HUGE: &str = "1e300";

/// A section of a config, with the section above it for fields that may stand in either.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    own: Section<'a>,
    outer: Option<Section<'a>>,
    prefix: &'static str,
    defaults: &'a Defaults,
    notes: Vec<Note>,
    /// Keys that are absent and were taken from the class.
    taken: RefCell<Vec<&'static str>>,
    /// Where the names of the keys lie that were looked at: cheaper than the names themselves.
    seen: RefCell<Vec<usize>>,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(
        own: &'a Map<String, Value>,
        outer: Option<&'a Map<String, Value>>,
        prefix: &'static str,
        defaults: &'a Defaults,
    ) -> Self {
        let (own, outer) = (Section::new(own), outer.map(Section::new));
        let seen = RefCell::new(Vec::with_capacity(64));
        Self { own, outer, prefix, defaults, notes: Vec::new(), taken: RefCell::default(), seen }
    }

    pub(crate) fn note(&mut self, field: &str, text: impl Into<String>) {
        let note = Note { field: field.to_owned(), text: text.into() };
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// The notes, with one of all keys that were taken from the class.
    pub(crate) fn into_notes(self) -> Vec<Note> {
        let taken = self.taken.borrow();
        // What is off by itself is what readers expect, and so is the usual activation.
        let told = taken.iter().filter_map(|key| self.defaults.get(&[*key]));
        let told = told.filter(|(key, value)| *value != false && *key != "hidden_act");
        let told = told.map(|(key, value)| format!("`{key}` {value}"));
        let told = told.collect::<Vec<_>>().join(", ");
        let mut notes = self.notes;
        if !told.is_empty() {
            let text = format!("absent, and taken as the model's class has them: {told}");
            notes.push(Note { field: "config".to_owned(), text });
        }
        notes
    }

    /// Keys that are absent, and of which it is not known what the class then takes.
    pub(crate) fn left_open(&self) -> Vec<&'static str> {
        self.defaults.left_open(self.own.fields)
    }

    /// What the class has for a key, whatever the file says.
    pub(crate) fn own_of_class(&self, name: &str) -> Option<&'a Value> {
        self.defaults.get(&[name]).map(|(_, value)| value)
    }

    /// What the class takes where no spelling of a key is there; one that is there and null is left to other rules.
    fn of_class(&self, names: &[&str]) -> Option<(&'static str, &'a Value)> {
        let (key, value) = self.defaults.get(names)?;
        if names.iter().any(|name| self.own.get(name).is_some()) {
            return None;
        }
        let mut taken = self.taken.borrow_mut();
        if !taken.contains(key) {
            taken.push(key);
        }
        Some((key, value))
    }

    /// The value of a key of a section that is not null. The key then counts as read.
    fn get(&self, section: &Section<'a>, name: &str) -> Option<&'a Value> {
        let (key, value) = section.get(name)?;
        self.seen.borrow_mut().push(key.as_ptr() as usize);
        Some(value).filter(|v| !v.is_null())
    }

    /// The keys of a section that nobody has looked at.
    pub(crate) fn unseen(&self, section: &'a Map<String, Value>) -> Vec<(&'a str, &'a Value)> {
        let mut seen = self.seen.borrow().clone();
        seen.sort_unstable();
        let unseen = |key: &str| seen.binary_search(&(key.as_ptr() as usize)).is_err();
        section.iter().filter(|(key, _)| unseen(key)).map(|(key, value)| (key.as_str(), value)).collect()
    }

    /// The value of the first name that is there and not null, or that of the class where none is there.
    pub(crate) fn value(&self, names: &[&str]) -> Option<&'a Value> {
        self.first(&self.own, names).or_else(|| Some(self.of_class(names)?.1))
    }

    /// The value of the first of several spellings. All of them count as read.
    fn first(&self, section: &Section<'a>, names: &[&str]) -> Option<&'a Value> {
        let mut found = None;
        for name in names {
            let value = self.get(section, name);
            found = found.or(value);
        }
        found
    }

    /// The value in the section above, or in this one where there is none above or it has no such key.
    pub(crate) fn value_above(&self, names: &[&str]) -> Option<&'a Value> {
        let own = self.first(&self.own, names);
        let stated = self.outer.as_ref().and_then(|outer| self.first(outer, names)).or(own);
        stated.or_else(|| Some(self.of_class(names)?.1))
    }

    /// As [`Self::value`], and in the section above where this one does not have it.
    pub(crate) fn value_anywhere(&self, names: &[&str]) -> Option<&'a Value> {
        let outer = self.outer.as_ref().and_then(|outer| self.first(outer, names));
        let stated = self.first(&self.own, names).or(outer);
        stated.or_else(|| Some(self.of_class(names)?.1))
    }

    /// Whether the section itself has a key, whatever its class would take.
    pub(crate) fn states(&self, name: &str) -> bool {
        self.own.fields.contains_key(name)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.value(&[name]).is_some()
    }

    /// A number from 0 up, or `None` where no name is there. Several spellings that disagree are a contradiction.
    pub(crate) fn number(&self, names: &[&str]) -> Result<Option<u64>, ConfigError> {
        let mut found: Option<(&str, u64)> = None;
        for name in names {
            let Some(value) = self.get(&self.own, name) else { continue };
            let number = whole(value).ok_or_else(|| self.wrong(name, "a whole number from 0", value))?;
            let number = self.bounded(name, number, 0, MOST)?;
            match found {
                Some((other, before)) if before != number => {
                    let reason = format!("{number} and {before} are spellings of the same number");
                    return Err(self.contradiction(name, other, reason));
                }
                _ => found = found.or(Some((*name, number))),
            }
        }
        match found {
            Some((_, number)) => Ok(Some(number)),
            None => Ok(self.of_class(names).and_then(|(_, value)| whole(value))),
        }
    }

    /// A number from 1 up, or `None`.
    pub(crate) fn positive(&self, names: &[&str]) -> Result<Option<u64>, ConfigError> {
        let number = self.number(names)?;
        number.map(|n| self.bounded(names[0], n, 1, MOST)).transpose()
    }

    /// A number from 1 up that must be there, or stand in the class.
    pub(crate) fn required(&self, names: &[&str]) -> Result<u64, ConfigError> {
        self.positive(names)?.ok_or_else(|| self.missing(names))
    }

    /// A boolean, or `None`.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, ConfigError> {
        let Some(value) = self.value(&[name]) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| self.wrong(name, "true or false", value))
    }

    /// Text, or `None`.
    pub(crate) fn text(&self, names: &[&str]) -> Result<Option<&'a str>, ConfigError> {
        let Some(value) = self.value(names) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.wrong(names[0], "text", value))
    }

    /// A list, or `None`.
    pub(crate) fn list(&self, name: &str) -> Result<Option<&'a Vec<Value>>, ConfigError> {
        let Some(value) = self.value(&[name]) else { return Ok(None) };
        value.as_array().map(Some).ok_or_else(|| self.wrong(name, "a list", value))
    }

    /// A section, or `None`.
    pub(crate) fn section(&self, name: &str) -> Result<Option<&'a Map<String, Value>>, ConfigError> {
        let Some(value) = self.value_anywhere(&[name]) else { return Ok(None) };
        let not_an_object = || ConfigError::NotAnObject { field: self.path(name), found: shortened(value) };
        value.as_object().map(Some).ok_or_else(not_an_object)
    }

    pub(crate) fn bounded(&self, name: &str, value: u64, least: u64, most: u64) -> Result<u64, ConfigError> {
        if (least..=most).contains(&value) {
            return Ok(value);
        }
        Err(ConfigError::OutOfRange { field: self.path(name), value, least, most })
    }

    pub(crate) fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(crate) fn missing(&self, names: &[&str]) -> ConfigError {
        ConfigError::Missing { field: self.path(&names.join("` or `")) }
    }

    pub(crate) fn wrong(&self, name: &str, expected: &'static str, found: &Value) -> ConfigError {
        ConfigError::WrongType { field: self.path(name), expected, found: shortened(found) }
    }

    pub(crate) fn contradiction(&self, field: &str, other: &str, reason: impl Into<String>) -> ConfigError {
        ConfigError::Contradiction { field: self.path(field), other: self.path(other), reason: reason.into() }
    }
}

/// The fields of a section, with a sieve for names: most that are asked for are not there, and a config is asked for more
/// than a hundred.
#[derive(Debug)]
struct Section<'a> {
    fields: &'a Map<String, Value>,
    /// A bit for each name that is there; names may share one.
    sieve: [u64; 4],
}

impl<'a> Section<'a> {
    fn new(fields: &'a Map<String, Value>) -> Self {
        let mut sieve = [0; 4];
        for name in fields.keys() {
            let (word, bit) = Self::place(name);
            sieve[word] |= bit;
        }
        Self { fields, sieve }
    }

    fn get(&self, name: &str) -> Option<(&'a String, &'a Value)> {
        let (word, bit) = Self::place(name);
        if self.sieve[word] & bit == 0 {
            return None;
        }
        self.fields.get_key_value(name)
    }

    /// The word and the bit of a name: of its length and three of its letters.
    fn place(name: &str) -> (usize, u64) {
        let bytes = name.as_bytes();
        let letter = |at: usize| usize::from(bytes.get(at).copied().unwrap_or(0));
        let (length, last) = (bytes.len(), letter(bytes.len().saturating_sub(1)));
        let hash = length * 37 + letter(0) * 7 + letter(length / 2) * 13 + last * 3;
        (hash / 64 % 4, 1 << (hash % 64))
    }
}

/// A JSON number that is whole and not negative; `32.0` counts, as Python writes it.
fn whole(value: &Value) -> Option<u64> {
    if let Some(number) = value.as_u64() {
        return Some(number);
    }
    let float = value.as_f64().filter(|f| f.fract() == 0.0 && (0.0..9e15).contains(f))?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and in range by the test above")]
    Some(float as u64)
}

/// A value as an error message may show it.
pub(crate) fn shortened(value: &Value) -> String {
    const SHOWN: usize = 60;
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(items) => format!("a list of {}", items.len()),
        _ => {
            let text = value.to_string();
            let text = if value.as_f64() == HUGE.parse().ok() { "Infinity".to_owned() } else { text };
            if text.chars().count() <= SHOWN { text } else { text.chars().take(SHOWN).chain(['…']).collect() }
        }
    }
}
