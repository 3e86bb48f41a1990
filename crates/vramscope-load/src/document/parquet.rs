//! The rows of requests as a Parquet file, for data tools.
//!
//! A column for each key of the JSON lines, of the same name, unit and value; those of `level` are columns of their own.
//! What is absent there is null here. `chunks_ms` is a list. The file's metadata has, under the key
//! `vramscope_load_requests`, the version of this layout and each column's unit as JSON.
//!
//! | column | type | unit | meaning |
//! | --- | --- | --- | --- |
//! | `concurrency`, `rate_per_s`, `trace_speed` | int64, double, double | count, requests per second, factor | the level |
//! | `repeat` | int64 | a number from 1 | which measurement of the level |
//! | `number` | int64 | a number from 0 | the request in the order of sending |
//! | `id` | text | | the server's name for the answer |
//! | `due_ms`, `sent_ms` | double | ms from the beginning of the measurement | when it was due, and sent |
//! | `sent_unix_ns` | int64 | ns since 1970 UTC | when it was sent, by the wall clock as it was when the load began |
//! | `held_ms` | double | ms | held back because as many as allowed were in flight |
//! | `ttft_ms`, `tpot_ms`, `e2e_ms` | double | ms | latencies from sending |
//! | `asked_input`, `asked_output` | int64 | tokens | lengths that were asked; words for prompts of words |
//! | `model` | text | | the model of a mix |
//! | `record`, `turn`, `prefix` | int64 | a number, a number, tokens | of the data set |
//! | `input_tokens`, `output_tokens` | int64 | tokens | of the answer |
//! | `good` | boolean | | whether it keeps the bounds |
//! | `failure`, `message` | text | | why it failed |
//! | `chunks_ms` | list of double | ms from sending | when each chunk with tokens came |

use std::io::{self, Write};

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};
use serde_json::{Map, Value, json};
use vramscope_core::without_controls;

use crate::report::LoadReport;

/// The key of the layout in the file's metadata.
const KEY: &str = "vramscope_load_requests";
/// The version of the layout.
const VERSION: u32 = 1;
/// Rows of one group, which are in memory until it is full.
const GROUP_ROWS: usize = 32_768;
/// A group is also full when its rows have so many chunks: 64 MB as JSON.
const GROUP_CHUNKS: usize = 2 << 20;
/// The columns that stand in `level`.
const OF_LEVEL: [&str; 4] = ["concurrency", "rate_per_s", "trace_speed", "repeat"];
/// The column of times of chunks, the last one.
const CHUNKS: &str = "chunks_ms";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Whole,
    Float,
    Text,
    Truth,
}

/// Each column but the last with its unit.
const COLUMNS: [(&str, Kind, &str); 24] = [
    ("concurrency", Kind::Whole, "count"),
    ("rate_per_s", Kind::Float, "requests per second"),
    ("trace_speed", Kind::Float, "factor"),
    ("repeat", Kind::Whole, "number from 1"),
    ("number", Kind::Whole, "number from 0"),
    ("id", Kind::Text, "none"),
    ("due_ms", Kind::Float, "milliseconds from the beginning of the measurement"),
    ("sent_ms", Kind::Float, "milliseconds from the beginning of the measurement"),
    ("sent_unix_ns", Kind::Whole, "nanoseconds since 1970 UTC"),
    ("held_ms", Kind::Float, "milliseconds"),
    ("ttft_ms", Kind::Float, "milliseconds from sending"),
    ("tpot_ms", Kind::Float, "milliseconds"),
    ("e2e_ms", Kind::Float, "milliseconds from sending"),
    ("asked_input", Kind::Whole, "tokens, or words of prompts of words"),
    ("asked_output", Kind::Whole, "tokens"),
    ("model", Kind::Text, "none"),
    ("record", Kind::Whole, "number from 0"),
    ("turn", Kind::Whole, "number from 0"),
    ("prefix", Kind::Whole, "tokens"),
    ("input_tokens", Kind::Whole, "tokens"),
    ("output_tokens", Kind::Whole, "tokens"),
    ("good", Kind::Truth, "none"),
    ("failure", Kind::Text, "none"),
    ("message", Kind::Text, "none"),
];

/// Writes rows as levels come. Nothing can be read before [`RequestsParquet::finish`].
pub struct RequestsParquet<W: Write + Send> {
    file: SerializedFileWriter<W>,
    rows: Vec<Map<String, Value>>,
    chunks: usize,
}

impl<W: Write + Send> std::fmt::Debug for RequestsParquet<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestsParquet").field("rows_waiting", &self.rows.len()).finish_non_exhaustive()
    }
}

impl<W: Write + Send> RequestsParquet<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// The destination's.
    pub fn new(out: W) -> io::Result<Self> {
        let mut units: Map<String, Value> =
            COLUMNS.iter().map(|(name, _, unit)| ((*name).into(), json!(unit))).collect();
        units.insert(CHUNKS.into(), json!("milliseconds from sending"));
        let layout = json!({"version": VERSION, "units": units}).to_string();
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(concat!("vramscope ", env!("CARGO_PKG_VERSION")).into())
            .set_key_value_metadata(Some(vec![KeyValue::new(KEY.into(), layout)]))
            .build();
        let file = schema().and_then(|schema| SerializedFileWriter::new(out, schema, properties.into()));
        Ok(Self { file: file.map_err(io_error)?, rows: Vec::new(), chunks: 0 })
    }

    /// Adds the requests of a level, as [`LoadReport::write_requests`] writes them.
    ///
    /// # Errors
    /// The destination's.
    pub fn add(&mut self, report: &LoadReport, level: &Value) -> io::Result<()> {
        for record in &report.requests {
            self.chunks += record.chunks.len();
            self.rows.push(report.request_row(level, record));
            if self.rows.len() >= GROUP_ROWS || self.chunks >= GROUP_CHUNKS {
                self.group().map_err(io_error)?;
            }
        }
        Ok(())
    }

    /// Writes what is left and the file's end, without which it cannot be read. Gives the destination back.
    ///
    /// # Errors
    /// The destination's.
    pub fn finish(mut self) -> io::Result<W> {
        self.group().map_err(io_error)?;
        self.file.into_inner().map_err(io_error)
    }

    /// Writes the rows that wait as one group.
    fn group(&mut self) -> Result<(), ParquetError> {
        let rows = std::mem::take(&mut self.rows);
        self.chunks = 0;
        if rows.is_empty() {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        let mut place = 0;
        while let Some(mut column) = group.next_column()? {
            match COLUMNS.get(place) {
                Some((name, ..)) => write_column(column.untyped(), &rows, name)?,
                None => write_chunks(column.untyped(), &rows)?,
            }
            column.close()?;
            place += 1;
        }
        group.close()?;
        Ok(())
    }
}

fn schema() -> Result<TypePtr, ParquetError> {
    let column = |(name, kind, _): &(&str, Kind, &str)| {
        let (physical, logical) = match kind {
            Kind::Whole => (Physical::INT64, None),
            Kind::Float => (Physical::DOUBLE, None),
            Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Kind::Truth => (Physical::BOOLEAN, None),
        };
        let column = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
        column.with_logical_type(logical).build().map(TypePtr::new)
    };
    let mut columns = COLUMNS.iter().map(column).collect::<Result<Vec<TypePtr>, _>>()?;
    // The three levels that the format's own documentation asks for.
    let element =
        Type::primitive_type_builder("element", Physical::DOUBLE).with_repetition(Repetition::REQUIRED).build()?;
    let list = Type::group_type_builder("list").with_repetition(Repetition::REPEATED);
    let list = list.with_fields(vec![TypePtr::new(element)]).build()?;
    let chunks = Type::group_type_builder(CHUNKS).with_repetition(Repetition::REQUIRED);
    let chunks = chunks.with_logical_type(Some(LogicalType::List)).with_fields(vec![TypePtr::new(list)]).build()?;
    columns.push(TypePtr::new(chunks));
    Ok(TypePtr::new(Type::group_type_builder("requests").with_fields(columns).build()?))
}

fn write_column(column: &mut ColumnWriter<'_>, rows: &[Map<String, Value>], name: &str) -> Result<(), ParquetError> {
    let values: Vec<Option<&Value>> = rows
        .iter()
        .map(|row| if OF_LEVEL.contains(&name) { row.get("level")?.get(name) } else { row.get(name) })
        .filter(|value| value.is_none_or(|value| !value.is_null()))
        .collect();
    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    let known = || values.iter().flatten();
    let wrong = || ParquetError::General(format!("a value of the column {name} is of another type"));
    match column {
        ColumnWriter::Int64ColumnWriter(writer) => {
            let values: Option<Vec<i64>> = known().map(|value| value.as_i64()).collect();
            writer.write_batch(&values.ok_or_else(wrong)?, Some(&levels), None)?;
        }
        ColumnWriter::DoubleColumnWriter(writer) => {
            let values: Option<Vec<f64>> = known().map(|value| value.as_f64()).collect();
            writer.write_batch(&values.ok_or_else(wrong)?, Some(&levels), None)?;
        }
        ColumnWriter::BoolColumnWriter(writer) => {
            let values: Option<Vec<bool>> = known().map(|value| value.as_bool()).collect();
            writer.write_batch(&values.ok_or_else(wrong)?, Some(&levels), None)?;
        }
        ColumnWriter::ByteArrayColumnWriter(writer) => {
            let text = |value: &&Value| Some(ByteArray::from(&*without_controls(value.as_str()?)));
            let values: Option<Vec<ByteArray>> = known().map(text).collect();
            writer.write_batch(&values.ok_or_else(wrong)?, Some(&levels), None)?;
        }
        _ => return Err(wrong()),
    }
    Ok(())
}

fn write_chunks(column: &mut ColumnWriter<'_>, rows: &[Map<String, Value>]) -> Result<(), ParquetError> {
    let ColumnWriter::DoubleColumnWriter(writer) = column else {
        return Err(ParquetError::General("the times of chunks are of another type".into()));
    };
    let (mut values, mut defined, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        let chunks = row.get(CHUNKS).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if chunks.is_empty() {
            defined.push(0);
            repeated.push(0);
        }
        for (at, chunk) in chunks.iter().enumerate() {
            values.push(chunk.as_f64().unwrap_or(f64::NAN));
            defined.push(1);
            repeated.push(i16::from(at > 0));
        }
    }
    writer.write_batch(&values, Some(&defined), Some(&repeated))?;
    Ok(())
}

fn io_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(inner) => *inner,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}
