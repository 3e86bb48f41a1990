//! A trace: what limits the GPU, where its time went, and what launched it.

mod about;
mod answer;
mod host;
mod kernels;
mod memory;
mod name;
mod ranked;
mod stacks;
mod steps;
#[cfg(test)]
mod tests;
mod time;

use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Page, Section, Table};

pub(super) use answer::{bound, verdict};
pub(super) use kernels::{categories, category, top_kernels};
pub(super) use name::{file_name, shown, title};
pub(super) use time::{device_lane, lanes_picture};

/// Rows of a table at most: more than that nobody reads on a page.
pub(super) const MOST_ROWS: usize = 100;

pub(crate) fn page(document: &Document) -> Page {
    let root = document.root(0);
    let mut sections = vec![answer::section(&root)];
    sections.extend(time::section(&root));
    sections.extend(kernels::section(&root));
    sections.extend(steps::section(&root));
    sections.extend(stacks::section(&root));
    sections.extend(host::section(&root));
    sections.extend(memory::section(&root));
    sections.push(about::section(&root));
    let file = root.path("file/name").text().map_or_else(|| document.name().to_owned(), file_name);
    Page { title: format!("Trace {file}"), about: about::line(&root), sections }
}

/// The first items of a list, and a sentence that says how many there are beyond them. `all` is how many there are where
/// the document's own list is cut.
pub(super) fn first<'d>(list: &Node<'d>, most: usize, all: Option<u64>) -> (Vec<Node<'d>>, Option<String>) {
    let mut items = list.items();
    let there = items.len();
    items.truncate(most);
    let all = all.and_then(|all| usize::try_from(all).ok()).unwrap_or(there).max(there);
    let rest = (all > items.len()).then(|| {
        let place = if there > items.len() { "the document holds more of them" } else { "the document holds these" };
        format!("These are the first {} of {all}; {place}.", items.len())
    });
    (items, rest)
}

/// A table folded away, with a sentence behind it.
pub(super) fn folded(title: impl Into<String>, table: Table, rest: Option<String>) -> Block {
    let mut blocks = vec![Block::Table(table.without_empty_columns())];
    blocks.extend(rest.map(Block::Text));
    Block::Folded { title: title.into(), blocks }
}

/// A section, where there is something in it.
fn section_of(title: &str, blocks: Vec<Block>) -> Option<Section> {
    (!blocks.is_empty()).then(|| Section::new(title, blocks))
}
