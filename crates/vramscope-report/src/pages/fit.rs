//! What serves a model: how many GPUs, how long a context, how many requests, and the command line.

use vramscope_core::shortened;

use super::named::{self, MOST_ROWS};
use super::predicted::{self, yes};
use crate::cell::Cell;
use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Finding, Page, Picture, Section, Table, Weight};
use crate::svg::{Bar, bars};
use crate::unit::Unit;

const LONGEST_NAME: usize = 80;

/// More devices than this have no bar of their own.
const MOST_BARS: usize = 40;

pub(crate) fn page(document: &Document) -> Page {
    let root = document.root(0);
    let model = root.path("model/name").text().unwrap_or("a model");
    let mut sections = vec![Section::new("What serves it?", answer(&root))];
    let devices = devices(&root);
    if !devices.is_empty() {
        sections.push(Section::new("Every card of the table", devices));
    }
    sections.extend(changes(&root));
    let tables =
        [named::table("The model", &[root.at("model")], &["notes"]), named::table("The card", &[root.at("gpu")], &[])];
    let mut about: Vec<Block> = tables.into_iter().flatten().map(Block::Table).collect();
    about.extend(root.path("model/notes").items().iter().take(50).filter_map(Node::words).map(Block::Text));
    if !about.is_empty() {
        sections.push(Section::new("Of what", about));
    }
    let engine = root
        .at("engine_version")
        .text()
        .map_or_else(String::new, |version| format!(", release {version} of the engine"));
    Page {
        title: format!("What serves {}", shortened(model, LONGEST_NAME)),
        about: format!(
            "A prediction from the engine's rules{engine}; memory alone is judged, not speed, and nothing was run."
        ),
        sections,
    }
}

fn answer(root: &Node<'_>) -> Vec<Block> {
    let mut blocks = Vec::new();
    let fewest = root.at("fewest");
    let asked_for_one = root.at("gpu").is_there();
    if fewest.is_there() {
        let certain = fewest.at("certain").is_true();
        let gpus = fewest.at("gpus").count().map_or_else(|| "some".to_owned(), |count| count.to_string());
        let name = root.path("gpu/name").text().unwrap_or("of these GPUs");
        let doubt = if certain { "" } else { " It is close: within the interval of the prediction it may not start." };
        blocks.push(Block::Findings(vec![Finding {
            weight: if certain { Weight::Good } else { Weight::Warning },
            text: format!("{gpus} × {name} {}.{doubt}", if gpus == "1" { "serves it" } else { "serve it" }),
            advice: None,
            code: None,
        }]));
    } else if asked_for_one {
        let text = "No number of these GPUs that was tried serves it.".to_owned();
        blocks.push(Block::Findings(vec![Finding { weight: Weight::Error, text, advice: None, code: None }]));
    }
    let figures = [
        ("GPUs", fewest.at("gpus").figure(Unit::Count)),
        ("Requests together", fewest.at("concurrent_requests").figure(Unit::Count)),
        ("KV cache of a rank", fewest.at("kv_cache_bytes").figure(Unit::Memory)),
        ("Longest context", root.at("longest_model_len").figure(Unit::Count)),
        ("Most requests on the GPUs as given", root.at("most_requests").figure(Unit::Count)),
        ("Lowest share that is enough", root.at("lowest_utilization").figure(Unit::Plain)),
        ("Tokens of a request", root.at("request_tokens").figure(Unit::Count)),
        ("Requests asked for", root.at("requests").figure(Unit::Count)),
    ];
    blocks.extend(predicted::headline(figures));
    if let Some(command) = fewest.at("command").text() {
        blocks.extend([Block::Text("The command line:".to_owned()), Block::Quote(command.to_owned())]);
    }
    blocks.extend(smallest(root).map(Block::Sentence));
    if blocks.is_empty() {
        blocks.push(Block::Text("The document gives no answer.".to_owned()));
    }
    blocks
}

/// Of all devices: which alone is enough with the least memory, and how many of the others there have to be.
fn smallest(root: &Node<'_>) -> Option<Vec<Cell>> {
    let devices = root.at("devices").items();
    let serve = devices.iter().filter(|device| device.at("placed").is_there()).count();
    let count = devices.iter().filter(|device| device.path("placed/gpus").count() == Some(1)).count();
    let first = format!("{serve} of {} cards serve it, {count} of them alone. ", devices.len());
    if count == 0 && !devices.is_empty() {
        return Some(vec![first.into()]);
    }
    let alone = devices.iter().filter(|device| device.path("placed/gpus").count() == Some(1));
    let least = alone.min_by_key(|device| device.at("total_bytes").count().unwrap_or(u64::MAX))?;
    Some(vec![
        first.into(),
        "The smallest card that serves it alone is ".into(),
        Cell::text(shortened(least.at("name").text().unwrap_or("one without a name"), LONGEST_NAME)),
        " with ".into(),
        least.at("total_bytes").figure(Unit::Memory),
        "; it has room for ".into(),
        least.path("placed/concurrent_requests").figure(Unit::Count),
        " such requests together.".into(),
    ])
}

fn devices(root: &Node<'_>) -> Vec<Block> {
    let devices = root.at("devices").items();
    if devices.is_empty() {
        return Vec::new();
    }
    let heads = [
        "card",
        "#memory",
        "#GPUs",
        "#tensor",
        "#pipeline",
        "#requests together",
        "#KV cache of a rank",
        "certain",
        "command",
    ];
    let mut table = Table::new("The fewest of each card that serve it; a dash where 64 are not enough", &heads);
    for device in devices.iter().take(MOST_ROWS + 1) {
        let placed = device.at("placed");
        table.row([
            device.at("name").cell(),
            device.at("total_bytes").figure(Unit::Memory),
            placed.at("gpus").figure(Unit::Count),
            placed.at("tensor_parallel_size").figure(Unit::Count),
            placed.at("pipeline_parallel_size").figure(Unit::Count),
            placed.at("concurrent_requests").figure(Unit::Count),
            placed.at("kv_cache_bytes").figure(Unit::Memory),
            yes(&placed.at("certain")),
            placed.at("command").cell(),
        ]);
    }
    let bar = |device: &Node<'_>| {
        let requests = device.path("placed/concurrent_requests").number()?;
        let gpus = device.path("placed/gpus").count()?;
        let name = device.at("name").text().unwrap_or("?");
        let colour = if gpus == 1 { 1 } else { 2 };
        let each = if gpus == 1 { "1 GPU".to_owned() } else { format!("{gpus} GPUs") };
        Some(Bar::new(name, 0.0, requests, colour, format!("{}, {each}", Unit::Count.show(requests))))
    };
    let drawn: Vec<Bar> = devices.iter().filter_map(bar).take(MOST_BARS).collect();
    let table = table.without_empty_columns().at_most(MOST_ROWS);
    if drawn.is_empty() {
        return vec![Block::Table(table)];
    }
    let enough = devices.iter().filter(|device| device.at("placed").is_there()).count();
    let most = drawn.iter().max_by(|a, b| a.to.total_cmp(&b.to));
    let most = most.map_or_else(String::new, |bar| format!(" The most requests fit on {}: {}.", bar.name, bar.words));
    let cut = if enough > drawn.len() { format!(" The first {} are drawn.", drawn.len()) } else { String::new() };
    let words = format!(
        "{enough} of {} cards serve it, alone (blue) or as several (orange).{most}{cut} Bars are requests that fit together on the fewest of each card.",
        devices.len()
    );
    vec![Block::Picture(Picture {
        title: "Requests together by card".to_owned(),
        words,
        svg: bars(&drawn, Unit::Count),
        table: Some(table),
        sparks: vec![("requests together".to_owned(), drawn.iter().map(|bar| bar.to).collect())],
    })]
}

fn changes(root: &Node<'_>) -> Option<Section> {
    let heads = ["change", "serves", "#GPUs", "#requests together", "#KV cache of a rank", "certain", "command"];
    let mut table = Table::new("What each change does on the GPUs as given", &heads);
    for change in root.at("changes").items().iter().take(MOST_ROWS + 1) {
        let placed = change.at("placed");
        table.row([
            change.at("change").text().map_or_else(Cell::absent, |name| Cell::text(named::words(name))),
            yes(&change.at("fits")),
            placed.at("gpus").figure(Unit::Count),
            placed.at("concurrent_requests").figure(Unit::Count),
            placed.at("kv_cache_bytes").figure(Unit::Memory),
            yes(&placed.at("certain")),
            placed.at("command").cell(),
        ]);
    }
    let table = (!table.rows.is_empty()).then(|| table.without_empty_columns().at_most(MOST_ROWS))?;
    Some(Section::new("What changes would do", [Block::Table(table)]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::law;

    #[test]
    fn every_figure_stands_in_the_document_whatever_is_damaged_or_missing() {
        let placed = json!({"gpus": 2, "tensor_parallel_size": 2, "pipeline_parallel_size": 1, "concurrent_requests": 5,
            "kv_cache_bytes": 77, "certain": false, "command": "serve"});
        let one =
            json!({"gpus": 1, "concurrent_requests": 5, "kv_cache_bytes": 77, "certain": true, "command": "serve"});
        law::of_kind(
            &json!({"vramscope_fit": 1, "model": {"name": "m", "notes": ["n"]}, "engine_version": "1", "requests": 1,
            "gpu": {"name": "g", "total_bytes": 9}, "fewest": placed, "longest_model_len": 10, "lowest_utilization": 0.5,
            "changes": [{"change": "as_asked", "fits": true, "placed": placed}, {"change": "fp8", "fits": false}],
            "devices": [{"name": "d", "total_bytes": 7, "placed": placed}, {"name": "e", "total_bytes": 8, "placed": one},
                {"name": "f", "total_bytes": 8}]}),
        );
    }
}
