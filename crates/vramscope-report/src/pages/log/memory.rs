//! How much memory is where, as a log states it: by the engine's names for places, or of each engine.

use super::MOST_ENGINES;
use crate::cell::Cell;
use crate::node::Node;
use crate::page::Table;
use crate::pages::named::{self, MOST_ROWS};
use crate::pages::parts::sum;
use crate::unit::Unit;

/// Bytes of a GiB, in which the summary has memory as it was printed.
const GIB: f64 = 1_073_741_824.0;

/// Buffers of one kind at one place, which add up.
struct Held<'d> {
    kind: &'d str,
    place: Option<&'d str>,
    on_host: bool,
    of_draft: bool,
    planned: bool,
    buffers: Vec<Node<'d>>,
}

/// Whether any engine states any memory.
pub(super) fn is_stated(engines: &[Node<'_>]) -> bool {
    let states = |engine: &Node<'_>| {
        !engine.at("buffers").items().is_empty()
            || engine.at("figures").items().iter().any(|figure| figure.at("memory").is_there())
    };
    engines.iter().any(states)
}

/// What an engine holds: what is on a device first, in the order of the log. Plans stand for what is where there is
/// nothing else.
fn held<'d>(engine: &Node<'d>) -> Vec<Held<'d>> {
    let mut all: Vec<Held<'d>> = Vec::new();
    for buffer in engine.at("buffers").items() {
        let (Some(kind), Some(_)) = (buffer.at("kind").text(), buffer.at("bytes").number()) else { continue };
        let one = Held {
            kind,
            place: buffer.at("place").text(),
            on_host: buffer.at("on_host").is_true(),
            of_draft: buffer.at("of_draft").is_true(),
            planned: buffer.at("planned").is_true(),
            buffers: Vec::new(),
        };
        let rank = buffer.at("rank").count();
        let alike = |known: &Held<'d>| {
            let key = |held: &Held<'d>| (held.kind, held.place, held.on_host, held.of_draft, held.planned);
            // Without a place it is the device of its rank, and each rank has its own.
            let rank_of = known.buffers.first().and_then(|first| first.at("rank").count());
            key(known) == key(&one) && (one.place.is_some() || rank_of == rank)
        };
        match all.iter().position(alike) {
            Some(known) => all[known].buffers.push(buffer),
            None if all.len() > MOST_ROWS => {}
            None => all.push(Held { buffers: vec![buffer], ..one }),
        }
    }
    if all.iter().any(|held| !held.planned) {
        all.retain(|held| !held.planned);
    }
    all.sort_by_key(|held| (held.on_host, held.of_draft));
    all
}

impl Held<'_> {
    fn bytes(&self) -> Cell {
        let bytes: Vec<Node<'_>> = self.buffers.iter().map(|buffer| buffer.at("bytes")).collect();
        sum(&bytes)
    }

    fn lines(&self) -> Cell {
        let mut lines: Vec<String> = self.buffers.iter().filter_map(|buffer| buffer.at("line").words()).collect();
        lines.dedup();
        let more = if lines.len() > 6 { format!(" and {} more", lines.len() - 6) } else { String::new() };
        lines.truncate(6);
        Cell::text(format!("{}{more}", lines.join(", ")))
    }

    /// Where it is, as the engine calls it.
    fn place(&self) -> String {
        let rank = self.buffers.first().and_then(|first| first.at("rank").words());
        match (self.place, rank) {
            (Some(place), _) => place.to_owned(),
            (None, Some(rank)) => format!("the device of rank {rank}"),
            (None, None) if self.on_host => "the host".to_owned(),
            (None, None) => "the device".to_owned(),
        }
    }
}

/// Every amount at its place.
pub(super) fn table(engines: &[Node<'_>]) -> Option<Table> {
    let heads = ["#engine", "holds", "place", "#memory", "that is", "#log line"];
    let mut table = Table::new("Memory by place", &heads);
    for (number, engine) in engines.iter().enumerate().take(MOST_ENGINES) {
        for held in held(engine) {
            let said =
                [(held.on_host, "on the host"), (held.of_draft, "of the draft model"), (held.planned, "planned")];
            let said: Vec<&str> = said.into_iter().filter(|(is, _)| *is).map(|(_, words)| words).collect();
            let engine = if engines.len() > 1 { Cell::text((number + 1).to_string()) } else { Cell::absent() };
            let kind = Cell::text(named::words(held.kind));
            table.row([
                engine,
                kind,
                Cell::text(held.place()),
                held.bytes(),
                Cell::text(said.join(", ")),
                held.lines(),
            ]);
        }
    }
    if engines.len() < 2 {
        table.heads.remove(0);
        table.rows.iter_mut().for_each(|row| drop(row.remove(0)));
    }
    (!table.rows.is_empty()).then(|| table.without_empty_columns().at_most(MOST_ROWS))
}

/// Amounts in GiB as they were printed: one, or several with equal ones said once, from the least to the most.
pub(super) fn printed(value: &Node<'_>) -> Cell {
    let items = if value.number().is_some() { vec![value.clone()] } else { value.items() };
    let numbers: Vec<f64> = items.iter().filter_map(Node::number).collect();
    let Some(first) = items.iter().find(|item| item.number().is_some()) else { return Cell::absent() };
    let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let most = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let [low, high] = [least, most].map(|amount| Unit::Memory.show(amount * GIB));
    if low == high {
        let mut cell = first.figure(Unit::Plain);
        cell.text = high;
        return cell;
    }
    Cell::text(format!("{low} to {high}"))
}

/// A figure of the headline: at the first place on a device, else on the host; else what the summary has.
pub(super) fn headline(
    name: &str,
    (kind, stem): (&str, &str),
    summary: &Node<'_>,
    engines: &[Node<'_>],
    whose: &Whose<'_>,
) -> (String, Cell) {
    // Of several starts in one log the last is the one that is.
    let last = engines.iter().enumerate().rev().map(|(number, engine)| (number, held(engine)));
    let known =
        last.map(|(number, all)| (number, all.into_iter().filter(|held| held.kind == kind).collect::<Vec<_>>()));
    if let Some((number, all)) = known.into_iter().find(|(_, all)| !all.is_empty()) {
        // A lone place is named where it is not where people look for it.
        let place = if all.len() > 1 || all[0].on_host { format!(" on {}", all[0].place()) } else { String::new() };
        let planned = if all[0].planned { ", planned" } else { "" };
        let engine = if engines.len() > 1 { format!(", engine {}", number + 1) } else { String::new() };
        return (format!("{name}{place}{planned}{engine}"), all[0].bytes());
    }
    let value = summary.at(&format!("{stem}_gib"));
    (format!("{name}{}", whose.each(&value)), printed(&value))
}

/// Whose figures are those of a log that several engines write.
pub(super) struct Whose<'d> {
    /// The tokens that each data-parallel engine printed for its own KV cache; empty where there is one engine.
    tokens: Vec<Node<'d>>,
    /// How many engines the log says that there are, if it does.
    stated: Option<u64>,
    /// Engines that state any memory, one after the other in the document.
    engines: usize,
    /// How many of these have a KV cache's tokens.
    with_tokens: usize,
}

impl<'d> Whose<'d> {
    pub(super) fn of(summary: &Node<'d>, engines: &[Node<'d>]) -> Self {
        let of = |engine: &Node<'d>| -> Vec<Node<'d>> {
            let figures = engine.at("figures").items().into_iter();
            figures.filter(|figure| figure.at("key").text() == Some("kv_tokens")).collect()
        };
        let mut tokens = Vec::new();
        if let [engine] = engines {
            let mut seen = Vec::new();
            for figure in of(engine) {
                let worker = figure.at("worker").text();
                if !seen.contains(&worker) && seen.len() < MOST_ROWS {
                    seen.push(worker);
                    tokens.push(figure.at("count"));
                }
            }
        }
        // Only where the summary's figure is the sum of theirs do they hold different requests.
        let all = tokens.iter().try_fold(0_u64, |all, one| all.checked_add(one.count()?));
        if tokens.len() < 2 || all.is_none() || all != summary.at("kv_cache_tokens").count() {
            tokens.clear();
        }
        // One that ended before it printed any has none of what is said of each.
        let with_memory = engines.iter().filter(|engine| is_stated(std::slice::from_ref(*engine))).count();
        let with_tokens = engines.iter().filter(|engine| !of(engine).is_empty()).count();
        Self { tokens, stated: summary.at("data_parallel_size").count(), engines: with_memory, with_tokens }
    }

    /// Behind the name of an amount that each engine or each of its ranks has.
    fn each(&self, values: &Node<'_>) -> &'static str {
        let (engines, printed) = (self.tokens.len().max(self.engines), values.items().len());
        match (engines, printed) {
            (2.., ..) if printed > engines => " of each engine's ranks",
            (2.., _) => " of each engine",
            (_, 2..) => ", as printed several times",
            _ => "",
        }
    }

    /// Behind the name of what is of all of them.
    pub(super) fn together(&self) -> String {
        let seen = self.tokens.len();
        let stated = self.stated.filter(|stated| u64::try_from(seen).is_ok_and(|seen| *stated > seen));
        match (seen, stated) {
            (0, _) if self.with_tokens > 1 => format!(", the least of {} engines", self.with_tokens),
            (0, _) => String::new(),
            (_, Some(stated)) => format!(" of {seen} of {stated} engines"),
            (_, None) => format!(" of all {seen} engines"),
        }
    }

    pub(super) fn tokens_of_each(&self) -> Option<Cell> {
        let by_count = |node: &&Node<'d>| node.count();
        let (least, most) = (self.tokens.iter().min_by_key(by_count)?, self.tokens.iter().max_by_key(by_count)?);
        let [low, high] = [least, most].map(|node| node.figure(Unit::Count));
        Some(if low.text == high.text { high } else { Cell::text(format!("{} to {}", low.text, high.text)) })
    }
}
