//! The earlier profilers' guides themselves, where they are at hand: every key of every JSON block is still under its
//! name after a migration, and the `jq` lines that are tested are those that are printed.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::jq;

/// The guides' folder. `None`, said aloud, where it is absent on a developer's machine; in CI its absence is a failure.
fn guides() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/guides");
    if folder.exists() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is absent; CI needs it", folder.display());
    skipped(&folder);
    None
}

#[expect(clippy::print_stderr, reason = "a test that did not run says so")]
fn skipped(folder: &Path) {
    eprintln!("skipped: {} is absent", folder.display());
}

/// The fenced blocks of a guide in one language.
fn blocks(guide: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    guide.split(&fence).skip(1).filter_map(|rest| rest.split_once("```")).map(|(block, _)| block.to_owned()).collect()
}

/// A printed block as JSON: comments and ellipses stand for what is left out.
fn as_json(block: &str) -> Value {
    let mut text = block.replace("[...]", "[]");
    while let Some((before, rest)) = text.split_once("/*") {
        let (_, after) = rest.split_once("*/").unwrap();
        text = format!("{before}{after}");
    }
    let kept: Vec<&str> = text.lines().filter(|line| line.trim() != "...").collect();
    let text = kept.join("\n").replace("},\n    ]", "}\n    ]");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Every key path of a block; the first element stands for a list.
fn paths(value: &Value, path: &str, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| paths(value, &format!("{path}/{key}"), into)),
        Value::Array(list) => list.iter().take(1).for_each(|element| paths(element, &format!("{path}/0"), into)),
        _ => into.push(path.to_owned()),
    }
}

#[test]
fn every_key_of_every_block_is_still_there() {
    let Some(folder) = guides() else { return };
    let versions =
        [("memory-scripts-v1.md", None), ("profiling-guide-v2.md", Some("2.0")), ("profiler-v3.md", Some("3.0"))];
    let mut seen = 0;
    for (name, version) in versions {
        let guide = fs::read_to_string(folder.join(name)).unwrap();
        for block in blocks(&guide, "json") {
            let mut document = as_json(&block);
            if let Some(version) = version {
                document["schema_version"] = json!(version);
            }
            let loaded = vramscope_schema::read(document.to_string().as_bytes()).unwrap();
            let unknown: Vec<&String> = loaded.notes.iter().filter(|note| note.contains("not known here")).collect();
            assert!(unknown.is_empty(), "{name}: {unknown:?}");
            let migrated: Value = serde_json::from_str(&crate::text(&loaded.profile)).unwrap();
            let mut keys = Vec::new();
            paths(&document, "", &mut keys);
            for key in &keys {
                assert!(migrated.pointer(key).is_some_and(|v| !v.is_null()), "{name}: {key} is lost");
            }
            seen += keys.len();
        }
    }
    assert!(seen > 70, "only {seen} keys found in the guides");
}

#[test]
fn the_lines_that_are_tested_are_those_that_are_printed() {
    let Some(folder) = guides() else { return };
    let mut printed = 0;
    for name in ["memory-scripts-v1.md", "profiling-guide-v2.md", "profiler-v3.md", "torch-profiler-guide.md"] {
        let guide = fs::read_to_string(folder.join(name)).unwrap();
        // Everything between the quotes of `jq '…'` or `jq -s '…'`.
        for rest in guide.split("jq ").skip(1).filter(|rest| rest.starts_with('\'') || rest.starts_with('-')) {
            let line = rest.split('\'').nth(1).unwrap();
            let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            let line_words = words(line);
            let known = |known: &str| {
                let known = words(known);
                line_words == known || line_words.ends_with(&format!(", {known}"))
            };
            let known = jq::all().any(known);
            assert!(known || jq::OF_NO_DOCUMENT.contains(&line), "{name}: {line} is not tested");
            printed += 1;
        }
    }
    assert!(printed >= 10, "only {printed} lines found in the guides");
}
