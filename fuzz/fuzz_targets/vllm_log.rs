//! Any bytes are read without a panic, and where they are split changes nothing of what is read. The first byte says
//! where.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vramscope_log::LogParser;
use vramscope_log::document::LogDocument;

fuzz_target!(|data: &[u8]| {
    let Some((split, log)) = data.split_first() else { return };
    let mut whole = LogParser::new();
    whole.push_bytes(log);
    let whole = whole.finish();

    let step = usize::from(*split).max(1);
    let mut parts = LogParser::new();
    for part in log.chunks(step) {
        parts.push_bytes(part);
    }
    assert_eq!(whole, parts.finish());

    let mut lines = LogParser::following();
    for line in String::from_utf8_lossy(log).lines() {
        lines.push_line(line);
        let _ = lines.take_news();
    }
    let _ = lines.finish();

    let mut unknown = LogParser::keeping_unknown();
    unknown.push_bytes(log);
    let _ = serde_json::to_string(&LogDocument::of(&unknown.finish()));
});
