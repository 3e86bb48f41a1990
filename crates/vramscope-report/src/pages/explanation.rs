//! Why a KV cache is as large as it is, or why one of two is larger.

use super::named::{self, MOST_ROWS};
use super::waterfall::{Step, waterfall};
use crate::cell::{Cell, Tone};
use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Page, Picture, Section, Table};
use crate::unit::Unit;

pub(crate) fn page(document: &Document) -> Page {
    let root = document.root(0);
    let runs = root.at("runs").items();
    let mut sections = Vec::new();
    let difference = root.at("difference");
    if difference.is_there() {
        sections.push(Section::new("Why do they differ?", ledger(&difference, &runs)));
    }
    for (place, run) in runs.iter().enumerate().take(2) {
        let title = match (runs.len(), place) {
            (1, _) => "From the card to the KV cache",
            (_, 0) => "The first run, from its card to its KV cache",
            _ => "The second run, from its card to its KV cache",
        };
        sections.push(Section::new(title, account(run)));
    }
    sections.extend(start(&root));
    if sections.is_empty() {
        sections.push(Section::new("Nothing", [Block::Text("The document explains no run.".to_owned())]));
    }
    let mut names: Vec<String> = runs.iter().take(2).map(name).collect();
    if names.len() == 2 && names[0] == names[1] {
        let whole =
            |run: &Node<'_>| vramscope_core::shortened(run.at("name").text().unwrap_or("a run"), 80).into_owned();
        names = runs.iter().take(2).map(whole).collect();
    }
    let (title, about) = match names.as_slice() {
        [first, second] => {
            ("Why two KV caches differ", format!("First: {first}. Second: {second}. Figures are those of one rank."))
        }
        [one] => ("Why a KV cache is as large as it is", format!("{one}. Figures are those of one rank.")),
        _ => ("An explanation", String::new()),
    };
    Page { title: title.to_owned(), about, sections }
}

fn name(run: &Node<'_>) -> String {
    let name = run.at("name").text().map_or_else(|| "a run".to_owned(), super::name_of);
    vramscope_core::shortened(&name, 80).into_owned()
}

/// The last amount of this name.
fn amount<'d>(run: &Node<'d>, name: &str) -> Option<Node<'d>> {
    let mut amounts = run.at("amounts").items().into_iter();
    amounts.find(|amount| amount.at("name").text() == Some(name)).map(|amount| amount.at("size_bytes"))
}

/// The second KV cache less the first, term by term.
fn ledger(difference: &Node<'_>, runs: &[Node<'_>]) -> Vec<Block> {
    let whole = difference.at("difference_bytes");
    let mut blocks = vec![Block::Headline(
        [
            ("The second KV cache less the first", whole.change(Unit::Memory)),
            ("The second less the first in tokens", difference.at("difference_tokens").change(Unit::Count)),
        ]
        .into_iter()
        .filter(|(_, cell)| !cell.is_absent())
        .map(|(name, cell)| (name.to_owned(), cell))
        .collect(),
    )];
    let terms = difference.at("terms").items();
    let size = |term: &Node<'_>| term.at("size_bytes").number().unwrap_or(0.0);
    if let Some(largest) = terms.iter().max_by(|a, b| size(a).abs().total_cmp(&size(b).abs())) {
        blocks.push(Block::Sentence(vec![
            "Most of it is ".into(),
            Cell::text(named::words(largest.at("name").text().unwrap_or("a term"))),
            ", ".into(),
            largest.at("size_bytes").change(Unit::Memory),
            largest.at("why").text().map_or_else(|| ".".into(), |why| format!(": {why}.").into()),
        ]));
    }
    if let Some(restore) = difference.at("restore").text() {
        blocks.push(Block::Text(format!(
            "This gives the second run as much as the first, if its card has room: {restore}"
        )));
    }
    blocks.extend(ledger_picture(&terms, runs).map(Block::Picture));
    let heads =
        ["term", "cause", "#memory", "#tokens", "why", "brings it back", "lines of the first", "lines of the second"];
    let mut table = Table::new("Each term, and by how much it makes the second KV cache larger", &heads);
    for term in terms.iter().take(MOST_ROWS + 1) {
        let tone = if size(term) < 0.0 { Tone::Bad } else { Tone::Good };
        table.row([
            term.at("name").text().map_or_else(Cell::absent, |name| Cell::text(named::words(name))),
            term.at("cause").cell(),
            term.at("size_bytes").change(Unit::Memory).tone(tone),
            term.at("tokens").figure(Unit::Count),
            term.at("why").cell(),
            term.at("restore").cell(),
            named::lines(&term.at("lines_before")),
            named::lines(&term.at("lines_after")),
        ]);
    }
    if !table.rows.is_empty() {
        blocks.push(Block::Table(table.without_empty_columns().at_most(MOST_ROWS)));
    }
    blocks.extend(difference.at("notes").items().iter().take(50).filter_map(Node::words).map(Block::Text));
    blocks
}

/// What the terms are drawn from zero by: beside the KV caches they would not be seen.
fn ledger_picture(terms: &[Node<'_>], runs: &[Node<'_>]) -> Option<Picture> {
    let mut steps = Vec::new();
    let mut sum = 0.0;
    for term in terms.iter().take(40) {
        let bytes = term.at("size_bytes").number()?;
        let name = named::words(term.at("name").text().unwrap_or("?"));
        let colour = if bytes < 0.0 { 5 } else { 3 };
        sum += bytes;
        steps.push(Step::more(name, bytes, colour, Unit::Memory.signed(bytes)));
    }
    if steps.is_empty() {
        return None;
    }
    let caches: Vec<String> =
        runs.iter().filter_map(|run| amount(run, "kv_cache")).map(|size| size.figure(Unit::Memory).text).collect();
    let from_to = match caches.as_slice() {
        [first, second] => format!("The KV cache of the first run is {first}, that of the second {second}. "),
        _ => String::new(),
    };
    let show = |bytes: f64| Unit::Memory.signed(bytes);
    let named: Vec<String> = steps.iter().take(8).map(|step| format!("{} {}", step.name, show(step.size))).collect();
    let last = ("second less first".to_owned(), sum, 1, show(sum));
    Some(Picture {
        title: "Term by term".to_owned(),
        words: format!("{from_to}The terms, drawn one after the other: {}.", named.join(", ")),
        svg: waterfall(None, &steps, Some(last)),
        table: None,
        sparks: Vec::new(),
    })
}

/// One run's subtractions.
fn account(run: &Node<'_>) -> Vec<Block> {
    let mut blocks = Vec::new();
    let figures = [
        ("KV cache", amount(run, "kv_cache").map_or_else(Cell::absent, |size| size.figure(Unit::Memory))),
        ("Tokens in it", run.at("kv_cache_tokens").figure(Unit::Count)),
        ("Requests at once", run.at("max_concurrency").figure(Unit::Plain)),
        ("Of so many tokens", run.at("request_tokens").figure(Unit::Count)),
        ("Share asked for", run.at("gpu_memory_utilization").figure(Unit::Plain)),
        ("Release", run.at("engine_version").cell()),
    ];
    let figures: Vec<(String, Cell)> =
        figures.into_iter().filter(|(_, cell)| !cell.is_absent()).map(|(name, cell)| (name.to_owned(), cell)).collect();
    blocks.push(Block::Text(format!("{}.", name(run))));
    if !figures.is_empty() {
        blocks.push(Block::Headline(figures));
    }
    let mut table = Table::new("The amounts in order, each with its lines", &["amount", "#memory", "#±", "log lines"]);
    for one in run.at("amounts").items().iter().take(MOST_ROWS + 1) {
        table.row([
            one.at("name").text().map_or_else(Cell::absent, |name| Cell::text(named::words(name))),
            one.at("size_bytes").figure(Unit::Memory),
            one.at("resolution_bytes").figure(Unit::Memory),
            named::lines(&one.at("log_lines")),
        ]);
    }
    if run.at("unattributed_bytes").is_there() {
        table.row(["what the amounts leave over".into(), run.at("unattributed_bytes").change(Unit::Memory)]);
    }
    let table = table.without_empty_columns().at_most(MOST_ROWS);
    match picture(run) {
        Some((words, svg)) => blocks.push(Block::Picture(Picture {
            title: "From the card to the KV cache".to_owned(),
            words,
            svg,
            table: Some(table),
            sparks: Vec::new(),
        })),
        None if !table.rows.is_empty() => blocks.push(Block::Table(table)),
        None => {}
    }
    blocks
}

fn picture(run: &Node<'_>) -> Option<(String, crate::svg::Drawing)> {
    const STEPS: &[(&str, &str, usize)] = &[
        ("model_weights", "weights", 1),
        ("beside_weights", "beside weights", 7),
        ("activation_peak", "activation peak", 3),
        ("graphs_estimated", "set aside for graphs", 4),
    ];
    let size = |name: &str| amount(run, name).and_then(|size| size.number());
    let (total, requested) = (size("device_total"), size("requested")?);
    let show = |bytes: f64| Unit::Memory.show(bytes);
    let mut steps = Vec::new();
    let mut first = ("asked for".to_owned(), requested, 9, show(requested));
    if let Some(total) = total {
        first = ("all memory of the card".to_owned(), total, 9, show(total));
        steps.push(Step::less("not asked for", total - requested, 9, show(total - requested)));
    }
    for (name, title, colour) in STEPS {
        if let Some(bytes) = size(name) {
            steps.push(Step::less(*title, bytes, *colour, show(bytes)));
        }
    }
    if let Some(bytes) = run.at("unattributed_bytes").number() {
        steps.push(Step::less("what no line states", bytes, 8, Unit::Memory.signed(bytes)));
    }
    let pool = size("kv_cache").or_else(|| size("available_kv_cache"));
    let last = pool.map(|bytes| ("KV cache".to_owned(), bytes, 2, show(bytes)));
    let left = pool.map_or_else(String::new, |bytes| format!(" {} are left for the KV cache.", show(bytes)));
    let words = format!("The engine asks for {}, and takes one part after the other off it.{left}", show(requested));
    Some((words, waterfall(Some(first), &steps, last)))
}

/// The steps of the start.
fn start(root: &Node<'_>) -> Option<Section> {
    let mut table =
        Table::new("How long each step of the start took", &["until", "#first run", "#second run", "to know"]);
    for step in root.at("start").items().iter().take(MOST_ROWS + 1) {
        table.row([
            step.at("name").text().map_or_else(Cell::absent, |name| Cell::text(named::words(name))),
            step.at("before_s").figure(Unit::Seconds),
            step.at("after_s").figure(Unit::Seconds),
            step.at("why").cell(),
        ]);
    }
    let table = (!table.rows.is_empty()).then(|| table.without_empty_columns().at_most(MOST_ROWS))?;
    Some(Section::new("The start", [Block::Table(table)]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::law;

    #[test]
    fn every_figure_stands_in_the_document_whatever_is_damaged_or_missing() {
        let amount = |name: &str, size: u64| json!({"name": name, "size_bytes": size, "resolution_bytes": 1, "log_lines": [1, 2]});
        let run = json!({"name": "a/b", "engine_version": "1", "gpu_memory_utilization": 0.5, "unattributed_bytes": -4,
            "kv_cache_tokens": 9, "max_concurrency": 1.5, "request_tokens": 8,
            "amounts": [amount("device_total", 100), amount("requested", 90), amount("model_weights", 50), amount("kv_cache", 44)]});
        law::of_kind(&json!({"vramscope_explanation": 1, "runs": [run, run], "difference": {"difference_bytes": -5,
            "difference_tokens": -1, "restore": "--x", "notes": ["n"], "terms": [
                {"name": "a_b", "cause": "release", "size_bytes": -7, "tokens": -2, "why": "w", "lines_before": [3], "lines_after": []},
                {"name": "c", "cause": "card", "size_bytes": 2, "why": "w"}]},
            "start": [{"name": "load_began", "before_s": 1.0, "after_s": 2.0, "why": "w"}]}));
    }
}
