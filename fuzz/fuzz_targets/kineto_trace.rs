//! Any bytes as a trace: no panic, no hang, and the same answer in whatever manner they are read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vramscope_trace::document::{Extract, TraceDocument};
use vramscope_trace::{Compression, Options, Source, Window, slice, summarize};

/// The document of some bytes, or the message of why there is none.
fn read(bytes: &[u8], options: &Options) -> Result<TraceDocument, String> {
    let summary = summarize(&Source::memory("fuzz", bytes), options).map_err(|error| error.to_string())?;
    for device in &summary.devices {
        for time in [Some(&device.whole), device.steps.as_ref()].into_iter().flatten() {
            assert_eq!(time.busy_ns + time.idle_ns, time.span_ns);
            assert_eq!(time.idle_by_cause_ns.iter().sum::<u64>(), time.idle_ns);
        }
    }
    assert_eq!(summary.categories.iter().map(|c| c.total_ns).sum::<u64>(), summary.kernel_totals.time_ns);
    Ok(TraceDocument::of(&summary, options.window, Extract::default()))
}

fuzz_target!(|bytes: &[u8]| {
    let one = Options { threads: 1, block_bytes: 1 << 16, stacks: true, ..Options::default() };
    let first = read(bytes, &one);
    let pieces = Options { block_bytes: 7, ..one.clone() };
    assert_eq!(read(bytes, &pieces).is_ok(), first.is_ok());
    if bytes.len() % 4 == 0 {
        let parallel = Options { threads: 2, block_bytes: 64, ..one.clone() };
        assert_eq!(read(bytes, &parallel).is_ok(), first.is_ok());
    }
    let Ok(document) = first else { return };
    let from_ns = document.start_ns.unwrap_or(0);
    let window = Window { from_ns, to_ns: from_ns.saturating_add(1_000_000) };
    let mut part = Vec::new();
    let source = Source::memory("fuzz", bytes);
    slice(&source, window, Compression::Plain, &mut part).expect("what can be analysed can be sliced");
    let sliced = read(&part, &one).expect("a slice is a trace");
    let between = read(bytes, &Options { window: Some(window), ..one });
    if document.notes.is_empty() {
        let between = between.expect("a part of what can be analysed can be analysed");
        assert_eq!(sliced.exact.devices, between.exact.devices);
        assert_eq!(sliced.exact.by_ph_cat, between.exact.by_ph_cat);
    }
});
