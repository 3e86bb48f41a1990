//! What keeps free memory, and snapshots that do not belong together.

use vramscope_snapshot::document::SeriesDocument;
use vramscope_snapshot::{By, Pins, Series, Snapshot, Source, Taken, Totals};

use crate::made::{Block, Event, Segment, snapshot};
use crate::writer::{Style, pickle};

const USED: &str = "active_allocated";

fn read(segments: &[Segment], events: Vec<Event>) -> Snapshot {
    let bytes = pickle(&snapshot(segments, &[events]), Style::Python(4));
    Snapshot::read(&Source::memory("made", bytes)).unwrap()
}

#[test]
fn a_segment_is_kept_alone_by_one_and_with_others_by_several() {
    let free = |size| Block(size, 0, "inactive", None);
    let private = Segment { pool: (0, 1), ..Segment::of(1 << 30, vec![Block(512, 512, USED, Some(1)), free(4096)]) };
    let pages = Segment { expandable: true, ..Segment::of(2 << 30, vec![Block(512, 512, USED, Some(1)), free(8192)]) };
    let snapshot = read(
        &[
            Segment::of(1 << 20, vec![Block(512, 512, USED, Some(1)), free(1024), Block(512, 400, USED, Some(1))]),
            Segment::of(2 << 20, vec![Block(512, 512, USED, Some(1)), free(2048), Block(1024, 1024, USED, Some(2))]),
            Segment::of(3 << 20, vec![free(1 << 20)]),
            Segment::of(4 << 20, vec![Block(2048, 2048, USED, Some(3))]),
            private,
            pages,
        ],
        Vec::new(),
    );
    let pins = Pins::of(&snapshot, By::Stack);
    assert_eq!((pins.bytes, pins.segments), (1024 + 2048, 2));
    let rows: Vec<_> = pins.rows.iter().map(|row| (row.alone, row.with_others, row.segments, row.held)).collect();
    assert_eq!(rows, [(1024, 2048, 2, 512 + 512 + 512), (0, 2048, 1, 1024)]);
    assert!(pins.rows[0].label.as_ref().is_some_and(|label| label.contains("layer1")), "{pins:?}");
    // All of the made up stacks end in one package, which then keeps everything alone.
    let module = Pins::of(&snapshot, By::Module);
    assert_eq!((module.rows.len(), module.rows[0].alone), (1, 3072));
    // What is kept and what is releasable are all that is free in the default pool's usual segments.
    let totals = Totals::of(&snapshot).unwrap();
    assert_eq!(pins.bytes + totals.all.releasable + 4096 + 8192, totals.all.inactive);
}

#[test]
fn snapshots_without_a_common_block_are_said_to_be_doubtful() {
    let at = |address, device| Segment { device, ..Segment::of(address, vec![Block(4096, 4096, USED, Some(1))]) };
    let series = |devices: [u32; 2], addresses: [u64; 2]| {
        let one = |place: usize| Taken::of(&read(&[at(addresses[place], devices[place])], Vec::new()), By::Stack);
        SeriesDocument::of(&Series::of(vec![one(0), one(1)]), By::Stack, 10)
    };
    let kinds = |document: &SeriesDocument| document.notes.iter().map(|note| note.kind.clone()).collect::<Vec<_>>();
    assert_eq!(kinds(&series([0, 0], [1 << 20, 1 << 20])), Vec::<String>::new());
    assert_eq!(kinds(&series([0, 0], [1 << 20, 2 << 20])), ["no_common_blocks"]);
    assert_eq!(kinds(&series([0, 1], [1 << 20, 1 << 20])), ["no_common_blocks", "other_devices"]);
}

#[test]
fn a_word_that_is_not_known_is_named() {
    let segment = Segment::of(1 << 20, vec![Block(512, 512, USED, Some(1))]);
    let snapshot = read(&[segment], vec![Event("workspace_snapshot", 0, 0, None, 5)]);
    assert_eq!(snapshot.unknown.get("event.action=workspace_snapshot"), Some(&1), "{:?}", snapshot.unknown);
}
