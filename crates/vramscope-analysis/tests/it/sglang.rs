//! SGLang's memory, rank by rank: logs made here in its format beside samples made here, and the public logs.

use vramscope_schema::v3::{BreakdownPart, Confidence, MemoryBreakdown, PartKind, Profile};

use crate::made_up::{GIB, folder, gpu_csv};
use crate::{analyze, shared};

const MIB: u64 = 1 << 20;

/// Hundredths of a GiB, which is what the engine prints.
fn hundredths(n: u64) -> u64 {
    n * GIB / 100
}

/// A rank with this prefix: 15.28 GiB of weights, a pool of 44, 0.62 beside it, 1.10 before the capture, graphs of 0.60.
fn of_rank(tag: &str) -> String {
    format!(
        "[2026-11-22 05:00:06{tag}] Init torch distributed ends. elapsed=0.27 s, mem usage=0.10 GB\n\
         [2026-11-22 05:00:10{tag}] Load weight begin. avail mem=78.50 GB\n\
         [2026-11-22 05:00:14{tag}] Load weight end. elapsed=3.97 s, type=Qwen3ForCausalLM, avail mem=63.22 GB, mem usage=15.28 GB.\n\
         [2026-11-22 05:00:15{tag}] KV Cache is allocated. #tokens: 300000, K size: 22.00 GB, V size: 22.00 GB\n\
         [2026-11-22 05:00:15{tag}] Memory pool end. avail mem=18.60 GB\n\
         [2026-11-22 05:00:16{tag}] Capture cuda graph begin. This can take up to several minutes. avail mem=17.50 GB\n\
         [2026-11-22 05:00:20{tag}] Capture cuda graph end. Time elapsed: 3.74 s. mem usage=0.60 GB. avail mem=16.90 GB.\n"
    )
}

fn arguments(ranks: u32) -> String {
    format!(
        "[2026-11-22 05:00:05] server_args=ServerArgs(model_path='some/model', dtype='auto', quantization=None, \
         mem_fraction_static=0.87, tp_size={ranks}, pp_size=1, dp_size=1, disable_cuda_graph=False)\n"
    )
}

fn ready(tag: &str) -> String {
    format!(
        "[2026-11-22 05:00:21{tag}] max_total_num_tokens=300000, chunked_prefill_size=8192, max_prefill_tokens=16384, \
         max_running_requests=4096, context_len=40960, available_gpu_mem=16.90 GB\n\
         [2026-11-22 05:00:22] The server is fired up and ready to roll!\n"
    )
}

/// What a device holds while such a rank runs, of 79.50 GiB; at work 1.50 more than at the start.
fn level(second: u64) -> u64 {
    match second {
        0..=5 => 5 * MIB,
        6..=10 => GIB,
        11..=14 => hundredths(1628),
        15 => hundredths(6090),
        16..=19 => hundredths(6200),
        20..=25 => hundredths(6260),
        26..=49 => hundredths(6410),
        _ => 5 * MIB,
    }
}

fn part(breakdown: &MemoryBreakdown, kind: PartKind) -> &BreakdownPart {
    breakdown.components.iter().find(|part| part.kind == kind).unwrap_or_else(|| panic!("{kind:?}: {breakdown:?}"))
}

fn has(breakdown: &MemoryBreakdown, kind: PartKind) -> bool {
    breakdown.components.iter().any(|part| part.kind == kind)
}

/// Within what rounding of printed digits to bytes does.
#[track_caller]
fn near(found: u64, expected: u64) {
    assert!(found.abs_diff(expected) < MIB, "{} MiB is not {} MiB", found / MIB, expected / MIB);
}

fn breakdown(profile: &Profile) -> &MemoryBreakdown {
    profile.memory_breakdown.as_ref().unwrap()
}

#[test]
fn a_peak_is_weights_pool_graphs_and_what_fell_between_them_as_the_log_prints_it() {
    let log = [arguments(1), of_rank(""), ready("")].concat();
    let profile = analyze(folder(&[("engine.log", &log), ("gpu.csv", &gpu_csv(1, 1, 60, level))]).path()).unwrap();
    assert_eq!(profile.engine_metadata.as_ref().unwrap().engine_type.as_deref(), Some("sglang"));
    let parts = breakdown(&profile);
    for (kind, expected, confidence, lines) in [
        (PartKind::ModelWeights, hundredths(1528), Confidence::Reported, &[4][..]),
        (PartKind::KvCache, hundredths(4400), Confidence::Reported, &[5]),
        (PartKind::Held, hundredths(62 + 110), Confidence::Reported, &[4, 5, 6, 7, 8, 9]),
        (PartKind::CudaGraphs, hundredths(60), Confidence::Reported, &[8]),
        (PartKind::RuntimeContext, GIB - 5 * MIB, Confidence::Measured, &[]),
        (PartKind::Activations, hundredths(150), Confidence::Reported, &[9]),
        (PartKind::Collectives, 0, Confidence::Computed, &[1]),
    ] {
        let part = part(parts, kind);
        near(part.size_bytes, expected);
        assert_eq!((part.confidence, &part.log_lines[..]), (confidence, lines), "{part:?}");
    }
    let held = part(parts, PartKind::Held).detail.as_deref().unwrap();
    assert!(held.contains("0.62 GiB of it came with the pools (0.63 GiB by the rule"), "{held}");
    assert!(parts.residual_bytes.unwrap().unsigned_abs() < MIB, "{:?}", parts.residual_bytes);
    assert!(!has(parts, PartKind::RecurrentState) && parts.places.is_empty());
}

#[test]
fn its_own_keys_and_words_are_used_and_nobody_elses() {
    let log = [arguments(1), of_rank(""), ready("")].concat();
    let with_others = |second| 2 * GIB + level(second);
    let config = r#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 2048,
        "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8,
        "vocab_size": 128256, "max_position_embeddings": 131072, "torch_dtype": "bfloat16"}"#;
    let gpu = gpu_csv(1, 1, 60, with_others);
    let profile = analyze(folder(&[("engine.log", &log), ("gpu.csv", &gpu), ("config.json", config)]).path()).unwrap();
    let reported = profile.engine_reported.as_ref().unwrap();
    assert_eq!(reported.memory_fraction.map(|share| share.get()), Some(0.87));
    assert_eq!(reported.memory_fraction_of.as_deref(), Some("free_at_start"));
    assert_eq!((reported.kv_cache_tokens, reported.max_num_seqs), (Some(300_000), Some(4096)));
    let named = |name: &str| reported.facts.iter().filter(|fact| fact.name == name).count();
    assert_eq!((named("free_after_weights"), named("free_after_pools"), named("free_after_graphs")), (1, 1, 1));
    assert!(profile.vllm_internal_metrics.is_none() && profile.expectation.is_none());
    let set = profile.run_config.as_ref().and_then(|run| run.engine.as_ref());
    assert!(set.is_none_or(|set| set.gpu_memory_utilization.is_none()), "a share of something else");
    assert_eq!(part(breakdown(&profile), PartKind::KvCache).confidence, Confidence::Reported, "no rule of another one");
    let found = profile.diagnostics.as_deref().unwrap();
    let others = found.iter().find(|one| one.code == "other_processes").unwrap();
    assert!(others.advice.as_deref().unwrap().contains("--mem-fraction-static"), "{others:?}");
    for one in found {
        let said = format!("{} {}", one.message, one.advice.as_deref().unwrap_or_default()).to_lowercase();
        assert!(!said.contains("vllm") && !said.contains("--gpu-memory-utilization"), "{one:?}");
        assert!(!one.code.starts_with("weights_"), "weights are a fall of free memory: {one:?}");
    }
}

#[test]
fn where_the_drivers_reserve_is_not_known_work_is_what_rose_over_the_pool() {
    let log = [arguments(1), of_rank(""), ready("")].concat();
    let gpu =
        gpu_csv(1, 1, 60, level).replace(",reserved_bytes", "").replace(&format!(",{},100000", GIB / 2), ",100000");
    let profile = analyze(folder(&[("engine.log", &log), ("gpu.csv", &gpu)]).path()).unwrap();
    let work = part(breakdown(&profile), PartKind::Activations);
    near(work.size_bytes, hundredths(150));
    assert_eq!(work.confidence, Confidence::Measured);
}

#[test]
fn ranks_keep_their_own_figures_and_what_they_talk_with() {
    let second = of_rank(" TP1").replace("usage=15.28", "usage=15.30").replace("mem=63.22", "mem=63.20");
    let log = [arguments(2), of_rank(" TP0"), second, ready(" TP0")].concat();
    let profile = analyze(folder(&[("engine.log", &log), ("gpu.csv", &gpu_csv(3, 2, 60, level))]).path()).unwrap();
    let parts = breakdown(&profile);
    near(part(parts, PartKind::ModelWeights).size_bytes, hundredths(1528 + 1530));
    near(part(parts, PartKind::KvCache).size_bytes, hundredths(8800));
    near(part(parts, PartKind::Collectives).size_bytes, hundredths(20));
    near(part(parts, PartKind::RuntimeContext).size_bytes, 2 * (hundredths(90) - 5 * MIB));
    let weights = |gpu: usize| {
        let device = &parts.per_device[gpu];
        device.components.iter().find(|part| part.kind == PartKind::ModelWeights).map(|part| part.size_bytes)
    };
    near(weights(0).unwrap(), hundredths(1528));
    near(weights(1).unwrap(), hundredths(1530));
    assert_eq!(weights(2), None, "the engine does not use this device");
    let held = part(parts, PartKind::Held);
    near(held.size_bytes, hundredths(172 + 170));
}

#[test]
fn stages_of_a_pipeline_are_laid_on_their_own_devices() {
    let arguments = arguments(1).replace("pp_size=1", "pp_size=2");
    let second = of_rank(" PP1").replace("usage=15.28", "usage=10.28").replace("mem=63.22", "mem=68.22");
    let log = [arguments, second, of_rank(" PP0"), ready(" PP0")].concat();
    let profile = analyze(folder(&[("engine.log", &log), ("gpu.csv", &gpu_csv(2, 2, 60, level))]).path()).unwrap();
    let weights = |gpu: usize| {
        let device = &breakdown(&profile).per_device[gpu];
        device.components.iter().find(|part| part.kind == PartKind::ModelWeights).unwrap().size_bytes
    };
    near(weights(0), hundredths(1528));
    near(weights(1), hundredths(1028));
}

#[test]
fn replicas_of_the_attention_share_devices_and_those_of_the_model_do_not() {
    let tagged = |words: &str, ranks: [&str; 2]| {
        let arguments =
            arguments(if words.is_empty() { 1 } else { 2 }).replace("dp_size=1", &format!("dp_size=2{words}"));
        [arguments, of_rank(ranks[0]), of_rank(ranks[1]), ready(ranks[0])].concat()
    };
    for log in [tagged("", [" DP0", " DP1"]), tagged(", enable_dp_attention=True", [" DP0 TP0", " DP1 TP1"])] {
        let profile = analyze(folder(&[("engine.log", &log), ("gpu.csv", &gpu_csv(2, 2, 60, level))]).path()).unwrap();
        near(part(breakdown(&profile), PartKind::ModelWeights).size_bytes, hundredths(2 * 1528));
        let found = profile.diagnostics.as_deref().unwrap();
        assert!(found.iter().all(|one| one.code != "ranks_contradict_devices"), "{found:?}");
    }
}

/// A hybrid model with a drafting one: the second prints the same lines on the same rank.
#[test]
fn states_and_a_drafting_model_are_added_and_nothing_is_counted_twice() {
    let log = "\
        [2026-11-22 05:00:10] Load weight begin. avail mem=78.50 GB\n\
        [2026-11-22 05:00:14] Load weight end. elapsed=3.97 s, type=Qwen3NextForCausalLM, avail mem=63.22 GB, mem usage=15.28 GB.\n\
        [2026-11-22 05:00:15] Mamba Cache is allocated. max_mamba_cache_size: 64, conv_state size: 0.07GB, ssm_state size: 3.05GB\n\
        [2026-11-22 05:00:15] KV Cache is allocated. dtype: torch.bfloat16, #tokens: 295950, K size: 14.52 GB, V size: 14.52 GB\n\
        [2026-11-22 05:00:15] Memory pool end. avail mem=30.86 GB\n\
        [2026-11-22 05:00:16] Load weight begin. avail mem=30.86 GB\n\
        [2026-11-22 05:00:16] Load weight end. elapsed=0.50 s, type=Qwen3NextMTP, avail mem=28.86 GB, mem usage=2.00 GB.\n\
        [2026-11-22 05:00:16] KV Cache is allocated. dtype: torch.bfloat16, #tokens: 295950, K size: 1.39 GB, V size: 1.39 GB\n\
        [2026-11-22 05:00:16] Memory pool end. avail mem=26.06 GB\n\
        [2026-11-22 05:00:18] Capture target verify CUDA graph end. elapsed=6.90 s, mem usage=6.13 GB, avail mem=19.43 GB.\n\
        [2026-11-22 05:00:20] Capture draft decode CUDA graph end. elapsed=1.96 s, mem usage=2.17 GB, avail mem=17.26 GB.\n";
    let level = |second| match second {
        0..=5 => 5 * MIB,
        6..=10 => GIB,
        11..=14 => hundredths(1628),
        15 => hundredths(7950 - 3086),
        16..=17 => hundredths(7950 - 2606),
        18..=19 => hundredths(7950 - 1943),
        20..=25 => hundredths(7950 - 1726),
        26..=49 => hundredths(7950 - 1626),
        _ => 5 * MIB,
    };
    let profile = analyze(folder(&[("engine.log", log), ("gpu.csv", &gpu_csv(1, 1, 60, level))]).path()).unwrap();
    let parts = breakdown(&profile);
    for (kind, expected) in [
        (PartKind::ModelWeights, 1728),
        (PartKind::KvCache, 2904 + 278),
        (PartKind::RecurrentState, 312),
        (PartKind::CudaGraphs, 830),
        // 0.20 with the first pool, 0.02 with the second, 0.50 before the captures.
        (PartKind::Held, 72),
        (PartKind::Activations, 100),
    ] {
        near(part(parts, kind).size_bytes, hundredths(expected));
    }
    assert!(part(parts, PartKind::ModelWeights).detail.as_deref().unwrap().contains("2.00 GiB of the drafting model"));
    assert!(parts.residual_bytes.unwrap().unsigned_abs() < 6 * MIB, "{:?}", parts.residual_bytes);
}

/// Up to 0.4.1 neither the pool nor what graphs take is printed.
#[test]
fn a_pool_that_is_not_printed_is_estimated_and_graphs_without_a_size_are_no_part() {
    let log = "\
        [gpu_id=0] Load weight begin. avail mem=78.50 GB\n\
        [gpu_id=0] Load weight end. type=LlamaForCausalLM, dtype=torch.float16, avail mem=63.22 GB\n\
        [gpu_id=0] Memory pool end. avail mem=18.60 GB\n\
        [gpu_id=0] Capture cuda graph end. Time elapsed: 7.23 s\n\
        [gpu_id=0] max_total_num_tokens=300000, max_prefill_tokens=16384, max_running_requests=2048, context_len=8192\n";
    let profile = analyze(folder(&[("engine.log", log), ("gpu.csv", &gpu_csv(1, 1, 60, level))]).path()).unwrap();
    let parts = breakdown(&profile);
    near(part(parts, PartKind::ModelWeights).size_bytes, hundredths(1528));
    let pool = part(parts, PartKind::KvCache);
    near(pool.size_bytes, hundredths(4462) - 2048 * (8192 + 4) * 4);
    assert_eq!((pool.confidence, pool.method.as_str()), (Confidence::Estimated, "fall_of_free_at_pools"));
    for kind in [PartKind::CudaGraphs, PartKind::Activations, PartKind::Held] {
        assert!(!has(parts, kind), "{kind:?} is invented: {parts:?}");
    }
}

#[test]
fn an_engine_without_room_for_a_pool_has_none_and_its_own_advice() {
    let log = "\
        [2026-11-22 05:00:10 TP0] Load weight begin. avail mem=78.50 GB\n\
        [2026-11-22 05:00:14 TP0] Load weight end. elapsed=3.97 s, type=Qwen3ForCausalLM, avail mem=8.22 GB, mem usage=70.28 GB.\n\
        [2026-11-22 05:00:15 TP0] Scheduler hit an exception: Traceback (most recent call last):\n\
        RuntimeError: Not enough memory. Please try to increase --mem-fraction-static.\n";
    let profile = analyze(folder(&[("engine.log", log)]).path()).unwrap();
    let parts = breakdown(&profile);
    near(part(parts, PartKind::ModelWeights).size_bytes, hundredths(7028));
    assert!(!has(parts, PartKind::KvCache) && !has(parts, PartKind::Held));
    let failed = &profile.diagnostics.as_deref().unwrap()[0];
    assert!(
        failed.code == "engine_failed" && failed.advice.as_deref().unwrap().contains("raise --mem-fraction-static")
    );
}

/// The figures stand in the logs; they were read here by hand: weights, KV pool, states, graphs, and what fell beside them.
#[test]
fn public_logs_are_taken_apart_as_they_print() {
    let Some(logs) = shared("corpus/engines/sglang") else { return };
    for (name, weights, pool, states, graphs, held) in [
        ("002", Some(125), Some(2 * 557), None, Some(11), Some(1391 - 170 - 1114 - 11)),
        ("004", Some(1528), Some(2 * 6818), None, Some(60 + 232), Some(16230 - 2122 - 13636 - 292)),
        ("006", None, Some(904 + 678), Some(5230), Some(1215), Some(2157 - 256 - 678 - 1215)),
        ("008", None, Some(2 * 5331), None, None, None),
        ("010", None, None, None, None, None),
    ] {
        let log = std::fs::read_to_string(logs.join(format!("{name}.log"))).unwrap();
        let profile = analyze(folder(&[("engine.log", &log)]).path()).unwrap();
        let found = |kind| {
            let parts = profile.memory_breakdown.as_ref()?;
            parts.components.iter().find(|part| part.kind == kind).map(|part| part.size_bytes)
        };
        for (kind, expected) in [
            (PartKind::ModelWeights, weights),
            (PartKind::KvCache, pool),
            (PartKind::RecurrentState, states),
            (PartKind::CudaGraphs, graphs),
            (PartKind::Held, held),
            (PartKind::Activations, None),
        ] {
            let expected: Option<u64> = expected;
            match (found(kind), expected) {
                (Some(found), Some(expected)) => near(found, hundredths(expected)),
                (found, expected) => assert_eq!(found, expected, "{name} {kind:?}"),
            }
        }
        assert!(profile.metadata.notes.iter().all(|note| !note.contains("not taken apart")), "{name}");
    }
}
