//! Documents of programs that do not exist yet.

use serde_json::{Value, json};
use vramscope_schema::{ReadError, Version, WriteError, read, write};

fn document(version: &str) -> Value {
    json!({
        "profiler_version": version,
        "schema_version": version,
        "generator": {"name": "vramscope", "version": "9.9.9"},
        "metadata": {"status": "complete"},
        "memory_breakdown": {"baseline_bytes": 5_000_000_000_u64, "baseline_gb": 5.0},
        "diagnostics": [
            {"code": "a", "severity": "info", "message": "m"},
            {"code": "b", "severity": "info", "message": "m"},
        ],
    })
}

#[test]
fn a_newer_minor_is_read_noted_and_never_written_back() {
    let mut newer = document("3.2");
    newer["metadata"]["mood"] = json!("good");
    newer["memory_breakdown"]["swap_bytes"] = json!(7);
    newer["memory_breakdown"]["swap_gb"] = json!(0.0);
    for diagnostic in newer["diagnostics"].as_array_mut().unwrap() {
        diagnostic["rank"] = json!(1);
    }
    let loaded = read(newer.to_string().as_bytes()).unwrap();
    assert_eq!(loaded.from, Version { major: 3, minor: 2 });
    assert_eq!(
        loaded.notes,
        [
            "diagnostics[].rank is not known here (the document is of version 3.2, 2 times); it is left out",
            "memory_breakdown.swap_bytes (7) is not known here (the document is of version 3.2); it is left out",
            "metadata.mood is not known here (the document is of version 3.2); it is left out",
        ]
    );
    assert_eq!(loaded.profile.memory_breakdown.as_ref().unwrap().baseline_bytes, Some(5_000_000_000));
    let refused = write(&loaded.profile, Vec::new()).unwrap_err();
    assert!(matches!(&refused, WriteError::OtherVersion { found } if found == "3.2"), "{refused}");
}

#[test]
fn a_newer_major_is_refused_by_both_names() {
    for version in ["4.0", "17.3"] {
        let error = read(document(version).to_string().as_bytes()).unwrap_err();
        assert!(matches!(error, ReadError::NewerMajor { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains(version) && message.contains("3.1"), "{message}");
    }
}

#[test]
fn a_newer_major_is_refused_whatever_else_it_holds() {
    let text = r#"{"memory_breakdown": "all of it", "schema_version": "4.0"}"#;
    assert!(matches!(read(text.as_bytes()), Err(ReadError::NewerMajor { .. })));
}

#[test]
fn an_unknown_field_of_our_own_version_is_noted() {
    let mut typo = document("3.1");
    typo["memory_brakedown"] = json!({});
    let loaded = read(typo.to_string().as_bytes()).unwrap();
    assert_eq!(loaded.notes.len(), 1);
    assert!(loaded.notes[0].starts_with("memory_brakedown is not known here"), "{:?}", loaded.notes);
}
