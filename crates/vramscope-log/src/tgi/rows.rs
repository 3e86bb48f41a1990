//! The formats of TGI's launcher, router and server (`launcher/src/main.rs`, `router/src/`, `backends/v3/src/lib.rs`,
//! `server/text_generation_server/models/flash_causal_lm.py`, releases 1.0 to 3.3).

use crate::rows::{Row, row};

/// What a line does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Does {
    /// It states figures.
    State,
    /// The launcher begins.
    Args,
    /// A shard is loaded.
    Shard,
    /// What follows is a limit, and no measured pool.
    Unmeasured,
    /// The pool of tokens.
    Tokens,
    /// A shard begins to load.
    Starts,
    WarmUp,
    Connected,
    NoMemory,
    /// The kernel has ended a shard.
    Killed,
    Fails,
    /// What failed; why comes behind it.
    Heads,
}

pub(crate) const ROWS: &[Row<Does>] = &[
    row("", "model_id:", "{..}model_id: \"{model}\",", Does::Args),
    row("1.0-", "Starting shard", "Starting shard", Does::Starts),
    row("", "Shard ready in", "Shard ready in {load_secs}s rank={rank}", Does::Shard),
    row(
        "0.9-",
        "does not support automatic",
        "Model does not support automatic max batch total tokens",
        Does::Unmeasured,
    ),
    row(
        "0.9-",
        "Setting max batch total tokens",
        "Setting max batch total tokens to {max_batch_total_tokens}",
        Does::Tokens,
    ),
    row("2.4-", "KV-cache blocks", "KV-cache blocks: {gpu_blocks}, size: {block_size}", Does::State),
    row("2.3-", "Using attention", "Using attention {attention_backend} - Prefix caching {ignored_word}", Does::State),
    row("3.0-", "max_batch_prefill_tokens", "Default `max_batch_prefill_tokens` to {max_prefill_tokens}", Does::State),
    row(
        "3.0-",
        "Reducing the max batch prefill",
        "Reducing the max batch prefill from {ignored} to {max_prefill_tokens} because there is not enough VRAM",
        Does::State,
    ),
    row("3.0-", "max_total_tokens", "Default `max_total_tokens` to {max_model_len}", Does::State),
    row("", "Warming up model", "Warming up model", Does::WarmUp),
    row("", "Connected", "Connected{$}", Does::Connected),
    row(
        "",
        "Not enough memory to handle",
        "{..}Not enough memory to handle {fail_prefill_tokens} prefill tokens.",
        Does::NoMemory,
    ),
    row("", "signal 9", "{..}Shard process was signaled to shutdown with signal 9", Does::Killed),
    row("", "encountered an error", "Method {ignored_word} encountered an error.", Does::Heads),
    row("", "failed to start", "Shard {ignored} failed to start", Does::Fails),
    row("", "crashed", "Shard {ignored} crashed", Does::Fails),
    row("", "Webserver Crashed", "Webserver Crashed", Does::Fails),
    row("", "Download encountered", "Download encountered an error: ", Does::Fails),
    row("3.0-", "Failed to bind", "Failed to bind to {..}: ", Does::Fails),
    row("", "complete standard error", "Shard complete standard error output:", Does::Heads),
];

#[cfg(test)]
mod tests {
    #[test]
    fn every_row_is_met_by_its_fixture() {
        crate::rows::law::holds(super::ROWS, include_str!("../../tests/it/data/tgi.txt"), crate::tgi::messages_of);
    }
}
