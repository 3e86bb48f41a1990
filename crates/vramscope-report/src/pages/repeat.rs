//! How far several runs of one kind agree.

use super::figure::many;
use super::named::{MOST_ROWS, unit, words as title};
use crate::cell::{Cell, Tone};
use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Finding, Page, Picture, Section, Table, Weight};
use crate::svg::{Bar, bars};
use crate::unit::Unit;

/// From so many runs on an outlier can be told.
const TELLS_OUTLIERS: u64 = 5;

pub(crate) fn page(document: &Document) -> Page {
    let root = document.root(0);
    let figures = root.at("figures").items();
    let mut answer: Vec<Block> = Vec::new();
    let outliers: Vec<Finding> = figures.iter().filter_map(outlier).take(MOST_ROWS).collect();
    if !outliers.is_empty() {
        answer.push(Block::Findings(outliers));
    }
    let mut headline = vec![("runs".to_owned(), root.at("runs").figure(Unit::Count))];
    for wanted in ["tokens_per_second", "mean_latency_ms", "peak_bytes"] {
        if let Some(figure) = figures.iter().find(|figure| figure.at("name").text() == Some(wanted)) {
            headline.push((
                format!("{}, mean", title(wanted)),
                figure.at("mean").figure(unit(wanted).unwrap_or(Unit::Plain)),
            ));
            headline.push((format!("{}, spread", title(wanted)), figure.at("spread_pct").figure(Unit::Percent)));
        }
    }
    answer.push(Block::Headline(headline));
    answer.push(Block::Text(sentence(&root, &figures)));
    let mut blocks: Vec<Block> = picture(&figures).into_iter().collect();
    blocks.push(Block::Table(table(&figures).at_most(MOST_ROWS)));
    let sections = vec![Section::new("How far they agree", answer), Section::new("Every figure", blocks)];
    let about = root.at("runs").count().and_then(|runs| usize::try_from(runs).ok());
    let about =
        about.map_or_else(|| "Runs of one kind.".to_owned(), |runs| format!("{} of one kind.", many(runs, "run")));
    Page { title: "Runs of one kind".to_owned(), about, sections }
}

fn outlier(figure: &Node<'_>) -> Option<Finding> {
    let runs: Vec<String> = figure.at("outliers").items().iter().filter_map(Node::words).collect();
    let name = title(figure.at("name").text().unwrap_or("a figure"));
    let which = if runs.len() == 1 { "Run" } else { "Runs" };
    let text = format!("{which} {} (counted from 1) lies far from the others in {name}.", runs.join(", "));
    let advice =
        Some("Look at that run before its figures are used: something else may have run beside it.".to_owned());
    (!runs.is_empty()).then_some(Finding { weight: Weight::Warning, text, advice, code: None })
}

fn sentence(root: &Node<'_>, figures: &[Node<'_>]) -> String {
    let spread = |figure: &Node<'_>| figure.at("spread_pct").number().zip(figure.at("name").text().map(title));
    let widest = figures.iter().filter_map(spread).max_by(|a, b| a.0.total_cmp(&b.0));
    let told = if root.at("runs").count() >= Some(TELLS_OUTLIERS) {
        "Runs that lie far from the others are told from the median by 3.5 robust deviations."
    } else {
        "Of fewer than five runs no outlier can be told."
    };
    match widest {
        Some((share, name)) => format!(
            "The figure that differs most is {}: from the least to the most of the runs it is {} of the mean. {told}",
            name,
            Unit::Percent.show(share)
        ),
        None => format!("The document does not say how far the runs differ. {told}"),
    }
}

fn table(figures: &[Node<'_>]) -> Table {
    let caption =
        "Each figure over the runs that have it; the spread is from the least to the most, as a part of the mean";
    let heads = ["figure", "#mean", "#deviation", "#least", "#most", "#spread", "#runs", "outliers"];
    let mut table = Table::new(caption, &heads);
    for figure in figures {
        let name = figure.at("name").text().unwrap_or("");
        let its = unit(name).unwrap_or(Unit::Plain);
        let outliers: Vec<String> = figure.at("outliers").items().iter().filter_map(Node::words).collect();
        let outliers = if outliers.is_empty() {
            Cell::text("none").tone(Tone::Faint)
        } else {
            Cell::text(outliers.join(", ")).tone(Tone::Warning)
        };
        table.row([
            Cell::text(title(name)),
            figure.at("mean").figure(its),
            figure.at("stddev").figure(its),
            figure.at("min").figure(its),
            figure.at("max").figure(its),
            figure.at("spread_pct").figure(Unit::Percent),
            figure.at("n").figure(Unit::Count),
            outliers,
        ]);
    }
    table.without_empty_columns()
}

/// From the least to the most of each figure, as shares of its mean.
fn picture(figures: &[Node<'_>]) -> Option<Block> {
    let bar = |figure: &Node<'_>| {
        let mean = figure.at("mean").number().filter(|mean| *mean != 0.0)?;
        let share = |key: &str| Some((figure.at(key).number()? - mean) / mean.abs());
        let spread = figure.at("spread_pct").number()?;
        let colour = if figure.at("outliers").items().is_empty() { 1 } else { 2 };
        let name = title(figure.at("name").text()?);
        Some(Bar::new(name, share("min")?, share("max")?, colour, Unit::Percent.show(spread)))
    };
    let all: Vec<Bar> = figures.iter().take(MOST_ROWS).filter_map(bar).collect();
    let words = "Each bar goes from the run with the least to the run with the most of a figure, measured from the mean of all \
                 runs; beside it stands how far apart these two are."
        .to_owned();
    let svg = bars(&all, Unit::Share);
    let picture = Picture { title: "Spread".to_owned(), words, svg, table: None, sparks: Vec::new() };
    (!all.is_empty()).then_some(Block::Picture(picture))
}
