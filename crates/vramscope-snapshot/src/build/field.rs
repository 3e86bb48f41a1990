//! The fields of one dictionary, and what they may hold.

use super::key::{COUNT, Key};
use super::{Fault, Value};
use crate::TextId;

/// The largest size that is believed: 2^50 bytes, far above any device, and far below where sums overflow.
const MAX_SIZE: u64 = 1 << 50;

/// The values of one dictionary by key.
#[derive(Debug)]
pub(super) struct Fields {
    values: [Value; COUNT],
    set: u64,
}

impl Default for Fields {
    fn default() -> Self {
        Self { values: [Value::None; COUNT], set: 0 }
    }
}

impl Fields {
    pub(super) fn clear(&mut self) {
        self.set = 0;
    }

    pub(super) fn set(&mut self, key: Key, value: Value) {
        self.values[key as usize] = value;
        self.set |= 1 << key as u32;
    }

    pub(super) fn has(&self, key: Key) -> bool {
        self.set & 1 << key as u32 != 0
    }

    pub(super) fn get(&self, key: Key) -> Option<Value> {
        self.has(key).then(|| self.values[key as usize])
    }

    pub(super) fn text(&self, noun: &str, key: Key) -> Result<TextId, Fault> {
        match self.get(key) {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(self.wrong(noun, key, "a text")),
        }
    }

    /// A size that can be true.
    pub(super) fn size(&self, noun: &str, key: Key) -> Result<Option<u64>, Fault> {
        match self.size_or_more(noun, key)? {
            Some(size) if size > MAX_SIZE => Err(self.wrong(noun, key, "a number of bytes up to 2^50")),
            size => Ok(size),
        }
    }

    /// A size that a program may have asked for in vain.
    pub(super) fn size_or_more(&self, noun: &str, key: Key) -> Result<Option<u64>, Fault> {
        match self.get(key) {
            None | Some(Value::None) => Ok(None),
            Some(value) => unsigned(value).map(Some).ok_or_else(|| self.wrong(noun, key, "a number of bytes")),
        }
    }

    pub(super) fn needed_size(&self, noun: &str, key: Key) -> Result<u64, Fault> {
        self.size(noun, key)?.ok_or_else(|| self.wrong(noun, key, "a number of bytes"))
    }

    /// An address or a stream: torch's C++ writer gives those of the upper half as negative numbers.
    pub(super) fn address(&self, noun: &str, key: Key) -> Result<Option<u64>, Fault> {
        match self.get(key) {
            None | Some(Value::None) => Ok(None),
            Some(Value::Int(address)) => Ok(Some(address.cast_unsigned())),
            Some(Value::Uint(address)) => Ok(Some(address)),
            Some(_) => Err(self.wrong(noun, key, "an address")),
        }
    }

    pub(super) fn signed(&self, noun: &str, key: Key) -> Result<Option<i64>, Fault> {
        match self.get(key) {
            None | Some(Value::None) => Ok(None),
            Some(Value::Int(number)) => Ok(Some(number)),
            Some(_) => Err(self.wrong(noun, key, "a number")),
        }
    }

    pub(super) fn device(&self, noun: &str, key: Key) -> Result<Option<u32>, Fault> {
        match self.signed(noun, key)? {
            None => Ok(None),
            Some(device @ 0..=1023) => Ok(u32::try_from(device).ok()),
            Some(_) => Err(self.wrong(noun, key, "a device from 0 to 1023")),
        }
    }

    pub(super) fn truth(&self, noun: &str, key: Key) -> Result<Option<bool>, Fault> {
        match self.get(key) {
            None | Some(Value::None) => Ok(None),
            Some(Value::Bool(truth)) => Ok(Some(truth)),
            Some(Value::Int(number @ 0..=1)) => Ok(Some(number == 1)),
            Some(_) => Err(self.wrong(noun, key, "true or false")),
        }
    }

    fn wrong(&self, noun: &str, key: Key, expected: &str) -> Fault {
        let found = match self.get(key) {
            None => "absent".to_owned(),
            Some(Value::None) => "None".to_owned(),
            Some(Value::Bool(truth)) => truth.to_string(),
            Some(Value::Int(number)) => number.to_string(),
            Some(Value::Uint(number)) => number.to_string(),
            Some(Value::Float(number)) => number.to_string(),
            Some(Value::Text(_)) => "a text".to_owned(),
            Some(Value::Pool(_)) => "a pair of numbers".to_owned(),
            Some(Value::Held(_)) => "a list or a dictionary".to_owned(),
            Some(Value::Opaque) => "something else".to_owned(),
        };
        Fault::Field(format!("the {noun}'s `{}` is {found}, expected {expected}", key.name()))
    }
}

/// A number that is not negative.
pub(super) fn unsigned(value: Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(number).ok(),
        Value::Uint(number) => Some(number),
        _ => None,
    }
}
