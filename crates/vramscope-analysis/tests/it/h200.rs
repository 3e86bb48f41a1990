//! Real recordings against figures that were read inside the worker.

use std::fs;
use std::path::Path;

use serde_json::Value;
use vramscope_schema::v3::{PartKind, Phase, Profile, RunStatus};

use crate::{analyze, root, shared};

/// The worker's own figures.
fn truth(folder: &Path) -> Option<Value> {
    let bytes = fs::read(folder.join("truth.json")).ok()?;
    Some(serde_json::from_slice(&bytes).unwrap())
}

/// Recordings that travel with the crate, so that a clone alone tests the truth; with the whole corpus beside the checkout,
/// all of them.
fn each_recording(check: impl Fn(&str, &Path, &Profile)) {
    let own = root().join("crates/vramscope-analysis/tests/it/data/h200");
    let corpus = [(Some(own), 10), (shared("corpus/h200"), 26)];
    for (corpus, least) in corpus.into_iter().filter_map(|(corpus, least)| Some((corpus?, least))) {
        let mut seen = 0;
        for entry in fs::read_dir(corpus).unwrap() {
            let folder = entry.unwrap().path();
            if ["vllm.log", "vllm.log.zst"].iter().any(|log| folder.join(log).exists()) {
                let name = folder.file_name().unwrap().to_string_lossy().into_owned();
                check(&name, &folder, &analyze(&folder).unwrap());
                seen += 1;
            }
        }
        assert!(seen >= least, "only {seen} recordings");
    }
}

fn share(ours: Option<u64>, theirs: &Value) -> Option<f64> {
    let (ours, theirs) = (ours?, theirs.as_u64()?);
    Some((i128::from(ours) - i128::from(theirs)) as f64 / theirs as f64 * 100.0)
}

#[test]
fn weights_and_pool_are_the_workers() {
    each_recording(|name, folder, profile| {
        let Some(truth) = truth(folder) else { return };
        let breakdown = profile.memory_breakdown.as_ref().unwrap();
        let weights = share(breakdown.model_weights_bytes, &truth["model_memory_usage"]).unwrap();
        assert!(weights.abs() <= 0.5, "{name}: weights {weights:+.3} %");
        let pool = share(breakdown.kv_cache_bytes, &truth["kv_tensor_bytes"]).unwrap();
        assert!(pool.abs() <= 0.01, "{name}: KV pool {pool:+.4} %");
        if let Some(blocks) = profile.vllm_internal_metrics.as_ref().unwrap().num_gpu_blocks {
            assert_eq!(Some(blocks), truth["num_gpu_blocks"].as_u64(), "{name}: blocks");
        }
    });
}

#[test]
fn the_profile_runs_peak_follows_from_the_log() {
    each_recording(|name, folder, profile| {
        let Some(truth) = truth(folder) else { return };
        let ours = profile.vllm_internal_metrics.as_ref().unwrap().activations_bytes;
        match share(ours, &truth["peak_activation_memory"]) {
            Some(error) => assert!(error.abs() <= 1.0, "{name}: {error:+.3} %"),
            None => assert!(truth["peak_activation_memory"].is_null(), "{name}: no figure where the worker has one"),
        }
    });
}

#[test]
fn the_peak_is_explained_to_the_byte_and_a_large_residual_in_words() {
    each_recording(|name, _, profile| {
        let b = profile.memory_breakdown.as_ref().unwrap();
        let sum: i128 = b.components.iter().map(|c| i128::from(c.size_bytes)).sum();
        let whole = i128::from(b.baseline_bytes.unwrap()) + sum + i128::from(b.residual_bytes.unwrap());
        assert_eq!(whole, i128::from(b.total_measured_bytes.unwrap()), "{name}");
        for device in &b.per_device {
            let sum: i128 = device.components.iter().map(|c| i128::from(c.size_bytes)).sum();
            let whole = i128::from(device.baseline_bytes) + sum + i128::from(device.residual_bytes);
            assert_eq!(whole, i128::from(device.peak_bytes), "{name}, device {}", device.gpu);
        }
        let residual = b.residual_percentage.unwrap();
        let explained = profile.diagnostics.iter().flatten().any(|d| d.code == "large_residual");
        assert!(residual.abs() <= 3.0 || explained, "{name}: {residual} % without a word");
    });
}

#[test]
fn phases_follow_one_another_and_cover_the_recording() {
    each_recording(|name, _, profile| {
        let phases = profile.phases.as_ref().unwrap();
        for pair in phases.windows(2) {
            assert!(pair[0].phase < pair[1].phase && pair[0].end_ns == pair[1].start_ns, "{name}: {pair:?}");
        }
        assert_eq!(phases[0].phase, Phase::Baseline, "{name}");
        assert_eq!(phases.last().unwrap().phase, Phase::Settle, "{name}");
    });
}

#[test]
fn marks_from_the_log_alone_are_near_those_of_the_host() {
    each_recording(|name, folder, with| {
        if with.metadata.status != Some(RunStatus::Complete) || !folder.join("marks.json").exists() {
            return;
        }
        let mut files = vramscope_runs::EvidenceFiles::find(folder).unwrap();
        files.marks = None;
        let evidence = vramscope_analysis::Evidence::load(&files, &mut |_, _| {}).unwrap();
        let without = vramscope_analysis::assemble(&evidence, with.generator.clone()).unwrap();
        for phase in [Phase::Load, Phase::Ready, Phase::Settle] {
            let start =
                |p: &Profile| p.phases.iter().flatten().find(|info| info.phase == phase).map(|info| info.start_ns);
            let (a, b) = (start(with).unwrap(), start(&without).unwrap());
            assert!(a.abs_diff(b) <= 2_000_000_000, "{name}: {phase:?} at {a} by the host and {b} by the log");
        }
    });
}

#[test]
fn an_engine_that_failed_says_where_and_why() {
    let Some(corpus) = shared("corpus/h200") else { return };
    let profile = analyze(&corpus.join("fail-kv-too-small")).unwrap();
    assert_eq!(profile.metadata.status, Some(RunStatus::Failed));
    let failure = profile.failure.unwrap();
    assert_eq!(failure.kind, "kv_cache_too_small_for_max_model_len");
    assert_eq!(failure.phase, Some(Phase::Load));
    assert_eq!(failure.numbers.get("estimated_max_model_len_tokens"), Some(90208.0));
    let profile = analyze(&corpus.join("fail-free-memory")).unwrap();
    assert_eq!(profile.failure.unwrap().kind, "free_memory_below_utilization");
    let codes: Vec<&str> = profile.diagnostics.iter().flatten().map(|d| d.code.as_str()).collect();
    assert!(codes.contains(&"other_processes"), "{codes:?}");
    // It ended before it loaded anything: no weights came, and a prediction is no observation of itself.
    let expected = profile.expectation.unwrap();
    let weights = expected.memory.iter().find(|row| row.name == "model_weights").unwrap();
    assert_eq!((weights.observed_bytes, weights.error_pct.is_none()), (None, true));
    assert_eq!(profile.vllm_internal_metrics.unwrap().model_weights_bytes, None);
}

#[test]
fn the_bundled_recordings_are_the_same_runs() {
    for (example, peak_gib) in [("llama-3.1-8b", 131.71), ("noisy-neighbour", 91.49), ("kv-cache-too-small", 18.32)] {
        let profile = analyze(&root().join("examples").join(example)).unwrap();
        let peak = profile.memory_breakdown.unwrap().total_measured_bytes.unwrap() as f64 / f64::from(1 << 30);
        assert!((peak - peak_gib).abs() < 0.005, "{example}: {peak}");
    }
}

#[test]
fn the_same_evidence_gives_the_same_document() {
    let text = || {
        let profile = analyze(&root().join("examples/noisy-neighbour")).unwrap();
        let mut out = Vec::new();
        vramscope_schema::write(&profile, &mut out).unwrap();
        out
    };
    let first = text();
    assert!(first == text(), "two documents of one run differ");
    let again = vramscope_schema::read(&first).unwrap();
    let same = again.profile == analyze(&root().join("examples/noisy-neighbour")).unwrap();
    assert!(same, "what is read is not what was written");
    assert!(again.notes.is_empty(), "{:?}", again.notes);
}

/// vLLM 0.33.0 counts what it consumes: what lies beside the weights is a part of its own, and no figure counts twice.
#[test]
fn what_a_newer_release_keeps_and_tries_is_explained() {
    let Some(corpus) = shared("corpus/h200-033") else { return };
    let mut seen = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        let folder = entry.unwrap().path();
        let (Some(truth), true) = (truth(&folder), folder.join("vllm.log").exists()) else { continue };
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let profile = analyze(&folder).unwrap();
        let breakdown = profile.memory_breakdown.as_ref().unwrap();
        let held = truth["total_consumed"].as_u64().unwrap() - truth["model_memory_usage"].as_u64().unwrap();
        let ours = breakdown.held_bytes.unwrap();
        assert!(ours.abs_diff(held) < 11 << 20, "{name}: held {ours}, the worker {held}");
        let transient = &truth["profile"]["transient_peak_headroom"];
        let metrics = profile.vllm_internal_metrics.as_ref().unwrap();
        let peak = metrics.activations_bytes.unwrap();
        assert!(peak.abs_diff(transient.as_u64().unwrap()) < 11 << 20, "{name}: {peak}, the worker {transient}");
        let residual = breakdown.residual_bytes.unwrap();
        assert!(residual.unsigned_abs() < 32 << 20, "{name}: residual {residual}");
        let taken = &truth["graphs"]["capture_model"]["returned"];
        if let Some(taken) = taken.as_u64() {
            assert!(metrics.cuda_graphs_bytes.unwrap().abs_diff(taken) < 6 << 20, "{name}: graphs that stay, {taken}");
        }
        seen += 1;
    }
    assert!(seen >= 8, "only {seen} recordings");
}

/// Two engines of one rank each, which do not know of each other.
#[test]
fn each_data_parallel_engine_has_its_device() {
    let Some(folder) = shared("corpus/h200-2gpu/dp2-serve-l1b") else { return };
    let profile = analyze(&folder).unwrap();
    let breakdown = profile.memory_breakdown.unwrap();
    assert_eq!(breakdown.per_device.len(), 2);
    for device in &breakdown.per_device {
        let of = |kind| device.components.iter().find(|part| part.kind == kind).map(|part| part.size_bytes);
        let gib = |kind| of(kind).map(|bytes| bytes as f64 / 1_073_741_824.0);
        assert!(gib(PartKind::ModelWeights).is_some_and(|gib| (gib - 2.32).abs() < 0.01), "{device:#?}");
        assert!(gib(PartKind::KvCache).is_some_and(|gib| (gib - 125.27).abs() < 0.01), "{device:#?}");
        assert!(device.residual_bytes.unsigned_abs() < 3 << 29, "{device:#?}");
    }
    assert!(profile.diagnostics.iter().flatten().all(|found| found.code != "ranks_contradict_devices"));
}
