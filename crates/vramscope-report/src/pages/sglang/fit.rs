//! Which settings of a server of SGLang serve requests on a device, each with its command line.

use vramscope_core::shortened;

use super::super::named::{self, MOST_ROWS};
use super::super::predicted::{self, notes, yes};
use super::LONGEST_NAME;
use crate::cell::Cell;
use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Finding, Page, Picture, Section, Table, Weight};
use crate::svg::{Bar, bars};
use crate::unit::Unit;

/// The key by which the document is known.
pub(crate) const KEY: &str = "vramscope_fit_sglang";

/// More answers than this have no bar of their own.
const MOST_BARS: usize = 40;

/// Questions as the page asks them.
const QUESTIONS: &[(&str, &str)] = &[
    ("as_asked", "As asked"),
    ("fewest_devices", "Fewest devices"),
    ("longest_context", "Longest context"),
    ("most_requests", "Most requests"),
];

/// What keeps a setting from serving.
const LACKS: &[(&str, &str)] = &[
    ("weights", "memory for the weights"),
    ("pool", "room in the share"),
    ("windows", "room in the pool of windows"),
    ("slack", "memory beside the share"),
    ("requests", "the release takes fewer at once"),
    ("limit", "an argument is the bound"),
];

/// What a name is called, by a table; its own words where it is not in it.
fn called(name: &str, names: &[(&str, &str)]) -> String {
    let known = names.iter().find(|(its, _)| *its == name);
    known.map_or_else(|| named::words(name), |(_, words)| (*words).to_owned())
}

fn asked(answer: &Node<'_>) -> String {
    called(answer.at("question").text().unwrap_or_default(), QUESTIONS)
}

fn kind<'d>(answer: &Node<'d>) -> &'d str {
    answer.at("kv_cache_dtype").text().unwrap_or("?")
}

/// The answer's number: what was asked for.
fn number(answer: &Node<'_>) -> Cell {
    let placed = answer.at("placed");
    match answer.at("question").text() {
        Some("fewest_devices") => placed.at("devices").figure(Unit::Count),
        Some("longest_context") => placed.at("request_tokens").figure(Unit::Count),
        Some("most_requests" | "as_asked") => placed.at("requests").figure(Unit::Count),
        _ => Cell::absent(),
    }
}

pub(crate) fn page(document: &Document) -> Page {
    let root = document.root(0);
    let model = root.path("model/name").text().unwrap_or("a model");
    let gpu =
        root.path("gpu/name").text().map_or_else(String::new, |gpu| format!(" on {}", shortened(gpu, LONGEST_NAME)));
    let tables = [
        named::table("What was asked for", &[root.at("asked")], &[]),
        named::table("The model", &[root.at("model")], &["notes"]),
        named::table("The card", &[root.at("gpu")], &[]),
    ];
    let sections = vec![
        Section::new("What is served?", answer(&root)),
        Section::new("Every answer", answers(&root)),
        Section::new("Every card of the table", devices(&root)),
        Section::new("What is not certain", notes(&root)),
        Section::new("Of what", tables.into_iter().flatten().map(Block::Table)),
    ];
    let release = root.at("engine_version").text().map_or_else(String::new, |own| format!(", release {own}"));
    Page {
        title: format!("What serves {} under SGLang{gpu}", shortened(model, LONGEST_NAME)),
        about: format!("A prediction by the server's rules{release}; nothing was run. Memory alone is judged."),
        sections,
    }
}

fn answer(root: &Node<'_>) -> Vec<Block> {
    let mut blocks = Vec::new();
    let answers = root.at("answers").items();
    let mut findings = Vec::new();
    for asked in answers.iter().filter(|answer| answer.at("question").text() == Some("as_asked")).take(8) {
        let (weight, words) = match (asked.at("fits").is_true(), asked.at("certain").is_true()) {
            (true, true) => (
                Weight::Good,
                "the server starts and holds what was asked for, over the whole interval of the prediction.",
            ),
            (true, false) => (
                Weight::Warning,
                "the server starts and holds what was asked for, but it is close: within the interval it may not.",
            ),
            (false, _) => (Weight::Error, "what was asked for is not served."),
        };
        let text = format!("With a pool of {}, {words}", shortened(kind(asked), LONGEST_NAME));
        findings.push(Finding { weight, text, advice: None, code: None });
    }
    if !findings.is_empty() {
        blocks.push(Block::Findings(findings));
    }
    let figures = [
        ("Tokens of a request", root.path("asked/request_tokens").figure(Unit::Count)),
        ("Requests at once", root.path("asked/requests").figure(Unit::Count)),
        ("Longest request that the server takes", root.path("asked/context_length").figure(Unit::Count)),
        ("Longest by the model's config", root.path("asked/model_context_length").figure(Unit::Count)),
    ];
    blocks.extend(predicted::headline(figures));
    let said =
        |first: &Node<'_>| format!("{}, pool of {}", asked(first).to_lowercase(), shortened(kind(first), LONGEST_NAME));
    blocks.extend(predicted::first_answer(&answers, said, "serves", number));
    if blocks.is_empty() {
        blocks.push(Block::Text("The document gives no answer.".to_owned()));
    }
    blocks
}

fn answers(root: &Node<'_>) -> Vec<Block> {
    let answers = root.at("answers").items();
    if answers.is_empty() {
        return Vec::new();
    }
    let heads = [
        "question",
        "pool of",
        "served",
        "#answer",
        "certain",
        "#for certain",
        "#tokens of the pool",
        "#pool of a rank",
        "#left for activations",
        "lacking",
        "#of it",
        "#for requests",
        "#of tokens each",
        "command",
    ];
    let mut table = Table::new("Each answer changes the one setting that it is about", &heads);
    let mut drawn = Vec::new();
    for answer in answers.iter().take(MOST_ROWS + 1) {
        let placed = answer.at("placed");
        let lacking = answer.at("lacking");
        table.row([
            Cell::text(asked(answer)),
            answer.at("kv_cache_dtype").cell(),
            yes(&answer.at("fits")),
            number(answer),
            yes(&answer.at("certain")),
            answer.at("for_certain").figure(Unit::Count),
            placed.path("kv_pool_tokens/value").figure(Unit::Count),
            placed.path("kv_pool_bytes/value").figure(Unit::Memory),
            placed.path("left_bytes/value").figure(Unit::Memory),
            lacking.text().map_or_else(Cell::absent, |name| Cell::text(called(name, LACKS))),
            answer.at("missing_bytes").figure(Unit::Memory),
            answer.at("lacking_requests").figure(Unit::Count),
            answer.at("lacking_request_tokens").figure(Unit::Count),
            placed.at("command").cell(),
        ]);
        if let Some(tokens) = placed.path("kv_pool_tokens/value").number() {
            let name = format!("{}, {}", asked(answer), shortened(kind(answer), LONGEST_NAME));
            drawn.push(Bar::new(&name, 0.0, tokens, 1, Unit::Count.show(tokens)));
        }
    }
    let table = table.without_empty_columns().at_most(MOST_ROWS);
    drawn.truncate(MOST_BARS);
    if drawn.is_empty() {
        return vec![Block::Table(table)];
    }
    vec![Block::Picture(Picture {
        title: "Tokens of the pool".to_owned(),
        words: format!("{} answers serve. Bars are tokens of the pool of one replica.", drawn.len()),
        svg: bars(&drawn, Unit::Count),
        table: Some(table),
        sparks: vec![("tokens".to_owned(), drawn.iter().map(|bar| bar.to).collect())],
    })]
}

fn devices(root: &Node<'_>) -> Vec<Block> {
    let devices = root.at("devices").items();
    if devices.is_empty() {
        return Vec::new();
    }
    let heads = ["card", "#memory", "#needed", "certain", "#for certain", "#tokens of the pool", "command"];
    let mut table = Table::new("The fewest of each card that serve it; a dash where 64 are not enough", &heads);
    for device in devices.iter().take(MOST_ROWS + 1) {
        let fewest = device.at("fewest_devices");
        table.row([
            device.at("name").cell(),
            device.at("total_bytes").figure(Unit::Memory),
            number(&fewest),
            yes(&fewest.at("certain")),
            fewest.at("for_certain").figure(Unit::Count),
            fewest.path("placed/kv_pool_tokens/value").figure(Unit::Count),
            fewest.path("placed/command").cell(),
        ]);
    }
    vec![Block::Table(table.without_empty_columns().at_most(MOST_ROWS))]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::law;

    fn row(question: &str, fits: bool) -> Value {
        let figure =
            json!({"value": 700, "low": 690, "high": 720, "confidence": "estimated", "method": "m", "formula": "f"});
        let mut row =
            json!({"question": question, "kv_cache_dtype": "auto", "fits": fits, "certain": fits, "for_certain": 8});
        if fits {
            row["placed"] = json!({"devices": 2, "request_tokens": 300, "requests": 5, "settings": {"tp_size": 2},
                "weights_bytes": figure, "kv_pool_bytes": figure, "kv_pool_tokens": figure, "left_bytes": figure,
                "command": "sglang serve --model-path a/b"});
        } else {
            (row["lacking"], row["missing_bytes"]) = (json!("pool"), json!(12));
            (row["lacking_requests"], row["lacking_request_tokens"]) = (json!(5), json!(16));
        }
        row
    }

    fn document() -> Value {
        let answers: Vec<Value> = QUESTIONS.iter().map(|(name, _)| row(name, *name != "longest_context")).collect();
        json!({"vramscope_fit_sglang": 1, "engine_type": "sglang", "engine_version": "0.5.12", "checked": "logged",
            "model": {"name": "a/b", "notes": ["a note"]},
            "asked": {"context_length": 400, "request_tokens": 300, "requests": 5, "model_context_length": 900},
            "gpu": {"key": "l4", "name": "an L4", "total_bytes": 800, "others_bytes": 70, "source": "given"},
            "answers": answers, "notes": ["another"], "ignored": ["--port 30000"],
            "devices": [{"key": "l4", "name": "an L4", "total_bytes": 800, "fewest_devices": row("fewest_devices", true)}]})
    }

    #[test]
    fn the_page_keeps_the_laws() {
        law::of_kind(&document());
    }

    #[test]
    fn what_was_asked_for_is_said_to_be_served_or_not() {
        let said = |fits: bool| {
            let mut value = document();
            value["answers"][0] = row("as_asked", fits);
            crate::pages::page(&[Document::new("a", value).unwrap()], None).unwrap().markdown()
        };
        assert!(said(true).contains("holds what was asked for, over the whole interval"));
        assert!(said(false).contains("what was asked for is not served"));
        assert!(said(false).contains("room in the share"));
    }
}
