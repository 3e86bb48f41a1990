//! Writes values as the picklers of Python and of torch's C++ do, and as JSON.

use std::collections::HashMap;

/// A value of a snapshot.
#[derive(Debug, Clone)]
pub(crate) enum Py {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    Tuple(Vec<Py>),
    List(Vec<Py>),
    Dict(Vec<(&'static str, Py)>),
    /// A value that is written once and referred to afterwards, by its number.
    Shared(usize, Box<Py>),
}

/// Who pickles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// `pickle.dump` with a protocol from 2 to 5: containers are kept before they are filled, a thousand at a time.
    Python(u8),
    /// torch's C++ pickler: containers are filled at once and kept afterwards.
    Torch,
}

pub(crate) fn text(text: &str) -> Py {
    Py::Text(text.to_owned())
}

pub(crate) fn int(number: impl Into<i128>) -> Py {
    Py::Int(number.into())
}

/// A pickle of a value.
pub(crate) fn pickle(value: &Py, style: Style) -> Vec<u8> {
    let protocol = if let Style::Python(protocol) = style { protocol } else { 2 };
    let mut writer =
        Writer { out: vec![0x80, protocol], style, kept: 0, texts: HashMap::new(), shared: HashMap::new() };
    if protocol >= 4 {
        // The length of a frame says nothing that the opcodes do not.
        writer.out.push(0x95);
        writer.out.extend(0u64.to_le_bytes());
    }
    writer.value(value);
    writer.out.push(b'.');
    writer.out
}

struct Writer {
    out: Vec<u8>,
    style: Style,
    kept: u32,
    texts: HashMap<String, u32>,
    shared: HashMap<usize, u32>,
}

impl Writer {
    fn modern(&self) -> bool {
        matches!(self.style, Style::Python(4..))
    }

    fn keep(&mut self) -> u32 {
        let number = self.kept;
        self.kept += 1;
        match u8::try_from(number) {
            _ if self.modern() => self.out.push(0x94),
            Ok(number) => self.out.extend([b'q', number]),
            Err(_) => {
                self.out.push(b'r');
                self.out.extend(number.to_le_bytes());
            }
        }
        number
    }

    fn recall(&mut self, number: u32) {
        match u8::try_from(number) {
            Ok(number) => self.out.extend([b'h', number]),
            Err(_) => {
                self.out.push(b'j');
                self.out.extend(number.to_le_bytes());
            }
        }
    }

    fn value(&mut self, value: &Py) {
        match value {
            Py::None => self.out.push(b'N'),
            Py::Bool(truth) => self.out.push(if *truth { 0x88 } else { 0x89 }),
            Py::Int(number) => self.int(*number),
            Py::Float(number) => {
                self.out.push(b'G');
                self.out.extend(number.to_be_bytes());
            }
            Py::Text(text) => self.text(text),
            Py::Tuple(items) => {
                items.iter().for_each(|item| self.value(item));
                match items.len() {
                    2 => self.out.push(0x86),
                    length => panic!("torch writes no tuple of {length}"),
                }
                self.keep();
            }
            Py::List(items) => {
                let python = matches!(self.style, Style::Python(_));
                self.out.push(b']');
                if python {
                    self.keep();
                }
                let piece = if python { 1000 } else { usize::MAX };
                for items in items.chunks(piece) {
                    if let ([item], true) = (items, python) {
                        self.value(item);
                        self.out.push(b'a');
                        continue;
                    }
                    self.out.push(b'(');
                    items.iter().for_each(|item| self.value(item));
                    self.out.push(b'e');
                }
                if !python {
                    self.keep();
                }
            }
            Py::Dict(pairs) => {
                let python = matches!(self.style, Style::Python(_));
                self.out.push(b'}');
                if python {
                    self.keep();
                }
                if !pairs.is_empty() {
                    self.out.push(b'(');
                    for (key, value) in pairs {
                        self.text(key);
                        self.value(value);
                    }
                    self.out.push(b'u');
                }
                if !python {
                    self.keep();
                }
            }
            Py::Shared(id, value) => match self.shared.get(id) {
                Some(number) => self.recall(*number),
                None => {
                    // The number under which this value itself is kept: Python keeps it first, torch last.
                    let number = self.kept;
                    self.value(value);
                    let number = if self.style == Style::Torch { self.kept - 1 } else { number };
                    self.shared.insert(*id, number);
                }
            },
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(number) = self.texts.get(text) {
            return self.recall(*number);
        }
        match u8::try_from(text.len()) {
            Ok(length) if self.modern() => self.out.extend([0x8c, length]),
            _ => {
                self.out.push(b'X');
                self.out.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
            }
        }
        self.out.extend(text.as_bytes());
        let number = self.keep();
        self.texts.insert(text.to_owned(), number);
    }

    fn int(&mut self, number: i128) {
        match number {
            0..=255 if self.style != Style::Torch => self.out.extend([b'K', number.to_le_bytes()[0]]),
            256..=65535 if self.style != Style::Torch => {
                self.out.extend([b'M', number.to_le_bytes()[0], number.to_le_bytes()[1]]);
            }
            _ if i32::try_from(number).is_ok() => {
                self.out.push(b'J');
                self.out.extend(&number.to_le_bytes()[..4]);
            }
            _ => {
                // Torch's C++ has 64 bits with a sign; Python takes a byte more where it needs one.
                let long = self.style != Style::Torch && i64::try_from(number).is_err();
                let length = if long { 9 } else { 8 };
                self.out.extend([0x8a, length]);
                self.out.extend(&number.to_le_bytes()[..usize::from(length)]);
            }
        }
    }
}

/// The JSON of a value.
pub(crate) fn json(value: &Py) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Py::None => Value::Null,
        Py::Bool(truth) => Value::Bool(*truth),
        Py::Int(number) => serde_json::from_str(&number.to_string()).unwrap(),
        Py::Float(number) => serde_json::json!(number),
        Py::Text(text) => Value::String(text.clone()),
        Py::Tuple(items) | Py::List(items) => Value::Array(items.iter().map(json).collect()),
        Py::Dict(pairs) => Value::Object(pairs.iter().map(|(key, value)| ((*key).to_owned(), json(value))).collect()),
        Py::Shared(_, value) => json(value),
    }
}
