//! One worker, no guesses: what is left of a block stands before the next one.

use super::events::{End, Piece, read_events};
use super::{MAX_EVENT_BYTES, MAX_HEADER_BYTES, Manner, Opened, Sink};
use crate::event::next_boundary;
use crate::{Oddity, TraceError};

/// Reads all events; gives what follows the array, or `None` if the array is not closed.
pub(super) fn read(opened: &mut Opened, manner: Manner, sink: &mut impl Sink) -> Result<Option<Vec<u8>>, TraceError> {
    let mut text = std::mem::take(&mut opened.ahead);
    let mut offset = opened.offset;
    let mut last = false;
    loop {
        let end = read_events(Piece { text: &text, offset, last, cut: false }, sink)?;
        let used = match end {
            End::Between => text.len(),
            End::Within(at) if !last && text.len() - at > MAX_EVENT_BYTES => pass_over(&text, at, offset, sink),
            End::Within(at) => at,
            End::Closed(at) => {
                text.drain(..at);
                return rest(opened, text).map(Some);
            }
        };
        if last {
            return Ok(None);
        }
        text.drain(..used);
        offset += used as u64;
        last = opened.input.read(&mut text, manner.block_bytes)? == 0;
    }
}

/// Gives up an event that is too long: goes on at the next one, or drops all but the last bytes.
fn pass_over(text: &[u8], start: usize, offset: u64, sink: &mut impl Sink) -> usize {
    sink.notes().add(Oddity::HugeEvent, offset + start as u64);
    next_boundary(text, start + 1).unwrap_or(text.len())
}

/// Reads on to the end of the file and keeps what a trailer may hold.
pub(super) fn rest(opened: &mut Opened, mut text: Vec<u8>) -> Result<Vec<u8>, TraceError> {
    loop {
        if opened.input.read(&mut text, 1 << 16)? == 0 {
            return Ok(text);
        }
        text.truncate(MAX_HEADER_BYTES);
    }
}
