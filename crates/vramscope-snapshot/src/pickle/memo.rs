//! Values that a pickle refers to again, four bytes each: nearly every list and dictionary of a file is kept, and
//! hardly one is asked for.

use crate::TextId;
use crate::build::Value;

/// The most values that can be kept.
const MOST: u64 = 1 << 30;
/// Values that may always be kept: four MiB of numbers.
const FREE: u64 = 1 << 20;
/// Bytes of a file for each further one. A record of torch is no shorter than that, and a file that keeps the same value
/// over and over, a byte each, would take four times its unpacked size.
const BYTES_EACH: u64 = 4;

const TEXT: u32 = 1 << 30;
const HELD: u32 = 2 << 30;
const OTHER: u32 = 3 << 30;
const NUMBER: u32 = TEXT - 1;

/// What was kept, by number.
#[derive(Debug, Default)]
pub(super) struct Memo {
    kept: Vec<u32>,
    others: Vec<Value>,
    used: u64,
}

impl Memo {
    /// The number that `MEMOIZE` gives next: how many are kept.
    pub(super) fn len(&self) -> u64 {
        self.used
    }

    /// How many values can be kept of so many bytes of a file.
    pub(super) fn most(read: u64) -> u64 {
        MOST.min(FREE.saturating_add(read / BYTES_EACH))
    }

    /// Keeps a value of a file that was read so far; false when there is no room.
    pub(super) fn put(&mut self, index: u64, value: Value, read: u64) -> bool {
        let Some(at) = usize::try_from(index).ok().filter(|_| index < Self::most(read)) else { return false };
        let packed = match value {
            Value::Text(TextId(id)) => TEXT | id,
            Value::Held(id) if id <= NUMBER => HELD | id,
            other => {
                // A file may keep one number a million times, so the same one is kept once.
                if self.others.last() != Some(&other) {
                    self.others.push(other);
                }
                match u32::try_from(self.others.len() - 1) {
                    Ok(id) if id <= NUMBER => OTHER | id,
                    _ => return false,
                }
            }
        };
        if at >= self.kept.len() {
            self.kept.resize(at + 1, 0);
        }
        self.used += u64::from(self.kept[at] == 0);
        self.kept[at] = packed;
        true
    }

    pub(super) fn get(&self, index: u64) -> Option<Value> {
        let packed = *self.kept.get(usize::try_from(index).ok()?)?;
        match packed & OTHER {
            TEXT => Some(Value::Text(TextId(packed & NUMBER))),
            HELD => Some(Value::Held(packed & NUMBER)),
            OTHER => self.others.get((packed & NUMBER) as usize).copied(),
            _ => None,
        }
    }
}
