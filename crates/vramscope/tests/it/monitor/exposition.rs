//! A strict reader of Prometheus' text format 0.0.4, by its published description: what a scraper would refuse, it
//! refuses, and it holds metrics to the naming rules.

use std::collections::{BTreeMap, BTreeSet};

/// One line with a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: f64,
}

/// All that was exposed.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    pub(super) samples: Vec<Sample>,
}

/// Units that are not base units, and therefore have no place at the end of a name.
const NO_BASE_UNITS: [&str; 9] = ["_mb", "_mib", "_gb", "_milliwatts", "_percent", "_ms", "_mhz", "_mj", "_kib"];

pub(super) fn parse(text: &str) -> Result<Exposition, String> {
    if !text.ends_with('\n') {
        return Err("the last line has no end".into());
    }
    let mut found = Exposition::default();
    let (mut helped, mut typed): (BTreeSet<String>, BTreeMap<String, String>) = Default::default();
    let mut finished: BTreeSet<String> = BTreeSet::new();
    let mut current = String::new();
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        let wrong = |what: &str| Err(format!("{what}: {line}"));
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or("a help without text")?;
            if help.is_empty() || !helped.insert(name.into()) {
                return wrong("help that is empty or repeated");
            }
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or("a type without kind")?;
            if !["gauge", "counter"].contains(&kind) || !helped.contains(name) {
                return wrong("an unknown type, or one without help before it");
            }
            if (kind == "counter") != name.ends_with("_total") {
                return wrong("counters, and they alone, end in _total");
            }
            if NO_BASE_UNITS.iter().any(|unit| name.trim_end_matches("_total").ends_with(unit)) {
                return wrong("a unit that is no base unit");
            }
            if typed.insert(name.into(), kind.into()).is_some() {
                return wrong("a type that is repeated");
            }
        } else {
            let sample = sample(line).map_err(|what| format!("{what}: {line}"))?;
            if !typed.contains_key(&sample.name) {
                return wrong("a value without a type before it");
            }
            if sample.name != current {
                finished.insert(std::mem::replace(&mut current, sample.name.clone()));
                if finished.contains(&current) {
                    return wrong("a family in two places");
                }
            }
            if !seen.insert((sample.name.clone(), sample.labels.clone())) {
                return wrong("a series twice");
            }
            if typed[&sample.name] == "counter" && sample.value < 0.0 {
                return wrong("a negative counter");
            }
            if sample.name.ends_with("_ratio") && !(0.0..=1.0).contains(&sample.value) {
                return wrong("a ratio outside 0 to 1");
            }
            found.samples.push(sample);
        }
    }
    match typed.keys().find(|name| found.samples.iter().all(|sample| sample.name != **name)) {
        Some(empty) => Err(format!("{empty} has a type and no value")),
        None => Ok(found),
    }
}

fn is_name(text: &str, colon: bool) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_' || (colon && c == ':');
    text.starts_with(letter) && text.chars().all(|c| letter(c) || c.is_ascii_digit())
}

fn sample(line: &str) -> Result<Sample, String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    if !is_name(name, true) {
        return Err("a name of wrong letters".into());
    }
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").ok_or("a label without value")?;
            let (value, after) = quoted(after)?;
            if !is_name(label, false) || labels.insert(label.to_owned(), value).is_some() {
                return Err(format!("the label {label} is wrong or repeated"));
            }
            match after.chars().next() {
                Some(',') => rest = &after[1..],
                Some('}') => {
                    rest = &after[1..];
                    break;
                }
                _ => return Err("labels without end".into()),
            }
        }
    }
    let value = rest.strip_prefix(' ').ok_or("no blank before the value")?;
    let value = value.parse().map_err(|_| "a value that is no number".to_owned())?;
    Ok(Sample { name: name.to_owned(), labels, value })
}

/// The text up to the closing quote, and what follows it.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((place, letter)) = letters.next() {
        match letter {
            '"' => return Ok((value, &text[place + 1..])),
            '\\' => match letters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, escaped @ ('\\' | '"'))) => value.push(escaped),
                _ => return Err("an escape that does not exist".into()),
            },
            other => value.push(other),
        }
    }
    Err("a quote without end".into())
}
