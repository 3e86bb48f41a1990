//! Every format of the table is met by a line of `formats.txt` or `failure-texts.txt` in `tests/it/data/`, and those of
//! the first state what stands below them there.

use std::path::Path;

use vramscope_core::{FailureKind, Generation};

use super::{find, find_within, formats};
use crate::figure::Value;
use crate::needles::Needles;
use crate::{LogParser, record, vllm::failure};

/// A log of the file with what it should state.
struct Block {
    log: Vec<String>,
    states: Vec<String>,
}

fn path() -> std::path::PathBuf {
    data("formats.txt")
}

fn data(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/data").join(name)
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    for paragraph in text.split("\n\n") {
        let mut block = Block { log: Vec::new(), states: Vec::new() };
        for line in paragraph.lines().filter(|line| !line.starts_with("# ") && !line.starts_with("## ")) {
            match line.strip_prefix("> ") {
                Some(state) => block.states.push(state.to_owned()),
                None => block.log.push(line.to_owned()),
            }
        }
        if block.log.iter().any(|line| !line.is_empty()) {
            blocks.push(block);
        }
    }
    blocks
}

/// All that a log states, one thing a line.
fn stated(log: &[String]) -> Vec<String> {
    let mut parser = LogParser::new();
    for line in log {
        parser.push_line(line);
    }
    let mut states = Vec::new();
    for engine in parser.finish().engines {
        if let Some(generation) = &engine.facts.generation {
            states.push(format!("generation {}", if generation.value == Generation::V0 { "V0" } else { "V1" }));
        }
        for figure in &engine.figures {
            let value = match &figure.value {
                Value::Memory(memory) => memory.text(),
                Value::Count(count) => count.to_string(),
                Value::Number(number) => number.to_string(),
                Value::Text(text) => text.clone(),
            };
            states.push(format!("{} = {value}", figure.key.name()));
        }
        for setting in &engine.settings {
            states.push(format!("setting {} = {:?} ({:?})", setting.name, setting.value, setting.source));
        }
        for placed in &engine.placements {
            states.push(format!(
                "rank {} of {}: pipeline {}, tensor {}",
                placed.rank, placed.world_size, placed.pipeline, placed.tensor
            ));
        }
        for event in engine.facts.events.iter() {
            let took = event.took.map_or(String::new(), |took| format!(" took {} s", took.as_secs_f64()));
            let name = crate::document::milestone_name(event.milestone);
            if name != "first_line" && name != "last_line" {
                states.push(format!("event {name}{took}"));
            }
        }
        for report in &engine.reports {
            states.push(format!(
                "report running {:?} waiting {:?} KV {:?} % prompt {:?} generation {:?} hits {:?} %",
                report.running,
                report.waiting,
                report.kv_usage_pct,
                report.prompt_tokens_per_second,
                report.generation_tokens_per_second,
                report.prefix_hit_pct
            ));
        }
        for value in &engine.bench {
            states.push(format!("bench {} = {}", value.label, value.value));
        }
        for failure in &engine.facts.failures {
            let message =
                if failure.kind == FailureKind::BadArguments { format!(" {}", failure.message) } else { String::new() };
            states.push(format!("fails {:?}{message}", failure.kind));
        }
    }
    states
}

#[test]
fn every_format_states_what_its_fixture_says() {
    let text = std::fs::read_to_string(path()).unwrap();
    if std::env::var_os("UPDATE_FORMATS").is_some() {
        std::fs::write(path(), updated(&text)).unwrap();
        return;
    }
    let mut wrong = Vec::new();
    for block in blocks(&text) {
        let states = stated(&block.log);
        if states != block.states {
            wrong.push(format!(
                "{}\n  should state {:#?}\n  but states {states:#?}",
                block.log.join("\n"),
                block.states
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn updated(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|paragraph| {
        let kept: Vec<&str> = paragraph.lines().filter(|line| !line.starts_with("> ")).collect();
        let log: Vec<String> = kept.iter().filter(|l| !l.starts_with('#')).map(|l| (*l).to_owned()).collect();
        let states = if log.iter().any(|l| !l.is_empty()) { stated(&log) } else { Vec::new() };
        kept.iter()
            .map(|l| (*l).to_owned())
            .chain(states.iter().map(|s| format!("> {s}")))
            .collect::<Vec<_>>()
            .join("\n")
    });
    paragraphs.collect::<Vec<_>>().join("\n\n") + "\n"
}

#[test]
fn every_format_has_a_fixture_and_is_found_by_its_needle() {
    let read = |name: &str| std::fs::read_to_string(data(name)).unwrap();
    let text = read("formats.txt") + "\n" + &read("failure-texts.txt");
    let mut met = vec![false; formats().len()];
    for line in text.lines().filter(|line| !line.starts_with(['#', '>'])) {
        let plain = record::plain(line);
        record::each(&plain, |record| {
            let candidates = Needles::with_figures().candidates(record.message);
            let stripped = failure::heart(record.message).text;
            let found = find(candidates, record.message).or_else(|| find(candidates, stripped));
            let within = || record.level.is_none().then(|| find_within(candidates, record.message)).flatten();
            let found = found.map(|(format, _)| format).or_else(|| within().map(|(format, _, _)| format));
            if let Some(place) = found.and_then(|found| formats().iter().position(|f| std::ptr::eq(f, found))) {
                met[place] = true;
            }
        });
    }
    let unmet: Vec<&str> =
        formats().iter().zip(&met).filter(|(_, met)| !**met).map(|(format, _)| format.row.pattern).collect();
    assert!(
        unmet.is_empty(),
        "no line of formats.txt or failure-texts.txt in tests/it/data is of:\n{}",
        unmet.join("\n")
    );
}
