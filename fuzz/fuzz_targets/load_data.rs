//! Any bytes as a data set of requests, its kind by the first of them: an error, or records that are no more than the file
//! has, each with a place in the order; no panic, no hang. What is wrong is told on one line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vramscope_load::{Dataset, DatasetSpec};

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    let path = "f".into();
    let spec = match kind % 4 {
        0 => DatasetSpec::ShareGpt { path, turns: 1 },
        1 => DatasetSpec::ShareGpt { path, turns: 3 },
        2 => DatasetSpec::Jsonl { path },
        _ => DatasetSpec::Trace { path },
    };
    let Ok(Some(set)) = Dataset::from_reader(&spec, "f", data) else { return };
    let skipped: u64 = set.skipped().map(|(_, count)| count).sum();
    assert_eq!(set.records_read(), set.len() as u64 + skipped);
    assert_eq!(set.file_bytes(), data.len() as u64);
    if let Ok(arranged) = set.clone().arrange(None, u64::from(*kind)) {
        assert!(!arranged.is_empty() && arranged.len() <= set.len());
    }
});
