//! Reads the engine's metrics while it works.

use std::time::{Duration, SystemTime};

use vramscope_load::Client;

use vramscope_analysis::MetricsReading;
use vramscope_runs::{FolderError, LineFile};

/// The time between two readings.
const PERIOD: Duration = Duration::from_secs(1);

/// Reads once now and then each second, until dropped. An engine without metrics, or one that is too busy to answer, has
/// a gap there. Ends when the file cannot be written, and says why.
pub(super) async fn scrape(client: Client, mut file: LineFile) -> FolderError {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = read_once(&client, &mut file).await {
            return error;
        }
    }
}

/// One reading.
async fn read_once(client: &Client, file: &mut LineFile) -> Result<(), FolderError> {
    let Ok(metrics) = client.metrics().await else { return Ok(()) };
    let total = metrics.total();
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    let count = |n: Option<u64>| n.map(|n| n as f64);
    let reading = MetricsReading {
        timestamp_ns: unix_ns(),
        kv_cache_usage_ratio: total.kv_cache_usage_ratio,
        running: count(total.running),
        waiting: count(total.waiting),
        prefix_cache_hits: count(total.prefix_cache_hit_tokens),
        prefix_cache_queries: count(total.prefix_cache_query_tokens),
        prefix_cache_hit_ratio: total.prefix_cache_hit_ratio,
        preemptions: count(total.preemptions),
        prompt_tokens: count(total.prompt_tokens),
        generation_tokens: count(total.generation_tokens),
        kv_blocks: metrics.engines.values().filter_map(|engine| engine.kv_blocks).min(),
        kv_block_tokens: total.kv_block_tokens,
    };
    file.push_json(&reading)?;
    file.flush()
}

/// Now, in nanoseconds since 1970 UTC.
pub(super) fn unix_ns() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
