//! Any bytes as a model's config.json, with engine arguments taken from the first of them: an error or a budget whose
//! figures lie in their intervals; no panic, no overflow, no hang.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vramscope_core::{Bytes, Workload};
use vramscope_estimate::{EngineArgs, EngineVersion, Lora, Setting, budget, devices, parameter_count};

/// Bytes before the config.
const HEAD: usize = 8;

fn arguments(head: [u8; HEAD]) -> EngineArgs {
    let [version, ranks, flags, len, seqs, tokens, block, share] = head;
    let power = |byte: u8| (byte < 64).then(|| 1_u64 << byte);
    EngineArgs {
        version: EngineVersion::new(0, u16::from(version % 40), 0),
        tensor_parallel_size: 1 << (ranks % 8),
        pipeline_parallel_size: 1 << (ranks / 8 % 4),
        data_parallel_size: 1 << (ranks / 32 % 4),
        enforce_eager: flags & 1 > 0,
        enable_expert_parallel: flags & 2 > 0,
        disable_hybrid_kv_cache_manager: (flags & 4 > 0).then_some(flags & 8 > 0),
        enable_prefix_caching: (flags & 16 > 0).then_some(flags & 32 > 0),
        kv_cache_dtype: (flags & 64 > 0).then(|| "fp8".to_owned()),
        lora: (flags & 128 > 0).then_some(Lora { max_loras: u64::from(share), max_rank: u64::from(block) }),
        max_model_len: power(len),
        max_num_seqs: power(seqs),
        max_num_batched_tokens: power(tokens),
        block_size: power(block),
        gpu_memory_utilization: Some(f64::from(share) / 255.0),
        ..EngineArgs::default()
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((head, json)) = bytes.split_first_chunk::<HEAD>() else { return };
    let Ok((model, _notes)) = vramscope_models::read_config(json) else { return };
    let args = arguments(*head);
    let device = &devices()[usize::from(head[2]) % devices().len()];
    let setting = Setting { others: Bytes::new(u64::from(head[0]) << 30), ..Setting::alone(device) };
    let Ok(found) = budget(&model, &args, setting) else { return };
    assert!(parameter_count(&model).is_ok_and(|count| count.total == found.parameters));
    for figure in [
        &found.requested,
        &found.weights,
        &found.activation_peak,
        &found.cuda_graphs,
        &found.non_torch,
        &found.available,
        &found.kv_cache,
        &found.num_gpu_blocks,
        &found.kv_cache_tokens,
        &found.max_concurrency_milli,
    ] {
        assert!(figure.low <= figure.value && figure.value <= figure.high, "{figure:?}");
    }
    assert!(found.kv_cache.value <= found.available.value);
    let used = found.workload(Workload { input_len: Some(1000), output_len: Some(24), ..Workload::default() });
    assert!(used.is_none_or(|used| used.concurrent_requests <= found.engine.max_num_seqs));
});
