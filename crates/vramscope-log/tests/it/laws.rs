//! What surrounds a log, and how it arrives, changes nothing of what it says.

use std::sync::LazyLock;

use proptest::prelude::*;
use vramscope_log::document::{LogDocument, Summary};
use vramscope_log::{LogParser, LogReport};

use crate::corpus;

/// Logs: the blocks of the fixtures, and the labelled and recorded ones where they are at hand.
static LOGS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let fixtures = include_str!("data/formats.txt").split("\n\n").map(|block| {
        let lines = block.lines().filter(|line| !line.starts_with(['#', '>']));
        lines.flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect::<Vec<u8>>()
    });
    let mut logs: Vec<Vec<u8>> = fixtures.filter(|log| log.len() > 1).collect();
    for (folder, name) in [("vllm-logs-public", "log"), ("h200", "vllm.log")] {
        let Some(folder) = corpus::folder(folder) else { continue };
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let path = if name == "log" { path } else { path.join(name) };
            if path.extension().is_some_and(|e| e == "log") {
                logs.extend(std::fs::read(path));
            }
        }
    }
    logs
});

fn read(log: &[u8]) -> LogReport {
    let mut parser = LogParser::new();
    parser.push_bytes(log);
    parser.finish()
}

fn summary(log: &[u8]) -> Summary {
    LogDocument::of(&read(log)).summary
}

/// One of the logs.
fn log() -> impl Strategy<Value = &'static Vec<u8>> {
    (0..LOGS.len()).prop_map(|place| &LOGS[place])
}

/// Whether its lines are whole: what is cut off or wrapped by a terminal has its end on the next line, and nothing may
/// come between.
fn is_whole(log: &[u8]) -> bool {
    let read = read(log);
    read.notes.iter().all(|note| !note.text.contains("wrapped"))
}

/// Lines that say nothing of an engine.
const UNRELATED: &[&str] = &[
    "",
    "INFO:     127.0.0.1:54812 - \"GET /health HTTP/1.1\" 200 OK",
    "nohup: ignoring input",
    "2026-07-18 05:10:58 | INFO | httpx | HTTP Request: GET https://example.org/a \"HTTP/1.1 200 OK\"",
    "[Gloo] Rank 0 is connected to 0 peer ranks. Expected number of connected peer ranks is : 0",
    "W0000 00:00:1760469722.915302    4394 computation_placer.cc:177] computation placer already registered.",
    "DEBUG 11-22 05:24:22 [backends.py:1033] Traced files (to be considered for compilation cache):",
    "Loading safetensors checkpoint shards:  50% Completed | 2/4 [00:02<00:02,  1.25s/it]",
    "tokens=4096",
    "{\"metric\": \"loss\", \"value\": 0.5}",
    "\u{1F680} Starting something 100% │ ▄▄ ▄█ █",
    "(APIServer pid=4242) WARNING 03-08 08:22:23 [model.py:1892] Casting torch.bfloat16 to torch.float16.",
];

/// What stands before every line of a log that a container or a collector wrote.
const WRAPPERS: &[&str] = &[
    "vllm-1  | ",
    "> ",
    "2025-06-02T11:20:30.123456789Z ",
    "2025-06-02T11:20:30.123456789Z stdout F ",
    "Sep 03 09:41:29 host python3[20833]: ",
    "сен 03 09:41:29 host python3[20833]: ",
    "[2025-05-05T12:00:00Z] ",
    "│ ",
    "[pod/vllm-0/server] ",
];

fn lines(log: &[u8]) -> Vec<&[u8]> {
    log.split_inclusive(|b| *b == b'\n').collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn where_the_bytes_are_split_changes_nothing(log in log(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(log.len() + 1)).collect();
        cuts.sort_unstable();
        let mut parser = LogParser::new();
        let mut from = 0;
        for cut in cuts {
            parser.push_bytes(&log[from..cut]);
            from = cut;
        }
        parser.push_bytes(&log[from..]);
        prop_assert_eq!(parser.finish(), read(log));
    }

    #[test]
    fn line_by_line_is_the_same_as_all_at_once(log in log()) {
        let mut parser = LogParser::new();
        for line in lines(log) {
            parser.push_line(&String::from_utf8_lossy(line));
        }
        prop_assert_eq!(LogDocument::of(&parser.finish()).summary, summary(log));
    }

    #[test]
    fn unrelated_lines_change_no_fact(
        log in log(),
        extra in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(UNRELATED)), 0..8),
    ) {
        prop_assume!(is_whole(log));
        let mut lines: Vec<Vec<u8>> = lines(log).into_iter().map(<[u8]>::to_vec).collect();
        for (place, text) in extra {
            let place = place.index(lines.len() + 1);
            // The last line of an excerpt may lack its end.
            if lines.get(place.wrapping_sub(1)).is_none_or(|line| line.ends_with(b"\n")) {
                lines.insert(place, [text.as_bytes(), b"\n"].concat());
            }
        }
        prop_assert_eq!(summary(&lines.concat()), summary(log));
    }

    #[test]
    fn wrappers_change_no_fact(log in log(), wrapper in prop::sample::select(WRAPPERS)) {
        prop_assume!(is_whole(log));
        let wrapped: Vec<u8> =
            lines(log).into_iter().flat_map(|line| [wrapper.as_bytes(), line].concat()).collect();
        prop_assert_eq!(summary(&wrapped), summary(log));
    }

    #[test]
    fn colours_change_no_fact(log in log(), reset in prop::sample::select(&["\x1b[0m", "\x1b[0;0m"][..])) {
        let text = String::from_utf8_lossy(log).into_owned();
        let mut coloured = text.clone();
        for level in ["INFO ", "WARNING ", "ERROR ", "DEBUG "] {
            let word = level.trim_end();
            coloured = coloured.replace(&format!("{level}0"), &format!("\x1b[32m{word}{reset} 0"));
            coloured = coloured.replace(&format!("{level}1"), &format!("\x1b[1;32m{word}{reset} 1"));
        }
        prop_assert_eq!(summary(coloured.as_bytes()), summary(text.as_bytes()));
    }

    #[test]
    fn other_line_ends_change_no_fact(log in log()) {
        prop_assume!(is_whole(log));
        let text: Vec<u8> = lines(log)
            .into_iter()
            .flat_map(|line| match line.strip_suffix(b"\n") {
                Some(line) => [line, b"\r\n"].concat(),
                None => line.to_vec(),
            })
            .collect();
        prop_assert_eq!(summary(&text), summary(log));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = LogDocument::of(&read(&bytes));
    }

    #[test]
    fn any_damage_to_a_log_is_read_without_a_panic(
        log in log(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let mut damaged = log.clone();
        for (place, byte) in damage {
            let place = place.index(damaged.len());
            damaged[place] = byte;
        }
        let _ = LogDocument::of(&read(&damaged));
    }
}
