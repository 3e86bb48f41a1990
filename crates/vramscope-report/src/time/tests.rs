//! Laws of the section as a whole.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const GIB: u64 = 1 << 30;

fn memory(bytes: u64) -> Reading {
    Reading { used_bytes: Some(bytes), power_w: Some(100.0), temperature_c: Some(50.0), ..Reading::default() }
}

fn document() -> Document {
    let mut recording = Recording::new(&[0]);
    recording.gap(50, 100, None, "missed_ticks");
    for (tick, at) in [0, 25, 50, 100, 125].into_iter().enumerate() {
        recording.reading(0, u64::try_from(tick).unwrap(), at, &memory(GIB));
    }
    recording.event(30, "</script><img src=x onerror=alert(1)>", Some("<!--<script>\u{2028}"));
    of(recording)
}

fn of(recording: Recording) -> Document {
    Document::new("x", json!({"vramscope_timeline_report": 1})).unwrap().with_recording(recording)
}

fn chart_of(document: &Document) -> Option<TimeChart> {
    chart(&mut Source::of(document, 0)?, &document.root(0), data::LARGEST)
}

fn times(document: &Document, track: usize, rows: usize) -> Vec<Vec<u64>> {
    let source = Source::of(document, 0).unwrap();
    let column = Recording::column(track, Metric::Memory);
    let lines = lines(&source.recording, &source.recording.grid.coarse(rows), (track, column));
    lines.iter().map(|line| line.iter().map(|(at, _)| *at).collect()).collect()
}

#[test]
fn a_gap_is_never_bridged() {
    assert_eq!(times(&document(), 1, 100), [vec![0, 25, 50], vec![100, 125]]);
}

#[test]
fn nothing_foreign_ends_the_data() {
    let chart = chart_of(&document()).unwrap();
    assert!(!chart.data.contains(['<', '>', '&']) && chart.data.contains("\\u003c/script\\u003e"));
    let html = crate::page(&[document()], None).unwrap().html();
    assert!(!html.contains("<img") && html.contains("uPlot"));
}

#[test]
fn a_document_without_anything_over_time_has_no_section() {
    let value = json!({"vramscope_timeline_report": 1});
    let empty = Document::new("x", value).unwrap();
    assert!(section(&empty, 0).is_none() && section(&empty.with_recording(Recording::new(&[0])), 0).is_none());
}

/// GPU 1 is not read for a time in which GPU 0 has most.
fn half_read(ticks: u64) -> Document {
    let mut recording = Recording::new(&[0, 1]);
    let away = ticks / 3..ticks / 2;
    for tick in 0..ticks {
        recording.reading(0, tick, tick, &memory(if away.contains(&tick) { 50 * GIB } else { 10 * GIB }));
        if !away.contains(&tick) {
            recording.reading(1, tick, tick, &memory(10 * GIB));
        }
    }
    of(recording)
}

#[test]
fn a_total_is_open_where_not_all_were_read_and_the_words_say_so() {
    let document = half_read(60);
    let words = chart_of(&document).unwrap().words;
    assert!(words.contains("most memory in use is 20.00 GiB"), "{words}");
    assert!(words.contains("GPU 0 alone has more: 50.00 GiB"), "{words}");
    assert!(words.contains("not known at 10 of 60 ticks"), "{words}");
    for (document, rows) in [(document, 100), (half_read(60_000), 100), (half_read(60_000), 7)] {
        let lines = times(&document, 0, rows);
        let from = Source::of(&document, 0).unwrap().recording.ticks() / 3;
        assert!(lines.len() > 1, "{rows}");
        for line in lines {
            assert!(line.iter().all(|at| *at < from) || line.iter().all(|at| *at >= from / 2 * 3), "{line:?}");
        }
        assert_eq!(times(&document, 1, rows).len(), 1);
        assert_eq!(times(&document, 2, rows).len(), 2, "a GPU is open too where only others were read");
    }
}

#[test]
fn a_total_that_comes_and_goes_is_open_in_merged_rows_too() {
    let mut recording = Recording::new(&[0, 1]);
    for tick in 0..60_000 {
        recording.reading(0, tick, tick, &memory(GIB));
        if tick % 3 != 0 {
            recording.reading(1, tick, tick, &memory(GIB));
        }
    }
    let document = of(recording);
    let source = Source::of(&document, 0).unwrap();
    assert_eq!(times(&document, 0, 360).len(), source.recording.grid.coarse(360).rows.len());
    assert!(chart_of(&document).unwrap().words.contains("not known at 20,000 of 60,000 ticks"));
}

proptest! {
    /// Held against readings as they were given, whatever was merged.
    #[test]
    fn words_have_the_peaks_of_the_readings_with_their_phases(
        ticks in prop::collection::vec((prop::option::weighted(0.9, 0u64..100), prop::option::weighted(0.9, 0u64..100)), 2..60),
        stretch in prop::sample::select(vec![1u64, 700]),
    ) {
        let mut recording = Recording::new(&[0, 1]);
        for (tick, (one, two)) in (0..).zip(ticks.iter().flat_map(|tick| (0..stretch).map(move |_| tick))) {
            for (device, used) in [(0, one), (1, two)] {
                if let Some(used) = used {
                    recording.reading(device, tick, tick * 1_000_000_000, &memory(used * GIB));
                }
            }
        }
        for (place, _) in (0..).zip(&ticks) {
            let second = 1_000_000_000 * stretch;
            recording.phase(&format!("p{place}."), place * second, (place + 1) * second);
        }
        let first_most = |values: Vec<(usize, u64)>| values.into_iter().reduce(|one, two| if two.1 > one.1 { two } else { one });
        let both = |(place, (one, two)): (usize, &(Option<u64>, Option<u64>))| Some((place, (*one)? + (*two)?));
        let total = first_most(ticks.iter().enumerate().filter_map(both).collect());
        let alone = ticks.iter().flat_map(|(one, two)| [one, two]).flatten().max();
        let Some(chart) = chart_of(&of(recording)) else { return Ok(()) };
        if let Some((place, total)) = total {
            let said = format!("most memory in use is {}, first reached", Unit::Memory.show(exact(total * GIB)));
            prop_assert!(chart.words.contains(&said), "{}", chart.words);
            let (_, after) = chart.words.split_once("first reached").unwrap();
            prop_assert!(after.split_once(')').unwrap().0.ends_with(&format!("(phase p{place}.")), "{}", chart.words);
            let more = alone.is_some_and(|alone| *alone > total);
            prop_assert_eq!(chart.words.contains("alone has more"), more, "{}", chart.words);
        }
        if chart.words.contains("alone has more") {
            let said = format!("alone has more: {} in use", Unit::Memory.show(exact(alone.unwrap() * GIB)));
            prop_assert!(chart.words.contains(&said), "{}", chart.words);
        }
    }
}

#[test]
fn points_without_a_time_have_no_place() {
    let profile = |points: Value| {
        let value = json!({"schema_version": "3.1", "profiler_version": "x", "memory_timeline": {"timeline": points}});
        Document::new("x", value).unwrap()
    };
    let one = json!({"at_ns": 5, "memory_bytes": 1});
    let none = json!({"memory_bytes": GIB});
    assert!(chart_of(&profile(json!([none, none, none]))).is_none());
    assert!(chart_of(&profile(json!([none, one]))).is_none());
    let two = chart_of(&profile(json!([one, none, {"at_ns": 9, "memory_bytes": 2}]))).unwrap();
    assert!(two.words.starts_with("Total over") && !two.words.contains("1.00 GiB"), "{}", two.words);
    assert!(two.data.contains("\"how\":[\"sum\",\"sum\",\"highest\""));
}

/// A profile of an older format: no phases, and points at their own times.
fn migrated(gpus: u64) -> Document {
    let per_gpu: Vec<Value> = (0..gpus).map(|gpu| json!({"gpu": gpu})).collect();
    let points: Vec<Value> = (1..4).map(|at| json!({"at_ns": at, "memory_bytes": at * GIB, "power_w": 5})).collect();
    let parts = json!([{"kind": "kv_cache", "size_bytes": 2 * GIB}, {"kind": "model_weights", "size_bytes": GIB}]);
    let value = json!({"schema_version": "3.1", "profiler_version": "x", "memory_timeline": {"timeline": points},
        "gpu_info": {"devices": per_gpu}, "memory_breakdown": {"baseline_bytes": 5, "components": parts}});
    Document::new("x", value).unwrap()
}

#[test]
fn parts_that_cannot_be_placed_are_named_and_no_other_is_called_the_largest() {
    let words = chart_of(&migrated(1)).unwrap().words;
    assert!(!words.contains("largest part") && words.contains("not drawn apart: weights, KV cache."), "{words}");
}

#[test]
fn a_peak_that_a_document_has_before_its_thinned_points_is_at_the_time_that_it_says() {
    let mut value = migrated(2).value().clone();
    for (at, bytes, said) in [(1, 3 * GIB, "1 s"), (1, 2 * GIB, "3 s")] {
        for (place, at) in (1..4u64).enumerate() {
            value["memory_timeline"]["timeline"][place]["at_ns"] = json!(at * 1_000_000_000);
        }
        value["memory_measurements"] = json!({"peak": {"at_ns": at * 1_000_000_000u64, "total_bytes": bytes}});
        let words = chart_of(&Document::new("x", value.clone()).unwrap()).unwrap().words;
        assert!(words.contains(&format!("is 3.00 GiB, first reached {said} after")), "{words}");
    }
}

#[test]
fn a_total_is_called_what_it_is() {
    for (gpus, name, summed) in [(0, "Total over", true), (1, "The GPU over", false), (2, "All GPUs over", true)] {
        let chart = chart_of(&migrated(gpus)).unwrap();
        assert!(chart.words.starts_with(name), "{}", chart.words);
        assert_eq!(chart.svg.elements("x").contains("Power (sum)"), summed);
    }
}

#[test]
fn a_profile_of_an_older_format_keeps_the_laws() {
    crate::law::of_kind(migrated(2).value());
}

#[test]
fn metrics_beyond_the_readings_are_not_drawn_beside_the_picture() {
    let mut recording = Recording::new(&[0]);
    for tick in 0..100 {
        recording.reading(0, tick, 1000 + tick, &memory(GIB));
        let state = EngineState { running: Some(3.0), ..EngineState::default() };
        recording.request_state(tick * 100, &state);
    }
    let svg = chart_of(&of(recording)).unwrap().svg.elements("x");
    let path = svg.split("<path").find(|path| path.contains("fine l1")).unwrap();
    let places = path.split(['M', 'L', ' ', '"', ',', 'H', 'V']).filter_map(|place| place.parse::<f64>().ok());
    assert!(places.clone().count() > 1 && places.clone().all(|place| place < 786.0), "{path}");
}

#[test]
fn phases_and_gaps_are_bounded_before_they_are_rows() {
    let phases: Vec<Value> =
        (0..50_000u64).map(|at| json!({"phase": "x", "start_ns": at, "end_ns": at + 1, "duration_s": 1})).collect();
    let points: Vec<Value> = (0..9).map(|at| json!({"at_ns": at * 9, "memory_bytes": 5})).collect();
    let gaps: Vec<Value> =
        (0..5000u64).map(|at| json!({"start_ns": at * 2, "end_ns": at * 2 + 1, "cause": "x"})).collect();
    let value = json!({"schema_version": "3.1", "profiler_version": "x", "phases": phases, "gaps": gaps, "memory_timeline": {"timeline": points}});
    let table = super::phases(&Node::root(&value, 0)).unwrap();
    assert!(table.rows.len() == MOST_ROWS && table.caption.contains("of 50000 phases"), "{}", table.caption);
    let document = Document::new("x", value).unwrap();
    let chart = chart_of(&document).unwrap();
    assert!(chart.words.contains("4,488 more such spans"), "{}", chart.words);
    assert!(crate::page(&[document], None).unwrap().html().len() < 1 << 20);
}

#[test]
fn a_page_of_any_number_of_gpus_is_of_a_bounded_size() {
    for count in [8u32, 64, 256, 1024] {
        let devices: Vec<u32> = (0..count).collect();
        let mut recording = Recording::new(&devices);
        let mut random = 1u64;
        let mut any = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        for tick in 0..if count > 64 { 64_000 / u64::from(count) * 2 } else { 1000 } {
            for device in &devices {
                let mut figure = || Some(exact(any(1 << 30)) / 3.0);
                let reading = Reading {
                    power_w: figure(),
                    temperature_c: figure(),
                    utilization_pct: figure(),
                    memory_utilization_pct: figure(),
                    sm_clock_mhz: figure(),
                    memory_clock_mhz: figure(),
                    used_bytes: Some(any(1 << 31)),
                    total_bytes: None,
                };
                recording.reading(*device, tick, tick * 1_234_567, &reading);
            }
        }
        let metrics: Vec<Value> = (0..9).map(|at| json!({"metric": format!("m{at}"), "n": 9, "min": 1.5, "mean": 2.5, "median": 2.5, "p95": 3.5, "max": 4.5})).collect();
        let gpu = |gpu: &u32| {
            json!({"gpu_index": gpu, "name": "Some long name of a GPU", "samples": 5, "metrics": metrics,
            "idle": {"share": 0.5, "periods": 4, "longest": [{"start_s": 1, "seconds": 2}]}, "energy": {"counter_j": 5},
            "correlations": vec![json!({"x": "a", "y": "b", "n": 5, "pearson": {"value": 0.5, "low": 0.1, "high": 0.9}}); 28]})
        };
        let value = json!({"vramscope_timeline_report": 1, "devices": devices.iter().map(gpu).collect::<Vec<_>>()});
        let html = crate::page(&[Document::new("x", value).unwrap().with_recording(recording)], None).unwrap().html();
        assert!(html.len() < 3 << 20, "{count} GPUs: {} bytes", html.len());
        assert_eq!(html.contains("the first 64 have lines of their own"), count > 64);
    }
}
