//! GPU logs as rows a second, and `analyze` on an hour of eight GPUs at 100 ms.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write as _;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use vramscope_analysis::{Evidence, assemble, read_gpu_log};
use vramscope_runs::EvidenceFiles;
use vramscope_schema::v3::Generator;

const GPUS: u64 = 8;
const HOUR_TICKS: u64 = 36_000;

/// A log as our recorder writes it: an engine loads after a minute and stops a minute before the end.
fn gpu_csv(ticks: u64) -> String {
    let mut text = String::from(
        "timestamp_ns,gpu_index,used_bytes,free_bytes,total_bytes,reserved_bytes,power_mw,power_avg_mw,temp_c,\
         util_gpu_pct,util_mem_pct,sm_clock_mhz,mem_clock_mhz,energy_mj,processes\n",
    );
    let total: u64 = 150_754_820_096;
    for tick in 0..ticks {
        let used: u64 = match tick {
            t if t < 600 || t + 600 > ticks => 0,
            t if t < 1200 => 724_369_408,
            t if t < 1800 => 16_835_289_088,
            t => 139_000_000_000 + (t * 7919 % 512) * (2 << 20),
        };
        for gpu in 0..GPUS {
            let at = 1_795_323_600_000_000_000 + tick * 100_000_000 + gpu * 300_000;
            let power = 125_000 + (tick * 31 + gpu * 7) % 400_000;
            let _ = writeln!(
                text,
                "{at},{gpu},{used},{},{total},644939776,{power},{power},40,{},0,1980,3201,{},",
                total - used,
                tick % 101,
                tick * 12_000
            );
        }
    }
    text
}

/// The log of an engine of eight ranks that fits the samples.
const ENGINE_LOG: &str = "\
INFO 11-22 05:00:58 [core.py:77] Initializing a V1 LLM engine (v0.25.1) with config: model='m', \
dtype=torch.bfloat16, max_seq_len=8192, tensor_parallel_size=8, pipeline_parallel_size=1, quantization=None, \
enforce_eager=True, kv_cache_dtype=auto, device_config=cuda\n\
(Worker_TP0 pid=41) INFO 11-22 05:01:58 [model_runner.py:281] Loading model from scratch...\n\
(Worker_TP0 pid=41) INFO 11-22 05:02:10 [model_runner.py:302] Model loading took 15.0 GiB and 11.500000 seconds\n\
(Worker_TP0 pid=41) INFO 11-22 05:03:00 [gpu_worker.py:538] Available KV cache memory: 111.61 GiB\n\
(EngineCore pid=40) INFO 11-22 05:03:00 [kv_cache_utils.py:2146] GPU KV cache size: 914,304 tokens\n\
(EngineCore pid=40) INFO 11-22 05:03:20 [core.py:344] init engine (profile, create kv cache, warmup model) took 70.00 s\n";

fn analyze(c: &mut Criterion) {
    let day = gpu_csv(2_000);
    let mut group = c.benchmark_group("analyze");
    group.throughput(Throughput::Elements(2_000 * GPUS));
    group.bench_function("gpu_csv_rows", |b| {
        b.iter(|| black_box(read_gpu_log(day.as_bytes()).expect("a log").timeline.samples().len()));
    });
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let mut file = std::fs::File::create(folder.path().join(name)).expect("a file");
        file.write_all(text.as_bytes()).expect("room");
    };
    write("gpu.csv", &gpu_csv(HOUR_TICKS));
    write("vllm.log", ENGINE_LOG);
    let files = EvidenceFiles::find(folder.path()).expect("evidence");
    group.sample_size(10).throughput(Throughput::Elements(HOUR_TICKS * GPUS));
    group.bench_function("one_hour_of_eight_gpus_at_100_ms", |b| {
        b.iter(|| {
            let evidence = Evidence::load(&files, &mut |_, _| {}).expect("evidence");
            let generator = Generator { name: "bench".into(), version: "0".into() };
            let profile = assemble(&evidence, generator).expect("a profile");
            let mut out = Vec::new();
            vramscope_schema::write(&profile, &mut out).expect("a document");
            black_box(out.len())
        });
    });
    group.finish();
}

criterion_group!(benches, analyze);
criterion_main!(benches);
