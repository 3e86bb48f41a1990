//! Experiments for people at a terminal.

use std::fmt::Write as _;

use vramscope_load::document::{ExperimentDocument, Severity};

use super::sections;
use crate::cmd::load::render::expense;
use crate::table::{Align, Table};

/// The whole result.
pub(in crate::cmd::load) fn table(document: &ExperimentDocument, width: usize) -> String {
    let mut text = format!("{}\n", head(document));
    for section in sections::of(document) {
        let _ = writeln!(text, "\n{}", section.title);
        let heads: Vec<(&str, Align)> = section
            .heads
            .iter()
            .enumerate()
            .map(|(at, head)| (head.as_str(), if at == 0 { Align::Left } else { Align::Right }))
            .collect();
        let mut table = Table::new(&heads);
        section.rows.into_iter().for_each(|row| table.row(row));
        text.push_str(&table.render(width));
        section.said.iter().for_each(|said| wrapped(&mut text, "  ", "    ", said, width));
        for verdict in &section.verdicts {
            wrapped(&mut text, "  verdict ", "    ", &format!("{}: {}", verdict.code, verdict.message), width);
            wrapped(&mut text, "    by ", "       ", &verdict.evidence, width);
            if let Some(advice) = &verdict.advice {
                wrapped(&mut text, "    → ", "      ", advice, width);
            }
        }
    }
    text.push('\n');
    for line in remarks(document) {
        wrapped(&mut text, "  ", "    ", &line, width);
    }
    text
}

/// What was asked of whom, in a line.
pub(super) fn head(document: &ExperimentDocument) -> String {
    let version = document.server_version.as_ref().map(|version| format!(" ({version})")).unwrap_or_default();
    format!("{}{version}: {}, {}, seed {}", document.server, document.model, document.endpoint, document.seed)
}

/// What is to be known beside tables and verdicts.
pub(super) fn remarks(document: &ExperimentDocument) -> Vec<String> {
    let mut lines = expense(document.metered.as_ref(), document.price);
    let word = |severity| if severity == Severity::Warning { "warning" } else { "note" };
    lines.extend(document.findings.iter().map(|one| format!("{}: {}", word(one.severity), one.message)));
    let mut known = std::collections::BTreeSet::new();
    for finding in document.measurements().flat_map(|level| &level.findings) {
        // The same of many measurements is said once; each has it in the document.
        if known.insert(&finding.code) {
            lines.push(format!("{}: {}", word(finding.severity), finding.message));
        }
    }
    if document.stopped {
        lines.push("stopped before its end; what was measured until then is above".to_owned());
    }
    lines
}

/// A sentence within the width; what does not fit goes on below, indented.
fn wrapped(text: &mut String, lead: &str, below: &str, sentence: &str, width: usize) {
    let mut line = lead.to_owned();
    let mut is_first = true;
    for word in sentence.split_whitespace() {
        if !is_first && line.chars().count() + 1 + word.chars().count() > width {
            let _ = writeln!(text, "{line}");
            below.clone_into(&mut line);
            is_first = true;
        }
        if !is_first {
            line.push(' ');
        }
        line.push_str(word);
        is_first = false;
    }
    let _ = writeln!(text, "{line}");
}
