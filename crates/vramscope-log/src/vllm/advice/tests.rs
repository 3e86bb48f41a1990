//! Tests of what is advised.

use vramscope_core::{Activity, Bytes, EngineFacts, Fact, Failure, FailureKind, Origin, Scope};

fn advice(kind: &FailureKind, facts: &EngineFacts) -> String {
    super::advice(&Failure::new(None, kind.clone(), String::new(), Origin::default()), facts)
}

fn stated<T>(value: T) -> Option<Fact<T>> {
    Some(Fact { value, scope: Scope::AllRanks, resolution: None, origin: Origin::default() })
}

#[test]
fn advice_names_the_number_to_use() {
    let kind = FailureKind::KvCacheTooSmallForMaxModelLen {
        max_model_len: Some(131_072),
        needed: None,
        available: None,
        estimated_max_model_len: Some(90_208),
    };
    assert!(advice(&kind, &EngineFacts::default()).contains("90208"));
}

#[test]
fn nobody_is_advised_to_do_what_is_done_already() {
    let kind = FailureKind::KvCacheTooSmallForMaxModelLen {
        max_model_len: Some(131_072),
        needed: Some(Bytes::new(1_438_814_044)),
        available: Some(Bytes::new(322_122_547)),
        estimated_max_model_len: Some(720),
    };
    let word = |text: &str| stated(text.to_owned());
    let mut facts = EngineFacts::default();
    let mut with = |dtype: &str| {
        facts.kv_cache_dtype = word(dtype);
        advice(&kind, &facts)
    };
    for dtype in ["fp8", "fp8_e4m3", "fp8_e5m2", "fp8_ds_mla", "nvfp4", "torch.float8_e4m3fn"] {
        assert!(!with(dtype).contains("--kv-cache-dtype") && with(dtype).contains("already"), "{}", with(dtype));
    }
    for dtype in ["auto", "bfloat16", "float16"] {
        assert!(with(dtype).contains("--kv-cache-dtype fp8"), "{}", with(dtype));
    }
    let mut facts = EngineFacts::default();
    facts.platform = word("cpu");
    let on_cpu = advice(&kind, &facts);
    assert!(!on_cpu.to_lowercase().contains("gpu-"), "{on_cpu}");
    let (tried, capacity, free, process, allocated) = (None, None, None, None, None);
    let out = FailureKind::OutOfMemory { tried, capacity, free, process, allocated, reserved_unallocated: None };
    assert!(!advice(&out, &facts).contains("--gpu") && advice(&out, &EngineFacts::default()).contains("--gpu"));
    let mut quantized = EngineFacts::default();
    quantized.quantization = word("fp8");
    assert!(!advice(&FailureKind::NoKvCacheMemory, &quantized).contains("quantized"));
    assert!(advice(&FailureKind::NoKvCacheMemory, &EngineFacts::default()).contains("quantized"));
}

fn out_of_memory(activity: Activity) -> Failure {
    let (tried, capacity, free, process, allocated) = (None, None, None, None, None);
    let kind = FailureKind::OutOfMemory { tried, capacity, free, process, allocated, reserved_unallocated: None };
    let mut failure = Failure::new(None, kind, String::new(), Origin::default());
    failure.activity = Some(activity);
    failure
}

#[test]
fn before_there_is_a_kv_cache_a_smaller_share_for_it_is_no_advice() {
    for activity in [Activity::LoadingWeights, Activity::Profiling] {
        let mut facts = EngineFacts::default();
        let said = super::advice(&out_of_memory(activity), &facts);
        assert!(!said.contains("--gpu-memory-utilization") && said.contains("quantized"), "{said}");
        facts.quantization = stated("fp8".to_owned());
        facts.cpu_offload = stated(Bytes::new(4 << 30));
        facts.parallel.tensor = stated(2);
        let said = super::advice(&out_of_memory(activity), &facts);
        assert!(!said.contains("quantized") && said.contains("--tensor-parallel-size (2 now)"), "{said}");
        assert!(!said.contains("a part on the host"), "{said}");
    }
}

#[test]
fn the_size_that_was_given_is_the_one_to_lower() {
    let mut facts = EngineFacts::default();
    facts.kv_cache_memory = stated(Bytes::new(8 << 30));
    facts.enforce_eager = stated(true);
    for activity in [
        Activity::Starting,
        Activity::CapturingGraphs,
        Activity::WarmingUpSampler { requests: Some(256) },
        Activity::Serving,
    ] {
        let said = super::advice(&out_of_memory(activity), &facts);
        assert!(said.contains("--kv-cache-memory-bytes (8.00 GiB now)"), "{said}");
        assert!(!said.contains("--gpu-memory-utilization"), "{said}");
    }
    assert!(!super::advice(&out_of_memory(Activity::Starting), &facts).contains("eager"));
    let sampler = super::advice(&out_of_memory(Activity::WarmingUpSampler { requests: Some(256) }), &facts);
    assert!(sampler.contains("--max-num-seqs (256 now)"), "{sampler}");
}

#[test]
fn a_wake_up_is_told_what_sleeping_had_freed() {
    let said = |freed| super::advice(&out_of_memory(Activity::WakingUp { freed }), &EngineFacts::default());
    assert!(said(Some(Bytes::ZERO)).contains("had freed none"));
    assert!(said(Some(Bytes::new(30 << 30))).contains("30.00 GiB"));
    assert!(!said(None).contains("GiB"));
}

#[test]
fn a_process_that_was_killed_is_told_from_one_that_died() {
    let said = |kind: FailureKind, message: &str| {
        super::advice(&Failure::new(None, kind, message.to_owned(), Origin::default()), &EngineFacts::default())
    };
    let killed = "Worker VllmWorkerProcess pid 7 died, exit code: -9";
    assert!(said(FailureKind::WorkerDied, killed).contains("signal 9"));
    assert!(said(FailureKind::EngineCoreFailed, "Failed core proc(s): {'EngineCore': -9}").contains("signal 9"));
    for other in ["exit code: -95", "exit code: 1", "Failed core proc(s): {'EngineCore': -11}"] {
        assert!(!said(FailureKind::WorkerDied, other).contains("signal 9"), "{other}");
    }
}
