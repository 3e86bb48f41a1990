//! What an axis of a sweep does while everything else stays as it is, and the front of throughput and latency.

use std::collections::BTreeMap;

use super::Runs;
use crate::cell::Cell;
use crate::node::Node;
use crate::page::{Block, Picture, Table};
use crate::pages::levels::front_of;
use crate::pages::named::MOST_ROWS;
use crate::svg::{Mark, Plot, Series, Shape};
use crate::unit::{Unit, digits};

/// More than these have no colours that are told from each other: the others are drawn grey.
const MOST_COLOURED: usize = 6;
/// So many runs of the front are named in words, and beside their points.
const MOST_NAMED: usize = 12;
/// Figures that differ by more times are drawn in powers.
const FAR_APART: f64 = 30.0;
/// Figures that differ by less need no picture.
const SAME: f64 = 0.01;
/// A series slows where less than this part of the added load became throughput.
const HALF: f64 = 0.5;
/// What is drawn over an axis: its key, its words, its unit.
const FIGURES: [(&str, &str, Unit); 3] = [
    ("tokens_per_second", "tokens per second", Unit::PerSecond),
    ("mean_latency_ms", "mean latency", Unit::Milliseconds),
    ("peak_bytes", "memory at the peak", Unit::Memory),
];

/// A series with the points of which some run is done.
pub(super) struct Line<'d> {
    series: Node<'d>,
    pub(super) points: Vec<Node<'d>>,
    /// The values of points that are left out.
    left: Vec<f64>,
    /// Where runs failed and none came to its end, in order.
    pub(super) failed: Vec<f64>,
}

impl<'d> Line<'d> {
    /// The series of a document. A point none of whose runs is done says nothing: it is left out.
    pub(super) fn all(runs: &Runs<'d>, root: &Node<'d>) -> Vec<Self> {
        let known: Vec<(&Node<'d>, BTreeMap<&'d str, String>)> = (runs.all.iter())
            .map(|run| {
                let settings = run.at("settings").members();
                (run, settings.iter().filter_map(|(name, value)| Some((*name, value.words()?))).collect())
            })
            .collect();
        let open = known.iter().any(|(run, _)| !Runs::is_measured(run));
        let line = |series: Node<'d>| {
            let (axis, fixed) = (series.at("axis").text().unwrap_or(""), series.at("fixed").members());
            let fixed: Vec<(&str, String)> =
                fixed.iter().filter_map(|(name, value)| Some((*name, value.words()?))).collect();
            let has_fixed =
                |settings: &BTreeMap<&str, String>| fixed.iter().all(|(name, value)| settings.get(name) == Some(value));
            let its = || known.iter().filter(|_| open).filter(|(_, settings)| has_fixed(settings));
            let each = |holds: fn(&Node<'d>) -> bool| {
                let its = its().filter_map(|(run, settings)| Some((settings.get(axis)?.as_str(), holds(run))));
                its.fold(BTreeMap::<&str, bool>::new(), |mut values, (value, holds)| {
                    *values.entry(value).or_default() |= holds;
                    values
                })
            };
            let (values, failed) = (each(Runs::is_measured), each(Runs::has_failed));
            let mut failed: Vec<f64> = (failed.into_iter())
                .filter(|(value, failed)| *failed && values.get(value) != Some(&true))
                .filter_map(|(value, _)| value.parse().ok())
                .collect();
            failed.sort_by(f64::total_cmp);
            // Of a series none of whose runs is listed nothing can be told.
            let is_done = |point: &Node<'d>| {
                let value = point.at("value").words().unwrap_or_default();
                values.is_empty() || values.get(value.as_str()) == Some(&true)
            };
            let (points, left): (Vec<Node<'d>>, Vec<Node<'d>>) =
                series.at("points").items().into_iter().partition(is_done);
            let left = left.iter().filter_map(|point| point.at("value").number()).collect();
            Self { series, points, left, failed }
        };
        root.at("series").items().into_iter().map(line).collect()
    }

    pub(super) fn axis(&self) -> Option<&'d str> {
        self.series.at("axis").text()
    }

    /// Where it stops to keep up: as the document says, or where points are left out, by the same rule over the rest.
    pub(super) fn slows_at(&self) -> Option<f64> {
        let at = self.series.at("slows_at").number()?;
        if self.left.is_empty() {
            return Some(at);
        }
        let known: Vec<(f64, f64)> = (self.points.iter())
            .filter_map(|point| Some((point.at("value").number()?, point.at("tokens_per_second").number()?)))
            .collect();
        let slows = |pair: &&[(f64, f64)]| {
            let (gained, added) = (pair[1].1 / pair[0].1 - 1.0, pair[1].0 / pair[0].0 - 1.0);
            gained < HALF * added
        };
        known.windows(2).find(slows).map(|pair| pair[1].0)
    }
}

/// What of series is left out, in words.
pub(super) fn left_out(lines: &[&Line<'_>], words: &str) -> Option<String> {
    let mut values: Vec<f64> = lines.iter().flat_map(|line| line.left.iter().copied()).collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    let shown: Vec<String> = values.iter().take(MOST_NAMED).map(|value| digits(*value)).collect();
    (!shown.is_empty()).then(|| {
        format!("Points without a run that is done are left out: at {words} {}.", crate::pages::figure::listed(&shown))
    })
}

/// What tells each series from the others of its axis: the settings in which they differ.
pub(super) fn names(series: &[&Line<'_>]) -> Vec<String> {
    let of = |one: &Node<'_>| -> Vec<(String, String)> {
        let members = one.at("fixed").members();
        members.iter().filter_map(|(name, value)| Some(((*name).to_owned(), value.words()?))).collect()
    };
    let all: Vec<Vec<(String, String)>> = series.iter().map(|one| of(&one.series)).collect();
    let differs = |setting: &(String, String)| all.iter().any(|other| !other.contains(setting));
    all.iter()
        .map(|fixed| {
            let own: Vec<String> = fixed
                .iter()
                .filter(|setting| differs(setting))
                .map(|(name, value)| format!("{} {value}", short(name)))
                .collect();
            own.join(", ")
        })
        .collect()
}

/// A setting's name as it fits a legend.
fn short(name: &str) -> String {
    match name {
        "input_len" => "prompt".to_owned(),
        "output_len" => "answer".to_owned(),
        "batch_size" => "batch".to_owned(),
        "tensor_parallel_size" => "TP".to_owned(),
        other => other.replace('_', " "),
    }
}

/// A name by which names are put in order as people do: 2 before 10.
fn in_order(name: &str) -> Vec<(String, u128)> {
    let mut parts = vec![(String::new(), 0_u128)];
    let mut in_digits = false;
    for c in name.chars() {
        if in_digits && !c.is_ascii_digit() {
            parts.push((String::new(), 0));
        }
        in_digits = c.is_ascii_digit();
        if let Some((words, number)) = parts.last_mut() {
            match c.to_digit(10) {
                Some(digit) => *number = number.saturating_mul(10).saturating_add(u128::from(digit)),
                None => words.push(c),
            }
        }
    }
    parts
}

/// Places of series, that with the most throughput first: it is told of, and coloured.
pub(super) fn order(series: &[&Line<'_>]) -> Vec<usize> {
    let most = |one: &Line<'_>| {
        one.points.iter().filter_map(|point| point.at("tokens_per_second").number()).fold(0.0, f64::max)
    };
    let most: Vec<f64> = series.iter().map(|one| most(one)).collect();
    let mut order: Vec<usize> = (0..series.len()).collect();
    order.sort_by(|a, b| most[*b].total_cmp(&most[*a]));
    order
}

/// The series of an axis: throughput, latency and memory over its values.
pub(super) fn pictures(series: &[Line<'_>], axis: &str, words: &str) -> Vec<Block> {
    let its: Vec<&Line<'_>> = series.iter().filter(|one| one.axis() == Some(axis) && !one.points.is_empty()).collect();
    let mut named: Vec<(String, &Line<'_>)> = names(&its).into_iter().zip(its).collect();
    named.sort_by_key(|(name, _)| in_order(name));
    let (names, its): (Vec<String>, Vec<&Line<'_>>) = named.into_iter().unzip();
    let order = order(&its);
    let mut table = Some(table(&its, &names, words));
    let mut blocks: Vec<Block> = Vec::new();
    for figure in FIGURES {
        if let Some(same) = same(&its, words, figure) {
            blocks.push(Block::Text(same));
            continue;
        }
        if let Some(mut picture) = picture(&its, &names, &order, words, figure) {
            // One table has the figures of all.
            picture.table = table.take();
            if picture.table.is_none() {
                picture.words.push_str(" Its figures are in the table of the first picture of this section.");
            }
            blocks.push(Block::Picture(picture));
        }
    }
    if !blocks.is_empty() {
        blocks.extend(left_out(&its, words).map(Block::Text));
    }
    blocks
}

/// What is said instead of a picture of level lines.
fn same(its: &[&Line<'_>], words: &str, (key, what, unit): (&str, &str, Unit)) -> Option<String> {
    let values = || its.iter().flat_map(|one| &one.points).filter_map(|point| point.at(key).number());
    let (low, high) = values().fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    let same = values().count() > 1 && low > 0.0 && high - low <= high * SAME;
    let range = if low < high { format!("{} to {}", unit.show(low), unit.show(high)) } else { unit.show(low) };
    same.then(|| format!("{} is the same at every {words}, to 1 %: {range}.", capital(what)))
}

fn picture(
    its: &[&Line<'_>],
    names: &[String],
    order: &[usize],
    words: &str,
    (key, what, unit): (&str, &str, Unit),
) -> Option<Picture> {
    let points = |one: &Line<'_>| -> Vec<(f64, f64)> {
        let point = |point: &Node<'_>| Some((point.at("value").number()?, unit.scaled(point.at(key).number()?)));
        one.points.iter().filter_map(point).collect()
    };
    let known: Vec<(usize, Vec<(f64, f64)>)> =
        order.iter().map(|place| (*place, points(its[*place]))).filter(|(_, points)| points.len() > 1).collect();
    let (best, first) = known.first()?;
    let mut coloured: Vec<&(usize, Vec<(f64, f64)>)> = known.iter().take(MOST_COLOURED).collect();
    coloured.sort_by_key(|(place, _)| *place);
    let coloured = coloured.into_iter().enumerate().map(|(colour, (place, points))| Series {
        name: if names[*place].is_empty() { "all runs".to_owned() } else { names[*place].clone() },
        points: points.clone(),
        spread: Vec::new(),
        shape: Shape::Line,
        colour: colour + 1,
    });
    let pale = known.iter().skip(MOST_COLOURED).map(|(_, points)| Series {
        name: format!("{} others", known.len() - MOST_COLOURED),
        points: points.clone(),
        spread: Vec::new(),
        shape: Shape::Curve,
        colour: 0,
    });
    let all: Vec<Series> = pale.chain(coloured).collect();
    let (from, to) = (first[0], first[first.len() - 1]);
    let value = |value: f64| if unit == Unit::Memory { format!("{} GiB", digits(value)) } else { unit.show(value) };
    let with = if names[*best].is_empty() { String::new() } else { format!(" with {}", names[*best]) };
    let of = if known.len() == 1 { "One series".to_owned() } else { format!("{} series", known.len()) };
    let mut sentence = format!(
        "{of} over {words}. {}{with}: from {} at {} to {} at {}.",
        capital(what),
        value(from.1),
        digits(from.0),
        value(to.1),
        digits(to.0)
    );
    let mut marks = Vec::new();
    if key == "tokens_per_second" {
        let mut slow = Vec::new();
        let mut at_value: Vec<(f64, Vec<String>)> = Vec::new();
        for (place, _) in known.iter().take(MOST_COLOURED) {
            let Some(at) = its[*place].slows_at() else { continue };
            let name = if names[*place].is_empty() { String::new() } else { format!(" ({})", names[*place]) };
            slow.push(format!("{}{name}", digits(at)));
            match at_value.iter_mut().find(|one| one.0.total_cmp(&at).is_eq()) {
                Some(one) => one.1.push(names[*place].clone()),
                None => at_value.push((at, vec![names[*place].clone()])),
            }
        }
        // One rule for the series that slow at the same value, with their names.
        marks.extend(at_value.into_iter().map(|(at, mut names)| {
            names.retain(|name| !name.is_empty());
            let whose = match names.as_slice() {
                [] => String::new(),
                [one] => format!(": {one}"),
                several => format!(": {} series", several.len()),
            };
            Mark::X(at, crate::pages::figure::brief(&format!("slows{whose}")))
        }));
        if !slow.is_empty() {
            sentence.push_str(&format!(
                " Marked \"slows\" is from where on less than half of the added load becomes tokens: {}.",
                crate::pages::figure::listed(&slow)
            ));
        }
        let even = known.iter().filter(|(place, _)| its[*place].slows_at().is_none()).count();
        if even > 0 && !slow.is_empty() {
            sentence.push_str(&format!(" {even} of {} series still keep up at their last point.", known.len()));
        }
    }
    let sparks = known
        .iter()
        .take(MOST_COLOURED)
        .map(|(place, points)| {
            let name = if names[*place].is_empty() { what.to_owned() } else { names[*place].clone() };
            (name, points.iter().map(|point| point.1).collect())
        })
        .collect();
    // Where series lie far apart, all but the highest would be one line on the ground.
    let values = || all.iter().flat_map(|one| one.points.iter().map(|point| point.1));
    let (low, high) = values().fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    let log_y = low > 0.0 && high > low * FAR_APART && key != "tokens_per_second";
    let y = if unit == Unit::Memory { format!("{what}, GiB") } else { format!("{what}{}", in_unit(unit)) };
    let plot = Plot { x: words.to_owned(), y, log_x: true, log_y, series: all, marks };
    Some(Picture { title: capital(what), words: sentence, svg: plot.draw(), table: None, sparks })
}

fn in_unit(unit: Unit) -> &'static str {
    if unit == Unit::Milliseconds { ", ms" } else { "" }
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn table(its: &[&Line<'_>], names: &[String], words: &str) -> Table {
    let value = format!("#{words}");
    let heads = [
        "series",
        &value,
        "#tokens",
        "#times the first",
        "#mean latency",
        "#times the first",
        "#memory at the peak",
        "#runs",
    ];
    let mut table = Table::new(format!("Means over the runs at each {words}"), &heads);
    for (one, name) in its.iter().zip(names) {
        for point in &one.points {
            table.row([
                Cell::text(if name.is_empty() { "all runs" } else { name }),
                point.at("value").figure(Unit::Count),
                point.at("tokens_per_second").figure(Unit::PerSecond),
                point.at("speedup").figure(Unit::Plain),
                point.at("mean_latency_ms").figure(Unit::Milliseconds),
                point.at("slowdown").figure(Unit::Plain),
                point.at("peak_bytes").figure(Unit::Memory),
                point.at("runs").figure(Unit::Count),
            ]);
        }
    }
    table.at_most(MOST_ROWS)
}

/// Which runs are such that no other is as good in throughput and latency, and better in one.
pub(super) fn front(runs: &Runs<'_>) -> Option<Block> {
    let known: Vec<(&Node<'_>, (f64, f64))> = runs
        .all
        .iter()
        .filter_map(|run| Some((run, (Runs::figure(run, "mean_latency_ms")?, Runs::figure(run, "tokens_per_second")?))))
        .collect();
    if known.len() < 3 {
        return None;
    }
    let points: Vec<(f64, f64)> = known.iter().map(|(_, point)| *point).collect();
    let best = front_of(&points);
    let others: Vec<(f64, f64)> =
        (0..known.len()).filter(|place| !best.contains(place)).map(|place| points[place]).collect();
    let of =
        |name: &str, points, shape, colour| Series { name: name.to_owned(), points, spread: Vec::new(), shape, colour };
    let series = vec![
        of("others", others, Shape::Points, 0),
        of("on the front", best.iter().map(|place| points[*place]).collect(), Shape::Line, 1),
    ];
    let name = |place: &usize| runs.name(known[*place].0);
    let named: Vec<String> = best.iter().take(MOST_NAMED).map(name).collect();
    let near = |a: f64, b: f64| (a - b).abs() < SAME * a.abs().max(b.abs());
    let equal = (best.windows(2).map(|pair| (points[pair[0]], points[pair[1]])))
        .filter(|(a, b)| near(a.0, b.0) && near(a.1, b.1))
        .count();
    let more = if best.len() > MOST_NAMED { format!(" and {} more", best.len() - MOST_NAMED) } else { String::new() };
    let words = format!(
        "Up is more tokens per second, left is a lower mean latency. {} of {} measured runs {} on the front: no other is as \
         good in both and better in one. From the lowest latency on: {}{more}.{} Runs of different models or lengths do not do the same work: compare \
         those that do.",
        best.len(),
        known.len(),
        if best.len() == 1 { "is" } else { "are" },
        named.join(", "),
        if equal == 0 {
            String::new()
        } else {
            format!(" {equal} of them differ from the one before by less than 1 % in both: these are equal.")
        }
    );
    let marks = best.iter().take(MOST_NAMED).map(|place| {
        let label: String = name(place).chars().take(24).collect();
        Mark::Point(points[*place].0, points[*place].1, label)
    });
    let plot = Plot {
        x: "mean latency, ms".to_owned(),
        y: "tokens per second".to_owned(),
        log_x: true,
        series,
        marks: marks.collect(),
        ..Plot::default()
    };
    let mut table = Table::new("Runs on the front", &["run", "#mean latency", "#tokens", "#memory at the peak"]);
    for place in &best {
        let figures = known[*place].0.at("figures");
        table.row([
            Cell::text(name(place)),
            figures.at("mean_latency_ms").figure(Unit::Milliseconds),
            figures.at("tokens_per_second").figure(Unit::PerSecond),
            figures.at("peak_bytes").figure(Unit::Memory),
        ]);
    }
    let title = "Throughput against latency".to_owned();
    Some(Block::Picture(Picture {
        title,
        words,
        svg: plot.draw(),
        table: Some(table.at_most(MOST_ROWS)),
        sparks: Vec::new(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_their_numbers() {
        let mut names = vec!["batch 16, TP 2", "batch 2", "batch 16, TP 1", "batch 128", "", "batch 1"];
        names.sort_by_key(|name| in_order(name));
        assert_eq!(names, ["", "batch 1", "batch 2", "batch 16, TP 1", "batch 16, TP 2", "batch 128"]);
    }
}
