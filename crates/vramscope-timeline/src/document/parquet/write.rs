//! Writes a Parquet file, a group of rows at a time.

use std::io::{self, Write};

use parquet::basic::{Compression, ZstdLevel};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use super::{FIGURES, HEADER_KEY, LEADING, SAMPLE, Width};
use crate::document::lines::{Header, Line, Sample};
use crate::document::write::WriteError;

/// Rows of one group, which are in memory until it is full: some ten megabytes with their columns.
const GROUP_ROWS: usize = 32_768;
/// A group is also full when the text of its rows is this large: lists of many processes.
const GROUP_TEXT: usize = 4 << 20;

/// Writes lines as they come. Nothing can be read before [`ParquetWriter::finish`].
///
/// ```
/// use vramscope_timeline::document::{Header, Line, ParquetLines, ParquetWriter, Sample};
///
/// let mut file = tempfile::tempfile().unwrap();
/// let mut writer = ParquetWriter::new(&mut file, &Header::default()).unwrap();
/// let sample = Line::Sample(Sample { used_bytes: 1 << 30, ..Sample::default() });
/// writer.line(&sample).unwrap();
/// writer.finish().unwrap();
/// assert_eq!(ParquetLines::new(file).unwrap().next_line().unwrap(), Some(sample));
/// ```
pub struct ParquetWriter<W: Write + Send> {
    file: SerializedFileWriter<W>,
    rows: Vec<Row>,
    text: usize,
}

impl<W: Write + Send> std::fmt::Debug for ParquetWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetWriter").field("rows_waiting", &self.rows.len()).finish_non_exhaustive()
    }
}

/// One row before it is written.
#[derive(Debug)]
struct Row {
    kind: &'static str,
    timestamp_ns: i64,
    gpu_index: Option<u32>,
    sample: Option<Sample>,
    line: Option<String>,
}

impl Row {
    fn of(line: &Line) -> Result<Option<Self>, io::Error> {
        let (kind, timestamp_ns, gpu_index) = match line {
            Line::Sample(line) => {
                let (timestamp_ns, gpu_index) = (line.timestamp_ns, Some(line.gpu_index));
                return Ok(Some(Self { kind: SAMPLE, timestamp_ns, gpu_index, sample: Some(*line), line: None }));
            }
            Line::Slow(line) => ("slow", line.timestamp_ns, Some(line.gpu_index)),
            Line::Mark(line) => ("mark", line.timestamp_ns, None),
            Line::Gap(line) => ("gap", line.timestamp_ns, line.gpu_index),
            Line::Failure(line) => ("failure", line.timestamp_ns, Some(line.gpu_index)),
            Line::Clock(line) => ("clock", line.timestamp_ns, None),
            Line::Cost(line) => ("cost", line.timestamp_ns, None),
            Line::End(line) => ("end", line.timestamp_ns, None),
            // It is of the whole recording, and bears the time of its beginning.
            Line::Summary(report) => ("summary", report.start_unix_ns.unwrap_or_default(), None),
            // A reader has noted it; there is nothing of it to write.
            Line::Unknown => return Ok(None),
        };
        let text = serde_json::to_string(line)?;
        Ok(Some(Self { kind, timestamp_ns, gpu_index, sample: None, line: Some(text) }))
    }

    /// The text of a column of [`LEADING`].
    fn text(&self, column: &str) -> Option<ByteArray> {
        match column {
            "t" => Some(self.kind.into()),
            "line" => self.line.as_deref().map(ByteArray::from),
            _ => self.sample?.throttle.map(|set| super::throttle_text(set).as_str().into()),
        }
    }
}

impl<W: Write + Send> ParquetWriter<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// [`WriteError`] if the destination fails.
    pub fn new(out: W, header: &Header) -> Result<Self, WriteError> {
        let header = Header { vramscope_timeline: crate::document::VERSION, ..header.clone() };
        let text = serde_json::to_string(&header).map_err(io::Error::from)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(concat!("vramscope ", env!("CARGO_PKG_VERSION")).into())
            .set_key_value_metadata(Some(vec![KeyValue::new(HEADER_KEY.into(), text)]))
            .build();
        let file = SerializedFileWriter::new(out, super::schema().map_err(io_error)?, properties.into());
        Ok(Self { file: file.map_err(io_error)?, rows: Vec::new(), text: 0 })
    }

    /// Writes a line.
    ///
    /// # Errors
    /// [`WriteError`] if the destination fails.
    pub fn line(&mut self, line: &Line) -> Result<(), WriteError> {
        let Some(row) = Row::of(line)? else { return Ok(()) };
        self.text += row.line.as_ref().map_or(0, String::len);
        self.rows.push(row);
        if self.rows.len() >= GROUP_ROWS || self.text >= GROUP_TEXT { self.group() } else { Ok(()) }
    }

    /// Writes the rows that wait as one group.
    fn group(&mut self) -> Result<(), WriteError> {
        let rows = std::mem::take(&mut self.rows);
        self.text = 0;
        if rows.is_empty() {
            return Ok(());
        }
        let mut write = || -> Result<(), ParquetError> {
            let mut group = self.file.next_row_group()?;
            let mut place = 0;
            while let Some(mut column) = group.next_column()? {
                write_column(column.untyped(), &rows, place)?;
                column.close()?;
                place += 1;
            }
            group.close()?;
            Ok(())
        };
        Ok(write().map_err(io_error)?)
    }

    /// Writes what is left and the file's end, without which it cannot be read. Gives the destination back.
    ///
    /// # Errors
    /// [`WriteError`] if the destination fails.
    pub fn finish(mut self) -> Result<W, WriteError> {
        self.group()?;
        Ok(self.file.into_inner().map_err(io_error)?)
    }
}

/// Writes one column of the rows.
fn write_column(column: &mut ColumnWriter<'_>, rows: &[Row], place: usize) -> Result<(), ParquetError> {
    if let Some(&(name, width, _)) = LEADING.get(place) {
        return match width {
            Width::Text => write_texts(column, rows.iter().map(|row| row.text(name))),
            Width::Signed => write_numbers(column, rows.iter().map(|row| Some(row.timestamp_ns.cast_unsigned()))),
            _ => write_numbers(column, rows.iter().map(|row| row.gpu_index.map(u64::from))),
        };
    }
    let figure = FIGURES.get(place - LEADING.len()).ok_or_else(|| unknown_column(place))?;
    write_numbers(column, rows.iter().map(|row| row.sample.as_ref().and_then(figure.take)))
}

fn write_numbers(
    column: &mut ColumnWriter<'_>,
    numbers: impl Iterator<Item = Option<u64>>,
) -> Result<(), ParquetError> {
    let numbers: Vec<Option<u64>> = numbers.collect();
    let levels: Vec<i16> = numbers.iter().map(|number| i16::from(number.is_some())).collect();
    let numbers = numbers.into_iter().flatten();
    match column {
        ColumnWriter::Int32ColumnWriter(writer) => {
            // A figure of 32 bits came from one; the format keeps its bits.
            let values: Vec<i32> = numbers.filter_map(|n| u32::try_from(n).ok()).map(u32::cast_signed).collect();
            writer.write_batch(&values, Some(&levels), None)?;
        }
        ColumnWriter::Int64ColumnWriter(writer) => {
            let values: Vec<i64> = numbers.map(u64::cast_signed).collect();
            writer.write_batch(&values, Some(&levels), None)?;
        }
        _ => return Err(ParquetError::General("a column of numbers is of another type".into())),
    }
    Ok(())
}

fn write_texts(
    column: &mut ColumnWriter<'_>,
    texts: impl Iterator<Item = Option<ByteArray>>,
) -> Result<(), ParquetError> {
    let ColumnWriter::ByteArrayColumnWriter(writer) = column else {
        return Err(ParquetError::General("a column of text is of another type".into()));
    };
    let texts: Vec<Option<ByteArray>> = texts.collect();
    let levels: Vec<i16> = texts.iter().map(|text| i16::from(text.is_some())).collect();
    let values: Vec<ByteArray> = texts.into_iter().flatten().collect();
    writer.write_batch(&values, Some(&levels), None)?;
    Ok(())
}

fn unknown_column(place: usize) -> ParquetError {
    ParquetError::General(format!("the schema has a column {place} that the writer lacks"))
}

/// What the system said, where it did; a full disk stays recognisable.
fn io_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(source) => *source,
            Err(source) => io::Error::other(source),
        },
        other => io::Error::other(other),
    }
}
