//! The Parquet form: nothing is lost on the way there and back, and what is damaged is an error.

use std::fs::{self, File};
use std::path::Path;

use proptest::prelude::*;
use vramscope_core::Throttle;
use vramscope_timeline::document::{
    Clock, Cost, Failure, FileLines, Header, Line, Lines, ParquetLines, ParquetWriter, ReadError, Sample, Slow, Writer,
    csv,
};

use crate::document::{header, reading, timeline, written};

fn json_lines(text: &[u8]) -> (Header, Vec<Line>) {
    let mut lines = Lines::new(text).unwrap();
    let all = std::iter::from_fn(|| lines.next_line().unwrap()).collect();
    (lines.header().clone(), all)
}

fn as_parquet(path: &Path, header: &Header, lines: &[Line]) {
    let mut writer = ParquetWriter::new(File::create(path).unwrap(), header).unwrap();
    lines.iter().for_each(|line| writer.line(line).unwrap());
    writer.finish().unwrap();
}

fn parquet_lines(path: &Path) -> (Header, Vec<Line>) {
    let mut lines = FileLines::open(path).unwrap();
    let all = std::iter::from_fn(|| lines.next_line().unwrap()).collect();
    (lines.header().clone(), all)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_line_comes_back_as_it_was(readings in prop::collection::vec(reading(), 1..60)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        let (header, lines) = json_lines(&written(&timeline(readings)));
        as_parquet(&path, &header, &lines);
        let (header_after, lines_after) = parquet_lines(&path);
        prop_assert_eq!(&header_after, &header);
        prop_assert_eq!(&lines_after, &lines);
        let mut again = Writer::new(Vec::new(), &header_after).unwrap();
        lines_after.iter().for_each(|line| again.line(line).unwrap());
        prop_assert_eq!(json_lines(&again.into_inner()), (header, lines));
    }

    #[test]
    fn a_damaged_file_is_an_error_or_other_figures_and_never_a_panic(
        readings in prop::collection::vec(reading(), 1..20),
        damage in prop::collection::vec((0.0f64..1.0, any::<u8>()), 1..4),
        cut in prop::option::of(0.0f64..1.0),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        let (header, lines) = json_lines(&written(&timeline(readings)));
        as_parquet(&path, &header, &lines);
        let mut bytes = fs::read(&path).unwrap();
        for (place, value) in damage {
            let place = 4 + place_of(place, bytes.len() - 4);
            bytes[place] = value;
        }
        bytes.truncate(cut.map_or(bytes.len(), |cut| place_of(cut, bytes.len())));
        fs::write(&path, bytes).unwrap();
        if let Ok(mut lines) = FileLines::open(&path) {
            while let Ok(Some(_)) = lines.next_line() {}
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a place in a small file"
)]
fn place_of(share: f64, length: usize) -> usize {
    (length as f64 * share) as usize
}

#[test]
fn more_rows_than_one_group_keep_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let line = |n: u32| match n % 1000 {
        7 => Line::Clock(Clock { timestamp_ns: n.into(), unix_ns: -1 }),
        8 => Line::Slow(Slow { timestamp_ns: n.into(), gpu_index: 3, ecc_corrected: Some(0), ..Slow::default() }),
        6 => Line::Failure(Failure { timestamp_ns: n.into(), gpu_index: 2, error: "\"no\"".into() }),
        9 => Line::Cost(Cost { wall_ms: 0.5, ..Cost::default() }),
        _ => Line::Sample(Sample {
            timestamp_ns: i64::from(n) - 5,
            tick: n,
            gpu_index: u32::MAX,
            used_bytes: u64::MAX - u64::from(n),
            power_mw: (!n.is_multiple_of(3)).then_some(n),
            throttle: n.is_multiple_of(2).then_some(Throttle::NONE),
            ..Sample::default()
        }),
    };
    let lines: Vec<Line> = (0..100_000).map(line).collect();
    as_parquet(&path, &header(), &lines);
    assert!(parquet_lines(&path).1 == lines, "100000 lines come back");
}

#[test]
fn a_parquet_file_of_somebody_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    fs::write(&path, "PAR1 and nothing else").unwrap();
    let torn = FileLines::open(&path).unwrap_err();
    assert!(matches!(torn, ReadError::Parquet { row: 0, .. }));
    assert!(torn.to_string().contains("cut short"), "{torn}");
    let newer = Header { vramscope_timeline: 1, ..header() };
    as_parquet(&path, &newer, &[]);
    let bytes = fs::read(&path).unwrap();
    let text: Vec<u8> = bytes.windows(22).position(|w| w == b"\"vramscope_timeline\":1").map_or(Vec::new(), |at| {
        let mut changed = bytes.clone();
        changed[at + 21] = b'9';
        changed
    });
    fs::write(&path, text).unwrap();
    assert!(matches!(ParquetLines::new(File::open(&path).unwrap()), Err(ReadError::NewerVersion { found: 9 })));
}

#[test]
fn csv_tells_nothing_held_back_from_not_known() {
    let mut text = Vec::new();
    for throttle in [None, Some(Throttle::NONE), Some(Throttle::POWER.with(Throttle::THERMAL))] {
        csv::write_line(&mut text, &Sample { throttle, ..Sample::default() }).unwrap();
    }
    let text = String::from_utf8(text).unwrap();
    let cells: Vec<&str> = text.lines().map(|row| row.rsplit(',').next().unwrap()).collect();
    assert_eq!(cells, ["", "none", "power thermal"]);
}
