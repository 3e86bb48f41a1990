//! What a campaign is going to do.

use super::named::MOST_ROWS;
use crate::cell::{Cell, Tone};
use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Finding, Page, Section, Table, Weight};
use crate::unit::Unit;

pub(crate) fn page(document: &Document) -> Page {
    let root = document.root(0);
    let runs = root.at("runs").items();
    let mut sections = vec![Section::new("What will run?", answer(&root, &runs))];
    let checks = checks(&runs);
    if !checks.is_empty() {
        sections.push(Section::new("What the checks found", [Block::Findings(checks)]));
    }
    let mut table = Table::new("The runs in their order", &["run", "state", "key", "profile", "arguments", "notes"]);
    for run in runs.iter().take(MOST_ROWS + 1) {
        let arguments: Vec<&str> = run.at("arguments").items().iter().filter_map(Node::text).take(200).collect();
        table.row([
            run.at("name").cell(),
            run.at("state").cell(),
            run.at("key").cell(),
            run.at("profile").cell(),
            if arguments.is_empty() { Cell::absent() } else { Cell::text(arguments.join(" ")) },
            run.at("notes").cell(),
        ]);
    }
    if !table.rows.is_empty() {
        let table = table.without_empty_columns();
        let cut = if runs.len() > MOST_ROWS { table.at_most(MOST_ROWS) } else { table };
        sections.push(Section::new("The runs", [Block::Table(cut)]));
    }
    Page {
        title: "A campaign's plan".to_owned(),
        about: format!("{} of {}.", super::figure::many(runs.len(), "run"), super::name_of(document.name())),
        sections,
    }
}

fn answer(root: &Node<'_>, runs: &[Node<'_>]) -> Vec<Block> {
    let mut states: Vec<(&str, usize)> = Vec::new();
    for run in runs {
        let state = run.at("state").text().unwrap_or("not looked at");
        if let Some((_, count)) = states.iter_mut().find(|(name, _)| *name == state) {
            *count += 1;
        } else if states.len() < 20 {
            states.push((state, 1));
        }
    }
    let count = |count: usize| Cell::text(count.to_string());
    let mut figures = vec![("Runs".to_owned(), count(runs.len()))];
    figures.extend(states.iter().map(|(state, runs)| ((*state).to_owned(), count(*runs))));
    let room = root.at("room");
    if room.is_there() {
        let tone = if room.at("suffices").is_true() { Tone::Plain } else { Tone::Bad };
        figures.push(("Room they may need".to_owned(), room.at("needed_bytes").figure(Unit::Memory)));
        figures.push(("Room on the disk".to_owned(), room.at("free_bytes").figure(Unit::Memory).tone(tone)));
    }
    let mut blocks = vec![Block::Headline(figures)];
    if room.at("suffices").is_there() && !room.at("suffices").is_true() {
        let text = "The disk may not have room for all of them.".to_owned();
        blocks.push(Block::Findings(vec![Finding { weight: Weight::Error, text, advice: None, code: None }]));
    }
    blocks
}

fn checks(runs: &[Node<'_>]) -> Vec<Finding> {
    let mut all = Vec::new();
    for run in runs {
        for check in run.at("checks").items() {
            all.push(Finding {
                weight: if check.at("refuses").is_true() { Weight::Error } else { Weight::Warning },
                text: format!(
                    "{}: {}",
                    run.at("name").text().unwrap_or("a run"),
                    check.at("message").text().unwrap_or("without a message")
                ),
                advice: check.at("advice").text().map(str::to_owned),
                code: check.at("code").text().map(str::to_owned),
            });
        }
    }
    all.sort_by_key(|finding| finding.weight != Weight::Error);
    all.truncate(MOST_ROWS);
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::law;

    #[test]
    fn every_figure_stands_in_the_document_whatever_is_damaged_or_missing() {
        law::of_kind(
            &json!({"vramscope_campaign_plan": 2, "room": {"needed_bytes": 5, "free_bytes": 4, "suffices": false},
            "runs": [{"name": "r", "key": "k", "profile": "p", "arguments": ["--a", "b"], "notes": ["n"], "state": "pending",
                "checks": [{"code": "c", "refuses": true, "message": "m", "advice": "a"}]}]}),
        );
        let many: Vec<_> = (0..5000).map(|place| json!({"name": format!("run {place}"), "state": "pending"})).collect();
        let many = json!({"vramscope_campaign_plan": 2, "runs": many});
        law::holds(&[crate::document::Document::new("a", many).unwrap()]);
    }
}
