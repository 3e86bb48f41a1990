use proptest::prelude::*;

use super::*;

fn memory(used: u64) -> Reading {
    Reading { used_bytes: Some(used), ..Reading::default() }
}

proptest! {
    #[test]
    fn a_total_is_of_whole_ticks_and_none_is_lost(
        ticks in prop::collection::vec((prop::option::of(0u64..1 << 40), prop::option::of(0u64..1 << 40)), 1..200),
    ) {
        let mut recording = Recording::new(&[4, 7]);
        for (tick, (one, two)) in (0..).zip(&ticks) {
            for (device, used) in [(4, one), (7, two)] {
                if let Some(used) = used {
                    recording.reading(device, tick, tick * 10, &memory(*used));
                }
            }
        }
        recording.finish();
        let whole = || ticks.iter().filter_map(|(one, two)| Some(i64::try_from(one.as_ref()? + two.as_ref()?).unwrap()));
        let column = Recording::column(0, Metric::Memory);
        prop_assert_eq!(recording.grid.range(column), whole().min().zip(whole().max()));
    }
}

#[test]
fn a_device_that_comes_late_begins_totals_anew() {
    let mut recording = Recording::new(&[0, 1]);
    for device in [0, 1] {
        recording.reading(device, 0, 0, &memory(500));
    }
    for device in [0, 1, 2] {
        recording.reading(device, 1, 10, &memory(1));
    }
    recording.finish();
    assert_eq!(recording.grid.range(Recording::column(0, Metric::Memory)), Some((3, 3)));
}

#[test]
fn marks_are_bounded_in_number_and_length_and_those_left_out_are_counted() {
    let mut recording = Recording::new(&[0]);
    for at in 0..1000 {
        recording.event(at, &"x".repeat(1 << 16), Some("\u{202e}</script>\n"));
        recording.gap(at, at, None, "x");
        recording.phase("x", at, 0);
    }
    assert_eq!((recording.events.len(), recording.events_dropped), (MOST_EVENTS, 744));
    assert_eq!((recording.gaps.len(), recording.gaps_dropped), (MOST_GAPS, 488));
    assert_eq!(recording.events[0].label.chars().count(), LONGEST_NAME + 1);
    assert_eq!(recording.events[0].line.as_deref(), Some("</script> "));
}

#[test]
fn a_time_in_which_the_engine_said_nothing_is_a_gap_whatever_is_merged() {
    let mut recording = Recording::new(&[]);
    for second in (0..3000).chain(4000..9000) {
        recording.request_state(second * 1_000_000_000, &EngineState { running: Some(1.0), ..EngineState::default() });
    }
    let hole = [(2_999_000_000_000, 4_000_000_000_000)];
    assert_eq!((recording.engine.holes(), recording.engine.coarse(100).holes()), (hole.to_vec(), hole.to_vec()));
}

#[test]
fn figures_that_no_sensor_has_are_none() {
    let mut recording = Recording::new(&[0]);
    let odd = Reading {
        used_bytes: Some(u64::MAX),
        power_w: Some(f64::NAN),
        temperature_c: Some(1e300),
        ..Reading::default()
    };
    recording.reading(0, 0, 0, &odd);
    recording.finish();
    assert!(recording.columns_of(1).all(|column| recording.grid.range(column).is_none()));
}
