//! How a run was set up, and on what evidence its profile rests.

use crate::cell::Cell;
use crate::node::Node;
use crate::page::{Block, Section, Table};
use crate::pages::named::{self, MOST_ROWS};
use crate::pages::parts;
use crate::pages::run::Run;
use crate::unit::Unit;

/// More quotes than this are a log.
const MOST_QUOTES: usize = 20;

/// Of a long output the end tells most.
const QUOTED: usize = 1500;

pub(super) fn section(run: &Run<'_>) -> Option<Section> {
    let root = &run.root;
    let mut blocks = Vec::new();
    let settings = [root.path("run_config/engine"), root.path("run_config/engine/other")];
    blocks.extend(
        named::table("The engine's settings; defaults are not filled in", &settings, &["other"]).map(Block::Table),
    );
    let engine = named::table("The engine", &[root.at("engine_metadata")], &[]);
    blocks.extend(engine.map(Block::Table));
    let asked = named::table("What was asked of it", &[root.path("run_config/workload")], &[]);
    blocks.extend(asked.map(Block::Table));
    // Version 1's names say the same once more.
    let twice = ["model_name", "prompt_length", "generated_length", "total_sequence_length", "batch_size"];
    let without: &[&str] = if root.path("run_config/workload").is_there() { &twice } else { &["model_name"] };
    blocks.extend(named::table("The model", &[root.at("model_info")], without).map(Block::Table));
    blocks.extend(gpus(run).map(Block::Table));
    blocks.extend(
        named::table("What ran the engine, and how it ended", &[root.at("host")], &["command"]).map(Block::Table),
    );
    let command: Vec<&str> = root.path("host/command").items().iter().filter_map(Node::text).take(MOST_ROWS).collect();
    if !command.is_empty() {
        blocks.push(Block::Quote(command.join(" ")));
    }
    (!blocks.is_empty()).then(|| Section::new("How it was set up", blocks))
}

fn gpus(run: &Run<'_>) -> Option<Table> {
    let heads =
        ["#GPU", "name", "#all memory", "#held back", "#usable", "vendor", "bus", "driver", "cut as", "identity"];
    let mut table = Table::new("The GPUs", &heads);
    for device in run.root.path("gpu_info/devices").items().iter().take(MOST_ROWS + 1) {
        let partition = device.at("partition").members();
        let words = partition.iter().filter_map(|(name, value)| Some(format!("{name} {}", value.words()?)));
        let words: Vec<String> = words.collect();
        table.row([
            named::identity(&device.at("index")),
            device.at("name").cell(),
            device.at("total_bytes").figure(Unit::Memory),
            device.at("reserved_bytes").figure(Unit::Memory),
            device.at("usable_bytes").figure(Unit::Memory),
            device.at("vendor").cell(),
            device.at("pci_bus_id").cell(),
            device.at("driver_version").cell(),
            if words.is_empty() { Cell::absent() } else { Cell::text(words.join(", ")) },
            device.at("uuid").cell(),
        ]);
    }
    (!table.rows.is_empty()).then(|| table.without_empty_columns().at_most(MOST_ROWS))
}

/// All that the page rests on, folded.
pub(super) fn evidence(run: &Run<'_>, is_drawn: bool) -> Option<Section> {
    let folded = |title: &str, blocks: Vec<Block>| {
        (!blocks.is_empty()).then(|| Block::Folded { title: title.to_owned(), blocks })
    };
    let gaps = if is_drawn { None } else { crate::time::gaps(&run.root) };
    let blocks = [
        folded("What the engine reported of itself", reported(run)),
        folded("Memory at three points of the run", measurements(run)),
        folded("What the GPU tool showed at one instant", at_one_instant(run)),
        folded("Spans without readings", gaps.into_iter().map(Block::Table).collect()),
        folded("The engine's output", quotes(run)),
        folded("Files and notes", files(run)),
        folded("How this document came from an earlier version", migration(run)),
    ];
    let blocks: Vec<Block> = blocks.into_iter().flatten().collect();
    (!blocks.is_empty()).then(|| Section::new("Evidence", blocks))
}

fn reported(run: &Run<'_>) -> Vec<Block> {
    let reported = run.reported();
    let mut blocks: Vec<Block> = Vec::new();
    let caption = "Of one rank: the largest where ranks differ, but the smallest for the KV cache";
    let mut table = named::table(caption, std::slice::from_ref(&reported), &["steps", "facts"]);
    for row in table.iter_mut().flat_map(|table| &mut table.rows) {
        // Not those at the peak.
        if row[0].text == "activations" {
            row[0].text = format!("{} (engine)", parts::name_of("activation_peak"));
        }
    }
    blocks.extend(table.map(Block::Table));
    let mut steps = Table::new("What it did", &["step", "#at", "#took", "#log line"]);
    for step in reported.at("steps").items().iter().take(MOST_ROWS + 1) {
        let name = step.at("name").text().map_or_else(Cell::absent, |name| Cell::text(named::words(name)));
        let at = step.at("at_s").figure(Unit::Seconds);
        steps.row([name, at, step.at("took_s").figure(Unit::Seconds), named::identity(&step.at("log_line"))]);
    }
    let heads = ["fact", "#value", "#±", "of", "#rank", "worker", "#log line"];
    let mut facts = Table::new("Every fact that the log prints", &heads);
    for fact in reported.at("facts").items().iter().take(MOST_ROWS + 1) {
        let name = fact.at("name").text().unwrap_or("?");
        let unit = match fact.at("unit").text() {
            Some("bytes") => Unit::Memory,
            Some("percent") => Unit::Percent,
            Some("seconds") => Unit::Seconds,
            Some("share") | None => Unit::Plain,
            Some(_) if fact.at("value").count().is_some() => Unit::Count,
            Some(_) => Unit::Plain,
        };
        let value = fact.at("value").figure(unit);
        facts.row([
            Cell::text(named::words(name)),
            if value.is_absent() { fact.at("text").cell() } else { value },
            fact.at("resolution").figure(unit),
            fact.at("scope").text().map_or_else(Cell::absent, |scope| Cell::text(named::words(scope))),
            named::identity(&fact.at("rank")),
            fact.at("worker").cell(),
            named::identity(&fact.at("log_line")),
        ]);
    }
    for table in [steps, facts] {
        if !table.rows.is_empty() {
            blocks.push(Block::Table(table.without_empty_columns().at_most(MOST_ROWS)));
        }
    }
    blocks
}

fn measurements(run: &Run<'_>) -> Vec<Block> {
    let heads = ["point", "#GPU", "#at", "#in use", "#free", "#all memory"];
    let mut table = Table::new("Memory in use as the driver counts it, by all processes", &heads);
    for (key, name) in [("baseline", "baseline"), ("post_warmup", "after warm-up"), ("peak", "peak")] {
        let point = run.root.at("memory_measurements").at(key);
        if point.at("total_bytes").is_there() {
            let at = point.at("at_ns").figure(Unit::Nanoseconds);
            table.row([Cell::text(name), "all".into(), at, point.at("total_bytes").figure(Unit::Memory)]);
        }
        let details = point.at("per_gpu_details").items();
        for device in details.iter().take(MOST_ROWS / 2) {
            let figures = ["used_bytes", "free_bytes", "total_bytes"].map(|name| device.at(name).figure(Unit::Memory));
            table
                .row([Cell::text(name), named::identity(&device.at("gpu")), Cell::absent()].into_iter().chain(figures));
        }
    }
    if table.rows.is_empty() {
        Vec::new()
    } else {
        vec![Block::Table(table.without_empty_columns().at_most(MOST_ROWS))]
    }
}

fn at_one_instant(run: &Run<'_>) -> Vec<Block> {
    let root = run.root.at("detailed_gpu_metrics");
    let heads = [
        "#GPU",
        "#in use",
        "#free",
        "#all",
        "#power",
        "#hottest",
        "#memory",
        "#kernels",
        "#traffic",
        "#clock",
        "#memory clock",
    ];
    let mut table = Table::new("At the peak, or at the last reading before it", &heads);
    let mut processes = Table::new("Processes", &["process", "#GPU", "#id", "#holds"]);
    for gpu in root.at("gpus").items().iter().take(MOST_ROWS + 1) {
        table.row([
            named::identity(&gpu.at("gpu_id")),
            gpu.at("vram_used_bytes").figure(Unit::Memory),
            gpu.at("vram_free_bytes").figure(Unit::Memory),
            gpu.at("vram_total_bytes").figure(Unit::Memory),
            gpu.at("power_watts").figure(Unit::Watts),
            gpu.at("hotspot_temp_c").figure(Unit::Celsius),
            gpu.at("memory_temp_c").figure(Unit::Celsius),
            gpu.at("gfx_utilization_pct").figure(Unit::Percent),
            gpu.at("mem_utilization_pct").figure(Unit::Percent),
            gpu.at("clock_gfx_mhz").figure(Unit::Megahertz),
            gpu.at("clock_mem_mhz").figure(Unit::Megahertz),
        ]);
        for process in gpu.at("processes").items().iter().take(MOST_ROWS + 1) {
            let holds = process.at("memory_bytes").figure(Unit::Memory);
            let id = named::identity(&process.at("pid"));
            processes.row([process.at("process_info").cell(), named::identity(&gpu.at("gpu_id")), id, holds]);
        }
    }
    let tables = [table, processes].into_iter().filter(|table| !table.rows.is_empty());
    tables.map(|table| Block::Table(table.without_empty_columns().at_most(MOST_ROWS))).collect()
}

fn quotes(run: &Run<'_>) -> Vec<Block> {
    let logs = run.root.at("raw_logs");
    let mut blocks = Vec::new();
    for one in logs.at("excerpts").items().iter().take(MOST_QUOTES) {
        let file = one.at("file").text().unwrap_or("the log");
        let line = named::identity(&one.at("first_line"));
        blocks.push(Block::Sentence(vec![Cell::text(file), ", from line ".into(), line, " on:".into()]));
        blocks.push(Block::Quote(end(one.at("text").text().unwrap_or_default())));
    }
    for (name, title) in [("stdout", "The end of standard output:"), ("stderr", "The end of standard error:")] {
        if let Some(text) = logs.at(name).text().filter(|text| !text.is_empty()) {
            blocks.extend([Block::Text(title.to_owned()), Block::Quote(end(text))]);
        }
    }
    blocks
}

/// The end of a text.
fn end(text: &str) -> String {
    match text.char_indices().rev().nth(QUOTED) {
        Some((at, _)) => format!("… {}", &text[at..]),
        None => text.to_owned(),
    }
}

fn files(run: &Run<'_>) -> Vec<Block> {
    let mut table = Table::new(
        "The files that the profile is drawn from",
        &["file", "kind", "#size in bytes", "#lines", "SHA-256"],
    );
    let logs = run.root.path("raw_logs/files").items();
    for source in run.root.path("metadata/sources").items().iter().take(MOST_ROWS + 1) {
        let log = logs.iter().find(|log| log.at("file").text() == source.at("file").text());
        table.row([
            source.at("file").cell(),
            source.at("kind").text().map_or_else(Cell::absent, |kind| Cell::text(named::words(kind))),
            source.at("bytes").figure(Unit::Count),
            log.map_or_else(Cell::absent, |log| log.at("lines").figure(Unit::Count)),
            source.at("sha256").cell(),
        ]);
    }
    let mut blocks = Vec::new();
    if !table.rows.is_empty() {
        blocks.push(Block::Table(table.without_empty_columns().at_most(MOST_ROWS)));
    }
    blocks.extend(notes(&run.root.path("metadata/notes")));
    blocks
}

/// Sentences of a document, as they are.
fn notes(list: &Node<'_>) -> Vec<Block> {
    list.items().iter().filter_map(Node::text).take(50).map(|text| Block::Text(text.to_owned())).collect()
}

fn migration(run: &Run<'_>) -> Vec<Block> {
    let migration = run.root.at("migration");
    let mut blocks = Vec::new();
    if let Some(from) = migration.at("from").text() {
        blocks.push(Block::Text(format!("It was written as version {from}.")));
    }
    blocks.extend(notes(&migration.at("notes")));
    let mut table = Table::new("In which unit its numbers were read", &["unit", "proven", "why", "figures"]);
    for unit in migration.at("units").items().iter().take(MOST_ROWS) {
        let figures = unit.at("figures").items();
        let fields: Vec<&str> = figures.iter().filter_map(|figure| figure.at("field").text()).take(30).collect();
        table.row([
            unit.at("basis").cell(),
            unit.at("proven").cell(),
            unit.at("reason").cell(),
            Cell::text(fields.join(", ")),
        ]);
    }
    if !table.rows.is_empty() {
        blocks.push(Block::Table(table));
    }
    blocks
}
