use vramscope_core::{
    Buffer, BufferKind, Device, EngineFacts, EngineKind, Fact, Origin, PhaseMark, Reading, Scope, Vendor,
};

use super::*;
use crate::evidence::marks;

const MIB: u64 = 1 << 20;

fn ms(at: u64) -> Duration {
    Duration::from_millis(at)
}

/// A server on host memory that holds 68 MiB by itself, loads 240 of weights and 512 of cache from 2150 ms on, and is done at
/// 3000; `readings` are what was in use while it started.
fn context_of_a_short_start(readings: &[(u64, u64)]) -> Option<(u64, &'static str)> {
    let mut timeline = Timeline::new(Some(0));
    timeline.describe(Device { vendor: Some(Vendor::Cpu), ..Device::unnamed(DeviceIndex(0)) });
    let around = [(0, 0), (1900, 0)].into_iter().chain(readings.iter().copied());
    for (tick, (at, mib)) in (0..).zip(around.chain([(3000, 820), (5000, 867), (9000, 0)])) {
        let reading = Reading { used: Bytes::new(mib * MIB), ..Reading::default() };
        timeline.push(Sample { at: ms(at), tick, device: DeviceIndex(0), reading }).unwrap();
    }
    let phases = [(Phase::Baseline, 0), (Phase::Launch, 2000), (Phase::Load, 2150), (Phase::Ready, 3200)];
    for (phase, at) in phases.into_iter().chain([(Phase::Settle, 8000)]) {
        timeline.mark(PhaseMark { phase, at: ms(at) }).unwrap();
    }
    let parts = [(BufferKind::Weights, 240), (BufferKind::KvCache, 512), (BufferKind::Compute, 47)];
    let buffers = parts.map(|(kind, mib)| {
        let value = Bytes::new(mib * MIB);
        let amount = Fact { value, scope: Scope::PerRank, resolution: None, origin: Origin::default() };
        let mut buffer = Buffer::new(kind, Some("CPU".to_owned()), amount);
        buffer.on_host = true;
        buffer
    });
    let mut facts = EngineFacts::default();
    (facts.engine, facts.buffers) = (Some(EngineKind::LlamaCpp), buffers.to_vec());
    let marks = marks::read(br#"[["allocated", 3000000000]]"#).unwrap();
    let gpu = GpuLog {
        timeline,
        clock: Clock::Utc,
        processes: Vec::new(),
        has_processes: false,
        notes: Vec::new(),
        asked_period: None,
    };
    let ranks = RankEvidence { facts: &facts, kv: None, computed_weights: None, inside: Vec::new(), blocks: None };
    let inputs = Inputs {
        ranks,
        marks: Some(&marks),
        latency: None,
        warmup_iterations: None,
        engine_pids: &[],
        was_there: false,
        snapshots: &[],
    };
    let derived = derive(&gpu, &inputs).unwrap();
    let total = derived.attribution.unwrap().total;
    let context = total.components().iter().find(|part| part.kind == ComponentKind::RuntimeContext)?;
    Some((context.size.get() / MIB, context.basis.method))
}

#[test]
fn a_start_that_is_shorter_than_lines_are_late_still_shows_what_the_server_held_before_it_loaded() {
    // No reading ahead of the line by more than it may be late.
    let found = Some((68, "level_before_load"));
    assert_eq!(context_of_a_short_start(&[(2070, 68), (2140, 68), (2210, 200)]), found);
    // One that came when the program was not yet laid out.
    assert_eq!(context_of_a_short_start(&[(2005, 1), (2075, 68), (2210, 200)]), found);
    // The line was late: the last reading ahead of it has a part of the weights.
    assert_eq!(context_of_a_short_start(&[(2070, 68), (2140, 130), (2210, 300)]), found);
    // One that has hardly any of them is near enough.
    assert_eq!(context_of_a_short_start(&[(2110, 75), (2210, 300)]), Some((75, "level_before_load")));
    // None from which memory rises by what was allocated.
    assert_eq!(context_of_a_short_start(&[(2110, 130), (2210, 300)]), None);
}

#[test]
fn what_an_engine_gives_back_when_it_ends_is_no_level_on_which_it_stood() {
    let mut timeline = Timeline::new(None);
    for (tick, at) in (0..).zip([0, 1000, 2000, 3000, 4000]) {
        let reading = Reading { used: Bytes::new(MIB), ..Reading::default() };
        timeline.push(Sample { at: ms(at), tick, device: DeviceIndex(0), reading }).unwrap();
    }
    for (phase, at) in [(Phase::Launch, 1000), (Phase::Shutdown, 3000), (Phase::Settle, 4000)] {
        timeline.mark(PhaseMark { phase, at: ms(at) }).unwrap();
    }
    assert_eq!(until_shutdown(&timeline), Window { start: ms(1000), end: ms(3000) });
    assert_eq!(lifetime(&timeline), Window { start: ms(1000), end: ms(4000) });
}
