//! Tells the format of a file, and reads it.

use crate::model::Snapshot;
use crate::source::Input;
use crate::{SnapshotError, Source, json, pickle};

impl Snapshot {
    /// Reads a snapshot. Nothing in it is executed, and memory is bounded by the file's length, not by what it claims.
    ///
    /// # Errors
    /// When the file cannot be opened or read, is no snapshot, asks for code, or holds what cannot be.
    pub fn read(source: &Source) -> Result<Self, SnapshotError> {
        let mut input = Input::open(source)?;
        let head = input.peek(64)?.to_vec();
        let first = head.iter().position(|byte| !byte.is_ascii_whitespace());
        match head.get(first.unwrap_or_default()) {
            Some(0x80) if first == Some(0) => pickle::read(&mut input),
            Some(b'{' | b'[') => json::read(&mut input),
            _ => Err(SnapshotError::NotASnapshot {
                name: source.name().to_owned(),
                problem: other_format(&head).to_owned(),
            }),
        }
    }
}

/// Formats that people mistake for a snapshot.
fn other_format(head: &[u8]) -> &'static str {
    match head {
        [] => "it is empty",
        [b'P', b'K', 3, 4, ..] => {
            "it is a zip archive, as torch.save writes; write it with _dump_snapshot or pickle.dump"
        }
        [b'<', ..] => "it is a page of a viewer; give the pickle from which it was made",
        [b'(' | b'c' | b'd' | b'l' | b'}' | b']', ..] => "it may be a pickle of protocol 0 or 1; write it with 2 to 5",
        [0x0a, ..] => "it is binary, perhaps protobuf",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "it is UTF-16 text",
        [b'B', b'Z', b'h', ..] => "it is compressed with bzip2, which is not supported; unpack it first",
        [0xfd, b'7', b'z', b'X', b'Z', ..] => "it is compressed with xz, which is not supported; unpack it first",
        _ => "its first bytes are those of no pickle and no JSON",
    }
}
