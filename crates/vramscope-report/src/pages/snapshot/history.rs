//! The recorded time of a device: use by part, the highest use, what was alive then, and what came before an out-of-memory.

use super::{holders, part};
use crate::cell::Cell;
use crate::node::Node;
use crate::page::{Block, Finding, Picture, Section, Table, Weight};
use crate::pages::trace::{folded, shown};
use crate::svg::{Area, Areas};
use crate::unit::Unit;

/// Moments and parts of a curve at most; documents hold a thousand moments.
const MOST_POINTS: usize = 1000;
const MOST_PARTS: usize = 24;
/// Out-of-memories with rows of their own; documents hold four.
const MOST_FAILED: usize = 8;

pub(super) fn sections(history: &Node<'_>) -> Vec<Section> {
    let device = history.at("device").words().unwrap_or_default();
    let mut blocks = vec![Block::Sentence(sentence(history))];
    if let Some(curve) = Curve::of(history) {
        blocks.extend(curve.pictures(history).into_iter().map(Block::Picture));
        blocks.push(Block::Table(curve.moments()));
    } else {
        let why = "The history and the blocks do not fit together, so that no use over time is told.";
        blocks.push(Block::Text(why.to_owned()));
    }
    blocks.extend(holders("Who held it at the highest use, in bytes asked for", &history.path("peak/alive")));
    blocks.push(actions(history));
    for (title, key) in [
        ("Still there at the end of the recorded time", "kept"),
        ("All that was asked for in the recorded time", "allocated"),
    ] {
        let list = holders("The largest, in bytes asked for", &history.at(key));
        blocks.extend(list.map(|list| Block::Folded { title: title.to_owned(), blocks: vec![list] }));
    }
    let mut sections = vec![Section::new(format!("The recorded time of device {}", shown(&device)), blocks)];
    let failed: Vec<Block> =
        history.at("out_of_memory").items().iter().rev().take(MOST_FAILED).flat_map(out_of_memory).collect();
    if !failed.is_empty() {
        let (all, told) = (history.at("out_of_memories"), history.at("out_of_memory").items().len().min(MOST_FAILED));
        let mut failed = failed;
        if all.count().is_some_and(|all| all > told as u64) {
            let words = vec![
                "The last ".into(),
                told.to_string().as_str().into(),
                " of ".into(),
                all.figure(Unit::Count),
                ".".into(),
            ];
            failed.insert(0, Block::Sentence(words));
        }
        sections.insert(0, Section::new("Out of memory", failed));
    }
    sections
}

fn sentence(history: &Node<'_>) -> Vec<Cell> {
    let mut words: Vec<Cell> = vec![history.at("events").figure(Unit::Count), " events".into()];
    if let (Some(first), Some(last)) = (history.at("first_us").number(), history.at("last_us").number()) {
        words.push(format!(" in {}", Unit::Time.show((last - first).max(0.0) * 1000.0)).into());
    }
    let mut add = |before: &str, cell: Cell, after: &str| {
        if !cell.is_absent() {
            words.extend([before.into(), cell, after.into()]);
        }
    };
    add(", ", history.at("allocations_per_second").figure(Unit::PerSecond), " allocations");
    add(". The highest use was ", history.path("peak/requested_bytes").figure(Unit::Memory), " asked for");
    add(" while ", history.path("peak/reserved_bytes").figure(Unit::Memory), " was reserved");
    add("; at most ", history.at("most_reserved_bytes").figure(Unit::Memory), " was reserved");
    words.push(". The history is a ring: what was before its first event is not in it.".into());
    words
}

/// Use over the recorded time as the document has it.
struct Curve<'d> {
    points: Vec<Node<'d>>,
    parts: Vec<(String, usize)>,
    /// Places of the parts, in the order in which they stand on top of each other.
    order: Vec<usize>,
    peak: usize,
}

impl<'d> Curve<'d> {
    fn of(history: &Node<'d>) -> Option<Self> {
        let curve = history.at("curve");
        let parts: Vec<(String, usize)> =
            curve.at("parts").items().iter().take(MOST_PARTS).map(|name| part(name.text())).collect();
        let points: Vec<Node<'d>> = curve.at("points").items().into_iter().take(MOST_POINTS).collect();
        let use_of = |point: &Node<'d>| point.at("requested_bytes").number().unwrap_or(0.0);
        // The first of those that are as high.
        let peak = (0..points.len()).rev().max_by(|a, b| use_of(&points[*a]).total_cmp(&use_of(&points[*b])))?;
        let mut order: Vec<usize> = (0..parts.len()).collect();
        // Parts of one colour stand beside each other; those that stay are lowest.
        order.sort_by_key(|place| (parts[*place].1, *place));
        Some(Self { points, parts, order, peak })
    }

    fn pictures(&self, history: &Node<'_>) -> Vec<Picture> {
        let events: Vec<f64> = self
            .points
            .iter()
            .map(|point| point.at("event").number().filter(|event| *event >= 0.0).map_or(0.0, |event| event + 1.0))
            .collect();
        let mut pictures = vec![self.picture(history, "Use over events, by part", "events", &steady(&events))];
        let first = history.at("first_us").number();
        let time = |point: &Node<'_>| Some(((point.at("time_us").number()? - first?) / 1e6).max(0.0));
        let times: Vec<Option<f64>> = self.points.iter().map(time).collect();
        // The moment before the first event is drawn where that is.
        if times.iter().skip(1).all(Option::is_some) && times.len() > 1 {
            let times: Vec<f64> = times.iter().map(|time| time.unwrap_or(0.0)).collect();
            let title = "The same over time";
            pictures.push(self.picture(history, title, "s after the first event", &steady(&times)));
        }
        pictures
    }

    fn picture(&self, history: &Node<'_>, title: &str, x: &str, at: &[f64]) -> Picture {
        let bytes = |point: &Node<'_>, place: usize| {
            point.at("parts_bytes").items().get(place).and_then(Node::number).unwrap_or(0.0).max(0.0)
        };
        let area = |place: &usize| Area {
            name: self.parts[*place].0.clone(),
            colour: self.parts[*place].1,
            values: self.points.iter().map(|point| bytes(point, *place)).collect(),
        };
        let areas: Vec<Area> = self.order.iter().map(area).collect();
        let reserved: Vec<Option<f64>> = self.points.iter().map(|point| point.at("reserved_bytes").number()).collect();
        let line = reserved.iter().any(Option::is_some).then_some(("reserved".to_owned(), reserved));
        let mut marks = Vec::new();
        for (number, failed) in history.at("out_of_memory").items().iter().take(MOST_FAILED).enumerate() {
            let event = failed.at("event").count();
            let place =
                event.and_then(|event| self.points.iter().position(|point| point.at("event").count() == Some(event)));
            if let Some(place) = place {
                let asked = failed.at("asked_bytes").figure(Unit::Memory).text;
                let which = if number == 0 { "out of memory" } else { "again" };
                marks.push((at[place], format!("{which}: {asked} asked for")));
            }
        }
        let highest = &self.points[self.peak];
        let most = highest.at("requested_bytes").figure(Unit::Memory).text;
        marks.push((at[self.peak], format!("highest use {most}")));
        let mut parts: Vec<(f64, &str)> =
            (0..self.parts.len()).map(|place| (bytes(highest, place), self.parts[place].0.as_str())).collect();
        parts.sort_by(|a, b| b.0.total_cmp(&a.0));
        let named: Vec<String> = parts
            .iter()
            .take(4)
            .filter(|(bytes, _)| *bytes > 0.0)
            .map(|(bytes, name)| format!("{name} {}", Unit::Memory.show(*bytes)))
            .collect();
        let then = if named.is_empty() { String::new() } else { format!(" Then it was {}.", named.join(", ")) };
        let words = format!(
            "What was asked for in active blocks, on top of each other by what it is for; the line is what the allocator had of \
             the driver. The highest use is {most}.{then} Of spans of equally many events the lowest and the highest use are drawn."
        );
        let sparks = vec![(
            "in use".to_owned(),
            self.points.iter().map(|point| point.at("requested_bytes").number().unwrap_or(0.0)).collect(),
        )];
        let plot =
            Areas { x: x.to_owned(), unit: Unit::Memory, at: at.to_vec(), areas, line, marks, peak: Some(self.peak) };
        Picture { title: title.to_owned(), words, svg: plot.draw(), table: None, sparks }
    }

    /// What there was before, at the highest use, and at the end.
    fn moments(&self) -> Table {
        let last = self.points.len() - 1;
        let mut table = Table::new(
            "What was in use before the first event, at the highest use and after the last event, in bytes asked for",
            &["part", "#before", "#at the highest use", "#at the end"],
        );
        let moments = [0, self.peak, last];
        let mut row = |name: &str, of: &dyn Fn(usize) -> Cell| {
            table.row(std::iter::once(Cell::text(name)).chain(moments.iter().map(|moment| of(*moment))));
        };
        for place in self.order.iter().rev() {
            row(&self.parts[*place].0, &|moment| {
                let parts = self.points[moment].at("parts_bytes").items();
                parts.get(*place).map_or_else(Cell::absent, |part| part.figure(Unit::Memory))
            });
        }
        row("in use", &|moment| self.points[moment].at("requested_bytes").figure(Unit::Memory));
        row("reserved", &|moment| self.points[moment].at("reserved_bytes").figure(Unit::Memory));
        table
    }
}

/// Places that never go back: threads write times out of order, and a picture goes to the right.
fn steady(places: &[f64]) -> Vec<f64> {
    let mut last = f64::MIN;
    let onward = |place: &f64| {
        last = last.max(*place);
        last
    };
    places.iter().map(onward).collect()
}

fn actions(history: &Node<'_>) -> Block {
    let mut table = Table::new("Events by what happened, in torch's words", &["what", "#events", "#bytes"]);
    for row in history.at("actions").items().iter().take(20) {
        let name = row.at("action").text().unwrap_or("unknown");
        table.row([Cell::text(shown(name)), row.at("count").figure(Unit::Count), row.at("bytes").figure(Unit::Memory)]);
    }
    folded("Events", table, None)
}

/// What was asked for when there was no memory, what there was, and what came before.
fn out_of_memory(failed: &Node<'_>) -> Vec<Block> {
    let of = |key: &str| failed.at(key).figure(Unit::Memory);
    let asked = of("asked_bytes");
    let text = format!("{} was asked for, and the driver had {} left.", asked.text, of("device_free_bytes").text);
    let largest = of("largest_free_bytes");
    let advice = (!largest.is_absent())
        .then(|| format!("The largest free block of the pool and stream that it was asked of had {}.", largest.text));
    let mut blocks = vec![Block::Findings(vec![Finding {
        weight: Weight::Error,
        text,
        advice,
        code: Some("out_of_memory".to_owned()),
    }])];
    let mut table = Table::new("The moment", &["what", "#memory", "who"]);
    let asked_by = failed.at("asked_by").at("name").text().map_or_else(Cell::absent, |name| Cell::text(shown(name)));
    table.row(["asked for".into(), asked, asked_by]);
    for (name, cell) in [
        ("left to the driver", of("device_free_bytes")),
        ("the largest free block", largest),
        ("in use then, as asked for", failed.path("moment/requested_bytes").figure(Unit::Memory)),
        ("reserved then", failed.path("moment/reserved_bytes").figure(Unit::Memory)),
    ] {
        if !cell.is_absent() {
            table.row([name.into(), cell]);
        }
    }
    blocks.push(Block::Table(table.without_empty_columns()));
    let frames: Vec<&str> = failed.path("asked_by/frames").items().iter().filter_map(Node::text).take(60).collect();
    if !frames.is_empty() {
        let stack = frames.iter().map(|frame| shown(frame)).collect::<Vec<_>>().join("\n");
        blocks.push(Block::Folded {
            title: "Who asked, the innermost frame first".to_owned(),
            blocks: vec![Block::Quote(stack)],
        });
    }
    let mut before = Table::new("The events before it, the last one last", &["what", "#bytes", "where"]);
    for event in failed.at("before").items().iter().take(20) {
        before.row([
            Cell::text(shown(event.at("action").text().unwrap_or("unknown"))),
            event.at("bytes").figure(Unit::Memory),
            event.at("place").text().map_or_else(Cell::absent, |place| Cell::text(shown(place))),
        ]);
    }
    if !before.rows.is_empty() {
        blocks.push(Block::Table(before.without_empty_columns()));
    }
    let rest = holders("The largest, in bytes asked for", &failed.path("moment/alive"));
    blocks.extend(rest.map(|rest| Block::Folded { title: "Who held the rest".to_owned(), blocks: vec![rest] }));
    blocks
}
