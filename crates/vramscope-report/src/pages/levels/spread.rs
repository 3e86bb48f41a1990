//! How the times of each level are spread: empirical distribution functions.

use super::tables::LATENCIES;
use super::{Group, Levels};
use crate::cell::Cell;
use crate::node::Node;
use crate::page::{Block, Picture, Table};
use crate::svg::{Plot, Series, Shape};
use crate::unit::Unit;

/// More lines are not told apart.
const MOST: usize = 8;
/// A level has no more quantiles than this: `load` writes 24.
const MOST_QUANTILES: usize = 256;

/// What older documents have in place of a table of quantiles.
const FOUR: [(&str, f64); 4] = [("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99), ("max_ms", 1.0)];

/// The distributions of the times that people ask for, folded away.
pub(in crate::pages) fn distributions(levels: &Levels<'_>) -> Option<Block> {
    let all = [("ttft", "ttft_ms"), ("tpot", "tpot_ms"), ("itl", "itl_ms"), ("e2e", "e2e_ms")];
    let blocks: Vec<Block> = all.iter().filter_map(|(key, column)| distribution(levels, key, column)).collect();
    (!blocks.is_empty()).then(|| Block::Folded { title: "Distributions of latencies".to_owned(), blocks })
}

/// A level's quantiles of a time: each with the figures of its repeats.
struct Known<'d> {
    at: f64,
    quantiles: Vec<(f64, Vec<Node<'d>>)>,
    /// Whether these are of the document's table, and not four of its other figures.
    whole: bool,
}

impl<'d> Known<'d> {
    fn of(group: &Group<'d>, key: &str, column: &str) -> Option<Self> {
        let mut quantiles: Vec<(f64, Vec<Node<'d>>)> = Vec::new();
        let mut add = |quantile: f64, figure: Node<'d>| {
            if figure.number().is_none_or(|value| !value.is_finite()) || !(0.0..=1.0).contains(&quantile) {
                return;
            }
            let room = quantiles.len() < MOST_QUANTILES;
            match quantiles.iter_mut().find(|(known, _)| known.total_cmp(&quantile).is_eq()) {
                Some((_, figures)) => figures.push(figure),
                None if room => quantiles.push((quantile, vec![figure])),
                None => {}
            }
        };
        let of_level = |level: &Node<'d>| level.at("quantiles").items().into_iter().take(MOST_QUANTILES);
        let rows: Vec<Node<'d>> = group.levels.iter().flat_map(of_level).collect();
        for row in &rows {
            if let Some(quantile) = row.at("quantile").number() {
                add(quantile, row.at(column));
            }
        }
        if rows.is_empty() {
            for (level, (name, quantile)) in group.levels.iter().flat_map(|level| FOUR.map(|four| (level, four))) {
                add(quantile, level.at(key).at(name));
            }
        }
        quantiles.sort_by(|one, two| one.0.total_cmp(&two.0));
        (quantiles.len() > 1).then_some(Self { at: group.at, quantiles, whole: !rows.is_empty() })
    }

    /// A quantile as the mean over the repeats.
    fn mean(figures: &[Node<'_>]) -> f64 {
        let n = crate::pages::figure::float(figures.len());
        figures.iter().filter_map(Node::number).map(|value| value / n).sum()
    }

    fn points(&self) -> Vec<(f64, f64)> {
        self.quantiles.iter().map(|(quantile, figures)| (Self::mean(figures), quantile * 100.0)).collect()
    }

    /// What nearly all requests stay under: the 0.99 quantile.
    fn p99(&self) -> Option<f64> {
        self.quantiles.iter().find(|(quantile, _)| (quantile - 0.99).abs() < 1e-9).map(|(_, all)| Self::mean(all))
    }
}

/// The distribution of a time, a line for each level.
fn distribution(levels: &Levels<'_>, key: &str, column: &str) -> Option<Block> {
    let (_, name, meaning) = LATENCIES.iter().find(|(its, ..)| *its == key)?;
    let known: Vec<Known<'_>> = levels.groups.iter().filter_map(|group| Known::of(group, key, column)).collect();
    let whole = known.iter().any(|one| one.whole);
    if known.len() < if whole { 1 } else { 2 } {
        return None;
    }
    // The lowest and the highest are always among those that are drawn.
    let drawn: Vec<&Known<'_>> = if known.len() <= MOST {
        known.iter().collect()
    } else {
        (0..MOST).map(|place| &known[place * (known.len() - 1) / (MOST - 1)]).collect()
    };
    let line = |(place, one): (usize, &&Known<'_>)| Series {
        name: levels.by.name(one.at),
        points: one.points(),
        spread: Vec::new(),
        shape: Shape::Curve,
        colour: (place + 1) % 9,
    };
    let series: Vec<Series> = drawn.iter().enumerate().map(line).collect();
    let mut words = format!("Which share of the figures of {name} ({meaning}) is no larger than a time.");
    let said = |one: &Known<'_>| Some(format!("{} at {}", Unit::Milliseconds.show(one.p99()?), levels.by.name(one.at)));
    let (first, last) = (known.first()?, known.last()?);
    let ends: Vec<String> =
        if known.len() == 1 { vec![first] } else { vec![first, last] }.into_iter().filter_map(said).collect();
    if !ends.is_empty() {
        words += &format!(" 99 of 100 are no larger than {}.", ends.join(" and "));
    }
    words += if whole {
        " The document has the quantiles in the table below; between them lines are straight."
    } else {
        " The document has these four points of each and no more; between them lines are straight, not measured."
    };
    if levels.has_repeats() {
        words += " Each quantile is the mean over the repeats of its level.";
    }
    if known.len() > drawn.len() {
        words += &format!(" {} levels between are left out.", known.len() - drawn.len());
    }
    let x = format!("{name}, ms");
    let plot = Plot { x, y: "% of the figures".to_owned(), log_x: true, series, ..Plot::default() };
    let title =
        if whole { format!("{name}, its distribution") } else { format!("{name}, four points of its distribution") };
    let table = Some(table(levels, name, &drawn));
    Some(Block::Picture(Picture { title, words, svg: plot.draw(), table, sparks: Vec::new() }))
}

/// The quantiles of the levels that are drawn, a row each.
fn table(levels: &Levels<'_>, name: &str, drawn: &[&Known<'_>]) -> Table {
    let heads: Vec<String> = drawn.iter().map(|one| format!("#{}", levels.by.name(one.at))).collect();
    let heads: Vec<&str> = ["#share of figures"].into_iter().chain(heads.iter().map(String::as_str)).collect();
    let mut table = Table::new(format!("Quantiles of {name}"), &heads);
    let mut shares: Vec<f64> = drawn.iter().flat_map(|one| one.quantiles.iter().map(|(share, _)| *share)).collect();
    shares.sort_by(f64::total_cmp);
    shares.dedup();
    for share in shares {
        let of = |one: &&Known<'_>| {
            let found = one.quantiles.iter().find(|(quantile, _)| quantile.total_cmp(&share).is_eq());
            match found.map(|(_, figures)| &figures[..]) {
                Some([one]) => one.figure(Unit::Milliseconds),
                Some(figures) => Cell::text(Unit::Milliseconds.show(Known::mean(figures))),
                None => Cell::absent(),
            }
        };
        table.row([Cell::text(Unit::Share.show(share))].into_iter().chain(drawn.iter().map(of)));
    }
    table.at_most(crate::pages::named::MOST_ROWS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::document::Document;

    fn level(at: u32, quantiles: bool) -> serde_json::Value {
        let rows: Vec<serde_json::Value> = [0.0, 0.5, 0.99, 1.0]
            .iter()
            .map(|q| json!({"quantile": q, "ttft_ms": 100.0 * q * f64::from(at) + 1.0}))
            .collect();
        let four = json!({"p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 3.0, "max_ms": 4.0});
        match quantiles {
            true => json!({"asked": {"concurrency": at}, "ttft": four, "quantiles": rows}),
            false => json!({"asked": {"concurrency": at}, "ttft": four}),
        }
    }

    fn shown(levels: Vec<serde_json::Value>) -> Option<(String, Vec<Vec<String>>)> {
        let document = Document::new("load", json!({"vramscope_load": 1, "levels": levels})).unwrap();
        let levels = Levels::new(document.root(0).at("levels").items());
        let Block::Picture(picture) = distribution(&levels, "ttft", "ttft_ms")? else { panic!("a picture") };
        let rows = picture.table.unwrap().rows;
        let rows = rows.iter().map(|row| row.iter().map(|cell| cell.text.clone()).collect()).collect();
        Some((picture.words, rows))
    }

    #[test]
    fn a_level_alone_has_a_distribution_where_the_document_has_its_quantiles() {
        let (words, rows) = shown(vec![level(1, true)]).unwrap();
        assert!(words.contains("99 of 100 are no larger than 100 ms at 1 in flight."), "{words}");
        assert_eq!(rows.len(), 4);
        assert!(shown(vec![level(1, false)]).is_none());
    }

    #[test]
    fn repeats_are_averaged_and_older_documents_have_four_points() {
        let (words, rows) = shown(vec![level(1, true), level(1, true), level(4, true)]).unwrap();
        assert!(words.contains("mean over the repeats") && words.contains("397 ms at 4 in flight"), "{words}");
        assert_eq!(rows[1], ["50 %", "51 ms", "201 ms"]);
        let (words, rows) = shown(vec![level(1, false), level(4, false)]).unwrap();
        assert!(words.contains("these four points") && rows.len() == 4, "{words}");
    }
}
