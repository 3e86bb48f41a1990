//! Several snapshots of a process: what grew from one to the next, and what keeps growing.

use crate::cell::{Cell, Tone};
use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Finding, Page, Picture, Section, Table, Weight};
use crate::pages::trace::{MOST_ROWS, file_name, shown};
use crate::svg::{Course, Plot, Series, Shape, courses};
use crate::unit::{Unit, digits};

/// Rows of the picture, and snapshots of a series at most.
const MOST_COURSES: usize = 40;
const MOST_SNAPSHOTS: usize = 1000;

const GROWS: usize = 5;
const STAYS: usize = 0;

pub(crate) fn page(document: &Document) -> Page {
    let root = document.root(0);
    let snapshots: Vec<Node<'_>> = root.at("snapshots").items().into_iter().take(MOST_SNAPSHOTS).collect();
    let places = Places::of(&snapshots);
    let mut sections = vec![answer(&root, &snapshots, &places)];
    sections.extend(rows(&root, &places));
    sections.push(Section::new("Snapshots", [Block::Table(files(&snapshots))]));
    let names: Vec<String> = [snapshots.first(), snapshots.last()]
        .into_iter()
        .flatten()
        .filter_map(|point| point.at("name").text().map(file_name))
        .collect();
    let about = match names.as_slice() {
        [first, last] => format!("{} snapshots of a process, {first} to {last}.", snapshots.len()),
        _ => "Snapshots of a process.".to_owned(),
    };
    Page { title: "What grows in a process's memory".to_owned(), about, sections }
}

/// Where snapshots stand on the horizontal axis.
struct Places {
    at: Vec<f64>,
    name: &'static str,
}

impl Places {
    /// Times from the first on where all have one, else numbers.
    fn of(snapshots: &[Node<'_>]) -> Self {
        let times: Option<Vec<f64>> = snapshots.iter().map(|point| point.at("time_us").number()).collect();
        if let Some(times) = times.filter(|times| times.windows(2).all(|pair| pair[1] >= pair[0]))
            && let (Some(first), Some(last)) = (times.first(), times.last())
            && last > first
        {
            return Self { at: times.iter().map(|time| (time - first) / 1e6).collect(), name: "s" };
        }
        let number = |place: usize| f64::from(u32::try_from(place + 1).unwrap_or(u32::MAX));
        Self { at: (0..snapshots.len()).map(number).collect(), name: "snapshot" }
    }
}

fn answer(root: &Node<'_>, snapshots: &[Node<'_>], places: &Places) -> Section {
    let mut figures = Vec::new();
    let mut add = |name: &str, cell: Cell| {
        if !cell.is_absent() {
            figures.push((name.to_owned(), cell));
        }
    };
    add("Change of active memory", root.at("change_bytes").change(Unit::Memory));
    add("Rows that keep growing", root.at("growing").figure(Unit::Count));
    if let Some(last) = snapshots.last() {
        add("Active in the last", last.at("active_bytes").figure(Unit::Memory));
        add("Reserved in the last", last.at("reserved_bytes").figure(Unit::Memory));
    }
    let mut blocks = vec![Block::Findings(vec![finding(root, snapshots.len())])];
    if !figures.is_empty() {
        blocks.insert(0, Block::Headline(figures));
    }
    let doubts: Vec<Finding> = root
        .at("notes")
        .items()
        .iter()
        .take(20)
        .map(|note| Finding {
            weight: Weight::Warning,
            text: format!("{} {}", note.at("count").figure(Unit::Count).text, note.at("text").text().unwrap_or("")),
            advice: None,
            code: note.at("kind").text().map(str::to_owned),
        })
        .collect();
    if !doubts.is_empty() {
        blocks.push(Block::Findings(doubts));
    }
    let repeated = root.at("repeated");
    if repeated.count().is_some_and(|repeated| repeated > 0) {
        let text =
            format!("{} snapshots were given more than once, and count once.", repeated.figure(Unit::Count).text);
        blocks.push(Block::Text(text));
    }
    if root.at("reordered").is_true() {
        blocks.push(Block::Text("They stand in the order of their own times, which is not the one given.".to_owned()));
    }
    if snapshots.len() > 1 {
        blocks.push(Block::Picture(whole(root, snapshots, places)));
    }
    Section::new("Whether it grows", blocks)
}

fn finding(root: &Node<'_>, snapshots: usize) -> Finding {
    let finding = |weight, text: String| Finding { weight, text, advice: None, code: None };
    let growing = root.at("growing").count().unwrap_or(0);
    let total = root.path("trend/grows").is_true();
    if growing > 0 || total {
        let what = match growing {
            0 => "All active memory together keeps growing, and no row alone can be said to.".to_owned(),
            1 => "One row keeps growing.".to_owned(),
            _ => format!("{} rows keep growing.", root.at("growing").figure(Unit::Count).text),
        };
        return finding(Weight::Warning, what);
    }
    match root.at("needed_snapshots").count() {
        Some(needed) if needed > snapshots as u64 => finding(
            Weight::Note,
            format!(
                "{snapshots} snapshots are too few to say of any row that it keeps growing; {needed} or more are needed."
            ),
        ),
        _ => finding(Weight::Good, "Nothing keeps growing.".to_owned()),
    }
}

fn whole(root: &Node<'_>, snapshots: &[Node<'_>], places: &Places) -> Picture {
    let line = |name: &str, key: &str, colour| Series {
        name: name.to_owned(),
        points: places
            .at
            .iter()
            .zip(snapshots)
            .filter_map(|(at, point)| Some((*at, Unit::Memory.scaled(point.at(key).number()?))))
            .collect(),
        spread: Vec::new(),
        shape: Shape::Line,
        colour,
    };
    let series: Vec<Series> = [line("reserved", "reserved_bytes", 0), line("active", "active_bytes", 1)]
        .into_iter()
        .filter(|series| !series.points.is_empty())
        .collect();
    let sparks =
        series.iter().map(|one| (one.name.clone(), one.points.iter().map(|point| point.1).collect())).collect();
    let slope = slope(&root.at("trend")).map_or_else(String::new, |slope| {
        let grows = if root.path("trend/grows").is_true() { ", and keeps growing" } else { "" };
        format!(" All active memory together rises by {slope}{grows}.")
    });
    let words = format!(
        "Active memory changed by {} from the first snapshot to the last.{slope}",
        root.at("change_bytes").change(Unit::Memory).text
    );
    let plot = Plot { x: places.name.to_owned(), y: "GiB".to_owned(), series, ..Plot::default() };
    Picture { title: "Active and reserved memory".to_owned(), words, svg: plot.draw(), table: None, sparks }
}

/// A slope with its interval, per minute or per snapshot.
fn slope(trend: &Node<'_>) -> Option<String> {
    const MIB: f64 = 1_048_576.0;
    let (factor, unit) = if trend.at("per").text() == Some("second") { (60.0, "min") } else { (1.0, "snapshot") };
    let of = |key: &str| trend.at(key).number().map(|bytes| bytes * factor / MIB).filter(|value| value.is_finite());
    let (slope, low) = (of("slope_bytes")?, of("low_bytes")?);
    let half = Some(slope - low).filter(|half| half.is_finite())?;
    let sign = if slope > 0.0 { "+" } else { "" };
    Some(format!("{sign}{} ±{} MiB/{unit}", digits(slope), digits(half)))
}

/// What differs, growing rows first.
fn rows(root: &Node<'_>, places: &Places) -> Option<Section> {
    let all = root.at("rows").items();
    // Of too few nothing can be said, nor that a row does not grow.
    let enough = root.at("needed_snapshots").count().is_none_or(|needed| needed <= places.at.len() as u64);
    let mut drawn = Vec::new();
    let mut table = Table::new(
        "What differs, growing rows first; a slope is by the minute where the snapshots say their times, else by snapshot, with its interval of 95 %",
        &[
            "holder",
            "keeps growing",
            "#first",
            "#last",
            "#change",
            "#more allocations",
            "slope",
            "#chance without any trend",
        ],
    );
    for row in &all {
        let name = row.at("name").text().map_or_else(|| "no stack recorded".to_owned(), shown);
        let (bytes, trend) = (row.at("bytes").items(), row.at("trend"));
        let grows = trend.at("grows").is_true();
        let end = |point: Option<&Node<'_>>| point.map_or_else(Cell::absent, |point| point.figure(Unit::Memory));
        let verdict = match (trend.is_there(), grows) {
            (_, true) => Cell::text("keeps growing").tone(Tone::Bad),
            (true, false) if enough => Cell::text("no"),
            (_, false) => Cell::absent(),
        };
        let by = slope(&trend);
        table.row([
            Cell::text(name.clone()),
            verdict,
            end(bytes.first()),
            end(bytes.last()),
            row.at("change_bytes").change(Unit::Memory),
            row.at("change_count").change(Unit::Count),
            by.clone().map_or_else(Cell::absent, Cell::text),
            trend.at("chance").figure(Unit::Plain),
        ]);
        if drawn.len() < MOST_COURSES && bytes.len() > 1 {
            let change = row.at("change_bytes").change(Unit::Memory).text;
            let words = by.unwrap_or_else(|| change.clone());
            let mark = if grows { "▲ " } else { "" };
            drawn.push(Course {
                told: format!("{name}: {change}{}{words}", if words.is_empty() { "" } else { ", " }),
                words,
                values: bytes.iter().map(|bytes| bytes.number().unwrap_or(f64::NAN)).collect(),
                colour: if grows { GROWS } else { STAYS },
                name: format!("{mark}{name}"),
            });
        }
    }
    if table.rows.is_empty() {
        return None;
    }
    let mut blocks = Vec::new();
    let count = drawn.len();
    if count > 0 && places.at.len() > 1 {
        let sparks = drawn.iter().take(10).map(|course| (course.name.clone(), course.values.clone())).collect();
        let growing = root.at("growing").figure(Unit::Count).text;
        let words = format!(
            "Each line goes from its own lowest to its own highest. Of {}, {growing} keep growing, and are marked ▲.",
            if all.len() == 1 { "one row that differs".to_owned() } else { format!("{} rows that differ", all.len()) }
        );
        let svg = courses(&drawn, &places.at, places.name);
        blocks.push(Block::Picture(Picture { title: "How each went on".to_owned(), words, svg, table: None, sparks }));
    }
    let rest = root.at("rest_rows");
    let by = root.at("by").text().map_or_else(|| "holder".to_owned(), shown);
    blocks.push(Block::Table(table.without_empty_columns().at_most(MOST_ROWS)));
    if rest.count().is_some_and(|rest| rest > 0) {
        blocks.push(Block::Sentence(vec![
            rest.figure(Unit::Count),
            " further rows changed by ".into(),
            root.at("rest_change_bytes").change(Unit::Memory),
            " together.".into(),
        ]));
    }
    Some(Section::new(format!("What changed, by {by}"), blocks))
}

fn files(snapshots: &[Node<'_>]) -> Table {
    let mut table =
        Table::new("The snapshots, in order", &["file", "#after the first", "#active", "#active blocks", "#reserved"]);
    let first = snapshots.first().and_then(|point| point.at("time_us").number());
    for point in snapshots {
        let after =
            point.at("time_us").number().zip(first).map(|(time, first)| Unit::Time.show((time - first) * 1000.0));
        table.row([
            point.at("name").text().map_or_else(Cell::absent, |name| Cell::text(file_name(name))),
            after.map_or_else(Cell::absent, Cell::text),
            point.at("active_bytes").figure(Unit::Memory),
            point.at("active_blocks").figure(Unit::Count),
            point.at("reserved_bytes").figure(Unit::Memory),
        ]);
    }
    table.without_empty_columns().at_most(MOST_ROWS)
}
