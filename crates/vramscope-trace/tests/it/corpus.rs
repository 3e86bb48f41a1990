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
    for time in summary.devices.iter().flat_map(|device| [Some(device.whole), device.steps]).flatten() {
        assert_eq!(time.busy_ns + time.idle_ns, time.span_ns);
        assert_eq!(time.idle_by_cause_ns.iter().sum::<u64>(), time.idle_ns);
    }
    // The verdict says no other share than the figures of the devices do.
    let judged = summary
        .devices
        .iter()
        .filter_map(|device| if summary.verdict.within_steps { device.steps } else { Some(device.whole) });
    let (busy, span) = judged.fold((0, 0), |sum, time| (sum.0 + time.busy_ns, sum.1 + time.span_ns));
    for told in summary.verdict.evidence.iter().filter(|evidence| evidence.name == "busy") {
        #[expect(clippy::cast_precision_loss, reason = "times below 2^53 ns")]
        let share = busy as f64 / span as f64;
        assert!((told.share - share).abs() < 1e-12, "{}", trace.display());
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
fn recorded_traces_have_the_verdicts_that_their_figures_ask_for() {
    let Some(folder) = shared("corpus/kineto") else { return };
    for (name, bound) in [
        ("a100-alexnet-cudasync", "cpu_bound"),
        ("a100-diff-control", "mixed"),
        ("a100-nccl-2rank", "cpu_bound"),
        ("b200-eager-tp8-rank0", "cpu_bound"),
        ("cpu-only", "undetermined"),
        // Kernels launched before the step ran in its first 12 ms.
        ("h100-qwen1.5-0.5b-chat", "gpu_bound"),
        ("mi300-qwen1.5-0.5b-chat", "gpu_bound"),
        ("hta-sampled-rank0", "mixed"),
        ("hta-sampled-rank1", "mixed"),
        ("sglang-mi300-qwen3-8b-decode", "mixed"),
        ("v100-diff-test", "gpu_bound"),
        ("vllm-mi300-decode-fullgraph", "cpu_bound"),
        ("vllm-mi300-graph-capture.pt.trace", "cpu_bound"),
    ] {
        let trace = folder.join(format!("{name}.json.gz"));
        let verdict = summarize(&Source::file(&trace), &Options::default()).unwrap().verdict;
        let shares: Vec<(&str, f64)> = verdict.evidence.iter().map(|one| (one.name, one.share)).collect();
        assert_eq!(verdict.bound.name(), bound, "{name}: {shares:?}");
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
