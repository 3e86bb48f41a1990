//! `vramscope fit` for SGLang: a model and the server's own options.

use anyhow::anyhow;
use vramscope_core::{Bytes, EngineKind};
use vramscope_estimate::document::GpuDocument;
use vramscope_estimate::{
    GpuModel, SgLangAnswerRow, SgLangAsked, SgLangFitDocument, SgLangFitSubject, SgLangSetting, Wish, devices,
    sglang_answers, sglang_answers_in_short,
};
use vramscope_schema::ExitCode;

use super::Args;
use super::render::{Lines, sure};
use crate::cmd::estimate::input;
use crate::cmd::estimate::render::gib;
use crate::cmd::estimate::sglang::{line, model};
use crate::exit::OrExit as _;
use crate::output::{self, Format};
use crate::table::{Align, Table, grouped, wrap};

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let line = line(&args.engine, args.sglang_version)?;
    let model = model(args.file.as_deref(), &args.model, &line)?;
    let request_tokens = args.request_tokens.as_deref().map(input::tokens).transpose().or_exit(ExitCode::Usage)?;
    let wish = Wish { request_tokens, requests: args.requests };
    let calibration = args.device.calibration()?;
    let shown = model.document().or_exit(ExitCode::BadInput)?;
    let subject = SgLangFitSubject { model: &shown, path: &model.name, words: args.engine.words(), given: &line.args };
    let setting =
        |device, others| SgLangSetting { device: Some(device), others, calibration: &calibration, free: None };
    let shape = &model.architecture;
    let document = if args.gpus.is_some() {
        let mut all: Vec<(&GpuModel, _)> = Vec::new();
        for device in devices() {
            let setting = setting(device, Bytes::ZERO);
            all.push((device, sglang_answers_in_short(shape, &line.args, &setting, wish).or_exit(ExitCode::BadInput)?));
        }
        SgLangFitDocument::of_all(subject, &all).ok_or_else(|| anyhow!("the table of devices is empty"))?
    } else {
        let device = args.device.required()?;
        let others = args.device.others();
        let answers = sglang_answers(shape, &line.args, &setting(&device, others), wish).or_exit(ExitCode::BadInput)?;
        SgLangFitDocument::new(subject, GpuDocument::new(&device, others), &answers)
    };
    match args.format {
        Format::Table => output::print(&text(&document, output::width()))?,
        Format::Json => output::print(&output::json_text(&document)?)?,
    }
    let way = document.answers.iter().any(|answer| answer.fits);
    let way = way || document.devices.iter().any(|row| row.fewest_devices.fits);
    Ok(if way { ExitCode::Success } else { ExitCode::Negative })
}

fn text(document: &SgLangFitDocument, width: usize) -> String {
    let asked = &document.asked;
    let requests = counted(asked.requests);
    let mut text = String::new();
    say(
        &mut text,
        &format!(
            "{} on {} {}: {requests} of {} tokens",
            document.model.name,
            EngineKind::SgLang.title(),
            document.engine_version,
            grouped(asked.request_tokens)
        ),
        width,
    );
    if let Some(gpu) = &document.gpu {
        let others =
            if gpu.others_bytes > 0 { format!(", {} of them in use", gib(gpu.others_bytes)) } else { String::new() };
        say(&mut text, &format!("{}: {} GiB{others}", gpu.name, gib(gpu.total_bytes)), width);
    }
    text.push('\n');
    if document.devices.is_empty() {
        answers(&mut text, document, width);
    } else {
        text.push_str(&table_of_devices(document).render(width));
    }
    text.push('\n');
    for note in document.model.notes.iter().chain(&document.notes) {
        say(&mut text, &format!("Note: {note}"), width);
    }
    if !document.ignored.is_empty() {
        let ignored = document.ignored.join(", ");
        say(&mut text, &format!("Not heeded, with or without an effect on memory: {ignored}"), width);
    }
    text
}

fn say(text: &mut String, line: &str, width: usize) {
    text.push_str(&wrap(line, width).join("\n"));
    text.push('\n');
}

fn answers(text: &mut String, document: &SgLangFitDocument, width: usize) {
    let heads = [
        ("question", Align::Left),
        ("pool of", Align::Left),
        ("tokens", Align::Right),
        ("GiB", Align::Right),
        ("left", Align::Right),
        ("answer", Align::Left),
    ];
    let mut table = Table::new(&heads);
    let mut lines = Lines::default();
    let asked = &document.asked;
    for row in &document.answers {
        let absent = || "-".to_owned();
        let placed = row.placed.as_ref();
        table.row([
            question(row).to_owned(),
            row.kv_cache_dtype.clone(),
            placed.map_or_else(absent, |placed| grouped(placed.kv_pool_tokens.value)),
            placed.map_or_else(absent, |placed| gib(placed.kv_pool_bytes.value)),
            placed.map_or_else(absent, |placed| gib(placed.left_bytes.value)),
            answer(row, asked),
        ]);
        if let Some(placed) = placed {
            lines.add(&placed.command, format!("{}, {}", question(row), row.kv_cache_dtype));
        }
    }
    text.push_str(&table.render(width));
    text.push_str("\nThe pool is that of one rank; left is what activations have to fit; both in GiB.\n");
    lines.write(text, width);
}

fn question(row: &SgLangAnswerRow) -> &'static str {
    match row.question.as_str() {
        "as_asked" => "as asked",
        "fewest_devices" => "fewest devices",
        "longest_context" => "longest context",
        _ => "most requests",
    }
}

fn answer(row: &SgLangAnswerRow, asked: &SgLangAsked) -> String {
    let Some(placed) = &row.placed else { return short(row, asked) };
    let found = match row.question.as_str() {
        "fewest_devices" => placed.devices,
        "longest_context" => placed.request_tokens,
        _ => placed.requests,
    };
    let words = match row.question.as_str() {
        "as_asked" => "served".to_owned(),
        "longest_context" => format!("{} tokens", grouped(found)),
        _ => grouped(found),
    };
    format!("{words}{}", sure(row.certain, row.for_certain, found, grouped))
}

/// What is short, and for what: rows differ in how much they try to serve.
fn short(row: &SgLangAnswerRow, asked: &SgLangAsked) -> String {
    let requests = row.lacking_requests.map_or_else(String::new, |requests| format!(" for {}", counted(requests)));
    let tokens = row.lacking_request_tokens.filter(|tokens| *tokens != asked.request_tokens);
    let of = tokens.map_or_else(|| requests.clone(), |tokens| format!("{requests} of {} tokens", grouped(tokens)));
    let missing = row.missing_bytes.map(|bytes| match bytes {
        ..LEAST_SHOWN => "less than 0.01".to_owned(),
        _ => gib(bytes),
    });
    match (row.lacking.as_deref(), missing) {
        (Some("limit"), _) => "held back by an argument".to_owned(),
        (Some("requests"), _) => "more requests than the release takes".to_owned(),
        (Some("slack"), Some(gib)) => format!("{gib} GiB short beside the share{of}"),
        (Some("windows"), Some(gib)) => format!("{gib} GiB short in the pool of windows{of}"),
        (Some("windows"), None) => "no room in the pool of windows".to_owned(),
        (_, Some(gib)) => format!("{gib} GiB short{of}"),
        (_, None) => "not served".to_owned(),
    }
}

/// Less is no figure of two decimals.
const LEAST_SHOWN: u64 = (1 << 30) / 100;

fn counted(requests: u64) -> String {
    if requests == 1 { "1 request".to_owned() } else { format!("{} requests", grouped(requests)) }
}

fn table_of_devices(document: &SgLangFitDocument) -> Table {
    let heads = [("GPU", Align::Left), ("GiB", Align::Right), ("needed", Align::Left), ("tokens", Align::Right)];
    let mut table = Table::new(&heads);
    for row in &document.devices {
        let tokens = row.fewest_devices.placed.as_ref().map(|placed| grouped(placed.kv_pool_tokens.value));
        table.row([
            row.key.clone(),
            gib(row.total_bytes),
            answer(&row.fewest_devices, &document.asked),
            tokens.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table
}
