//! Reads a Parquet file, some thousand rows at a time.

use std::fs::File;
use std::panic::AssertUnwindSafe;

use parquet::column::reader::ColumnReader;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::reader::FileReader as _;
use parquet::file::serialized_reader::SerializedFileReader;

use super::{FIGURES, HEADER_KEY, LEADING, SAMPLE, throttle};
use crate::document::lines::{Header, Line, Sample};
use crate::document::read::{MAX_LINE, Note, ReadError};
use crate::document::seen::SeenDevices;

/// Rows that are in memory at a time.
const BATCH: usize = 4096;
/// A column of one group that says it is larger is refused: ours are a thousandth of it.
const MAX_CHUNK: i64 = 1 << 30;

/// The lines of a Parquet file, one by one, in bounded memory.
pub struct ParquetLines {
    file: SerializedFileReader<File>,
    header: Header,
    seen: SeenDevices,
    /// The place of each of our columns in the file, in the order of [`LEADING`] and [`FIGURES`].
    places: Vec<Option<usize>>,
    group: usize,
    columns: Vec<Option<ColumnReader>>,
    batch: Batch,
    row: u64,
    notes: Vec<Note>,
}

impl std::fmt::Debug for ParquetLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetLines").field("header", &self.header).field("row", &self.row).finish_non_exhaustive()
    }
}

/// Rows column by column.
#[derive(Debug, Default)]
struct Batch {
    rows: usize,
    next: usize,
    columns: Vec<Values>,
}

/// Some values of one column.
#[derive(Debug)]
enum Values {
    Numbers(Vec<Option<u64>>),
    Texts(Vec<Option<ByteArray>>),
    /// The file lacks the column.
    Absent,
}

impl ParquetLines {
    /// Reads the file's end, where its header is.
    ///
    /// # Errors
    /// [`ReadError::Parquet`] if it is no Parquet file or lacks a column, [`ReadError::NotATimeline`] if it is one of
    /// somebody else, [`ReadError::NewerVersion`].
    pub fn new(file: File) -> Result<Self, ReadError> {
        let file = guarded(|| SerializedFileReader::new(file)).map_err(|error| damaged(0, error))?;
        let metadata = file.metadata().file_metadata();
        let mut keys = metadata.key_value_metadata().into_iter().flatten();
        let text = keys.find(|pair| pair.key == HEADER_KEY).and_then(|pair| pair.value.as_deref());
        let header: Header = serde_json::from_str(text.unwrap_or_default()).map_err(ReadError::NotATimeline)?;
        let found = header.vramscope_timeline;
        if found > crate::document::VERSION {
            return Err(ReadError::NewerVersion { found });
        }
        let seen = SeenDevices::of(&header, 0)?;
        let schema = metadata.schema_descr();
        let place = |name: &str| schema.columns().iter().position(|column| column.path().string() == name);
        let names = LEADING.iter().map(|leading| leading.0).chain(FIGURES.iter().map(|figure| figure.name));
        let places: Vec<Option<usize>> = names.map(place).collect();
        for (&(name, _, required), place) in LEADING.iter().zip(&places) {
            if required && place.is_none() {
                return Err(damaged(0, ParquetError::General(format!("there is no column {name}"))));
            }
        }
        let (columns, batch, notes) = (Vec::new(), Batch::default(), Vec::new());
        Ok(Self { file, header, seen, places, group: 0, columns, batch, row: 0, notes })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The number of the row that was read last, from 1.
    pub fn row(&self) -> u64 {
        self.row
    }

    /// What was odd so far.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The next line, or `None` at the end.
    ///
    /// # Errors
    /// [`ReadError::Parquet`] if the file is damaged, [`ReadError::Damaged`] or [`ReadError::Contradiction`] if a row
    /// is none of ours.
    pub fn next_line(&mut self) -> Result<Option<Line>, ReadError> {
        loop {
            if self.batch.next == self.batch.rows && !self.next_batch()? {
                return Ok(None);
            }
            let place = self.batch.next;
            self.batch.next += 1;
            self.row += 1;
            match self.batch.line(place, self.row)? {
                Line::Unknown => {
                    if self.notes.len() < 100 {
                        let text = "its kind is not known here; it is left out".to_owned();
                        self.notes.push(Note { line: self.row, text });
                    }
                }
                line => {
                    self.seen.take(&line, self.row)?;
                    return Ok(Some(line));
                }
            }
        }
    }

    /// Reads more rows; whether there were any.
    fn next_batch(&mut self) -> Result<bool, ReadError> {
        loop {
            if !self.columns.is_empty() {
                let read = || self.columns.iter_mut().map(values).collect::<Result<Vec<Values>, _>>();
                let columns = guarded(read).map_err(|error| damaged(self.row, error))?;
                let rows = columns.iter().filter_map(Values::len).max().unwrap_or(0);
                if columns.iter().filter_map(Values::len).any(|other| other != rows) {
                    let uneven = ParquetError::General("its columns are of different length".into());
                    return Err(damaged(self.row, uneven));
                }
                if rows > 0 {
                    self.batch = Batch { rows, next: 0, columns };
                    return Ok(true);
                }
            }
            if self.group == self.file.num_row_groups() {
                return Ok(false);
            }
            self.columns = guarded(|| self.open_group(self.group)).map_err(|error| damaged(self.row, error))?;
            self.group += 1;
        }
    }

    fn open_group(&self, number: usize) -> Result<Vec<Option<ColumnReader>>, ParquetError> {
        let group = self.file.get_row_group(number)?;
        let open = |place: &Option<usize>| {
            let Some(place) = *place else { return Ok(None) };
            let chunk = group.metadata().column(place);
            let sizes = [chunk.uncompressed_size(), chunk.compressed_size()];
            let starts = [Some(chunk.data_page_offset()), chunk.dictionary_page_offset()];
            if sizes.iter().any(|size| !(0..=MAX_CHUNK).contains(size)) || starts.iter().flatten().any(|at| *at < 0) {
                return Err(ParquetError::General(format!("a column of its group {number} has an impossible size")));
            }
            group.get_column_reader(place).map(Some)
        };
        self.places.iter().map(open).collect()
    }
}

fn damaged(row: u64, source: ParquetError) -> ReadError {
    ReadError::Parquet { row, source: Box::new(source) }
}

/// Calls the library. It checks most of what a file says, but not all: on some damaged files it panics, and a file must
/// not bring the program down.
fn guarded<T>(call: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    // Whatever the panic left half done is not used again: an error ends the reading.
    let caught = std::panic::catch_unwind(AssertUnwindSafe(call));
    caught
        .unwrap_or_else(|_| Err(ParquetError::General("it is damaged in a way that its reader does not expect".into())))
}

/// The next values of a column.
fn values(column: &mut Option<ColumnReader>) -> Result<Values, ParquetError> {
    let mut levels = Vec::new();
    match column {
        None => Ok(Values::Absent),
        Some(ColumnReader::Int32ColumnReader(reader)) => {
            let mut found = Vec::new();
            let (rows, _, _) = reader.read_records(BATCH, Some(&mut levels), None, &mut found)?;
            Ok(Values::Numbers(spread(rows, &levels, found.into_iter().map(|n| u64::from(n.cast_unsigned())))))
        }
        Some(ColumnReader::Int64ColumnReader(reader)) => {
            let mut found = Vec::new();
            let (rows, _, _) = reader.read_records(BATCH, Some(&mut levels), None, &mut found)?;
            Ok(Values::Numbers(spread(rows, &levels, found.into_iter().map(i64::cast_unsigned))))
        }
        Some(ColumnReader::ByteArrayColumnReader(reader)) => {
            let mut found = Vec::new();
            let (rows, _, _) = reader.read_records(BATCH, Some(&mut levels), None, &mut found)?;
            Ok(Values::Texts(spread(rows, &levels, found.into_iter())))
        }
        Some(_) => Err(ParquetError::General("a column is of a type that no timeline has".into())),
    }
}

/// Puts values where the levels say that there is one; a column without levels has one in each row.
fn spread<T>(rows: usize, levels: &[i16], mut values: impl Iterator<Item = T>) -> Vec<Option<T>> {
    if levels.is_empty() {
        return (0..rows).map(|_| values.next()).collect();
    }
    levels.iter().map(|&level| if level > 0 { values.next() } else { None }).collect()
}

impl Values {
    fn len(&self) -> Option<usize> {
        match self {
            Self::Numbers(numbers) => Some(numbers.len()),
            Self::Texts(texts) => Some(texts.len()),
            Self::Absent => None,
        }
    }
}

impl Batch {
    fn number(&self, column: usize, place: usize) -> Option<u64> {
        match self.columns.get(column)? {
            Values::Numbers(numbers) => *numbers.get(place)?,
            _ => None,
        }
    }

    fn text(&self, column: usize, place: usize) -> Option<&str> {
        match self.columns.get(column)? {
            Values::Texts(texts) => std::str::from_utf8(texts.get(place)?.as_ref()?.data()).ok(),
            _ => None,
        }
    }

    fn line(&self, place: usize, row: u64) -> Result<Line, ReadError> {
        let [kind, at, device, line, reasons] = [0, 1, 2, 3, 4];
        let wrong = |what| ReadError::Contradiction { line: row, what };
        if self.text(kind, place) != Some(SAMPLE) {
            let text = self.text(line, place).ok_or_else(|| wrong("a row that is no sample has no text in `line`"))?;
            if u64::try_from(text.len()).is_ok_and(|length| length > MAX_LINE) {
                return Err(ReadError::TooLong { line: row });
            }
            return serde_json::from_str(text).map_err(|source| ReadError::Damaged { line: row, source });
        }
        let index = self.number(device, place).and_then(|index| u32::try_from(index).ok());
        let mut sample = Sample {
            timestamp_ns: self.number(at, place).ok_or_else(|| wrong("a sample without a time"))?.cast_signed(),
            gpu_index: index.ok_or_else(|| wrong("a sample without a device"))?,
            throttle: self.text(reasons, place).map(throttle),
            ..Sample::default()
        };
        for (n, figure) in FIGURES.iter().enumerate() {
            let value = self.number(LEADING.len() + n, place);
            (figure.put)(&mut sample, value).ok_or_else(|| wrong("a figure of a sample is absent or out of range"))?;
        }
        Ok(Line::Sample(sample))
    }
}
