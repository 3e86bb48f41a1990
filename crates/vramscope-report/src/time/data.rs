//! A recording as the compact JSON that the page's script reads.
//!
//! A column is a text of base64 over variable-length integers (seven bits a byte, lowest first), in units of the largest
//! divisor that all its values share. For each row: 0 where there is nothing, else 1 + the zigzag of the difference of
//! the smallest from the smallest before; then twice the difference of the largest from the smallest, plus 1 where the
//! largest came first.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use vramscope_core::on_one_line;

use super::grid::{Grid, Span};
use super::parts::Stack;
use super::picture::mixed;
use super::recording::Metric;
use super::source::Source;

/// The data of a page's chart are no larger than this: more is made less by fewer rows.
pub(crate) const LARGEST: usize = 1 << 20;
/// But not by fewer than these.
const LEAST_ROWS: usize = 64;

/// The data of a chart, as it may stand within a `script` element; with many devices, rows are merged until it is small
/// enough.
pub(crate) fn fitted(source: &mut Source, largest: usize) -> String {
    loop {
        let text = json(source);
        let rows = source.recording.grid.rows.len();
        if text.len() <= largest || rows <= LEAST_ROWS {
            return text;
        }
        source.recording.grid.set_limit((rows / 2).max(LEAST_ROWS));
    }
}

fn json(source: &Source) -> String {
    let recording = &source.recording;
    let place = |gpu: Option<u32>| {
        // A device that has no line is one that no track has.
        gpu.map_or(0, |gpu| recording.track(gpu).map_or(i64::from(u32::MAX), |track| i64::try_from(track).unwrap_or(0)))
    };
    let first = source.tracks.first().map_or(0, |(track, ..)| *track);
    let track = |(track, name, stack): &(usize, String, Stack)| {
        json!({
            "place": track,
            "name": name,
            "how": Metric::ALL.map(|metric| source.together(*track, metric)),
            "capacity": recording.capacity(*track),
            "columns": recording.columns_of(*track).map(|one| column(&recording.grid, one)).collect::<Vec<_>>(),
            "stack": stack_json(stack),
            "peak": if *track == first { source.peak() } else { source.peak_of(*track) },
        })
    };
    let engine = (!recording.engine.rows.is_empty()).then(|| {
        let columns: Vec<Value> = (0..3).map(|one| column(&recording.engine, one)).collect();
        json!({"times": times(&recording.engine), "columns": columns, "gaps": recording.engine.holes()})
    });
    let value = json!({
        "times": times(&recording.grid),
        "perUnit": Metric::ALL.map(Metric::per_unit),
        "tracks": source.tracks.iter().map(track).collect::<Vec<_>>(),
        "engine": engine,
        "clock": source.clock,
        "mixed": mixed(recording),
        "several": recording.devices().len() > 1,
        "shared": recording.is_shared(),
        "phases": recording.phases.iter().map(|one| json!([one.name, one.start_ns, one.end_ns])).collect::<Vec<_>>(),
        "gaps": recording.gaps.iter().map(|gap| json!([gap.start_ns, gap.end_ns, place(gap.gpu), gap.cause.replace('_', " ")])).collect::<Vec<_>>(),
        "events": recording.events.iter().map(|one| json!([one.at_ns, one.label, one.line.as_deref().map(on_one_line)])).collect::<Vec<_>>(),
    });
    // No text within may end the element, nor begin a comment in it.
    value.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

fn stack_json(stack: &Stack) -> Value {
    let part = |part: &super::parts::Part| json!([part.name, part.colour, part.bytes, part.from_ns, part.grows]);
    let parts: Vec<Value> = stack.parts.iter().map(part).collect();
    json!({"parts": parts, "stays": super::parts::BASELINE, "rest": stack.rest(), "slack": stack.slack, "until": stack.until_ns, "whole": stack.whole})
}

/// Times of rows: for each, the step from the end of the one before, and its length.
fn times(grid: &Grid) -> String {
    let mut bytes = Vec::with_capacity(grid.rows.len() * 6);
    let mut before = 0;
    for row in &grid.rows {
        put(&mut bytes, row.first_ns - before);
        put(&mut bytes, row.last_ns - row.first_ns);
        before = row.last_ns;
    }
    BASE64.encode(bytes)
}

fn column(grid: &Grid, column: usize) -> Value {
    let spans = &grid.columns[column];
    if spans.iter().all(Option::is_none) {
        return Value::Null;
    }
    let (unit, bytes) = pack(spans);
    json!([unit, BASE64.encode(bytes)])
}

fn pack(spans: &[Option<Span>]) -> (u64, Vec<u8>) {
    let values = spans.iter().flatten().flat_map(|span| [span.min.unsigned_abs(), span.max.unsigned_abs()]);
    let unit = values.fold(0, divisor).max(1);
    let mut bytes = Vec::with_capacity(spans.len() * 3);
    let mut before = 0i64;
    for span in spans {
        let Some(span) = span else {
            bytes.push(0);
            continue;
        };
        // Both are within what `kept` lets in, or sums of that: no difference is out of bounds.
        let step = span.min.saturating_sub(before);
        let zigzag = step.unsigned_abs() / unit * 2 - u64::from(step < 0);
        put(&mut bytes, zigzag.saturating_add(1));
        put(&mut bytes, span.max.abs_diff(span.min) / unit * 2 + u64::from(span.falls));
        before = span.min;
    }
    (unit, bytes)
}

fn divisor(mut one: u64, mut two: u64) -> u64 {
    while two != 0 {
        (one, two) = (two, one % two);
    }
    one
}

fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(low(value & 0x7f) | 0x80);
        value >>= 7;
    }
    bytes.push(low(value));
}

fn low(value: u64) -> u8 {
    value.to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn take(bytes: &mut impl Iterator<Item = u8>) -> Option<u64> {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = bytes.next()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
            shift += 7;
        }
    }

    /// As the script does it.
    fn unpack(unit: u64, bytes: Vec<u8>) -> Vec<Option<Span>> {
        let mut bytes = bytes.into_iter();
        let (unit, mut before) = (i64::try_from(unit).unwrap(), 0i64);
        let mut spans = Vec::new();
        while let Some(first) = take(&mut bytes) {
            if first == 0 {
                spans.push(None);
                continue;
            }
            let zigzag = i64::try_from(first - 1).unwrap();
            before += if zigzag % 2 == 0 { zigzag / 2 } else { -(zigzag + 1) / 2 } * unit;
            let rise = i64::try_from(take(&mut bytes).unwrap()).unwrap();
            spans.push(Some(Span { min: before, max: before + rise / 2 * unit, falls: rise % 2 == 1 }));
        }
        spans
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked_as_it_was(
            spans in prop::collection::vec(prop::option::of((-(1i64 << 50)..1 << 50, 0i64..1 << 45, any::<bool>())), 0..60),
            unit in prop::sample::select(vec![1i64, 10, 64]),
        ) {
            let span = |(min, rise, falls): (i64, i64, bool)| {
                let min = min / unit * unit;
                Span { min, max: min + rise / unit * unit, falls }
            };
            let spans: Vec<Option<Span>> = spans.into_iter().map(|one| one.map(span)).collect();
            let (unit, bytes) = pack(&spans);
            prop_assert_eq!(unpack(unit, bytes), spans);
        }
    }
}
