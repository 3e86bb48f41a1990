//! Statistics over a million samples.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use vramscope_core::Stats;

const SAMPLES: u64 = 1_000_000;

/// Used bytes as a long run shows them: a plateau with small steps, in no order.
fn readings() -> Vec<u64> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..SAMPLES).map(|_| (130 << 30) + (next() % 4096) * (2 << 20)).collect()
}

fn stats(c: &mut Criterion) {
    let readings = readings();
    let mut group = c.benchmark_group("statistics");
    group.throughput(Throughput::Elements(SAMPLES));
    group.bench_function("stats_of_1e6_samples", |b| {
        b.iter_batched_ref(|| readings.clone(), |values| black_box(Stats::of(values)), BatchSize::LargeInput);
    });
    group.finish();
}

criterion_group!(benches, stats);
criterion_main!(benches);
