//! Recordings that other programs wrote anew; `data/README.md` says how.

use std::path::PathBuf;

use vramscope_timeline::document::{FileLines, Header, Line, Note, ReadError, Sample, read_file};

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/data").join(name)
}

fn lines(name: &str) -> (Header, Vec<Line>, Vec<Note>) {
    let mut lines = FileLines::open(&data(name)).unwrap();
    let all = std::iter::from_fn(|| lines.next_line().unwrap()).collect();
    (lines.header().clone(), all, lines.notes().to_vec())
}

fn samples(lines: &[Line]) -> Vec<Sample> {
    lines.iter().filter_map(|line| if let Line::Sample(sample) = line { Some(*sample) } else { None }).collect()
}

#[test]
fn what_each_program_wrote_says_what_the_recording_said() {
    let (header, expected, _) = lines("recording.jsonl");
    for (name, writer) in [("duckdb", "DuckDB"), ("polars", "Polars"), ("pandas", "parquet-cpp-arrow")] {
        let (found, lines, notes) = lines(&format!("{name}.parquet"));
        assert_eq!(lines, expected, "{name}");
        // What the header alone said is not known any more, and nothing else is said in its place.
        let anchor_unix_ns = header.anchor_unix_ns;
        assert_eq!(found, Header { vramscope_timeline: 1, anchor_unix_ns, ..Header::default() }, "{name}");
        let text = &notes[0].text;
        assert!(text.contains(writer) && text.contains("`vramscope_timeline`"), "{name}: {text}");
        assert_eq!(notes.len(), 1, "{name}: {notes:?}");
        assert!(read_file(&data(&format!("{name}.parquet"))).unwrap().is_complete());
    }
    let (found, lines, notes) = lines("pyarrow.parquet");
    assert_eq!((found, lines, notes), (header, expected, vec![]), "pyarrow keeps the metadata");
}

#[test]
fn rows_in_another_order_and_times_of_another_unit_are_put_right() {
    let (_, expected, _) = lines("recording.jsonl");
    let (header, lines, notes) = lines("polars-types.parquet");
    let micros = |at: i64| at / 1000 * 1000;
    let expected: Vec<Sample> = samples(&expected)
        .into_iter()
        .map(|sample| Sample { timestamp_ns: micros(sample.timestamp_ns), ..sample })
        .collect();
    assert_eq!(samples(&lines), expected);
    assert_eq!(header.anchor_unix_ns.map(|at| at % 1000), Some(0));
    assert!(notes.iter().any(|note| note.text.contains("order of time")), "{notes:?}");
    let whole = read_file(&data("polars-types.parquet")).unwrap();
    assert_eq!((whole.timeline.marks().len(), whole.timeline.slow_samples().len()), (3, 2));
}

#[test]
fn some_columns_are_enough_and_the_others_are_not_known() {
    let (_, all, _) = lines("recording.jsonl");
    let all = samples(&all);
    let (_, lines, notes) = lines("duckdb-columns.parquet");
    let expected: Vec<Sample> = all
        .iter()
        .map(|sample| Sample {
            timestamp_ns: sample.timestamp_ns,
            tick: sample.tick,
            gpu_index: sample.gpu_index,
            used_bytes: sample.used_bytes,
            power_mw: sample.power_mw,
            ..Sample::default()
        })
        .collect();
    assert_eq!(samples(&lines), expected, "ticks are told by the times");
    assert_eq!(lines.len(), expected.len());
    let said = |part: &str| notes.iter().any(|note| note.text.contains(part));
    assert!(said("column `line`") && said("column `tick`") && said("DuckDB"), "{notes:?}");
    let (_, lines, _) = self::lines("pandas-types.parquet");
    assert_eq!(samples(&lines), all, "times with a zone, whole numbers as floats, gzip");
}

#[test]
fn what_cannot_be_read_is_named() {
    let refused = |name: &str| FileLines::open(&data(name)).unwrap_err();
    let missing = refused("duckdb-two.parquet");
    assert!(matches!(&missing, ReadError::ParquetColumns { missing, .. } if missing == "gpu_index"), "{missing:?}");
    assert!(missing.to_string().contains("`vramscope_timeline`"), "{missing}");
    let packed = refused("pyarrow-brotli.parquet");
    assert!(matches!(&packed, ReadError::ParquetCompression { codec, .. } if codec == "brotli"), "{packed:?}");
    assert!(packed.to_string().contains("zstd"), "{packed}");
}
