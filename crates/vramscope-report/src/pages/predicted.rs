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
