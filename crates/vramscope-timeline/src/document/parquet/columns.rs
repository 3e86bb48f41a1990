//! Columns of a Parquet file, some thousand rows at a time.

use std::fs::File;
use std::panic::AssertUnwindSafe;

use parquet::basic::{Compression, LogicalType, TimeUnit};
use parquet::column::reader::ColumnReader;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::reader::FileReader as _;
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::schema::types::ColumnDescriptor;

use super::{FIGURES, LEADING};
use crate::document::read::ReadError;

/// Rows that are in memory at a time.
const BATCH: usize = 4096;
/// A column of one group that says it is larger is refused: ours are a thousandth of it.
const MAX_CHUNK: i64 = 1 << 30;
/// Whole numbers beyond it have no exact place in a column of floats.
const EXACT_FLOAT: f64 = 9_007_199_254_740_992.0;

/// One of our columns in a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    column: usize,
    /// A column of times in another unit: so many nanoseconds each.
    scale: i64,
}

/// Where each of our columns is, in the order of [`LEADING`] and [`FIGURES`]; `None` for one that the file lacks.
pub(super) fn places(file: &SerializedFileReader<File>) -> Vec<Option<Place>> {
    let columns = file.metadata().file_metadata().schema_descr().columns();
    let place = |name: &str| {
        let column = columns.iter().position(|column| column.path().string() == name)?;
        Some(Place { column, scale: scale(&columns[column]) })
    };
    let names = LEADING.iter().map(|leading| leading.0).chain(FIGURES.iter().map(|figure| figure.name));
    names.map(place).collect()
}

/// Tools that know of times make one of `timestamp_ns`, in the unit that they prefer.
fn scale(column: &ColumnDescriptor) -> i64 {
    match column.logical_type_ref() {
        Some(LogicalType::Timestamp(time)) => match time.unit {
            TimeUnit::MILLIS => 1_000_000,
            TimeUnit::MICROS => 1_000,
            TimeUnit::NANOS => 1,
        },
        _ => 1,
    }
}

/// Whether all columns that are read are packed in a way that can be unpacked here.
pub(super) fn check_compression(file: &SerializedFileReader<File>, places: &[Option<Place>]) -> Result<(), ReadError> {
    for group in file.metadata().row_groups() {
        for place in places.iter().flatten() {
            let Some(column) = group.columns().get(place.column) else { continue };
            let codec = column.compression();
            if matches!(codec, Compression::BROTLI(_) | Compression::LZO) {
                let (column, codec) = (column.column_path().string(), format!("{codec}"));
                let codec = codec.split('(').next().unwrap_or_default().to_lowercase();
                return Err(ReadError::ParquetCompression { column, codec });
            }
        }
    }
    Ok(())
}

/// The rows of a file, batch by batch.
#[derive(Default)]
pub(super) struct Batches {
    group: usize,
    columns: Vec<Option<(ColumnReader, i64)>>,
}

/// Rows column by column.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) rows: usize,
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

impl Batches {
    /// Reads more rows; `None` at the end.
    pub(super) fn next(
        &mut self,
        file: &SerializedFileReader<File>,
        places: &[Option<Place>],
    ) -> Result<Option<Batch>, ParquetError> {
        loop {
            if !self.columns.is_empty() {
                let columns = guarded(|| self.columns.iter_mut().map(values).collect::<Result<Vec<Values>, _>>())?;
                let rows = columns.iter().filter_map(Values::len).max().unwrap_or(0);
                if columns.iter().filter_map(Values::len).any(|other| other != rows) {
                    return Err(ParquetError::General("its columns are of different length".into()));
                }
                if rows > 0 {
                    return Ok(Some(Batch { rows, columns }));
                }
            }
            if self.group == file.num_row_groups() {
                return Ok(None);
            }
            self.columns = guarded(|| open_group(file, places, self.group))?;
            self.group += 1;
        }
    }
}

fn open_group(
    file: &SerializedFileReader<File>,
    places: &[Option<Place>],
    number: usize,
) -> Result<Vec<Option<(ColumnReader, i64)>>, ParquetError> {
    let group = file.get_row_group(number)?;
    let open = |place: &Option<Place>| {
        let Some(Place { column, scale }) = *place else { return Ok(None) };
        let chunk = group.metadata().column(column);
        let sizes = [chunk.uncompressed_size(), chunk.compressed_size()];
        let starts = [Some(chunk.data_page_offset()), chunk.dictionary_page_offset()];
        if sizes.iter().any(|size| !(0..=MAX_CHUNK).contains(size)) || starts.iter().flatten().any(|at| *at < 0) {
            return Err(ParquetError::General(format!("a column of its group {number} has an impossible size")));
        }
        Ok(Some((group.get_column_reader(column)?, scale)))
    };
    places.iter().map(open).collect()
}

/// Calls the library. It checks most of what a file says, but not all: on some damaged files it panics, and a file must
/// not bring the program down.
pub(super) fn guarded<T>(call: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    // Whatever the panic left half done is not used again: an error ends the reading.
    let caught = std::panic::catch_unwind(AssertUnwindSafe(call));
    caught
        .unwrap_or_else(|_| Err(ParquetError::General("it is damaged in a way that its reader does not expect".into())))
}

/// The next values of a column.
fn values(column: &mut Option<(ColumnReader, i64)>) -> Result<Values, ParquetError> {
    macro_rules! read {
        ($reader:ident, $of:expr) => {{
            let (mut found, mut levels) = (Vec::new(), Vec::new());
            let (rows, _, _) = $reader.read_records(BATCH, Some(&mut levels), None, &mut found)?;
            spread(rows, &levels, found, $of)?
        }};
    }
    let Some((reader, scale)) = column else { return Ok(Values::Absent) };
    let scaled = |n: i64| n.checked_mul(*scale).map(|n| Some(n.cast_unsigned())).ok_or_else(beyond);
    Ok(match reader {
        ColumnReader::Int32ColumnReader(reader) => {
            Values::Numbers(read!(reader, |n: i32| Ok(Some(u64::from(n.cast_unsigned())))))
        }
        ColumnReader::Int64ColumnReader(reader) if *scale == 1 => {
            Values::Numbers(read!(reader, |n: i64| Ok(Some(n.cast_unsigned()))))
        }
        ColumnReader::Int64ColumnReader(reader) => Values::Numbers(read!(reader, scaled)),
        ColumnReader::DoubleColumnReader(reader) => Values::Numbers(read!(reader, whole)),
        ColumnReader::FloatColumnReader(reader) => Values::Numbers(read!(reader, |n: f32| whole(n.into()))),
        ColumnReader::ByteArrayColumnReader(reader) => Values::Texts(read!(reader, |text| Ok(Some(text)))),
        _ => return Err(ParquetError::General("a column is of a type that no timeline has".into())),
    })
}

fn beyond() -> ParquetError {
    ParquetError::General("a time is beyond 64 bits of nanoseconds".into())
}

/// A column of whole numbers and nulls becomes one of floats in pandas, with NaN for what is absent.
fn whole(number: f64) -> Result<Option<u64>, ParquetError> {
    if number.is_nan() {
        return Ok(None);
    }
    // Times of this century are beyond what is exact; they are off by less than a microsecond.
    let fits = (0.0..EXACT_FLOAT * 2048.0).contains(&number);
    if !fits || (number < EXACT_FLOAT && number.fract() != 0.0) {
        return Err(ParquetError::General(format!("a figure is {number}, and a whole number is expected")));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, positive and below 2^64")]
    Ok(Some(number as u64))
}

/// Puts values where the levels say that there is one; a column without levels has one in each row.
fn spread<T, U>(
    rows: usize,
    levels: &[i16],
    found: Vec<T>,
    of: impl Fn(T) -> Result<Option<U>, ParquetError>,
) -> Result<Vec<Option<U>>, ParquetError> {
    let mut spread = Vec::with_capacity(rows);
    if found.len() == rows {
        for value in found {
            spread.push(of(value)?);
        }
        return Ok(spread);
    }
    let mut found = found.into_iter();
    for level in levels {
        let value = if *level > 0 { found.next() } else { None };
        spread.push(value.map(&of).transpose()?.flatten());
    }
    Ok(spread)
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
    pub(super) fn number(&self, column: usize, place: usize) -> Option<u64> {
        match self.columns.get(column)? {
            Values::Numbers(numbers) => *numbers.get(place)?,
            _ => None,
        }
    }

    pub(super) fn text(&self, column: usize, place: usize) -> Option<&str> {
        match self.columns.get(column)? {
            Values::Texts(texts) => std::str::from_utf8(texts.get(place)?.as_ref()?.data()).ok(),
            _ => None,
        }
    }
}
