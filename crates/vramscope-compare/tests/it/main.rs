//! Tests of the crate from outside.

#[cfg(test)]
mod against;
#[cfg(test)]
mod calculator;
#[cfg(test)]
mod difference;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod sweep;

#[cfg(test)]
use vramscope_schema::Amount;
#[cfg(test)]
use vramscope_schema::v3::{
    EngineArgs, Generator, LatencyStats, MemoryBreakdown, Metadata, ModelInfo, Profile, RunConfig, WorkloadInfo,
};

/// A run of a model with this batch, speed and latency.
#[cfg(test)]
fn run(model: &str, batch: u64, tokens_per_second: f64, latency_ms: f64) -> Profile {
    let generator = Generator { name: "test".to_owned(), version: "0".to_owned() };
    let mut profile = Profile::new(generator, Metadata::default());
    profile.model_info = Some(ModelInfo { name: Some(model.to_owned()), ..ModelInfo::default() });
    profile.run_config = Some(RunConfig {
        engine: Some(EngineArgs { tensor_parallel_size: Some(1), ..EngineArgs::default() }),
        workload: Some(WorkloadInfo {
            batch_size: Some(batch),
            input_len: Some(100),
            output_len: Some(28),
            ..WorkloadInfo::default()
        }),
    });
    profile.latency_stats = Some(LatencyStats {
        tokens_per_second: Amount::new(tokens_per_second),
        mean_latency_ms: Amount::new(latency_ms),
        ..LatencyStats::default()
    });
    profile.memory_breakdown = Some(MemoryBreakdown {
        total_measured_bytes: Some(20_000),
        baseline_bytes: Some(1_000),
        model_weights_bytes: Some(5_000),
        kv_cache_bytes: Some(10_000),
        activations_bytes: Some(2_500),
        residual_bytes: Some(1_500),
        ..MemoryBreakdown::default()
    });
    profile
}
