//! Recordings that become Parquet files at their end.

use std::fs::{self, File};
use std::io::BufReader;
use std::time::Duration;

use vramscope_gpu::{FakeGpu, GpuBackend};
use vramscope_sampler::{SamplerConfig, SamplerError, Simulation};
use vramscope_timeline::document::{self, ParquetFile};
use vramscope_timeline::{AnalysisOptions, RecordingFile, analyse};

#[test]
fn a_recording_becomes_a_file_at_its_end_and_has_the_same_statistics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.parquet");
    let sink = ParquetFile::create(&path).unwrap();
    let part = sink.part().to_owned();
    assert!(part.exists() && !path.exists());
    let run = |sink| {
        let gpu: Box<dyn GpuBackend> = Box::new(FakeGpu::steady(2));
        Simulation::new().run(vec![gpu.into()], &SamplerConfig::default(), Duration::from_secs(60), sink).unwrap()
    };
    let mut finished = run(Some(Box::new(sink)));
    assert!(path.exists() && !part.exists(), "the JSON lines have become the file");
    let options = AnalysisOptions::default();
    let file = analyse(&mut RecordingFile::open(&path).unwrap(), &options).unwrap();
    let memory = analyse(&mut finished.timeline, &options).unwrap();
    assert!(file.complete && file.cost.is_some());
    assert_eq!((file.ticks, &file.devices), (memory.ticks, &memory.devices));
    let recorded = document::read_file(&path).unwrap();
    assert_eq!(recorded.timeline.samples(), finished.timeline.samples());
}

#[test]
fn a_recording_that_cannot_become_a_file_is_kept_as_json_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.parquet");
    let sink = ParquetFile::create(&path).unwrap();
    let part = sink.part().to_owned();
    // Somebody makes a folder of that name meanwhile.
    fs::create_dir(&path).unwrap();
    fs::write(path.join("in-the-way"), "").unwrap();
    let gpu: Box<dyn GpuBackend> = Box::new(FakeGpu::steady(1));
    let second = Duration::from_secs(1);
    let failed = Simulation::new().run(vec![gpu.into()], &SamplerConfig::default(), second, Some(Box::new(sink)));
    let Err(SamplerError::Write { source, finished }) = failed else { panic!("it cannot be written") };
    assert!(source.to_string().contains("run.parquet.part.jsonl"), "{source}");
    let kept = document::read(BufReader::new(File::open(part).unwrap())).unwrap();
    assert_eq!(kept.timeline.samples(), finished.timeline.samples());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing half written is left");
}
