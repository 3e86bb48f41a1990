//! Recordings that end badly: killed, without room, without permission.

use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vramscope_gpu::FakeGpu;
use vramscope_sampler::{Sampler, SamplerConfig, SamplerError};
use vramscope_timeline::document::{Header, read};
use vramscope_timeline::{Event, JsonlFile, Sink};

const ME: &str = "survival::a_kill_at_any_moment_loses_at_most_the_last_second";

fn sampler() -> Sampler {
    let config = SamplerConfig { period: Duration::from_millis(5), ..SamplerConfig::default() };
    Sampler::spawn(Box::new(FakeGpu::steady(2)), config).unwrap()
}

/// A child that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have been killed already, as it should be.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_child(path: &Path) -> Killed {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", ME, "--nocapture"])
        .env("VRAMSCOPE_TEST_RECORD_TO", path)
        .stdout(Stdio::null())
        .spawn();
    Killed(child.unwrap())
}

fn unix_ns() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

#[test]
fn a_kill_at_any_moment_loses_at_most_the_last_second() {
    if let Some(path) = std::env::var_os("VRAMSCOPE_TEST_RECORD_TO") {
        let mut sampler = sampler();
        let _recording = sampler.record_to(Box::new(JsonlFile::create(Path::new(&path)).unwrap())).unwrap();
        loop {
            std::thread::park();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    for round in 0..10 {
        let mut running: Vec<_> = (0..5u64)
            .map(|n| {
                let path = folder.path().join(format!("{round}-{n}.jsonl"));
                (start_child(&path), path)
            })
            .collect();
        for (n, (child, path)) in running.iter_mut().enumerate() {
            // Wait for its first sample, then for another odd while: 50 different moments up to two seconds.
            while std::fs::metadata(&*path).map_or(0, |file| file.len()) < 2_000 {
                std::thread::sleep(Duration::from_millis(5));
            }
            std::thread::sleep(Duration::from_millis(u64::try_from(round * 37 + n * 83).unwrap() % 400));
            let killed_at = unix_ns();
            child.0.kill().unwrap();
            child.0.wait().unwrap();
            check(path, killed_at);
        }
    }
}

/// The file is readable, says that it was cut short, and reaches to the last second before the kill.
fn check(path: &Path, killed_at: i64) {
    let file = io::BufReader::new(std::fs::File::open(path).unwrap());
    let recorded = read(file).unwrap_or_else(|error| panic!("{}: {error:?}", path.display()));
    assert!(!recorded.is_complete() && !recorded.notes.is_empty());
    let last = recorded.timeline.samples().last().expect("there are samples");
    let last_ns = recorded.header.anchor_unix_ns.unwrap() + i64::try_from(last.at.as_nanos()).unwrap();
    assert!(killed_at - last_ns < 1_000_000_000, "{} ns are lost", killed_at - last_ns);
    let ticks: Vec<u32> = recorded.timeline.ticks().map(|tick| tick[0].tick).collect();
    let missed: u64 = recorded.timeline.gaps().iter().map(|gap| gap.missed).sum();
    let seen = u64::from(ticks.last().unwrap() - ticks[0]) + 1;
    assert_eq!(u64::try_from(ticks.len()).unwrap() + missed, seen, "up to there nothing is missing that is not stated");
}

#[test]
fn a_full_disk_is_an_error_that_keeps_what_was_recorded() {
    let full = Path::new("/dev/full");
    if !full.exists() {
        println!("skipped: this system has no {}", full.display());
        return;
    }
    let mut sampler = sampler();
    let recording = sampler.record_to(Box::new(JsonlFile::create(full).unwrap())).unwrap();
    while recording.live(|live| live.write_failed.is_none() || live.ticks < 5) {
        std::thread::sleep(Duration::from_millis(5));
    }
    match recording.finish() {
        Err(SamplerError::Write { source, finished }) => {
            assert_eq!(source.kind(), io::ErrorKind::StorageFull);
            assert!(finished.timeline.samples().len() >= 5, "sampling went on");
        }
        other => panic!("{other:?}"),
    }
}

/// A file whose disk is full after some bytes.
struct SmallDisk {
    file: JsonlFile,
    left: usize,
}

impl Sink for SmallDisk {
    fn begin(&mut self, header: &Header) -> io::Result<()> {
        self.file.begin(header)
    }

    fn event(&mut self, event: Event<'_>) -> io::Result<()> {
        self.left = self.left.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
        self.file.event(event)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[test]
fn what_was_written_before_a_disk_was_full_is_readable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("timeline.jsonl");
    let mut sampler = sampler();
    let disk = SmallDisk { file: JsonlFile::create(&path).unwrap(), left: 21 };
    let recording = sampler.record_to(Box::new(disk)).unwrap();
    while recording.live(|live| live.write_failed.is_none()) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(matches!(recording.finish(), Err(SamplerError::Write { .. })));
    let recorded = read(io::BufReader::new(std::fs::File::open(&path).unwrap())).unwrap();
    assert!(recorded.timeline.samples().len() >= 10, "{}", recorded.timeline.samples().len());
    assert!(!recorded.is_complete());
}

#[test]
fn a_folder_that_takes_no_files_is_an_error_at_once() {
    assert!(JsonlFile::create(Path::new("/sys/timeline.jsonl")).is_err());
    assert!(JsonlFile::create(Path::new("/nowhere/timeline.jsonl")).is_err());
}
