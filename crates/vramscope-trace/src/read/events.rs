//! The events within one piece of text.

use super::Sink;
use crate::event::{Event, next_boundary, salvage};
use crate::json::{Cursor, Stop};
use crate::{Oddity, TraceError};

/// A piece of the event array.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    pub text: &'a [u8],
    /// Its place in the JSON.
    pub offset: u64,
    /// Nothing comes after it.
    pub last: bool,
    /// It ends where the next event begins, if the cut is true.
    pub cut: bool,
}

/// How a piece ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Between two events.
    Between,
    /// The array was closed; what follows begins here.
    Closed(usize),
    /// Within the event that begins here.
    Within(usize),
}

/// Hands every event of a piece to the sink.
pub(super) fn read_events(piece: Piece<'_>, sink: &mut impl Sink) -> Result<End, TraceError> {
    let text = piece.text;
    let utf8 = std::str::from_utf8(text).is_ok();
    let mut at = 0;
    loop {
        match text.get(at) {
            None => return Ok(End::Between),
            Some(b' ' | b'\n' | b'\r' | b'\t' | b',') => at += 1,
            Some(b']') => return Ok(End::Closed(at + 1)),
            Some(b'{') => {
                let mut cursor = Cursor::new(text, at);
                match Event::read(&mut cursor) {
                    Ok(event) => {
                        deliver(&event, &text[at..cursor.at()], piece.offset + at as u64, utf8, sink)?;
                        at = cursor.at();
                    }
                    Err(stop) => match after_defect(piece, at, stop) {
                        Some(end) => {
                            repair(&text[at..end], piece.offset + at as u64, sink)?;
                            at = end;
                        }
                        None => return Ok(End::Within(at)),
                    },
                }
            }
            Some(_) => match after_stranger(piece, at) {
                Some(end) => {
                    sink.notes().add(Oddity::NotAnEvent, piece.offset + at as u64);
                    at = end;
                }
                None => return Ok(End::Within(at)),
            },
        }
    }
}

fn deliver(event: &Event<'_>, text: &[u8], offset: u64, utf8: bool, sink: &mut impl Sink) -> Result<(), TraceError> {
    if event.not_json {
        sink.notes().add(Oddity::NotANumber, offset);
    }
    if !utf8 && std::str::from_utf8(text).is_err() {
        sink.notes().add(Oddity::BadUtf8, offset);
    }
    sink.event(event, text, offset)
}

/// Where a broken event at `start` ends; `None` if that is not in this piece, or if it is no defect but a cut.
fn after_defect(piece: Piece<'_>, start: usize, stop: Stop) -> Option<usize> {
    if stop == Stop::End && !piece.last {
        return None;
    }
    if let Some(next) = next_boundary(piece.text, start + 1) {
        return Some(next);
    }
    if piece.last {
        return closing_bracket(piece.text, start);
    }
    piece.cut.then_some(piece.text.len())
}

/// Where an element that is no object ends.
fn after_stranger(piece: Piece<'_>, start: usize) -> Option<usize> {
    let mut cursor = Cursor::new(piece.text, start);
    match cursor.value() {
        Ok(_) => Some(cursor.at()),
        Err(stop) => after_defect(piece, start, stop),
    }
}

/// The `]` after the last event of the array, behind a `}`.
fn closing_bracket(text: &[u8], from: usize) -> Option<usize> {
    memchr::memchr_iter(b']', &text[from..]).map(|at| from + at).find(|&at| {
        let before = text[from..at].trim_ascii_end();
        before.last() == Some(&b'}')
    })
}

fn repair(text: &[u8], offset: u64, sink: &mut impl Sink) -> Result<(), TraceError> {
    match salvage(text) {
        Some(event) => {
            sink.notes().add(Oddity::Repaired, offset);
            sink.event(&event, text, offset)
        }
        None => {
            sink.notes().add(Oddity::Unreadable, offset);
            Ok(())
        }
    }
}
