//! What the host did: operators, calls of the runtime, layers and spans that the program named.

use super::ranked::Ranked;
use super::time::name_cell;
use crate::cell::Cell;
use crate::node::Node;
use crate::page::{Block, Picture, Section, Table};
use crate::svg::{Plot, Series, Shape};
use crate::unit::Unit;

/// Operators in the picture.
const IN_PICTURE: usize = 12;
/// Layers in the picture at most.
const MOST_LAYERS: usize = 500;

pub(super) fn section(root: &Node<'_>) -> Option<Section> {
    let mut blocks: Vec<Block> = Vec::new();
    blocks.extend(operators(root));
    blocks.extend(layers(root));
    blocks.extend(scopes(root));
    blocks.extend(calls(
        &root.at("calls"),
        "Calls of the GPU runtime",
        "Calls of the GPU runtime and driver, the longest total first",
    ));
    blocks.extend(flops(root));
    super::section_of("On the host", blocks)
}

fn operators(root: &Node<'_>) -> Vec<Block> {
    let (rows, rest) = super::first(&root.at("operators"), super::MOST_ROWS, root.at("operators_unique").count());
    if rows.is_empty() {
        return Vec::new();
    }
    let table = Table::new(
        "Operators of the framework, the longest time of their own first. Kernels are those that the operator launched itself",
        &["operator", "#count", "#its own time", "#with operators within", "#longest", "#kernels", "#kernel time"],
    );
    let mut ranked = Ranked::new(table, IN_PICTURE);
    for row in &rows {
        let own = row.at("own_ns").figure(Unit::Time);
        let name = super::shown(row.at("name").text().unwrap_or(""));
        let bar = (name, row.at("own_ns").number(), 3, own.text.clone());
        let cells = vec![
            name_cell(&row.at("name")),
            row.at("count").figure(Unit::Count),
            own,
            row.at("total_ns").figure(Unit::Time),
            row.at("max_ns").figure(Unit::Time),
            row.path("gpu/kernels").figure(Unit::Count),
            row.path("gpu/kernel_time_ns").figure(Unit::Time),
        ];
        ranked.row(bar, cells);
    }
    let outside = root.at("outside_operators");
    if outside.at("kernels").count().is_some_and(|kernels| kernels > 0) {
        let mut row =
            vec![Cell::text("outside of any operator"), Cell::absent(), Cell::absent(), Cell::absent(), Cell::absent()];
        row.push(outside.at("kernels").figure(Unit::Count));
        row.push(outside.at("kernel_time_ns").figure(Unit::Time));
        ranked.other(row);
    }
    let picture = ranked.picture("Operators on the CPU, time of their own", "The most:", "");
    let mut blocks = vec![Block::Picture(picture)];
    blocks.extend(rest.map(Block::Text));
    blocks
}

fn layers(root: &Node<'_>) -> Vec<Block> {
    let (rows, rest) = super::first(&root.at("layers"), MOST_LAYERS, None);
    if rows.is_empty() {
        return Vec::new();
    }
    let mut table = Table::new(
        "Layers of the model in their order",
        &["layer", "#count", "#on the CPU", "#kernels launched within", "#time of those kernels"],
    );
    for row in rows.iter().take(super::MOST_ROWS) {
        table.row([
            name_cell(&row.at("name")),
            row.at("count").figure(Unit::Count),
            row.at("cpu_ns").figure(Unit::Time),
            row.path("gpu/kernels").figure(Unit::Count),
            row.path("gpu/kernel_time_ns").figure(Unit::Time),
        ]);
    }
    let line = |name: &str, path: &str, colour| {
        #[expect(clippy::cast_precision_loss, reason = "a number of layers")]
        let point = |(place, row): (usize, &Node<'_>)| Some((place as f64 + 1.0, row.path(path).number()? / 1e6));
        let points = rows.iter().enumerate().filter_map(point).collect();
        Series { name: name.to_owned(), points, spread: Vec::new(), shape: Shape::Line, colour }
    };
    let series = vec![line("on the CPU", "cpu_ns", 2), line("kernels", "gpu/kernel_time_ns", 3)];
    let longest = |path: &'static str| {
        let time = |row: &&Node<'_>| row.path(path).number().unwrap_or(0.0);
        let row = rows.iter().max_by(|a, b| time(a).total_cmp(&time(b)))?;
        Some(format!("{} with {}", super::shown(row.at("name").text()?), Unit::Time.show(time(&row))))
    };
    let words = format!(
        "{} layers. The longest on the CPU: {}; the most kernel time: {}.",
        rows.len(),
        longest("cpu_ns").unwrap_or_default(),
        longest("gpu/kernel_time_ns").unwrap_or_default()
    );
    let plot = Plot { x: "layer, in order".to_owned(), y: "ms".to_owned(), series, ..Plot::default() };
    let title = "Layers of the model".to_owned();
    let mut blocks =
        vec![Block::Picture(Picture { title, words, svg: plot.draw(), table: Some(table), sparks: Vec::new() })];
    blocks.extend(rest.map(Block::Text));
    blocks
}

fn scopes(root: &Node<'_>) -> Option<Block> {
    let (rows, rest) = super::first(&root.at("scopes"), super::MOST_ROWS, None);
    let mut table = Table::new(
        "Spans that the program named, the longest total first; a kernel counts in each span around its launch",
        &["span", "#count", "#on the CPU", "#kernels launched within", "#time of those kernels"],
    );
    for row in &rows {
        table.row([
            name_cell(&row.at("name")),
            row.at("count").figure(Unit::Count),
            row.at("cpu_ns").figure(Unit::Time),
            row.path("gpu/kernels").figure(Unit::Count),
            row.path("gpu/kernel_time_ns").figure(Unit::Time),
        ]);
    }
    (!table.rows.is_empty()).then(|| super::folded("Spans that the program named", table, rest))
}

/// Calls by name.
pub(super) fn calls(list: &Node<'_>, title: &str, caption: &str) -> Option<Block> {
    let (rows, rest) = super::first(list, super::MOST_ROWS, None);
    let mut table = Table::new(caption, &["name", "#count", "#time", "#longest"]);
    for row in &rows {
        table.row([
            name_cell(&row.at("name")),
            row.at("count").figure(Unit::Count),
            row.at("total_ns").figure(Unit::Time),
            row.at("max_ns").figure(Unit::Time),
        ]);
    }
    (!table.rows.is_empty()).then(|| super::folded(title, table, rest))
}

fn flops(root: &Node<'_>) -> Option<Block> {
    let flops = root.at("flops");
    flops.at("total").number()?;
    let by = flops.at("stated_by").text().unwrap_or("");
    let heads = &["what", "name", "#how many state them", "#operations", "#kernel time", "#operations a second"];
    let mut table =
        Table::new(format!("Floating-point operations that the trace states; the total is stated by {by}"), heads);
    table.row([
        Cell::text("all"),
        Cell::text(""),
        Cell::absent(),
        flops.at("total").figure(Unit::Count),
        flops.at("busy_ns").figure(Unit::Time),
        flops.at("per_second").figure(Unit::Plain),
    ]);
    for (key, what) in [("operators", "operator"), ("kernels", "kernel")] {
        for row in flops.at(key).items().iter().take(50) {
            table.row([
                Cell::text(what),
                name_cell(&row.at("name")),
                row.at("count").figure(Unit::Count),
                row.at("flops").figure(Unit::Count),
                row.at("kernel_time_ns").figure(Unit::Time),
                row.at("per_second").figure(Unit::Plain),
            ]);
        }
    }
    Some(super::folded("Floating-point operations", table, None))
}
