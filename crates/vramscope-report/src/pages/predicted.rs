//! What pages of predictions share: the verdict, figures with their intervals, and how each comes about.

use super::named;
use crate::cell::{Cell, Tone};
use crate::node::Node;
use crate::page::{Block, Finding, Table, Weight};
use crate::unit::Unit;

/// Whether it goes, and whether that holds over the whole interval.
pub(super) fn verdict(text: String, fits: bool, certain: bool, code: Option<&str>) -> Finding {
    let weight = match (fits, certain) {
        (true, true) => Weight::Good,
        (true, false) => Weight::Warning,
        (false, _) => Weight::Error,
    };
    let holds = if certain {
        "This holds over the whole interval of the prediction."
    } else {
        "This is close: within the interval of the prediction it may be otherwise."
    };
    Finding { weight, text: format!("{text} {holds}"), advice: None, code: code.map(str::to_owned) }
}

/// Yes or no, where the document says.
pub(super) fn yes(node: &Node<'_>) -> Cell {
    match (node.is_there(), node.is_true()) {
        (false, _) => Cell::absent(),
        (true, true) => Cell::text("yes").tone(Tone::Good),
        (true, false) => Cell::text("no").tone(Tone::Warning),
    }
}

/// Every note of a document, and every argument that was given and not heeded.
pub(super) fn notes(root: &Node<'_>) -> Vec<Block> {
    let note = |text: String| Finding { weight: Weight::Note, text, advice: None, code: None };
    let notes = [root.path("model/notes"), root.at("notes")];
    let mut findings: Vec<Finding> = notes
        .iter()
        .flat_map(|notes| notes.items().into_iter().take(50))
        .filter_map(|own| own.words())
        .map(note)
        .collect();
    let ignored = root.at("ignored").words();
    findings.extend(ignored.map(|words| note(format!("Not heeded, with or without an effect on memory: {words}."))));
    if findings.is_empty() { Vec::new() } else { vec![Block::Findings(findings)] }
}

/// The headline of those figures that are there.
pub(super) fn headline<'n>(figures: impl IntoIterator<Item = (&'n str, Cell)>) -> Option<Block> {
    let there = figures.into_iter().filter(|(_, cell)| !cell.is_absent());
    let there: Vec<(String, Cell)> = there.map(|(name, cell)| (name.to_owned(), cell)).collect();
    (!there.is_empty()).then_some(Block::Headline(there))
}

/// Of several answers the first that goes, with its command line. `said` names it and what it does (`fits`), `number` is what
/// was asked for.
pub(super) fn first_answer<'d>(
    answers: &[Node<'d>],
    said: impl Fn(&Node<'d>) -> String,
    does: &str,
    number: impl Fn(&Node<'d>) -> Cell,
) -> Vec<Block> {
    let first = answers.iter().find(|answer| answer.at("placed").is_there());
    let Some((first, command)) = first.and_then(|first| Some((first, first.path("placed/command").text()?))) else {
        return Vec::new();
    };
    let mut text: Vec<Cell> = vec![format!("The first that {does}: {}.", said(first)).into()];
    if first.at("certain").is_there() && !first.at("certain").is_true() {
        text.push(" It is close: within the interval of the prediction it may not".into());
        let sure = first.at("for_certain");
        if sure.is_there() {
            text.extend(["; ".into(), sure.figure(Unit::Count), " in place of its ".into()]);
            text.extend([number(first), " does over the whole interval".into()]);
        }
        text.push(".".into());
    }
    vec![Block::Sentence(text), Block::Quote(command.to_owned())]
}

/// A figure's name, its likely size, the least and the most that it may be, and how well it is known.
pub(super) fn row(name: String, figure: &Node<'_>, unit: Unit) -> [Cell; 5] {
    let known = figure.at("confidence").cell();
    let known = if figure.at("confidence").text() == Some("assumed") { known.tone(Tone::Warning) } else { known };
    let of = |which: &str| figure.at(which).figure(unit);
    [Cell::text(name), of("value"), of("low"), of("high"), known]
}

/// Each figure's formula with what went into it.
pub(super) fn formulas<'d>(figures: impl IntoIterator<Item = (String, Node<'d>)>) -> Option<Block> {
    let mut table = Table::new("How each figure comes about", &["figure", "formula", "input", "#value"]);
    for (name, figure) in figures {
        let inputs = figure.at("inputs").members();
        let formula = figure.at("formula").cell();
        if inputs.is_empty() && !formula.is_absent() {
            table.row([Cell::text(name.clone()), formula.clone()]);
        }
        for (place, (input, value)) in inputs.into_iter().enumerate() {
            // Of several inputs the first one has the formula beside it. Inputs are bytes and counts, and their names do
            // not tell which.
            let (of, formula) =
                if place == 0 { (name.clone(), formula.clone()) } else { (String::new(), Cell::text("")) };
            table.row([Cell::text(of), formula, Cell::text(named::words(input)), value.figure(Unit::Count)]);
        }
    }
    if table.rows.is_empty() {
        return None;
    }
    let blocks = vec![Block::Table(table.at_most(named::MOST_ROWS))];
    Some(Block::Folded { title: "Formulas and what went into them".to_owned(), blocks })
}
