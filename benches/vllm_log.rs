//! How fast engine logs are read, in bytes a second: a start with little else, and the DEBUG log of an engine at work.
//!
//! For whole processes, with the memory that they need, and beside the usual Python script: `benches/vllm_log.py`.

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use vramscope_vllm_log::LogParser;

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

/// The log of an engine at work, of about so many bytes.
fn at_work(bytes: usize) -> String {
    let mut log = START.to_owned();
    let mut step = 0u64;
    while log.len() < bytes {
        step += 1;
        let (minute, second) = (step / 6000 % 60, step / 100 % 60);
        let _ = writeln!(
            log,
            "(EngineCore pid=2) DEBUG 11-22 06:{minute:02}:{second:02} [v1/worker/gpu_model_runner.py:3312] Running batch \
             with cudagraph_mode: FULL, batch_descriptor: BatchDescriptor(num_tokens={}, num_reqs=None, uniform=False), \
             should_ubatch: False, num_tokens_across_dp: None",
            step % 512
        );
        let _ = writeln!(
            log,
            "(APIServer pid=1) DEBUG 11-22 06:{minute:02}:{second:02} [v1/engine/async_llm.py:{}] Request cmpl-{step:016x} finished.",
            step % 900
        );
        if step.is_multiple_of(5) {
            let _ = writeln!(
                log,
                "(APIServer pid=1) INFO:     127.0.0.1:{} - \"POST /v1/completions HTTP/1.1\" 200 OK",
                step % 60_000
            );
        }
        if step.is_multiple_of(1000) {
            let _ = writeln!(
                log,
                "(APIServer pid=1) INFO 11-22 06:{minute:02}:{second:02} [loggers.py:273] Engine 000: Avg prompt throughput: \
                 888.7 tokens/s, Avg generation throughput: 284.4 tokens/s, Running: 8 reqs, Waiting: 0 reqs, GPU KV \
                 cache usage: 1.5%, Prefix cache hit rate: 0.0%"
            );
        }
    }
    log
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

criterion_group!(benches, vllm_log);
criterion_main!(benches);
