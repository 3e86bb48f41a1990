//! What the trace is, and what is odd about it.

use super::host::calls;
use crate::cell::Cell;
use crate::node::Node;
use crate::page::{Block, Finding, Section, Table, Weight};
use crate::unit::Unit;

/// Below the title.
pub(super) fn line(root: &Node<'_>) -> String {
    let mut parts = Vec::new();
    let gpus: Vec<String> = root.path("trace/gpus").items().iter().filter_map(|gpu| gpu.at("name").words()).collect();
    if let Some(first) = gpus.first() {
        let first = super::shown(first);
        parts.push(if gpus.len() == 1 {
            first
        } else {
            format!("{} GPUs in the host, the first a {first}", gpus.len())
        });
    }
    if let (Some(rank), Some(world)) = (root.path("exact/rank").count(), root.path("exact/world_size").count()) {
        parts.push(format!("rank {rank} of {world}"));
    }
    parts.push(format!("{} events", root.path("exact/events").figure(Unit::Count).text));
    if let (Some(from), Some(to)) = (root.path("between/from_ns").number(), root.path("between/to_ns").number()) {
        let begin = root.at("start_ns").number().unwrap_or(from);
        let part = [from, to].map(|at| Unit::Time.show(at - begin)).join(" to ");
        parts.push(format!("only a part of the time: {part} after the first event"));
    }
    format!("{}.", parts.join(", "))
}

pub(super) fn section(root: &Node<'_>) -> Section {
    let mut blocks = Vec::new();
    let (notes, rest) = super::first(&root.at("notes"), 50, None);
    let notes: Vec<Finding> = notes
        .iter()
        .map(|note| Finding {
            weight: Weight::Warning,
            text: format!(
                "{} ({} times)",
                note.at("text").text().unwrap_or(""),
                note.at("count").figure(Unit::Count).text
            ),
            advice: None,
            code: note.at("kind").text().map(str::to_owned),
        })
        .collect();
    if notes.is_empty() {
        blocks.push(Block::Text("Nothing is odd about the file.".to_owned()));
    } else {
        blocks.push(Block::Findings(notes));
    }
    blocks.extend(rest.map(Block::Text));
    blocks.extend(calls(
        &root.at("profiler_overhead"),
        "Time that the profiler took for itself",
        "Time that the profiler took for itself, by name",
    ));
    let mut table = Table::new("The file, and what the trace says about itself", &["what", "#value"]);
    let (file, trace, exact) = (root.at("file"), root.at("trace"), root.at("exact"));
    let text = |node: Node<'_>| node.words().map_or_else(Cell::absent, |words| Cell::text(super::shown(&words)));
    let mut add = |what: &str, cell: Cell| {
        if !cell.is_absent() {
            table.row([Cell::text(what), cell]);
        }
    };
    add("file", text(file.at("name")));
    add("packed as", text(file.at("compression")));
    add("size of the file", file.at("file_bytes").figure(Unit::Memory));
    add("size of its JSON", file.at("json_bytes").figure(Unit::Memory));
    add("events", exact.at("events").figure(Unit::Count));
    add("kernels whose launch is in the trace", exact.at("kernels_with_launch").figure(Unit::Count));
    add("platform", text(trace.at("platform")));
    add("library of communication", text(trace.at("backend")));
    for (key, value) in trace.members() {
        if key.ends_with("_version") {
            add(&format!("version of {}", super::shown(key.trim_end_matches("_version"))), text(value));
        }
    }
    add("python stacks recorded", text(trace.at("with_stack")));
    add("shapes recorded", text(trace.at("record_shapes")));
    add("memory recorded", text(trace.at("profile_memory")));
    for gpu in trace.at("gpus").items().iter().take(16) {
        let name = gpu.at("name").words().unwrap_or_default();
        let called =
            format!("GPU {}: {}", super::shown(&gpu.at("id").words().unwrap_or_default()), super::shown(&name));
        add(&called, gpu.at("memory_bytes").figure(Unit::Memory));
    }
    blocks.push(super::folded("The file, and what the trace says about itself", table, None));
    Section::new("About the trace", blocks)
}
