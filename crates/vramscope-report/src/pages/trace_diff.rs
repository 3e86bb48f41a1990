//! Two traces: what takes longer, what less.

use super::trace::{category, file_name, folded, shown, title};
use crate::cell::{Cell, Tone};
use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Finding, Page, Picture, Section, Table, Weight};
use crate::svg::{Bar, bars};
use crate::unit::Unit;

/// Kernels in the picture: so many of those that take longer, and of those that take less.
const IN_PICTURE: usize = 10;
/// Rows from each end of the list.
const ROWS: usize = 75;

pub(crate) fn page(document: &Document) -> Page {
    let root = document.root(0);
    let name = |key: &str| file_name(root.at(key).text().unwrap_or(""));
    let mut sections = vec![answer(&root)];
    sections.extend(kernels(&root));
    Page {
        title: "Two traces".to_owned(),
        about: format!("Before: {}. After: {}.", name("before"), name("after")),
        sections,
    }
}

fn total_name(name: &str) -> String {
    match name {
        "kernel_time" => "Time of all kernels".to_owned(),
        "busy_time" => "Time with GPU work".to_owned(),
        "step_time" => "Time of steps".to_owned(),
        name => shown(name),
    }
}

/// Longer is worse.
fn toned(cell: Cell, change: Option<f64>) -> Cell {
    match change {
        Some(change) if change > 0.0 => cell.tone(Tone::Bad),
        Some(change) if change < 0.0 => cell.tone(Tone::Good),
        _ => cell,
    }
}

fn basis(root: &Node<'_>) -> &'static str {
    if root.at("basis").text() == Some("step") { "a step" } else { "in all" }
}

fn answer(root: &Node<'_>) -> Section {
    let totals = root.at("totals").items();
    let mut figures = Vec::new();
    let mut words = Vec::new();
    let heads = &["what", "#before", "#after", "#change"];
    let mut table = Table::new(format!("The traces as wholes; times are {}", basis(root)), heads);
    for total in totals.iter().take(20) {
        let name = total_name(total.at("name").text().unwrap_or(""));
        let relative = total.at("relative");
        let change = toned(relative.change(Unit::Share), relative.number());
        let [before, after] = ["before_ns", "after_ns"].map(|key| total.at(key).figure(Unit::Time));
        words.push(format!("{name}: {} before, {} after ({}).", before.text, after.text, change.text));
        if !change.is_absent() {
            figures.push((name.clone(), change.clone()));
        }
        table.row([Cell::text(name), before, after, change]);
    }
    figures.push((
        "Kernels that differ".to_owned(),
        Cell::text(Unit::Count.show(count(root.at("kernels").items().len()))),
    ));
    figures.push(("Kernels that do not".to_owned(), root.at("unchanged").figure(Unit::Count)));
    let mut blocks = vec![Block::Headline(figures), Block::Text(words.join(" "))];
    blocks.push(Block::Findings(limit(root)));
    let [before, after] = ["before_steps", "after_steps"].map(|key| root.at(key).figure(Unit::Count));
    table.row([Cell::text("Steps with GPU work"), before, after, Cell::text("")]);
    blocks.push(Block::Table(table));
    Section::new("What changed", blocks)
}

#[expect(clippy::cast_precision_loss, reason = "a number of rows")]
fn count(number: usize) -> f64 {
    number as f64
}

/// What the limit says, where one was set.
fn limit(root: &Node<'_>) -> Vec<Finding> {
    let finding = |weight, text| Finding { weight, text, advice: None, code: None };
    let Some(limit) = root.at("fail_above").number() else {
        let text = "No limit was set. With --fail-above SHARE the comparison fails when something grows by more, as a check in CI does.";
        return vec![finding(Weight::Note, text.to_owned())];
    };
    let limit = Unit::Share.show(limit);
    let exceeded = root.at("exceeded").items();
    if exceeded.is_empty() {
        return vec![finding(Weight::Good, format!("Nothing grew by more than the limit of {limit}."))];
    }
    let text = |row: &Node<'_>| {
        let by = row.at("relative").change(Unit::Share).text;
        format!("{} changed by {by}; the limit is {limit}.", total_name(row.at("name").text().unwrap_or("")))
    };
    let mut findings: Vec<Finding> = exceeded.iter().take(20).map(|row| finding(Weight::Error, text(row))).collect();
    if exceeded.len() > findings.len() {
        let text =
            format!("{} more grew by more than the limit; the document holds all.", exceeded.len() - findings.len());
        findings.push(finding(Weight::Note, text));
    }
    findings
}

fn kernels(root: &Node<'_>) -> Option<Section> {
    let all = root.at("kernels").items();
    if all.is_empty() {
        return None;
    }
    let delta = |row: &Node<'_>| row.at("delta_ns").number().unwrap_or(0.0);
    let slower = all.iter().take(IN_PICTURE).filter(|row| delta(row) > 0.0);
    let tail = all.len().saturating_sub(IN_PICTURE).max(slower.clone().count());
    let faster = all.iter().skip(tail).filter(|row| delta(row) < 0.0);
    let drawn: Vec<Bar> = slower.chain(faster).map(|row| bar(row, delta(row))).collect();
    let caption = format!("Kernels that differ, the largest slow-down first; times are {}", basis(root));
    let heads = &["kernel", "#difference", "#change", "#before", "#count before", "#after", "#count after", "what for"];
    let mut table = Table::new(caption, heads);
    let left_out = all.len().saturating_sub(2 * ROWS);
    for (place, row) in all.iter().enumerate() {
        if left_out == 0 || place < ROWS || place >= all.len() - ROWS {
            table.row(cells(row));
        }
    }
    let rest = (left_out > 0).then(|| format!("{left_out} kernels in the middle of the list, which differ the least, are left out; the document holds all."));
    let most = |bar: Option<&Bar>, what: &str| bar.map(|bar| format!("{what} is {}, {}.", bar.name, bar.words));
    let longest = most(drawn.first().filter(|bar| bar.to > 0.0), "The largest increase");
    let shortest = most(drawn.last().filter(|bar| bar.to < 0.0), "The largest decrease");
    let words: Vec<String> = [longest, shortest].into_iter().flatten().collect();
    let mut blocks = vec![Block::Picture(Picture {
        title: "The kernels that changed the most".to_owned(),
        words: format!("{} Right of zero takes longer than before, left of it less.", words.join(" ")),
        svg: bars(&drawn, Unit::Time),
        table: Some(table),
        sparks: Vec::new(),
    })];
    blocks.extend(rest.map(Block::Text));
    blocks.push(by_category(&all));
    Some(Section::new("Kernels", blocks))
}

fn bar(row: &Node<'_>, delta: f64) -> Bar {
    let colour = if delta > 0.0 { 5 } else { 3 };
    let change = match (row.at("before").is_there(), row.at("after").is_there()) {
        (false, true) => "new".to_owned(),
        (true, false) => "gone".to_owned(),
        _ => row.at("relative").change(Unit::Share).text,
    };
    let words = format!("{} ({change})", Unit::Time.signed(delta));
    Bar::new(title(row.at("name").text().unwrap_or("")), 0.0, delta, colour, words)
}

fn cells(row: &Node<'_>) -> Vec<Cell> {
    let delta = row.at("delta_ns");
    let relative = row.at("relative");
    let change = if relative.is_there() || row.at("before").is_there() {
        relative.change(Unit::Share)
    } else {
        Cell::text("new")
    };
    let mut cells = vec![
        row.at("name").text().map_or_else(Cell::absent, |name| Cell::text(shown(name))),
        toned(delta.change(Unit::Time), delta.number()),
        change,
    ];
    for side in ["before", "after"] {
        cells.push(row.at(side).at("compared_ns").figure(Unit::Time));
        cells.push(row.at(side).at("count").figure(Unit::Count));
    }
    cells.push(Cell::text(category(row.at("category").text().unwrap_or("")).1));
    cells
}

/// The differences summed by what kernels are for.
fn by_category(all: &[Node<'_>]) -> Block {
    let mut sums: Vec<(String, [f64; 2], usize)> = Vec::new();
    for row in all {
        let name = category(row.at("category").text().unwrap_or("")).1;
        let sides = ["before", "after"].map(|side| row.at(side).at("compared_ns").number().unwrap_or(0.0));
        let place = sums.iter().position(|sum| sum.0 == name);
        // Foreign documents may have any number of them.
        let place =
            place.or_else(|| (sums.len() < 20).then(|| sums.push((name, [0.0; 2], 0))).map(|()| sums.len() - 1));
        if let Some(sum) = place.and_then(|place| sums.get_mut(place)) {
            sum.1.iter_mut().zip(sides).for_each(|(sum, side)| *sum += side);
            sum.2 += 1;
        }
    }
    sums.sort_by(|a, b| (b.1[1] - b.1[0]).total_cmp(&(a.1[1] - a.1[0])));
    let heads = &["what for", "#difference", "#before", "#after", "#kernels that differ"];
    let mut table = Table::new("The kernels that differ, summed by what they are for", heads);
    for (name, [before, after], kernels) in sums {
        let delta = after - before;
        table.row([
            Cell::text(name),
            toned(Cell::text(Unit::Time.signed(delta)), Some(delta)),
            Cell::text(Unit::Time.show(before)),
            Cell::text(Unit::Time.show(after)),
            Cell::text(kernels.to_string()),
        ]);
    }
    folded("By what kernels are for", table, None)
}
