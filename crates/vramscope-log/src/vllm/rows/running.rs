//! The running engine: periodic reports, sleep, and benchmark results.

use vramscope_core::Milestone;

use super::{BenchPart, Effect, Row, row};

const LATENCY: Effect = Effect::Bench(BenchPart::Latency);
const THROUGHPUT: Effect = Effect::Bench(BenchPart::Throughput);

pub(super) const ROWS: &[Row] = &[
    row(
        "0.2-",
        "hroughput: ",
        "[[Engine {engine_index}: ]][[{ignored} Engines Aggregated: ]]Avg prompt throughput: {prompt_tokens_per_second} tokens/s, Avg generation throughput: {generation_tokens_per_second} tokens/s, Running: {running} reqs, [[Swapped: {swapped} reqs, ]]{Waiting|Pending}: {waiting} reqs[[,]][[{..}Preemptions: {preemptions},]][[{..}KV cache usage: {kv_usage_pct}%]][[, CPU KV cache usage: {cpu_kv_usage_pct}%]][[, Prefix cache hit rate: {prefix_hit_pct}%]]",
    )
    .does(Effect::Report),
    row("0.5.5-0.10.2", " rate: ", "Prefix cache hit rate: GPU: {prefix_hit_pct}%, CPU: {ignored}%"),
    row(
        "0.9.2-",
        " rate: ",
        "SpecDecoding metrics: Mean acceptance length: {acceptance_length}, {..}Draft acceptance rate: {draft_acceptance_pct}%",
    ),
    row(
        "0.8.0-0.9.1",
        " rate: ",
        "SpecDecoding metrics: Draft acceptance rate: {draft_acceptance_pct}%, Mean acceptance length: {acceptance_length}",
    ),
    row("0.4.0-0.10.2", " rate: ", "Speculative metrics: Draft acceptance rate: {draft_acceptance}"),
    row("0.7.0-", "emory", "Sleep mode freed {sleep_freed~2} memory, {sleep_in_use~2} memory is still in use."),
    row("0.7.3-", " took ", "It took {sleep_secs} seconds to fall asleep."),
    row("0.7.3-", " took ", "It took {wake_secs} seconds to wake up"),
    row(
        "-0.10.2",
        "emory",
        "Sequence group {ignored_word} is preempted by {..}KV cache memory. total_num_cumulative_preemption={preemptions}",
    ),
    row("0.6.0-", "LoRA adapter", "Loaded new LoRA adapter: name '{lora_adapter}'"),
    // Benchmarks, on stdout without prefix.
    row("", "Warming up...", "Warming up...").event(Milestone::WarmupBegan),
    row("", "atency: ", "Avg latency: {bench_avg_latency} seconds").does(LATENCY),
    row("", "atency: ", "{bench_percentile}% percentile latency: {bench_percentile_latency} seconds").does(LATENCY),
    row(
        "0.6.4-",
        "hroughput: ",
        "Throughput: {bench_requests_per_second} requests/s, {bench_total_tokens_per_second} total tokens/s, {bench_output_tokens_per_second} output tokens/s",
    )
    .does(THROUGHPUT),
    row(
        "-0.6.3",
        "hroughput: ",
        "Throughput: {bench_requests_per_second} requests/s, {bench_total_tokens_per_second} tokens/s",
    )
    .does(THROUGHPUT),
    row("0.6.4-", "Total num ", "Total num prompt tokens: {bench_prompt_tokens}").does(THROUGHPUT),
    row("0.6.4-", "Total num ", "Total num output tokens: {bench_output_tokens}").does(THROUGHPUT),
    row("", "Benchmark Result", "{..} Serving Benchmark Result ").does(Effect::Bench(BenchPart::Serve)),
];
