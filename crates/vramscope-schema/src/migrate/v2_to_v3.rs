//! Version 2 to version 3.0: nothing moves; version 3.0 only adds what version 2 does not know.

use crate::{v2, v3_0};

/// Takes version 2 over as it is, and notes what it could not say.
pub(super) fn migrate(old: v2::Profile) -> (v3_0::Profile, Vec<String>) {
    let new = v3_0::Profile {
        profiler_version: old.profiler_version,
        metadata: old.metadata,
        model_info: old.model_info,
        gpu_info: old.gpu_info,
        memory_measurements: old.memory_measurements,
        memory_breakdown: old.memory_breakdown,
        latency_stats: old.latency_stats,
        engine_metadata: old.engine_metadata,
        ..v3_0::Profile::default()
    };
    let notes = vec![
        "the document holds snapshots and nothing that the engine reported: timeline and engine facts are not known"
            .to_owned(),
    ];
    (new, notes)
}
