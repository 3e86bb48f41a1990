//! What allocators print when memory runs out, and what only looks like it.

use std::collections::BTreeMap;

use vramscope_log::LogParser;
use vramscope_log::document::{FailureDocument, LogDocument};

const TEXTS: &str = include_str!("data/failure-texts.txt");

/// A text with what must be read from it.
struct Text {
    name: &'static str,
    log: Vec<&'static str>,
    right: &'static str,
}

fn texts() -> Vec<Text> {
    let of = |block: &'static str| {
        let mut lines = block.lines();
        let name = lines.next()?.strip_prefix("# ")?;
        let (right, log): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.starts_with("> "));
        assert_eq!(right.len(), 1, "{name} says one thing");
        Some(Text { name, log, right: &right[0][2..] })
    };
    // The first block says what the file is.
    TEXTS.split("\n\n").skip(1).filter_map(of).collect()
}

fn failures(log: &[&str]) -> Vec<FailureDocument> {
    let mut parser = LogParser::new();
    log.iter().for_each(|line| parser.push_line(line));
    LogDocument::of(&parser.finish()).engines.into_iter().flat_map(|engine| engine.failures).collect()
}

/// Bytes of `1.50GiB`.
fn bytes(amount: &str) -> Option<u64> {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];
    let (number, power) = units.iter().find_map(|(unit, power)| Some((amount.strip_suffix(unit)?, *power)))?;
    let exact = number.parse::<f64>().ok()? * f64::from(1_u32 << power);
    format!("{exact:.0}").parse().ok()
}

/// What must be read from a text.
struct Right<'a> {
    kind: &'a str,
    amounts: BTreeMap<String, u64>,
    rank: Option<u32>,
    activity: Option<&'a str>,
}

fn right(stated: &str) -> Option<Right<'_>> {
    let mut words = stated.split(' ');
    let mut right = Right { kind: words.next()?, amounts: BTreeMap::new(), rank: None, activity: None };
    for word in words {
        match word.split_once('=')? {
            ("rank", rank) => right.rank = Some(rank.parse().ok()?),
            ("activity", activity) => right.activity = Some(activity),
            (name, amount) => {
                right.amounts.insert(name.to_owned(), bytes(amount)?);
            }
        }
    }
    Some(right)
}

/// What is wrong with what was read, if anything is.
fn wrong(text: &Text, found: &[FailureDocument]) -> Option<String> {
    let exhausted = |f: &FailureDocument| f.kind.ends_with("out_of_memory");
    if let Some(kind) = text.right.strip_prefix("not memory") {
        let kinds: Vec<&str> = found.iter().map(|f| f.kind.as_str()).collect();
        let right = kind.strip_prefix(": ").is_none_or(|kind| kinds == [kind]);
        return (found.iter().any(exhausted) || !right).then(|| format!("read as {kinds:?}"));
    }
    let [failure] = found else { return Some(format!("{} failures", found.len())) };
    let Some(right) = right(text.right) else { return Some("it is not clear what is right".to_owned()) };
    if failure.kind != right.kind {
        Some(format!("read as {}", failure.kind))
    } else if failure.bytes != right.amounts {
        Some(format!("amounts {:?} and not {:?}", failure.bytes, right.amounts))
    } else if failure.rank != right.rank {
        Some(format!("rank {:?} and not {:?}", failure.rank, right.rank))
    } else {
        let other = right.activity.is_some() && failure.activity.as_deref() != right.activity;
        other.then(|| format!("activity {:?} and not {:?}", failure.activity, right.activity))
    }
}

#[test]
fn every_allocator_is_understood_and_nothing_else_is() {
    let texts = texts();
    let found: Vec<String> = texts
        .iter()
        .filter_map(|text| wrong(text, &failures(&text.log)).map(|what| format!("{}: {what}", text.name)))
        .collect();
    let unlike = texts.iter().filter(|text| text.right.starts_with("not memory")).count();
    println!("failure texts: {} forms and {unlike} look-alikes, {} wrong", texts.len() - unlike, found.len());
    assert!(found.is_empty(), "{} of {}:\n{}", found.len(), texts.len(), found.join("\n"));
    assert!(texts.len() - unlike >= 60 && unlike >= 15, "texts were lost");
}

/// The table of sources and the texts are of one another.
#[test]
fn every_text_has_its_source_in_the_documentation() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/failure-texts.md");
    let table = std::fs::read_to_string(path).unwrap();
    let named: Vec<&str> =
        table.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once("` |")?.0)).collect();
    let names: Vec<&str> = texts().iter().map(|text| text.name).collect();
    let mut once = names.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), names.len(), "a name stands for one text");
    assert_eq!(named, names, "docs/failure-texts.md has the rows in the order of the texts");
}
