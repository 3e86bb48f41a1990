//! What pictures are made of: its sums are the document's.

use std::collections::BTreeMap;
use std::path::PathBuf;

use vramscope_snapshot::document::{Extract, SnapshotDocument};
use vramscope_snapshot::{By, CURVE_POINTS, Snapshot, Source};

const FILES: [&str; 11] = [
    "expandable-holes",
    "streams",
    "streams-2.11",
    "streams-oom",
    "transformers-forward",
    "vllm-8b-asleep",
    "vllm-8b-captured",
    "vllm-8b-oom",
    "vllm-expandable",
    "vllm-moe-captured",
    "vllm-moe-trial",
];

fn document(name: &str, by: By) -> SnapshotDocument {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/data/{name}.pickle.gz"));
    let snapshot = Snapshot::read(&Source::file(file)).unwrap_or_else(|error| panic!("{name}: {error}"));
    SnapshotDocument::of(&snapshot, Extract { by, top: 10_000 }).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn parts_rounding_and_what_is_free_sum_to_what_is_reserved() {
    for name in FILES {
        let document = document(name, By::Part);
        let (parts, totals) = (&document.parts, &document.totals);
        let requested = parts.iter().map(|part| part.requested_bytes).sum::<Option<u64>>().unwrap();
        let free = totals.releasable_bytes + totals.split_bytes;
        assert_eq!(requested + totals.rounding_bytes.unwrap() + free, totals.reserved_bytes, "{name}");
        let held: Vec<_> = document.holders.rows.iter().map(|row| (row.name.clone(), row.bytes, row.count)).collect();
        let own: Vec<_> = parts.iter().map(|part| (part.name.clone(), part.active_bytes, part.blocks)).collect();
        assert_eq!(held, own, "{name}");
    }
}

#[test]
fn frames_of_the_tree_have_what_the_stacks_have() {
    for name in FILES {
        let document = document(name, By::Stack);
        let flame = document.flame.as_ref().unwrap();
        assert_eq!(flame.bytes, document.totals.active_bytes, "{name}");
        let mut outermost: BTreeMap<Option<&str>, (u64, u64)> = BTreeMap::new();
        for row in &document.holders.rows {
            let sum = outermost.entry(row.frames.last().map(String::as_str)).or_default();
            *sum = (sum.0 + row.bytes, sum.1 + row.count);
        }
        let roots = flame.frames.iter().filter(|frame| frame.parent.is_none());
        let roots: BTreeMap<_, _> = roots.map(|frame| (frame.name.as_deref(), (frame.bytes, frame.count))).collect();
        assert_eq!(roots, outermost, "{name}");
        let mut within = vec![0; flame.frames.len()];
        for (place, frame) in flame.frames.iter().enumerate() {
            if let Some(parent) = frame.parent {
                assert!(parent < place as u64, "{name}: a frame before the one around it");
                within[usize::try_from(parent).unwrap()] += frame.bytes;
            }
        }
        let whole = flame.frames_unique == flame.frames.len() as u64;
        for (frame, within) in flame.frames.iter().zip(within) {
            assert!(within + frame.own_bytes <= frame.bytes, "{name}: {frame:?}");
            assert!(!whole || within + frame.own_bytes == frame.bytes, "{name}: {frame:?}");
        }
    }
}

#[test]
fn a_curve_is_bounded_and_has_the_highest_use_and_every_moment_sums_to_its_parts() {
    let mut curves = 0;
    for name in FILES {
        for history in document(name, By::Part).histories {
            let Some(curve) = history.curve else {
                assert!(history.peak.is_none(), "{name}: a highest use and no curve");
                continue;
            };
            curves += 1;
            let (peak, points) = (history.peak.unwrap(), &curve.points);
            assert!(points.len() <= CURVE_POINTS && points[0].event.is_none(), "{name}: {}", points.len());
            assert!(points.windows(2).all(|pair| pair[0].event < pair[1].event), "{name}");
            for point in points {
                assert_eq!(point.parts_bytes.iter().sum::<u64>(), point.requested_bytes, "{name}");
                assert!(point.reserved_bytes.is_none_or(|reserved| reserved >= point.requested_bytes), "{name}");
            }
            let highest = points.iter().rev().max_by_key(|point| point.requested_bytes).unwrap();
            assert_eq!((highest.event, highest.requested_bytes), (peak.event, peak.requested_bytes), "{name}");
            let most = points.iter().filter_map(|point| point.reserved_bytes).max();
            assert_eq!(most, history.most_reserved_bytes, "{name}");
            let alive = peak.alive.rows.iter().map(|row| (row.name.clone(), row.bytes));
            let drawn = curve.parts.iter().cloned().zip(highest.parts_bytes.iter().copied());
            let drawn: BTreeMap<_, _> = drawn.filter(|(_, bytes)| *bytes > 0).collect();
            assert_eq!(drawn, alive.collect(), "{name}");
            for oom in &history.out_of_memory {
                let point = points.iter().find(|point| point.event == oom.event).unwrap();
                let then = oom.moment.as_ref().map(|moment| moment.requested_bytes);
                assert_eq!(Some(point.requested_bytes), then, "{name}");
            }
        }
    }
    assert!(curves >= 9, "{curves} of the files have a curve");
}
