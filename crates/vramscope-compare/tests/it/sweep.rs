//! Many profiles.

use vramscope_compare::{Row, Sweep};
use vramscope_schema::v3::{Profile, RunStatus};

use crate::run;

fn sweep(profiles: &[Profile]) -> Sweep {
    let rows = profiles.iter().enumerate().map(|(n, profile)| Row::of(n.to_string(), profile));
    Sweep::of(rows.collect())
}

#[test]
fn a_series_tells_where_throughput_stops_keeping_up() {
    let rates = [(1, 42.0), (4, 150.0), (8, 280.0), (16, 450.0), (32, 500.0)];
    let runs: Vec<Profile> = rates.iter().map(|(batch, rate)| run("m", *batch, *rate, 1000.0)).collect();
    let sweep = sweep(&runs);
    let [series] = &sweep.series[..] else { panic!("one axis: {:?}", sweep.series) };
    assert_eq!((series.axis, series.points.len()), ("batch_size", 5));
    let speedups: Vec<String> = series.points.iter().map(|point| format!("{:.1}", point.speedup.unwrap())).collect();
    assert_eq!(speedups, ["1.0", "3.6", "6.7", "10.7", "11.9"]);
    assert_eq!(series.slows_at, Some(32), "16 to 32 doubles the load and adds 11 percent");
}

#[test]
fn runs_that_differ_in_more_than_the_axis_are_not_one_series() {
    let sweep = sweep(&[run("a", 1, 10.0, 1.0), run("b", 8, 70.0, 1.0)]);
    assert!(sweep.series.is_empty());
    assert_eq!(sweep.varying(), ["model", "batch_size"]);
}

#[test]
fn each_model_has_a_series_of_its_own_that_says_which() {
    let sweep = sweep(&[run("a", 1, 10.0, 1.0), run("a", 2, 20.0, 1.0), run("b", 1, 5.0, 1.0), run("b", 2, 9.0, 1.0)]);
    let fixed: Vec<_> = sweep.series.iter().map(|series| series.fixed["model"].as_str()).collect();
    assert_eq!(fixed, ["a", "b"]);
    assert!(sweep.series.iter().all(|series| series.fixed.len() == 1), "what all runs share tells nothing apart");
}

#[test]
fn repeated_runs_are_averaged_and_failed_ones_have_no_speed() {
    let mut failed = run("m", 4, 1.0, 1.0);
    failed.metadata.status = Some(RunStatus::Failed);
    let sweep = sweep(&[run("m", 1, 10.0, 2.0), run("m", 1, 30.0, 4.0), run("m", 2, 40.0, 4.0), failed]);
    let points = &sweep.series[0].points;
    assert_eq!(points.iter().map(|point| (point.value, point.runs)).collect::<Vec<_>>(), [(1, 2), (2, 1)]);
    assert_eq!(
        (points[0].tokens_per_second, points[1].speedup, points[1].slowdown),
        (Some(20.0), Some(2.0), Some(4.0 / 3.0))
    );
}

#[test]
fn a_missing_figure_stays_missing() {
    let mut silent = run("m", 2, 40.0, 4.0);
    silent.latency_stats = None;
    let sweep = sweep(&[run("m", 1, 10.0, 2.0), silent]);
    let series = &sweep.series[0];
    assert_eq!((series.points[1].tokens_per_second, series.points[1].speedup, series.slows_at), (None, None, None));
}
