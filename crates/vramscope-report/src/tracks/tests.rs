use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;
use vramscope_core::{Bytes, Device, DeviceIndex, Gap, GapCause, Phase, Reading, Sample, Window};

use super::*;

fn own(anchor_unix_ns: Option<i64>) -> Host {
    Host::Own { anchor_unix_ns }
}

fn sample(at_ns: u64, tick: u32, device: u32, used: u64) -> Sample {
    let reading = Reading { used: Bytes::new(used), power_mw: Some(80_123), ..Reading::default() };
    Sample { at: Duration::from_nanos(at_ns), tick, device: DeviceIndex(device), reading }
}

fn written(host: Host, devices: u32, write: impl FnOnce(&mut Tracks<&mut Vec<u8>>)) -> (Vec<Value>, TrackCounts) {
    let mut out = Vec::new();
    let devices: Vec<Device> = (0..devices).map(|index| Device::unnamed(DeviceIndex(index))).collect();
    let mut tracks = Tracks::new(&mut out, host, &devices, None).unwrap();
    write(&mut tracks);
    let counts = tracks.finish().unwrap();
    assert_eq!(counts.bytes, out.len() as u64);
    let document: Value = match host {
        Host::Own { .. } => serde_json::from_slice(&out).unwrap(),
        Host::Other { begun, .. } => {
            assert_eq!(out.starts_with(b","), begun);
            let text = String::from_utf8(out).unwrap();
            serde_json::from_str(&format!("{{\"traceEvents\": [{}]}}", text.trim_start_matches(','))).unwrap()
        }
    };
    let events = document["traceEvents"].as_array().unwrap().clone();
    assert_eq!(events.len() as u64, counts.events);
    (events, counts)
}

fn of<'e>(events: &'e [Value], phase: &str, name: &str) -> Vec<&'e Value> {
    events.iter().filter(|event| event["ph"] == phase && event["name"] == name).collect()
}

/// Within a thread, slices nest: each ends within the one in which it begins.
fn assert_nested(events: &[Value]) {
    let mut threads: BTreeMap<u64, Vec<(i64, i64)>> = BTreeMap::new();
    let ns = |value: &Value| format!("{:.0}", value.as_f64().unwrap() * 1000.0).parse::<i64>().unwrap();
    for event in events.iter().filter(|event| event["ph"] == "X") {
        let start = ns(&event["ts"]);
        threads.entry(event["tid"].as_u64().unwrap()).or_default().push((start, start + ns(&event["dur"])));
    }
    for slices in threads.values_mut() {
        slices.sort_by_key(|(start, end)| (*start, -*end));
        let mut open: Vec<i64> = Vec::new();
        for (start, end) in slices {
            open.retain(|last| last > start);
            assert!(open.iter().all(|last| last >= end), "{start}..{end} reaches out of {open:?}");
            open.push(*end);
        }
    }
}

#[test]
fn each_sample_is_a_memory_event_and_other_figures_come_when_they_change() {
    let (events, counts) = written(own(Some(7)), 2, |tracks| {
        for (at, tick, device, used) in [(0, 0, 0, 1 << 30), (5, 0, 1, 3 << 29), (1_000_001, 1, 0, 12_345)] {
            tracks.sample(&sample(at, tick, device, used)).unwrap();
        }
    });
    let memory = of(&events, "C", "memory used");
    assert_eq!((counts.samples, memory.len()), (3, 4), "three samples, and one tick with both devices");
    assert_eq!(of(&events, "C", "power").len(), 2);
    let total: Vec<_> = memory.iter().filter(|event| event["pid"] == 1).collect();
    assert_eq!(total[0]["args"]["GiB"], 2.5);
    let last = memory.iter().find(|event| event["ts"] == 1000.001).unwrap();
    assert_eq!(last["args"]["GiB"].as_f64().unwrap() * 1_073_741_824.0, 12_345.0, "to the byte");
}

#[test]
fn a_device_that_reads_twice_at_a_tick_is_in_no_sum_twice() {
    let (events, _) = written(own(Some(7)), 2, |tracks| {
        for (at, device, used) in [(0, 0, 1 << 30), (1, 0, 2 << 30), (2, 1, 3 << 30)] {
            tracks.sample(&sample(at, 0, device, used)).unwrap();
        }
    });
    let total: Vec<_> = of(&events, "C", "memory used").into_iter().filter(|event| event["pid"] == 1).collect();
    assert_eq!(total.len(), 1);
    assert_eq!(total[0]["args"]["GiB"], 5.0);
}

#[test]
fn among_others_ids_and_times_are_moved() {
    let host = Host::Other { anchor_ns: 4_467_932_961_968_502, first_id: 900_000_000, begun: true };
    let (events, counts) = written(host, 1, |tracks| {
        tracks.sample(&sample(1, 0, 0, 0)).unwrap();
        tracks
            .logged(-1_000, "weights loaded", 16, Some("took\u{202e} 5 s, api_key=sk-abcdefghijklmnopqrstuvwx"))
            .unwrap();
        tracks.engine(-5_000_000_000_000_000, Some(0.5), Some(2.0), None).unwrap();
    });
    assert_eq!(events[2]["ts"].to_string(), "4467932961968.503");
    assert!(events.iter().all(|event| event["pid"].as_u64().unwrap() >= 900_000_000));
    assert!(events.iter().all(|event| event["tid"].as_u64().unwrap() < 900_000_000 + u64::from(IDS)));
    assert_eq!(counts.before_zero, 2, "both of the engine's counters");
    let line = of(&events, "i", "weights loaded")[0];
    let text = line["args"]["text"].as_str().unwrap();
    assert!(!text.contains('\u{202e}') && !text.contains("sk-abc"), "{text}");
    assert_eq!(of(&events, "C", "KV cache in use")[0]["args"]["%"], 50.0);
    assert_eq!(of(&events, "C", "requests")[0]["args"].as_object().unwrap().len(), 1, "nobody said how many wait");
}

#[test]
fn the_parts_are_shown_through_the_phase_of_the_peak_alone() {
    let span = SpanOfPhase { phase: Phase::Measure, start: 10, end: 20 };
    let parts = Parts {
        at: 15,
        used_bytes: 3 << 30,
        parts: vec![("weights".into(), 4 << 30), ("unexplained".into(), -(1 << 30)), ("a\"b".into(), 0)],
    };
    let (events, _) = written(own(None), 1, |tracks| {
        tracks.phases(&[span]).unwrap();
        tracks.parts(&parts, Some(span)).unwrap();
    });
    let stacked = of(&events, "C", "parts as at the peak, through measure");
    assert_eq!(stacked.len(), 2);
    assert_eq!((&stacked[0]["args"]["weights"], &stacked[0]["args"]["unexplained"]), (&4.0.into(), &(-1.0).into()));
    assert_eq!((&stacked[0]["ts"], &stacked[1]["ts"]), (&0.01.into(), &0.02.into()));
    assert!(stacked[1]["args"].as_object().unwrap().values().all(|value| value.as_f64() == Some(0.0)));
    let peak = of(&events, "i", "peak")[0];
    assert_eq!(peak["args"]["used_bytes"], 3_u64 << 30);
}

#[test]
fn more_requests_at_once_than_lanes_are_counted() {
    let mut requests: Vec<RequestSpan> =
        (0..2100).map(|n| RequestSpan { start: n, end: 1_000_000, ..RequestSpan::default() }).collect();
    let (events, counts) = written(own(None), 1, |tracks| tracks.requests(&mut requests).unwrap());
    let slices = events.iter().filter(|event| event["ph"] == "X").count() as u64;
    assert_eq!(slices + counts.left_out, 2100);
    assert!(events.iter().all(|event| event["tid"].as_u64().unwrap() <= u64::from(IDS)));
}

proptest! {
    /// Whatever overlaps, slices nest, none is lost, and each event is of a named process.
    #[test]
    fn slices_nest(spans in prop::collection::vec((0_u32..1000, 0_u32..300, 0_u32..4), 0..80)) {
        let gaps: Vec<Gap> = spans.iter().map(|&(start, length, device)| Gap {
            window: Window {
                start: Duration::from_nanos(start.into()),
                end: Duration::from_nanos(u64::from(start) + u64::from(length)),
            },
            device: (device < 3).then_some(DeviceIndex(device)),
            cause: GapCause::MissedTicks,
            missed: 1,
        }).collect();
        let mut requests: Vec<RequestSpan> = spans.iter().map(|&(start, length, first)| RequestSpan {
            start: start.into(),
            end: i64::from(start) + i64::from(length),
            first_token: Some(i64::from(start) + i64::from(first)),
            name: "request </script>\u{1b}[2J".into(),
            about: Vec::new(),
        }).collect();
        let phases: Vec<SpanOfPhase> = spans.iter().map(|&(start, length, _)| SpanOfPhase {
            phase: Phase::Load, start: start.into(), end: i64::from(start) + i64::from(length),
        }).collect();
        let (events, counts) = written(own(None), 2, |tracks| {
            tracks.gaps(&gaps).unwrap();
            tracks.requests(&mut requests).unwrap();
            tracks.phases(&phases).unwrap();
        });
        prop_assert_eq!(counts.left_out, 0);
        prop_assert_eq!(of(&events, "X", "no readings").len(), gaps.len());
        prop_assert_eq!(of(&events, "X", "request </script>[2J").len(), gaps.len());
        assert_nested(&events);
        let named: Vec<&Value> = of(&events, "M", "process_name").iter().map(|event| &event["pid"]).collect();
        prop_assert!(events.iter().all(|event| named.contains(&&event["pid"])));
    }
}
