//! What an operator should know, worst first.

mod retold;

use crate::cell::Cell;
use crate::node::Node;
use crate::page::{Block, Finding, Section, Table, Weight};
use crate::pages::named::{self, MOST_ROWS};

/// More findings than this nobody reads.
const MOST: usize = 60;

/// The weight of a diagnostic's severity.
fn weight(diagnostic: &Node<'_>) -> Weight {
    match diagnostic.at("severity").text() {
        Some("error") => Weight::Error,
        Some("warning") => Weight::Warning,
        _ => Weight::Note,
    }
}

const fn rank(weight: Weight) -> u8 {
    match weight {
        Weight::Error => 0,
        Weight::Warning => 1,
        Weight::Note => 2,
        Weight::Good => 3,
    }
}

/// The diagnostics of a profile as findings, worst first, without those of this code.
pub(crate) fn of(profile: &Node<'_>, without: Option<&str>) -> Vec<Finding> {
    let mut all: Vec<Finding> = profile
        .at("diagnostics")
        .items()
        .iter()
        .filter(|one| without.is_none() || one.at("code").text() != without)
        .map(|one| Finding {
            weight: weight(one),
            text: retold::message(one, profile).unwrap_or_else(|| "without a message".to_owned()),
            advice: one.at("advice").text().filter(|text| !text.is_empty()).map(str::to_owned),
            code: one.at("code").text().map(str::to_owned),
        })
        .collect();
    all.sort_by_key(|finding| rank(finding.weight));
    all
}

/// The same as blocks, with the figures behind them.
pub(crate) fn blocks(profile: &Node<'_>, without: Option<&str>) -> Vec<Block> {
    let mut findings = of(profile, without);
    let mut blocks = Vec::new();
    let all = findings.len();
    findings.truncate(MOST);
    if !findings.is_empty() {
        blocks.push(Block::Findings(findings));
    }
    if all > MOST {
        blocks.push(Block::Text(format!("The {MOST} worst of {all} findings; all are in the document.")));
    }
    blocks.extend(
        evidence(&profile.at("diagnostics")).map(|table| Block::Folded {
            title: "The figures behind them".to_owned(),
            blocks: vec![Block::Table(table)],
        }),
    );
    blocks
}

pub(crate) fn section(profile: &Node<'_>, without: Option<&str>) -> Option<Section> {
    if !profile.at("diagnostics").is_there() {
        return None;
    }
    let mut blocks = blocks(profile, without);
    if blocks.is_empty() {
        blocks.push(Block::Text("Every check was silent.".to_owned()));
    }
    Some(Section::new("What to know", blocks))
}

fn evidence(list: &Node<'_>) -> Option<Table> {
    let mut table = Table::new("What the findings rest on", &["finding", "figure", "#value", "log lines"]);
    for one in list.items() {
        let evidence = one.at("evidence");
        let lines = named::lines(&one.at("log_lines"));
        for (name, value) in evidence.members() {
            let twin = name.strip_suffix("_gb").is_some_and(|stem| evidence.at(&format!("{stem}_bytes")).is_there());
            if !twin {
                let words = Cell::text(named::words(name));
                table.row([one.at("code").cell(), words, named::cell(name, &value), lines.clone()]);
            }
        }
    }
    (!table.rows.is_empty()).then(|| table.without_empty_columns().at_most(MOST_ROWS))
}
