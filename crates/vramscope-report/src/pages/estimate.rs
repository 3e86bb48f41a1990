//! A memory budget: whether the engine will start, and what it leaves for requests.

use vramscope_core::shortened;

use super::named;
use super::parts::{self, Part};
use super::predicted;
use super::waterfall::{Step, waterfall};
use crate::cell::Cell;
use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Finding, Page, Picture, Section, Table, Weight};
use crate::unit::Unit;

const LONGEST_NAME: usize = 80;

/// What is beside the share of the GPU that the engine is told to use.
const NOT_ASKED: &str = "left to others (not the engine's)";

/// The figures of a budget that are sizes, in the order in which the engine takes them.
const TAKEN: &[&str] =
    &["weights_bytes", "held_bytes", "activation_peak_bytes", "non_torch_bytes", "cuda_graphs_budgeted_bytes"];

/// A figure of the budget as the whole page calls it.
fn part(name: &str) -> Part {
    let kind = if name == "weights_bytes" { "model_weights" } else { name };
    parts::called(kind).unwrap_or(Part { kind: "", name: "", what: "", colour: 9 })
}

/// What it is called; by its own name where it is none that is known.
fn called(name: &str) -> String {
    let part = part(name);
    if part.name.is_empty() { named::words(name) } else { part.name.to_owned() }
}

/// The figures of a budget in the order in which they are read; others follow.
const ORDER: &[&str] = &[
    "requested_bytes",
    "weights_bytes",
    "held_bytes",
    "activation_peak_bytes",
    "non_torch_bytes",
    "cuda_graphs_budgeted_bytes",
    "available_bytes",
    "kv_cache_bytes",
    "kv_cache_tokens",
    "max_concurrency",
    "num_gpu_blocks",
    "block_size",
    "cuda_graphs_bytes",
    "runtime_context_bytes",
];

/// The figures of the budget in their order.
fn in_order<'d>(root: &Node<'d>) -> Vec<(&'d str, Node<'d>)> {
    let mut figures = root.at("budget").members();
    figures.sort_by_key(|(name, _)| ORDER.iter().position(|one| one == name).unwrap_or(ORDER.len()));
    figures
}

pub(crate) fn page(document: &Document) -> Page {
    let root = document.root(0);
    let model = root.path("model/name").text().unwrap_or("a model");
    let mut sections = vec![Section::new("Does it fit?", answer(&root))];
    sections.push(Section::new("The budget", budget(&root)));
    sections.extend(workload(&root));
    sections.push(Section::new("What is not certain", doubts(&root)));
    sections.push(Section::new("Set up so", setting(&root)));
    let gpu = root.path("gpu/name").text().unwrap_or("a GPU");
    Page {
        title: format!("Memory budget of {} on {}", shortened(model, LONGEST_NAME), shortened(gpu, LONGEST_NAME)),
        about: "A prediction for one rank, from the engine's rules; nothing was run.".to_owned(),
        sections,
    }
}

/// A figure of the budget.
fn value<'d>(root: &Node<'d>, name: &str) -> Node<'d> {
    root.at("budget").at(name).at("value")
}

fn answer(root: &Node<'_>) -> Vec<Block> {
    let verdict = root.at("verdict");
    let (fits, certain) = (verdict.at("fits").is_true(), verdict.at("certain").is_true());
    let mut blocks = Vec::new();
    if verdict.at("fits").is_there() {
        let failure = verdict.at("failure").text().map(named::words);
        let text = match (fits, failure) {
            (true, _) => "The engine starts.".to_owned(),
            (false, Some(failure)) => format!("The engine refuses to start: {failure}."),
            (false, None) => "The engine refuses to start.".to_owned(),
        };
        let code = verdict.at("failure").text();
        blocks.push(Block::Findings(vec![predicted::verdict(text, fits, certain, code)]));
    }
    let mut figures = at_once(root);
    figures.extend([
        ("KV cache", value(root, "kv_cache_bytes").figure(Unit::Memory)),
        ("Tokens in the KV cache", value(root, "kv_cache_tokens").figure(Unit::Count)),
        ("Weights", value(root, "weights_bytes").figure(Unit::Memory)),
        ("Longest length that starts", verdict.at("longest_model_len").figure(Unit::Count)),
        ("A full request needs", verdict.at("needed_bytes").figure(Unit::Memory)),
        ("Free at the start", verdict.at("free_bytes").figure(Unit::Memory)),
    ]);
    blocks.extend(predicted::headline(figures));
    blocks.extend(how_many(root).map(Block::Sentence));
    let requested = value(root, "requested_bytes");
    if requested.is_there() {
        blocks.push(Block::Sentence(vec![
            "Of the card's ".into(),
            root.path("gpu/total_bytes").figure(Unit::Memory),
            " the engine may use ".into(),
            requested.figure(Unit::Memory),
            "; weights take ".into(),
            value(root, "weights_bytes").figure(Unit::Memory),
            ", and ".into(),
            value(root, "kv_cache_bytes").figure(Unit::Memory),
            " are left for the KV cache.".into(),
        ]));
    }
    blocks
}

/// How many requests run at once: of the workload where there is one, and of the longest length.
fn at_once(root: &Node<'_>) -> Vec<(&'static str, Cell)> {
    let of_workload = root.path("workload/concurrent_requests").figure(Unit::Count);
    let longest = requests(&value(root, "max_concurrency"));
    if of_workload.is_absent() {
        return vec![("Requests at once, each of the longest length", longest)];
    }
    vec![("Requests of your workload at once", of_workload), ("Requests at once, each of the longest length", longest)]
}

/// The same as a sentence, with the lengths of which it speaks.
fn how_many(root: &Node<'_>) -> Option<Vec<Cell>> {
    let (most, longest) = (value(root, "max_concurrency"), root.path("engine/max_model_len"));
    let (alike, tokens) = (root.path("workload/concurrent_requests"), root.path("workload/tokens_per_request"));
    let mut text: Vec<Cell> = Vec::new();
    if alike.number().is_some() && tokens.number().is_some() {
        text.extend([alike.figure(Unit::Count), " requests of ".into(), tokens.figure(Unit::Count)]);
        text.push(" tokens each run at once. ".into());
    }
    if most.number().is_some() {
        text.extend(["The KV cache has room for ".into(), requests(&most), " requests of ".into()]);
        text.push(match longest.number() {
            Some(_) => longest.figure(Unit::Count),
            None => "as many".into(),
        });
        text.push(" tokens, the longest length that the engine takes.".into());
    }
    (!text.is_empty()).then_some(text)
}

fn budget(root: &Node<'_>) -> Vec<Block> {
    let mut blocks = Vec::new();
    blocks.extend(picture(root).map(Block::Picture));
    let heads = ["figure", "#likely", "#least", "#most", "how sure", "method"];
    let mut table = Table::new("Each figure with its interval", &heads);
    for (name, figure) in in_order(root) {
        let unit = match name {
            "max_concurrency" => Unit::Plain,
            name => named::unit(name).unwrap_or(Unit::Plain),
        };
        let method = figure.at("method").text().map_or_else(Cell::absent, |method| Cell::text(named::words(method)));
        let [name, likely, least, most, known] = predicted::row(called(name), &figure, unit);
        table.row([name, likely, least, most, known, method]);
    }
    if !table.rows.is_empty() {
        blocks.push(Block::Table(table.at_most(named::MOST_ROWS)));
    }
    blocks.extend(predicted::formulas(in_order(root).into_iter().map(|(name, figure)| (called(name), figure))));
    if let Some(layout) = layout(root) {
        blocks.push(Block::Folded { title: "How the KV cache is laid out".to_owned(), blocks: layout });
    }
    if blocks.is_empty() {
        blocks.push(Block::Text("The document has no budget.".to_owned()));
    }
    blocks
}

/// From the card down to the KV cache.
fn picture(root: &Node<'_>) -> Option<Picture> {
    let (total, requested) = (root.path("gpu/total_bytes"), value(root, "requested_bytes"));
    let (whole, share) = (total.number()?, requested.number()?);
    let show = |bytes: f64| Unit::Memory.show(bytes);
    let mut figures = Table::new(
        "What is taken off, in order; what is left to others is computed here: all memory less what the engine may use",
        &["", "#memory"],
    );
    figures.row(["all memory of the card".into(), total.figure(Unit::Memory)]);
    figures.row([NOT_ASKED.into(), Cell::text(show(whole - share))]);
    let mut steps = vec![Step::less(NOT_ASKED, whole - share, 9, show(whole - share))];
    for name in TAKEN {
        let (figure, Part { name: title, colour, .. }) = (root.at("budget").at(name), part(name));
        let Some(bytes) = figure.at("value").number() else { continue };
        let mut step = Step::less(title, bytes, colour, show(bytes));
        let interval = figure.at("low").number().zip(figure.at("high").number());
        step.interval = interval.filter(|(low, high)| high - low > whole / 500.0);
        steps.push(step);
        figures.row([Cell::text(title), figure.at("value").figure(Unit::Memory)]);
    }
    let pool = value(root, "kv_cache_bytes");
    let last = pool.number().map(|bytes| ("KV cache".to_owned(), bytes, 2, show(bytes)));
    figures.row(["KV cache".into(), pool.figure(Unit::Memory)]);
    let left: f64 = whole + steps.iter().map(|step| step.size).sum::<f64>();
    let words = if left < 0.0 {
        format!("The parts need {} more than the engine may use: nothing is left for the KV cache.", show(-left))
    } else {
        format!(
            "Of {} the engine may use {}; what it takes first leaves {} for the KV cache. Whiskers are intervals.",
            show(whole),
            show(share),
            pool.figure(Unit::Memory).text
        )
    };
    let first = ("all memory of the card".to_owned(), whole, 9, show(whole));
    Some(Picture {
        title: "From the card to the KV cache".to_owned(),
        words,
        svg: waterfall(Some(first), &steps, last),
        table: Some(figures),
        sparks: Vec::new(),
    })
}

fn layout(root: &Node<'_>) -> Option<Vec<Block>> {
    let mut table =
        Table::new("Groups of layers", &["kind", "#layers", "#window", "#tokens of a block", "#bytes of a block"]);
    for group in root.path("kv/groups").items() {
        table.row([
            group.at("kind").cell(),
            group.at("layers").figure(Unit::Count),
            group.at("window").figure(Unit::Count),
            group.at("block_size").figure(Unit::Count),
            group.at("page_bytes").figure(Unit::Memory),
        ]);
    }
    if table.rows.is_empty() {
        return None;
    }
    let mut blocks = vec![Block::Table(table.without_empty_columns().at_most(named::MOST_ROWS))];
    blocks.extend(named::table("The pool", &[root.at("kv")], &["groups"]).map(Block::Table));
    Some(blocks)
}

fn workload(root: &Node<'_>) -> Option<Section> {
    let workload = root.at("workload");
    if !workload.is_there() {
        return None;
    }
    let text = match (workload.at("fits").is_true(), workload.at("wanted").is_there()) {
        (true, true) => "The wanted requests run together without waiting.",
        (false, true) => "Of the wanted requests some have to wait.",
        (true, false) => "Requests of this length fit.",
        (false, false) => "Requests of this length do not fit.",
    };
    let weight = if workload.at("fits").is_true() { Weight::Good } else { Weight::Warning };
    let finding = Finding { weight, text: text.to_owned(), advice: None, code: None };
    let mut blocks = vec![Block::Findings(vec![finding])];
    let mut table = named::table("The workload in the KV cache", &[workload], &["fits"]);
    for row in table.iter_mut().flat_map(|table| &mut table.rows).filter(|row| row[0].text == "KV") {
        row[0].text = "KV cache of the wanted requests".to_owned();
    }
    blocks.extend(table.map(Block::Table));
    Some(Section::new("The workload", blocks))
}

fn doubts(root: &Node<'_>) -> Vec<Block> {
    let mut blocks = Vec::new();
    let note = |text: String| Finding { weight: Weight::Note, text, advice: None, code: None };
    let mut findings = Vec::new();
    if root.path("model/known_family").is_there() && !root.path("model/known_family").is_true() {
        let text = "The model's family is not known: it was read by general rules, and every figure is less certain.";
        findings.push(Finding { weight: Weight::Warning, ..note(text.to_owned()) });
    }
    if root.path("kv/approximate").is_true() {
        findings.push(note("The layout of the KV cache is one that is not reproduced exactly.".to_owned()));
    }
    let checked = match root.path("engine/checked").text() {
        Some("recorded") => Some("The rules for this release were compared with recorded starts of it.".to_owned()),
        Some("planned") => Some("The rules for this release were compared with its own planner.".to_owned()),
        Some(other) => Some(format!("This release was not compared with the engine itself ({other}).")),
        None => None,
    };
    findings.extend(checked.map(note));
    for place in ["model/notes", "engine/notes"] {
        findings.extend(root.path(place).items().iter().take(50).filter_map(Node::words).map(note));
    }
    let ignored = root.path("engine/ignored").words();
    findings.extend(ignored.map(|words| note(format!("These arguments were given and are not used here: {words}."))));
    if let Some((name, figure)) = widest(root) {
        blocks.push(Block::Sentence(vec![
            format!("Of what is taken before the KV cache the least certain is {}: from ", called(name)).into(),
            figure.at("low").figure(Unit::Memory),
            " to ".into(),
            figure.at("high").figure(Unit::Memory),
            ".".into(),
        ]));
    }
    if !findings.is_empty() {
        blocks.push(Block::Findings(findings));
    }
    if blocks.is_empty() {
        blocks.push(Block::Text("The document says nothing of it.".to_owned()));
    }
    blocks
}

/// The part that the engine takes whose size is the least certain.
fn widest<'d>(root: &Node<'d>) -> Option<(&'static str, Node<'d>)> {
    let width = |figure: &Node<'_>| Some(figure.at("high").number()? - figure.at("low").number()?);
    let parts = TAKEN.iter().map(|name| (*name, root.at("budget").at(name)));
    let known = parts.filter_map(|(name, figure)| width(&figure).map(|width| (name, figure, width)));
    known.max_by(|a, b| a.2.total_cmp(&b.2)).map(|(name, figure, _)| (name, figure))
}

fn setting(root: &Node<'_>) -> Vec<Block> {
    let tables = [
        named::table("The model", &[root.at("model")], &["notes"]),
        named::table("The engine, with every default filled in", &[root.at("engine")], &["notes", "ignored"]),
        named::table("What guesses tokens ahead", &[root.path("engine/drafter")], &[]),
        named::table("The card of each rank", &[root.at("gpu")], &[]),
    ];
    let blocks: Vec<Block> = tables.into_iter().flatten().map(Block::Table).collect();
    if blocks.is_empty() { vec![Block::Text("The document does not say.".to_owned())] } else { blocks }
}

/// Requests at once with two decimals: the next whole number would be one too many.
fn requests(most: &Node<'_>) -> Cell {
    let mut cell = most.figure(Unit::Plain);
    if let Some(number) = most.number().filter(|number| number.abs() < 1e9) {
        cell.text = format!("{number:.2}");
    }
    cell
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::law;

    #[test]
    fn every_figure_stands_in_the_document_whatever_is_damaged_or_missing() {
        let figure = |value: u64| {
            json!({"value": value, "low": value / 2, "high": value * 2, "confidence": "assumed", "method": "a_b",
            "formula": "a x b", "inputs": {"a": 3}})
        };
        law::of_kind(&json!({"vramscope_estimate": 1,
            "model": {"name": "m", "parameters": 7, "known_family": false, "notes": ["a note"]},
            "engine": {"version": "1", "max_model_len": 100, "checked": "newer", "notes": [], "ignored": ["--x"]},
            "gpu": {"name": "g", "total_bytes": 1000},
            "budget": {"requested_bytes": figure(900), "weights_bytes": figure(2000), "cuda_graphs_budgeted_bytes": figure(10),
                "kv_cache_bytes": figure(0), "max_concurrency": {"value": 1.5, "low": 1.0, "high": 2.0}},
            "kv": {"groups": [{"kind": "full", "layers": 2, "block_size": 16, "page_bytes": 99}], "bytes_per_block": 99},
            "verdict": {"fits": false, "certain": false, "failure": "out_of_memory", "needed_bytes": 5},
            "workload": {"concurrent_requests": 3, "wanted": 4, "fits": false}}));
    }
}
