//! Version 1 to version 2: the same figures under version 2's names.

use crate::{v1, v2};

/// Moves what version 1 says to where version 2 says it, and notes what it could not say.
pub(super) fn migrate(old: v1::Profile) -> (v2::Profile, Vec<String>) {
    let breakdown = old.memory_breakdown;
    let memory_breakdown = v2::MemoryBreakdown {
        total_measured_gb: breakdown.total_gb,
        model_weights_gb: breakdown.model_weights_gb,
        kv_cache_gb: breakdown.kv_cache_gb,
        activations_gb: breakdown.activations_gb,
        framework_overhead_gb: breakdown.framework_overhead_gb,
        ..v2::MemoryBreakdown::default()
    };
    let new = v2::Profile {
        profiler_version: Some(old.profiler_version.unwrap_or_else(|| "1.0".to_owned())),
        memory_breakdown: Some(memory_breakdown),
        model_info: old.model_info.map(model),
        gpu_info: old.gpu_info,
        ..v2::Profile::default()
    };
    let notes = vec![
        "version 1 measures from inside the process: its total is the framework's own count and leaves out the driver's \
         context and other processes; baseline, post-warmup and peak are not known"
            .to_owned(),
        "version 1 names no time, no engine and no confidence; they stay absent".to_owned(),
    ];
    (new, notes)
}

fn model(old: v1::ModelInfo) -> v2::ModelInfo {
    v2::ModelInfo {
        name: old.model_name,
        dtype: old.dtype,
        num_parameters: old.num_parameters,
        prompt_length: old.prompt_length,
        generated_length: old.generated_length,
        total_sequence_length: old.total_sequence_length,
        batch_size: old.batch_size,
        ..v2::ModelInfo::default()
    }
}
