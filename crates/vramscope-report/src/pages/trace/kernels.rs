//! Kernels: what they are for, and which take the time.

use super::ranked::Ranked;
use super::time::name_cell;
use crate::cell::Cell;
use crate::node::Node;
use crate::page::{Block, Picture, Section, Table};
use crate::unit::Unit;

/// What kernels are for: name in documents, colour, name for people.
const CATEGORIES: &[(&str, usize, &str)] = &[
    ("gemm_moe", 1, "matrix products"),
    ("attention", 2, "attention"),
    ("normalisation", 3, "normalisation"),
    ("activation", 4, "activation"),
    ("communication", 5, "communication"),
    ("sampling", 6, "sampling"),
    ("kv_cache_copy", 7, "KV cache"),
    ("copy", 8, "copies by kernels"),
    ("other", 0, "other"),
];

/// Kernels in the picture.
const IN_PICTURE: usize = 15;

/// What a category is called, with its colour.
pub(crate) fn category(name: &str) -> (usize, String) {
    let known = CATEGORIES.iter().find(|(key, ..)| *key == name);
    known.map_or_else(|| (0, super::shown(name)), |(_, colour, called)| (*colour, (*called).to_owned()))
}

pub(super) fn section(root: &Node<'_>) -> Option<Section> {
    let mut blocks: Vec<Block> = Vec::new();
    blocks.extend(categories(root).map(Block::Picture));
    blocks.extend(top_kernels(root, super::MOST_ROWS));
    blocks.extend(copies(root));
    blocks.extend(graphs(root));
    super::section_of("Kernels", blocks)
}

/// Kernel time by what kernels are for.
pub(crate) fn categories(root: &Node<'_>) -> Option<Picture> {
    let (rows, _) = super::first(&root.at("categories"), 20, None);
    if rows.is_empty() {
        return None;
    }
    let table =
        Table::new("Kernel time by what kernels are for", &["what for", "#time", "#share", "#kernels", "told by"]);
    let mut ranked = Ranked::new(table, usize::MAX);
    for row in &rows {
        let (colour, name) = category(row.at("category").text().unwrap_or(""));
        let (total, share) = (row.at("total_ns").figure(Unit::Time), row.at("share").figure(Unit::Share));
        let words = format!("{} ({})", share.text, total.text);
        let rules = row.at("rules").words().map_or_else(Cell::absent, |rules| Cell::text(super::shown(&rules)));
        let bar = (name.clone(), row.at("total_ns").number(), colour, words);
        ranked.row(bar, vec![Cell::text(name), total, share, row.at("count").figure(Unit::Count), rules]);
    }
    Some(ranked.picture("Kernel time by what kernels are for", "Most of it:", ""))
}

/// The kernels with the most time.
pub(crate) fn top_kernels(root: &Node<'_>, most: usize) -> Vec<Block> {
    let list = root.at("kernels");
    let (rows, rest) = super::first(&list, most, root.at("kernels_unique").count());
    if rows.is_empty() {
        return Vec::new();
    }
    let table = Table::new(
        "Kernels by name, the longest total first",
        &["kernel", "#time", "#share", "#count", "#mean", "#median", "#95th percentile", "#longest", "what for"],
    );
    let mut ranked = Ranked::new(table, IN_PICTURE);
    for row in &rows {
        let (colour, what) = category(row.at("category").text().unwrap_or(""));
        let (total, share) = (row.at("total_ns").figure(Unit::Time), row.at("share").figure(Unit::Share));
        let name = super::title(row.at("name").text().unwrap_or(""));
        let bar = (name, row.at("total_ns").number(), colour, format!("{} ({})", share.text, total.text));
        let mut cells = vec![name_cell(&row.at("name")), total, share, row.at("count").figure(Unit::Count)];
        cells.extend(["mean_ns", "p50_ns", "p95_ns", "max_ns"].map(|key| row.at(key).figure(Unit::Time)));
        cells.push(Cell::text(what));
        ranked.row(bar, cells);
    }
    let more = " Colours are those of what kernels are for.";
    let picture = ranked.picture("The kernels with the most time", "The most:", more);
    let mut blocks = vec![Block::Picture(picture)];
    blocks.extend(rest.map(Block::Text));
    blocks
}

fn copies(root: &Node<'_>) -> Option<Block> {
    let (rows, rest) = super::first(&root.at("copies"), super::MOST_ROWS, None);
    let mut table =
        Table::new("Copies and fills", &["operation", "from and to", "#count", "#time", "#longest", "#bytes", "#GB/s"]);
    for row in &rows {
        table.row([
            name_cell(&row.at("operation")),
            name_cell(&row.at("kinds")),
            row.at("count").figure(Unit::Count),
            row.at("total_ns").figure(Unit::Time),
            row.at("max_ns").figure(Unit::Time),
            row.at("bytes").figure(Unit::Memory),
            row.at("rate_gb_per_s").figure(Unit::Plain),
        ]);
    }
    (!table.rows.is_empty()).then(|| super::folded("Copies and fills", table, rest))
}

fn graphs(root: &Node<'_>) -> Option<Block> {
    let graphs = root.at("graphs");
    graphs.at("launches").count().filter(|launches| *launches > 0)?;
    let mut table = Table::new(
        "Launches of whole graphs: one call launches many kernels",
        &["what", "#launches", "#kernels in them", "#time of those kernels"],
    );
    table.row([
        Cell::text("graphs"),
        graphs.at("launches").figure(Unit::Count),
        graphs.at("kernels").figure(Unit::Count),
        graphs.at("kernel_time_ns").figure(Unit::Time),
    ]);
    Some(Block::Table(table))
}
