//! One run: what took its memory, when, why, and what that cost in time.

mod answer;
mod cost;
mod peak;
mod setting;

use vramscope_core::shortened;

use super::findings;
use super::run::Run;
use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Finding, Page, Section, Weight};
use crate::unit::Unit;

/// A title is read at a glance.
const LONGEST_NAME: usize = 80;

pub(crate) fn page(document: &Document) -> Page {
    let run = Run::new(document.root(0));
    let name = run.model().map_or_else(|| super::name_of(document.name()), str::to_owned);
    let shown_above = (run.root.at("failure").is_there()).then_some("engine_failed");
    let mut sections = vec![answer::section(&run)];
    sections.extend(doubts(&run));
    sections.extend(peak::section(&run));
    sections.extend(findings::section(&run.root.at("diagnostics"), shown_above));
    sections.extend(crate::time::section(document, 0));
    sections.extend(cost::phases(&run));
    sections.extend(cost::section(&run));
    sections.extend(setting::section(&run));
    sections.extend(setting::evidence(&run));
    Page { title: format!("GPU memory of {}", shortened(&name, LONGEST_NAME)), about: about(document, &run), sections }
}

/// Of what, on what, when.
fn about(document: &Document, run: &Run<'_>) -> String {
    let mut words = vec![super::name_of(document.name())];
    let devices = run.root.path("gpu_info/devices").items();
    let each = devices.first().map(|device| {
        let size = device.at("total_bytes").figure(Unit::Memory).text;
        (device.at("name").text(), size)
    });
    words.extend(each.map(|(name, size)| match (name, run.gpus()) {
        (Some(name), 0 | 1) => format!("{name} of {size}"),
        (None, 0 | 1) => format!("GPU of {size}"),
        (Some(name), several) => format!("{several} times {name} of {size}"),
        (None, several) => format!("{several} GPUs of {size} each"),
    }));
    let engine = ["engine_type", "engine_version"].map(|name| run.root.at("engine_metadata").at(name));
    let engine: Vec<&str> = engine.iter().filter_map(Node::text).collect();
    if !engine.is_empty() {
        words.push(engine.join(" "));
    }
    words.extend(run.root.path("metadata/timestamp").text().map(str::to_owned));
    words.extend(run.root.path("metadata/status").text().map(str::to_owned));
    let words: Vec<String> = words.iter().map(|word| shortened(word, LONGEST_NAME).into_owned()).collect();
    words.join("; ")
}

/// What makes the figures of a migrated document doubtful.
fn doubts(run: &Run<'_>) -> Option<Section> {
    let migration = run.root.at("migration");
    if !migration.is_there() {
        return None;
    }
    let doubtful =
        migration.at("units").items().iter().any(|unit| unit.at("proven").is_there() && !unit.at("proven").is_true());
    let mut text = "This profile was written in an earlier version and read into the current one.".to_owned();
    if doubtful {
        text.push_str(
            " The unit of some of its amounts is not proven: each may be off by 7.4 % (4.9 % for MB and MiB).",
        );
    }
    let weight = if doubtful { Weight::Warning } else { Weight::Note };
    let finding = Finding { weight, text, advice: None, code: None };
    Some(Section::new("How far to trust it", [Block::Findings(vec![finding])]))
}
