//! An allocator's snapshot: where its memory is, who holds it, and how it came to that.

mod amounts;
mod history;
pub(crate) mod series;
mod stacks;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::cell::Cell;
use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Finding, Page, Section, Table, Weight};
use crate::pages::trace::{MOST_ROWS, file_name, shown};
use crate::unit::Unit;

/// Histories at most: a process seldom has more than one device.
const MOST_HISTORIES: usize = 8;

pub(crate) fn page(document: &Document) -> Page {
    let root = document.root(0);
    let mut sections = vec![amounts::section(&root)];
    sections.extend(amounts::pools(&root));
    sections.extend(stacks::section(&root));
    for history in root.at("histories").items().iter().take(MOST_HISTORIES) {
        sections.extend(history::sections(history));
    }
    sections.extend(about(&root));
    let file = root.path("file/name").text().map_or_else(|| document.name().to_owned(), file_name);
    Page { title: format!("Allocator snapshot {file}"), about: line(&root), sections }
}

fn line(root: &Node<'_>) -> String {
    let file = root.at("file");
    let mut parts = vec!["Memory inside a PyTorch process, as its allocator has it".to_owned()];
    if let Some(format) = file.at("format").text() {
        let protocol =
            file.at("protocol").words().map_or_else(String::new, |protocol| format!(" of protocol {protocol}"));
        parts.push(format!("a {}{protocol}", shown(format)));
    }
    if file.at("stacks").is_there() {
        parts.push(format!("{} stacks", file.at("stacks").figure(Unit::Count).text));
    }
    format!("{}.", parts.join(", "))
}

/// A part's name and colour on these pages. Parts that seldom stand beside each other share one.
fn part(name: Option<&str>) -> (String, usize) {
    let Some(name) = name else { return ("no stack recorded".to_owned(), 0) };
    let colour = match name {
        "weights" => 1,
        "KV cache" => 2,
        "activations" | "trial run" | "requests" => 3,
        "graphs" => 4,
        "sampler" | "rotary tables" | "optimizer" => 5,
        "workspaces" | "warm-up" | "runner's buffers" => 6,
        _ => 7,
    };
    (shown(name), colour)
}

/// The colour of what is of several parts, and of what is free.
const MIXED: usize = 9;

/// Colours with the parts that have them.
#[derive(Default)]
struct Colours(BTreeMap<usize, Vec<String>>);

impl Colours {
    fn add(&mut self, name: &str, colour: usize) {
        let names = self.0.entry(colour).or_default();
        // More names than these are no legend.
        if names.len() < 4 && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }

    fn legend(self) -> Vec<(usize, String)> {
        self.0.into_iter().map(|(colour, names)| (colour, names.join(", "))).collect()
    }
}

/// Holders as a table, the largest first.
fn holders(caption: &str, list: &Node<'_>) -> Option<Block> {
    let by = list.at("by").text().map_or_else(|| "holder".to_owned(), shown);
    let name = if by == "stack" { "where" } else { by.as_str() };
    let mut table = Table::new(caption, &[name, "#memory", "#share", "#allocations"]);
    for row in list.at("rows").items() {
        table.row([
            row.at("name").text().map_or_else(|| Cell::text("no stack recorded"), |name| Cell::text(shown(name))),
            row.at("bytes").figure(Unit::Memory),
            row.at("share").figure(Unit::Share),
            row.at("count").figure(Unit::Count),
        ]);
    }
    if table.rows.is_empty() {
        return None;
    }
    let cut = list.at("rows").items().into_iter().skip(MOST_ROWS);
    let (cut_rows, cut_bytes) =
        cut.fold((0.0, 0.0), |(rows, bytes), row| (rows + 1.0, bytes + row.at("bytes").number().unwrap_or(0.0)));
    let mut table = table.at_most(MOST_ROWS);
    let (rest, bytes) = (list.at("rest_rows"), list.at("rest_bytes"));
    let others = rest.number().unwrap_or(0.0) + cut_rows;
    if others > 0.0 {
        // Those that the document has and the page has not are among them.
        let all = match cut_rows > 0.0 {
            true => Cell::text(Unit::Memory.show(bytes.number().unwrap_or(0.0) + cut_bytes)),
            false => bytes.figure(Unit::Memory),
        };
        let name = format!("{} {}", Unit::Count.show(others), if others > 1.0 { "others" } else { "other" });
        table.row([Cell::text(name), all]);
    }
    Some(Block::Table(table))
}

/// What is odd about the file, how the allocator was set, and what the process had pinned.
fn about(root: &Node<'_>) -> Option<Section> {
    let mut blocks = Vec::new();
    let note = |note: &Node<'_>| Finding {
        weight: Weight::Note,
        text: format!("{} {}", note.at("count").figure(Unit::Count).text, note.at("text").text().unwrap_or("")),
        advice: None,
        code: note.at("kind").text().map(str::to_owned),
    };
    let notes: Vec<Finding> = root.at("notes").items().iter().take(50).map(note).collect();
    if !notes.is_empty() {
        blocks.push(Block::Findings(notes));
    }
    let mut table = Table::new("The file, and how the allocator was set", &["what", "#value"]);
    let mut add = |name: &str, cell: Cell| {
        if !cell.is_absent() {
            table.row([Cell::text(name), cell]);
        }
    };
    let (file, settings, host) = (root.at("file"), root.at("settings"), root.at("host"));
    add("packed", file.at("compression").cell());
    add("the file's size", file.at("file_bytes").figure(Unit::Memory));
    add("unpacked", file.at("plain_bytes").figure(Unit::Memory));
    add("setting", settings.at("text").text().filter(|text| !text.is_empty()).map_or_else(Cell::absent, Cell::text));
    add("blocks from this size on are not split", settings.at("max_split_size_bytes").figure(Unit::Memory));
    add("expandable segments", settings.at("expandable_segments").cell());
    add("share from which blocks are collected", settings.at("garbage_collection_threshold").figure(Unit::Share));
    add("pinned host memory", host.at("bytes").figure(Unit::Memory));
    add("of it in use", host.at("active_bytes").figure(Unit::Memory));
    add("marks of the program", root.at("annotations").figure(Unit::Count));
    if !table.rows.is_empty() {
        blocks.push(Block::Table(table));
    }
    (!blocks.is_empty()).then(|| Section::new("The file", blocks))
}
