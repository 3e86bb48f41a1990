//! Statistics of recordings: the same from memory and from the file.

use std::time::Duration;

use vramscope_core::{Bytes, DeviceIndex, Reading, SlowReading};
use vramscope_gpu::{FakeGpu, GpuBackend, GpuError, Step};
use vramscope_sampler::{Finished, SamplerConfig, Simulation};
use vramscope_timeline::document::TimelineReport;
use vramscope_timeline::{AnalysisOptions, JsonlFile, Metric, RecordingFile, Sink, analyse};

const FIRST: DeviceIndex = DeviceIndex(0);

/// A device that loads, works in waves, and fails twice; another one that idles.
fn gpu() -> FakeGpu {
    let busy = |n: u64| {
        let level = u32::try_from((n * 7919) % 97).unwrap();
        Reading {
            used: Bytes::new((4 << 30) + (n % 7) * (1 << 21)),
            total: Some(Bytes::new(80 << 30)),
            power_mw: Some(100_000 + level * 6_000),
            temperature_c: Some(40 + level / 10),
            utilization_pct: u8::try_from(level).ok(),
            ..Reading::default()
        }
    };
    let failure = GpuError::Timeout { device: FIRST, what: "memory" };
    let mut steps: Vec<Step> = (0..400).map(|n| Step::Read(busy(n))).collect();
    steps.insert(100, Step::Fail(failure.clone()));
    steps.insert(200, Step::Fail(failure));
    FakeGpu::steady(2).script(FIRST, steps).slow(DeviceIndex(1), SlowReading::default())
}

fn record(sink: Option<Box<dyn Sink>>) -> Finished {
    let gpu: Box<dyn GpuBackend> = Box::new(gpu());
    let config = SamplerConfig::default();
    Simulation::new().run(vec![gpu.into()], &config, Duration::from_secs(40), sink).unwrap()
}

fn options() -> AnalysisOptions {
    AnalysisOptions { correlate: true, ..AnalysisOptions::default() }
}

fn from_file() -> TimelineReport {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("timeline.jsonl");
    record(Some(Box::new(JsonlFile::create(&path).unwrap())));
    analyse(&mut RecordingFile::open(&path).unwrap(), &options()).unwrap()
}

#[test]
fn a_file_and_its_timeline_have_the_same_statistics() {
    let file = from_file();
    let memory = analyse(&mut record(None).timeline, &options()).unwrap();
    assert!(file.complete && file.notes.is_empty(), "{:?}", file.notes);
    for (a, b) in file.devices.iter().zip(&memory.devices) {
        assert_eq!((a.samples, &a.metrics, &a.idle, &a.energy), (b.samples, &b.metrics, &b.idle, &b.energy));
        assert_eq!(a.correlations, b.correlations);
    }
    assert_eq!((file.ticks, file.missing, &file.gaps), (memory.ticks, memory.missing, &memory.gaps));
}

#[test]
fn the_statistics_are_those_of_the_samples() {
    let finished = record(None);
    let report = from_file();
    let device = &report.devices[0];
    for metric in [Metric::Used, Metric::Power, Metric::Utilization] {
        let mut values: Vec<u64> = finished
            .timeline
            .samples()
            .iter()
            .filter(|sample| sample.device == FIRST)
            .filter_map(|sample| metric.of(&sample.reading))
            .collect();
        let truth = vramscope_core::Summary::of(&mut values).unwrap();
        let found = device.metrics.iter().find(|found| found.metric == metric.name()).unwrap();
        assert!(found.exact);
        assert_eq!(found.n, u64::try_from(truth.n).unwrap());
        for (a, b) in [(found.min, truth.min), (found.median, truth.median), (found.p95, truth.p95)] {
            assert!((a - b).abs() < 1e-6, "{metric:?}: {a} for {b}");
        }
    }
    assert_eq!(device.samples, 398);
    assert_eq!(report.missing, 2);
    assert!(device.correlations[2].pearson.unwrap().value > 0.99, "{:?}", device.correlations[2]);
    let idle = &report.devices[1];
    assert!((idle.idle.as_ref().unwrap().share - 1.0).abs() < 1e-12);
    assert!(idle.correlations[0].not_enough.as_ref().unwrap().contains("does not vary"));
}
