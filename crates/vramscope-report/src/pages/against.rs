//! Repeats of one run judged against repeats of another.

use super::comparison::{first, settings};
use super::figure::{brief, listed, many};
use super::named::{MOST_ROWS, unit, words as title};
use crate::cell::{Cell, Tone};
use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Finding, Page, Picture, Section, Table, Weight};
use crate::svg::{Bar, bars};
use crate::unit::Unit;

/// Bars and their intervals end here.
const LONGEST_BAR: f64 = 2.0;

fn tone(outcome: &str) -> Tone {
    match outcome {
        "better" => Tone::Good,
        "worse" => Tone::Bad,
        "inconclusive" => Tone::Warning,
        _ => Tone::Faint,
    }
}

pub(crate) fn page(document: &Document) -> Page {
    let root = document.root(0);
    let figures = root.at("figures").items();
    let outcome = |figure: &Node<'_>| figure.at("outcome").text().unwrap_or("inconclusive").to_owned();
    let of = |wanted: &str| -> Vec<String> {
        let words = |figure: &Node<'_>| {
            let change = figure
                .path("change/mean")
                .number()
                .map_or(String::new(), |mean| format!(" ({})", Unit::Share.signed(mean)));
            format!("{}{change}", title(figure.at("name").text().unwrap_or("a figure")))
        };
        figures.iter().filter(|figure| outcome(figure) == wanted).map(words).collect()
    };
    let mut answer = first(&root);
    let mut findings = unanswered(&root);
    for (wanted, weight, words) in
        [("worse", Weight::Error, "Shown to be worse"), ("better", Weight::Good, "Shown to be better")]
    {
        let names = of(wanted);
        if !names.is_empty() {
            findings.push(Finding { weight, text: format!("{words}: {}.", listed(&names)), advice: None, code: None });
        }
    }
    let open = of("inconclusive");
    if !open.is_empty() {
        let needed = figures.iter().filter_map(|figure| figure.at("repeats_needed").count()).max();
        let advice =
            needed.map(|n| format!("With {n} repeats of each side a change as large as the margin might be told."));
        let text = format!("Inconclusive, the repeats scatter too much or are too few: {}.", listed(&open));
        findings.push(Finding { weight: Weight::Warning, text, advice, code: None });
    }
    if !findings.is_empty() {
        answer.push(Block::Findings(findings));
    }
    let none = of("no difference shown");
    if !none.is_empty() {
        answer.push(Block::Text(format!("No difference shown: {}.", listed(&none))));
    }
    if figures.is_empty() {
        answer.push(Block::Text("No figure was judged.".to_owned()));
    }
    let unjudged = root.at("unjudged").words();
    answer.extend(unjudged.map(|names| Block::Text(format!("Asked for, and cannot be judged: {names}."))));
    answer.push(Block::Text(rule(&root)));
    let mut blocks: Vec<Block> = picture(&figures).into_iter().collect();
    blocks.push(Block::Table(table(&figures).at_most(MOST_ROWS)));
    let sections = vec![
        Section::new("Verdicts", answer),
        Section::new("Every figure that was judged", blocks),
        Section::new("Settings that differ", settings(&root)),
        Section::new("Runs and requests", runs(&root)),
    ];
    let count = |key: &str| many(root.at(key).items().len(), "run");
    let about = format!("{} before, {} after.", count("before"), count("after"));
    Page { title: "Repeats against repeats".to_owned(), about, sections }
}

fn rule(root: &Node<'_>) -> String {
    let share = |key: &str| root.at(key).number().map_or_else(|| "–".to_owned(), |share| Unit::Share.show(share));
    format!(
        "Equal runs have any figure called better or worse at most in {} of such comparisons; a change within {} is too small to \
         matter.",
        share("false_alarms"),
        share("margin")
    )
}

fn unanswered(root: &Node<'_>) -> Vec<Finding> {
    if !root.at("answers_fewer").is_true() {
        return Vec::new();
    }
    let text =
        "A larger share of requests went unanswered on the second side: latencies are of those that were answered.";
    vec![Finding { weight: Weight::Error, text: text.to_owned(), advice: None, code: None }]
}

fn table(figures: &[Node<'_>]) -> Table {
    let caption = "Means over repeats with their intervals of 95 %; the change has the interval by which it is judged";
    let heads = [
        "figure",
        "verdict",
        "#before",
        "#before, from",
        "#to",
        "#after",
        "#after, from",
        "#to",
        "#change",
        "#change, from",
        "#to",
        "why",
        "#repeats needed",
        "better is",
    ];
    let mut table = Table::new(caption, &heads);
    for figure in figures {
        let name = figure.at("name").text().unwrap_or("");
        let its = unit(name).unwrap_or(Unit::Plain);
        let outcome = figure.at("outcome").text().unwrap_or("–");
        let mut row = vec![Cell::text(title(name)), Cell::text(outcome).tone(tone(outcome))];
        for key in ["before", "after"] {
            row.extend(["mean", "low", "high"].map(|end| figure.at(key).at(end).figure(its)));
        }
        row.extend(["mean", "low", "high"].map(|end| figure.at("change").at(end).change(Unit::Share)));
        row.push(figure.at("why").cell());
        row.push(figure.at("repeats_needed").figure(Unit::Count));
        row.push(figure.at("better").cell());
        table.row(row);
    }
    table.without_empty_columns()
}

fn picture(figures: &[Node<'_>]) -> Option<Block> {
    let bar = |figure: &Node<'_>| {
        let change = figure.at("change");
        let mean = change.at("mean").number()?;
        let outcome = figure.at("outcome").text().unwrap_or("–");
        let colour = match outcome {
            "better" => 3,
            "worse" => 5,
            "inconclusive" => 2,
            _ => 0,
        };
        let cut = |value: f64| value.clamp(-LONGEST_BAR, LONGEST_BAR);
        let name = title(figure.at("name").text().unwrap_or(""));
        let mut bar = Bar::new(name, 0.0, cut(mean), colour, format!("{} {outcome}", Unit::Share.signed(mean)));
        bar.interval =
            change.at("low").number().zip(change.at("high").number()).map(|(low, high)| (cut(low), cut(high)));
        Some(bar)
    };
    let all: Vec<Bar> = figures.iter().take(MOST_ROWS).filter_map(bar).collect();
    if all.is_empty() {
        return None;
    }
    let told = |word: &str| figures.iter().filter(|figure| figure.at("outcome").text() == Some(word)).count();
    let cut =
        figures.iter().any(|figure| figure.path("change/mean").number().is_some_and(|mean| mean.abs() > LONGEST_BAR));
    let words = format!(
        "The change of each figure as a share of the first side, with the interval by which it is judged: {} better, {} worse, {} \
         with no difference shown, {} inconclusive.{}",
        told("better"),
        told("worse"),
        told("no difference shown"),
        told("inconclusive"),
        if cut { " Bars end at 200 %." } else { "" }
    );
    let svg = bars(&all, Unit::Share);
    Some(Block::Picture(Picture { title: "Changes".to_owned(), words, svg, table: None, sparks: Vec::new() }))
}

fn runs(root: &Node<'_>) -> Vec<Block> {
    let mut table = Table::new("Requests of all repeats", &["side", "#requests", "#unanswered"]);
    for (key, name) in [("before_unanswered", "before"), ("after_unanswered", "after")] {
        let count = |what: &str| root.at(key).at(what).figure(Unit::Count);
        table.row([Cell::text(name), count("requests"), count("unanswered")]);
    }
    let mut names = Table::new("The runs of each side", &["side", "run"]);
    for side in ["before", "after"] {
        for run in root.at(side).items() {
            names.row([Cell::text(side), Cell::text(brief(run.text().unwrap_or("a run")))]);
        }
    }
    let mut blocks = Vec::new();
    let table = table.without_empty_columns();
    if table.heads.len() > 1 {
        blocks.push(Block::Table(table));
    }
    if !names.rows.is_empty() {
        let within = vec![Block::Table(names.at_most(MOST_ROWS))];
        blocks.push(Block::Folded { title: "The runs".to_owned(), blocks: within });
    }
    blocks
}
