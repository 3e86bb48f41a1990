//! Reading and analysing a trace: plain and gzip, with one worker and with several.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write as _;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use vramscope_trace::{Options, Source, summarize};

/// JSON bytes of the trace.
const BYTES: usize = 24 << 20;

const KERNELS: [(&str, u64); 5] = [
    ("nvjet_sm90_tst_128x8_64x12_2x1_v_bz_TNT", 18_700),
    ("void vllm::rms_norm_kernel<c10::BFloat16>(c10::BFloat16*, c10::BFloat16 const*, long, float, int, int)", 2_800),
    (
        "void cutlass::device_kernel<flash::enable_sm90_or_later<flash::FlashAttnFwdSm90<flash::CollectiveMainloopFwdSm90<2, cute::tuple<cute::C<1>, cute::C<1>, cute::C<1> >, 128, cutlass::bfloat16_t, float> > > >(int)",
        8_300,
    ),
    (
        "void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16, (vllm::Fp8KVCacheDataType)0>(__nv_bfloat16 const*, long)",
        2_100,
    ),
    ("void vllm::act_and_mul_kernel<c10::BFloat16, true>(c10::BFloat16*, c10::BFloat16 const*, int)", 2_400),
];

fn micros(ns: u64) -> String {
    format!("{}.{:03}", ns / 1000, ns % 1000)
}

/// A trace as an eager engine gives it: a python frame, an operator, a call and a kernel for each launch, and steps.
fn trace() -> String {
    let mut text = String::from(
        "{\"schemaVersion\": 1, \"distributedInfo\": {\"rank\": 0, \"world_size\": 1},\n\"traceEvents\": [\n",
    );
    let mut at = 4_467_932_961_968_502;
    let mut free = at;
    let mut id = 100u64;
    while text.len() < BYTES {
        let begin = at;
        for n in 0..400usize {
            id += 1;
            let (name, length) = KERNELS[n % KERNELS.len()];
            let ts = micros(at);
            let _ = write!(
                text,
                "{{\"ph\": \"X\", \"cat\": \"python_function\", \"name\": \"vllm/model_executor/layers/linear.py({n}): forward\", \"pid\": 5, \"tid\": 5, \"ts\": {ts}, \"dur\": 21.000, \"args\": {{\"Python parent id\": {id}, \"Python id\": {id}, \"Ev Idx\": {id}}}}},\n\
                 {{\"ph\": \"X\", \"cat\": \"cpu_op\", \"name\": \"aten::mm\", \"pid\": 5, \"tid\": 5, \"ts\": {ts}, \"dur\": 18.000, \"args\": {{\"External id\": {id}, \"Input Dims\": [[8, 4096], [4096, 14336]], \"Input type\": [\"c10::BFloat16\", \"c10::BFloat16\"], \"Ev Idx\": {id}}}}},\n\
                 {{\"ph\": \"X\", \"cat\": \"cuda_runtime\", \"name\": \"cudaLaunchKernel\", \"pid\": 5, \"tid\": 5, \"ts\": {ts}, \"dur\": 6.000, \"args\": {{\"External id\": {id}, \"cbid\": 211, \"correlation\": {id}}}}},\n"
            );
            free = free.max(at + 7_000) + 640;
            let _ = writeln!(
                text,
                "{{\"ph\": \"X\", \"cat\": \"kernel\", \"name\": \"{name}\", \"pid\": 0, \"tid\": 7, \"ts\": {}, \"dur\": {}, \"args\": {{\"External id\": {id}, \"queued\": 0, \"device\": 0, \"context\": 1, \"stream\": 7, \"correlation\": {id}, \"registers per thread\": 168, \"shared memory\": 213016, \"blocks per SM\": 0.060606, \"grid\": [8, 1, 1], \"block\": [128, 1, 1], \"est. achieved occupancy %\": 19}}}},",
                micros(free),
                micros(length)
            );
            free += length;
            at += 22_000;
        }
        let _ = writeln!(
            text,
            "{{\"ph\": \"X\", \"cat\": \"user_annotation\", \"name\": \"execute_context_0(0)_generation_8(8)\", \"pid\": 5, \"tid\": 5, \"ts\": {}, \"dur\": {}}},",
            micros(begin),
            micros(at - begin)
        );
        at += 300_000;
    }
    text.push_str("{\"ph\": \"M\", \"name\": \"process_name\", \"pid\": 5, \"args\": {\"name\": \"python3\"}}\n]}\n");
    text
}

fn analyse(c: &mut Criterion) {
    let plain = trace();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(plain.as_bytes()).expect("memory takes everything");
    let gzip = Source::memory("gzip", gzip.finish().expect("memory takes everything"));
    let bytes = plain.len() as u64;
    let plain = Source::memory("plain", plain.into_bytes());
    let mut group = c.benchmark_group("trace");
    group.throughput(Throughput::Bytes(bytes)).sample_size(10);
    for (name, source, threads) in [("plain_1", &plain, 1), ("plain_2", &plain, 2), ("gzip_2", &gzip, 2)] {
        let options = Options { threads, ..Options::default() };
        group.bench_function(name, |b| {
            b.iter(|| black_box(summarize(source, &options)).map(|summary| summary.events));
        });
    }
    let stacks = Options { threads: 2, stacks: true, ..Options::default() };
    group.bench_function("plain_2_stacks", |b| b.iter(|| black_box(summarize(&plain, &stacks)).map(|s| s.events)));
    group.finish();
}

criterion_group!(benches, analyse);
criterion_main!(benches);
