//! Files that another program wrote anew: DuckDB, polars, pandas, pyarrow. They keep the columns that they were told to,
//! in whatever order and types, and most drop the metadata in which the header stands.

use std::collections::BTreeSet;
use std::fs::File;

use parquet::file::reader::FileReader as _;
use parquet::file::serialized_reader::SerializedFileReader;

use super::columns::{Batch, Batches, Place};
use super::{AT, DEVICE, FIGURES, HEADER_KEY, KIND, LEADING, LINE, SAMPLE, TICK, USED};
use crate::document::lines::{Header, Line};
use crate::document::read::{Note, ReadError};

/// More rows than these are not put in order in memory, where each takes some 300 bytes.
const MOST_UNORDERED: u64 = 2_000_000;
/// Times from here on (2001) count from 1970, and not from the start of a machine.
const SINCE_1970_NS: i64 = 1_000_000_000_000_000_000;

/// What going through a file's times and ticks once has found.
#[derive(Debug, Default)]
pub(super) struct Survey {
    rows: u64,
    /// The earliest time of a row.
    first_ns: Option<i64>,
    /// Some sample stands behind one of a later tick, or without ticks, of a later time.
    pub(super) unordered: bool,
}

impl Survey {
    /// Reads the columns that it needs. `Err` has the row.
    pub(super) fn of(file: &SerializedFileReader<File>, places: &[Option<Place>]) -> Result<Self, ReadError> {
        let needed: Vec<Option<Place>> =
            places.iter().enumerate().map(|(n, place)| place.filter(|_| [KIND, AT, TICK].contains(&n))).collect();
        let mut survey = Self::default();
        let (mut batches, mut last) = (Batches::default(), None);
        let order = if places.get(TICK).is_some_and(Option::is_some) { TICK } else { AT };
        while let Some(batch) =
            batches.next(file, &needed).map_err(|error| super::read::damaged(survey.rows + 1, error))?
        {
            for row in 0..batch.rows {
                let at = batch.number(AT, row).map(u64::cast_signed);
                survey.first_ns = survey.first_ns.into_iter().chain(at).min();
                if is_sample(&batch, row, places) {
                    let now = batch.number(order, row);
                    survey.unordered |= now < last;
                    last = now.or(last);
                }
            }
            survey.rows = survey.rows.saturating_add(u64::try_from(batch.rows).unwrap_or(0));
        }
        Ok(survey)
    }

    /// A header with what the rows tell.
    pub(super) fn header(&self) -> Header {
        Header {
            vramscope_timeline: crate::document::VERSION,
            anchor_unix_ns: self.first_ns.filter(|at| *at >= SINCE_1970_NS),
            ..Header::default()
        }
    }

    /// Whether the rows are few enough to be put in order.
    pub(super) fn check_size(&self) -> Result<(), ReadError> {
        if self.rows > MOST_UNORDERED {
            return Err(ReadError::ParquetOrder { rows: self.rows, limit: MOST_UNORDERED });
        }
        Ok(())
    }
}

/// Whether a row is a sample; of a file without kinds, all rows are.
pub(super) fn is_sample(batch: &Batch, row: usize, places: &[Option<Place>]) -> bool {
    match places.get(KIND) {
        Some(Some(_)) => batch.text(KIND, row) == Some(SAMPLE),
        _ => true,
    }
}

/// Whether there is enough to read: when, of which device, and how much memory.
pub(super) fn check_columns(places: &[Option<Place>], has_header: bool) -> Result<(), ReadError> {
    let names = LEADING.iter().map(|leading| leading.0).chain(FIGURES.iter().map(|figure| figure.name));
    let needed = names.enumerate().filter(|(n, _)| [AT, DEVICE, USED].contains(n));
    let missing: Vec<&'static str> =
        needed.filter(|(n, _)| places.get(*n).is_none_or(Option::is_none)).map(|(_, name)| name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(ReadError::ParquetColumns { missing: missing.join(", "), key: if has_header { "" } else { HEADER_KEY } })
}

/// What a reader has to know of a file that was written anew.
pub(super) fn notes(file: &SerializedFileReader<File>, places: &[Option<Place>], has_header: bool) -> Vec<Note> {
    let writer = file.metadata().file_metadata().created_by().unwrap_or("an unnamed program");
    let writer: String = writer.chars().take(60).collect();
    let mut notes = Vec::new();
    let mut note = |text: String| notes.push(Note { line: 0, text });
    if !has_header {
        note(format!(
            "it was written anew by {writer}, without the metadata key `{HEADER_KEY}`: the devices' names, the source, the \
             period and the generator are not known; they are in the file that it was made of"
        ));
    }
    let absent = |n: usize| places.get(n).is_none_or(Option::is_none);
    if absent(LINE) {
        note("it has no column `line`: its marks, gaps, processes and end are not known".into());
    }
    if absent(TICK) {
        note("it has no column `tick`: samples are put together by their times".into());
    }
    notes
}

/// Numbers ticks where the file has none: a device that comes again begins the next one.
#[derive(Debug, Default)]
pub(super) struct Ticks {
    tick: u32,
    seen: BTreeSet<u32>,
}

impl Ticks {
    pub(super) fn number(&mut self, line: &mut Line) {
        let Line::Sample(sample) = line else { return };
        if !self.seen.insert(sample.gpu_index) {
            self.tick = self.tick.saturating_add(1);
            self.seen.clear();
            self.seen.insert(sample.gpu_index);
        }
        sample.tick = self.tick;
    }
}

/// When a line was, by which lines are put in order.
pub(super) fn time_of(line: &Line) -> i64 {
    match line {
        Line::Sample(line) => line.timestamp_ns,
        Line::Slow(line) => line.timestamp_ns,
        Line::Mark(line) => line.timestamp_ns,
        Line::Gap(line) => line.timestamp_ns,
        Line::Failure(line) => line.timestamp_ns,
        Line::Clock(line) => line.timestamp_ns,
        Line::Cost(line) => line.timestamp_ns,
        Line::End(line) => line.timestamp_ns,
        // It tells of the whole recording, and stands behind it.
        Line::Summary(_) | Line::Unknown => i64::MAX,
    }
}
