//! What holds of every snapshot, in every format.

use proptest::prelude::*;
use vramscope_snapshot::document::{Extract, HoldersDocument, SnapshotDocument};
use vramscope_snapshot::{Action, By, Format, Series, Snapshot, Source, Taken, histories};

use crate::made::{Block, Event, Segment, snapshot};
use crate::writer::{Py, Style, json, pickle};

const STYLES: [Style; 5] = [Style::Python(2), Style::Python(3), Style::Python(4), Style::Python(5), Style::Torch];
const USED: &str = "active_allocated";
const FREE: &str = "inactive";

fn read(bytes: Vec<u8>) -> Snapshot {
    Snapshot::read(&Source::memory("made", bytes)).unwrap()
}

/// The document without what tells the file itself.
fn document(bytes: Vec<u8>, by: By) -> SnapshotDocument {
    let mut document = SnapshotDocument::of(&read(bytes), Extract { by, top: 5 }).unwrap();
    (document.file.format, document.file.protocol) = (String::new(), None);
    (document.file.file_bytes, document.file.plain_bytes) = (0, 0);
    document
}

/// A device of three segments and a history that fits them: `keep` of `events` allocations are alive at its end.
fn course(sizes: &[(u32, bool)]) -> (Vec<Segment>, Vec<Event>) {
    let mut events = Vec::new();
    let mut blocks = Vec::new();
    let mut address = 0x7f00_0000_0000;
    for (place, (size, keep)) in sizes.iter().enumerate() {
        let (asked, stack) = (u64::from(*size), Some(place % 7));
        let size = asked.next_multiple_of(512);
        let time = 1_700_000_000_000_000 + 10 * i64::try_from(place).unwrap();
        events.push(Event("alloc", address, asked, stack, time));
        if !keep {
            events.push(Event("free_requested", address, asked, stack, time + 1));
            events.push(Event("free_completed", address, asked, stack, time + 2));
        }
        blocks.push(if *keep { Block(size, asked, USED, stack) } else { Block(size, 0, FREE, None) });
        address += size;
    }
    (vec![Segment::of(0x7f00_0000_0000, blocks)], events)
}

fn sum(holders: &HoldersDocument) -> u64 {
    holders.rows.iter().map(|row| row.bytes).sum::<u64>() + holders.rest_bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_pickler_and_json_says_the_same(sizes in proptest::collection::vec((1..1u32 << 20, any::<bool>()), 1..40)) {
        let (segments, events) = course(&sizes);
        let value = snapshot(&segments, &[events, Vec::new()]);
        let text = document(serde_json::to_vec(&json(&value)).unwrap(), By::Stack);
        for style in STYLES {
            prop_assert_eq!(&document(pickle(&value, style), By::Stack), &text, "{:?}", style);
        }
    }

    #[test]
    fn sums_are_those_of_the_blocks_however_they_are_grouped(
        sizes in proptest::collection::vec((1..1u32 << 20, any::<bool>()), 1..60),
    ) {
        let (segments, events) = course(&sizes);
        let bytes = pickle(&snapshot(&segments, &[events]), Style::Python(4));
        for by in [By::Stack, By::Function, By::File, By::Module] {
            let document = document(bytes.clone(), by);
            let all = &document.totals;
            let asked: u64 = sizes.iter().filter(|(_, keep)| *keep).map(|(size, _)| u64::from(*size)).sum();
            prop_assert_eq!(all.reserved_bytes, all.active_bytes + all.inactive_bytes);
            prop_assert_eq!(all.inactive_bytes, all.releasable_bytes + all.split_bytes);
            prop_assert_eq!(all.requested_bytes, Some(asked));
            prop_assert_eq!(all.rounding_bytes, Some(all.active_bytes - asked));
            prop_assert_eq!(sum(&document.holders), all.active_bytes);
            prop_assert!(document.notes.is_empty(), "{:?}", document.notes);
        }
    }

    #[test]
    fn the_peak_is_that_of_a_naive_replay_and_what_was_alive_then_sums_to_it(
        sizes in proptest::collection::vec((1..1u32 << 20, any::<bool>()), 1..60),
        lost in 0..40usize,
    ) {
        let (segments, events) = course(&sizes);
        // The ring of torch has lost the oldest events.
        let events = events[lost.min(events.len() - 1)..].to_vec();
        let end: i64 = sizes.iter().filter(|(_, keep)| *keep).map(|(size, _)| i64::from(*size)).sum();
        let step = |event: &Event| match event.0 {
            "alloc" => i64::try_from(event.2).unwrap(),
            "free_completed" => -i64::try_from(event.2).unwrap(),
            _ => 0,
        };
        let mut now = end - events.iter().map(step).sum::<i64>();
        let mut most = now;
        for event in &events {
            now += step(event);
            most = most.max(now);
        }
        let document = document(pickle(&snapshot(&segments, &[events]), Style::Torch), By::Function);
        let peak = document.histories[0].peak.as_ref().unwrap();
        prop_assert_eq!(i64::try_from(peak.requested_bytes).unwrap(), most);
        prop_assert_eq!(sum(&peak.alive), peak.requested_bytes);
    }
}

#[test]
fn fields_of_a_snapshot_are_read_by_their_names() {
    let mut segment = Segment::of(0xffff_ff00_0000_0000, vec![Block(1 << 21, 9, USED, Some(3))]);
    (segment.pool, segment.stream, segment.expandable, segment.small) = ((2, 0), 0x5555_0000_1111, true, true);
    let event = Event("segment_alloc", 0xffff_ff00_0000_0000, 1 << 21, Some(1), 77);
    let value = snapshot(&[segment], &[vec![], vec![event]]);
    for style in STYLES {
        let snapshot = read(pickle(&value, style));
        let segment = &snapshot.segments[0];
        assert_eq!((segment.address, segment.stream), (0xffff_ff00_0000_0000, 0x5555_0000_1111), "{style:?}");
        assert_eq!((segment.pool.map(|pool| (pool.0, pool.1)), segment.expandable), (Some((2, 0)), Some(true)));
        assert_eq!((segment.small, segment.requested, snapshot.blocks(segment)[0].requested), (true, Some(9), Some(9)));
        assert_eq!((snapshot.traced_devices(), snapshot.event_count(0), snapshot.event_count(1)), (2, 0, 1));
        let event = snapshot.events(1).next().unwrap();
        assert_eq!((event.action, event.size, event.time_us), (Action::SegmentAlloc, 1 << 21, Some(77)));
        assert_eq!(event.addr, 0xffff_ff00_0000_0000);
        let settings = snapshot.settings.as_ref().unwrap();
        assert_eq!(settings.max_split_size, None);
        assert_eq!(settings.text.as_deref(), Some("expandable_segments:True"));
        assert_eq!((settings.expandable_segments, snapshot.annotations.len()), (Some(true), 1));
        let protocol = if let Style::Python(protocol) = style { protocol } else { 2 };
        assert_eq!((snapshot.format, snapshot.unknown.len()), (Format::Pickle(protocol), 0));
    }
}

#[test]
fn what_an_older_release_does_not_write_is_absent() {
    let without = |value: Py, keys: &[&str]| match value {
        Py::Dict(pairs) => Py::Dict(pairs.into_iter().filter(|(key, _)| !keys.contains(key)).collect()),
        other => other,
    };
    let value = snapshot(&[Segment::of(0, vec![Block(512, 9, USED, None)])], &[]);
    let Py::Dict(mut whole) = value else { unreachable!() };
    let Py::List(segments) = &mut whole[0].1 else { unreachable!() };
    let gone = ["requested_size", "segment_pool_id", "is_expandable"];
    for segment in segments.iter_mut() {
        let Py::Dict(mut fields) = without(segment.clone(), &gone) else { unreachable!() };
        for (key, value) in &mut fields {
            if let ("blocks", Py::List(blocks)) = (*key, value) {
                blocks.iter_mut().for_each(|block| *block = without(block.clone(), &gone));
            }
        }
        *segment = Py::Dict(fields);
    }
    let whole: Vec<_> = whole.into_iter().take(1).collect();
    let document = document(pickle(&Py::Dict(whole), Style::Python(4)), By::Stack);
    assert_eq!((document.totals.requested_bytes, document.totals.rounding_bytes), (None, None));
    assert_eq!((document.pools[0].pool, document.totals.expandable_bytes), (None, None));
    assert_eq!((document.settings, document.histories.len(), document.totals.active_bytes), (None, 0, 512));
}

#[test]
fn pages_of_an_expandable_segment_go_back_alone_and_private_pools_give_nothing() {
    let page = 20 << 20;
    let holes = vec![Block(page / 2, 1, USED, None), Block(3 * page, 0, FREE, None), Block(page / 2, 1, USED, None)];
    let mut expandable = Segment::of(1 << 40, holes.clone());
    expandable.expandable = true;
    let plain = Segment::of(2 << 40, holes);
    let empty = Segment::of(3 << 40, vec![Block(page, 0, FREE, None)]);
    let mut private = Segment::of(4 << 40, vec![Block(page, 0, FREE, None)]);
    private.pool = (0, 1);
    for (segment, releasable) in [(expandable, 2 * page), (plain, 0), (empty, page), (private, 0)] {
        let document = document(pickle(&snapshot(&[segment], &[]), Style::Python(4)), By::Stack);
        assert_eq!(document.totals.releasable_bytes, releasable);
    }
}

#[test]
fn the_largest_free_block_is_of_the_pool_that_was_asked() {
    let events = vec![Event("oom", 777, 1 << 60, Some(4), 4)];
    let mut private = Segment::of(1 << 40, vec![Block(1 << 20, 0, FREE, None)]);
    private.pool = (0, 7);
    let own = Segment::of(0, vec![Block(512, 500, USED, Some(1)), Block(1024, 0, FREE, None)]);
    let document = document(pickle(&snapshot(&[own, private], &[events]), Style::Python(5)), By::Stack);
    assert_eq!(document.histories[0].out_of_memory[0].largest_free_bytes, Some(1024));
}

#[test]
fn no_highest_use_is_told_where_the_history_cannot_be_that_of_the_blocks() {
    let block = || vec![Block(1024, 1000, USED, Some(1))];
    let ends = vec![Event("free_completed", 9 << 30, 200 << 30, Some(1), 1)];
    let other_size = vec![Event("alloc", 0, 500, Some(1), 1)];
    for events in [ends, other_size] {
        let document = document(pickle(&snapshot(&[Segment::of(0, block())], &[events]), Style::Python(4)), By::Stack);
        assert_eq!(document.histories[0].peak, None);
        assert!(document.notes.iter().any(|note| note.kind == "unmatched_history"), "{:?}", document.notes);
    }
}

#[test]
fn what_a_private_pool_holds_mostly_is_more_than_half_of_it() {
    let mut unnamed = Segment::of(0, vec![Block(100 << 20, 100 << 20, USED, None), Block(512, 500, USED, Some(1))]);
    unnamed.pool = (0, 1);
    let mut named = Segment::of(1 << 40, vec![Block(1024, 1000, USED, Some(2))]);
    (named.pool, named.stream) = ((0, 1), 7);
    let document = document(pickle(&snapshot(&[unnamed, named], &[]), Style::Python(4)), By::Stack);
    let mostly: Vec<_> = document.pools.iter().map(|pool| (pool.stream, pool.mostly.is_some())).collect();
    assert_eq!(mostly, [(0, false), (7, true)]);
}

#[test]
fn an_out_of_memory_says_what_was_asked_and_what_the_pool_had_left() {
    let blocks = vec![Block(1024, 1000, USED, Some(1)), Block(4096, 0, FREE, None), Block(512, 500, USED, Some(2))];
    let events = vec![
        Event("segment_alloc", 0, 5632, None, 1),
        Event("alloc", 0, 1000, Some(1), 2),
        Event("alloc", 5120, 500, Some(2), 3),
        Event("oom", 777, 1 << 60, Some(4), 4),
        Event("snapshot", 0, 0, None, 5),
    ];
    let bytes = pickle(&snapshot(&[Segment::of(0, blocks)], &[events]), Style::Python(5));
    let document = document(bytes, By::Function);
    let oom = &document.histories[0].out_of_memory[0];
    assert_eq!((oom.asked_bytes, oom.device_free_bytes, oom.largest_free_bytes), (1 << 60, 777, Some(4096)));
    assert_eq!(oom.asked_by.as_ref().unwrap().name.as_deref(), Some("model/part4.py:14 layer4"));
    let then = oom.moment.as_ref().unwrap();
    assert_eq!((then.requested_bytes, then.reserved_bytes, sum(&then.alive)), (1500, Some(5632), 1500));
    assert_eq!(
        oom.before.iter().map(|event| event.action.as_str()).collect::<Vec<_>>(),
        ["segment_alloc", "alloc", "alloc"]
    );
}

#[test]
fn a_history_that_does_not_fit_the_blocks_tells_no_peak() {
    let events = vec![Event("alloc", 4096, 100, Some(1), 1), Event("alloc", 8192, 100, Some(1), 2)];
    let bytes = pickle(&snapshot(&[Segment::of(0, vec![Block(512, 500, USED, None)])], &[events]), Style::Torch);
    let history = &histories(&read(bytes.clone()))[0];
    assert_eq!((history.unmatched, &history.peak), (2, &None));
    let document = document(bytes, By::Stack);
    let kinds: Vec<&str> = document.notes.iter().map(|note| note.kind.as_str()).collect();
    assert_eq!(kinds, ["no_stacks", "unmatched_history"]);
}

#[test]
fn of_a_series_the_stack_that_keeps_growing_is_named_and_no_other() {
    let taken = |period: u64, leaks: bool| {
        let noise = 1 + (period * 7 + 3) % 5;
        let mut blocks: Vec<Block> = (0..noise).map(|_| Block(1 << 20, 1 << 20, USED, Some(2))).collect();
        blocks.push(Block(period.min(3) * 4096 + 512, 500, USED, Some(3)));
        if leaks {
            blocks.extend((0..3 * period).map(|_| Block(1 << 20, 1 << 20, USED, Some(1))));
        }
        let time = 1_000_000 * i64::try_from(period).unwrap();
        let events = vec![Event("snapshot", 0, 0, None, time)];
        Taken::of(&read(pickle(&snapshot(&[Segment::of(0, blocks)], &[events]), Style::Python(4))), By::Stack)
    };
    for leaks in [true, false] {
        // The order of the files is not that of their times.
        let series = Series::of([3, 1, 2, 4, 5, 6, 7, 8, 9, 10].map(|period| taken(period, leaks)).to_vec());
        let growing: Vec<_> = series.rows.iter().filter(|row| row.grows()).collect();
        assert_eq!((growing.len(), series.reordered), (usize::from(leaks), true));
        if let [leak] = growing.as_slice() {
            let trend = leak.trend.unwrap();
            assert_eq!(leak.label.as_deref(), Some("model/part1.py:11 layer1"));
            assert!((trend.slope - 3_145_728.0).abs() < 1.0 && trend.low <= trend.slope, "{trend:?}");
            assert_eq!((leak.change(), leak.count_change()), (27 << 20, 27));
        }
    }
}
