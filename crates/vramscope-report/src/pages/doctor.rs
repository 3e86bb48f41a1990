//! What is there for profiling.

use crate::document::Document;
use crate::page::{Block, Page, Section, Table};

pub(crate) fn page(document: &Document) -> Page {
    let root = document.root(0);
    let can = if root.at("can_profile").is_true() { "can" } else { "can not" };
    let mut checks = Table::new("What was looked at", &["check", "status", "found", "what to do"]);
    for check in root.at("checks").items() {
        checks.row(["name", "status", "found", "advice"].map(|key| check.at(key).cell()));
    }
    Page {
        title: "What is there for profiling".to_owned(),
        about: format!("This machine {can} profile an engine."),
        sections: vec![Section::new("Checks", [Block::Table(checks.without_empty_columns())])],
    }
}
