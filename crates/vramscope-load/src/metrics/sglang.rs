//! The names of SGLang's metrics (`srt/metrics/collector.py`).

use super::Figure;

/// The beginnings of its names.
pub(super) const PREFIXES: &[&str] = &["sglang:"];

/// The name of each figure without the beginning and `_total`.
pub(super) const NAMES: &[(&str, Figure)] = &[
    ("token_usage", Figure::KvUsage),
    ("num_running_reqs", Figure::Running),
    ("num_queue_reqs", Figure::Waiting),
    ("prompt_tokens", Figure::PromptTokens),
    ("generation_tokens", Figure::GenerationTokens),
    ("num_requests", Figure::Finished),
];
