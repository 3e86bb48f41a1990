//! The names of vLLM's metrics.

use super::Figure;

/// The beginnings of its names. Ray's exporter writes `ray_vllm_` in place of `vllm:`.
pub(super) const PREFIXES: &[&str] = &["vllm:", "ray_vllm_", "vllm_"];

/// The names of each figure without `vllm:` and `_total`, and the versions of vLLM that report them. Newer names stand
/// before older ones: versions that report both report the same thing twice, and the first counts. From
/// vllm/engine/metrics.py (V0) and vllm/v1/metrics/loggers.py; the renaming is vLLM's change 18354, the removal 29330.
pub(super) const NAMES: &[(&str, Figure)] = &[
    ("kv_cache_usage_perc", Figure::KvUsage),            // from 0.9.2
    ("gpu_cache_usage_perc", Figure::KvUsage),           // to 0.11
    ("cpu_cache_usage_perc", Figure::CpuUsage),          // to 0.10, V0
    ("num_requests_running", Figure::Running),           // all
    ("num_requests_waiting", Figure::Waiting),           // all
    ("num_requests_swapped", Figure::Swapped),           // to 0.10, V0
    ("prefix_cache_queries", Figure::PrefixQueries),     // from 0.9.2
    ("gpu_prefix_cache_queries", Figure::PrefixQueries), // to 0.11, V1
    ("prefix_cache_hits", Figure::PrefixHits),           // from 0.9.2
    ("gpu_prefix_cache_hits", Figure::PrefixHits),       // to 0.11, V1
    ("gpu_prefix_cache_hit_rate", Figure::PrefixRatio),  // 0.5.5 to 0.10, V0
    ("num_preemptions", Figure::Preemptions),            // from 0.4.3
    ("prompt_tokens", Figure::PromptTokens),             // all
    ("generation_tokens", Figure::GenerationTokens),     // all
    ("request_success", Figure::Finished),               // from 0.4.3
];
