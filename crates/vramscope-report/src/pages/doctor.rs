//! What is there for profiling.

use super::named::MOST_ROWS;
use crate::cell::{Cell, Tone};
use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Finding, Page, Section, Table, Weight};

pub(crate) fn page(document: &Document) -> Page {
    let root = document.root(0);
    let can = root.at("can_profile").is_true();
    let (weight, text) = if can {
        (Weight::Good, "This machine can profile an engine.")
    } else {
        (Weight::Error, "This machine cannot profile an engine.")
    };
    let mut findings = vec![Finding { weight, text: text.to_owned(), advice: None, code: None }];
    let lacks = root.at("missing").items();
    findings.extend(lacks.iter().take(50).filter_map(Node::words).map(|words| Finding {
        weight: Weight::Warning,
        text: format!("It lacks: {words}"),
        advice: None,
        code: None,
    }));
    let mut checks = Table::new("What was looked at", &["what", "area", "status", "found", "version", "what to do"]);
    for check in root.at("checks").items().iter().take(MOST_ROWS + 1) {
        let tone = match check.at("status").text() {
            Some("ok") => Tone::Good,
            Some("failed") => Tone::Bad,
            Some("note") => Tone::Warning,
            _ => Tone::Faint,
        };
        let mut row: Vec<Cell> =
            ["name", "area", "status", "found", "version", "advice"].map(|key| check.at(key).cell()).into();
        if !row[2].is_absent() {
            row[2] = row[2].clone().tone(tone);
        }
        checks.row(row);
    }
    let mut sections = vec![Section::new("Can it?", [Block::Findings(findings)])];
    if !checks.rows.is_empty() {
        sections.push(Section::new("Checks", [Block::Table(checks.without_empty_columns().at_most(MOST_ROWS))]));
    }
    let by = root.at("generator").text().map_or_else(String::new, |by| format!("Looked at by {by}."));
    Page { title: "What is there for profiling".to_owned(), about: by, sections }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::law;

    #[test]
    fn every_figure_stands_in_the_document_whatever_is_damaged_or_missing() {
        // The figures of this document are words alone.
        let value = json!({"vramscope_doctor": 1, "generator": "v", "can_profile": false, "missing": ["a driver"], "checks": [
            {"area": "gpu", "name": "n", "status": "failed", "serves": false, "found": "f", "advice": "a", "version": "1"}]});
        for value in law::damaged(&value).into_iter().chain([law::with_texts(&value, "<img src=x>")]) {
            if let Ok(document) = crate::document::Document::new("a", value) {
                law::holds(&[document]);
            }
        }
    }
}
