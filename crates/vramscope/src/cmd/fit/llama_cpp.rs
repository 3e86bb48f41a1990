//! `vramscope fit` for llama.cpp: a GGUF file and the server's own options.

use std::path::Path;

use anyhow::anyhow;
use vramscope_core::{EngineKind, PackedModel};
use vramscope_estimate::document::GpuDocument;
use vramscope_estimate::{
    GpuModel, LlamaCppAnswerRow, LlamaCppBackend, LlamaCppFitDocument, LlamaCppFitSubject, LlamaCppLine,
    LlamaCppSetting, Wish, devices, llama_cpp_answers, llama_cpp_answers_in_short,
};
use vramscope_schema::ExitCode;

use super::Args;
use super::render::{Lines, sure};
use crate::cmd::estimate::llama_cpp::{Backend, File, line, model};
use crate::cmd::estimate::{input, render::gib};
use crate::exit::OrExit as _;
use crate::output::{self, Format};
use crate::table::{Align, Table, wrap};

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    args.model.of_file()?;
    let line = line(&args.engine, args.llama_cpp_build)?;
    let File { name, model, notes, .. } = model(args.file.as_deref().or(args.model.name()), &line)?;
    let request_tokens = args.request_tokens.as_deref().map(input::tokens).transpose().or_exit(ExitCode::Usage)?;
    let wish = Wish { request_tokens, requests: args.requests };
    let backend = args.llama_cpp_backend.map_or(LlamaCppBackend::Cuda, Backend::told);
    if !backend.has_device() {
        let error =
            anyhow!("--llama-cpp-backend host has no device to fit: `vramscope estimate` tells the host's memory");
        return Err(error).or_exit(ExitCode::Usage);
    }
    let subject = LlamaCppFitSubject {
        model: &name,
        family: &model.family,
        backend,
        build: line.args.build,
        words: args.engine.words(),
        ignored: &line.args.ignored,
    };
    let mut document = if args.gpus.is_some() {
        every(&model, &line, backend, wish, subject)?
    } else {
        one(args, &model, &line, backend, wish, subject)?
    };
    document.notes.extend(notes);
    match args.format {
        Format::Table => output::print(&text(&document, &model, output::width()))?,
        Format::Json => output::print(&output::json_text(&document)?)?,
    }
    let way = document.answers.iter().any(|answer| answer.fits);
    let way = way || document.devices.iter().any(|row| row.most_layers.fits || row.fewest_devices.fits);
    Ok(if way { ExitCode::Success } else { ExitCode::Negative })
}

fn one(
    args: &Args,
    model: &PackedModel,
    line: &LlamaCppLine,
    backend: LlamaCppBackend,
    wish: Wish,
    subject: LlamaCppFitSubject<'_>,
) -> anyhow::Result<LlamaCppFitDocument> {
    let device = args.device.required()?;
    let setting = LlamaCppSetting { backend, device: Some(&device), others: args.device.others() };
    let answers = llama_cpp_answers(model, line, setting, wish).or_exit(ExitCode::BadInput)?;
    Ok(LlamaCppFitDocument::new(subject, GpuDocument::new(&device, setting.others), &answers))
}

fn every(
    model: &PackedModel,
    line: &LlamaCppLine,
    backend: LlamaCppBackend,
    wish: Wish,
    subject: LlamaCppFitSubject<'_>,
) -> anyhow::Result<LlamaCppFitDocument> {
    let mut all: Vec<(&GpuModel, _)> = Vec::new();
    for device in devices() {
        let setting = LlamaCppSetting { backend, device: Some(device), others: vramscope_core::Bytes::ZERO };
        let answers = llama_cpp_answers_in_short(model, line, setting, wish).or_exit(ExitCode::BadInput)?;
        all.push((device, answers));
    }
    LlamaCppFitDocument::of_all(subject, &all).ok_or_else(|| anyhow!("the table of devices is empty"))
}

pub(super) fn text(document: &LlamaCppFitDocument, model: &PackedModel, width: usize) -> String {
    let mut text = String::new();
    let mut say = |line: &str| {
        text.push_str(&wrap(line, width).join("\n"));
        text.push('\n');
    };
    let file =
        Path::new(&document.model).file_name().map_or(document.model.as_str().into(), |name| name.to_string_lossy());
    let asked = &document.asked;
    let slots = if asked.parallel == 1 { "1 slot".to_owned() } else { format!("{} slots", asked.parallel) };
    let pool = match (asked.parallel, asked.kv_unified) {
        (1, _) => format!("{slots} of {} tokens", asked.ctx_size),
        (_, true) => format!("{slots} that share {} tokens", asked.ctx_size),
        (_, false) => format!("{slots} of {} tokens each", asked.ctx_size_of_slot),
    };
    say(&format!(
        "{file} ({}, {} GiB of tensors) on {}: {pool}",
        document.family,
        gib(model.bytes().unwrap_or(0)),
        engine(document)
    ));
    if let (Some(gpu), Some(available)) = (&document.gpu, document.available_bytes) {
        say(&format!("{}: {} GiB for the server", gpu.name, gib(available)));
    }
    text.push('\n');
    if document.devices.is_empty() {
        answers(&mut text, document, width);
    } else {
        text.push_str(&table_of_devices(document).render(width));
    }
    text.push('\n');
    let mut say = |line: &str| {
        text.push_str(&wrap(line, width).join("\n"));
        text.push('\n');
    };
    for note in &document.notes {
        say(&format!("Note: {note}"));
    }
    if !document.ignored.is_empty() {
        say(&format!("Not heeded, with or without an effect on memory: {}", document.ignored.join(", ")));
    }
    text
}

/// The engine that is started.
fn engine(document: &LlamaCppFitDocument) -> String {
    match &document.started_by {
        Some(by) => format!("{} {}", EngineKind::Ollama.title(), by.version),
        None => EngineKind::LlamaCpp.title().to_owned(),
    }
}

fn answers(text: &mut String, document: &LlamaCppFitDocument, width: usize) {
    let heads = [
        ("question", Align::Left),
        ("cache", Align::Left),
        ("device", Align::Right),
        ("free", Align::Right),
        ("host", Align::Right),
        ("answer", Align::Left),
    ];
    let mut table = Table::new(&heads);
    let mut lines = Lines::default();
    for row in &document.answers {
        let size = |of: Option<u64>| of.map_or_else(|| "-".to_owned(), gib);
        let placed = row.placed.as_ref();
        let fullest = placed.and_then(|placed| placed.shares.iter().map(|share| share.total_bytes.value).max());
        table.row([
            question(row).to_owned(),
            cache(row),
            size(fullest),
            size(placed.map(|placed| placed.free_bytes)),
            size(placed.map(|placed| placed.host_total_bytes.value)),
            answer(row),
        ]);
        let Some(placed) = placed else { continue };
        lines.add(&placed.command, format!("{}, {}", question(row), cache(row)));
    }
    text.push_str(&table.render(width));
    text.push_str("\nSizes are GiB; device is the fullest one with the driver's share.\n");
    lines.write(text, width);
}

fn question(row: &LlamaCppAnswerRow) -> &'static str {
    match row.question.as_str() {
        "as_asked" => "as asked",
        "most_layers" => "most layers",
        "fewest_expert_layers_on_host" => "experts on host",
        "longest_context" => "longest context",
        _ => "fewest devices",
    }
}

/// The types of cached keys and values; once, if they are alike.
fn cache(row: &LlamaCppAnswerRow) -> String {
    let (keys, values) = (&row.cache_type_k, &row.cache_type_v);
    if keys == values { keys.clone() } else { format!("{keys}/{values}") }
}

fn answer(row: &LlamaCppAnswerRow) -> String {
    let Some(placed) = &row.placed else {
        return match row.missing_bytes {
            Some(missing) if row.question == "as_asked" => format!("does not fit: {} GiB are lacking", gib(missing)),
            Some(missing) => format!("none fits: {} GiB are lacking", gib(missing)),
            None => "16 are not enough".to_owned(),
        };
    };
    let settings = &placed.settings;
    let (found, words) = match row.question.as_str() {
        "as_asked" => (0, format!("fits, {} of {} layers", settings.gpu_layers, settings.layers)),
        "most_layers" => (settings.gpu_layers, format!("{} of {}", settings.gpu_layers, settings.layers)),
        "fewest_expert_layers_on_host" => {
            (settings.cpu_moe_layers, format!("{} of {} layers", settings.cpu_moe_layers, settings.layers - 1))
        }
        "longest_context" if settings.parallel > 1 && !settings.kv_unified => {
            let each = settings.ctx_size_of_slot;
            (settings.ctx_size, format!("{} tokens, {each} a slot", settings.ctx_size))
        }
        "longest_context" => (settings.ctx_size, format!("{} tokens", settings.ctx_size)),
        _ => (placed.devices, placed.devices.to_string()),
    };
    format!("{words}{}", sure(row.certain, row.for_certain, found, |number| number.to_string()))
}

fn table_of_devices(document: &LlamaCppFitDocument) -> Table {
    let heads =
        [("GPU", Align::Left), ("GiB", Align::Right), ("needed", Align::Right), ("most layers on one", Align::Left)];
    let mut table = Table::new(&heads);
    for row in &document.devices {
        let needed = row.fewest_devices.placed.as_ref().map(|placed| placed.devices.to_string());
        table.row([
            row.key.clone(),
            gib(row.total_bytes),
            needed.unwrap_or_else(|| "over 16".to_owned()),
            answer(&row.most_layers),
        ]);
    }
    table
}
