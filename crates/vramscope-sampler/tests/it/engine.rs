//! The engine on a simulated clock: ticks, gaps, losses, memory.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use vramscope_core::{Bytes, Device, DeviceIndex, Gap, GapCause, GpuProcess, Reading, SlowReading, Timeline, Window};
use vramscope_gpu::{FakeGpu, GpuBackend, GpuError, Pace, Renumbered, Replay, Step};
use vramscope_sampler::{Finished, Keep, SamplerConfig, SamplerError, Simulation, Source};
use vramscope_timeline::document::{Line, Lines};
use vramscope_timeline::{AnalysisOptions, JsonLines, analyse};

const FIRST: DeviceIndex = DeviceIndex(0);
const SECOND: DeviceIndex = DeviceIndex(1);
const MINUTE: Duration = Duration::from_secs(60);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn used(bytes: u64) -> Reading {
    Reading { used: Bytes::new(bytes), ..Reading::default() }
}

fn source(gpu: FakeGpu) -> Source {
    let gpu: Box<dyn GpuBackend> = Box::new(gpu);
    gpu.into()
}

fn run(simulation: Simulation, gpu: FakeGpu, length: Duration) -> Finished {
    simulation.run(vec![source(gpu)], &SamplerConfig::default(), length, None).unwrap()
}

fn times(timeline: &Timeline, device: DeviceIndex) -> Vec<u128> {
    timeline.of_device(device, Window::ALL).map(|s| s.at.as_millis()).collect()
}

#[test]
fn every_tick_reads_every_device_at_its_time() {
    let finished = run(Simulation::new(), FakeGpu::steady(3), MINUTE);
    assert_eq!((finished.end.ticks, finished.end.missed, finished.end.dropped), (600, 0, 0));
    assert_eq!(finished.timeline.samples().len(), 1800);
    assert_eq!(finished.timeline.totals(Window::ALL).count(), 600, "every tick is complete");
    assert_eq!(finished.timeline.period(), Some(ms(100)));
    assert!(finished.timeline.gaps().is_empty());
}

#[test]
fn a_slow_call_costs_ticks_that_are_counted_and_stated_as_a_gap() {
    let simulation = Simulation::new();
    let steps = [Step::Hold(used(1), 3), Step::Delay(ms(450)), Step::Read(used(2))];
    let gpu = FakeGpu::steady(1).script(FIRST, steps).paused_by(simulation.pause());
    let finished = run(simulation, gpu, ms(1200));
    // The fourth reading begins at 300 and ends at 750: it is stamped in the middle, and 400 to 600 are missed.
    assert_eq!(times(&finished.timeline, FIRST), [0, 100, 200, 525, 750, 800, 900, 1000, 1100]);
    assert_eq!(finished.end.missed, 3);
    let window = Window { start: ms(300), end: ms(750) };
    let gap = Gap { window, device: None, cause: GapCause::MissedTicks, missed: 3 };
    assert_eq!(finished.timeline.gaps(), [gap]);
    assert!(finished.cost.lateness.max_us >= 50_000.0, "{:?}", finished.cost.lateness);
    assert!(finished.cost.tick_time.max_us >= 450_000.0, "{:?}", finished.cost.tick_time);
}

#[test]
fn a_failed_reading_is_a_gap_of_its_device_and_never_filled_in() {
    let failure = || Step::Fail(GpuError::Timeout { device: SECOND, what: "memory" });
    let gpu = FakeGpu::steady(2).script(SECOND, [Step::Hold(used(1), 2), failure(), failure(), Step::Read(used(9))]);
    let finished = run(Simulation::new(), gpu, ms(600));
    assert_eq!(times(&finished.timeline, SECOND), [0, 100, 400, 500]);
    assert_eq!(times(&finished.timeline, FIRST).len(), 6);
    let window = Window { start: ms(100), end: ms(400) };
    let gap = Gap { window, device: Some(SECOND), cause: GapCause::FailedRead, missed: 2 };
    assert_eq!(finished.timeline.gaps(), [gap]);
    assert_eq!(finished.timeline.totals(Window::ALL).count(), 4, "a tick without a device has no total");
    assert_eq!(finished.cost.failed, 2);
}

#[test]
fn a_lost_device_is_stated_at_once_and_the_others_go_on() {
    let gpu = FakeGpu::steady(2).script(FIRST, [Step::Hold(used(1), 3), Step::Lose]);
    let finished = run(Simulation::new(), gpu, ms(1000));
    assert_eq!(times(&finished.timeline, FIRST), [0, 100, 200]);
    assert_eq!(times(&finished.timeline, SECOND).len(), 10);
    let gaps: Vec<_> = finished.timeline.gaps().iter().map(|g| (g.cause, g.device, g.missed)).collect();
    let lost = GapCause::DeviceLost;
    assert_eq!(gaps, [(lost, Some(FIRST), 1), (lost, Some(FIRST), 6)]);
    assert_eq!(finished.timeline.gaps()[0].window, Window { start: ms(200), end: ms(300) });
}

#[test]
fn a_device_that_never_answers_has_a_gap_from_its_first_failure_to_the_end() {
    let denied = GpuError::Permission { device: FIRST, what: "memory", advice: "ask" };
    let steps = std::iter::repeat_n(Step::Fail(denied), 10);
    let finished = run(Simulation::new(), FakeGpu::steady(1).script(FIRST, steps), ms(1000));
    assert!(finished.timeline.samples().is_empty());
    assert_eq!(finished.timeline.gaps()[0].missed, 10);
}

#[test]
fn slow_figures_are_read_at_their_own_pace_with_and_without_a_second_handle() {
    let slow = SlowReading { energy_mj: Some(7), processes: Some(vec![]), ..SlowReading::default() };
    for gpu in [FakeGpu::steady(1), FakeGpu::steady(1).with_slow_handle()] {
        let finished = run(Simulation::new(), gpu.slow(FIRST, slow.clone()), MINUTE);
        let samples = finished.timeline.slow_samples();
        assert_eq!((samples.len(), &samples[0].reading), (61, &slow), "one each second, and one at the end");
        assert_eq!(finished.end.ticks, 600);
    }
}

#[test]
fn what_is_dear_is_read_first_last_and_seldom_between() {
    let dear = FakeGpu::steady(1).rare_energy(FIRST, (1..).take(4).map(|count| Ok(count * 1_000)));
    let config = SamplerConfig { summary: Some(AnalysisOptions::default()), ..SamplerConfig::default() };
    let finished = Simulation::new().run(vec![source(dear)], &config, ms(22_500), None).unwrap();
    let counted = finished.timeline.slow_samples().iter().filter_map(|slow| slow.reading.energy_mj);
    let seconds: Vec<u64> = finished
        .timeline
        .slow_samples()
        .iter()
        .filter(|slow| slow.reading.energy_mj.is_some())
        .map(|slow| slow.at.as_secs())
        .collect();
    assert_eq!(counted.collect::<Vec<_>>(), [1_000, 2_000, 3_000, 4_000]);
    assert_eq!(seconds, [0, 10, 20, 22]);
    let report = finished.summary.unwrap();
    let energy = report.devices[0].energy.as_ref().unwrap();
    assert_eq!(energy.counter_j, Some(3.0));
}

#[test]
fn a_rare_reading_that_fails_costs_nothing_else_and_is_stated() {
    let failure = || Err(GpuError::Timeout { device: FIRST, what: "energy" });
    let slow = SlowReading { power_limit_mw: Some(700_000), ..SlowReading::default() };
    let gpu = FakeGpu::steady(1).slow(FIRST, slow).rare_energy(FIRST, [Ok(1_000), failure(), failure(), Ok(9_000)]);
    let mut file = Vec::new();
    let finished = written(gpu, ms(22_500), &mut file);
    let kept = finished.timeline.slow_samples();
    assert_eq!(kept.len(), 24, "one each second, and one at the end");
    assert!(kept.iter().all(|slow| slow.reading.power_limit_mw == Some(700_000)));
    let counted: Vec<_> = kept.iter().filter_map(|slow| slow.reading.energy_mj).collect();
    assert_eq!((counted, finished.cost.failed), (vec![1_000, 9_000], 2));
    assert_eq!(failures(&file), [(10_000, "read energy of device 0: the driver did not answer in time".to_owned())]);
}

#[test]
fn a_rare_reading_is_kept_where_the_slow_one_fails() {
    let denied = GpuError::Driver { device: FIRST, what: "processes", detail: "a list that cannot be".into() };
    let gpu = FakeGpu::steady(1).slow_fails(FIRST, denied.clone()).rare_energy(FIRST, [Ok(1_000), Ok(2_000)]);
    let mut file = Vec::new();
    let finished = written(gpu, ms(11_500), &mut file);
    let counted: Vec<_> = finished.timeline.slow_samples().iter().map(|slow| slow.reading.energy_mj).collect();
    assert_eq!(counted, [Some(1_000), Some(2_000), Some(2_000)], "at the beginning, after ten seconds, at the end");
    assert_eq!(finished.cost.failed, 13, "each of them");
    assert_eq!(failures(&file), [(0, denied.to_string())], "stated once, since it stays the same");
}

/// A device that is lost in the midst of its rare reading.
struct HalfRead(FakeGpu);

impl GpuBackend for HalfRead {
    fn name(&self) -> &'static str {
        "half"
    }

    fn devices(&self) -> &[Device] {
        self.0.devices()
    }

    fn read(&mut self, device: DeviceIndex) -> Result<Reading, GpuError> {
        self.0.read(device)
    }

    fn processes(&mut self, device: DeviceIndex) -> Result<Vec<GpuProcess>, GpuError> {
        self.0.processes(device)
    }

    fn read_rare(&mut self, device: DeviceIndex, into: &mut SlowReading) -> Result<(), GpuError> {
        into.energy_mj = Some(7);
        Err(GpuError::Lost { device, what: "utilization buffer", detail: "so the script says".into() })
    }
}

#[test]
fn what_a_rare_reading_had_read_before_it_failed_is_kept() {
    let half: Box<dyn GpuBackend> = Box::new(HalfRead(FakeGpu::steady(1)));
    let finished = Simulation::new().run(vec![half.into()], &SamplerConfig::default(), ms(2_500), None).unwrap();
    let kept: Vec<_> = finished.timeline.slow_samples().iter().map(|slow| slow.reading.energy_mj).collect();
    assert_eq!(kept, [Some(7)], "and a lost device is asked nothing more");
}

#[test]
fn a_device_that_is_lost_at_a_slow_reading_is_asked_nothing_more() {
    let lost = GpuError::Lost { device: FIRST, what: "processes", detail: "so the script says".into() };
    let gpu = FakeGpu::steady(1).slow_fails(FIRST, lost).rare_energy(FIRST, [Ok(1_000)]);
    let mut file = Vec::new();
    let finished = written(gpu, ms(3_500), &mut file);
    assert!(finished.timeline.slow_samples().is_empty());
    assert_eq!(failures(&file).len(), 1);
}

/// A destination in memory.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Records into memory as a file.
fn written(gpu: FakeGpu, length: Duration, file: &mut Vec<u8>) -> Finished {
    let shared = Shared::default();
    let sink = Box::new(JsonLines::new(shared.clone()));
    let finished = Simulation::new().run(vec![source(gpu)], &SamplerConfig::default(), length, Some(sink)).unwrap();
    file.append(&mut shared.0.lock().unwrap());
    finished
}

/// The slow readings that failed by a file, with their time in milliseconds.
fn failures(file: &[u8]) -> Vec<(i64, String)> {
    let mut lines = Lines::new(file).unwrap();
    std::iter::from_fn(|| lines.next_line().unwrap())
        .filter_map(|line| match line {
            Line::Failure(line) => Some((line.timestamp_ns / 1_000_000, line.error)),
            _ => None,
        })
        .collect()
}

#[test]
fn two_sources_meet_in_one_tick_and_have_one_total() {
    let first = source(FakeGpu::steady(1).script(FIRST, [Step::Read(used(10))]));
    let other: Box<dyn GpuBackend> = Box::new(FakeGpu::steady(1).script(FIRST, [Step::Read(used(5))]));
    let second: Box<dyn GpuBackend> = Box::new(Renumbered::new(other, 1));
    let config = SamplerConfig::default();
    let finished = Simulation::new().run(vec![first, second.into()], &config, ms(1000), None).unwrap();
    let totals: Vec<u64> = finished.timeline.totals(Window::ALL).map(|t| t.used.get()).collect();
    assert_eq!(totals, [15; 10]);
    assert_eq!(finished.end.ticks, 10);
}

#[test]
fn what_cannot_be_sampled_is_refused_before_it_begins() {
    let config = |ms| SamplerConfig { period: Duration::from_millis(ms), ..SamplerConfig::default() };
    let refused = |sources, config| Simulation::new().run(sources, &config, MINUTE, None).unwrap_err();
    let fast = refused(vec![source(FakeGpu::steady(1))], config(4));
    assert!(matches!(fast, SamplerError::TooFast { backend: None, .. }));
    assert!(matches!(refused(vec![], config(100)), SamplerError::NoDevice));
    let missing = Source { devices: vec![DeviceIndex(3)], ..source(FakeGpu::steady(1)) };
    assert!(matches!(refused(vec![missing], config(100)), SamplerError::Device { .. }));
    let twice = vec![source(FakeGpu::steady(1)), source(FakeGpu::steady(1))];
    assert!(matches!(refused(twice, config(100)), SamplerError::Device { .. }));
}

#[test]
fn a_recording_can_be_recorded_again() {
    let gpu = FakeGpu::steady(2).script(FIRST, [Step::Hold(used(1), 5), Step::Hold(used(2), 5)]);
    let first = run(Simulation::new(), gpu, ms(1000)).timeline;
    let replay: Box<dyn GpuBackend> = Box::new(Replay::new(first.clone(), Pace::EachSample));
    let config = SamplerConfig::default();
    let second = Simulation::new().run(vec![replay.into()], &config, ms(1000), None).unwrap().timeline;
    assert_eq!(second.samples(), first.samples());
    assert_eq!(second.devices(), first.devices());
}

#[test]
fn a_ring_keeps_the_last_of_it_and_all_statistics() {
    let config = SamplerConfig { keep: Keep::Last(Duration::from_secs(5)), ..SamplerConfig::default() };
    let finished = Simulation::new().run(vec![source(FakeGpu::steady(1))], &config, MINUTE, None).unwrap();
    assert_eq!(finished.end.ticks, 600);
    let kept = times(&finished.timeline, FIRST);
    assert_eq!((kept.first(), kept.last(), kept.len()), (Some(&54_900), Some(&59_900), 51));
}

#[test]
fn statistics_kept_while_recording_are_those_of_the_whole_recording() {
    let options = AnalysisOptions { idle_threshold_pct: 30, ..AnalysisOptions::default() };
    let levels = (0..2_000u64).map(|level| match level % 97 {
        0 => Step::Fail(GpuError::Timeout { device: FIRST, what: "memory" }),
        _ => Step::Read(busy(level * 7919 % 5000)),
    });
    let counter = SlowReading { energy_mj: Some(5), ..SlowReading::default() };
    let gpu = FakeGpu::steady(2).script(FIRST, levels).slow(SECOND, counter);
    let config = SamplerConfig { summary: Some(options), ..SamplerConfig::default() };
    let mut finished = Simulation::new().run(vec![source(gpu)], &config, MINUTE * 4, None).unwrap();
    let kept = finished.summary.take().unwrap();
    let mut afterwards = analyse(&mut finished.timeline, &options).unwrap();
    // A timeline in memory does not hold the cost.
    afterwards.cost = Some(finished.cost);
    assert_eq!(kept, afterwards);
    assert!(kept.gaps.iter().any(|gap| gap.missed > 0) && kept.devices[0].idle.is_some(), "{kept:?}");
}

#[test]
fn a_week_of_eight_devices_stays_small() {
    // In a process of its own, since what is measured is a process's memory.
    let name = "engine::a_week_of_eight_devices_stays_small";
    if std::env::var_os("VRAMSCOPE_TEST_CHILD").is_none() {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env("VRAMSCOPE_TEST_CHILD", "1")
            .status()
            .unwrap();
        assert!(child.success());
        return;
    }
    let gpu = (0..8).fold(FakeGpu::steady(8), |gpu, n| {
        let levels = (0..5_000u64).map(|level| Step::Read(busy(level * 7919 % 5000)));
        gpu.script(DeviceIndex(n), levels)
    });
    let week = Duration::from_secs(7 * 24 * 3600);
    let summary = Some(AnalysisOptions::default());
    let config = SamplerConfig { keep: Keep::Last(MINUTE), summary, ..SamplerConfig::default() };
    let start = std::time::Instant::now();
    let finished = Simulation::new().run(vec![source(gpu)], &config, week, None).unwrap();
    assert_eq!((finished.end.ticks, finished.end.missed), (6_048_000, 0));
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak: Option<u64> =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    println!("a week in {:?}, at most {peak:?} kB resident", start.elapsed());
    if let Some(peak) = peak {
        assert!(peak < 50 * 1024, "{peak} kB");
    }
}

fn busy(level: u64) -> Reading {
    let small = u32::try_from(level).unwrap_or(0);
    Reading {
        used: Bytes::new(level << 21),
        power_mw: Some(70_000 + small * 100),
        temperature_c: Some(30 + small % 50),
        utilization_pct: u8::try_from(level % 101).ok(),
        sm_clock_mhz: Some(345 + small % 1600),
        ..Reading::default()
    }
}
