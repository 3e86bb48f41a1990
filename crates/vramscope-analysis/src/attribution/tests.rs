use super::*;
use proptest::prelude::*;
use vramscope_core::{Fact, Origin, Scope};

const MIB: u64 = 1 << 20;

fn fact<T>(value: T, scope: Scope, line: u64) -> Fact<T> {
    Fact { value, scope, resolution: None, origin: Origin { line, worker: None } }
}

fn device(index: u32, ranks: &[u32], peak: u64, baseline: u64) -> DeviceObservation {
    DeviceObservation {
        device: DeviceIndex(index),
        ranks: ranks.to_vec(),
        peak: Bytes::new(peak),
        baseline: Bytes::new(baseline),
        before_load: None,
        after_pool: None,
        captured_later: None,
        usable: None,
        buffers: None,
        place: None,
        allocator: Vec::new(),
    }
}

fn explain(facts: &EngineFacts, devices: &[DeviceObservation], kv: Option<KvGeometry>) -> Attribution {
    attribute(&RankEvidence { facts, kv, computed_weights: None, inside: Vec::new(), blocks: None }, devices).unwrap()
}

fn size(b: &Breakdown, kind: ComponentKind) -> Option<u64> {
    b.component(kind).map(|c| c.size.get())
}

#[test]
fn a_figure_of_each_rank_is_counted_for_each_rank() {
    let mut facts = EngineFacts::default();
    facts.weights = vec![fact(Bytes::new(10 * MIB), Scope::PerRank, 7)];
    let devices = [device(0, &[0], 100 * MIB, MIB), device(1, &[1], 90 * MIB, 0), device(2, &[], 5 * MIB, 5 * MIB)];
    let found = explain(&facts, &devices, None);
    assert_eq!(size(&found.total, ComponentKind::Weights), Some(20 * MIB));
    assert_eq!(size(&found.per_device[2].1, ComponentKind::Weights), None, "the engine does not use this device");
    assert_eq!(found.per_device[2].1.residual().get(), 0);
}

#[test]
fn ranks_that_differ_keep_their_own_figures() {
    let mut facts = EngineFacts::default();
    facts.weights =
        vec![fact(Bytes::new(10 * MIB), Scope::ThisRank(0), 7), fact(Bytes::new(12 * MIB), Scope::ThisRank(1), 8)];
    let found = explain(&facts, &[device(0, &[0], 50 * MIB, 0), device(1, &[1], 50 * MIB, 0)], None);
    assert_eq!(size(&found.per_device[0].1, ComponentKind::Weights), Some(10 * MIB));
    assert_eq!(size(&found.total, ComponentKind::Weights), Some(22 * MIB));
    assert_eq!(found.total.component(ComponentKind::Weights).unwrap().basis.log_lines, [7, 8]);
}

#[test]
fn one_rank_that_prints_for_all_stands_for_all() {
    let mut facts = EngineFacts::default();
    facts.weights = vec![fact(Bytes::new(10 * MIB), Scope::ThisRank(0), 7)];
    let found = explain(&facts, &[device(0, &[0, 1], 50 * MIB, 0)], None);
    assert_eq!(size(&found.total, ComponentKind::Weights), Some(20 * MIB));
}

#[test]
fn blocks_decide_where_the_printed_budget_confirms_them() {
    let kv = KvGeometry { block_size: 16, bytes_per_block: Bytes::new(2 * MIB), uniform: true };
    let mut facts = EngineFacts::default();
    facts.kv_tokens = vec![fact(160, Scope::AllRanks, 3)];
    facts.kv_pool = vec![fact(Bytes::new(21 * MIB), Scope::PerRank, 2)];
    let devices = [device(0, &[0], 50 * MIB, 0)];
    let component = |facts: &EngineFacts| {
        explain(facts, &devices, Some(kv)).total.component(ComponentKind::KvCache).cloned().unwrap()
    };
    assert_eq!((component(&facts).size.get(), component(&facts).confidence), (20 * MIB, Confidence::Computed));
    facts.kv_pool[0].value = Bytes::new(30 * MIB);
    assert_eq!(component(&facts).size.get(), 30 * MIB, "figures that contradict the geometry win over it");
    assert_eq!(component(&facts).confidence, Confidence::Reported);
}

#[test]
fn activations_are_what_rose_after_the_pool_and_the_graphs() {
    let mut facts = EngineFacts::default();
    facts.graphs = vec![fact(Bytes::new(3 * MIB), Scope::PerRank, 9)];
    facts.activation_peak = vec![fact(Bytes::new(500 * MIB), Scope::PerRank, 5)];
    let mut seen = device(0, &[0], 200 * MIB, 0);
    seen.after_pool = Some(Bytes::new(180 * MIB));
    let found = explain(&facts, &[seen.clone()], None);
    assert_eq!(size(&found.total, ComponentKind::Activations), Some(17 * MIB));
    seen.after_pool = None;
    let found = explain(&facts, &[seen], None);
    let stand_in = found.total.component(ComponentKind::Activations).unwrap();
    assert_eq!((stand_in.size.get(), stand_in.confidence), (500 * MIB, Confidence::Estimated));
    assert!(found.total.residual().get() < 0, "a stand-in that was not resident shows as a negative residual");
}

#[test]
fn the_context_is_measured_against_the_baseline() {
    let mut seen = device(0, &[0], 900 * MIB, 200 * MIB);
    seen.before_load = Some(Bytes::new(700 * MIB));
    let found = explain(&EngineFacts::default(), &[seen], None);
    assert_eq!(size(&found.total, ComponentKind::RuntimeContext), Some(500 * MIB));
}

#[test]
fn an_engine_that_failed_holds_only_what_it_reached() {
    let mut facts = EngineFacts::default();
    facts.weights = vec![fact(Bytes::new(10 * MIB), Scope::PerRank, 1)];
    facts.kv_pool = vec![fact(Bytes::new(70 * MIB), Scope::PerRank, 2)];
    let kind = vramscope_core::FailureKind::NoKvCacheMemory;
    facts.failures = vec![vramscope_core::Failure::new(None, kind, String::new(), Origin { line: 3, worker: None })];
    let found = explain(&facts, &[device(0, &[0], 15 * MIB, 0)], None);
    assert_eq!(size(&found.total, ComponentKind::Weights), Some(10 * MIB));
    assert_eq!(size(&found.total, ComponentKind::KvCache), None, "the pool was sized and never allocated");
}

#[test]
fn a_part_that_one_device_lacks_is_not_half_summed() {
    let mut with = device(0, &[0], 900 * MIB, 0);
    with.before_load = Some(Bytes::new(500 * MIB));
    let mut facts = EngineFacts::default();
    facts.weights = vec![fact(Bytes::new(MIB), Scope::PerRank, 1)];
    let found = explain(&facts, &[with, device(1, &[1], 900 * MIB, 0)], None);
    assert_eq!(size(&found.total, ComponentKind::RuntimeContext), None);
    assert_eq!(size(&found.per_device[0].1, ComponentKind::RuntimeContext), Some(500 * MIB));
}

proptest! {
    #[test]
    fn the_identity_holds_on_each_device_and_in_total(
        figures in prop::collection::vec((0u64..1 << 40, 0u64..1 << 40, 0u64..1 << 38), 1..6),
        weights in 0u64..1 << 38, pool in 0u64..1 << 38,
    ) {
        let mut facts = EngineFacts::default();
        facts.weights = vec![fact(Bytes::new(weights), Scope::PerRank, 1)];
        facts.kv_pool = vec![fact(Bytes::new(pool), Scope::PerRank, 2)];
        let devices: Vec<DeviceObservation> = (0u32..).zip(&figures).map(|(i, &(peak, baseline, level))| {
            let mut seen = device(i, &[i], peak, baseline);
            seen.before_load = baseline.checked_add(level).map(Bytes::new);
            seen.after_pool = Some(Bytes::new(level));
            seen
        }).collect();
        let found = explain(&facts, &devices, None);
        let identity = |b: &Breakdown| {
            let parts: i128 = b.components().iter().map(|c| i128::from(c.size.get())).sum();
            i128::from(b.baseline().get()) + parts + i128::from(b.residual().get()) == i128::from(b.peak().get())
        };
        prop_assert!(identity(&found.total));
        prop_assert!(found.per_device.iter().all(|(_, b)| identity(b)));
        let peak: u64 = found.per_device.iter().map(|(_, b)| b.peak().get()).sum();
        prop_assert_eq!(peak, found.total.peak().get());
    }
}
