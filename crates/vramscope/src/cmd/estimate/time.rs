//! How long the workload takes, as a table.

use std::fmt::Write as _;

use vramscope_core::Architecture;
use vramscope_estimate::document::{BatchTimeDocument, PhaseTimeDocument, SecondsDocument, TimeDocument};
use vramscope_estimate::{Budget, EngineArgs, GpuModel, TimePrediction, Weights, WorkloadUse, batch_time};

use super::render::paragraph;
use crate::exit::OrExit as _;
use crate::table::{Align, Table, grouped};
use vramscope_schema::ExitCode;

/// Predicts the times of one request and of as many as were asked for, else of as many as run together. `None` where no
/// request runs.
pub(super) fn predicted(
    model: &Architecture,
    args: &EngineArgs,
    device: &GpuModel,
    weights: &Weights,
    budget: &Budget,
    used: WorkloadUse,
    (input, output): (u64, u64),
) -> anyhow::Result<Option<TimeDocument>> {
    let most = used.wanted.unwrap_or(used.concurrent_requests).min(used.concurrent_requests);
    if !budget.verdict.fits || !used.within_model_len || most == 0 {
        return Ok(None);
    }
    let prediction = TimePrediction::of(model, args, device, weights, budget).or_exit(ExitCode::BadInput)?;
    let TimePrediction::Predicted(steps) = &prediction else {
        return Ok(Some(TimeDocument::new(&prediction, &[])));
    };
    let counts = if most > 1 { vec![1, most] } else { vec![1] };
    let of = |requests: u64| Some((requests, input, output, batch_time(steps, requests, input, output)?));
    let batches: Vec<_> = counts.into_iter().filter_map(of).collect();
    Ok(Some(TimeDocument::new(&prediction, &batches)))
}

pub(super) fn table(document: &TimeDocument, width: usize) -> String {
    let mut text = String::new();
    if let Some(why) = &document.not_predicted {
        paragraph(&mut text, &format!("Time: not predicted: {why}."), width);
        return text;
    }
    let Some(first) = document.batches.first() else { return text };
    let shape = format!(
        "Time of requests that start together, {} tokens in and {} out:",
        grouped(first.input_len),
        grouped(first.output_len)
    );
    paragraph(&mut text, &shape, width);
    let mut heads = vec![("", Align::Left)];
    let names: Vec<String> = document.batches.iter().map(|batch| counted(batch.requests)).collect();
    heads.extend(names.iter().map(|name| (name.as_str(), Align::Right)));
    let mut table = Table::new(&heads);
    let mut row = |name: &str, of: &dyn Fn(&BatchTimeDocument) -> String| {
        table.row(std::iter::once(name.to_owned()).chain(document.batches.iter().map(of)).collect::<Vec<_>>());
    };
    row("first token of all", &|batch| interval(&batch.time_to_first_token));
    row("each further token", &|batch| interval(&batch.time_per_output_token));
    row("all of it", &|batch| interval(&batch.latency));
    row("tokens a second", &|batch| digits(batch.output_tokens_per_second));
    row("prompts are bound by", &|batch| bound(&batch.prefill));
    row("further tokens by", &|batch| bound(&batch.decode));
    text.push_str(&table.render(width));
    for note in &document.notes {
        paragraph(&mut text, &format!("Note: {note}."), width);
    }
    text.push('\n');
    text
}

fn counted(requests: u64) -> String {
    if requests == 1 { "1 request".to_owned() } else { format!("{} requests", grouped(requests)) }
}

/// A time with its interval, in the unit of the value.
fn interval(seconds: &SecondsDocument) -> String {
    let (factor, unit) = if seconds.value < 1.0 { (1e3, "ms") } else { (1.0, "s") };
    let of = |seconds: f64| digits(seconds * factor);
    match seconds.high {
        Some(high) => format!("{} {unit} ({} to {})", of(seconds.value), of(seconds.low), of(high)),
        None => format!("at least {} {unit}, about {}", of(seconds.low), of(seconds.value)),
    }
}

/// What bounds a phase, and how much of the device's limit it reaches.
fn bound(phase: &PhaseTimeDocument) -> String {
    let mut text = phase.bound.replace('_', " ");
    if let Some(share) = phase.share_of_limit {
        let _ = write!(text, ", {:.0} %", share * 100.0);
    }
    text
}

/// Three digits.
fn digits(value: f64) -> String {
    let decimals = if value >= 99.95 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.decimals$}")
}
