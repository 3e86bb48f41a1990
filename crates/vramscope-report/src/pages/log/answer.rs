//! What people ask of a log first: what went wrong, and how much memory is where.

use super::{failures, memory};
use crate::cell::Cell;
use crate::node::Node;
use crate::page::{Block, Table};
use crate::pages::named;
use crate::unit::Unit;

/// What stands in the headline, or belongs to what does.
const ABOVE: [&str; 6] =
    ["weights_gib", "kv_cache_gib", "cuda_graph_gib", "weights_workers", "kv_cache_workers", "kv_cache_tokens"];

pub(super) fn blocks(root: &Node<'_>, engines: &[Node<'_>]) -> Vec<Block> {
    let summary = root.at("summary");
    let mut blocks = Vec::new();
    blocks.extend(failures::findings(engines));
    let figures = headline(&summary, engines);
    if !figures.is_empty() {
        blocks.push(Block::Headline(figures));
    }
    blocks.extend(memory::table(engines).map(Block::Table));
    blocks.extend(unstated(engines));
    blocks.extend(short(&summary).map(Block::Table));
    let bench = summary.path("bench/numbers");
    blocks.extend(named::table("What the benchmark printed", &[bench], &[]).map(Block::Table));
    blocks.extend(texts(&root.at("notes")));
    if blocks.is_empty() {
        blocks.push(Block::Text("The log states nothing that is known.".to_owned()));
    }
    blocks
}

fn texts(notes: &Node<'_>) -> Vec<Block> {
    let notes = notes.items();
    notes.iter().take(50).filter_map(|note| note.at("text").text()).map(|text| Block::Text(text.to_owned())).collect()
}

fn headline(summary: &Node<'_>, engines: &[Node<'_>]) -> Vec<(String, Cell)> {
    let whose = memory::Whose::of(summary, engines);
    let mut figures = vec![
        memory::headline("Weights", ("weights", "weights"), summary, engines, &whose),
        memory::headline("KV cache", ("kv_cache", "kv_cache"), summary, engines, &whose),
    ];
    figures.extend(whose.tokens_of_each().map(|tokens| ("Tokens in the KV cache of each engine".to_owned(), tokens)));
    let together =
        |name: &str, path: &str, unit: Unit| (format!("{name}{}", whose.together()), summary.path(path).figure(unit));
    figures.extend([
        together("Tokens in the KV cache", "kv_cache_tokens", Unit::Count),
        together("Requests at once", "max_concurrency/factor", Unit::Plain),
        ("Of so many tokens".to_owned(), summary.path("max_concurrency/tokens").figure(Unit::Count)),
        memory::headline("Graphs", ("graphs", "cuda_graph"), summary, engines, &whose),
        ("The engine started in".to_owned(), summary.at("init_engine_secs").figure(Unit::Seconds)),
    ]);
    figures.retain(|(_, cell)| !cell.is_absent());
    figures
}

/// What else the summary has.
fn short(summary: &Node<'_>) -> Option<Table> {
    let members = summary.members();
    let printed: Vec<&str> = members.iter().map(|(name, _)| *name).filter(|name| name.ends_with("_gib")).collect();
    let without: Vec<&str> = ABOVE.iter().chain(&printed).copied().collect();
    let caption = "The log in short";
    let mut table = named::table(caption, std::slice::from_ref(summary), &without)
        .unwrap_or_else(|| Table::new(caption, &["name", "value"]));
    for name in printed.into_iter().filter(|name| !ABOVE.contains(name)) {
        let cell = memory::printed(&summary.at(name));
        if !cell.is_absent() {
            table.row([Cell::text(named::words(name.trim_end_matches("_gib"))), cell]);
        }
    }
    (!table.rows.is_empty()).then_some(table)
}

/// That there is no memory in it, with what the log's reader says about that.
fn unstated(engines: &[Node<'_>]) -> Vec<Block> {
    if engines.is_empty() || memory::is_stated(engines) {
        return Vec::new();
    }
    let mut blocks = vec![Block::Text("The log states no figure of memory.".to_owned())];
    for engine in engines.iter().take(super::MOST_ENGINES) {
        blocks.extend(texts(&engine.at("notes")));
    }
    blocks
}
