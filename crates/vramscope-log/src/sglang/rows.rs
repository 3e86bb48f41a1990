//! The formats of SGLang's log (`model_executor/model_runner.py`, `mem_cache/memory_pool.py`, `managers/scheduler.py`,
//! releases 0.2.15 to 0.5.23). Its `GB` are powers of two.

use crate::rows::{Row, row};

/// What a line does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Does {
    /// It states figures.
    State,
    Communication,
    LoadBegins,
    Loaded,
    Pool,
    /// Several pools together.
    Pools,
    States,
    PoolsEnd,
    Captured,
    /// A pool in host memory.
    HostPool,
    Ready,
    Serves,
    Batch,
    /// Nothing is left for the pool.
    NoPool,
    GraphsFailed,
    /// Requests found no room in the pool.
    PoolFull,
    /// A process says of which error it ends; its traceback follows.
    Crashed,
    /// A process has ended, and the server with it.
    Died,
    /// The server found its address taken; what it serves with says so, which others serve with too.
    NotBound,
}

pub(crate) const ROWS: &[Row<Does>] = &[
    row(
        "0.4.3-",
        "Init torch distributed ends",
        "Init torch distributed ends.[[ elapsed={ignored} s,]] mem usage={communication}",
        Does::Communication,
    ),
    row("", "Load weight begin", "Load weight begin. avail mem={free_before_weights}", Does::LoadBegins),
    row(
        "",
        "Load weight end",
        "Load weight end. [[elapsed={load_secs} s, ]]type={architecture},{..}avail mem={free_after_weights}[[, mem usage={weights}]]",
        Does::Loaded,
    ),
    row("0.5.3-", "KV cache dtype", "Using KV cache dtype: [[torch.]]{kv_cache_dtype}", Does::State),
    row(
        "0.4.2-",
        "KV Cache is allocated",
        "KV Cache is allocated. [[dtype: [[torch.]]{kv_cache_dtype}, ]]#tokens: {kv_tokens}, K size: {kv_keys}, V size: {kv_values}",
        Does::Pool,
    ),
    row(
        "0.4.2-",
        "KV Cache is allocated",
        "KV Cache is allocated. [[dtype: [[torch.]]{kv_cache_dtype}, ]]#tokens: {kv_tokens}, KV size: {kv_pool}",
        Does::Pool,
    ),
    row("0.5.16-", "KV Cache VA upper bound", "KV Cache VA upper bound.{..} size: {kv_address_space}", Does::State),
    row(
        "0.4.10-",
        "SWAKVPool mem usage",
        "SWAKVPool mem usage: {kv_total}, swa size: {kv_window_tokens}, full size: {context_tokens}",
        Does::Pools,
    ),
    row(
        "0.5.2-",
        "Mamba Cache is allocated",
        "Mamba Cache is allocated.[[ max_mamba_cache_size: {state_slots},]]{..}conv_state size: {recurrent_state}[[,]] ssm_state size: {recurrent_state}[[{..}intermediate_ssm_state_cache size: {recurrent_state}]][[{..}intermediate_conv_window_cache size: {recurrent_state}]]",
        Does::States,
    ),
    row("0.5.16-", "pool sizes: full=", "{..} pool sizes: full={kv_tokens}, swa={kv_window_tokens}", Does::State),
    row("", "Memory pool end", "Memory pool end. avail mem={free_after_pools}", Does::PoolsEnd),
    row("0.5.0-", "host memory", "Allocating {kv_host_pool} host memory for hierarchical KV cache", Does::HostPool),
    row("", " begin.", "Capture {..} begin.{..}avail mem={free_before_graphs}", Does::State),
    row(
        "0.4.6-0.5.12",
        "Time elapsed",
        "Capture {..}end. Time elapsed: {capture_secs} s. mem usage={graphs}. avail mem={free_after_graphs}",
        Does::Captured,
    ),
    row(
        "0.4.3-0.4.6",
        "Time elapsed",
        "Capture {..}end. Time elapsed: {capture_secs} s. avail mem={free_after_graphs}. mem usage={graphs}",
        Does::Captured,
    ),
    row("-0.4.3", "Time elapsed", "Capture {..}end. Time elapsed: {capture_secs} s", Does::Captured),
    row(
        "0.5.14-",
        " graph end",
        "Capture {..} graph end.{..}elapsed={capture_secs} s, mem usage={graphs}, avail mem={free_after_graphs}",
        Does::Captured,
    ),
    row(
        "",
        "max_total_num_tokens=",
        "max_total_num_tokens={context_tokens}, [[chunked_prefill_size={-1|}[[{chunk_tokens}]], ]]max_prefill_tokens={max_prefill_tokens}, max_running_requests={slots}, context_len={max_model_len}[[, available_gpu_mem={free_at_ready}]][[, available_cpu_mem={host_free_at_ready}]]",
        Does::Ready,
    ),
    row("", "fired up and ready", "The server is fired up and ready to roll!", Does::Serves),
    row(
        "",
        "Decode batch",
        "Decode batch{..}#running-req: {running}, #{..}token: {used_tokens},{..}token usage: {kv_usage}{..}gen throughput (token/s): {generation_tokens_per_second}[[, #queue-req: {waiting}]]",
        Does::Batch,
    ),
    row(
        "0.5.20-",
        "leave no GPU memory",
        "{..}Loaded weights leave no GPU memory for the KV cache under --mem-fraction-static={fail_memory_share}.{..}bove {fail_least_memory_share}",
        Does::NoPool,
    ),
    row(
        "",
        "increase --mem-fraction-static",
        "{..}Not enough memory. Please try to increase --mem-fraction-static.",
        Does::NoPool,
    ),
    row("", "graph failed", "{..}Capture {..} graph failed: ", Does::GraphsFailed),
    row(
        "",
        " out of memory. Try to lower",
        "{..}{Prefill|Decode} out of memory. Try to lower your batch size.",
        Does::PoolFull,
    ),
    // `managers/`, `entrypoints/engine.py`, `utils/watchdog.py`.
    row(
        "",
        "hit an exception",
        "{Scheduler|DataParallelController|DetokenizerManager|TokenizerManager} hit an exception: ",
        Does::Crashed,
    ),
    row("", "Received sigquit", "Received sigquit from a child proces", Does::Died),
    row("0.4.5-", "scheduler is dead", "Rank {ignored} scheduler is dead.", Does::Died),
    row("0.5.9-", "died during init", "Rank {ignored} scheduler died during initialization", Does::Died),
    row("0.5.9-", " crashed with exit code", "Subprocess {..} crashed with exit code {ignored}", Does::Died),
    row(
        "",
        "attempting to bind",
        "{..}error while attempting to bind on address {..}address already in use",
        Does::NotBound,
    ),
    row("0.4.5-", "avail_mem=", "Capturing {..}avail_mem={ignored_memory}", Does::State),
    row("", "Prefill batch", "Prefill batch", Does::State),
];

#[cfg(test)]
mod tests {
    #[test]
    fn every_row_is_met_by_its_fixture() {
        crate::rows::law::holds(super::ROWS, include_str!("../../tests/it/data/sglang.txt"), |line| {
            vec![crate::sglang::message_of(line).to_owned()]
        });
    }
}
