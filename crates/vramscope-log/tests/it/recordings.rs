//! The recordings of one H200, whose every figure is known.

use vramscope_core::{Generation, Milestone};
use vramscope_log::{EngineReport, LogParser};

use crate::corpus;

fn engine(run: &str) -> Option<EngineReport> {
    let log = std::fs::read(corpus::folder("h200")?.join(run).join("vllm.log")).expect("every run has a log");
    let mut parser = LogParser::new();
    parser.push_bytes(&log);
    let report = parser.finish();
    assert_eq!(report.engines.len(), 1, "{run} is one engine");
    report.engines.into_iter().next()
}

#[test]
fn a_debug_log_gives_every_part_of_the_memory() {
    let Some(engine) = engine("l8b-long-debug") else { return };
    let facts = &engine.facts;
    assert_eq!(facts.version.as_ref().unwrap().value, "0.25.1");
    assert_eq!(facts.generation.as_ref().unwrap().value, Generation::V1);
    assert_eq!(facts.model_runner.as_ref().unwrap().value, 2);
    assert_eq!(facts.max_model_len.as_ref().unwrap().value, 131_072);
    assert_eq!(facts.max_num_batched_tokens.as_ref().unwrap().value, 16_384);
    assert_eq!(facts.max_num_seqs.as_ref().unwrap().value, 1024);
    let gib = |list: &[vramscope_core::Fact<vramscope_core::Bytes>]| {
        list.iter().map(|f| f.value.to_string()).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(gib(&facts.weights), "15.00 GiB");
    assert_eq!(gib(&facts.kv_pool), "111.61 GiB");
    assert_eq!(gib(&facts.activation_peak), "1.78 GiB");
    assert_eq!(gib(&facts.non_torch), "0.22 GiB");
    assert_eq!(gib(&facts.initial_non_torch), "0.51 GiB");
    assert_eq!(gib(&facts.initial_free), "139.29 GiB");
    assert_eq!(gib(&facts.device_total), "139.80 GiB");
    assert_eq!(gib(&facts.requested), "128.62 GiB");
    assert_eq!(gib(&facts.graphs), "0.99 GiB");
    // "15.0 GiB" was rounded to two digits and printed without its zero.
    let half_a_hundredth = 0.005 * 1024.0 * 1024.0 * 1024.0;
    assert!((facts.weights[0].resolution.unwrap().as_f64() - half_a_hundredth).abs() < 1.0);
    assert_eq!(facts.kv_tokens[0].value, 914_304);
    assert!(facts.event(Milestone::LoadBegan).unwrap().at_is_own);
    for milestone in [
        Milestone::WeightsLoaded,
        Milestone::KvPoolSized,
        Milestone::GraphsCaptured,
        Milestone::EngineReady,
        Milestone::WarmupBegan,
        Milestone::MeasureBegan,
    ] {
        assert!(facts.event(milestone).is_some(), "{milestone:?} is missing");
    }
}

#[test]
fn a_benchmark_gives_its_latency_and_its_times() {
    let Some(engine) = engine("cli-latency-l1b") else { return };
    let latency = engine.facts.latency.as_ref().unwrap();
    assert!((latency.mean.unwrap().as_secs_f64() - 0.135_136_060).abs() < 1e-8);
    assert_eq!(latency.percentiles.len(), 6);
    let warm = engine.facts.event(Milestone::WarmupBegan).unwrap();
    assert!(!warm.at_is_own && warm.at.is_some(), "the line has no clock of its own");
    assert!(engine.facts.event(Milestone::MeasureEnded).unwrap().took.is_some());
}

#[test]
fn a_pool_of_given_size_is_read_from_its_own_line() {
    let Some(engine) = engine("l1b-kvbytes") else { return };
    assert_eq!(engine.facts.kv_pool[0].value.to_string(), "8.00 GiB");
    assert_eq!(engine.facts.kv_tokens[0].value, 262_144);
    assert_eq!(engine.facts.initial_free[0].value.to_string(), "139.29 GiB");
}

#[test]
fn failures_have_their_numbers() {
    let Some(engine) = engine("fail-kv-too-small") else { return };
    let kind = format!("{:?}", engine.facts.failures[0].kind);
    assert!(kind.contains("estimated_max_model_len: Some(90208)"), "{kind}");
    let Some(engine) = self::engine("fail-free-memory") else { return };
    assert_eq!(engine.facts.failures[0].kind.name(), "free_memory_below_utilization");
    assert_eq!(engine.facts.failures.len(), 1);
}
