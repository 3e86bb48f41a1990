//! Two profiles against each other.

use proptest::prelude::*;
use vramscope_compare::{Better, Difference, Limit, Quantity};
use vramscope_core::ByteDelta;
use vramscope_schema::v3::RunStatus;

use crate::run;

fn all(share: f64) -> Vec<Limit> {
    vec![Limit { figure: None, share }]
}

fn one(figure: &str, share: f64) -> Limit {
    Limit { figure: Some(figure.to_owned()), share }
}

proptest! {
    /// Against itself nothing differs, and no limit is exceeded, not even that of zero.
    #[test]
    fn a_profile_does_not_differ_from_itself(batch in 1_u64..1000, speed in 0.0..1e9_f64, latency in 0.0..1e9_f64) {
        let profile = run("m", batch, speed, latency);
        let difference = Difference::of(&profile, &profile);
        prop_assert!(difference.settings.is_empty() && difference.cautions.is_empty());
        for change in &difference.figures {
            prop_assert_eq!(change.delta().map(Quantity::as_f64), Some(0.0), "{}", change.name);
        }
        prop_assert!(difference.judge(&all(0.0)).exceeded.is_empty());
    }

    /// Of two different speeds exactly one direction is worse, by the share of the first.
    #[test]
    fn worse_in_one_direction_is_better_in_the_other(a in 1.0..1e6_f64, b in 1.0..1e6_f64) {
        let (first, second) = (run("m", 1, a, 5.0), run("m", 1, b, 5.0));
        let forth = Difference::of(&first, &second).judge(&all(0.0));
        let back = Difference::of(&second, &first).judge(&all(0.0));
        prop_assert_eq!(forth.exceeded.len() + back.exceeded.len(), usize::from(a != b));
        if let Some(item) = forth.exceeded.first() {
            prop_assert_eq!(item.figure, "tokens_per_second");
            prop_assert!((item.worse_by - (a - b) / a).abs() < 1e-9);
        }
    }
}

#[test]
fn only_what_differs_of_the_settings_is_listed() {
    let difference = Difference::of(&run("m", 1, 10.0, 5.0), &run("m", 8, 10.0, 5.0));
    assert_eq!(difference.settings.len(), 1);
    let change = &difference.settings[0];
    assert_eq!((change.name, change.before.as_deref(), change.after.as_deref()), ("batch_size", Some("1"), Some("8")));
}

#[test]
fn a_figures_own_limit_holds_in_place_of_the_general_one() {
    let difference = Difference::of(&run("m", 1, 100.0, 10.0), &run("m", 1, 80.0, 11.0));
    let verdict = difference.judge(&[all(0.05).remove(0), one("mean_latency_ms", 0.2)]);
    let exceeded: Vec<_> = verdict.exceeded.iter().map(|item| item.figure).collect();
    assert_eq!(exceeded, ["tokens_per_second"], "latency grew by 10 percent, and may by 20");
    let verdict = difference.judge(&[one("mean_latency_ms", 0.05)]);
    assert_eq!(verdict.exceeded.len(), 1, "without a general limit only the named figure is judged");
}

#[test]
fn a_limit_that_cannot_be_checked_is_named() {
    let mut without = run("m", 1, 10.0, 5.0);
    without.latency_stats = None;
    let difference = Difference::of(&run("m", 1, 10.0, 5.0), &without);
    let verdict = difference.judge(&[one("mean_latency_ms", 0.05), one("residual_bytes", 0.05)]);
    assert!(verdict.exceeded.is_empty());
    assert_eq!(verdict.unjudged, ["mean_latency_ms", "residual_bytes"], "the residual has no better direction");
}

#[test]
fn growth_from_zero_exceeds_every_limit() {
    let (mut before, mut after) = (run("m", 1, 10.0, 5.0), run("m", 1, 10.0, 5.0));
    before.memory_breakdown.as_mut().unwrap().cuda_graphs_bytes = Some(0);
    after.memory_breakdown.as_mut().unwrap().cuda_graphs_bytes = Some(7);
    let difference = Difference::of(&before, &after);
    let graphs = difference.figures.iter().find(|change| change.name == "cuda_graphs_bytes").unwrap();
    assert_eq!((graphs.better, graphs.relative()), (Better::Lower, None));
    assert_eq!(graphs.delta(), Some(Quantity::Memory(ByteDelta::new(7))));
    let verdict = difference.judge(&all(1e9));
    assert!(verdict.exceeded.len() == 1 && verdict.exceeded[0].worse_by.is_infinite());
}

#[test]
fn doubtful_profiles_are_named() {
    let old = br#"{"schema_version": "2.0", "profiler_version": "2.0", "memory_breakdown": {"kv_cache_gb": 1.5}}"#;
    let old = vramscope_schema::read(old).unwrap().profile;
    let mut failed = run("m", 1, 10.0, 5.0);
    failed.metadata.status = Some(RunStatus::Failed);
    let cautions = Difference::of(&old, &failed).cautions;
    assert_eq!(cautions.len(), 2, "{cautions:?}");
    assert!(cautions[0].contains("kv_cache_bytes") && cautions[0].contains("7.4 %"), "{cautions:?}");
    assert!(cautions[1].contains("the second profile is of a run that failed"), "{cautions:?}");
}
