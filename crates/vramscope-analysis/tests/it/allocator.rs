//! Snapshots of PyTorch's allocator beside the readings of the device: vLLM 0.33.0 with an 8B model on an H200.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use vramscope_schema::v3::{AllocatorLedger, MemoryBreakdown, PartKind, Profile, SourceKind};

use crate::{analyze, root};

/// Readings of a tool that reads once a second.
const EACH_SECOND: usize = 50;

/// A folder with the recording, of its readings each so many, and with these snapshots.
fn recording(each: usize, has_log: bool, snapshots: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/data/allocator");
    let readings = vramscope_runs::read_whole(&data.join("gpu.csv.gz"), 1 << 20).unwrap();
    let lines = std::str::from_utf8(&readings).unwrap().lines().enumerate();
    let some: Vec<&str> = lines.filter(|(n, _)| *n == 0 || n % each == 1 % each).map(|(_, line)| line).collect();
    fs::write(folder.path().join("gpu.csv"), some.join("\n") + "\n").unwrap();
    fs::copy(data.join("config.json"), folder.path().join("config.json")).unwrap();
    if has_log {
        fs::copy(data.join("vllm.log"), folder.path().join("vllm.log")).unwrap();
    }
    let recorded = root().join("crates/vramscope-snapshot/tests/it/data");
    for name in snapshots {
        let name = format!("{name}.pickle.gz");
        fs::copy(recorded.join(&name), folder.path().join(&name)).unwrap();
    }
    folder
}

fn breakdown(profile: &Profile) -> &MemoryBreakdown {
    profile.memory_breakdown.as_ref().unwrap()
}

fn residual(profile: &Profile) -> u64 {
    breakdown(profile).residual_bytes.unwrap().unsigned_abs()
}

/// How activations were found, and their size.
fn activations(profile: &Profile) -> (&str, u64) {
    let parts = &breakdown(profile).components;
    let part = parts.iter().find(|part| part.kind == PartKind::Activations).unwrap();
    (&part.method, part.size_bytes)
}

fn adds_up(ledger: &AllocatorLedger) {
    let parts: u64 = ledger.parts.iter().map(|part| part.size_bytes).sum();
    assert_eq!(parts + ledger.releasable_bytes + ledger.split_bytes, ledger.reserved_bytes, "{}", ledger.file);
    let outside = [ledger.baseline_bytes, ledger.runtime_context_bytes, ledger.collectives_bytes];
    let outside: u64 = outside.into_iter().flatten().sum();
    let sum = i128::from(ledger.reserved_bytes + outside) + i128::from(ledger.unexplained_bytes.unwrap());
    assert_eq!(sum, i128::from(ledger.used_bytes.unwrap()), "{}", ledger.file);
}

#[test]
fn a_snapshot_at_the_peak_explains_what_readings_of_each_second_leave_open() {
    let without = analyze(recording(EACH_SECOND, true, &[]).path()).unwrap();
    let with = analyze(recording(EACH_SECOND, true, &["vllm-8b-oom"]).path()).unwrap();
    assert!(residual(&without) > 3 << 30, "too few readings show no level after the pool");
    assert!(residual(&with) * 3 <= residual(&without), "{} of {}", residual(&with), residual(&without));
    assert_eq!(activations(&with).0, "allocator_snapshot");
    let sources = with.metadata.sources.iter();
    assert_eq!(sources.filter(|source| source.kind == SourceKind::AllocatorSnapshot).count(), 1);
}

#[test]
fn the_ledger_of_a_rank_leaves_less_than_a_hundredth_of_the_peak() {
    let profile = analyze(recording(1, true, &["vllm-8b-oom", "vllm-8b-captured"]).path()).unwrap();
    let peak = breakdown(&profile).total_measured_bytes.unwrap();
    let [captured, oom] = &breakdown(&profile).allocator[..] else { panic!("one a snapshot, in the order of time") };
    for ledger in [captured, oom] {
        adds_up(ledger);
        assert!(ledger.unexplained_bytes.unwrap().unsigned_abs() * 100 <= peak, "{ledger:?}");
    }
    assert_eq!((captured.at_peak, oom.at_peak), (Some(false), Some(true)));
    // What the driver had left, as torch's own observer of the out-of-memory was told, of 150109880320 bytes.
    assert_eq!(oom.used_bytes, Some(150_109_880_320 - 9_977_331_712));
    let part = |name: &str| oom.parts.iter().find(|part| part.part.as_deref() == Some(name)).unwrap().size_bytes;
    // Tensors of the cache, as the worker counted them; parameters, and tables of the rotary embedding.
    assert_eq!(part("KV cache"), 118_528_933_888);
    let weights = part("weights") + part("rotary tables");
    assert!(weights.abs_diff(16_060_522_496 + 33_554_944) < 32 << 20, "{weights}");
}

/// Two ways that know nothing of each other: by how far the device rose, and by what the allocator has.
#[test]
fn activations_inside_the_allocator_are_those_that_the_device_rose_by() {
    let by_rise = analyze(recording(1, true, &[]).path()).unwrap();
    let inside = analyze(recording(1, true, &["vllm-8b-oom"]).path()).unwrap();
    assert_eq!((activations(&by_rise).0, activations(&inside).0), ("rise_after_pool", "allocator_snapshot"));
    assert!(activations(&by_rise).1.abs_diff(activations(&inside).1) < 32 << 20);
    assert!(residual(&inside) < 32 << 20);
}

#[test]
fn a_snapshot_of_another_moment_tells_nothing_of_the_peak() {
    let without = analyze(recording(1, true, &[]).path()).unwrap();
    let with = analyze(recording(1, true, &["vllm-8b-captured"]).path()).unwrap();
    assert_eq!(breakdown(&with).components, breakdown(&without).components);
    assert_eq!(breakdown(&with).allocator[0].at_peak, Some(false));
}

#[test]
fn a_reading_of_less_than_the_allocator_counts_is_of_an_engine_that_sleeps_and_not_of_the_snapshot() {
    let profile = analyze(recording(1, true, &["vllm-8b-asleep"]).path()).unwrap();
    let ledger = &breakdown(&profile).allocator[0];
    assert_eq!((ledger.used_bytes, ledger.unexplained_bytes, ledger.at_peak), (None, None, None));
    let parts: u64 = ledger.parts.iter().map(|part| part.size_bytes).sum();
    assert_eq!(parts + ledger.releasable_bytes + ledger.split_bytes, ledger.reserved_bytes);
}

#[test]
fn without_a_log_the_allocator_tells_the_parts() {
    let without = analyze(recording(1, false, &[]).path()).unwrap();
    let with = analyze(recording(1, false, &["vllm-8b-oom"]).path()).unwrap();
    assert!(residual(&with) * 3 <= residual(&without), "{} of {}", residual(&with), residual(&without));
    assert_eq!(breakdown(&with).kv_cache_bytes, Some(118_528_933_888));
}

#[test]
fn a_pickle_of_something_else_is_noted_and_left_out() {
    let folder = recording(EACH_SECOND, true, &[]);
    fs::write(folder.path().join("prompts.pickle"), b"\x80\x04]\x94.").unwrap();
    fs::write(folder.path().join("model.pickle"), b"\x80\x04cos\nsystem\n.").unwrap();
    let profile = analyze(folder.path()).unwrap();
    assert_eq!(breakdown(&profile).allocator, []);
    for file in ["model.pickle", "prompts.pickle"] {
        assert!(profile.metadata.notes.iter().any(|note| note.contains(file)), "{:?}", profile.metadata.notes);
    }
    let folder = folder.path().display().to_string();
    assert!(!profile.metadata.notes.iter().any(|note| note.contains(&folder)), "{:?}", profile.metadata.notes);
}
