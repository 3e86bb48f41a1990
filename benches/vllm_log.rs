//! How fast engine logs are read, and how fast they are searched for secrets, in bytes a second: a start with little
//! else, and the DEBUG log of an engine at work.
//!
//! The DEBUG log is made of the lines of recorded engines (`data/debug-lines.txt`). For whole processes, with the memory
//! that they need, and beside the usual Python script: `benches/vllm_log.py`; what it printed stands in
//! `docs/decisions/2026-11-22-log-search.md`.

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use vramscope_log::LogParser;

/// The start of an engine, with every kind of line that holds a figure.
const START: &str = "\
(APIServer pid=1) INFO 11-22 05:15:05 [api_utils.py:273] non-default args: {'model_tag': 'org/name', 'model': 'org/name', 'max_model_len': 8192}
(EngineCore pid=2) INFO 11-22 05:15:23 [core.py:114] Initializing a V1 LLM engine (v0.25.1) with config: model='org/name', speculative_config=None, dtype=torch.bfloat16, max_seq_len=8192, load_format=auto, tensor_parallel_size=1, pipeline_parallel_size=1, data_parallel_size=1, quantization=None, enforce_eager=False, kv_cache_dtype=auto, device_config=cuda, enable_prefix_caching=True, enable_chunked_prefill=True
(EngineCore pid=2) INFO 11-22 05:15:27 [model_runner.py:302] Model loading took 2.32 GiB and 1.523804 seconds
(EngineCore pid=2) DEBUG 11-22 05:15:43 [gpu_worker.py:537] Memory profiling takes 20.22 seconds. Total non KV cache memory: 17.01GiB; torch peak memory increase: 1.78GiB; non-torch forward increase memory: 0.22GiB; weights memory: 2.32GiB.
(EngineCore pid=2) INFO 11-22 05:15:43 [gpu_worker.py:538] Available KV cache memory: 125.27 GiB
(EngineCore pid=2) INFO 11-22 05:15:43 [kv_cache_utils.py:2146] GPU KV cache size: 4,104,864 tokens
(EngineCore pid=2) INFO 11-22 05:15:43 [kv_cache_utils.py:2147] Maximum concurrency for 8,192 tokens per request: 501.08x
(EngineCore pid=2) INFO 11-22 05:15:45 [model_runner.py:722] Graph capturing finished in 2 secs, took 0.45 GiB
(EngineCore pid=2) INFO 11-22 05:15:59 [core.py:337] init engine (profile, create kv cache, warmup model) took 32.89 s (compilation: 13.79 s)
";

/// DEBUG lines of recorded engines, each behind how often they printed it.
const LINES: &str = include_str!("data/debug-lines.txt");

/// The log of an engine at work, of about so many bytes: those lines, each about as often as the engines printed it, in
/// an order that looks random, with clocks that go on and other numbers every time.
fn at_work(bytes: usize) -> String {
    let known = LINES.lines().filter_map(|line| line.split_once('\t'));
    let lines: Vec<&str> =
        known.flat_map(|(count, line)| std::iter::repeat_n(line, count.parse().unwrap_or(1))).collect();
    let mut log = START.to_owned();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut count = 0;
    while log.len() < bytes {
        count += 1;
        random = xorshift(random);
        let line = lines[usize::try_from(random % lines.len() as u64).unwrap_or(0)];
        // Behind the source's place in brackets stands the message.
        let message = line.find("] ").map_or(0, |at| at + 2);
        let clock = line.find("DEBUG ").map(|at| at + "DEBUG ".len()).filter(|at| at + 14 < message);
        match clock {
            Some(at) => {
                let (day, hour, minute, second) = clock_of(count / 400);
                let _ = write!(log, "{}11-{day:02} {hour:02}:{minute:02}:{second:02}", &line[..at]);
                log.push_str(&line[at + 14..message]);
            }
            None => log.push_str(&line[..message]),
        }
        let other = |c: char| match c {
            '0'..='9' => {
                random = random.rotate_left(7).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                char::from(b'0' + u8::try_from(random % 10).unwrap_or(0))
            }
            c => c,
        };
        log.extend(line[message..].chars().map(other));
        log.push('\n');
        if count.is_multiple_of(8) {
            let _ = writeln!(
                log,
                "(APIServer pid=1) INFO:     127.0.0.1:{} - \"POST /v1/completions HTTP/1.1\" 200 OK",
                count % 60_000
            );
        }
        if count.is_multiple_of(1000) {
            log.push_str(REPORT);
        }
    }
    log
}

const REPORT: &str = "\
(APIServer pid=1) INFO 11-22 06:00:00 [loggers.py:273] Engine 000: Avg prompt throughput: 888.7 tokens/s, Avg generation throughput: 284.4 tokens/s, Running: 8 reqs, Waiting: 0 reqs, GPU KV cache usage: 1.5%, Prefix cache hit rate: 0.0%
";

fn clock_of(seconds: u64) -> (u64, u64, u64, u64) {
    (22 + seconds / 86_400 % 6, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

fn xorshift(mut x: u64) -> u64 {
    x ^= x << 13;
    x ^= x >> 7;
    x ^ (x << 17)
}

fn read(log: &[u8]) -> usize {
    let mut parser = LogParser::new();
    for block in log.chunks(256 * 1024) {
        parser.push_bytes(block);
    }
    parser.finish().engines.len()
}

fn vllm_log(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("vllm_log");
    for (name, log) in [("a start", START.to_owned()), ("64 MB at work, DEBUG", at_work(64_000_000))] {
        group.throughput(Throughput::Bytes(log.len().try_into().unwrap_or(u64::MAX)));
        group.sample_size(20);
        group.bench_function(name, |bench| bench.iter(|| read(black_box(log.as_bytes()))));
    }
    group.finish();
}

/// How fast a log is searched for secrets, which every line that is shown goes through. Nothing of these logs is one, as in
/// nearly all.
fn redaction(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("redaction");
    let log = at_work(10_000_000);
    group.throughput(Throughput::Bytes(log.len().try_into().unwrap_or(u64::MAX)));
    group.sample_size(20);
    group.bench_function("10 MB of a vLLM log", |bench| bench.iter(|| vramscope_core::redact(black_box(&log))));
    let secret = format!("{log}Authorization: Bearer {}\n", "a".repeat(64));
    assert!(!vramscope_core::redact(&secret).contains(&"a".repeat(64)));
    group.finish();
}

criterion_group!(benches, vllm_log, redaction);
criterion_main!(benches);
