//! The names of the metrics of llama.cpp's server (`tools/server/server-context.cpp`). It states no use of its KV cache.

use super::Figure;

/// The beginnings of its names.
pub(super) const PREFIXES: &[&str] = &["llamacpp:"];

/// The name of each figure without the beginning and `_total`.
pub(super) const NAMES: &[(&str, Figure)] = &[
    ("requests_processing", Figure::Running),
    ("requests_deferred", Figure::Waiting),
    ("prompt_tokens", Figure::PromptTokens),
    ("prompt_tokens_cached", Figure::PrefixHits),
    ("tokens_predicted", Figure::GenerationTokens),
];
