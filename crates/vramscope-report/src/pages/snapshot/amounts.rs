//! What is reserved, taken apart: parts, rounding, and what is free; and the same by pool and stream.

use std::collections::BTreeSet;

use super::{MIXED, part};
use crate::cell::Cell;
use crate::node::Node;
use crate::page::{Block, Picture, Section, Table};
use crate::pages::trace::{MOST_ROWS, shown};
use crate::pages::waterfall::{Step, waterfall};
use crate::unit::Unit;

pub(super) fn section(root: &Node<'_>) -> Section {
    let totals = root.at("totals");
    let mut figures = Vec::new();
    let mut add = |name: &str, cell: Cell| {
        if !cell.is_absent() {
            figures.push((name.to_owned(), cell));
        }
    };
    add("Reserved of the driver", totals.at("reserved_bytes").figure(Unit::Memory));
    add("In active blocks", totals.at("active_bytes").figure(Unit::Memory));
    let histories = root.at("histories").items();
    if let [history] = histories.as_slice() {
        add("Highest use recorded", history.path("peak/requested_bytes").figure(Unit::Memory));
        let failed = history.at("out_of_memories");
        if failed.count().is_some_and(|count| count > 0) {
            add("Out-of-memories", failed.figure(Unit::Count));
        }
    }
    add("Largest free block", totals.at("largest_free_bytes").figure(Unit::Memory));
    let mut blocks = Vec::new();
    if !figures.is_empty() {
        blocks.push(Block::Headline(figures));
    }
    blocks.extend(picture(root).map(Block::Picture));
    blocks.push(Block::Table(table(&totals)));
    Section::new("What the allocator has", blocks)
}

/// A step of the picture: its name, its figure, its colour, what it is.
struct Amount<'d> {
    name: String,
    size: Node<'d>,
    colour: usize,
}

/// Parts, rounding, releasable and split, in this order; none where the document does not have all of them.
fn amounts<'d>(root: &Node<'d>) -> Option<Vec<Amount<'d>>> {
    let totals = root.at("totals");
    let parts = root.at("parts").items();
    let knows_requested =
        totals.at("rounding_bytes").is_there() && parts.iter().all(|row| row.at("requested_bytes").is_there());
    let key = if knows_requested { "requested_bytes" } else { "active_bytes" };
    let mut all: Vec<Amount<'d>> = parts
        .iter()
        .take(MOST_ROWS)
        .map(|row| {
            let (name, colour) = part(row.at("name").text());
            Amount { name, size: row.at(key), colour }
        })
        .collect();
    if all.is_empty() {
        return None;
    }
    let rest =
        [("rounding", "rounding_bytes", 8), ("releasable", "releasable_bytes", MIXED), ("split", "split_bytes", MIXED)];
    for (name, key, colour) in rest {
        if key != "rounding_bytes" || knows_requested {
            all.push(Amount { name: name.to_owned(), size: totals.at(key), colour });
        }
    }
    all.iter().all(|amount| amount.size.number().is_some()).then_some(all)
}

fn picture(root: &Node<'_>) -> Option<Picture> {
    let all = amounts(root)?;
    let reserved = root.path("totals/reserved_bytes");
    let size = reserved.number()?;
    let mut table = Table::new("From nothing to what is reserved", &["", "#memory"]);
    let mut steps = Vec::new();
    for amount in &all {
        let bytes = amount.size.number().unwrap_or(0.0);
        table.row([Cell::text(amount.name.clone()), amount.size.figure(Unit::Memory)]);
        if bytes != 0.0 {
            let share = if size > 0.0 { format!(" ({})", Unit::Share.show(bytes / size)) } else { String::new() };
            let words = format!("{}{share}", Unit::Memory.show(bytes));
            steps.push(Step::more(amount.name.clone(), bytes, amount.colour, words));
        }
    }
    table.row(["reserved".into(), reserved.figure(Unit::Memory)]);
    let mut largest: Vec<&Amount<'_>> = all.iter().collect();
    largest.sort_by(|a, b| b.size.number().unwrap_or(0.0).total_cmp(&a.size.number().unwrap_or(0.0)));
    let named: Vec<String> = largest
        .iter()
        .take(4)
        .filter(|amount| amount.size.number() != Some(0.0))
        .map(|amount| format!("{} {}", amount.name, amount.size.figure(Unit::Memory).text))
        .collect();
    let words = format!(
        "Each bar begins where the one above it ends; together they are the {} that is reserved. {}Releasable memory could go \
         back to the driver; split memory is free and stays, for tensors of its pool and stream alone.",
        Unit::Memory.show(size),
        if named.is_empty() { String::new() } else { format!("The largest are {}. ", named.join(", ")) }
    );
    let last = Some(("reserved".to_owned(), size, MIXED, Unit::Memory.show(size)));
    Some(Picture {
        title: "What reserved memory is made of".to_owned(),
        words,
        svg: waterfall(None, &steps, last),
        table: Some(table),
        sparks: Vec::new(),
    })
}

fn table(totals: &Node<'_>) -> Table {
    let mut table = Table::new(
        "Amounts. Reserved is active and free, active is allocated and waiting, or requested and rounding; free is releasable and split",
        &["memory", "#size", "what it is"],
    );
    for (name, key, what) in [
        ("reserved", "reserved_bytes", "of the driver, in whole segments"),
        ("active", "active_bytes", "blocks that nothing else can use"),
        ("allocated", "allocated_bytes", "blocks that tensors have"),
        ("waiting", "waiting_bytes", "freed, and another stream may still read them"),
        ("requested", "requested_bytes", "what tensors asked for in active blocks"),
        ("rounding", "rounding_bytes", "added by rounding up"),
        ("free", "inactive_bytes", "blocks that are free"),
        ("releasable", "releasable_bytes", "torch.cuda.empty_cache could give it back"),
        ("split", "split_bytes", "beside blocks in use, or of a private pool"),
        (
            "the largest free block",
            "largest_free_bytes",
            "what one tensor of its pool and stream gets without the driver",
        ),
        ("expandable", "expandable_bytes", "ranges of expandable segments"),
    ] {
        table.row([name.into(), totals.at(key).figure(Unit::Memory), what.into()]);
    }
    for (name, key) in [("segments", "segments"), ("active blocks", "active_blocks"), ("free blocks", "free_blocks")] {
        table.row([name.into(), totals.at(key).figure(Unit::Count), "".into()]);
    }
    table.rows.retain(|row| !row[1].is_absent());
    table
}

/// By pool and stream, where there is more than one.
pub(super) fn pools(root: &Node<'_>) -> Option<Section> {
    let pools = root.at("pools").items();
    // Streams are addresses to torch, which tell a person nothing: they are numbered as they come.
    let streams: BTreeSet<u64> =
        pools.iter().filter_map(|pool| pool.at("stream").count()).filter(|own| *own != 0).collect();
    let number = |pool: &Node<'_>| match pool.at("stream").count() {
        Some(0) => Cell::text("default"),
        Some(own) => Cell::text(format!("stream {}", streams.iter().take_while(|other| **other < own).count() + 1)),
        None => Cell::absent(),
    };
    let mut table = Table::new(
        "Pools and streams; they sum to the whole",
        &[
            "pool",
            "stream",
            "#device",
            "#reserved",
            "#active",
            "#requested",
            "#rounding",
            "#releasable",
            "#split",
            "#largest free",
            "whose",
        ],
    );
    for pool in &pools {
        let of = |key: &str| pool.at("amounts").at(key).figure(Unit::Memory);
        table.row([
            pool_name(pool),
            number(pool),
            pool.at("device").figure(Unit::Count),
            of("reserved_bytes"),
            of("active_bytes"),
            of("requested_bytes"),
            of("rounding_bytes"),
            of("releasable_bytes"),
            of("split_bytes"),
            of("largest_free_bytes"),
            whose(pool),
        ]);
    }
    if table.rows.is_empty() {
        return None;
    }
    Some(Section::new("Pools", [Block::Table(table.without_empty_columns().at_most(MOST_ROWS))]))
}

fn pool_name(pool: &Node<'_>) -> Cell {
    let numbers: Vec<String> = pool.at("pool").items().iter().take(2).filter_map(Node::words).collect();
    if numbers.is_empty() { Cell::text("unknown") } else { Cell::text(shown(&numbers.join(", "))) }
}

fn whose(pool: &Node<'_>) -> Cell {
    let kind = match pool.at("kind").text() {
        Some("default") => return Cell::text("the default pool"),
        Some("capture") => "made by a graph's capture".to_owned(),
        Some("program") => "made by the program".to_owned(),
        Some(other) => shown(other),
        None => return Cell::absent(),
    };
    match pool.at("mostly").text() {
        Some(mostly) => Cell::text(format!("{kind}, mostly {}", shown(mostly))),
        None => Cell::text(kind),
    }
}
