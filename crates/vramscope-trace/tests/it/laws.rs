//! Laws that hold for every trace.

use std::io::Write as _;

use proptest::prelude::*;
use vramscope_trace::document::{Exact, Extract, TraceDocument};
use vramscope_trace::{Compression, Difference, Options, Source, Summary, Window, extent, slice, summarize};

use crate::generator::{Generated, generate, layouts, ops, union};

fn options(threads: usize, block_bytes: usize, window: Option<Window>) -> Options {
    Options { threads, block_bytes, window, ..Options::default() }
}

fn read(json: &str, options: &Options) -> Summary {
    summarize(&Source::memory("generated", json.as_bytes().to_vec()), options).unwrap()
}

fn document(json: &str, options: &Options) -> TraceDocument {
    TraceDocument::of(&read(json, options), None, Extract::default())
}

fn check_truth(truth: &Generated, summary: &Summary) -> Result<(), TestCaseError> {
    let exact = Exact::of(summary);
    prop_assert!(summary.notes.is_empty(), "{:?}", summary.notes);
    prop_assert_eq!(exact.events, truth.events);
    prop_assert_eq!(exact.kernels_with_launch, truth.linked);
    prop_assert_eq!(exact.gpu_kernel_unique, truth.kernels.len() as u64);
    for kernel in &summary.kernels {
        prop_assert_eq!((kernel.count, kernel.total_ns), truth.kernels[&kernel.name]);
    }
    prop_assert_eq!(exact.devices.len(), truth.busy.len());
    for (name, device) in &exact.devices {
        let all = &truth.busy[name];
        let first = all.iter().map(|op| op.0).min().unwrap();
        let last = all.iter().map(|op| op.1).max().unwrap();
        prop_assert_eq!(i64::try_from(device.span_ns).unwrap(), last - first);
        prop_assert_eq!(i64::try_from(device.busy_union_ns).unwrap(), union(all));
        let kernels = truth.kernel_busy.get(name).map_or(0, |kernels| union(kernels));
        prop_assert_eq!(i64::try_from(device.kernel_union_ns).unwrap(), kernels);
    }
    for (name, moved) in &exact.memory_ops {
        prop_assert_eq!((moved.count, moved.time_ns, moved.bytes), truth.moved[name]);
    }
    for category in &summary.categories {
        prop_assert_eq!(category.total_ns, truth.categories[category.category.name()]);
    }
    let operators = summary.operators.iter().map(|o| (o.name.clone(), (o.count, o.total_ns, o.own_ns)));
    prop_assert_eq!(operators.collect::<std::collections::BTreeMap<_, _>>(), truth.operators.clone());
    if !summary.devices.is_empty() {
        prop_assert_eq!(summary.steps.list.len() as u64, truth.steps);
    }
    Ok(())
}

fn check_identities(summary: &Summary) -> Result<(), TestCaseError> {
    for device in &summary.devices {
        for time in [Some(&device.whole), device.steps.as_ref()].into_iter().flatten() {
            prop_assert_eq!(time.busy_ns + time.idle_ns, time.span_ns);
            prop_assert_eq!(time.idle_by_cause_ns.iter().sum::<u64>(), time.idle_ns);
            let parts = time.compute_ns + time.exposed_communication_ns() + time.exposed_moves_ns();
            prop_assert_eq!(parts, time.busy_ns);
            prop_assert!(time.communication_overlap_ns() <= time.communication_ns.min(time.compute_ns));
            prop_assert!(time.moves_overlap_ns() <= time.moves_ns.min(time.kernel_ns));
        }
        let lane = &device.lane.steps;
        let whole = &device.whole;
        prop_assert!(lane.len() <= 600);
        prop_assert_eq!(lane.iter().map(|step| step.compute_ns).sum::<u64>(), whole.compute_ns);
        let communication = lane.iter().map(|step| step.communication_ns).sum::<u64>();
        prop_assert_eq!(communication, whole.exposed_communication_ns());
        prop_assert_eq!(lane.iter().map(|step| step.moves_ns).sum::<u64>(), whole.exposed_moves_ns());
        for (cause, idle) in whole.idle_by_cause_ns.iter().enumerate() {
            prop_assert_eq!(lane.iter().map(|step| step.idle_by_cause_ns[cause]).sum::<u64>(), *idle);
        }
        for step in lane.iter().take(lane.len().saturating_sub(1)).skip(1) {
            let busy = step.compute_ns + step.communication_ns + step.moves_ns;
            prop_assert_eq!(busy + step.idle_by_cause_ns.iter().sum::<u64>(), device.lane.step_ns);
        }
        prop_assert!(device.streams.values().all(|stream| stream.busy_ns <= device.whole.busy_ns));
    }
    let all = summary.kernel_totals;
    prop_assert_eq!(summary.kernels.iter().map(|k| k.total_ns).sum::<u64>(), all.time_ns);
    prop_assert_eq!(summary.categories.iter().map(|c| c.total_ns).sum::<u64>(), all.time_ns);
    let operators: u64 = summary.operators.iter().map(|o| o.gpu.kernels).sum();
    prop_assert_eq!(operators + summary.outside_operators.kernels, all.count);
    for kernel in &summary.kernels {
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let (min, max) = (kernel.min_ns as f64, kernel.max_ns as f64);
        prop_assert!(min <= kernel.p50_ns && kernel.p50_ns <= kernel.p95_ns && kernel.p95_ns <= max);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn truth_is_found(ops in ops(60), layout in layouts()) {
        let truth = generate(&ops, layout);
        let summary = read(&truth.json, &options(1, 1 << 20, None));
        check_truth(&truth, &summary)?;
        check_identities(&summary)?;
    }

    #[test]
    fn threads_and_blocks_do_not_matter(ops in ops(60), layout in layouts(), block in 1usize..5000, threads in 1usize..6) {
        let truth = generate(&ops, layout);
        let plain = document(&truth.json, &options(1, 1 << 20, None));
        prop_assert_eq!(document(&truth.json, &options(threads, block, None)), plain);
    }

    #[test]
    fn a_frame_holds_the_frames_within_it(ops in ops(60), layout in layouts()) {
        let truth = generate(&ops, layout);
        let found = document(&truth.json, &Options { stacks: true, ..options(2, 4096, None) });
        let stacks = found.stacks.unwrap();
        for (times, all) in [
            (stacks.frames.iter().map(|f| (f.parent, f.cpu_ns, f.cpu_own_ns)).collect::<Vec<_>>(), stacks.cpu_ns),
            (stacks.frames.iter().map(|f| (f.parent, f.gpu_ns, f.gpu_own_ns)).collect(), stacks.gpu_ns),
        ] {
            let within = |at: Option<u64>| times.iter().filter(|t| t.0 == at).map(|t| t.1).sum::<u64>();
            // None is left out of so few.
            prop_assert_eq!(within(None), all);
            for (at, (parent, total, own)) in (0..).zip(&times) {
                prop_assert_eq!(within(Some(at)) + own, *total);
                prop_assert!(parent.is_none_or(|parent| parent < at));
            }
        }
    }

    #[test]
    fn packing_does_not_matter(ops in ops(30), layout in layouts()) {
        let truth = generate(&ops, layout);
        let plain = document(&truth.json, &options(2, 4096, None));
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(truth.json.as_bytes()).unwrap();
        let packed = [gzip.finish().unwrap(), zstd::encode_all(truth.json.as_bytes(), 1).unwrap()];
        for bytes in packed {
            let summary = summarize(&Source::memory("generated", bytes), &options(2, 4096, None)).unwrap();
            let mut found = TraceDocument::of(&summary, None, Extract::default());
            prop_assert!(found.file.compression != "plain");
            found.file = plain.file.clone();
            prop_assert_eq!(&found, &plain);
        }
    }

    #[test]
    fn a_slice_says_what_the_window_says(ops in ops(60), layout in layouts(), ends in any::<[u16; 2]>()) {
        let truth = generate(&ops, layout);
        let source = Source::memory("generated", truth.json.as_bytes().to_vec());
        let whole = extent(&source, &Options::default()).unwrap();
        prop_assert_eq!(whole, (!ops.is_empty()).then_some((truth.first, truth.last)));
        let at = |share: u16| truth.first + (truth.last - truth.first + 2) / 65_535 * i64::from(share);
        let (from_ns, to_ns) = if ops.is_empty() { (0, 1) } else { (at(ends[0]).min(at(ends[1])), at(ends[0]).max(at(ends[1]))) };
        let window = Window { from_ns, to_ns };
        let mut part = Vec::new();
        let report = slice(&source, window, Compression::Plain, &mut part).unwrap();
        let part = String::from_utf8(part).unwrap();
        serde_json::from_str::<serde_json::Value>(&part).unwrap();
        let between = read(&truth.json, &options(1, 1 << 20, Some(window)));
        prop_assert_eq!(report.kept, between.events);
        let mut expected = TraceDocument::of(&between, None, Extract::default());
        let found = document(&part, &options(1, 1 << 20, None));
        expected.file = found.file.clone();
        expected.exact.json_bytes = found.exact.json_bytes;
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn windows_side_by_side_miss_nothing(ops in ops(60), layout in layouts(), share in any::<u16>()) {
        let truth = generate(&ops, layout);
        let middle = if ops.is_empty() { 0 } else { truth.first + (truth.last - truth.first) / 65_535 * i64::from(share) };
        let part = |from_ns, to_ns| read(&truth.json, &options(1, 1 << 20, Some(Window { from_ns, to_ns })));
        let (early, late) = (part(i64::MIN, middle), part(middle, i64::MAX));
        let whole = read(&truth.json, &options(1, 1 << 20, None));
        let time = |summary: &Summary| summary.kernel_totals.time_ns;
        prop_assert_eq!(time(&early) + time(&late), time(&whole));
        prop_assert_eq!(early.kernel_totals.count + late.kernel_totals.count, whole.kernel_totals.count);
    }

    #[test]
    fn a_trace_does_not_differ_from_itself(ops in ops(60), layout in layouts()) {
        let truth = generate(&ops, layout);
        let summary = read(&truth.json, &options(1, 1 << 20, None));
        let difference = Difference::of(&summary, &summary, None);
        prop_assert!(difference.is_empty());
        prop_assert!(difference.exceeded(0.0, 0.0).is_empty());
        prop_assert_eq!(difference.unchanged, summary.kernels.len() as u64);
    }

    #[test]
    fn a_device_alone_is_its_part_of_the_whole(ops in ops(60), layout in layouts()) {
        let truth = generate(&ops, layout);
        let whole = read(&truth.json, &options(1, 1 << 20, None));
        for device in &whole.devices {
            let only = Options { device: Some(device.device.clone()), ..options(1, 1 << 20, None) };
            let alone = read(&truth.json, &only);
            prop_assert_eq!(&alone.devices[0].whole, &device.whole);
            prop_assert_eq!(alone.devices.len(), 1);
        }
    }
}
