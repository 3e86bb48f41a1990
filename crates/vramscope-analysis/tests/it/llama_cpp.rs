//! Runs of a real llama-server: what it holds, where, and what the driver counted.

use std::fs;
use std::path::Path;

use vramscope_analysis::{Evidence, assemble};
use vramscope_runs::EvidenceFiles;
use vramscope_schema::v3::{Generator, MemoryBreakdown, PartKind, Profile};

use crate::shared;

const MIB: f64 = 1024.0 * 1024.0;

/// A run with this log, and the driver's samples where there are some.
fn run(log: &Path, gpu: Option<&Path>) -> Profile {
    let files = EvidenceFiles {
        engine_logs: vec![log.to_owned()],
        gpu_logs: gpu.map(Path::to_owned).into_iter().collect(),
        ..EvidenceFiles::default()
    };
    let evidence = Evidence::load(&files, &mut |_, _| {}).unwrap();
    assemble(&evidence, Generator { name: "test".into(), version: "0".into() }).unwrap()
}

/// A log, whatever bytes a random model's text has.
fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
}

fn mib(bytes: u64) -> f64 {
    vramscope_core::Bytes::new(bytes).as_f64() / MIB
}

/// The part of a place, by the engine's name for it.
fn part(breakdown: &MemoryBreakdown, place: &str, kind: PartKind) -> Option<f64> {
    let place = breakdown.places.iter().find(|found| found.place.as_deref() == Some(place))?;
    Some(mib(place.components.iter().find(|part| part.kind == kind)?.size_bytes))
}

/// What the log's lines of allocations print, summed by place and kind: those behind the trial, read here by themselves.
fn printed(log: &str) -> Vec<(String, &'static str, f64)> {
    let behind = log.find("fitting params to free memory took").map_or(log, |at| &log[at..]);
    let kinds = [" model buffer size = ", " KV buffer size = ", " RS buffer size = ", " output buffer size = "];
    let mut all: Vec<(String, &'static str, f64)> = Vec::new();
    for line in behind.lines() {
        let Some(kind) = kinds.into_iter().find(|kind| line.contains(kind)) else { continue };
        let (before, after) = line.split_once(kind).unwrap();
        let amount: f64 = after.trim().split(' ').next().unwrap().parse().unwrap();
        all.push((before.split_whitespace().last().unwrap().to_owned(), kind, amount));
    }
    all
}

/// An H200, every buffer printed: 2098.80 MiB of weights, 512 of KV cache, 116.01 to compute in, 609 beside them by the
/// server's own count, 3336.8 by the driver's.
#[test]
fn parts_and_what_the_driver_counts_agree_on_a_gpu() {
    let Some(runs) = shared("corpus/engines/llama-cuda-runs") else { return };
    let run = run(&runs.join("lc-half8b-q4k-verbose/llama.log"), Some(&runs.join("lc-half8b-q4k-verbose/gpu.csv")));
    assert_eq!(run.engine_metadata.as_ref().unwrap().engine_type.as_deref(), Some("llama.cpp"));
    assert!(run.vllm_internal_metrics.is_none());
    let reported = run.engine_reported.as_ref().unwrap();
    assert_eq!((reported.layers_on_device, reported.layers, reported.max_model_len), (Some(17), Some(17), Some(8192)));
    let breakdown = run.memory_breakdown.unwrap();
    let near = |found: Option<u64>, expected: f64| {
        let found = mib(found.unwrap());
        assert!((found - expected).abs() < 0.01, "{found} is not {expected}");
    };
    near(breakdown.model_weights_bytes, 2098.80);
    near(breakdown.kv_cache_bytes, 512.0);
    near(breakdown.compute_buffers_bytes, 116.01);
    // 609 as printed, less 0.3125 that was in use before it came.
    near(breakdown.runtime_context_bytes, 608.6875);
    near(breakdown.total_measured_bytes, 3336.8125);
    assert!(breakdown.residual_percentage.unwrap().abs() < 0.2, "{:?}", breakdown.residual_percentage);
    assert_eq!(breakdown.places[0].gpu, Some(1), "the driver numbers it 1, the server 0");
    assert!((part(&breakdown, "CPU_Mapped", PartKind::ModelWeights).unwrap() - 70.31).abs() < 0.01);
    let on_host = breakdown.places.iter().find(|place| place.place.as_deref() == Some("CUDA_Host")).unwrap();
    assert!(on_host.on_host && on_host.gpu.is_none(), "nothing measured the host");
}

/// At its default verbosity the server prints nothing of memory: that is said first, and no part is invented.
#[test]
fn a_log_without_memory_gives_no_part_and_the_advice_that_gives_some() {
    let Some(runs) = shared("corpus/engines/llama-cuda-runs") else { return };
    let mut seen = 0;
    for folder in fs::read_dir(&runs).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        let profile = run(&folder.join("llama.log"), Some(&folder.join("gpu.csv")));
        let breakdown = profile.memory_breakdown.as_ref().unwrap();
        let found = profile.diagnostics.as_deref().unwrap();
        let silent = found.iter().any(|found| found.code == "engine_prints_no_memory");
        assert_eq!(silent, breakdown.places.is_empty() && profile.failure.is_none(), "{}", folder.display());
        if silent {
            assert!(found[0].advice.as_deref().unwrap().contains("-lv 4"), "{}: {found:?}", folder.display());
            assert!(breakdown.components.is_empty(), "{}", folder.display());
            seen += 1;
        }
        let advice = found.iter().filter_map(|found| found.advice.as_deref());
        assert!(advice.into_iter().all(|advice| !advice.to_lowercase().contains("vllm")), "{}", folder.display());
    }
    assert!(seen >= 8, "{seen} logs of the default verbosity");
}

/// Every run on host memory and on a software device: parts are what the lines of allocations print, and no forecast.
#[test]
fn what_lies_where_is_what_was_allocated_and_no_forecast() {
    let Some(runs) = shared("corpus/engines/llama-server-runs") else { return };
    let mut seen = 0;
    for path in fs::read_dir(&runs).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // Those of the server itself: other programs print otherwise.
        if !name.starts_with("b10434") || path.extension().is_none_or(|end| end != "log") {
            continue;
        }
        let profile = run(&path, None);
        let log = text(&path);
        let printed = printed(&log);
        let Some(breakdown) = profile.memory_breakdown else {
            assert!(printed.is_empty(), "{name}: {printed:?}");
            continue;
        };
        for kind in [PartKind::ModelWeights, PartKind::KvCache, PartKind::OutputBuffers] {
            let word = match kind {
                PartKind::ModelWeights => " model buffer size = ",
                PartKind::KvCache => " KV buffer size = ",
                _ => " output buffer size = ",
            };
            for place in breakdown.places.iter().filter_map(|place| place.place.clone()) {
                let sum: f64 =
                    printed.iter().filter(|(at, of, _)| *at == place && *of == word).map(|(.., mib)| mib).sum();
                let found = part(&breakdown, &place, kind).unwrap_or(0.0);
                assert!((found - sum).abs() < 0.011, "{name}: {kind:?} of {place}: {found} is not {sum}");
            }
        }
        let software = breakdown.places.iter().filter(|place| place.software == Some(true)).count();
        let is_printed = printed.iter().any(|(at, ..)| at == "Vulkan0") || log.contains("Vulkan0 compute buffer");
        assert_eq!(software > 0, name.contains("-vk-") && is_printed, "{name}");
        seen += 1;
    }
    assert!(seen >= 24, "{seen} runs");
}
