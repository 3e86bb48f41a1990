//! Traces of requests that others recorded: when, how long, and which parts of prompts were alike. Which it is shows in
//! the keys of the first line.
//!
//! - Mooncake (JSON lines): `timestamp` in ms, `input_length`, `output_length`, `hash_ids`, one for each 512 tokens of the
//!   prompt; equal ids stand for equal tokens, and for equal tokens before them.
//! - Azure LLM inference (CSV): `TIMESTAMP` as a date and time, `ContextTokens`, `GeneratedTokens`.
//! - `BurstGPT` (CSV): `Timestamp` in s, `Request tokens`, `Response tokens`; no response tokens mark a request that failed.

use std::io::Read;

use serde::Deserialize;

use super::error::DatasetError;
use super::input::Input;
use super::{DatasetKind, Row, Rows, Skipped};
use crate::plan::MAX_LEN;

/// More block ids than these are refused: 64 MiB of them.
const MAX_IDS: usize = 16 << 20;
const EXPECTED: &str = "expected the JSON lines of Mooncake (timestamp, input_length, output_length, hash_ids), or a CSV \
                        with TIMESTAMP, ContextTokens, GeneratedTokens (Azure) or Timestamp, Request tokens, Response \
                        tokens (BurstGPT)";

/// What was read.
pub(super) struct Trace {
    pub(super) kind: DatasetKind,
    pub(super) rows: Rows,
    /// Rows in the file.
    pub(super) read: u64,
    pub(super) skipped: Skipped,
}

/// Reads the file, and keeps up to so many rows of it.
pub(super) fn read<R: Read>(input: &mut Input<R>, most: u64) -> Result<Trace, DatasetError> {
    let mut trace = match input.first()? {
        Some(b'{') => mooncake(input, most)?,
        Some(_) => table(input, most)?,
        None => {
            return Err(DatasetError::File { file: input.file.clone(), problem: format!("it is empty; {EXPECTED}") });
        }
    };
    // Requests are sent in the order of their times; rows of equal times keep theirs.
    if !trace.rows.rows.is_sorted_by_key(|row| row.at_ns) {
        trace.rows.rows.sort_by_key(|row| row.at_ns);
    }
    Ok(trace)
}

impl Trace {
    fn new(kind: DatasetKind) -> Self {
        Self { kind, rows: Rows::default(), read: 0, skipped: Skipped::default() }
    }

    fn has_room(&mut self, most: u64) -> bool {
        self.read += 1;
        let room = (self.rows.rows.len() as u64) < most;
        if !room {
            self.skipped.one("beyond the number of requests");
        }
        room
    }
}

#[derive(Deserialize)]
struct Line {
    timestamp: f64,
    input_length: u64,
    output_length: u64,
    #[serde(default)]
    hash_ids: Vec<u64>,
}

fn mooncake<R: Read>(input: &mut Input<R>, most: u64) -> Result<Trace, DatasetError> {
    let mut trace = Trace::new(DatasetKind::Mooncake);
    let mut text = Vec::new();
    while input.line(&mut text)? {
        let line: Line = serde_json::from_slice(&text).map_err(|error| input.wrong(format!("{error}; {EXPECTED}")))?;
        if !trace.has_room(most) {
            continue;
        }
        if line.output_length == 0 {
            trace.skipped.one("no output tokens");
            continue;
        }
        let at_ns = nanoseconds(line.timestamp, 1e6)
            .ok_or_else(|| input.wrong("its timestamp is no number of milliseconds from 0"))?;
        let (input_len, output_len) = lengths(line.input_length, line.output_length).map_err(|p| input.wrong(p))?;
        let ids = &mut trace.rows.ids;
        if ids.len() + line.hash_ids.len() > MAX_IDS {
            return Err(
                input.wrong(format!("it has more than {MAX_IDS} hash ids by here; send fewer with --num-prompts"))
            );
        }
        let first = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        for id in &line.hash_ids {
            let id = u32::try_from(*id).map_err(|_| input.wrong(format!("the hash id {id} is above 2^32")))?;
            ids.push(id);
        }
        let blocks = u32::try_from(line.hash_ids.len()).unwrap_or(u32::MAX);
        trace.rows.rows.push(Row { at_ns, input: input_len, output: output_len, first, blocks });
    }
    Ok(trace)
}

fn table<R: Read>(input: &mut Input<R>, most: u64) -> Result<Trace, DatasetError> {
    let (file, before) = (input.file.clone(), input.line);
    let fresh = input.fresh();
    let at = |line: Option<&csv::Position>, problem: String| {
        let line = before + line.map_or(1, csv::Position::line);
        DatasetError::Line { file: file.clone(), line, problem }
    };
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(input);
    let heads = reader.byte_headers().map_err(|error| at(error.position(), format!("{error}; {EXPECTED}")))?.clone();
    let place = |name: &str| heads.iter().position(|head| head.trim_ascii() == name.as_bytes());
    let azure = (place("TIMESTAMP"), place("ContextTokens"), place("GeneratedTokens"));
    let burst = (place("Timestamp"), place("Request tokens"), place("Response tokens"));
    let (kind, (time, input_len, output_len)) = match (azure, burst) {
        ((Some(a), Some(b), Some(c)), _) => (DatasetKind::Azure, (a, b, c)),
        (_, (Some(a), Some(b), Some(c))) => (DatasetKind::BurstGpt, (a, b, c)),
        _ => return Err(at(None, format!("its columns are of no trace that is known; {EXPECTED}"))),
    };
    let mut trace = Trace::new(kind);
    let mut record = csv::ByteRecord::new();
    let mut origin = None;
    loop {
        fresh.record();
        if !reader.read_byte_record(&mut record).map_err(|error| at(error.position(), error.to_string()))? {
            return Ok(trace);
        }
        if !trace.has_room(most) {
            continue;
        }
        let field = |place: usize, name: &str| {
            let bytes = record.get(place).unwrap_or_default().trim_ascii();
            std::str::from_utf8(bytes).map_err(|_| at(record.position(), format!("its {name} is no text")))
        };
        let count = |place: usize, name: &str| {
            let text = field(place, name)?;
            // Some tables have whole numbers as 12.0.
            let whole = text.strip_suffix(".0").unwrap_or(text);
            let wrong = || at(record.position(), format!("its {name} is no number of tokens"));
            whole.parse::<u64>().map_err(|_| wrong())
        };
        let (input_tokens, output_tokens) =
            (count(input_len, "number of prompt tokens")?, count(output_len, "number of generated tokens")?);
        if output_tokens == 0 {
            trace.skipped.one(if kind == DatasetKind::BurstGpt {
                "failed when it was recorded"
            } else {
                "no output tokens"
            });
            continue;
        }
        if input_tokens == 0 {
            trace.skipped.one("no prompt tokens");
            continue;
        }
        let time = field(time, "time")?;
        let found = if kind == DatasetKind::Azure { date_ns(time) } else { seconds_ns(time) };
        let expected = if kind == DatasetKind::Azure { "2023-11-16 18:17:03.97996" } else { "a number of seconds" };
        let found =
            found.ok_or_else(|| at(record.position(), format!("its time is not understood; expected {expected}")))?;
        let at_ns = u64::try_from(found - *origin.get_or_insert(found));
        let at_ns =
            at_ns.map_err(|_| at(record.position(), "its time is before the first row's; sort the rows".into()))?;
        let (input, output) = lengths(input_tokens, output_tokens).map_err(|problem| at(record.position(), problem))?;
        trace.rows.rows.push(Row { at_ns, input, output, first: 0, blocks: 0 });
    }
}

fn lengths(input: u64, output: u64) -> Result<(u32, u32), String> {
    let fits = |len: u64| u32::try_from(len).ok().filter(|_| (1..=MAX_LEN).contains(&len));
    let wrong = |what: &str, len: u64| format!("its {what} is {len}; expected 1 to {MAX_LEN} tokens");
    Ok((
        fits(input).ok_or_else(|| wrong("prompt length", input))?,
        fits(output).ok_or_else(|| wrong("output length", output))?,
    ))
}

/// A time of 0 or later in nanoseconds.
fn nanoseconds(time: f64, unit_ns: f64) -> Option<u64> {
    let ns = (time * unit_ns).round();
    // About 146 years, which no trace takes.
    let fits = (0.0..=4.6e18).contains(&ns);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked just before")]
    let ns = ns as u64;
    fits.then_some(ns)
}

fn seconds_ns(text: &str) -> Option<i128> {
    nanoseconds(text.parse().ok()?, 1e9).map(i128::from)
}

fn date_ns(text: &str) -> Option<i128> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(at.as_nanosecond());
    }
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_nanosecond())
}
