//! Files that would harm whoever believed them.

use std::io::Write as _;

use proptest::prelude::*;
use vramscope_snapshot::document::{Extract, SeriesDocument, SnapshotDocument};
use vramscope_snapshot::{By, Series, Snapshot, SnapshotError, Source, Taken};

use crate::made::{Block, Event, Segment, snapshot};
use crate::writer::{Py, Style, int, pickle, text};

fn refused(bytes: impl Into<Vec<u8>>) -> SnapshotError {
    let bytes: Vec<u8> = bytes.into();
    Snapshot::read(&Source::memory("h.pickle", bytes)).expect_err("it is refused")
}

/// A pickle of protocol 4 of these opcodes.
fn of(ops: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![0x80, 4];
    ops.iter().for_each(|op| bytes.extend(*op));
    bytes
}

fn usual() -> Py {
    let blocks = vec![Block(1024, 1000, "active_allocated", Some(1)), Block(512, 0, "inactive", None)];
    snapshot(&[Segment::of(4096, blocks)], &[vec![Event("alloc", 4096, 1000, Some(1), 5)]])
}

#[test]
fn every_opcode_that_makes_or_calls_an_object_is_refused_by_name() {
    let global = refused(of(&[b"cposix\nsystem\n", b"\x8c\x02ls\x85R."]));
    let said = global.to_string();
    assert!(matches!(global, SnapshotError::Global { .. }), "{said}");
    assert!(said.contains("`posix.system` (GLOBAL)") && said.contains("at byte 2"), "{said}");
    let stack = refused(of(&[b"\x8c\x08builtins\x8c\x04eval\x93."])).to_string();
    assert!(stack.contains("`builtins.eval` (STACK_GLOBAL)"), "{stack}");
    assert!(refused(of(&[b"(ios\nsystem\n."])).to_string().contains("`os.system` (INST)"));
    for (opcode, name) in [
        (b'R', "REDUCE"),
        (b'b', "BUILD"),
        (b'o', "OBJ"),
        (0x81, "NEWOBJ"),
        (0x92, "NEWOBJ_EX"),
        (0x82, "EXT1"),
        (0x83, "EXT2"),
        (0x84, "EXT4"),
        (b'Q', "BINPERSID"),
        (0x97, "NEXT_BUFFER"),
        (0x8f, "EMPTY_SET"),
    ] {
        let error = refused(of(&[b"}", &[opcode], b"."]));
        assert!(matches!(&error, SnapshotError::Global { opcode, .. } if *opcode == name), "{error}");
    }
}

#[test]
fn what_cannot_be_true_is_refused() {
    let of = |blocks: Vec<Block>| pickle(&snapshot(&[Segment::of(0, blocks)], &[]), Style::Python(4));
    let more = refused(of(vec![Block(512, 513, "active_allocated", None)])).to_string();
    assert!(more.contains("a block of 512 bytes was asked for 513"), "{more}");
    let json = br#"[{"device": 0, "address": 0, "total_size": 512, "allocated_size": 0, "active_size": 0, "stream": 0,
        "blocks": [{"size": 1024, "state": "inactive"}]}]"#;
    let larger = refused(&json[..]).to_string();
    assert!(larger.contains("a segment of 512 bytes has blocks of 1024"), "{larger}");
    let event = refused(&br#"{"segments": [], "device_traces": [[{"action": "oom", "time_us": 1}]]}"#[..]).to_string();
    assert!(event.contains("an event's `device_free` is missing"), "{event}");
}

#[test]
fn a_stack_that_grows_frame_by_frame_takes_no_memory_for_every_part_of_it() {
    let mut ops: Vec<&[u8]> = vec![b"}(\x8c\x08filename\x8c\x01f\x8c\x04name\x8c\x01n\x8c\x04lineK\x01u\x940]\x94"];
    ops.extend(std::iter::repeat_n(&b"h\x00a"[..], 20_000));
    let error = refused(of(&ops));
    assert!(matches!(error, SnapshotError::Limit { .. }), "{error}");
}

#[test]
fn secrets_and_long_names_reach_no_document() {
    let token = "hf_abcdefghijklmnopqrstuvwxyz123456";
    let json = format!(
        r#"[{{"device": 0, "address": 0, "total_size": 512, "allocated_size": 512, "active_size": 512, "stream": 0,
        "{key}": 1, "blocks": [{{"size": 512, "state": "active_allocated",
        "frames": [{{"filename": "{token}.py", "name": "f", "line": 1}}]}}]}}]"#,
        key = "k".repeat(100_000)
    );
    let snapshot = Snapshot::read(&Source::memory("s.json", json.into_bytes())).unwrap();
    let document = serde_json::to_string(&SnapshotDocument::of(&snapshot, Extract::default()).unwrap()).unwrap();
    assert!(!document.contains(token) && document.len() < 4096, "{document}");
}

#[test]
fn a_file_that_is_cut_anywhere_says_so() {
    for style in [Style::Python(2), Style::Python(4), Style::Torch] {
        let whole = pickle(&usual(), style);
        for length in 2..whole.len() {
            let error = refused(&whole[..length]);
            let said = error.to_string();
            assert!(
                matches!(error, SnapshotError::Truncated { offset, .. } if offset == length as u64),
                "{length}: {said}"
            );
        }
    }
}

#[test]
fn numbers_that_claim_memory_get_none() {
    let keep = refused(of(&[b"}r\xff\xff\xff\xff."]));
    assert!(keep.to_string().contains("the number of a value that is kept"), "{keep}");
    let long = refused(of(&[b"\x8b\xff\xff\xff\x7f"]));
    assert!(long.to_string().contains("the length of a number"), "{long}");
    let text = refused(of(&[b"\x8d\0\0\0\0\0\0\0\x40"]));
    assert!(text.to_string().contains("the length of a text"), "{text}");
    let bytes = refused(of(&[b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f"]));
    assert!(matches!(bytes, SnapshotError::Truncated { .. }), "{bytes}");
}

#[test]
fn depth_waiting_values_and_loose_values_are_bounded() {
    assert!(refused(of(&[&b"(".repeat(200)])).to_string().contains("the depth of nesting"));
    let loose = [b"]q\0(".to_vec(), b"K\x01".repeat((1 << 20) + 1), b"e.".to_vec()].concat();
    assert!(refused(of(&[&loose])).to_string().contains("part of no record"));
    let waiting = of(&[b"(", &b"N".repeat((1 << 24) + 1)]);
    assert!(refused(waiting).to_string().contains("wait for their list"));
}

/// A byte each, and four of memory: a packed file of them would grow once more behind its unpacking.
#[test]
fn one_value_that_is_kept_over_and_over_is_refused() {
    let error = refused(of(&[b"]", &vec![0x94; 3 << 20], b"."]));
    assert!(matches!(&error, SnapshotError::Limit { what: "the number of a value that is kept", .. }), "{error}");
    let few = refused(of(&[b"K\x01", &vec![0x94; 1 << 19], b"."]));
    assert!(matches!(few, SnapshotError::Field { .. }), "a number is no snapshot, and as many may be kept: {few}");
}

#[test]
fn lists_that_hold_themselves_or_double_are_not_followed() {
    // A list of a list of … of nothing, each of which is twice in the next.
    let mut bomb = vec![b']', 0x94];
    for level in 0..60 {
        bomb.extend([b']', 0x94, b'(', b'h', level, b'h', level, b'e']);
    }
    bomb.push(b'.');
    assert!(matches!(refused(of(&[&bomb])), SnapshotError::Field { .. }));
    let own = refused(of(&[b"]\x94h\0a."]));
    assert!(matches!(own, SnapshotError::Field { .. }), "{own}");
}

/// A field of the segment, of its first block or of the first event, with another value.
fn changed(key: &'static str, value: &Py) -> Py {
    fn change(at: &mut Py, key: &'static str, value: &Py) {
        match at {
            Py::Dict(pairs) => pairs.iter_mut().for_each(|(name, inner)| {
                if *name == key {
                    *inner = value.clone();
                } else {
                    change(inner, key, value);
                }
            }),
            Py::List(items) => items.iter_mut().for_each(|item| change(item, key, value)),
            _ => {}
        }
    }
    let mut whole = usual();
    change(&mut whole, key, value);
    whole
}

#[test]
fn a_field_that_cannot_be_is_named() {
    for (key, value, said) in [
        ("total_size", int(1i128 << 63), "the segment's `total_size` is 9223372036854775808"),
        ("size", int(-1), "'s `size` is -1, expected a number of bytes"),
        ("allocated_size", text("much"), "the segment's `allocated_size` is a text"),
        ("active_size", Py::None, "the segment's `active_size` is None"),
        ("state", text("gone"), "a block's state is \"gone\""),
        ("device", int(-3), "a device from 0 to 1023"),
        ("is_expandable", int(7), "true or false"),
        ("segment_pool_id", int(7), "no pair of numbers"),
        ("frames", int(1), "frames are something else"),
        ("blocks", int(1), "`blocks` is something else"),
        ("device_traces", int(1), "`device_traces` is something else"),
        ("segments", text("x"), "`segments` is something else"),
        ("time_us", Py::Float(0.5), "the event's `time_us` is 0.5"),
    ] {
        let whole = changed(key, &value);
        for style in [Style::Python(4), Style::Python(2)] {
            let error = refused(pickle(&whole, style)).to_string();
            assert!(error.contains(said), "{key}: {error}");
        }
        let json = serde_json::to_vec(&crate::writer::json(&whole)).unwrap();
        let error = refused(json).to_string();
        assert!(error.contains(said), "{key} as JSON: {error}");
    }
}

#[test]
fn a_list_of_blocks_or_events_that_is_used_twice_is_refused() {
    let shared = |key: &'static str| {
        let Py::Dict(mut whole) = usual() else { unreachable!() };
        for (name, value) in &mut whole {
            let Py::List(items) = value else { continue };
            match (key, *name) {
                ("blocks", "segments") => {
                    let Py::Dict(fields) = &mut items[0] else { unreachable!() };
                    for (name, value) in fields {
                        if *name == "blocks" {
                            *value = Py::Shared(5000, Box::new(value.clone()));
                        }
                    }
                    items.push(items[0].clone());
                }
                ("events", "device_traces") => {
                    items[0] = Py::Shared(5000, Box::new(items[0].clone()));
                    items.push(items[0].clone());
                }
                _ => {}
            }
        }
        Py::Dict(whole)
    };
    assert!(refused(pickle(&shared("blocks"), Style::Python(4))).to_string().contains("share a list of blocks"));
    assert!(refused(pickle(&shared("events"), Style::Python(4))).to_string().contains("share a list of events"));
}

#[test]
fn what_is_no_snapshot_is_told_by_what_it_is() {
    for (bytes, said) in [
        (&b""[..], "it is empty"),
        (b"PK\x03\x04abc", "zip archive"),
        (b"<!DOCTYPE html>", "a page of a viewer"),
        (b"(dp0\n.", "protocol 0 or 1"),
        (b"hello", "no pickle and no JSON"),
        (b"{\"traceEvents\": []}", "the file holds something else"),
        (b"{\"segments\": [", "as JSON"),
        (b"\x80\x04N.", "the file holds something else"),
        (b"\x80\x06N.", "the protocol is 6"),
        (b"\x80\x04\xfe", "0xfe is no opcode"),
        (b"\x80\x04t.", "needs a mark"),
        (b"\x80\x04a.", "takes a value"),
    ] {
        let error = refused(bytes).to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_packed_file_is_read_a_bomb_and_a_broken_one_refused() {
    let plain = pickle(&usual(), Style::Python(4));
    let gzip = |bytes: &[u8]| {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    };
    for packed in [gzip(&plain), zstd::encode_all(&plain[..], 0).unwrap()] {
        let read = Snapshot::read(&Source::memory("packed", packed.clone())).unwrap();
        assert_eq!((read.plain_bytes, read.file_bytes), (plain.len() as u64, packed.len() as u64));
        let broken = Snapshot::read(&Source::memory("broken", packed[..packed.len() / 2].to_vec()));
        assert!(matches!(broken, Err(SnapshotError::Read { .. } | SnapshotError::Truncated { .. })));
    }
    let zeros = of(&[b"\x8e\0\0\0\x10\0\0\0\0", &vec![0; 96 << 20]]);
    let bomb = zstd::encode_all(&zeros[..], 0).unwrap();
    assert!(matches!(refused(bomb), SnapshotError::Bomb { .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_file_with_any_bytes_changed_is_read_or_refused(
        style in prop_oneof![Just(Style::Python(2)), Just(Style::Python(5)), Just(Style::Torch)],
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        real in any::<bool>(),
    ) {
        let recorded = include_bytes!("data/streams-2.11.pickle.gz");
        let mut bytes = if real {
            let mut plain = Vec::new();
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&recorded[..]), &mut plain).unwrap();
            plain
        } else {
            pickle(&usual(), style)
        };
        for (place, byte) in changes {
            let at = place.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(snapshot) = Snapshot::read(&Source::memory("changed", bytes)) {
            if let Ok(document) = SnapshotDocument::of(&snapshot, Extract { by: By::Part, top: 3 }) {
                let all = &document.totals;
                prop_assert_eq!(all.inactive_bytes, all.releasable_bytes + all.split_bytes);
            }
            let series = Series::of(vec![Taken::of(&snapshot, By::Stack); 5]);
            prop_assert_eq!(SeriesDocument::of(&series, By::Stack, 3).growing, 0);
        }
    }
}
