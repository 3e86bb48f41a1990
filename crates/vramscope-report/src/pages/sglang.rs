//! What a server of SGLang takes of each device, and how many tokens its pool has.

pub(crate) mod fit;

use vramscope_core::shortened;

use super::named;
use super::predicted;
use super::waterfall::{Step, waterfall};
use crate::cell::Cell;
use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Finding, Page, Picture, Section, Table, Weight};
use crate::unit::Unit;

/// The key by which the document is known.
pub(crate) const KEY: &str = "vramscope_estimate_sglang";

const LONGEST_NAME: usize = 80;

/// What is taken of the memory that is free before loading, in the order in which the server takes it: key, name, colour.
const TAKEN: &[(&str, &str, usize)] = &[
    ("weights_bytes", "weights", 1),
    ("states_bytes", "recurrent states", 6),
    ("kv_pool_bytes", "KV pool", 2),
    ("request_table_bytes", "request table", 4),
    ("workspace_bytes", "attention's workspace", 5),
    ("cuda_graphs_bytes", "CUDA graphs", 3),
];

/// The other sizes.
const SIZES: &[(&str, &str)] = &[
    ("free_before_bytes", "free before loading"),
    ("static_bytes", "what weights, states and pool may take"),
    ("left_bytes", "left for activations"),
];

/// Counts of tokens.
const TOKENS: &[(&str, &str)] =
    &[("kv_pool_tokens", "tokens of the KV pool"), ("window_pool_tokens", "tokens of the pool for windows")];

pub(crate) fn page(document: &Document) -> Page {
    let root = document.root(0);
    let model = root.path("model/name").text().unwrap_or("a model");
    let sections = vec![
        Section::new("Does it start?", answer(&root)),
        Section::new("Where the memory goes", memory(&root)),
        Section::new("What is not certain", doubts(&root)),
        Section::new("Set up so", setting(&root)),
    ];
    let gpu =
        root.path("gpu/name").text().map_or_else(String::new, |gpu| format!(" on {}", shortened(gpu, LONGEST_NAME)));
    Page {
        title: format!("Memory of {} under SGLang{gpu}", shortened(model, LONGEST_NAME)),
        about: "A prediction for one rank, from the server's rules; nothing was run.".to_owned(),
        sections,
    }
}

fn value<'d>(root: &Node<'d>, name: &str) -> Node<'d> {
    root.at(name).at("value")
}

fn answer(root: &Node<'_>) -> Vec<Block> {
    let mut blocks = Vec::new();
    if root.at("fits").is_there() {
        let failure = root.at("failure").text();
        let text = match (root.at("fits").is_true(), failure) {
            (true, _) if root.at("full_requests").number() == Some(0.0) => {
                "The server starts, and its pool holds not even one request of the longest length."
            }
            (true, _) => "The server starts.",
            (false, Some("weights")) => "The server does not start: the weights do not fit.",
            (false, Some("no_pool")) => "The server does not start: its share leaves nothing for the KV pool.",
            (false, Some("slack")) => "The server does not start: its share leaves too little beside the pool.",
            (false, _) => "The server does not start.",
        };
        let mut finding =
            predicted::verdict(text.to_owned(), root.at("fits").is_true(), root.at("certain").is_true(), failure);
        let least = value(root, "weights_bytes").number().zip(value(root, "free_before_bytes").number());
        let least = least.filter(|(weights, free)| weights < free).map(|(weights, free)| weights / free);
        finding.advice = match failure {
            Some("no_pool") => Some(least.map_or_else(
                || "Raise --mem-fraction-static.".to_owned(),
                |least| format!("Raise --mem-fraction-static: weights alone are {least:.2} of what is free."),
            )),
            None if root.at("full_requests").number() == Some(0.0) => {
                finding.weight = Weight::Warning;
                Some("Use more GPUs, a smaller type of cache, a larger --mem-fraction-static or a shorter --context-length.".to_owned())
            }
            Some("slack") => Some("Lower --mem-fraction-static, or capture graphs of fewer batches.".to_owned()),
            _ => None,
        };
        blocks.push(Block::Findings(vec![finding]));
    }
    // What a server that does not start could do is no answer.
    let starts = root.at("fits").is_true() || !root.at("fits").is_there();
    let mut figures = vec![
        ("Tokens in the KV pool", value(root, "kv_pool_tokens").figure(Unit::Count)),
        ("KV pool", value(root, "kv_pool_bytes").figure(Unit::Memory)),
        ("Weights", value(root, "weights_bytes").figure(Unit::Memory)),
        ("Free before loading", value(root, "free_before_bytes").figure(Unit::Memory)),
    ];
    if starts {
        figures.extend([
            ("Left for activations", value(root, "left_bytes").figure(Unit::Memory)),
            ("Requests of the longest length that the pool holds", root.at("full_requests").figure(Unit::Count)),
            ("Most requests at once", root.path("settings/max_running_requests").figure(Unit::Count)),
            ("Longest request in tokens", root.path("settings/context_length").figure(Unit::Count)),
        ]);
    }
    blocks.extend(predicted::headline(figures));
    let share = root.path("settings/mem_fraction_static");
    if share.number().is_some() && value(root, "free_before_bytes").is_there() {
        blocks.push(Block::Sentence(vec![
            "Of the ".into(),
            value(root, "free_before_bytes").figure(Unit::Memory),
            " that are free before loading, weights, states and pool may take a share of ".into(),
            share.figure(Unit::Plain),
            "; activations have to fit what is left beside them.".into(),
        ]));
    }
    if blocks.is_empty() {
        blocks.push(Block::Text("The document gives no answer.".to_owned()));
    }
    blocks
}

fn memory(root: &Node<'_>) -> Vec<Block> {
    let mut blocks: Vec<Block> = picture(root).map(Block::Picture).into_iter().collect();
    let mut table = Table::new("Each figure with its interval", &["figure", "#likely", "#least", "#most", "how sure"]);
    let sizes = TAKEN.iter().map(|(key, name, _)| (*key, *name)).chain(SIZES.iter().copied());
    let sizes = sizes.map(|(key, name)| (key, name, Unit::Memory));
    for (key, name, unit) in sizes.chain(TOKENS.iter().map(|(key, name)| (*key, *name, Unit::Count))) {
        if value(root, key).is_there() {
            table.row(predicted::row(name.to_owned(), &root.at(key), unit));
        }
    }
    if !table.rows.is_empty() {
        blocks.push(Block::Table(table));
    }
    let of_token = ["bytes_per_token", "window_bytes_per_token"].map(|key| root.at(key));
    for (bytes, of) in of_token.into_iter().zip(["each token", "each token of the layers with a window"]) {
        if bytes.number().is_some() {
            blocks.push(Block::Sentence(vec![bytes.figure(Unit::Count), format!(" bytes hold {of}.").into()]));
        }
    }
    let all =
        TAKEN.iter().map(|(key, name, _)| (*key, *name)).chain(SIZES.iter().copied()).chain(TOKENS.iter().copied());
    blocks.extend(predicted::formulas(all.map(|(key, name)| (name.to_owned(), root.at(key)))));
    if blocks.is_empty() {
        blocks.push(Block::Text("The document has no sizes.".to_owned()));
    }
    blocks
}

/// From what is free before loading down to what is left for activations.
fn picture(root: &Node<'_>) -> Option<Picture> {
    let free = value(root, "free_before_bytes");
    let whole = free.number()?;
    let show = |bytes: f64| Unit::Memory.show(bytes);
    let mut table = Table::new("What is taken off, in order", &["", "#memory"]);
    table.row(["free before loading".into(), free.figure(Unit::Memory)]);
    let mut steps = Vec::new();
    for &(key, name, colour) in TAKEN {
        let figure = root.at(key);
        let Some(bytes) = figure.at("value").number().filter(|bytes| *bytes > 0.0) else { continue };
        let mut step = Step::less(name, bytes, colour, show(bytes));
        let interval = figure.at("low").number().zip(figure.at("high").number());
        step.interval = interval.filter(|(low, high)| high - low > whole / 500.0);
        steps.push(step);
        table.row([Cell::text(name), figure.at("value").figure(Unit::Memory)]);
    }
    let left = value(root, "left_bytes");
    let last = left.number().map(|bytes| ("left for activations".to_owned(), bytes, 9, show(bytes)));
    table.row(["left for activations".into(), left.figure(Unit::Memory)]);
    let largest = steps.iter().max_by(|one, two| two.size.total_cmp(&one.size))?;
    let words = format!(
        "Of {} that are free before loading the most, {}, goes to {}. Whiskers are intervals.",
        show(whole),
        show(-largest.size),
        largest.name
    );
    let first = Some(("free before loading".to_owned(), whole, 9, show(whole)));
    let title = "From what is free to what is left".to_owned();
    Some(Picture { title, words, svg: waterfall(first, &steps, last), table: Some(table), sparks: Vec::new() })
}

fn doubts(root: &Node<'_>) -> Vec<Block> {
    let note = |text: String| Finding { weight: Weight::Note, text, advice: None, code: None };
    let release = root.path("settings/version").text().unwrap_or("this release");
    let release = shortened(release, LONGEST_NAME);
    let mut findings = vec![match root.path("settings/checked").text() {
        Some("logged") => note(format!("For release {release} the pool of a public log was computed.")),
        Some("read") => note(format!("The source of release {release} was read, and no log of it was computed.")),
        _ => Finding {
            weight: Weight::Warning,
            ..note(format!("Release {release} was not read: its rules are those of the nearest one that was."))
        },
    }];
    findings.extend(root.at("notes").items().iter().take(50).filter_map(Node::words).map(note));
    let ignored = root.at("ignored").words();
    findings.extend(ignored.map(|words| note(format!("Not heeded, with or without an effect on memory: {words}."))));
    vec![Block::Findings(findings)]
}

fn setting(root: &Node<'_>) -> Vec<Block> {
    let tables = [
        named::table("The model", &[root.at("model")], &["notes"]),
        named::table("The server, with every default filled in", &[root.at("settings")], &[]),
        named::table("The card of each rank", &[root.at("gpu")], &[]),
    ];
    let blocks: Vec<Block> = tables.into_iter().flatten().map(Block::Table).collect();
    if blocks.is_empty() { vec![Block::Text("The document does not say.".to_owned())] } else { blocks }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::law;

    fn document() -> serde_json::Value {
        let figure = |value: u64| {
            json!({"value": value, "low": value / 2, "high": value + 10, "confidence": "estimated", "method": "m",
                   "formula": "a + b", "inputs": {"a": 1, "b": 2}})
        };
        json!({"vramscope_estimate_sglang": 1, "engine_type": "sglang", "model": {"name": "Qwen3-8B", "notes": ["a note"]},
               "gpu": {"name": "H100", "total_bytes": 1000},
               "settings": {"version": "0.5.12", "checked": "logged", "mem_fraction_static": 0.85, "context_length": 4096,
                            "max_running_requests": 48, "tp_size": 1},
               "free_before_bytes": figure(950), "weights_bytes": figure(300), "static_bytes": figure(800),
               "kv_pool_bytes": figure(500), "kv_pool_tokens": figure(77), "bytes_per_token": 6,
               "request_table_bytes": figure(10), "workspace_bytes": figure(20), "cuda_graphs_bytes": figure(30),
               "left_bytes": figure(90), "fits": true, "certain": true, "notes": ["another"], "ignored": ["--host"]})
    }

    #[test]
    fn the_page_keeps_the_laws() {
        law::of_kind(&document());
    }

    #[test]
    fn a_server_that_does_not_start_says_which_way_the_share_goes() {
        let said = |failure: &str, checked: &str| {
            let mut value = document();
            (value["fits"], value["failure"]) = (json!(false), json!(failure));
            value["settings"]["checked"] = json!(checked);
            let document = Document::new("a", value).unwrap();
            crate::pages::page(&[document], None).unwrap().markdown()
        };
        assert!(said("no_pool", "read").contains("Raise --mem-fraction-static"));
        assert!(said("slack", "newer").contains("Lower --mem-fraction-static"));
        assert!(said("slack", "newer").contains("was not read"));
    }
}
