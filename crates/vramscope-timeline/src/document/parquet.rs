//! The timeline file as Parquet: for data tools, and a tenth of the size. It is written when a recording is finished,
//! since a Parquet file without its end is lost.
//!
//! The header is the file's metadata under the key `vramscope_timeline`, as JSON. Each line of the JSON form is one row,
//! in the same order: `t` and `timestamp_ns` as there; of a `sample` every figure in a column of the same name, absent
//! figures null; of every other kind the whole line as JSON in the column `line`. So
//! `select timestamp_ns, gpu_index, used_bytes from 'x.parquet' where t = 'sample'` is the series of memory.
//!
//! What such a tool writes of it is read too, as far as it goes: `timestamp_ns`, `gpu_index` and `used_bytes` are enough.

use parquet::basic::{LogicalType, Repetition, Type as PhysicalType};
use parquet::schema::types::{Type, TypePtr};
use vramscope_core::Throttle;

use super::lines::Sample;

mod columns;
mod file;
mod read;
mod rewritten;
mod write;

pub use file::ParquetFile;
pub use read::ParquetLines;
pub use write::ParquetWriter;

/// The key of the header in the file's metadata.
const HEADER_KEY: &str = "vramscope_timeline";
/// The kind of a row that is a sample.
const SAMPLE: &str = "sample";
/// How the writer of our own files begins to name itself.
const WRITER: &str = "vramscope ";

/// The columns before the figures of a sample: `t`, `timestamp_ns`, `gpu_index`, `line`, `throttle`.
const LEADING: [(&str, Width, bool); 5] = [
    ("t", Width::Text, true),
    ("timestamp_ns", Width::Signed, true),
    ("gpu_index", Width::Bits32, false),
    ("line", Width::Text, false),
    ("throttle", Width::Text, false),
];

/// The places of some columns among [`LEADING`] and [`FIGURES`] together.
const KIND: usize = 0;
const AT: usize = 1;
const DEVICE: usize = 2;
const LINE: usize = 3;
const THROTTLE: usize = 4;
const TICK: usize = LEADING.len();
const USED: usize = TICK + 1;

/// How a column's values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Bits8,
    Bits32,
    Bits64,
    Signed,
    Text,
}

/// A figure of a sample: its column, how it is taken from a line, and how it is put into one. Putting fails on a value
/// that the figure cannot have.
struct Figure {
    name: &'static str,
    width: Width,
    take: fn(&Sample) -> Option<u64>,
    put: fn(&mut Sample, Option<u64>) -> Option<()>,
}

macro_rules! figure {
    ($field:ident, $width:ident, $type:ty) => {
        Figure {
            name: stringify!($field),
            width: Width::$width,
            take: |sample| sample.$field.map(u64::from),
            put: |sample, value| {
                sample.$field = value.map(<$type>::try_from).transpose().ok()?;
                Some(())
            },
        }
    };
}

/// Every figure but those of [`LEADING`]. `tick` and `used_bytes` are in every sample.
const FIGURES: [Figure; 13] = [
    Figure {
        name: "tick",
        width: Width::Bits32,
        take: |sample| Some(sample.tick.into()),
        put: |sample, value| {
            sample.tick = u32::try_from(value?).ok()?;
            Some(())
        },
    },
    Figure {
        name: "used_bytes",
        width: Width::Bits64,
        take: |sample| Some(sample.used_bytes),
        put: |sample, value| {
            sample.used_bytes = value?;
            Some(())
        },
    },
    figure!(total_bytes, Bits64, u64),
    figure!(reserved_bytes, Bits64, u64),
    figure!(power_mw, Bits32, u32),
    figure!(power_avg_mw, Bits32, u32),
    figure!(temp_c, Bits32, u32),
    figure!(temp_mem_c, Bits32, u32),
    figure!(util_gpu_pct, Bits8, u8),
    figure!(util_mem_pct, Bits8, u8),
    figure!(sm_clock_mhz, Bits32, u32),
    figure!(mem_clock_mhz, Bits32, u32),
    figure!(energy_mj, Bits64, u64),
];

/// The file's columns, in order.
fn schema() -> Result<TypePtr, parquet::errors::ParquetError> {
    let leading = LEADING.iter().map(|&(name, width, required)| (name, width, required));
    let figures = FIGURES.iter().map(|figure| (figure.name, figure.width, false));
    let column = |(name, width, required): (&str, Width, bool)| {
        let (physical, logical) = match width {
            Width::Bits8 => (PhysicalType::INT32, Some(LogicalType::integer(8, false))),
            Width::Bits32 => (PhysicalType::INT32, Some(LogicalType::integer(32, false))),
            Width::Bits64 => (PhysicalType::INT64, Some(LogicalType::integer(64, false))),
            Width::Signed => (PhysicalType::INT64, None),
            Width::Text => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
        };
        let repetition = if required { Repetition::REQUIRED } else { Repetition::OPTIONAL };
        let column = Type::primitive_type_builder(name, physical);
        column.with_repetition(repetition).with_logical_type(logical).build().map(TypePtr::new)
    };
    let columns: Result<Vec<TypePtr>, _> = leading.chain(figures).map(column).collect();
    Ok(TypePtr::new(Type::group_type_builder("timeline").with_fields(columns?).build()?))
}

/// A set of reasons as text: their names, empty for none.
fn throttle_text(set: Throttle) -> String {
    set.names().collect::<Vec<_>>().join(" ")
}

/// The set of such a text; a reason that is not known here counts as another one.
fn throttle(text: &str) -> Throttle {
    let names = text.split_ascii_whitespace();
    names.fold(Throttle::NONE, |set, name| set.with(Throttle::from_name(name).unwrap_or(Throttle::OTHER)))
}
