//! A place in a document, from which figures are taken together with their JSON pointer.

use serde_json::Value;

use crate::cell::Cell;
use crate::unit::Unit;

/// A place in a document; also one where nothing is.
#[derive(Debug, Clone)]
pub(crate) struct Node<'d> {
    value: Option<&'d Value>,
    /// The document's place on the page, then the JSON pointer (RFC 6901): `0:/workload/seed`.
    pointer: String,
}

impl<'d> Node<'d> {
    pub(crate) fn root(value: &'d Value, place: usize) -> Self {
        Self { value: Some(value), pointer: format!("{place}:") }
    }

    /// The member of this name. A null is as good as nothing.
    pub(crate) fn at(&self, key: &str) -> Self {
        let value = self.value.and_then(|value| value.get(key)).filter(|value| !value.is_null());
        Self { value, pointer: format!("{}/{}", self.pointer, key.replace('~', "~0").replace('/', "~1")) }
    }

    /// A member of a member: `a/b/c`.
    pub(crate) fn path(&self, path: &str) -> Self {
        path.split('/').fold(self.clone(), |node, key| node.at(key))
    }

    /// The elements of a list; none where there is no list.
    pub(crate) fn items(&self) -> Vec<Self> {
        let list = self.value.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let item = |(place, value)| Self { value: Some(value), pointer: format!("{}/{place}", self.pointer) };
        list.iter().enumerate().map(item).collect()
    }

    /// The members of an object with their names.
    pub(crate) fn members(&self) -> Vec<(&'d str, Self)> {
        let object = self.value.and_then(Value::as_object);
        object.into_iter().flat_map(|object| object.keys()).map(|key| (key.as_str(), self.at(key))).collect()
    }

    pub(crate) fn is_there(&self) -> bool {
        self.value.is_some()
    }

    pub(crate) fn text(&self) -> Option<&'d str> {
        self.value.and_then(Value::as_str)
    }

    pub(crate) fn number(&self) -> Option<f64> {
        self.value.and_then(Value::as_f64)
    }

    pub(crate) fn count(&self) -> Option<u64> {
        self.value.and_then(Value::as_u64)
    }

    pub(crate) fn is_true(&self) -> bool {
        self.value.and_then(Value::as_bool) == Some(true)
    }

    /// Words, as they are: a text, a number or a truth value.
    pub(crate) fn words(&self) -> Option<String> {
        match self.value? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(truth) => Some(if *truth { "yes" } else { "no" }.to_owned()),
            Value::Array(list) => {
                let words: Vec<String> = list.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect();
                (!words.is_empty()).then(|| words.join(", "))
            }
            Value::Null | Value::Object(_) => None,
        }
    }

    /// The figure here, in its unit, with its pointer. A dash where there is none.
    pub(crate) fn figure(&self, unit: Unit) -> Cell {
        match self.value {
            Some(Value::Number(number)) => {
                let text = number.as_f64().map_or_else(|| number.to_string(), |value| unit.show(value));
                Cell::figure(text, self.pointer.clone(), number.clone())
            }
            _ => Cell::absent(),
        }
    }

    /// The figure here as a change, with its sign.
    pub(crate) fn change(&self, unit: Unit) -> Cell {
        let mut cell = self.figure(unit);
        if let Some(value) = self.number() {
            cell.text = unit.signed(value);
        }
        cell
    }

    /// The words here as a cell.
    pub(crate) fn cell(&self) -> Cell {
        self.words().map_or_else(Cell::absent, Cell::text)
    }
}
