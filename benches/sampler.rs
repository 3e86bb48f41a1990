//! The sampling engine and its files: samples/s through the engine with `FakeGpu`, and how fast each form of recording
//! is written and read. What this takes per sample bounds what sampling can cost beside the driver's own calls.
//!
//! `cargo bench -p benches --bench sampler`, on 2 shared cores, of an hour of eight devices at 100 ms (288 000 samples):
//!
//! | what | samples/s | of one core at 80 samples/s |
//! | --- | --- | --- |
//! | through the engine, 8 `FakeGpu` devices, the last minute kept | 6.2 million | 0.001 % |
//! | JSON lines written | 1.38 million | 0.006 % |
//! | Parquet written (at the end of a recording) | 2.69 million | 0.003 % |
//! | CSV written | 2.17 million | 0.004 % |
//! | JSON lines read; with all statistics | 1.42; 0.92 million | |
//! | Parquet read; with all statistics | 6.2; 2.4 million | |
//!
//! The three files are 67.4, 1.8 and 25.7 MB; these figures repeat, and Parquet of a real recording is a twentieth of its
//! JSON lines.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot go on panics, and sizes are a result that criterion has no place for"
)]

use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use vramscope_core::{Bytes, DeviceIndex, Reading};
use vramscope_gpu::{FakeGpu, GpuBackend, Step};
use vramscope_sampler::{Keep, SamplerConfig, Simulation};
use vramscope_timeline::document::{FileLines, Header, Line, ParquetWriter, Sample, Writer, csv};
use vramscope_timeline::{AnalysisOptions, RecordingFile, analyse};

const DEVICES: u32 = 8;
/// An hour of eight devices at 100 ms.
const TICKS: u32 = 36_000;

fn busy(level: u64) -> Reading {
    let small = u32::try_from(level).unwrap();
    Reading {
        used: Bytes::new(level << 21),
        total: Some(Bytes::new(150_754_820_096)),
        power_mw: Some(70_000 + small * 100),
        temperature_c: Some(30 + small % 50),
        utilization_pct: u8::try_from(level % 101).ok(),
        memory_utilization_pct: u8::try_from(level % 61).ok(),
        sm_clock_mhz: Some(345 + small % 1600),
        memory_clock_mhz: Some(3201),
        ..Reading::default()
    }
}

fn engine(c: &mut Criterion) {
    let gpu = || {
        (0..DEVICES).fold(FakeGpu::steady(DEVICES), |gpu, n| {
            gpu.script(DeviceIndex(n), (0..5_000u64).map(|level| Step::Read(busy(level * 7919 % 5000))))
        })
    };
    let config = SamplerConfig { keep: Keep::Last(Duration::from_secs(60)), ..SamplerConfig::default() };
    let length = Duration::from_millis(100) * 2_000;
    let mut group = c.benchmark_group("sampler");
    group.throughput(Throughput::Elements(u64::from(DEVICES) * 2_000)).sample_size(20);
    group.bench_function("engine_8_fake_gpus", |b| {
        b.iter_batched(
            || -> Box<dyn GpuBackend> { Box::new(gpu()) },
            |gpu| Simulation::new().run(vec![gpu.into()], &config, length, None).unwrap().end.ticks,
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

/// An hour of samples.
fn lines() -> Vec<Line> {
    let sample = |tick: u32, gpu_index: u32| {
        let level = u64::from(tick) * 7919 % 5000;
        let small = u32::try_from(level).unwrap();
        Line::Sample(Sample {
            timestamp_ns: 1_795_323_230_000_000_000 + i64::from(tick) * 100_000_000 + i64::from(gpu_index) * 20_011,
            tick,
            gpu_index,
            used_bytes: level << 21,
            total_bytes: Some(150_754_820_096),
            power_mw: Some(70_000 + small * 100),
            temp_c: Some(30 + small % 50),
            util_gpu_pct: u8::try_from(level % 101).ok(),
            util_mem_pct: u8::try_from(level % 61).ok(),
            sm_clock_mhz: Some(345 + small % 1600),
            mem_clock_mhz: Some(3201),
            ..Sample::default()
        })
    };
    (0..TICKS).flat_map(|tick| (0..DEVICES).map(move |device| sample(tick, device))).collect()
}

fn as_jsonl(path: &Path, lines: &[Line]) {
    let mut writer = Writer::new(BufWriter::new(File::create(path).unwrap()), &Header::default()).unwrap();
    lines.iter().for_each(|line| writer.line(line).unwrap());
    writer.flush().unwrap();
}

fn as_parquet(path: &Path, lines: &[Line]) {
    let mut writer = ParquetWriter::new(BufWriter::new(File::create(path).unwrap()), &Header::default()).unwrap();
    lines.iter().for_each(|line| writer.line(line).unwrap());
    writer.finish().unwrap().flush().unwrap();
}

fn as_csv(path: &Path, lines: &[Line]) {
    let mut out = BufWriter::new(File::create(path).unwrap());
    csv::write_head(&mut out).unwrap();
    for line in lines {
        if let Line::Sample(sample) = line {
            csv::write_line(&mut out, sample).unwrap();
        }
    }
    out.flush().unwrap();
}

fn files(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let lines = lines();
    let samples = u64::try_from(lines.len()).unwrap();
    let path = |end: &str| folder.path().join(format!("recording.{end}"));
    let (jsonl, parquet, table) = (path("jsonl"), path("parquet"), path("csv"));
    let mut group = c.benchmark_group("sampler");
    group.throughput(Throughput::Elements(samples)).sample_size(10);
    group.bench_function("write_jsonl", |b| b.iter(|| as_jsonl(&jsonl, &lines)));
    group.bench_function("write_parquet", |b| b.iter(|| as_parquet(&parquet, &lines)));
    group.bench_function("write_csv", |b| b.iter(|| as_csv(&table, &lines)));
    for (name, path) in [("read_jsonl", &jsonl), ("read_parquet", &parquet)] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut lines = FileLines::open(path).unwrap();
                while let Some(line) = lines.next_line().unwrap() {
                    black_box(line);
                }
            });
        });
        group.bench_function(name.replace("read", "statistics"), |b| {
            b.iter(|| analyse(&mut RecordingFile::open(path).unwrap(), &AnalysisOptions::default()).unwrap().ticks);
        });
    }
    group.finish();
    for path in [jsonl, parquet, table] {
        println!("{}: {} bytes", path.display(), path.metadata().unwrap().len());
    }
}

criterion_group!(benches, engine, files);
criterion_main!(benches);
