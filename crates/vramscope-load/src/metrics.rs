//! What the engine says of itself on `/metrics`.

mod llama_cpp;
mod sglang;
mod tgi;
mod vllm;

use std::collections::BTreeMap;

use crate::client::Client;
use crate::error::LoadError;
use crate::exposition::{Sample, samples};

/// Names with their figures.
type Names = &'static [(&'static str, Figure)];

/// The names of each engine: their beginnings, and each name without it with its figure.
const TABLES: [(&[&str], Names); 4] = [
    (vllm::PREFIXES, vllm::NAMES),
    (llama_cpp::PREFIXES, llama_cpp::NAMES),
    (sglang::PREFIXES, sglang::NAMES),
    (tgi::PREFIXES, tgi::NAMES),
];

/// The page of a server with sixteen engines and every histogram is about 2 MB.
pub(crate) const MAX_METRICS: usize = 16 << 20;
/// Labels by which engines of one server are told apart.
const ENGINES: [&str; 3] = ["engine", "engine_index", "dp_rank"];
/// Labels of ranks that are one engine together.
const RANKS: [&str; 2] = ["tp_rank", "pp_rank"];
/// More engines than this are not kept apart: nobody runs so many behind one port.
const MAX_ENGINES: usize = 4096;

/// The engine's counters at one moment, per engine of the server (data-parallel engines each have their own KV cache).
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct EngineMetrics {
    /// By the label `engine`, or SGLang's `dp_rank`; versions of vLLM before 0.8 have none, and then the key is empty.
    pub engines: BTreeMap<String, EngineReadings>,
}

/// The readings of one engine, or of all together. What the server does not report is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct EngineReadings {
    /// Used part of the KV cache, 0 to 1. Of all engines: the fullest one's.
    pub kv_cache_usage_ratio: Option<f64>,
    /// Used part of the KV cache in host memory, 0 to 1.
    pub cpu_cache_usage_ratio: Option<f64>,
    /// Requests being computed now.
    pub running: Option<u64>,
    /// Requests that wait now.
    pub waiting: Option<u64>,
    /// Requests swapped to host memory now.
    pub swapped: Option<u64>,
    /// Prompt tokens looked up in the prefix cache since the start.
    pub prefix_cache_query_tokens: Option<u64>,
    /// Prompt tokens found in the prefix cache since the start.
    pub prefix_cache_hit_tokens: Option<u64>,
    /// The part of blocks found in the prefix cache, 0 to 1, as early versions report it in place of counts.
    pub prefix_cache_hit_ratio: Option<f64>,
    /// Requests thrown out of the KV cache since the start.
    pub preemptions: Option<u64>,
    /// Prompt tokens computed since the start.
    pub prompt_tokens: Option<u64>,
    /// Tokens generated since the start.
    pub generation_tokens: Option<u64>,
    /// Requests ended since the start, for any reason.
    pub requests_finished: Option<u64>,
    /// Blocks of the KV cache, if configured metrics tell.
    pub kv_blocks: Option<u64>,
    /// Tokens of one block.
    pub kv_block_tokens: Option<u64>,
}

/// A figure of [`EngineReadings`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Figure {
    KvUsage,
    CpuUsage,
    Running,
    Waiting,
    Swapped,
    PrefixQueries,
    PrefixHits,
    PrefixRatio,
    Preemptions,
    PromptTokens,
    GenerationTokens,
    Finished,
}

impl Figure {
    /// Whether it is a share, of which two are not added.
    fn is_ratio(self) -> bool {
        matches!(self, Self::KvUsage | Self::CpuUsage | Self::PrefixRatio)
    }
}

impl Client {
    /// The engine's own figures.
    ///
    /// # Errors
    /// As [`Client::models`]; [`LoadError::OtherServer`] if the page holds no sample at all.
    pub async fn metrics(&self) -> Result<EngineMetrics, LoadError> {
        const PATH: &str = "/metrics";
        let text = self.text(PATH, MAX_METRICS).await?;
        if samples(&text).next().is_none() {
            return Err(LoadError::OtherServer { path: PATH, problem: "it is no page of Prometheus metrics".into() });
        }
        Ok(EngineMetrics::parse(&text))
    }
}

impl EngineMetrics {
    /// Reads a page of metrics. What is not the engine's, or not a number that its figure can have, is passed over.
    pub fn parse(text: &str) -> Self {
        let mut engines: BTreeMap<String, Found> = BTreeMap::new();
        for sample in samples(text) {
            let Some((table, name)) = engine_name(sample.name) else { continue };
            let of = |row: &(&str, Figure)| row.0 == name.strip_suffix("_total").unwrap_or(name);
            let row = TABLES[table].1.iter().position(of).map(|row| (table, row));
            if row.is_none() && name != "cache_config_info" {
                continue;
            }
            // Ranks that split one model count the same requests.
            if RANKS.iter().any(|label| sample.label(label).is_some_and(|rank| rank != "0")) {
                continue;
            }
            let engine = ENGINES.iter().find_map(|label| sample.label(label)).unwrap_or_default();
            if !engines.contains_key(engine) && engines.len() == MAX_ENGINES {
                continue;
            }
            let found = engines.entry(engine.to_owned()).or_default();
            match row {
                Some(row) => found.add(row, sample.value),
                None => found.configured(&sample),
            }
        }
        Self { engines: engines.into_iter().map(|(engine, found)| (engine, found.readings())).collect() }
    }

    /// All engines together: counts are summed, of a ratio the largest is taken.
    pub fn total(&self) -> EngineReadings {
        let all: Vec<&EngineReadings> = self.engines.values().collect();
        let sum = |of: fn(&EngineReadings) -> Option<u64>| {
            all.iter().filter_map(|one| of(one)).fold(None, |sum, n| Some(sum.unwrap_or(0u64).saturating_add(n)))
        };
        let largest = |of: fn(&EngineReadings) -> Option<f64>| all.iter().filter_map(|one| of(one)).reduce(f64::max);
        EngineReadings {
            kv_cache_usage_ratio: largest(|one| one.kv_cache_usage_ratio),
            cpu_cache_usage_ratio: largest(|one| one.cpu_cache_usage_ratio),
            running: sum(|one| one.running),
            waiting: sum(|one| one.waiting),
            swapped: sum(|one| one.swapped),
            prefix_cache_query_tokens: sum(|one| one.prefix_cache_query_tokens),
            prefix_cache_hit_tokens: sum(|one| one.prefix_cache_hit_tokens),
            prefix_cache_hit_ratio: largest(|one| one.prefix_cache_hit_ratio),
            preemptions: sum(|one| one.preemptions),
            prompt_tokens: sum(|one| one.prompt_tokens),
            generation_tokens: sum(|one| one.generation_tokens),
            requests_finished: sum(|one| one.requests_finished),
            kv_blocks: sum(|one| one.kv_blocks),
            kv_block_tokens: all.iter().filter_map(|one| one.kv_block_tokens).max(),
        }
    }
}

/// The table that a metric is of, and its name without that table's beginning.
fn engine_name(name: &str) -> Option<(usize, &str)> {
    let of = |table: usize| TABLES[table].0.iter().find_map(|beginning| name.strip_prefix(beginning));
    (0..TABLES.len()).find_map(|table| Some((table, of(table)?)))
}

/// What a page holds of one engine: sums by table and row of [`TABLES`].
#[derive(Debug, Default)]
struct Found {
    rows: BTreeMap<(usize, usize), f64>,
    kv_blocks: Option<u64>,
    kv_block_tokens: Option<u64>,
}

impl Found {
    fn add(&mut self, row: (usize, usize), value: f64) {
        // Versions with the ratio report -1 where the prefix cache is off.
        if value.is_finite() && value >= 0.0 {
            let known = self.rows.entry(row).or_default();
            let is_ratio = TABLES[row.0].1[row.1].1.is_ratio();
            *known = if is_ratio { known.max(value) } else { *known + value };
        }
    }

    fn configured(&mut self, sample: &Sample<'_>) {
        let number = |name| sample.label(name).and_then(|text| text.parse().ok());
        self.kv_blocks = number("num_gpu_blocks").or(self.kv_blocks);
        self.kv_block_tokens = number("block_size").or(self.kv_block_tokens);
    }

    fn readings(&self) -> EngineReadings {
        // Rows are in order, so the first of a figure is its newest name.
        let value = |figure| {
            self.rows.iter().find(|((table, row), _)| TABLES[*table].1[*row].1 == figure).map(|(_, value)| *value)
        };
        let count = |figure| value(figure).and_then(whole);
        EngineReadings {
            kv_cache_usage_ratio: value(Figure::KvUsage),
            cpu_cache_usage_ratio: value(Figure::CpuUsage),
            running: count(Figure::Running),
            waiting: count(Figure::Waiting),
            swapped: count(Figure::Swapped),
            prefix_cache_query_tokens: count(Figure::PrefixQueries),
            prefix_cache_hit_tokens: count(Figure::PrefixHits),
            prefix_cache_hit_ratio: value(Figure::PrefixRatio),
            preemptions: count(Figure::Preemptions),
            prompt_tokens: count(Figure::PromptTokens),
            generation_tokens: count(Figure::GenerationTokens),
            requests_finished: count(Figure::Finished),
            kv_blocks: self.kv_blocks,
            kv_block_tokens: self.kv_block_tokens,
        }
    }
}

/// A count, if the number is one: Prometheus has only doubles.
fn whole(value: f64) -> Option<u64> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 2^53")]
    let count = (0.0..=EXACT).contains(&value).then_some(value as u64);
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_early_and_late_versions_give_the_same_figures() {
        let early = "vllm:gpu_cache_usage_perc{model_name=\"m\"} 0.25\nvllm:num_requests_running{model_name=\"m\"} 3.0\n\
                     vllm:gpu_prefix_cache_hit_rate{model_name=\"m\"} -1.0\nvllm:num_requests_swapped{} 1\n\
                     vllm:prompt_tokens_total{model_name=\"m\"} 640.0\n";
        let early = EngineMetrics::parse(early).total();
        assert_eq!((early.kv_cache_usage_ratio, early.running, early.swapped), (Some(0.25), Some(3), Some(1)));
        assert_eq!((early.prompt_tokens, early.prefix_cache_hit_ratio, early.waiting), (Some(640), None, None));
        // 0.10.0 reports both names of the same figure.
        let both = "vllm:gpu_prefix_cache_hits_total{engine=\"0\"} 7\nvllm:prefix_cache_hits_total{engine=\"0\"} 7\n\
                    vllm:gpu_cache_usage_perc{engine=\"0\"} 0.5\nvllm:kv_cache_usage_perc{engine=\"0\"} 0.5\n";
        let both = EngineMetrics::parse(both).total();
        assert_eq!((both.prefix_cache_hit_tokens, both.kv_cache_usage_ratio), (Some(7), Some(0.5)));
        assert_eq!(EngineMetrics::parse("ray_vllm_prefix_cache_hits 7").total().prefix_cache_hit_tokens, Some(7));
    }

    #[test]
    fn engines_are_kept_apart_and_summed() {
        let page = "vllm:num_requests_running{engine=\"0\"} 2\nvllm:num_requests_running{engine=\"1\"} 5\n\
                    vllm:kv_cache_usage_perc{engine=\"0\"} 0.1\nvllm:kv_cache_usage_perc{engine=\"1\"} 0.4\n\
                    vllm:request_success_total{engine=\"1\",finished_reason=\"stop\"} 1\n\
                    vllm:request_success_total{engine=\"1\",finished_reason=\"length\"} 2\n\
                    vllm:cache_config_info{engine=\"0\",num_gpu_blocks=\"100\",block_size=\"16\"} 1.0\n";
        let metrics = EngineMetrics::parse(page);
        assert_eq!(metrics.engines.len(), 2);
        assert_eq!(metrics.engines["1"].running, Some(5));
        let total = metrics.total();
        assert_eq!((total.running, total.kv_cache_usage_ratio, total.requests_finished), (Some(7), Some(0.4), Some(3)));
        assert_eq!((total.kv_blocks, total.kv_block_tokens), (Some(100), Some(16)));
    }

    #[test]
    fn ranks_of_one_model_are_counted_once_and_replicas_apart() {
        let page = "sglang:token_usage{dp_rank=\"0\",tp_rank=\"0\"} 0.5\nsglang:token_usage{dp_rank=\"1\",tp_rank=\"0\"} 0.3\n\
                    sglang:token_usage{dp_rank=\"0\",tp_rank=\"1\"} 0.5\n\
                    sglang:num_running_reqs{dp_rank=\"0\",tp_rank=\"0\"} 4\nsglang:num_running_reqs{dp_rank=\"1\",tp_rank=\"0\"} 3\n\
                    sglang:num_running_reqs{dp_rank=\"0\",tp_rank=\"1\"} 4\n";
        let metrics = EngineMetrics::parse(page);
        assert_eq!((metrics.engines.len(), metrics.engines["1"].running), (2, Some(3)));
        assert_eq!((metrics.total().running, metrics.total().kv_cache_usage_ratio), (Some(7), Some(0.5)));
        // Two series of one engine that differ in another label.
        let twice = "sglang:token_usage{model_name=\"a\"} 0.5\nsglang:token_usage{model_name=\"b\"} 0.7\n";
        assert_eq!(EngineMetrics::parse(twice).total().kv_cache_usage_ratio, Some(0.7));
    }

    /// Lines of real servers: llama-server b10434, SGLang 0.4.6, TGI 3.2.
    #[test]
    fn each_engine_has_its_names() {
        let page = "llamacpp:prompt_tokens_total 16\nllamacpp:prompt_tokens_cached_total 3\n\
                    llamacpp:tokens_predicted_total 4\nllamacpp:requests_processing 2\nllamacpp:requests_deferred 1\n\
                    llamacpp:n_tokens_max 19\n";
        let llama = EngineMetrics::parse(page).total();
        assert_eq!((llama.running, llama.waiting, llama.kv_cache_usage_ratio), (Some(2), Some(1), None));
        assert_eq!((llama.prompt_tokens, llama.generation_tokens), (Some(16), Some(4)));
        assert_eq!(llama.prefix_cache_hit_tokens, Some(3));
        let page = "sglang:num_running_reqs{model_name=\"m\"} 7.0\nsglang:token_usage{model_name=\"m\"} 0.28\n\
                    sglang:prompt_tokens_total{model_name=\"m\"} 8128902.0\n";
        let sglang = EngineMetrics::parse(page).total();
        assert_eq!((sglang.running, sglang.kv_cache_usage_ratio), (Some(7), Some(0.28)));
        assert_eq!(sglang.prompt_tokens, Some(8_128_902));
        let tgi = EngineMetrics::parse("tgi_batch_current_size 3\ntgi_queue_size 5\n").total();
        assert_eq!((tgi.running, tgi.waiting, tgi.prompt_tokens), (Some(3), Some(5), None));
    }

    #[test]
    fn numbers_that_cannot_be_are_absent() {
        let page = "vllm:num_requests_running NaN\nvllm:num_requests_waiting -3\nvllm:prompt_tokens_total +Inf\n\
                    vllm:num_preemptions_created 1.7e9\nother:num_requests_running 4\n";
        assert_eq!(EngineMetrics::parse(page).total(), EngineReadings::default());
    }
}
