//! Experiments as Markdown.

use std::fmt::Write as _;

use vramscope_core::{on_one_line, without_controls};
use vramscope_load::document::ExperimentDocument;

use super::{render, sections};

/// The whole result.
pub(super) fn markdown(document: &ExperimentDocument) -> String {
    let mut text = String::from("# Baseline\n\n");
    let _ = writeln!(text, "{}", escaped(&render::head(document)));
    if let Some(engine) = &document.engine {
        let _ = writeln!(text, "\nStarted as `{}`.", on_one_line(&engine.command.join(" ")).replace('`', "'"));
    }
    for section in sections::of(document) {
        let _ = writeln!(text, "\n## {}\n", escaped(&section.title));
        let cells = |cells: &[String]| cells.iter().map(|cell| escaped(cell)).collect::<Vec<_>>().join(" | ");
        let _ = writeln!(text, "| {} |", cells(&section.heads));
        let _ = writeln!(text, "| --- |{}", " ---: |".repeat(section.heads.len().saturating_sub(1)));
        for row in &section.rows {
            let _ = writeln!(text, "| {} |", cells(row));
        }
        if !section.said.is_empty() {
            text.push('\n');
        }
        for said in &section.said {
            let _ = writeln!(text, "- {}", escaped(said));
        }
        if !section.verdicts.is_empty() {
            text.push_str("\n### Verdict\n\n");
        }
        for verdict in &section.verdicts {
            let _ = writeln!(text, "- `{}`: {}", verdict.code, escaped(&verdict.message));
            let _ = writeln!(text, "  - by: {}", escaped(&verdict.evidence));
            if let Some(advice) = &verdict.advice {
                let _ = writeln!(text, "  - try: {}", escaped(advice));
            }
        }
    }
    let remarks = render::remarks(document);
    if !remarks.is_empty() {
        text.push_str("\n## Notes\n\n");
    }
    for remark in remarks {
        let _ = writeln!(text, "- {}", escaped(&remark));
    }
    let _ = writeln!(text, "\nWritten by {}.", escaped(&document.generator));
    text
}

/// Text in which Markdown sees no markup of its own: names of models and words of servers are others'.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in on_one_line(&without_controls(text)).chars() {
        if matches!(c, '|' | '*' | '_' | '`' | '<' | '[' | ']' | '\\' | '#') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
