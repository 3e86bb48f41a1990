//! The engine on its real threads: streams, marks, hanging calls. Nothing here asserts how long something takes.

use std::sync::Arc;
use std::time::Duration;

use vramscope_core::{Bytes, DeviceIndex, GapCause, Phase, Reading};
use vramscope_gpu::{FakeGpu, Step};
use vramscope_sampler::{Keep, Sampler, SamplerConfig, SamplerError};
use vramscope_timeline::Metric;

fn config() -> SamplerConfig {
    SamplerConfig { period: Duration::from_millis(5), ..SamplerConfig::default() }
}

#[test]
fn marks_split_a_recording_and_recordings_follow_each_other() {
    let mut sampler = Sampler::spawn(Box::new(FakeGpu::steady(1)), config()).unwrap();
    for _ in 0..2 {
        let recording = sampler.record().unwrap();
        for phase in [Phase::Baseline, Phase::Load] {
            recording.mark(phase).unwrap();
            std::thread::sleep(Duration::from_millis(40));
        }
        let timeline = recording.finish().unwrap().timeline;
        let load = timeline.window(Phase::Load).unwrap();
        assert!(timeline.of_device(DeviceIndex(0), load).count() > 0);
        assert!(timeline.window(Phase::Baseline).unwrap().end == load.start);
        assert!(timeline.samples()[0].at < Duration::from_secs(10), "each recording has its own anchor");
    }
}

#[test]
fn live_statistics_are_at_hand_while_it_runs() {
    let reading = Reading { used: Bytes::new(1 << 30), power_mw: Some(5), ..Reading::default() };
    let gpu = FakeGpu::steady(1).script(DeviceIndex(0), [Step::Read(reading)]);
    let mut sampler = Sampler::spawn(Box::new(gpu), SamplerConfig { keep: Keep::Nothing, ..config() }).unwrap();
    let recording = sampler.record().unwrap();
    while recording.live(|live| live.ticks) < 3 {
        std::thread::sleep(Duration::from_millis(5));
    }
    recording.live(|live| {
        let device = live.device(DeviceIndex(0)).unwrap();
        assert_eq!(device.sketch(Metric::Used).max(), Some(1 << 30));
        assert_eq!(device.sketch(Metric::Temperature).count(), 0, "what the device lacks has no statistics");
        assert_eq!(device.last.unwrap().reading, reading);
    });
    let finished = recording.finish().unwrap();
    assert!(finished.timeline.samples().is_empty());
    assert_eq!(finished.cost.missed, finished.end.missed);
}

#[tokio::test(flavor = "current_thread")]
async fn a_tokio_program_gets_the_samples_and_the_end() {
    let mut sampler = Sampler::spawn(Box::new(FakeGpu::steady(2)), config()).unwrap();
    let recording = sampler.record().unwrap();
    let mut stream = recording.stream(1000);
    for _ in 0..6 {
        assert!(stream.next().await.is_some());
    }
    let ended = tokio::task::spawn_blocking(|| ());
    ended.await.unwrap();
    drop(recording);
    while stream.next().await.is_some() {}
    assert_eq!(stream.lost(), 0);
}

#[tokio::test(flavor = "current_thread")]
async fn a_reader_that_is_too_slow_loses_samples_and_the_recording_none() {
    let mut sampler = Sampler::spawn(Box::new(FakeGpu::steady(2)), config()).unwrap();
    let recording = sampler.record().unwrap();
    let stream = recording.stream(1);
    while recording.live(|live| live.ticks) < 5 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let finished = recording.finish().unwrap();
    assert_eq!(finished.end.dropped, 0);
    assert!(stream.lost() > 0);
}

#[test]
fn a_driver_call_that_hangs_does_not_hang_the_program() {
    let hang = Arc::new(|_| {
        loop {
            std::thread::park();
        }
    });
    let reading = Reading::default();
    let steps = [Step::Hold(reading, 3), Step::Delay(Duration::from_secs(1)), Step::Read(reading)];
    let gpu = FakeGpu::steady(1).script(DeviceIndex(0), steps).paused_by(hang);
    let mut sampler = Sampler::spawn(Box::new(gpu), config()).unwrap();
    let recording = sampler.record().unwrap();
    while recording.live(|live| live.stalled).is_none() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let finished = recording.finish().unwrap();
    assert_eq!(finished.timeline.samples().len(), 3, "what was read before is kept");
    let gap = finished.timeline.gaps().last().unwrap();
    assert_eq!(gap.cause, GapCause::MissedTicks);
    assert!(gap.missed > 10 && finished.end.missed >= gap.missed, "{gap:?}");
    assert!(matches!(sampler.record(), Err(SamplerError::Stalled { backend: "fake" })));
}
