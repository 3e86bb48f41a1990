//! Which settings of a model in one packed file fit a device, each with its command line.

use vramscope_core::shortened;

use super::super::named::{self, MOST_ROWS};
use super::super::predicted;
use super::super::predicted::yes;
use super::LONGEST_NAME;
use crate::cell::Cell;
use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Finding, Page, Picture, Section, Table, Weight};
use crate::svg::{Bar, bars};
use crate::unit::Unit;

/// The key by which the document is known.
pub(crate) const KEY: &str = "vramscope_fit_llama_cpp";

/// More answers than this have no bar of their own.
const MOST_BARS: usize = 40;

/// Questions as the page asks them.
const QUESTIONS: &[(&str, &str)] = &[
    ("as_asked", "As asked"),
    ("most_layers", "Most layers on the device"),
    ("fewest_expert_layers_on_host", "Fewest layers with experts on the host"),
    ("longest_context", "Longest context"),
    ("fewest_devices", "Fewest devices"),
];

fn asked(answer: &Node<'_>) -> String {
    let name = answer.at("question").text().unwrap_or_default();
    let known = QUESTIONS.iter().find(|(its, _)| *its == name);
    known.map_or_else(|| named::words(name), |(_, question)| (*question).to_owned())
}

/// The answer's number: what was asked for.
fn number(answer: &Node<'_>) -> Cell {
    let settings = answer.path("placed/settings");
    match answer.at("question").text() {
        Some("fewest_expert_layers_on_host") => settings.at("cpu_moe_layers").figure(Unit::Count),
        Some("longest_context") => settings.at("ctx_size").figure(Unit::Count),
        Some("fewest_devices") => answer.path("placed/devices").figure(Unit::Count),
        Some("as_asked" | "most_layers") => settings.at("gpu_layers").figure(Unit::Count),
        _ => Cell::absent(),
    }
}

/// The device that holds most, of several.
fn fullest<'d>(answer: &Node<'d>) -> Option<Node<'d>> {
    let shares = answer.path("placed/shares").items();
    let value = |share: &Node<'d>| share.path("total_bytes/value").number().unwrap_or(0.0);
    shares.into_iter().max_by(|one, two| value(one).total_cmp(&value(two)))
}

fn cache(answer: &Node<'_>) -> String {
    let text = |key: &str| answer.at(key).text().unwrap_or("?");
    let (keys, values) = (text("cache_type_k"), text("cache_type_v"));
    if keys == values { keys.to_owned() } else { format!("{keys} and {values}") }
}

pub(crate) fn page(document: &Document) -> Page {
    let root = document.root(0);
    let model = root.at("model").text().unwrap_or("a model");
    let model = model.rsplit(['/', '\\']).next().unwrap_or(model);
    let gpu =
        root.path("gpu/name").text().map_or_else(String::new, |gpu| format!(" on {}", shortened(gpu, LONGEST_NAME)));
    let mut sections = vec![Section::new("What fits?", answer(&root))];
    sections.push(Section::new("Every answer", answers(&root)));
    sections.push(Section::new("Every card of the table", devices(&root)));
    let note = |text: String| Finding { weight: Weight::Note, text, advice: None, code: None };
    let mut notes: Vec<Finding> = root.at("notes").items().iter().take(50).filter_map(Node::words).map(note).collect();
    let ignored = root.at("ignored").words();
    notes.extend(ignored.map(|words| note(format!("These arguments were given and change no memory: {words}."))));
    let notes = if notes.is_empty() { Vec::new() } else { vec![Block::Findings(notes)] };
    sections.push(Section::new("What is not certain", notes));
    let tables = [
        named::table("What was asked for", &[root.at("asked")], &[]),
        named::table("The card", &[root.at("gpu")], &[]),
    ];
    let tables = tables.into_iter().flatten().map(Block::Table);
    sections.push(Section::new("Of what", super::starter(&root).into_iter().chain(tables)));
    Page {
        title: format!("What fits of {} under {}{gpu}", shortened(model, LONGEST_NAME), super::engine(&root)),
        about: "A prediction from the file's header, by the server's rules; nothing was run. Memory alone is judged."
            .to_owned(),
        sections,
    }
}

fn answer(root: &Node<'_>) -> Vec<Block> {
    let mut blocks = Vec::new();
    let answers = root.at("answers").items();
    let mut findings = Vec::new();
    for asked in answers.iter().filter(|answer| answer.at("question").text() == Some("as_asked")).take(8) {
        let (fits, certain) = (asked.at("fits").is_true(), asked.at("certain").is_true());
        let (weight, words) = match (fits, certain) {
            (true, true) => (Weight::Good, "what was asked for fits, over the whole interval of the prediction."),
            (true, false) => {
                (Weight::Warning, "what was asked for fits, but it is close: within the interval it may not.")
            }
            (false, _) => (Weight::Error, "what was asked for does not fit."),
        };
        let text = format!("With a cache of {}, {words}", cache(asked));
        findings.push(Finding { weight, text, advice: None, code: None });
    }
    if !findings.is_empty() {
        blocks.push(Block::Findings(findings));
    }
    let figures = [
        ("The device has for it", root.at("available_bytes").figure(Unit::Memory)),
        ("Tokens of all slots", root.path("asked/ctx_size").figure(Unit::Count)),
        ("Requests at once", root.path("asked/parallel").figure(Unit::Count)),
    ];
    blocks.extend(predicted::headline(figures));
    let said = |first: &Node<'_>| format!("{}, cache of {}", asked(first).to_lowercase(), cache(first));
    blocks.extend(predicted::first_answer(&answers, said, "fits", number));
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
        "cache",
        "fits",
        "#answer",
        "certain",
        "#for certain",
        "#fullest device",
        "#free there",
        "#lacking",
        "#host",
        "command",
    ];
    let mut table = Table::new("Each answer changes the one setting that it is about", &heads);
    let mut drawn = Vec::new();
    for answer in answers.iter().take(MOST_ROWS + 1) {
        let placed = answer.at("placed");
        let total = fullest(answer);
        table.row([
            Cell::text(asked(answer)),
            Cell::text(cache(answer)),
            yes(&answer.at("fits")),
            number(answer),
            yes(&answer.at("certain")),
            answer.at("for_certain").figure(Unit::Count),
            total.as_ref().map_or_else(Cell::absent, |share| share.path("total_bytes/value").figure(Unit::Memory)),
            placed.at("free_bytes").figure(Unit::Memory),
            answer.at("missing_bytes").figure(Unit::Memory),
            placed.path("host_total_bytes/value").figure(Unit::Memory),
            placed.at("command").cell(),
        ]);
        if let Some(bytes) = total.and_then(|share| share.path("total_bytes/value").number()) {
            let name = format!("{}, {}", asked(answer), cache(answer));
            drawn.push(Bar::new(&name, 0.0, bytes, 1, Unit::Memory.show(bytes)));
        }
    }
    let table = table.without_empty_columns().at_most(MOST_ROWS);
    drawn.truncate(MOST_BARS);
    if drawn.is_empty() {
        return vec![Block::Table(table)];
    }
    let words = format!("{} answers fit. Bars are what the fullest device holds.", drawn.len());
    vec![Block::Picture(Picture {
        title: "What the fullest device holds".to_owned(),
        words,
        svg: bars(&drawn, Unit::Memory),
        table: Some(table),
        sparks: vec![("memory".to_owned(), drawn.iter().map(|bar| bar.to).collect())],
    })]
}

fn devices(root: &Node<'_>) -> Vec<Block> {
    let devices = root.at("devices").items();
    if devices.is_empty() {
        return Vec::new();
    }
    let heads =
        ["card", "#memory", "#most layers on one", "#for certain", "#needed for all", "certain", "command for all"];
    let mut table = Table::new("Each card: the most layers on one, and the fewest that hold all", &heads);
    for device in devices.iter().take(MOST_ROWS + 1) {
        let (most, fewest) = (device.at("most_layers"), device.at("fewest_devices"));
        table.row([
            device.at("name").cell(),
            device.at("total_bytes").figure(Unit::Memory),
            number(&most),
            most.at("for_certain").figure(Unit::Count),
            number(&fewest),
            yes(&fewest.at("certain")),
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
        let share = json!({"layers": 9, "weights_bytes": 500, "cache_bytes": 100, "compute_bytes": figure,
            "driver_bytes": figure, "total_bytes": figure});
        let placed = json!({"devices": 2, "settings": {"ctx_size": 4096, "gpu_layers": 9, "layers": 9, "cpu_moe_layers": 3},
            "shares": [share, share], "free_bytes": 30, "host_total_bytes": figure, "command": "llama-server -m a.gguf"});
        let mut row = json!({"question": question, "cache_type_k": "f16", "cache_type_v": "q8_0", "fits": fits,
            "certain": fits, "for_certain": 8});
        if fits {
            row["placed"] = placed
        } else {
            row["missing_bytes"] = json!(12)
        }
        row
    }

    fn document() -> Value {
        let answers: Vec<Value> = QUESTIONS.iter().map(|(name, _)| row(name, *name != "longest_context")).collect();
        json!({"vramscope_fit_llama_cpp": 1, "engine_type": "llama.cpp", "model": "models/a.gguf", "family": "qwen3",
            "backend": "cuda", "asked": {"ctx_size": 4096, "parallel": 1}, "available_bytes": 730,
            "gpu": {"key": "l4", "name": "an L4", "total_bytes": 800, "others_bytes": 70, "source": "given"},
            "answers": answers, "notes": ["a note"], "ignored": ["--threads 4"],
            "devices": [{"key": "l4", "name": "an L4", "total_bytes": 800, "most_layers": row("most_layers", true),
                "fewest_devices": row("fewest_devices", false)}]})
    }

    #[test]
    fn the_page_keeps_the_laws() {
        law::of_kind(&document());
    }

    #[test]
    fn what_was_asked_for_is_said_to_fit_or_not() {
        let said = |fits: bool| {
            let mut value = document();
            value["answers"][0] = row("as_asked", fits);
            crate::pages::page(&[Document::new("a", value).unwrap()], None).unwrap().markdown()
        };
        assert!(said(true).contains("what was asked for fits, over the whole interval"));
        assert!(said(false).contains("what was asked for does not fit"));
    }
}
