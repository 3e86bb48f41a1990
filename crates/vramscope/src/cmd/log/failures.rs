//! The failures of an engine, for people.

use std::fmt::Write as _;

use vramscope_core::{Bytes, Failure, FailureKind, RankFailure};
use vramscope_log::{EngineReport, advice};

use super::render::paragraph;

/// What went wrong, with what follows from each failure and what to do.
pub(super) fn text(engine: &EngineReport, width: usize) -> String {
    let mut text = String::new();
    for failure in &engine.facts.failures {
        let worker = failure.origin.worker.as_ref().map_or(String::new(), |w| format!(" ({w})"));
        let kind = failure.kind.name().replace('_', " ");
        let during = failure.activity.map_or(String::new(), |at| format!(" while {}", at.name().replace('_', " ")));
        let _ = writeln!(text, "  {kind}{}{during}, line {}{worker}", on_ranks(failure), failure.origin.line);
        paragraph(&mut text, &failure.message, width);
        for each in &failure.ranks {
            paragraph(&mut text, &part(each), width);
        }
        paragraph(&mut text, &format!("→ {}", advice(failure, &engine.facts)), width);
        if !failure.consequences.is_empty() {
            paragraph(&mut text, &follows(failure), width);
        }
    }
    text
}

/// The ranks that failed.
fn on_ranks(failure: &Failure) -> String {
    let of_several: Vec<String> = failure.ranks.iter().filter_map(|each| Some(each.rank?.to_string())).collect();
    match (of_several.as_slice(), failure.rank) {
        ([], None) if failure.ranks.is_empty() => String::new(),
        ([], None) => format!(" on {} processes", failure.ranks.len()),
        ([], Some(rank)) => format!(" on rank {rank}"),
        ([rank], _) => format!(" on rank {rank} and {} more", failure.ranks.len() - 1),
        (ranks, _) => format!(" on ranks {}", ranks.join(", ")),
    }
}

/// What one rank printed of a failure that several had.
fn part(each: &RankFailure) -> String {
    let (tried, free, capacity, process) = match each.kind {
        FailureKind::OutOfMemory { tried, free, capacity, process, .. } => (tried, free, capacity, process),
        FailureKind::HostOutOfMemory { tried, process } => (tried, None, None, process),
        _ => (None, None, None, None),
    };
    let free = match (free, capacity) {
        (Some(free), Some(capacity)) => Some(format!("free {} of {}", amount(free), amount(capacity))),
        (Some(free), None) => Some(format!("free {}", amount(free))),
        (None, _) => None,
    };
    let tried = tried.map(|tried| format!("asked {}", amount(tried)));
    let process = process.map(|held| format!("held by the process {}", amount(held)));
    let said: Vec<String> = [tried, free, process].into_iter().flatten().collect();
    let who = match (each.rank, &each.origin.worker) {
        (Some(rank), _) => format!("rank {rank}"),
        (None, Some(worker)) => worker.clone(),
        (None, None) => "a process without a tag".to_owned(),
    };
    let said = if said.is_empty() { "no figures".to_owned() } else { said.join(", ") };
    format!("{who}: {said} (line {})", each.origin.line)
}

/// An amount in GiB, or in bytes where two decimals of a GiB would leave nothing of it.
fn amount(bytes: Bytes) -> String {
    if bytes < Bytes::new(10 << 20) { format!("{} bytes", bytes.get()) } else { bytes.to_string() }
}

/// What followed from a failure, in a line.
fn follows(failure: &Failure) -> String {
    let of = |follows: &vramscope_core::Consequence| {
        format!("{} (line {})", follows.kind.name().replace('_', " "), follows.origin.line)
    };
    let all: Vec<String> = failure.consequences.iter().map(of).collect();
    format!("What followed from it: {}.", all.join(", "))
}
