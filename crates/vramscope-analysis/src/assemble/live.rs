//! What only a conducted run has: its host, its served requests, the engine's metrics.

use vramscope_schema::Amount;
use vramscope_schema::v3::{EngineMetricsInfo, HostInfo, ServedStats};

use crate::evidence::bench::Bench;
use crate::evidence::metrics::MetricsReading;
use crate::known::Known;

pub(super) fn host(run: &Known<'_>) -> Option<HostInfo> {
    run.evidence.record.as_ref().map(|record| record.host.clone())
}

/// The figures of the requests, whoever sent them.
pub(super) fn served(run: &Known<'_>) -> Option<ServedStats> {
    let Some(Bench::Serve(result)) = &run.evidence.bench else { return None };
    Some(super::served::stats(result))
}

fn whole_number(number: f64) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and below 2^53 by the test")]
    (number.fract() == 0.0 && (0.0..9e15).contains(&number)).then_some(number as u64)
}

/// The engine's metrics; counters are what they grew by between the first reading and the last.
pub(crate) fn metrics(run: &Known<'_>) -> Option<EngineMetricsInfo> {
    let readings = run.evidence.metrics.as_deref().filter(|readings| !readings.is_empty())?;
    let grown = |of: fn(&MetricsReading) -> Option<f64>| {
        let seen: Vec<f64> = readings.iter().filter_map(of).collect();
        Some(seen.last()? - seen.first()?).filter(|growth| *growth >= 0.0)
    };
    let values = |of: fn(&MetricsReading) -> Option<f64>| readings.iter().filter_map(of);
    let most = |of: fn(&MetricsReading) -> Option<f64>| values(of).max_by(f64::total_cmp);
    let mean = |of: fn(&MetricsReading) -> Option<f64>| {
        let (sum, n) = values(of).fold((0.0, 0.0), |(sum, n), value| (sum + value, n + 1.0));
        (n > 0.0).then(|| sum / n)
    };
    let share = |ratio: Option<f64>| ratio.and_then(|ratio| Amount::new(ratio * 100.0));
    let asked = grown(|r| r.prefix_cache_queries).filter(|asked| *asked > 0.0);
    let counted = asked.zip(grown(|r| r.prefix_cache_hits)).map(|(asked, hits)| hits / asked);
    let stated = || readings.iter().rev().find_map(|r| r.prefix_cache_hit_ratio).filter(|ratio| *ratio >= 0.0);
    Some(EngineMetricsInfo {
        num_samples: u64::try_from(readings.len()).ok()?,
        kv_cache_usage_max_pct: share(most(|r| r.kv_cache_usage_ratio)),
        kv_cache_usage_mean_pct: share(mean(|r| r.kv_cache_usage_ratio)),
        running_requests_max: most(|r| r.running).and_then(Amount::new),
        waiting_requests_max: most(|r| r.waiting).and_then(Amount::new),
        prefix_cache_hit_pct: share(counted.or_else(stated)),
        preemptions: grown(|r| r.preemptions).and_then(whole_number),
        prompt_tokens: grown(|r| r.prompt_tokens).and_then(whole_number),
        generation_tokens: grown(|r| r.generation_tokens).and_then(whole_number),
    })
}
