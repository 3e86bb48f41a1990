//! What the framework's allocator reported.

use super::time::name_cell;
use crate::node::Node;
use crate::page::{Block, Picture, Section, Table};
use crate::svg::{Plot, Series, Shape};
use crate::unit::Unit;

/// Of less there is no picture: a line of some bytes says nothing.
const LEAST: f64 = 16.0 * 1024.0 * 1024.0;
/// Devices of the allocator at most, and points of a line.
const MOST_DEVICES: usize = 8;
const MOST_POINTS: usize = 600;

pub(super) fn section(root: &Node<'_>) -> Option<Section> {
    let (devices, rest) = super::first(&root.at("memory"), MOST_DEVICES, None);
    let mut table = Table::new(
        "Memory of the framework's allocator. A device is its type and number: type 0 is the CPU, 1 CUDA, 6 HIP",
        &["device", "#peak allocated", "#peak held", "#allocations and frees", "#allocated in all", "#freed in all"],
    );
    let mut blocks = Vec::new();
    for device in &devices {
        table.row([
            name_cell(&device.at("device")),
            device.at("peak_allocated_bytes").figure(Unit::Memory),
            device.at("peak_reserved_bytes").figure(Unit::Memory),
            device.at("events").figure(Unit::Count),
            device.at("allocated_bytes").figure(Unit::Memory),
            device.at("freed_bytes").figure(Unit::Memory),
        ]);
        blocks.extend(picture(root, device).map(Block::Picture));
    }
    if table.rows.is_empty() {
        return None;
    }
    blocks.insert(0, Block::Table(table.without_empty_columns()));
    blocks.extend(rest.map(Block::Text));
    Some(Section::new("Memory", blocks))
}

fn picture(root: &Node<'_>, device: &Node<'_>) -> Option<Picture> {
    let points = device.at("timeline").items();
    let begin = root.at("start_ns").number().or_else(|| points.first()?.at("at_ns").number())?;
    let most = ["peak_reserved_bytes", "peak_allocated_bytes"].map(|key| device.at(key).number().unwrap_or(0.0));
    if points.len() < 2 || most[0].max(most[1]) < LEAST {
        return None;
    }
    let line = |name: &str, key: &str, colour| {
        let point = |point: &Node<'_>| {
            Some(((point.at("at_ns").number()? - begin) / 1e6, Unit::Memory.scaled(point.at(key).number()?)))
        };
        let all: Vec<(f64, f64)> = points.iter().filter_map(point).collect();
        let size = all.len().div_ceil(MOST_POINTS).max(1);
        let highest = |group: &[(f64, f64)]| group.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
        let points: Vec<(f64, f64)> = all.chunks(size).filter_map(highest).collect();
        (!points.is_empty()).then(|| Series {
            name: name.to_owned(),
            points,
            spread: Vec::new(),
            shape: Shape::Step,
            colour,
        })
    };
    let series: Vec<Series> =
        [line("held", "reserved_bytes", 0), line("allocated", "allocated_bytes", 1)].into_iter().flatten().collect();
    let sparks =
        series.iter().map(|one| (one.name.clone(), one.points.iter().map(|point| point.1).collect())).collect();
    let name = super::shown(device.at("device").text().unwrap_or(""));
    let peak = device.at("peak_allocated_bytes").figure(Unit::Memory).text;
    let at = device
        .at("peak_at_ns")
        .number()
        .map_or_else(String::new, |at| format!(", {} after the first event", Unit::Time.show(at - begin)));
    let plot = Plot { x: "ms from the first event on".to_owned(), y: "GiB".to_owned(), series, ..Plot::default() };
    Some(Picture {
        title: format!("Memory of device {name} over time"),
        words: format!(
            "The most that was allocated at once is {peak}{at}. The largest values of each step of time are drawn."
        ),
        svg: plot.draw(),
        table: None,
        sparks,
    })
}
