//! Reads pickles of protocol 2 to 5 without executing anything: data opcodes alone, everything else refused by name.
//!
//! Source of the opcodes: Python's `Lib/pickletools.py`. Python's pickler writes containers before their content and
//! fills them in pieces of a thousand; torch's own C++ pickler (`torch/csrc/jit/serialization/pickler.cpp`) fills each
//! at once and remembers it afterwards. Both are read.

mod memo;
mod opcode;

use crate::SnapshotError;
use crate::build::{Builder, Fault, MAX_ONE_TEXT, Value};
use crate::model::{Format, Snapshot};
use crate::source::Input;
use memo::Memo;
use opcode::Op;

/// The most values that wait to be put into a list or dictionary. Python's pickler leaves a thousand at each level,
/// torch's C++ pickler all events of a device.
const MAX_WAITING: usize = 1 << 24;
/// The deepest nesting; a snapshot has eight levels.
const MAX_DEPTH: usize = 100;
/// The longest line of a text opcode, which protocols 2 to 5 write for globals alone.
const MAX_LINE: usize = 4096;

/// A pickle being read.
struct Machine<'i> {
    input: &'i mut Input,
    builder: Builder,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: Memo,
    /// Where the opcode stands that is being read.
    at: u64,
}

/// Reads a snapshot from a pickle.
pub(crate) fn read(input: &mut Input) -> Result<Snapshot, SnapshotError> {
    let mut machine = Machine {
        input,
        builder: Builder::default(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Memo::default(),
        at: 0,
    };
    let protocol = machine.protocol()?;
    while !machine.step()? {}
    let value = machine.pop()?;
    let Machine { input, builder, at, .. } = machine;
    let followed = !input.peek(1)?.is_empty();
    builder.finish(value, Format::Pickle(protocol), input, followed).map_err(|fault| told(input, at, fault))
}

/// A fault with its place.
pub(crate) fn told(input: &Input, offset: u64, fault: Fault) -> SnapshotError {
    let name = input.name().to_owned();
    match fault {
        Fault::Field(problem) => SnapshotError::Field { name, offset, problem: vramscope_core::redact(&problem) },
        Fault::Limit(what, limit) => SnapshotError::Limit { name, offset, what, limit },
    }
}

impl Machine<'_> {
    fn protocol(&mut self) -> Result<u8, SnapshotError> {
        let head = self.input.take(2, "the pickle's head")?;
        let protocol = head[1];
        if !(2..=5).contains(&protocol) {
            return Err(self.wrong(format!("the protocol is {protocol}; 2 to 5 are read")));
        }
        Ok(protocol)
    }

    fn wrong(&self, problem: String) -> SnapshotError {
        SnapshotError::Pickle { name: self.input.name().to_owned(), offset: self.at, problem }
    }

    fn fault(&self, fault: Fault) -> SnapshotError {
        told(self.input, self.at, fault)
    }

    fn limit(&self, what: &'static str, limit: u64) -> SnapshotError {
        self.fault(Fault::Limit(what, limit))
    }

    #[inline]
    fn push(&mut self, value: Value) -> Result<(), SnapshotError> {
        if self.stack.len() >= MAX_WAITING {
            return Err(self.limit("the number of values that wait for their list", MAX_WAITING as u64));
        }
        self.stack.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Value, SnapshotError> {
        let floor = self.marks.last().copied().unwrap_or_default();
        if self.stack.len() <= floor {
            return Err(self.wrong("an opcode takes a value, and none is there".into()));
        }
        Ok(self.stack.pop().unwrap_or(Value::None))
    }

    fn top(&self) -> Result<Value, SnapshotError> {
        self.stack.last().copied().ok_or_else(|| self.wrong("an opcode needs a value, and none is there".into()))
    }

    /// Where the values of the last mark begin; the mark is gone.
    fn mark(&mut self) -> Result<usize, SnapshotError> {
        self.marks.pop().ok_or_else(|| self.wrong("an opcode needs a mark, and none is there".into()))
    }

    /// The value below a mark, which is to be filled.
    fn below(&self, mark: usize) -> Result<Value, SnapshotError> {
        let value = mark.checked_sub(1).and_then(|at| self.stack.get(at));
        value.copied().ok_or_else(|| self.wrong("nothing is there to be filled".into()))
    }

    #[inline]
    fn little(&mut self, width: usize) -> Result<u64, SnapshotError> {
        let bytes = self.input.take(width, "a number")?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Reads one opcode; true at the end.
    fn step(&mut self) -> Result<bool, SnapshotError> {
        self.small();
        self.at = self.input.offset();
        let byte = self.input.take(1, "the pickle, before its end")?[0];
        let Some(op) = Op::of(byte) else {
            return Err(
                self.wrong(format!("0x{byte:02x} is no opcode of a pickle; the file is damaged or another one"))
            );
        };
        match op {
            Op::Stop => return Ok(true),
            Op::Proto => drop(self.little(1)?),
            Op::Frame => drop(self.little(8)?),
            Op::Mark => {
                if self.marks.len() >= MAX_DEPTH {
                    return Err(self.limit("the depth of nesting", MAX_DEPTH as u64));
                }
                self.marks.push(self.stack.len());
            }
            Op::Pop => drop(self.pop()?),
            Op::PopMark => {
                let mark = self.mark()?;
                self.stack.truncate(mark);
            }
            Op::Dup => {
                let value = self.top()?;
                self.push(value)?;
            }
            Op::None => self.push(Value::None)?,
            Op::True => self.push(Value::Bool(true))?,
            Op::False => self.push(Value::Bool(false))?,
            Op::Int4 => {
                let number = self.little(4)?;
                let number = i32::from_le_bytes([
                    byte_of(number, 0),
                    byte_of(number, 1),
                    byte_of(number, 2),
                    byte_of(number, 3),
                ]);
                self.push(Value::Int(i64::from(number)))?;
            }
            Op::Int1 | Op::Int2 => {
                let number = self.little(if op == Op::Int1 { 1 } else { 2 })?;
                self.push(Value::Int(number.cast_signed()))?;
            }
            Op::Long1 | Op::Long4 => self.long(if op == Op::Long1 { 1 } else { 4 })?,
            Op::Float => {
                let bytes = self.input.take(8, "a number")?;
                let number = f64::from_bits(bytes.iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte)));
                self.push(Value::Float(number))?;
            }
            Op::Text { width } => self.text(width)?,
            Op::Bytes { width } => {
                let length = self.little(width)?;
                self.input.skip(length, "bytes")?;
                self.push(Value::Opaque)?;
            }
            Op::EmptyList => {
                let list = self.builder.list().map_err(|fault| told(self.input, self.at, fault))?;
                self.push(list)?;
            }
            Op::EmptyDict => {
                let dict = self.builder.dict().map_err(|fault| told(self.input, self.at, fault))?;
                self.push(dict)?;
            }
            Op::EmptyTuple => self.push(Value::Opaque)?,
            Op::Append => {
                let value = self.pop()?;
                let list = self.top()?;
                self.builder.append(list, &[value]).map_err(|fault| told(self.input, self.at, fault))?;
            }
            Op::Appends => {
                let mark = self.mark()?;
                let list = self.below(mark)?;
                let appended = self.builder.append(list, &self.stack[mark..]);
                appended.map_err(|fault| self.fault(fault))?;
                self.stack.truncate(mark);
            }
            Op::SetItem => {
                let (value, key) = (self.pop()?, self.pop()?);
                let dict = self.top()?;
                self.builder.fill(dict, &[key, value]).map_err(|fault| told(self.input, self.at, fault))?;
            }
            Op::SetItems => {
                let mark = self.mark()?;
                let dict = self.below(mark)?;
                if !(self.stack.len() - mark).is_multiple_of(2) {
                    return Err(self.wrong("a key of a dictionary has no value".into()));
                }
                let filled = self.builder.fill(dict, &self.stack[mark..]);
                filled.map_err(|fault| self.fault(fault))?;
                self.stack.truncate(mark);
            }
            Op::List | Op::Dict => self.whole(op)?,
            Op::Tuple => {
                let mark = self.mark()?;
                let tuple =
                    self.builder.tuple(&self.stack[mark..]).map_err(|fault| told(self.input, self.at, fault))?;
                self.stack.truncate(mark);
                self.push(tuple)?;
            }
            Op::TupleOf { length } => {
                let mut items = [Value::None; 3];
                for item in items[..length].iter_mut().rev() {
                    *item = self.pop()?;
                }
                let tuple = self.builder.tuple(&items[..length]);
                let tuple = tuple.map_err(|fault| told(self.input, self.at, fault))?;
                self.push(tuple)?;
            }
            Op::Memoize => {
                let value = self.top()?;
                let next = self.memo.len();
                self.keep(next, value)?;
            }
            Op::Put { width } => {
                let index = self.little(width)?;
                let value = self.top()?;
                self.keep(index, value)?;
            }
            Op::Get { width } => {
                let index = self.little(width)?;
                let unknown = || self.wrong(format!("value {index} is asked for, and none of that number was kept"));
                let value = self.memo.get(index).ok_or_else(unknown)?;
                self.push(value)?;
            }
            Op::Refused { name, lines } => return Err(self.refused(name, lines)?),
        }
        Ok(false)
    }

    /// Reads on as long as only small values come, out of the bytes at hand: references, numbers and what keeps them are
    /// nearly all opcodes of a file. What does not fit here is left to [`Self::step`].
    fn small(&mut self) {
        let bytes = self.input.at_hand();
        let mut taken = 0;
        while self.stack.len() < MAX_WAITING {
            let (value, length) = match bytes[taken..] {
                [b'h', index, ..] => match self.memo.get(u64::from(index)) {
                    Some(value) => (value, 2),
                    None => break,
                },
                [b'j', a, b, c, d, ..] => match self.memo.get(u64::from(u32::from_le_bytes([a, b, c, d]))) {
                    Some(value) => (value, 5),
                    None => break,
                },
                [b'K', number, ..] => (Value::Int(i64::from(number)), 2),
                [b'M', a, b, ..] => (Value::Int(i64::from(u16::from_le_bytes([a, b]))), 3),
                [b'J', a, b, c, d, ..] => (Value::Int(i64::from(i32::from_le_bytes([a, b, c, d]))), 5),
                [0x8a, length @ 1..=8, ref rest @ ..] if rest.len() >= 8 => {
                    let mut number = [0; 8];
                    number.copy_from_slice(&rest[..8]);
                    let unused = 64 - 8 * u32::from(length);
                    (Value::Int(i64::from_le_bytes(number) << unused >> unused), 2 + usize::from(length))
                }
                [b'(', ..] if self.marks.len() < MAX_DEPTH => {
                    self.marks.push(self.stack.len());
                    taken += 1;
                    continue;
                }
                [0x94, ..] => match self.stack.last() {
                    Some(value) if self.memo.put(self.memo.len(), *value, self.at) => {
                        taken += 1;
                        continue;
                    }
                    _ => break,
                },
                _ => break,
            };
            self.stack.push(value);
            taken += length;
        }
        self.input.advance(taken);
    }

    fn keep(&mut self, index: u64, value: Value) -> Result<(), SnapshotError> {
        if !self.memo.put(index, value, self.at) {
            return Err(self.limit("the number of a value that is kept", Memo::most(self.at)));
        }
        Ok(())
    }

    fn long(&mut self, width: usize) -> Result<(), SnapshotError> {
        let length = self.little(width)?;
        // Eight bytes, and one more for the sign of an address in the upper half.
        if length > 9 {
            return Err(self.limit("the length of a number in bytes", 9));
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most 9")]
        let bytes = self.input.take(length as usize, "a number")?;
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let number = bytes
            .iter()
            .rev()
            .fold(if negative { -1 } else { 0 }, |number: i128, byte| number << 8 | i128::from(*byte));
        let value = match (i64::try_from(number), u64::try_from(number)) {
            (Ok(number), _) => Value::Int(number),
            (_, Ok(number)) => Value::Uint(number),
            _ => return Err(self.wrong(format!("the number {number} does not fit 64 bits"))),
        };
        self.push(value)
    }

    fn text(&mut self, width: usize) -> Result<(), SnapshotError> {
        let length = self.little(width)?;
        if length > MAX_ONE_TEXT {
            return Err(self.limit("the length of a text", MAX_ONE_TEXT));
        }
        let (at, builder) = (self.at, &mut self.builder);
        #[expect(clippy::cast_possible_truncation, reason = "at most MAX_ONE_TEXT")]
        let bytes = self.input.take(length as usize, "a text")?;
        // Python escapes what is no text of UTF-8 (a lone surrogate in a file's name), which is then shown as such.
        let added = builder.text(&String::from_utf8_lossy(bytes));
        let value = added.map_err(|fault| told(self.input, at, fault))?;
        self.push(value)
    }

    /// A list or a dictionary that is made of all values since the mark.
    fn whole(&mut self, op: Op) -> Result<(), SnapshotError> {
        let mark = self.mark()?;
        let made = if op == Op::List { self.builder.list() } else { self.builder.dict() };
        let value = made.map_err(|fault| told(self.input, self.at, fault))?;
        let items = &self.stack[mark..];
        if op == Op::Dict && !items.len().is_multiple_of(2) {
            return Err(self.wrong("a key of a dictionary has no value".into()));
        }
        let filled = if op == Op::List { self.builder.append(value, items) } else { self.builder.fill(value, items) };
        filled.map_err(|fault| self.fault(fault))?;
        self.stack.truncate(mark);
        self.push(value)
    }

    /// Says which code an opcode asks for.
    fn refused(&mut self, opcode: &'static str, lines: usize) -> Result<SnapshotError, SnapshotError> {
        let mut parts = Vec::new();
        for _ in 0..lines {
            match self.input.line(MAX_LINE, "the name of a global")? {
                Some(line) => parts.push(String::from_utf8_lossy(line).into_owned()),
                None => return Err(self.limit("the length of a global's name", MAX_LINE as u64)),
            }
        }
        if opcode == "STACK_GLOBAL" {
            let last = self.stack.iter().rev().take(2).rev();
            parts.extend(last.filter_map(|value| match value {
                Value::Text(id) => Some(self.builder.words(*id).chars().take(200).collect()),
                _ => None,
            }));
        }
        let global = if parts.is_empty() { "an object".to_owned() } else { format!("`{}`", parts.join(".")) };
        Ok(SnapshotError::Global { name: self.input.name().to_owned(), offset: self.at, global, opcode })
    }
}

fn byte_of(number: u64, at: usize) -> u8 {
    number.to_le_bytes()[at]
}
