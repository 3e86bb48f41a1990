//! Ollama's memory by place: logs made here in its format beside samples made here, and the public logs.

use vramscope_schema::v3::{Confidence, MemoryBreakdown, PartKind, Profile};

use crate::made_up::{GIB, folder, gpu_csv};
use crate::{analyze, shared};

const MIB: u64 = 1 << 20;

fn tenths(n: u64) -> u64 {
    n * GIB / 10
}

/// A server that loads one model with the engine of its own: 4.1 GiB of weights, 1.8 of cache and 0.9 to compute in on the
/// device, 0.3 of weights on the host.
const LOG: &str = "\
time=2026-11-22T05:00:04.000Z level=INFO source=routes.go:1200 msg=\"Listening on [::]:11434 (version 0.13.5)\"
time=2026-11-22T05:00:04.500Z level=INFO source=types.go:42 msg=\"inference compute\" id=GPU-1111 library=CUDA compute=8.9 name=CUDA0 description=\"Some Card\" total=\"79.5 GiB\" available=\"79.4 GiB\"
time=2026-11-22T05:00:05.000Z level=INFO source=server.go:392 msg=\"starting runner\" cmd=\"/usr/bin/ollama runner --ollama-engine --model /models/blobs/sha256-aa --port 41000\"
time=2026-11-22T05:00:05.100Z level=INFO source=server.go:443 msg=\"system memory\" total=\"62.7 GiB\" free=\"50.5 GiB\" free_swap=\"1.5 GiB\"
time=2026-11-22T05:00:05.100Z level=INFO source=sched.go:450 msg=\"gpu memory\" id=GPU-1111 library=CUDA available=\"78.9 GiB\" free=\"79.4 GiB\" minimum=\"457.0 MiB\" overhead=\"0 B\"
time=2026-11-22T05:00:05.100Z level=INFO source=server.go:702 msg=\"loading model\" \"model layers\"=29 requested=-1
time=2026-11-22T05:00:05.300Z level=INFO source=runner.go:1271 msg=load request=\"{Operation:fit LoraPath:[] Parallel:1 BatchSize:512 FlashAttention:Auto KvSize:8192 KvCacheType: NumThreads:8 GPULayers:29[ID:GPU-1111 Layers:29(0..28)]}\"
time=2026-11-22T05:00:10.000Z level=INFO source=runner.go:1271 msg=load request=\"{Operation:commit LoraPath:[] Parallel:2 BatchSize:512 FlashAttention:Enabled KvSize:16384 KvCacheType:q8_0 NumThreads:8 GPULayers:29[ID:GPU-1111 Layers:29(0..28)]}\"
time=2026-11-22T05:00:10.010Z level=INFO source=ggml.go:494 msg=\"offloaded 29/29 layers to GPU\"
time=2026-11-22T05:00:10.020Z level=INFO source=device.go:240 msg=\"model weights\" device=CUDA0 size=\"4.1 GiB\"
time=2026-11-22T05:00:10.020Z level=INFO source=device.go:245 msg=\"model weights\" device=CPU size=\"304.3 MiB\"
time=2026-11-22T05:00:10.020Z level=INFO source=device.go:251 msg=\"kv cache\" device=CUDA0 size=\"1.8 GiB\"
time=2026-11-22T05:00:10.020Z level=INFO source=device.go:262 msg=\"compute graph\" device=CUDA0 size=\"921.6 MiB\"
time=2026-11-22T05:00:10.020Z level=INFO source=device.go:272 msg=\"total memory\" size=\"7.1 GiB\"
time=2026-11-22T05:00:13.320Z level=INFO source=server.go:1289 msg=\"llama runner started in 8.32 seconds\"
";

fn level(second: u64) -> u64 {
    match second {
        0..=5 => 5 * MIB,
        6..=9 => 505 * MIB,
        10..=49 => 505 * MIB + tenths(68),
        _ => 5 * MIB,
    }
}

fn part(breakdown: &MemoryBreakdown, kind: PartKind) -> Option<(u64, Confidence)> {
    let part = breakdown.components.iter().find(|part| part.kind == kind)?;
    Some((part.size_bytes / MIB, part.confidence))
}

fn profile(log: &str) -> Profile {
    analyze(folder(&[("engine.log", log), ("gpu.csv", &gpu_csv(1, 1, 60, level))]).path()).unwrap()
}

#[test]
fn what_its_runner_keeps_is_taken_apart_by_place_and_the_rest_is_what_stood_before_loading() {
    let profile = profile(LOG);
    assert_eq!(profile.engine_metadata.as_ref().unwrap().engine_type.as_deref(), Some("ollama"));
    let breakdown = profile.memory_breakdown.as_ref().unwrap();
    assert_eq!(part(breakdown, PartKind::ModelWeights), Some((4198, Confidence::Reported)));
    assert_eq!(part(breakdown, PartKind::KvCache), Some((1843, Confidence::Reported)));
    assert_eq!(part(breakdown, PartKind::ComputeBuffers), Some((921, Confidence::Reported)));
    assert_eq!(part(breakdown, PartKind::RuntimeContext), Some((500, Confidence::Measured)));
    assert!(breakdown.residual_bytes.unwrap().unsigned_abs() < MIB, "{:?}", breakdown.residual_bytes);
    let places: Vec<_> =
        breakdown.places.iter().map(|place| (place.place.as_deref().unwrap(), place.on_host, place.gpu)).collect();
    assert_eq!(places, [("CUDA0", false, Some(0)), ("CPU", true, None)], "what it lists by an id is the same device");
    let reported = profile.engine_reported.as_ref().unwrap();
    assert_eq!((reported.layers_on_device, reported.max_model_len), (Some(29), Some(8192)));
    let found = profile.diagnostics.as_deref().unwrap();
    assert!(found.iter().all(|one| one.code != "engine_prints_no_memory"), "{found:?}");
}

/// Engines of llama.cpp are laid out by Ollama before they load; what counts is what they say then.
#[test]
fn a_layout_that_nothing_says_is_kept_is_a_plan_and_no_part() {
    let log: String = LOG.lines().filter(|line| !line.contains("Operation:")).map(|line| format!("{line}\n")).collect();
    let planned = profile(&log);
    let breakdown = planned.memory_breakdown.as_ref().unwrap();
    assert!(breakdown.components.is_empty() && breakdown.places.is_empty(), "{breakdown:?}");
    let note = planned.metadata.notes.iter().find(|note| note.contains("taken for a plan")).unwrap();
    assert!(note.contains("engine.log, line 8"), "{note}");
    let found = planned.diagnostics.as_deref().unwrap();
    let silent = found.iter().find(|one| one.code == "engine_prints_no_memory").unwrap();
    assert!(silent.advice.as_deref().unwrap().contains("OLLAMA_DEBUG=1"));

    let loaded = log
        + "llama_model_loader: loaded meta data with 26 key-value pairs and 291 tensors from /models/blobs/sha256-aa\n\
           load_tensors: offloaded 29/29 layers to GPU\n\
           load_tensors:        CUDA0 model buffer size =  4000.50 MiB\n\
           llama_kv_cache_unified:      CUDA0 KV buffer size =  1800.00 MiB\n\
           llama_context:      CUDA0 compute buffer size =   900.25 MiB\n";
    let loaded = profile(&loaded);
    let breakdown = loaded.memory_breakdown.as_ref().unwrap();
    assert_eq!(part(breakdown, PartKind::ModelWeights), Some((4000, Confidence::Reported)));
    assert_eq!(part(breakdown, PartKind::KvCache), Some((1800, Confidence::Reported)));
    assert_eq!(part(breakdown, PartKind::ComputeBuffers), Some((900, Confidence::Reported)));
    assert!(loaded.metadata.notes.iter().all(|note| !note.contains("taken for a plan")));
}

#[test]
fn a_runner_of_which_nothing_stood_before_loading_has_no_context_of_zero() {
    let at_once = |second| match second {
        0..=9 => 5 * MIB,
        10..=49 => 505 * MIB + tenths(68),
        _ => 5 * MIB,
    };
    let files = [("engine.log", LOG), ("gpu.csv", &gpu_csv(1, 1, 60, at_once)[..])];
    let profile = analyze(folder(&files).path()).unwrap();
    let breakdown = profile.memory_breakdown.as_ref().unwrap();
    assert_eq!(part(breakdown, PartKind::RuntimeContext), None);
    assert_eq!(breakdown.residual_bytes.map(|bytes| bytes.unsigned_abs() / MIB), Some(500));
}

/// One of them prints what its runner keeps; the others plan.
#[test]
fn public_logs_give_what_was_kept_and_nothing_that_was_planned() {
    let Some(logs) = shared("corpus/engines/ollama") else { return };
    for name in ["002", "004", "006", "008", "010", "012"] {
        let log = std::fs::read_to_string(logs.join(format!("{name}.log"))).unwrap();
        let profile = analyze(folder(&[("engine.log", &log)]).path()).unwrap();
        assert_eq!(profile.engine_metadata.as_ref().unwrap().engine_type.as_deref(), Some("ollama"), "{name}");
        let breakdown = profile.memory_breakdown.as_ref();
        if name != "008" {
            assert!(breakdown.is_none_or(|found| found.components.is_empty()), "{name}: {breakdown:?}");
            continue;
        }
        let breakdown = breakdown.unwrap();
        let on = |place: &str| {
            let place = breakdown.places.iter().find(|found| found.place.as_deref() == Some(place)).unwrap();
            place.components.iter().map(|part| (part.kind, (part.size_bytes * 10 + GIB / 2) / GIB)).collect::<Vec<_>>()
        };
        assert_eq!(
            on("CUDA0"),
            [(PartKind::ModelWeights, 199), (PartKind::KvCache, 11), (PartKind::ComputeBuffers, 9)]
        );
        assert_eq!(on("CPU"), [(PartKind::ModelWeights, 283), (PartKind::KvCache, 15), (PartKind::ComputeBuffers, 3)]);
    }
}
