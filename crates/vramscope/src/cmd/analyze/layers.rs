//! A run's memory by layer, beside what it states of the sums.

use std::path::Path;

use vramscope_analysis::{Beside, Evidence, RunLayers, run_layers};
use vramscope_core::{ByteUnit, Bytes, on_one_line};
use vramscope_estimate::document::{BesideRow, RUN_LAYERS_VERSION, RunLayersDocument, stage_layers};
use vramscope_runs::EvidenceFiles;
use vramscope_schema::ExitCode;

use crate::cmd::estimate::layers::tables;
use crate::exit::OrExit as _;
use crate::output::{self, Format};
use crate::progress::Progress;
use crate::table::{Align, Table, wrap};

pub(super) fn run(files: &EvidenceFiles, format: Format) -> anyhow::Result<ExitCode> {
    let mut progress = Progress::new();
    let evidence = Evidence::load(files, &mut |file: &Path, behind| progress.bytes(file, behind));
    progress.end();
    let evidence = evidence.or_exit(ExitCode::BadInput)?;
    let layers = run_layers(&evidence).or_exit(ExitCode::BadInput)?;
    match format {
        Format::Json => output::print_json(&document(&layers))?,
        Format::Table => output::print(&table(&layers, output::width()))?,
    }
    Ok(ExitCode::Success)
}

fn document(layers: &RunLayers) -> RunLayersDocument {
    let row = |row: &Beside| BesideRow {
        stage: row.stage as u64,
        rank: row.rank,
        what: row.what.to_owned(),
        summed_bytes: row.summed,
        stated_bytes: row.stated,
        resolution_bytes: row.resolution,
        difference_bytes: row.difference,
        source: row.source.to_owned(),
        place: row.place.clone(),
    };
    RunLayersDocument {
        vramscope_run_layers: RUN_LAYERS_VERSION,
        engine_version: layers.engine_version.clone(),
        version_stated: layers.version_stated,
        gpu: layers.gpu.to_owned(),
        stated_blocks: layers.stated_blocks,
        per_layer: stage_layers(&layers.stages),
        beside: layers.beside.iter().map(row).collect(),
        notes: layers.notes.clone(),
    }
}

fn table(layers: &RunLayers, width: usize) -> String {
    let mut text = String::new();
    let blocks =
        layers.stated_blocks.map_or_else(String::new, |blocks| format!(" · {blocks} blocks, by what the run states"));
    let line = format!("vllm {} · {}{blocks}", layers.engine_version, layers.gpu);
    wrap(&line, width).iter().for_each(|line| text.push_str(&format!("{line}\n")));
    text.push('\n');
    text.push_str(&tables(&layers.stages, width));
    if !layers.beside.is_empty() {
        text.push_str(&beside(layers).render(width));
        text.push('\n');
    }
    if !layers.notes.is_empty() {
        text.push_str("What to know\n");
        for note in &layers.notes {
            for (place, line) in wrap(&on_one_line(note), width.saturating_sub(4)).iter().enumerate() {
                text.push_str(&format!("  {}{line}\n", if place > 0 { "  " } else { "" }));
            }
        }
    }
    text
}

/// A place of no more letters than its column has: the end of a file's name tells more than its beginning.
fn short(place: &str) -> String {
    const MOST: usize = 22;
    let letters = place.chars().count();
    if letters <= MOST {
        return place.to_owned();
    }
    format!("…{}", place.chars().skip(letters - MOST + 1).collect::<String>())
}

/// The sums of layers and the rest beside what is stated.
fn beside(layers: &RunLayers) -> Table {
    let stages = layers.stages.len() > 1;
    let mut heads = vec![
        ("stated", Align::Left),
        ("rank", Align::Left),
        ("sum GiB", Align::Right),
        ("stated GiB", Align::Right),
        ("differs MiB", Align::Right),
        ("by", Align::Left),
    ];
    if stages {
        heads.insert(1, ("stage", Align::Right));
    }
    let mut table = Table::new(&heads);
    let gib = |bytes: u64| format!("{:.2}", Bytes::new(bytes).in_unit(ByteUnit::GiB));
    for row in &layers.beside {
        let sign = if row.difference < 0 { "-" } else { "+" };
        let size = Bytes::new(row.difference.unsigned_abs()).in_unit(ByteUnit::MiB);
        let within = row.resolution.filter(|within| *within >= row.difference.unsigned_abs());
        let within = if within.is_some() { ", within its digits" } else { "" };
        let mut cells = vec![
            if row.what == "weights" { "weights" } else { "KV cache" }.to_owned(),
            match (row.rank, row.source) {
                (Some(rank), _) => rank.to_string(),
                // A snapshot is of one process, and does not say of which rank.
                (None, "allocator_snapshot") => "one".to_owned(),
                (None, _) => "each".to_owned(),
            },
            gib(row.summed),
            gib(row.stated),
            format!("{sign}{size:.2}"),
            format!("{}{within}", short(&on_one_line(&row.place))),
        ];
        if stages {
            cells.insert(1, (row.stage + 1).to_string());
        }
        table.row(cells);
    }
    table
}
