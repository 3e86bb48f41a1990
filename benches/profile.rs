//! Reading and writing the profile document: a usual one, and one of an hour at ten ticks a second with nothing thinned
//! out.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use vramscope_schema::v3::{Generator, MemoryTimeline, Metadata, Profile, TimelinePoint};
use vramscope_schema::{Amount, read, write};

/// A profile whose timeline has this many ticks.
fn profile(ticks: u64) -> Profile {
    let generator = Generator { name: "bench".to_owned(), version: "0".to_owned() };
    let point = |tick: u64| TimelinePoint {
        timestamp: None,
        at_ns: Some(tick * 100_000_000),
        memory_bytes: Some(139_016_863_744 + (tick * 7_919) % 2_000_000_000),
        power_w: u32::try_from(200 + tick % 500).ok().map(Amount::from),
        temp_c: Some(54.5),
        utilization_pct: u32::try_from(tick % 101).ok().map(Amount::from),
    };
    let timeline = MemoryTimeline { timeline: (0..ticks).map(point).collect(), ..MemoryTimeline::default() };
    Profile { memory_timeline: Some(timeline), ..Profile::new(generator, Metadata::default()) }
}

fn text(profile: &Profile) -> Vec<u8> {
    let mut text = Vec::new();
    write(profile, &mut text).expect("memory does not fail");
    text
}

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("profile");
    for ticks in [1_000, 36_000] {
        let profile = profile(ticks);
        let text = text(&profile);
        group.throughput(Throughput::Bytes(u64::try_from(text.len()).expect("a text in memory")));
        group.bench_with_input(BenchmarkId::new("write", ticks), &profile, |b, profile| {
            b.iter(|| write(black_box(profile), std::io::sink()).expect("a sink does not fail"));
        });
        group.bench_with_input(BenchmarkId::new("read", ticks), &text, |b, text| {
            b.iter(|| read(black_box(text)).expect("it was written by us"));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(std::time::Duration::from_secs(2));
    targets = bench
}
criterion_main!(benches);
