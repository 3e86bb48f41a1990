//! What the engine said of itself while it was under load.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::client::Client;
use crate::metrics::EngineReadings;
use crate::report::LoadReport;

/// The time between two readings: short enough for a level of a few seconds.
const PERIOD: Duration = Duration::from_millis(200);
/// A page that takes long to make is asked for less often: not more than this part of the time goes into it.
const PART: u32 = 20;

/// The engine's own figures over a measurement. What it does not report is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct ServerSide {
    /// Readings that were taken while requests were under way.
    pub readings: u64,
    /// The most requests that were computed together.
    pub running_max: Option<u64>,
    /// Their mean over the readings.
    pub running_mean: Option<f64>,
    /// The most requests that waited.
    pub waiting_max: Option<u64>,
    /// Their mean over the readings.
    pub waiting_mean: Option<f64>,
    /// The largest used part of the KV cache, 0 to 1.
    pub kv_cache_usage_max_ratio: Option<f64>,
    /// Prompt tokens looked up in the prefix cache meanwhile.
    pub prefix_query_tokens: Option<u64>,
    /// Prompt tokens found in the prefix cache meanwhile.
    pub prefix_hit_tokens: Option<u64>,
    /// Requests thrown out of the KV cache meanwhile.
    pub preemptions: Option<u64>,
    /// Prompt tokens computed meanwhile.
    pub prompt_tokens: Option<u64>,
    /// Tokens generated meanwhile.
    pub generation_tokens: Option<u64>,
}

impl ServerSide {
    /// The part of the prompts that the engine found in its prefix cache, 0 to 1.
    pub fn prefix_hit_ratio(&self) -> Option<f64> {
        let (hits, queries) = (self.prefix_hit_tokens?, self.prefix_query_tokens.filter(|queries| *queries > 0)?);
        Some(float(hits) / float(queries))
    }

    /// The figures of some readings in the order in which they were taken. Counters are of the first to the last; what
    /// runs and waits is of those that `during` takes, for before and after a load nothing does.
    pub fn of(readings: &[EngineReadings], during: impl Fn(usize) -> bool) -> Option<Self> {
        let (first, last) = (readings.first()?, readings.last()?);
        let within = || readings.iter().enumerate().filter(|(place, _)| during(*place)).map(|(_, one)| one);
        let all = |of: fn(&EngineReadings) -> Option<u64>| within().filter_map(of).collect::<Vec<u64>>();
        let mean = |values: &[u64]| {
            let sum: f64 = values.iter().map(|value| float(*value)).sum();
            (!values.is_empty()).then(|| sum / float(values.len() as u64))
        };
        // A counter that fell was set back with its engine.
        let meanwhile = |of: fn(&EngineReadings) -> Option<u64>| of(last)?.checked_sub(of(first)?);
        let (running, waiting) = (all(|one| one.running), all(|one| one.waiting));
        Some(Self {
            readings: within().count() as u64,
            running_max: running.iter().copied().max(),
            running_mean: mean(&running),
            waiting_max: waiting.iter().copied().max(),
            waiting_mean: mean(&waiting),
            kv_cache_usage_max_ratio: within().filter_map(|one| one.kv_cache_usage_ratio).reduce(f64::max),
            prefix_query_tokens: meanwhile(|one| one.prefix_cache_query_tokens),
            prefix_hit_tokens: meanwhile(|one| one.prefix_cache_hit_tokens),
            preemptions: meanwhile(|one| one.preemptions),
            prompt_tokens: meanwhile(|one| one.prompt_tokens),
            generation_tokens: meanwhile(|one| one.generation_tokens),
        })
    }
}

/// A reading with when it was asked for and when it was there.
#[derive(Debug, Clone, Copy)]
struct Taken {
    asked: Instant,
    told: Instant,
    reading: EngineReadings,
}

/// Reads an engine's metrics until it is ended. A server without metrics gives nothing, and is asked once.
#[derive(Debug)]
pub struct Scraper {
    client: Client,
    readings: Arc<Mutex<Vec<Taken>>>,
    task: JoinHandle<()>,
}

impl Scraper {
    /// Begins, on the runtime of the caller: the load has one of its own.
    pub async fn start(client: &Client) -> Self {
        let readings = Arc::new(Mutex::new(Vec::new()));
        let (client, kept) = (client.clone(), readings.clone());
        // The first one before anything is sent: counters begin there.
        let first = read(&client).await;
        let has_metrics = first.is_some();
        kept.lock().unwrap_or_else(PoisonError::into_inner).extend(first);
        let asked = client.clone();
        let task = tokio::spawn(async move {
            if !has_metrics {
                return;
            }
            loop {
                let began = Instant::now();
                let taken = read(&asked).await;
                kept.lock().unwrap_or_else(PoisonError::into_inner).extend(taken);
                tokio::time::sleep(PERIOD.max(began.elapsed() * PART)).await;
            }
        });
        Self { client, readings, task }
    }

    /// Reads once more and gives the figures over a load, if there are any.
    pub async fn end(self, load: &LoadReport) -> Option<ServerSide> {
        self.task.abort();
        let mut taken = std::mem::take(&mut *self.readings.lock().unwrap_or_else(PoisonError::into_inner));
        if !taken.is_empty() {
            taken.extend(read(&self.client).await);
        }
        let begun = load.anchor.monotonic + load.started;
        let ended = load.anchor.monotonic + load.ended;
        let readings: Vec<EngineReadings> = taken.iter().map(|one| one.reading).collect();
        ServerSide::of(&readings, |place| taken[place].asked >= begun && taken[place].told <= ended)
    }
}

async fn read(client: &Client) -> Option<Taken> {
    let asked = Instant::now();
    let reading = client.metrics().await.ok()?.total();
    Some(Taken { asked, told: Instant::now(), reading })
}

impl Drop for Scraper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_looked_at_and_counters_subtracted() {
        let reading = |running, hits| EngineReadings {
            running: Some(running),
            prefix_cache_hit_tokens: Some(hits),
            prefix_cache_query_tokens: Some(hits * 2),
            ..EngineReadings::default()
        };
        let side = ServerSide::of(&[reading(1, 100), reading(5, 150), reading(3, 200)], |_| true).unwrap();
        assert_eq!((side.running_max, side.running_mean), (Some(5), Some(3.0)));
        assert_eq!((side.prefix_hit_tokens, side.prefix_hit_ratio()), (Some(100), Some(0.5)));
        assert_eq!((side.waiting_max, side.preemptions), (None, None));
        assert_eq!(ServerSide::of(&[], |_| true), None);
        assert_eq!(ServerSide::of(&[reading(1, 9), reading(1, 2)], |_| true).unwrap().prefix_hit_tokens, None);
        // Nothing runs before a load and after it: a mean with those in it would be of an idle engine.
        let side = ServerSide::of(&[reading(0, 100), reading(8, 150), reading(0, 200)], |place| place == 1).unwrap();
        assert_eq!((side.readings, side.running_mean, side.prefix_hit_tokens), (1, Some(8.0), Some(100)));
    }
}
