use std::fs;
use std::path::Path;
use std::process::Output;

use crate::{stderr, stdout, vramscope};

const OLD: &str = r#"{"memory_breakdown": {"model_weights_gb": 2.5, "framework_overhead_gb": -0.5, "total_gb": 2.0}}"#;

/// Runs `migrate` on a document in a folder of its own.
fn migrate(folder: &Path, document: &[u8], to: Option<&str>) -> Output {
    let old = folder.join("old.json");
    fs::write(&old, document).expect("the folder takes a file");
    let new = to.map(|name| folder.join(name).display().to_string());
    let old = old.display().to_string();
    let mut args = vec!["migrate", old.as_str()];
    args.extend(new.iter().flat_map(|new| ["-o", new.as_str()]));
    vramscope(&args)
}

#[test]
fn stdout_carries_the_document_and_stderr_the_notes() {
    let folder = tempfile::tempdir().unwrap();
    let ran = migrate(folder.path(), OLD.as_bytes(), None);
    assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
    let document: serde_json::Value = serde_json::from_str(&stdout(&ran)).unwrap();
    assert_eq!(document["schema_version"], "3.1");
    assert_eq!(document["memory_breakdown"]["residual_bytes"], -(1 << 29));
    let said = stderr(&ran);
    assert!(said.contains("note: ") && said.contains("migrated from 1.0 to 3.1"), "{said}");
}

#[test]
fn a_file_holds_what_stdout_would_and_nothing_is_left_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let printed = stdout(&migrate(folder.path(), OLD.as_bytes(), None));
    let ran = migrate(folder.path(), OLD.as_bytes(), Some("new.json"));
    assert_eq!((ran.status.code(), stdout(&ran).as_str()), (Some(0), ""), "{}", stderr(&ran));
    assert_eq!(fs::read_to_string(folder.path().join("new.json")).unwrap(), printed);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "a temporary file was left");
}

#[test]
fn the_current_version_passes_through_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let first = stdout(&migrate(folder.path(), OLD.as_bytes(), None));
    let second = migrate(folder.path(), first.as_bytes(), None);
    assert_eq!(stdout(&second), first);
    assert!(stderr(&second).contains("already of version 3.1"), "{}", stderr(&second));
}

#[test]
fn what_cannot_be_read_leaves_an_existing_result_alone() {
    let folder = tempfile::tempdir().unwrap();
    let new = folder.path().join("new.json");
    fs::write(&new, "precious").unwrap();
    let cases: [(&[u8], i32, &str); 6] = [
        (b"", 3, "it is empty"),
        (b"\x7fELF\0\0", 3, "line 1, column 1 cannot be read as JSON"),
        (b"{\"memory_breakdown\": {\"total_gb\": 1", 3, "cannot be read as JSON"),
        (b"{\"memory_breakdown\": {\"total_gb\": -1}}", 3, "memory_breakdown.total_gb"),
        (b"{\"schema_version\": \"4.0\"}", 5, "it is of version 4.0, and this program reads up to 3.1"),
        (b"[]", 3, "no profile"),
    ];
    for (document, code, words) in cases {
        let ran = migrate(folder.path(), document, Some("new.json"));
        let said = stderr(&ran);
        assert_eq!(ran.status.code(), Some(code), "{said}");
        assert!(said.contains(words) && said.contains("old.json"), "{said}");
        assert_eq!(fs::read_to_string(&new).unwrap(), "precious");
    }
}

#[test]
fn a_newer_minor_is_never_written_back() {
    let folder = tempfile::tempdir().unwrap();
    let current = stdout(&migrate(folder.path(), OLD.as_bytes(), None));
    let newer = current.replace("\"schema_version\": \"3.1\"", "\"schema_version\": \"3.7\"");
    let ran = migrate(folder.path(), newer.as_bytes(), Some("new.json"));
    assert_eq!(ran.status.code(), Some(5));
    assert!(stderr(&ran).contains("it is of version 3.7, and only 3.1 is written here"), "{}", stderr(&ran));
    assert!(!folder.path().join("new.json").exists());
}

#[test]
fn an_error_says_each_thing_once() {
    let ran = vramscope(&["migrate", "no-such-file.json"]);
    assert_eq!(ran.status.code(), Some(3));
    let said = stderr(&ran);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "error: could not read no-such-file.json");
    assert!(lines.len() == 2 && lines[1].starts_with("  because: "), "{said}");
}
