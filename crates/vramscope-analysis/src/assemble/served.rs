//! What a load generator measured, in the words of a profile.

use vramscope_results::{Latency, LatencyKind, LoadResult};
use vramscope_schema::Amount;
use vramscope_schema::v3::{
    Generator, LatencyPercentile, LatencyStats, Metadata, ModelInfo, Profile, RunConfig, RunStatus, ServedStats,
    TimeSpread, WorkloadInfo,
};

/// The profile of a load generator's result: it has times and rates, and nothing of memory. A profile has no place for
/// GuideLLM's figures that count a request by its tokens, and they are left out.
pub fn profile_of_load(result: &LoadResult, generator: Generator) -> Profile {
    let metadata = Metadata {
        duration_s: result.duration_s.and_then(Amount::new),
        status: result.stopped.filter(|stopped| *stopped).map(|_| RunStatus::Interrupted),
        ..Metadata::default()
    };
    let mut profile = Profile::new(generator, metadata);
    let asked = &result.asked;
    let workload = WorkloadInfo {
        input_len: asked.input_len,
        output_len: asked.output_len,
        batch_size: asked.concurrency,
        num_prompts: asked.requests,
        request_rate: asked.rate_per_s.and_then(Amount::new),
        seed: asked.seed,
        ..WorkloadInfo::default()
    };
    profile.run_config = Some(RunConfig { engine: None, workload: Some(workload) });
    profile.model_info = result.model.clone().map(|name| ModelInfo { name: Some(name), ..ModelInfo::default() });
    profile.latency_stats = Some(latency_stats(result));
    profile.served_stats = Some(stats(result));
    profile
}

/// End-to-end latency where the file has it (`--percentile-metrics …,e2el`), and what was served each second.
pub(super) fn latency_stats(result: &LoadResult) -> LatencyStats {
    let whole = result.latency(LatencyKind::EndToEnd);
    let of = |figure: fn(&Latency) -> Option<f64>| whole.and_then(figure).and_then(Amount::new);
    let percentile = |&(percent, ms): &(f64, f64)| {
        Some(LatencyPercentile { percentile: Amount::new(percent)?, latency_ms: Amount::new(ms)? })
    };
    LatencyStats {
        mean_latency_ms: of(|latency| latency.mean_ms),
        median_latency_ms: of(|latency| latency.percentile_ms(50.0)),
        stddev_latency_ms: of(|latency| latency.std_ms),
        percentiles: whole.iter().flat_map(|latency| &latency.percentiles).filter_map(percentile).collect(),
        tokens_per_second: result.rates.output_tokens_per_s.and_then(Amount::new),
        requests_per_second: result.rates.requests_per_s.and_then(Amount::new),
        ..LatencyStats::default()
    }
}

/// Requests, tokens and times.
pub(super) fn stats(result: &LoadResult) -> ServedStats {
    let counts = &result.counts;
    let tokens_per_chunk =
        counts.output_tokens.zip(counts.chunks.filter(|chunks| *chunks > 0)).map(|(tokens, chunks)| {
            #[expect(clippy::cast_precision_loss, reason = "counts of a load are below 2^53")]
            let mean = tokens as f64 / chunks as f64;
            mean
        });
    // What was cut off was not answered either; a profile has one place for both.
    let failed = match (counts.failed, counts.incomplete) {
        (Some(failed), cut) => failed.checked_add(cut.unwrap_or(0)),
        (None, cut) => cut.filter(|cut| *cut > 0),
    };
    let spread = |kind| result.latency(kind).and_then(spread);
    let tool = &result.tool;
    let sent_by =
        [Some(tool.name.to_owned()), tool.version.clone()].into_iter().flatten().collect::<Vec<_>>().join(" ");
    ServedStats {
        completed_requests: counts.completed,
        failed_requests: failed,
        unsent_requests: counts.unsent,
        short_requests: counts.short,
        late_requests: counts.late,
        sent_by: Some(sent_by),
        failures: counts.failures.clone(),
        input_tokens: counts.input_tokens,
        output_tokens: counts.output_tokens,
        chunks: counts.chunks,
        tokens_per_chunk: tokens_per_chunk.and_then(Amount::new),
        time_to_first_token: spread(LatencyKind::TimeToFirstToken),
        time_per_output_token: spread(LatencyKind::TimePerOutputToken),
        inter_token_latency: spread(LatencyKind::InterTokenLatency),
        end_to_end: spread(LatencyKind::EndToEnd),
        client_queue_time: spread(LatencyKind::ClientQueue),
    }
}

fn spread(latency: &Latency) -> Option<TimeSpread> {
    let amount = |ms: Option<f64>| ms.and_then(Amount::new);
    let spread = TimeSpread {
        mean_ms: amount(latency.mean_ms),
        median_ms: amount(latency.percentile_ms(50.0)),
        stddev_ms: amount(latency.std_ms),
        p95_ms: amount(latency.percentile_ms(95.0)),
        p99_ms: amount(latency.percentile_ms(99.0)),
    };
    (spread != TimeSpread::default()).then_some(spread)
}
