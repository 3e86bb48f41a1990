//! Recorded traces against the plain facts that an exact reader found in them.

use std::path::{Path, PathBuf};

use serde_json::Value;
use vramscope_trace::document::{Exact, Extract, TraceDocument};
use vramscope_trace::{Oddity, Options, Source, summarize};

/// A folder beside the workspace, or `None` with a message where it is absent. In CI its absence is a failure.
fn shared(folder: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(folder);
    if path.is_dir() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is absent", path.display());
    eprintln!("skipped: {} is absent", path.display());
    None
}

/// All pairs of a trace and its facts in a folder.
fn traces(folder: &Path) -> Vec<(PathBuf, Value)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let facts = entry.unwrap().path();
        let name = facts.file_name().unwrap().to_string_lossy().into_owned();
        let Some(stem) = name.strip_suffix(".expected.json") else { continue };
        let expected: Value = serde_json::from_slice(&std::fs::read(&facts).unwrap()).unwrap();
        found.push((folder.join(format!("{stem}.json.gz")), expected["exact"].clone()));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn check(trace: &Path, expected: &Value, options: &Options) {
    let summary = summarize(&Source::file(trace), options).unwrap();
    // Some were recorded with counts of FLOPs, which no trace holds.
    let odd: Vec<Oddity> = summary.notes.iter().map(|(oddity, _)| oddity).filter(|o| *o != Oddity::NoFlops).collect();
    assert!(odd.is_empty(), "{}: {odd:?}", trace.display());
    assert_eq!(summary.notes.count(Oddity::NoFlops) > 0, summary.info.with_flops == Some(true), "{}", trace.display());
    let found = serde_json::to_value(Exact::of(&summary)).unwrap();
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&found[key], value, "{}: {key}", trace.display());
    }
    for device in &summary.devices {
        assert_eq!(device.whole.busy_ns + device.whole.idle_ns, device.whole.span_ns);
    }
    let sum: u64 = summary.categories.iter().map(|category| category.total_ns).sum();
    assert_eq!(sum, summary.kernel_totals.time_ns);
}

#[test]
fn every_recorded_trace_is_read_to_the_nanosecond() {
    for folder in ["corpus/kineto", "corpus/h200/trace-l1b-eager"] {
        let Some(folder) = shared(folder) else { return };
        let traces = traces(&folder);
        assert!(!traces.is_empty());
        for (trace, expected) in &traces {
            check(trace, expected, &Options::default());
        }
    }
}

#[test]
fn the_manner_of_reading_does_not_change_the_document() {
    let Some(folder) = shared("corpus/kineto") else { return };
    let document = |trace: &Path, options: &Options| {
        let summary = summarize(&Source::file(trace), options).unwrap();
        TraceDocument::of(&summary, None, Extract { top: usize::MAX, steps: usize::MAX })
    };
    let small = |trace: &Path| std::fs::metadata(trace).unwrap().len() < 500_000;
    for (trace, _) in traces(&folder).into_iter().filter(|(trace, _)| small(trace)) {
        let plain = document(&trace, &Options { threads: 1, stacks: true, ..Options::default() });
        for (threads, block_bytes, memory_bytes) in [(2, 1 << 14, 0), (1, 1 << 17, 1 << 16), (1, 4096, 0)] {
            let working_folder = Some(std::env::temp_dir());
            let options =
                Options { threads, block_bytes, memory_bytes, working_folder, stacks: true, ..Options::default() };
            assert_eq!(document(&trace, &options), plain, "{} {threads} {block_bytes}", trace.display());
        }
    }
}
