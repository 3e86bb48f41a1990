//! What a model in one packed file takes under llama.cpp: on the device, and on the host.

pub(crate) mod fit;

use vramscope_core::{EngineKind, shortened};

use super::named;
use super::predicted;
use super::waterfall::{Step, waterfall};
use crate::cell::Cell;
use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Finding, Page, Picture, Section, Table, Weight};
use crate::unit::Unit;

/// The key by which the document is known.
pub(crate) const KEY: &str = "vramscope_estimate_llama_cpp";

const LONGEST_NAME: usize = 80;

/// The parts as the page calls them, with their colours.
const PARTS: &[(&str, &str, usize)] = &[
    ("weights", "weights", 1),
    ("kv_cache", "KV cache", 2),
    ("window_kv_cache", "KV cache of windows", 5),
    ("recurrent_state", "recurrent state", 6),
    ("compute", "compute buffers", 3),
    ("output", "output", 4),
];

fn called(part: &Node<'_>) -> (String, usize) {
    let name = part.at("name").text().unwrap_or_default();
    let known = PARTS.iter().find(|(its, ..)| *its == name);
    known.map_or_else(|| (named::words(name), 9), |(_, name, colour)| ((*name).to_owned(), *colour))
}

pub(crate) fn page(document: &Document) -> Page {
    let root = document.root(0);
    let model = root.at("model").text().unwrap_or("a model");
    let model = model.rsplit(['/', '\\']).next().unwrap_or(model);
    let mut sections = vec![Section::new("Does it fit?", answer(&root))];
    sections.push(Section::new("Where the memory goes", memory(&root)));
    sections.push(Section::new("What is not certain", doubts(&root)));
    sections.push(Section::new("Set up so", setting(&root)));
    let gpu = root.at("gpu").text().map_or_else(String::new, |gpu| format!(" on {}", shortened(gpu, LONGEST_NAME)));
    Page {
        title: format!("Memory of {} under {}{gpu}", shortened(model, LONGEST_NAME), engine(&root)),
        about: "A prediction from the file's header, by the server's rules; nothing was run.".to_owned(),
        sections,
    }
}

/// The engine that is started, which may start llama.cpp's server itself.
fn engine(root: &Node<'_>) -> String {
    match root.path("started_by/engine_type").text() {
        None => EngineKind::LlamaCpp.title().to_owned(),
        Some(by) => match EngineKind::from_name(by) {
            Some(known) => known.title().to_owned(),
            None => shortened(by, LONGEST_NAME).into_owned(),
        },
    }
}

/// What that engine is told, and what it starts.
fn starter(root: &Node<'_>) -> Vec<Block> {
    let by = root.at("started_by");
    if !by.is_there() {
        return Vec::new();
    }
    let mut table = Table::new(format!("{} starts llama.cpp's server so", engine(root)), &["name", "value"]);
    for name in ["version", "num_ctx", "num_parallel", "num_batch", "command"] {
        let value = by.at(name);
        if value.is_there() {
            let value = if value.number().is_some() { value.figure(Unit::Count) } else { value.cell() };
            table.row([Cell::text(name), value]);
        }
    }
    vec![Block::Table(table)]
}

fn value<'d>(root: &Node<'d>, name: &str) -> Node<'d> {
    root.at(name).at("value")
}

fn answer(root: &Node<'_>) -> Vec<Block> {
    let mut blocks = Vec::new();
    let total = root.at("device_total_bytes");
    if root.at("fits").is_there() {
        let fits = root.at("fits").is_true();
        let room = root.at("available_bytes").number();
        let (low, high) = (total.at("low").number(), total.at("high").number());
        let sure = if fits { high.zip(room).is_some_and(|(high, room)| high <= room) } else { low > room };
        let text = if fits { "It fits the device." } else { "It does not fit the device." }.to_owned();
        blocks.push(Block::Findings(vec![predicted::verdict(text, fits, sure, None)]));
    }
    let layers = root.path("settings/gpu_layers");
    let figures = [
        ("On the device", total.at("value").figure(Unit::Memory)),
        ("The device has for it", root.at("available_bytes").figure(Unit::Memory)),
        ("On the host", value(root, "host_total_bytes").figure(Unit::Memory)),
        ("Layers on the device", layers.figure(Unit::Count)),
        ("The most layers that fit", root.at("most_layers").figure(Unit::Count)),
        ("Tokens of one request", root.path("settings/ctx_size_of_slot").figure(Unit::Count)),
    ];
    blocks.extend(predicted::headline(figures));
    if let (Some(on), Some(all)) = (layers.number(), root.path("settings/layers").number()) {
        let mut text = vec![layers.figure(Unit::Count), " of ".into()];
        text.extend([root.path("settings/layers").figure(Unit::Count), " layers lie on the device".into()]);
        let rest = if on < all { ", the others on the host" } else { "" };
        text.push(format!("{rest}; the output counts as a layer.").into());
        blocks.push(Block::Sentence(text));
    }
    blocks
}

fn memory(root: &Node<'_>) -> Vec<Block> {
    let mut blocks: Vec<Block> = picture(root).map(Block::Picture).into_iter().collect();
    for (place, title) in [("device_bytes", "On the device"), ("host_bytes", "On the host")] {
        let mut table = Table::new(
            format!("{title}, each part with its interval"),
            &["part", "#likely", "#least", "#most", "how sure"],
        );
        let mut row = |name: String, figure: &Node<'_>| table.row(predicted::row(name, figure, Unit::Memory));
        for part in root.at("parts").items().iter().take(named::MOST_ROWS) {
            if part.at(place).at("value").number().is_some_and(|value| value > 0.0) {
                row(called(part).0, &part.at(place));
            }
        }
        if place == "device_bytes" {
            row("driver and its libraries".to_owned(), &root.at("driver_bytes"));
            row("all".to_owned(), &root.at("device_total_bytes"));
        } else {
            row("all".to_owned(), &root.at("host_total_bytes"));
        }
        blocks.push(Block::Table(table));
    }
    if root.at("host_weights_printed_bytes").is_there() {
        blocks.push(Block::Sentence(vec![
            "For weights on the host the server prints ".into(),
            root.at("host_weights_printed_bytes").figure(Unit::Memory),
            ": where it maps the file, that is a range of addresses and not memory that it takes.".into(),
        ]));
    }
    blocks.extend(formulas(root));
    blocks
}

/// From nothing up to all that the device holds.
fn picture(root: &Node<'_>) -> Option<Picture> {
    let total = root.at("device_total_bytes");
    let all = total.at("value").number()?;
    let show = |bytes: f64| Unit::Memory.show(bytes);
    let mut table = Table::new("What is on the device, in order", &["", "#memory"]);
    let mut steps = Vec::new();
    let mut add = |name: String, figure: &Node<'_>, colour: usize| {
        let Some(bytes) = figure.at("value").number().filter(|bytes| *bytes > 0.0) else { return };
        let mut step = Step::more(name.clone(), bytes, colour, show(bytes));
        let interval = figure.at("low").number().zip(figure.at("high").number());
        step.interval = interval.filter(|(low, high)| high - low > all / 500.0);
        steps.push(step);
        table.row([Cell::text(name), figure.at("value").figure(Unit::Memory)]);
    };
    for part in root.at("parts").items().iter().take(PARTS.len()) {
        let (name, colour) = called(part);
        add(name, &part.at("device_bytes"), colour);
    }
    add("driver and its libraries".to_owned(), &root.at("driver_bytes"), 0);
    table.row(["all".into(), total.at("value").figure(Unit::Memory)]);
    let largest = steps.iter().max_by(|one, two| one.size.total_cmp(&two.size))?;
    let words = format!(
        "On the device lie {}, most of it {} with {}. Whiskers are intervals.",
        show(all),
        largest.name,
        show(largest.size)
    );
    let last = Some(("all on the device".to_owned(), all, 9, show(all)));
    let title = "What lies on the device".to_owned();
    Some(Picture { title, words, svg: waterfall(None, &steps, last), table: Some(table), sparks: Vec::new() })
}

fn formulas(root: &Node<'_>) -> Option<Block> {
    let mut figures = Vec::new();
    for part in root.at("parts").items().iter().take(named::MOST_ROWS) {
        for (key, place) in [("device_bytes", "device"), ("host_bytes", "host")] {
            let figure = part.at(key);
            if figure.at("value").number().is_some_and(|value| value > 0.0) {
                figures.push((format!("{} on the {place}", called(part).0), figure));
            }
        }
    }
    figures.push(("driver and its libraries".to_owned(), root.at("driver_bytes")));
    predicted::formulas(figures)
}

fn doubts(root: &Node<'_>) -> Vec<Block> {
    let note = |text: String| Finding { weight: Weight::Note, text, advice: None, code: None };
    let mut findings = Vec::new();
    findings.push(match root.at("build").words() {
        Some(build) => note(format!("The rules are those of build {build}.")),
        None => {
            note("No build of the server was named: those that were compared with real ones are assumed.".to_owned())
        }
    });
    for place in ["notes", "changes"] {
        findings.extend(root.at(place).items().iter().take(50).filter_map(Node::words).map(note));
    }
    let ignored = root.at("ignored").words();
    findings.extend(ignored.map(|words| note(format!("Not heeded, with or without an effect on memory: {words}."))));
    vec![Block::Findings(findings)]
}

fn setting(root: &Node<'_>) -> Vec<Block> {
    let of_file = ["family", "backend", "build", "model"].map(|name| (name, root.at(name)));
    let mut table = Table::new("The model and the server", &["name", "value"]);
    for (name, value) in of_file {
        if value.is_there() {
            let value = if value.number().is_some() { named::identity(&value) } else { value.cell() };
            table.row([Cell::text(named::words(name)), value]);
        }
    }
    let mut blocks = starter(root);
    blocks.push(Block::Table(table));
    blocks.extend(
        named::table("The server's settings, with what fitting changed", &[root.at("settings")], &[]).map(Block::Table),
    );
    blocks
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::law;

    fn document() -> serde_json::Value {
        let figure = |value: u64| {
            json!({"value": value, "low": value, "high": value + 10, "confidence": "computed", "method": "m",
                   "formula": "a + b", "inputs": {"a": 1, "b": 2}})
        };
        json!({"vramscope_estimate_llama_cpp": 1, "engine_type": "llama.cpp", "model": "models/a.gguf", "family": "qwen3",
               "backend": "cuda", "build": 10434, "gpu": "h100", "available_bytes": 1000, "fits": true, "most_layers": 9,
               "parts": [{"name": "weights", "device_bytes": figure(600), "host_bytes": figure(50)},
                         {"name": "compute", "device_bytes": figure(100), "host_bytes": figure(0)}],
               "driver_bytes": figure(200), "device_total_bytes": figure(900), "host_total_bytes": figure(50),
               "host_weights_printed_bytes": 60, "ignored": ["--threads"], "notes": ["a note"], "changes": [],
               "settings": {"gpu_layers": 9, "layers": 9, "ctx_size": 4096, "ctx_size_of_slot": 1024, "parallel": 4}})
    }

    #[test]
    fn the_page_keeps_the_laws() {
        law::of_kind(&document());
    }

    #[test]
    fn an_engine_that_starts_the_server_is_named() {
        let mut value = document();
        value["started_by"] = json!({"engine_type": "ollama", "version": "0.32.15", "num_ctx": 4096, "num_parallel": 2,
            "num_batch": 1024, "command": "llama-server -c 8192"});
        law::of_kind(&value);
        let page = crate::pages::page(&[Document::new("a", value).unwrap()], None).unwrap().markdown();
        assert!(page.contains("under Ollama") && page.contains("llama-server -c 8192"), "{page}");
    }

    #[test]
    fn a_device_that_is_filled_within_the_interval_is_close() {
        let said = |room: u64| {
            let mut value = document();
            value["available_bytes"] = json!(room);
            let document = Document::new("a", value).unwrap();
            crate::pages::page(&[document], None).unwrap().markdown()
        };
        assert!(said(1000).contains("This holds over the whole interval"));
        assert!(said(905).contains("This is close"));
    }
}
