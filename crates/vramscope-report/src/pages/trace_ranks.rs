//! The traces of several ranks: who waits for whom, and what each did.

use super::trace::{
    bound, categories, device_lane, file_name, first, folded, lanes_picture, shown, top_kernels, verdict,
};
use crate::cell::{Cell, Tone};
use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Finding, Page, Picture, Section, Table, Weight};
use crate::svg::{Lane, ShareRow, shares};
use crate::unit::Unit;

/// Ranks in pictures at most.
const MOST_RANKS: usize = 64;
/// Ranks whose lanes are drawn, and that have a section of their own.
const MOST_TRACES: usize = 16;

/// The parts of a rank's time.
const PARTS: [(usize, &str); 4] = [(3, "compute"), (4, "communication alone"), (6, "copies alone"), (9, "idle")];

pub(crate) fn page(document: &Document) -> Page {
    let root = document.root(0);
    let (ranks, rest) = first(&root.at("ranks"), MOST_RANKS, None);
    let mut sections = vec![answer(&root, &ranks, rest)];
    sections.extend(over_time(&root));
    let (traces, rest) = first(&root.at("traces"), MOST_TRACES, None);
    let mut blocks: Vec<Block> = traces.iter().map(one).collect();
    blocks.extend(rest.map(Block::Text));
    if !blocks.is_empty() {
        sections.push(Section::new("Each rank", blocks));
    }
    let count = root.at("ranks").items().len();
    Page {
        title: format!("Traces of {count} ranks"),
        about: "Several traces of one run, one a rank.".to_owned(),
        sections,
    }
}

fn rank_name(rank: &Node<'_>, file: &Node<'_>) -> String {
    match rank.count() {
        Some(rank) => format!("rank {rank}"),
        None => file_name(file.text().unwrap_or("")),
    }
}

fn name(row: &Node<'_>) -> String {
    rank_name(&row.at("rank"), &row.at("file"))
}

fn answer(root: &Node<'_>, ranks: &[Node<'_>], rest: Option<String>) -> Section {
    let spread = root.at("spread").items();
    let of = |name: &str| spread.iter().find(|row| row.at("name").text() == Some(name));
    let straggler = root.at("straggler").text();
    let mut figures = vec![("Straggler".to_owned(), Cell::text(straggler.map_or_else(|| "none".to_owned(), shown)))];
    for (key, what) in [
        ("communication", "Communication: ranks differ by"),
        ("compute", "Compute: ranks differ by"),
        ("busy", "Busy: ranks differ by"),
    ] {
        let cell = of(key).map_or_else(Cell::absent, |row| row.at("imbalance").figure(Unit::Share));
        if !cell.is_absent() {
            figures.push((what.to_owned(), cell));
        }
    }
    let finding = |weight, text, advice| Finding { weight, text, advice, code: None };
    let finding = match straggler {
        Some(rank) => finding(
            Weight::Warning,
            format!("The others wait for {}: it spends the least time in communication, and they spend more.", shown(rank)),
            Some("A rank that comes late to a collective makes all others wait in it. Look at what it does before: more compute, or a host that launches late.".to_owned()),
        ),
        None => {
            finding(Weight::Good, "No rank makes the others wait: their times in communication hardly differ.".to_owned(), None)
        }
    };
    let mut table = Table::new("How far the ranks are apart", &["what", "#least", "#most", "#apart, of the most"]);
    for row in spread.iter().take(20) {
        table.row([
            row.at("name").cell(),
            row.at("min_ns").figure(Unit::Time),
            row.at("max_ns").figure(Unit::Time),
            row.at("imbalance").figure(Unit::Share),
        ]);
    }
    let mut blocks = vec![Block::Headline(figures), Block::Findings(vec![finding])];
    blocks.push(Block::Picture(by_rank(ranks, straggler)));
    blocks.extend(rest.map(Block::Text));
    blocks.push(Block::Table(table));
    Section::new("Who waits for whom", blocks)
}

/// What each rank did with its time.
fn by_rank(ranks: &[Node<'_>], straggler: Option<&str>) -> Picture {
    let heads =
        &["rank", "#span", "#busy", "#compute", "#communication", "#communication alone", "what limits its GPU"];
    let mut table = Table::new("GPU time of each rank, summed over its devices", heads);
    let mut rows = Vec::new();
    for row in ranks {
        let ns = |key: &str| row.at(key).number().unwrap_or(0.0);
        let (busy, compute, alone) = (ns("busy_ns"), ns("compute_ns"), ns("exposed_communication_ns"));
        let parts = vec![compute, alone, (busy - compute - alone).max(0.0), (ns("span_ns") - busy).max(0.0)];
        rows.push(ShareRow { name: name(row), parts });
        let mut cells = vec![Cell::text(name(row))];
        if straggler == Some(cells[0].text.as_str()) {
            cells[0] = Cell::text(format!("{} (straggler)", name(row))).tone(Tone::Warning);
        }
        let keys = ["span_ns", "busy_ns", "compute_ns", "communication_ns", "exposed_communication_ns"];
        cells.extend(keys.map(|key| row.at(key).figure(Unit::Time)));
        cells.push(Cell::text(bound(row.at("bound").text().unwrap_or(""))));
        table.row(cells);
    }
    let by_communication = |a: &&ShareRow, b: &&ShareRow| a.parts[1].total_cmp(&b.parts[1]);
    let say = |row: &ShareRow| format!("{} {}", row.name, Unit::Time.show(row.parts[1]));
    let words = match (rows.iter().min_by(by_communication), rows.iter().max_by(by_communication)) {
        (Some(least), Some(most)) => {
            format!("Communication alone: the least {}, the most {}.", say(least), say(most))
        }
        _ => "No rank has GPU work.".to_owned(),
    };
    Picture {
        title: "What each rank did with its time".to_owned(),
        words,
        svg: shares(&rows, &PARTS, Unit::Time),
        table: Some(table),
        sparks: vec![("communication alone, rank by rank".to_owned(), rows.iter().map(|row| row.parts[1]).collect())],
    }
}

/// The lanes of all ranks. Where their clocks do not meet, each begins at its own first operation.
fn over_time(root: &Node<'_>) -> Option<Section> {
    let mut lanes: Vec<Lane> = Vec::new();
    for trace in root.at("traces").items().iter().take(MOST_TRACES) {
        let rank = rank_name(&trace.path("exact/rank"), &trace.path("file/name"));
        let devices = trace.at("devices").items();
        for device in &devices {
            let named = shown(device.at("device").text().unwrap_or(""));
            let name = if devices.len() == 1 { rank.clone() } else { format!("{rank}, GPU {named}") };
            lanes.extend(device_lane(device, name));
        }
        lanes.truncate(MOST_TRACES);
    }
    if lanes.is_empty() {
        return None;
    }
    let last_start = lanes.iter().map(|lane| lane.start).fold(f64::NEG_INFINITY, f64::max);
    let first_end = lanes.iter().map(Lane::end).fold(f64::INFINITY, f64::min);
    let meet = last_start < first_end;
    let text = if meet {
        "The clocks of these traces meet. Where the ranks ran on one host, what is below each other happened at the same time."
    } else {
        "The clocks of these traces do not meet, so each rank begins at its own first operation: what is below each other need not have happened at the same time."
    };
    if !meet {
        lanes.iter_mut().for_each(|lane| lane.start = 0.0);
    }
    let picture = Block::Picture(lanes_picture(lanes, Vec::new()));
    Some(Section::new("Ranks over time", [Block::Text(text.to_owned()), picture]))
}

/// One rank, folded.
fn one(trace: &Node<'_>) -> Block {
    let name = rank_name(&trace.path("exact/rank"), &trace.path("file/name"));
    let file = file_name(trace.path("file/name").text().unwrap_or(""));
    let limit = bound(trace.path("verdict/bound").text().unwrap_or(""));
    let mut blocks = vec![Block::Text(format!("{file}. What limits its GPU: {limit}."))];
    blocks.extend(verdict(&trace.at("verdict")));
    let mut table =
        Table::new("Its devices", &["device", "#span", "#busy", "#busy share", "#idle", "#communication alone"]);
    for device in trace.at("devices").items().iter().take(16) {
        let whole = device.at("whole");
        table.row([
            device.at("device").text().map_or_else(Cell::absent, |name| Cell::text(format!("GPU {}", shown(name)))),
            whole.at("span_ns").figure(Unit::Time),
            whole.at("busy_ns").figure(Unit::Time),
            whole.at("busy_share").figure(Unit::Share),
            whole.at("idle_ns").figure(Unit::Time),
            whole.at("exposed_communication_ns").figure(Unit::Time),
        ]);
    }
    if !table.rows.is_empty() {
        blocks.push(folded("Its devices", table, None));
    }
    blocks.extend(categories(trace).map(Block::Picture));
    blocks.extend(top_kernels(trace, 30));
    Block::Folded { title: format!("{name}: {limit}"), blocks }
}
