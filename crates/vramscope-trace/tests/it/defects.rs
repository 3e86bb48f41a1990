//! Files that are not what they should be.

use std::io::Write as _;

use proptest::prelude::*;
use vramscope_trace::document::Exact;
use vramscope_trace::{Oddity, Options, Source, Summary, TraceError, summarize};

fn read(bytes: impl Into<Vec<u8>>) -> Result<Summary, TraceError> {
    summarize(&Source::memory("test", bytes.into()), &Options::default())
}

fn kernel(name: &str, ts: &str, dur: &str) -> String {
    format!(
        "{{\"ph\": \"X\", \"cat\": \"kernel\", \"name\": \"{name}\", \"pid\": 0, \"tid\": 7, \"ts\": {ts}, \"dur\": {dur}, \
         \"args\": {{\"device\": 0, \"stream\": 7, \"correlation\": 3}}}}"
    )
}

fn trace(events: &[String]) -> String {
    format!("{{\"schemaVersion\": 1, \"traceEvents\": [\n{}\n]}}", events.join(",\n"))
}

#[test]
fn a_trace_of_another_program_is_said_to_be_none() {
    let plain = |name: &str| format!(r#"{{"ph": "X", "name": "{name}", "pid": 0, "tid": 7, "ts": 1, "dur": 2}}"#);
    let failed = read(trace(&[plain("a"), plain("b")])).unwrap_err();
    assert!(failed.to_string().contains("none of its 2 events"), "{failed}");
    assert_eq!(read(trace(&[plain("a"), kernel("k", "1", "2")])).unwrap().kernel_totals.count, 1);
}

#[test]
fn the_defects_that_profilers_write_cost_nothing_but_a_note() {
    let text = trace(&[
        kernel("a", "1.5", "1"),
        r#"{"ph": "X", "cat": "python_function", "name": "{"device": "cpu", "dtype": "f32"}(12): run", "pid": 5, "tid": 5, "ts": 1.5, "dur": 2, "args": {"Python id": 3}}"#.into(),
        kernel("b", "3.5", "1"),
        r#"{"ph": "X", "cat": "cpu_op", "name": "nan", "pid": 5, "tid": 5, "ts": 2, "dur": 2, "args": {"x": NaN}}"#.into(),
        r#"{"ph": "X", "cat": "cpu_op", "name": "big", "pid": 5, "tid": 5, "ts": 2, "dur": 2, "args": {"Comms Id": 18446744073709551615}}"#.into(),
        kernel("bad\u{0}byte", "6", "2"),
        "7".into(),
        kernel("c\"a", "9", "1"),
    ]);
    let mut bytes = text.into_bytes();
    let at = bytes.iter().position(|&b| b == 0).unwrap();
    bytes[at] = 0xff;
    for (threads, block_bytes) in [(1, 1 << 20), (1, 64), (2, 64), (2, 300)] {
        let options = Options { threads, block_bytes, ..Options::default() };
        let summary = summarize(&Source::memory("test", bytes.clone()), &options).unwrap();
        assert_eq!(summary.kernel_totals.time_ns, 5000);
        assert_eq!(summary.events, 7);
        assert_eq!(summary.notes.count(Oddity::Repaired), 2);
        assert_eq!(summary.notes.count(Oddity::NotANumber), 1);
        assert_eq!(summary.notes.count(Oddity::BadUtf8), 1);
        assert_eq!(summary.notes.count(Oddity::NotAnEvent), 1);
        assert!(summary.kernels.iter().any(|k| k.name == "bad\u{fffd}byte"));
        assert!(summary.kernels.iter().any(|k| k.name == "c\"a"));
    }
}

#[test]
fn a_profiler_that_was_stopped_leaves_what_it_wrote() {
    let text = trace(&[kernel("a", "1", "1"), kernel("b", "3", "1")]);
    let events = text.find("\"b\"").unwrap();
    let cut = read(&text[..events]).unwrap();
    assert_eq!((cut.kernel_totals.count, cut.notes.count(Oddity::Truncated)), (1, 1));
    let open = read(text.trim_end_matches("\n]}")).unwrap();
    assert_eq!((open.kernel_totals.count, open.notes.count(Oddity::Truncated)), (2, 1));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let packed = gzip.finish().unwrap();
    let damaged = read(&packed[..packed.len() - 12]).unwrap();
    assert_eq!(damaged.notes.count(Oddity::DamagedCompression), 1);
}

#[test]
fn times_that_cannot_be_true_are_refused_with_their_place() {
    let failed = |events: &[String]| read(trace(events)).unwrap_err().to_string();
    for (ts, dur, part) in [
        ("1e30", "1", "its ts is 1e30"),
        ("1", "18446744073709551615", "its dur is 18446744073709551615"),
        ("1", "-2.5", "which is negative"),
        ("1", "1e13", "more than 31 days"),
        ("9223372036854775.000", "1000000", "64 bits"),
    ] {
        let text = failed(&[kernel("a", "1", "1"), kernel("b", ts, dur)]);
        assert!(text.contains(part) && text.contains("byte "), "{text}");
    }
    let mixed = failed(&[kernel("a", "0", "1"), kernel("b", "1695835542514261.5", "1")]);
    assert!(mixed.contains("two clocks are mixed") && mixed.contains("19627 days"), "{mixed}");
}

#[test]
fn bombs_are_refused() {
    let blanks = vec![b' '; 1 << 20];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(b"{\"traceEvents\": [").unwrap();
    for _ in 0..100 {
        gzip.write_all(&blanks).unwrap();
    }
    let failed = read(gzip.finish().unwrap()).unwrap_err();
    assert!(matches!(failed, TraceError::Bomb { .. }), "{failed}");
    let mut header = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    for _ in 0..100 {
        header.write_all(&blanks).unwrap();
    }
    let failed = read(header.finish().unwrap()).unwrap_err();
    assert!(matches!(failed, TraceError::NotATrace { .. }), "no header is that long: {failed}");
    let deep = format!("{{\"traceEvents\": [{{\"ph\": \"X\", \"args\": {}", "[".repeat(1 << 20));
    assert_eq!(read(deep).unwrap().events, 0);
}

#[test]
fn other_files_are_named() {
    for (bytes, part) in [
        (&b""[..], "it is empty"),
        (b"   ", "no text"),
        (b"PK\x03\x04....", "zip"),
        (b"\x80\x04\x95pickle", "pickle"),
        (b"SQLite format 3\0", "SQLite"),
        (b"{\"a\": 1}", "without an array traceEvents"),
        (b"hello", "does not begin"),
        (b"{\"traceEvents\": 7}", "without an array"),
    ] {
        let text = read(bytes).unwrap_err().to_string();
        assert!(text.contains(part), "{text}");
    }
    let absent = summarize(&Source::file("/nonexistent/trace.json"), &Options::default()).unwrap_err();
    assert!(absent.to_string().contains("/nonexistent/trace.json"));
    let folder = summarize(&Source::file(std::env::temp_dir()), &Options::default()).unwrap_err();
    assert!(matches!(folder, TraceError::Open { .. }));
}

#[test]
fn nothing_to_analyse_is_an_answer() {
    for text in ["[]", "{\"traceEvents\": []}", "\u{feff}[ ]", "{\"traceEvents\": [{\"ph\": \"M\"}], \"x\": 1}"] {
        let summary = read(text).unwrap();
        assert_eq!((summary.kernel_totals.count, summary.devices.len()), (0, 0), "{text}");
        assert!(summary.notes.is_empty(), "{text}: {:?}", summary.notes);
        assert_eq!(summary.verdict.bound.name(), "undetermined");
    }
}

#[test]
fn an_event_without_a_time_is_counted_and_told() {
    let text = trace(&[
        r#"{"ph": "X", "cat": "kernel", "name": "a", "ts": 1, "args": {}}"#.into(),
        r#"{"ph": "X", "cat": "kernel", "name": "a", "dur": 1}"#.into(),
        r#"{"ph": "B", "cat": "kernel", "name": "a", "ts": 1}"#.into(),
    ]);
    let summary = read(text).unwrap();
    assert_eq!((summary.events, summary.kernel_totals.count), (3, 0));
    assert_eq!((summary.notes.count(Oddity::NoTime), summary.notes.count(Oddity::BeginEnd)), (2, 1));
    assert_eq!(Exact::of(&summary).by_ph_cat["X|kernel"], 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_cut_or_changed_file_never_panics(cut in 0usize..2000, at in 0usize..2000, byte: u8, block in 1usize..600) {
        let events: Vec<String> = (0..8).map(|n| kernel("k", &n.to_string(), "0.5")).collect();
        let mut bytes = trace(&events).into_bytes();
        let place = at % bytes.len();
        bytes[place] = byte;
        bytes.truncate(bytes.len() - cut % bytes.len());
        let one = summarize(&Source::memory("t", bytes.clone()), &Options { threads: 1, ..Options::default() });
        let options = Options { threads: 2, block_bytes: block, ..Options::default() };
        let two = summarize(&Source::memory("t", bytes), &options);
        prop_assert_eq!(one.is_ok(), two.is_ok());
    }
}
