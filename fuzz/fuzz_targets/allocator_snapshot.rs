//! Any bytes as an allocator snapshot: no panic, nothing executed, memory bounded, and sums that are sums.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vramscope_snapshot::document::{Extract, SeriesDocument, SnapshotDocument};
use vramscope_snapshot::{By, Ledger, Series, Snapshot, Source, Taken};

fuzz_target!(|bytes: &[u8]| {
    let Ok(snapshot) = Snapshot::read(&Source::memory("fuzz", bytes)) else { return };
    for by in [By::Stack, By::Module] {
        let Ok(document) = SnapshotDocument::of(&snapshot, Extract { by, top: 3 }) else { return };
        let all = &document.totals;
        assert_eq!(all.active_bytes, all.allocated_bytes + all.waiting_bytes);
        assert_eq!(all.inactive_bytes, all.releasable_bytes + all.split_bytes);
        let listed: u64 = document.holders.rows.iter().map(|row| row.bytes).sum();
        assert_eq!(listed + document.holders.rest_bytes, all.active_bytes);
    }
    for ledger in Ledger::of(&snapshot).expect("the totals of the same blocks fit") {
        let parts: u64 = ledger.parts.iter().map(|part| part.bytes()).sum();
        let blocks: u64 = snapshot.all_blocks().filter(|(s, _)| s.device == ledger.device).map(|(_, b)| b.size).sum();
        assert_eq!(parts + ledger.releasable + ledger.split, blocks);
    }
    let series = Series::of(vec![Taken::of(&snapshot, By::Stack); 5]);
    assert_eq!(SeriesDocument::of(&series, By::Stack, 3).growing, 0);
});
