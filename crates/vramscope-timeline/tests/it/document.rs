//! The timeline file: what is written is read, and what is torn is said.

use std::time::Duration;

use proptest::prelude::*;
use vramscope_core::{
    Bytes, Device, DeviceIndex, Gap, GapCause, GpuProcess, Partition, Phase, PhaseMark, ProcessKind, Reading, Sample,
    SlowReading, SlowSample, Throttle, Timeline, Vendor, Window,
};
use vramscope_timeline::document::{End, Ending, Header, Line, ReadError, Writer, read};

const ANCHOR: i64 = 1_795_323_230_471_258_936;

fn devices() -> Vec<Device> {
    let slice = Partition::MigSlice { parent: DeviceIndex(0), gpu_instance: 3, compute_instance: 0 };
    let amd = Partition::Amd { compute: Some("CPX".into()), memory: None };
    vec![
        Device {
            uuid: Some("GPU-1".into()),
            vendor: Some(Vendor::Nvidia),
            total: Some(Bytes::new(150_754_820_096)),
            driver: Some("580.159.04".into()),
            partition: Some(Partition::MigParent),
            ..Device::unnamed(DeviceIndex(0))
        },
        Device { partition: Some(slice), ..Device::unnamed(DeviceIndex(1)) },
        Device { partition: Some(amd), ..Device::unnamed(DeviceIndex(2)) },
    ]
}

pub(super) fn header() -> Header {
    Header { period_ms: Some(100.0), ..Header::of(Some(ANCHOR), &devices()) }
}

pub(super) fn reading() -> impl Strategy<Value = Reading> {
    let some = |max: u32| prop::option::of(0..max);
    let temperatures = (some(120), some(120));
    let shares = (prop::option::of(0u8..101), prop::option::of(0u8..101));
    let clocks = (some(4000), some(4000));
    let rest = (prop::option::of(any::<u64>()), prop::option::of(0usize..10), prop::option::of(any::<u64>()));
    (any::<u64>(), rest, some(1 << 20), some(1 << 20), temperatures, shares, clocks).prop_map(
        |(used, (energy_mj, reason, total), power_mw, power_average_mw, temperature, shares, clocks)| Reading {
            used: Bytes::new(used),
            total: total.map(Bytes::new),
            reserved: None,
            power_mw,
            power_average_mw,
            temperature_c: temperature.0,
            memory_temperature_c: temperature.1,
            utilization_pct: shares.0,
            memory_utilization_pct: shares.1,
            sm_clock_mhz: clocks.0,
            memory_clock_mhz: clocks.1,
            energy_mj,
            throttle: reason.map(|n| if n == 0 { Throttle::NONE } else { Throttle::ALL[n].0.with(Throttle::IDLE) }),
        },
    )
}

pub(super) fn timeline(readings: Vec<Reading>) -> Timeline {
    let mut timeline = Timeline::new(Some(ANCHOR));
    for device in devices() {
        timeline.describe(device);
    }
    let at = |n: u64| Duration::from_nanos(n * 100_000_001);
    for (n, reading) in (0u32..).zip(readings) {
        timeline.push(Sample { at: at(n.into()), tick: n / 3, device: DeviceIndex(n % 3), reading }).unwrap();
    }
    let process = GpuProcess {
        pid: 7,
        name: Some("python \"x\"\n".into()),
        used: Some(Bytes::ZERO),
        kind: Some(ProcessKind::Both),
        container: None,
    };
    let slow = SlowReading { energy_mj: Some(0), processes: Some(vec![process]), ..SlowReading::default() };
    timeline.push_slow(SlowSample { at: at(1), device: DeviceIndex(0), reading: slow });
    timeline.mark(PhaseMark { phase: Phase::Load, at: at(2) }).unwrap();
    let window = Window { start: at(3), end: at(5) };
    timeline.note_gap(Gap { window, device: Some(DeviceIndex(2)), cause: GapCause::DeviceLost, missed: 1 });
    timeline
}

pub(super) fn written(timeline: &Timeline) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    writer.timeline(timeline).unwrap();
    let end = End { timestamp_ns: ANCHOR, ending: Ending::Finished, ticks: 1, missed: 0, dropped: 0 };
    writer.line(&Line::End(end)).unwrap();
    writer.into_inner()
}

proptest! {
    #[test]
    fn what_is_written_is_read_and_absent_stays_absent(readings in prop::collection::vec(reading(), 1..40)) {
        let before = timeline(readings);
        let recorded = read(written(&before).as_slice()).unwrap();
        prop_assert!(recorded.is_complete() && recorded.notes.is_empty());
        let after = &recorded.timeline;
        prop_assert_eq!(after.samples(), before.samples());
        prop_assert_eq!(after.slow_samples(), before.slow_samples());
        prop_assert_eq!(after.marks(), before.marks());
        prop_assert_eq!(after.gaps(), before.gaps());
        prop_assert_eq!(after.devices(), before.devices());
        prop_assert_eq!(after.anchor_unix_ns(), Some(ANCHOR));
    }

    #[test]
    fn a_file_cut_anywhere_is_good_up_to_its_last_whole_line(
        readings in prop::collection::vec(reading(), 1..12), cut in 0.0f64..1.0
    ) {
        let text = written(&timeline(readings));
        let head = text.iter().position(|&b| b == b'\n').unwrap() + 1;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss,
            reason = "a place in a small file")]
        let cut = head + ((text.len() - 1 - head) as f64 * cut) as usize;
        let recorded = read(&text[..cut]).unwrap();
        let whole = text[head..cut].split_inclusive(|&b| b == b'\n').filter(|line| {
            line.ends_with(b"\n") && line.starts_with(br#"{"t":"sample""#)
        });
        let torn_but_whole = usize::from(recorded.timeline.samples().len() > whole.clone().count());
        prop_assert_eq!(recorded.timeline.samples().len(), whole.count() + torn_but_whole);
        prop_assert!(!recorded.is_complete());
        prop_assert!(!recorded.notes.is_empty(), "a cut is always said");
    }
}

#[test]
fn what_is_no_timeline_is_refused_by_name() {
    assert!(matches!(read(&b""[..]), Err(ReadError::NotATimeline(_))));
    assert!(matches!(read(&b"timestamp_ns,gpu_index\n"[..]), Err(ReadError::NotATimeline(_))));
    let newer = read(&b"{\"vramscope_timeline\":2}\n"[..]);
    assert!(matches!(newer, Err(ReadError::NewerVersion { found: 2 })));
}

#[test]
fn a_damaged_line_in_the_middle_is_an_error_that_names_it() {
    let text = "{\"vramscope_timeline\":1}\n{\"t\":\"sample\",\"timesta\n{\"t\":\"mark\",\"timestamp_ns\":1,\"phase\":\"load\"}\n";
    assert!(matches!(read(text.as_bytes()), Err(ReadError::Damaged { line: 2, .. })));
}

#[test]
fn a_line_of_an_unknown_kind_is_noted_and_left_out() {
    let text = "{\"vramscope_timeline\":1}\n{\"t\":\"moon\",\"phase\":3}\n{\"t\":\"sample\",\"timestamp_ns\":5,\"tick\":0,\"gpu_index\":0,\"used_bytes\":9,\"new\":1}\n";
    let recorded = read(text.as_bytes()).unwrap();
    assert_eq!(recorded.timeline.samples()[0].reading, Reading { used: Bytes::new(9), ..Reading::default() });
    assert_eq!(recorded.notes[0].line, 2);
}

#[test]
fn a_sample_before_the_anchor_is_an_error() {
    let text = "{\"vramscope_timeline\":1,\"anchor_unix_ns\":100}\n{\"t\":\"sample\",\"timestamp_ns\":5,\"tick\":0,\"gpu_index\":0,\"used_bytes\":9}\n";
    assert!(matches!(read(text.as_bytes()), Err(ReadError::Contradiction { line: 2, .. })));
}

#[test]
fn the_time_of_ticks_is_read_by_its_earlier_name_too() {
    let time = r#"{"p50_us":1.0,"p99_us":2.0,"max_us":3.0}"#;
    let cost = |name: &str| {
        let text = format!(
            r#"{{"t":"cost","timestamp_ns":1,"wall_ms":1.0,"ticks":1,"missed":0,"dropped":0,"failed":0,"lateness":{time},"{name}":{time}}}"#
        );
        serde_json::from_str::<Line>(&text).unwrap()
    };
    assert_eq!(cost("tick"), cost("tick_time"));
    let written = serde_json::to_value(cost("tick")).unwrap();
    assert!(written.get("tick").is_none() && written["tick_time"]["max_us"] == 3.0, "{written}");
}
