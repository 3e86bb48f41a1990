//! The answers as text.

use std::fmt::Write as _;

use vramscope_core::{ByteUnit, Bytes};
use vramscope_estimate::GpuModel;
use vramscope_estimate::document::{FitDocument, Placed};

use crate::table::{Align, Table, wrap};

/// Command lines, each once, with the questions that it answers.
#[derive(Default)]
pub(super) struct Lines(Vec<(String, Vec<String>)>);

impl Lines {
    pub(super) fn add(&mut self, command: &str, question: String) {
        match self.0.iter_mut().find(|(its, _)| its == command) {
            Some((_, questions)) => questions.push(question),
            None => self.0.push((command.to_owned(), vec![question])),
        }
    }

    pub(super) fn write(&self, text: &mut String, width: usize) {
        for (command, questions) in &self.0 {
            for line in wrap(&format!("{}:", questions.join("; ")), width) {
                let _ = write!(text, "\n{line}");
            }
            let _ = writeln!(text, "\n  {command}");
        }
    }
}

/// What stands behind an answer that does not hold over the whole interval: the number that does, if one was found.
pub(super) fn sure(certain: bool, for_certain: Option<u64>, found: u64, shown: impl Fn(u64) -> String) -> String {
    match (certain, for_certain) {
        (true, _) => String::new(),
        (false, Some(number)) if number != found => format!(" ({} for certain)", shown(number)),
        _ => " (not for certain)".to_owned(),
    }
}

/// What the answers rest on.
const MEMORY_ALONE: &str = "memory alone is judged; how fast a setting is, `vramscope load` measures";

pub(super) fn fit(document: &FitDocument, width: usize) -> String {
    let mut text = String::new();
    let tokens = document.request_tokens.map_or_else(|| "the longest length".to_owned(), |n| format!("{n} tokens"));
    let requests =
        if document.requests == 1 { "1 request".to_owned() } else { format!("{} requests", document.requests) };
    let head = format!("{} on vLLM {}: {requests} of {tokens}", document.model.name, document.engine_version);
    for line in wrap(&head, width) {
        let _ = writeln!(text, "{line}");
    }
    text.push('\n');
    if document.devices.is_empty() {
        one(&mut text, document, width);
    } else {
        text.push_str(&every(document).render(width));
    }
    let of_model = document.model.notes.iter().map(String::as_str);
    for note in of_model.chain([MEMORY_ALONE]) {
        for line in wrap(&format!("Note: {note}"), width) {
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

fn one(text: &mut String, document: &FitDocument, width: usize) {
    let mut table = Table::new(&[("question", Align::Left), ("answer", Align::Left)]);
    let gpu = document.gpu.as_ref().map_or("", |gpu| gpu.name.as_str());
    let fewest = document.fewest.as_ref();
    table.row([format!("fewest {gpu}"), fewest.map_or_else(|| "64 are not enough".to_owned(), placed)]);
    table.row([
        "longest max_model_len, as given".to_owned(),
        document.longest_model_len.map_or_else(|| "it starts with none".to_owned(), |n| format!("{n} tokens")),
    ]);
    table.row([
        "most requests of that length, as given".to_owned(),
        document.most_requests.map_or_else(|| "it does not start".to_owned(), |n| n.to_string()),
    ]);
    table.row([
        "lowest gpu_memory_utilization, as given".to_owned(),
        document.lowest_utilization.map_or_else(|| "none is enough".to_owned(), |share| format!("{share:.2}")),
    ]);
    for row in document.changes.iter().filter(|row| row.change != "as_asked") {
        let answer = row.placed.as_ref().map_or_else(|| "not enough".to_owned(), placed);
        table.row([format!("with {}, as given", row.change.replace('_', " ")), answer]);
    }
    text.push_str(&table.render(width));
    text.push('\n');
    let asked = document.changes.iter().find(|row| row.fits).and_then(|row| row.placed.as_ref());
    // The command line as asked, else on the fewest devices, else with the mildest change.
    let as_asked = asked.filter(|_| document.changes.first().is_some_and(|row| row.fits));
    match as_asked.or(fewest).or(asked) {
        Some(placed) => {
            let _ = writeln!(text, "  {}", placed.command);
        }
        None => text.push_str("There is no way with these devices.\n"),
    }
}

fn placed(placed: &Placed) -> String {
    let split = match (placed.tensor_parallel_size, placed.pipeline_parallel_size) {
        (tensor, 1) => format!("tensor {tensor}"),
        (tensor, pipeline) => format!("tensor {tensor} x pipeline {pipeline}"),
    };
    let gpus = if placed.gpus == 1 { "1 GPU".to_owned() } else { format!("{} GPUs, {split}", placed.gpus) };
    let sure = if placed.certain { "" } else { ", within the interval" };
    let requests = if placed.concurrent_requests == 1 { "request" } else { "requests together" };
    format!(
        "{gpus}; {} {requests}, {} GiB of KV cache each{sure}",
        placed.concurrent_requests,
        gib(placed.kv_cache_bytes)
    )
}

fn every(document: &FitDocument) -> Table {
    let heads = [
        ("GPU", Align::Left),
        ("GiB", Align::Right),
        ("needed", Align::Right),
        ("together", Align::Right),
        ("split", Align::Left),
    ];
    let mut table = Table::new(&heads);
    for row in &document.devices {
        let size = gib(row.total_bytes);
        match &row.placed {
            None => table.row([row.key.clone(), size, "-".to_owned(), "-".to_owned(), "64 are not enough".to_owned()]),
            Some(placed) => table.row([
                row.key.clone(),
                size,
                placed.gpus.to_string(),
                placed.concurrent_requests.to_string(),
                format!("tensor {} x pipeline {}", placed.tensor_parallel_size, placed.pipeline_parallel_size),
            ]),
        }
    }
    table
}

pub(super) fn devices(devices: &[GpuModel], width: usize) -> String {
    let heads =
        [("key", Align::Left), ("GiB", Align::Right), ("name", Align::Left), ("source of the size", Align::Left)];
    let mut table = Table::new(&heads);
    for device in devices {
        table.row([device.key.to_owned(), gib(device.total.get()), device.name.to_owned(), device.source.to_owned()]);
    }
    table.render(width)
}

fn gib(bytes: u64) -> String {
    format!("{:.2}", Bytes::new(bytes).in_unit(ByteUnit::GiB))
}
