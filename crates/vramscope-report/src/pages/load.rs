//! A load: which level to run, what each did, and what of it is to be taken with care.

mod answer;
mod setup;

pub(super) use setup::{engine, metered};

use super::levels::{self, By, Levels};
use crate::document::Document;
use crate::page::{Block, Page, Section, Table};
use crate::pages::named::MOST_ROWS;

pub(crate) fn page(document: &Document) -> Page {
    let root = document.root(0);
    let mut levels = Levels::new(root.at("levels").items());
    let mut sections = vec![Section::new("Which level to run", answer::blocks(&root, &mut levels))];
    let mut findings = levels::findings(&root, &levels);
    findings.extend(answer::thin(&levels));
    if !findings.is_empty() {
        sections.push(Section::new("What to know", [Block::Findings(findings)]));
    }
    if !levels.all.is_empty() {
        sections.push(Section::new("Throughput and latency", measured(&root, &levels)));
        sections.push(Section::new("Requests", requests(&levels)));
        sections.extend(server_side(&levels));
        sections.push(Section::new("The client", [Block::Table(levels::client(&levels).at_most(MOST_ROWS))]));
    }
    let setup = Block::Folded { title: "Server, load and devices".to_owned(), blocks: setup::blocks(&root) };
    sections.push(Section::new("How it was set up", [setup]));
    let model = root.path("workload/model").text().unwrap_or("a model");
    let server = root.at("server").text().unwrap_or("a server");
    Page { title: format!("Load of {}", super::figure::brief(model)), about: about(&root, server, &levels), sections }
}

fn about(root: &crate::node::Node<'_>, server: &str, levels: &Levels<'_>) -> String {
    let mut words = format!("{} of {server}", super::figure::many(levels.all.len(), "measurement"));
    if let Some(version) = root.at("server_version").text() {
        words.push_str(&format!(" (version {version})"));
    }
    if let Some(at) = levels.all.first().and_then(|level| level.at("started_at").text()) {
        let second = at.get(..19).unwrap_or(at).replace('T', " ");
        words.push_str(&format!(", begun {second} UTC"));
    }
    words
}

fn measured(root: &crate::node::Node<'_>, levels: &Levels<'_>) -> Vec<Block> {
    let bounds = answer::bounds(root.path("workload/slo").text());
    let named = answer::named(root, levels);
    let mut blocks = Vec::new();
    if levels.groups.len() > 1 {
        blocks.extend(levels::throughput(levels, &named));
        blocks.extend(levels::rates(levels));
        for key in ["ttft", "tpot", "e2e"] {
            let bound = bounds.iter().find(|(name, _)| name == key).map(|(_, bound)| *bound);
            blocks.extend(levels::latencies(levels, key, bound, &named));
        }
        if levels.by == By::Rate {
            blocks.extend(levels::latencies(levels, "e2e_from_due", None, &named));
        }
        blocks.extend(levels::front(levels));
    } else {
        blocks.extend(levels::one_level(levels));
    }
    blocks.extend(levels::distributions(levels));
    blocks.push(Block::Table(levels::percentiles(levels).at_most(MOST_ROWS)));
    blocks.extend(levels::models(levels).map(|table| Block::Table(table.at_most(MOST_ROWS))));
    blocks
}

fn requests(levels: &Levels<'_>) -> Vec<Block> {
    let mut blocks = vec![Block::Table(levels::requests(levels).at_most(MOST_ROWS))];
    let heads = [
        "level",
        "#first record",
        "#records",
        "#sent again",
        "#later turns",
        "#prompts alike",
        "#share of tokens alike",
        "#found",
    ];
    let mut table = Table::new("Of the data set, and how alike prompts were", &heads);
    for level in levels.all.iter().filter(|level| level.at("records").is_there() || level.at("shared").is_there()) {
        use crate::unit::Unit;
        let (records, shared) = (level.at("records"), level.at("shared"));
        table.row([
            crate::cell::Cell::text(levels.name(level)),
            records.at("first").figure(Unit::Count),
            records.at("used").figure(Unit::Count),
            records.at("repeated").figure(Unit::Count),
            records.at("later_turns").figure(Unit::Count),
            shared.at("requests").figure(Unit::Count),
            shared.at("share").figure(Unit::Share),
            shared.at("found").figure(Unit::Share),
        ]);
    }
    if !table.rows.is_empty() {
        blocks.push(Block::Table(table.without_empty_columns().at_most(MOST_ROWS)));
    }
    blocks
}

fn server_side(levels: &Levels<'_>) -> Vec<Section> {
    let mut sections = Vec::new();
    if let Some(table) = levels::server(levels) {
        let blocks = levels::served(levels, table.clone())
            .map_or_else(|| vec![Block::Table(table.at_most(MOST_ROWS))], |picture| vec![picture]);
        sections.push(Section::new("What the engine said of itself", blocks));
    }
    if let Some(table) = levels::energy(levels) {
        sections.push(Section::new("Energy and cost", vec![Block::Table(table.at_most(MOST_ROWS))]));
    }
    sections
}

#[cfg(test)]
mod tests;
