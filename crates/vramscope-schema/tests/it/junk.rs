//! What is no profile is refused with the place and the reason, and nothing panics.

use proptest::prelude::*;
use serde_json::{Value, json};
use vramscope_schema::{MAX_DOCUMENT_BYTES, ReadError, read};

use crate::generated::{Choices, Fields, document};

fn refused(text: &str) -> String {
    read(text.as_bytes()).map(|loaded| panic!("read {text} as {loaded:?}")).unwrap_err().to_string()
}

fn with(pointer: &str, value: Value) -> String {
    let mut document = json!({
        "profiler_version": "3.1",
        "schema_version": "3.1",
        "generator": {"name": "vramscope", "version": "0"},
        "metadata": {},
        "memory_breakdown": {"kv_cache_bytes": 2_000_000_000, "kv_cache_gb": 2.0, "residual_bytes": -5},
        "memory_timeline": {"timeline": [{"memory_bytes": 1, "power_w": 5.0}]},
        "diagnostics": [{"code": "a", "severity": "info", "message": "m", "evidence": {"x_bytes": 1}}],
    });
    *document.pointer_mut(pointer).unwrap() = value;
    document.to_string()
}

#[test]
fn a_wrong_value_is_named_by_its_path() {
    let cases = [
        ("/memory_breakdown/kv_cache_bytes", json!(-1), "memory_breakdown.kv_cache_"),
        ("/memory_breakdown/kv_cache_bytes", json!(1.5), "memory_breakdown.kv_cache_bytes is 1.5, and bytes are whole"),
        ("/memory_breakdown/kv_cache_bytes", json!("2"), "memory_breakdown.kv_cache_gb stands without"),
        ("/memory_breakdown/kv_cache_gb", json!(1.862_645), "memory_breakdown.kv_cache_bytes is 2000000000, but"),
        ("/memory_breakdown/kv_cache_gb", json!(-2.0), "memory_breakdown.kv_cache_bytes is 2000000000, but"),
        (
            "/memory_breakdown/residual_bytes",
            json!(true),
            "memory_breakdown.residual_bytes, line 1: invalid type: boolean",
        ),
        (
            "/memory_timeline/timeline/0/power_w",
            json!(-5.0),
            "memory_timeline.timeline[0].power_w, line 1: invalid value",
        ),
        ("/memory_timeline/timeline/0", json!([]), "memory_timeline.timeline[0]"),
        ("/diagnostics/0/severity", json!("dire"), "diagnostics[0].severity, line 1: unknown variant `dire`"),
        ("/diagnostics/0/evidence/x_bytes", json!(0.5), "diagnostics[0].evidence.x_bytes is 0.5"),
        ("/diagnostics/0", json!({"code": "a"}), "diagnostics[0], line 1: missing field"),
        ("/generator", json!(null), "generator"),
        ("/schema_version", json!(3.1), "schema_version is 3.1, and a version reads like \"3.1\""),
        ("/schema_version", json!("latest"), "schema_version is \"latest\""),
        ("/schema_version", json!("0.9"), "version 0.9 does not exist"),
    ];
    for (pointer, value, expected) in cases {
        let message = refused(&with(pointer, value));
        assert!(message.contains(expected), "{pointer}: {message}");
    }
}

#[test]
fn earlier_versions_are_strict_about_meaning_too() {
    let cases = [
        (r#"{"memory_breakdown": {"total_gb": -1}}"#, "memory_breakdown.total_gb"),
        (r#"{"memory_breakdown": {"total_gb": NaN}}"#, "line 1, column 35 cannot be read as JSON"),
        (r#"{"memory_breakdown": {"total_gb": 1e999}}"#, "cannot be read as JSON (number out of range)"),
        (r#"{"memory_breakdown": {"total_gb": "15 GB"}}"#, "memory_breakdown.total_gb, line 1: invalid type: string"),
        (r#"{"schema_version": "2.0", "model_info": {"num_layers": 31.5}}"#, "model_info.num_layers"),
        (r#"{"schema_version": "3.0", "memory_timeline": {"timeline": [{"temp_c": "warm"}]}}"#, "timeline[0].temp_c"),
    ];
    for (text, expected) in cases {
        let message = refused(text);
        assert!(message.contains(expected), "{text}: {message}");
    }
}

#[test]
fn what_is_no_profile_at_all_is_told_apart() {
    assert!(matches!(read(b""), Err(ReadError::Empty)));
    assert!(matches!(read(b" \n"), Err(ReadError::Empty)));
    assert!(refused("[1, 2]").contains("no profile"));
    assert!(refused("{}").contains("neither schema_version nor"));
    assert!(refused("17").contains("no profile"));
    assert!(refused(r#"{"profiler_version": "2.0"}"#).contains("no schema_version"));
    assert!(matches!(read(b"\x7fELF\x02\x01\x01\x00"), Err(ReadError::NotJson { line: 1, .. })));
    assert!(matches!(read(b"\xff\xfe{\0}\0"), Err(ReadError::NotJson { .. })));
    assert!(matches!(read(br#"{"memory_breakdown": {}} trailing"#), Err(ReadError::NotJson { .. })));
}

#[test]
fn a_document_that_has_lost_its_version_is_told_by_its_keys() {
    let whole = include_str!("data/every_field.json");
    let without: String =
        whole.lines().filter(|line| !line.contains("\"schema_version\"")).map(|l| format!("{l}\n")).collect();
    assert_ne!(whole.trim_end(), without.trim_end());
    let (told, guessed) = (read(whole.as_bytes()).unwrap(), read(without.as_bytes()).unwrap());
    assert_eq!((told.profile, told.from), (guessed.profile, guessed.from));
    assert!(guessed.notes[0].contains("no schema_version"), "{:?}", guessed.notes);
    let older = read(br#"{"profiler_version": "3.0", "memory_timeline": {"max_gb": 12.5}}"#).unwrap();
    assert_eq!(older.from.to_string(), "3.0");
    assert!(older.notes[0].contains("by its keys it is of version 3.0"), "{:?}", older.notes);
}

#[test]
fn size_and_depth_are_bounded() {
    let large = vec![b' '; MAX_DOCUMENT_BYTES + 1];
    assert!(matches!(read(&large), Err(ReadError::TooLarge { .. })));
    let deep = format!("{}{}", r#"{"schema_version": "3.1", "x": "#, "[".repeat(100_000));
    assert!(refused(&deep).contains("cannot be read as JSON"));
    let closed = format!(r#"{{"schema_version": "3.1", "x": {}{}}}"#, "[".repeat(5_000), "]".repeat(5_000));
    assert!(refused(&closed).contains("recursion limit"), "{}", refused(&closed));
}

#[test]
fn a_message_is_short_whatever_the_document_holds() {
    let long = "x".repeat(100_000);
    let documents = [
        format!(r#"{{"schema_version": "{long}"}}"#),
        format!(r#"{{"schema_version": ["{long}"]}}"#),
        format!(r#"{{"profiler_version": "{long}"}}"#),
        format!(r#"{{"memory_breakdown": {{"total_gb": "{long}"}}}}"#),
    ];
    for document in documents {
        assert!(refused(&document).len() < 500);
    }
    let noted = format!(r#"{{"schema_version": "2.0", "{long}": 1, "metadata": {{"timestamp": "{long}"}}}}"#);
    let notes = read(noted.as_bytes()).unwrap().notes;
    assert!(notes.iter().all(|note| note.len() < 500), "{notes:?}");
    let fields: Vec<String> = (0..500).map(|n| format!(r#""field_{n}": 1"#)).collect();
    let many = format!(r#"{{"schema_version": "2.0", {}}}"#, fields.join(", "));
    let notes = read(many.as_bytes()).unwrap().notes;
    assert!(notes.len() < 210 && notes.iter().any(|note| note.contains("300 times")), "{}", notes.len());
}

#[test]
fn a_document_cut_anywhere_is_refused() {
    let whole = document(&mut Choices(5), Fields::Some).to_string();
    for end in (0..whole.len()).step_by(97).filter(|&end| whole.is_char_boundary(end)) {
        assert!(read(&whole.as_bytes()[..end]).is_err(), "cut at byte {end}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes);
    }

    #[test]
    fn no_damage_makes_it_panic(seed: u64, at in any::<prop::sample::Index>(), byte: u8) {
        let mut text = document(&mut Choices(seed), Fields::Some).to_string().into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        if let Ok(loaded) = read(&text) {
            let mut out = Vec::new();
            if vramscope_schema::write(&loaded.profile, &mut out).is_ok() {
                prop_assert_eq!(read(&out).unwrap().profile, loaded.profile);
            }
        }
    }
}
