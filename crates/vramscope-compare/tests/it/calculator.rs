//! A profile beside what a calculator said.

use vramscope_compare::{Calculated, Check, Part};
use vramscope_core::{ByteDelta, Bytes};
use vramscope_schema::v3::VllmInternalMetrics;

use crate::run;

fn said() -> Calculated {
    let size = |bytes| Some(Bytes::new(bytes));
    Calculated {
        weights: size(5_050),
        kv_cache: size(2_000),
        activations: size(5_000),
        overhead: size(150),
        total: None,
    }
}

fn measured(check: &Check, part: Part) -> Option<i64> {
    check.parts.iter().find(|row| row.part == part)?.measured.map(ByteDelta::get)
}

#[test]
fn overhead_is_what_the_run_added_and_no_part_explains() {
    let check = Check::of(&run("m", 8, 1.0, 1.0), &said());
    assert_eq!(measured(&check, Part::Total), Some(19_000), "the peak less the baseline");
    assert_eq!(measured(&check, Part::Overhead), Some(1_500));
    let weights = &check.parts[0];
    assert_eq!((weights.error(), weights.within()), (Some(ByteDelta::new(50)), Some(true)));
    let activations = check.parts.iter().find(|row| row.part == Part::Activations).unwrap();
    assert_eq!(
        (activations.relative(), activations.within(), activations.factor()),
        (Some(1.0), Some(false), Some(0.5))
    );
    let total = check.parts.last().unwrap();
    assert_eq!((total.part, total.calculated), (Part::Total, Bytes::new(12_200)), "the sum where none was said");
}

#[test]
fn overhead_may_be_negative() {
    let mut profile = run("m", 8, 1.0, 1.0);
    profile.memory_breakdown.as_mut().unwrap().kv_cache_bytes = Some(12_000);
    assert_eq!(measured(&Check::of(&profile, &said()), Part::Overhead), Some(-500));
}

#[test]
fn a_total_over_an_unknown_baseline_says_so() {
    let mut profile = run("m", 8, 1.0, 1.0);
    profile.memory_breakdown.as_mut().unwrap().baseline_bytes = None;
    let check = Check::of(&profile, &said());
    assert!(check.cautions.iter().any(|caution| caution.contains("states no baseline")), "{:?}", check.cautions);
    let weights = Calculated { weights: said().weights, ..Calculated::default() };
    assert!(Check::of(&profile, &weights).cautions.is_empty(), "weights do not rest on it");
}

#[test]
fn the_workloads_share_of_the_pool_stands_beside_the_pool() {
    let mut profile = run("m", 8, 1.0, 1.0);
    let tokens = Some(10_240);
    profile.vllm_internal_metrics =
        Some(VllmInternalMetrics { total_gpu_kv_cache_tokens: tokens, ..VllmInternalMetrics::default() });
    let check = Check::of(&profile, &said());
    assert_eq!(measured(&check, Part::KvCache), Some(10_000));
    assert_eq!(measured(&check, Part::KvCacheOfWorkload), Some(1_000), "8 x 128 of 10240 tokens");
    assert_eq!(measured(&check, Part::TotalOfWorkload), Some(10_000));
    assert_eq!(check.cautions.len(), 1);
    let config = profile.run_config.as_mut().unwrap();
    config.engine.get_or_insert_default().data_parallel_size = Some(2);
    let check = Check::of(&profile, &said());
    assert_eq!(measured(&check, Part::KvCacheOfWorkload), Some(500), "the tokens are those of one of two replicas");
}

#[test]
fn what_was_not_said_is_not_compared_and_what_was_not_measured_is_not_made_up() {
    let mut profile = run("m", 8, 1.0, 1.0);
    profile.memory_breakdown = None;
    let only = Calculated { weights: Some(Bytes::new(1)), ..Calculated::default() };
    let check = Check::of(&profile, &only);
    assert_eq!(check.parts.len(), 1);
    assert_eq!((check.parts[0].measured, check.parts[0].within()), (None, None));
}
