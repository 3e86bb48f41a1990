//! What people ask first: what took the memory, when, and why.

use vramscope_core::Basis;

use super::when;
use crate::cell::{Cell, Tone};
use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Finding, Section, Weight};
use crate::pages::figure::listed;
use crate::pages::named;
use crate::pages::parts::{self, Sized, sum};
use crate::pages::run::Run;
use crate::unit::Unit;

pub(super) fn section(run: &Run<'_>, document: &Document) -> Section {
    let mut blocks = Vec::new();
    blocks.extend(ending(run));
    blocks.push(Block::Headline(headline(run)));
    blocks.extend(
        [what(run), others(run), residual(run), when::sentence(run, document), crowd(run), free(run)]
            .into_iter()
            .flatten()
            .map(Block::Sentence),
    );
    let numbers = run.root.path("failure/numbers");
    blocks.extend(named::table("The figures of the failure", &[numbers], &[]).map(Block::Table));
    if run.peak().number() == Some(0.0) {
        blocks.push(Block::Text("No memory was in use at any reading of the profile.".to_owned()));
    }
    if !run.peak().is_there() {
        blocks.push(Block::Text("The profile does not say how much memory was in use.".to_owned()));
    }
    Section::new("What took the memory?", blocks)
}

/// Why a run failed, or what else is missing of it.
fn ending(run: &Run<'_>) -> Vec<Block> {
    let failure = run.root.at("failure");
    let mut blocks = Vec::new();
    if run.has_failed() {
        let phase = failure.at("phase").text().or_else(|| run.root.path("metadata/failing_phase").text());
        let phase = phase.map_or_else(String::new, |phase| format!(" in the phase {phase}"));
        let message = failure.at("message").text().map_or_else(String::new, |text| format!(": {text}"));
        let diagnostics = run.root.at("diagnostics").items();
        let said = diagnostics.iter().find(|one| one.at("code").text() == Some("engine_failed"));
        blocks.push(Block::Findings(vec![Finding {
            weight: Weight::Error,
            text: format!("The run failed{phase}{message}"),
            advice: said.and_then(|said| said.at("advice").text()).map(str::to_owned),
            code: failure.at("kind").text().map(str::to_owned),
        }]));
    }
    let note = match run.root.path("metadata/status").text() {
        Some("interrupted") => "Somebody stopped the run; here is what was seen until then.",
        Some("partial") => &missing(run),
        _ => return blocks,
    };
    blocks.push(Block::Findings(vec![Finding {
        weight: Weight::Warning,
        text: note.to_owned(),
        advice: None,
        code: None,
    }]));
    blocks
}

/// What of a run's evidence is not there, as far as the document tells.
fn missing(run: &Run<'_>) -> String {
    let sources = run.root.path("metadata/sources").items();
    let has = |kind: &str| sources.iter().any(|source| source.at("kind").text() == Some(kind));
    let known = [("gpu_log", "readings of the GPU over time"), ("engine_log", "the engine's log")];
    let gone: Vec<String> = known.iter().filter(|(kind, _)| !has(kind)).map(|(_, name)| (*name).to_owned()).collect();
    if sources.is_empty() {
        "Some evidence of this run is missing; here is what there is.".to_owned()
    } else if gone.is_empty() {
        "Nothing in this run's evidence says that the engine was ready; here is what there is.".to_owned()
    } else {
        format!("Of this run's evidence {} missing; here is what there is.", verb(&gone))
    }
}

/// `a is`, `a and b are`.
fn verb(names: &[String]) -> String {
    format!("{} {}", listed(names), if names.len() == 1 { "is" } else { "are" })
}

fn headline(run: &Run<'_>) -> Vec<(String, Cell)> {
    let peak = run.root.path("memory_measurements/peak/at_ns");
    let phase = peak.number().and_then(|at| run.phase_at(at));
    let largest = run.largest();
    let mut figures = vec![("Peak".to_owned(), run.peak().figure(Unit::Memory))];
    if let Some(part) = &largest {
        figures.push((format!("Largest part: {}", part.name()), part.size.figure(Unit::Memory)));
    }
    figures.extend(least_free(run));
    figures.push(("Time of the peak".to_owned(), peak.figure(Unit::Nanoseconds)));
    figures.push(("Phase of the peak".to_owned(), phase.map_or_else(Cell::absent, |phase| phase.at("phase").cell())));
    figures.push((
        "Output tokens each second".to_owned(),
        run.root.path("latency_stats/tokens_per_second").figure(Unit::Plain),
    ));
    figures.push(("The run is".to_owned(), run.status()));
    figures.retain(|(_, cell)| !cell.is_absent());
    figures
}

/// Percent of the peak, as the document says it, else by division.
pub(super) fn share(run: &Run<'_>, part: &Sized<'_>) -> Option<Cell> {
    let said = part.more.as_ref().map(|more| more.at("share_of_peak_pct").figure(Unit::Percent));
    said.filter(|cell| !cell.is_absent()).or_else(|| {
        let peak = run.peak().number().filter(|peak| *peak > 0.0)?;
        Some(Cell::text(Unit::Share.show(part.bytes() / peak)))
    })
}

fn what(run: &Run<'_>) -> Option<Vec<Cell>> {
    let (peak, largest) = (run.peak(), run.largest()?);
    let mut text: Vec<Cell> = vec!["At its peak the run had ".into(), peak.figure(Unit::Memory)];
    let card = run.card();
    match card.len() {
        0 => text.push(" in use.".into()),
        1 => text.extend([" of the GPU's ".into(), sum(&card), " in use.".into()]),
        several => text.extend([" of the ".into(), sum(&card), format!(" of {several} GPUs in use.").into()]),
    }
    let half = peak.number().is_some_and(|peak| largest.bytes() > peak / 2.0);
    text.push(if half { " Most of it is " } else { " The largest part of it is " }.into());
    text.push(largest.part.map_or_else(|| largest.name().into(), |part| part.what.into()));
    text.extend([": ".into(), Cell::text(largest.name()), " ".into(), largest.size.figure(Unit::Memory)]);
    if let Some(share) = share(run, &largest) {
        text.extend([", ".into(), share, " of the peak".into()]);
    }
    let mut others: Vec<Sized<'_>> = run.all_parts().into_iter().filter(|part| part.kind != largest.kind).collect();
    others.retain(|part| part.kind != "residual" && part.bytes() > 0.0);
    others.sort_by(|a, b| b.bytes().total_cmp(&a.bytes()));
    for (place, part) in others.iter().take(3).enumerate() {
        text.push(if place == 0 { "; then " } else { ", " }.into());
        text.extend([Cell::text(part.name()), " ".into(), part.size.figure(Unit::Memory)]);
    }
    text.push(".".into());
    Some(text)
}

fn residual(run: &Run<'_>) -> Option<Vec<Cell>> {
    let residual = run.breakdown.at("residual_bytes");
    let size = residual.number()?;
    // Of nothing there is nothing to explain.
    if run.peak().number() == Some(0.0) && size == 0.0 {
        return None;
    }
    // What a log rounds its figures to is no finding.
    const LITTLE: f64 = 8_388_608.0;
    let mut text: Vec<Cell> = if let (Some(part), true) = (remainder(run), size.abs() < LITTLE) {
        let said =
            format!("The parts add up because of how {part} was measured: as what the others leave of the level");
        vec![said.into(), " after the KV cache was allocated. The residual is ".into()]
    } else if size.abs() < LITTLE {
        vec!["The parts explain all of it, but for a residual of ".into()]
    } else if size < 0.0 {
        vec!["The parts claim more than was measured; the residual is ".into()]
    } else {
        vec!["No part explains the rest, the residual of ".into()]
    };
    text.push(residual.change(Unit::Memory));
    let share = run.breakdown.at("residual_percentage");
    if share.is_there() {
        text.extend([", ".into(), share.figure(Unit::Percent), " of the peak".into()]);
    }
    text.push(".".into());
    Some(text)
}

/// A part of which the size is what the others leave, so that no residual can be seen beside it; not where the framework's
/// allocator told what came on top of it.
fn remainder<'d>(run: &Run<'d>) -> Option<&'d str> {
    let is_told = |part: &Node<'_>| part.at("method").text() == Some(Basis::ALLOCATOR_SNAPSHOT);
    if run.breakdown.at("components").items().iter().any(is_told) {
        return None;
    }
    let is_left = |part: &Node<'_>| part.at("method").text().is_some_and(Basis::is_remainder);
    let part = run.breakdown.at("components").items().into_iter().find(is_left)?;
    Some(parts::called(part.at("kind").text()?)?.name)
}

/// What is free where the least is: a sum over GPUs is of no use to anybody.
fn least_free(run: &Run<'_>) -> Option<(String, Cell)> {
    let (gpu, free, _) = run.fullest()?;
    let name = if run.gpus() > 1 {
        format!("Least free on one GPU (GPU {})", gpu.words().unwrap_or_else(|| "?".to_owned()))
    } else {
        "Free at the peak".to_owned()
    };
    Some((name, free.figure(Unit::Memory)))
}

/// What belongs to other processes: a baseline reads as the engine's own.
fn others(run: &Run<'_>) -> Option<Vec<Cell>> {
    const MUCH: f64 = 1_073_741_824.0;
    let baseline = run.baseline();
    let bytes = baseline.number().filter(|bytes| *bytes > MUCH)?;
    let diagnostics = run.root.at("diagnostics").items();
    let found = diagnostics.iter().find(|one| one.at("code").text() == Some("other_processes"))?;
    let mut text: Vec<Cell> = vec![
        baseline.figure(Unit::Memory),
        " of it belong to other processes, not to this engine: they were in use before it started".into(),
    ];
    let processes = run.processes();
    let near = |process: &&Node<'_>| {
        process.at("memory_bytes").number().is_some_and(|holds| (holds - bytes).abs() <= bytes / 50.0)
    };
    let alike: Vec<&Node<'_>> = processes.iter().filter(near).collect();
    let alone = found.path("evidence/processes_before_count").count() == Some(1);
    if let (true, [process]) = (alone, alike.as_slice()) {
        text.extend([", by pid ".into(), named::identity(&process.at("pid")), " (told by its size, ".into()]);
        text.extend([process.at("memory_bytes").figure(Unit::Memory), ")".into()]);
    } else if !processes.is_empty() {
        let pids: Vec<String> = processes.iter().take(8).filter_map(|one| one.at("pid").words()).collect();
        text.push(format!(" (processes seen at the peak, the engine's among them: {})", pids.join(", ")).into());
    }
    text.push(".".into());
    Some(text)
}

/// Requests that are not the workload's: what is said of its lengths and sizes is then not of the peak.
fn crowd(run: &Run<'_>) -> Option<Vec<Cell>> {
    let workload = run.root.path("run_config/workload");
    // At a rate requests come whether others have ended or not.
    if workload.at("request_rate").is_there() {
        return None;
    }
    let (ran, asked) = (run.reported().at("peak_running_requests"), workload.at("batch_size"));
    if ran.number()? <= asked.number()? {
        return None;
    }
    Some(vec![
        "More requests ran at once, ".into(),
        ran.figure(Unit::Count),
        ", than the workload named here has, ".into(),
        asked.figure(Unit::Count),
        ": others came too, and the peak may be theirs.".into(),
    ])
}

fn free(run: &Run<'_>) -> Option<Vec<Cell>> {
    let (gpu, free, total) = run.fullest()?;
    let tight = free.number().zip(total.number()).is_some_and(|(free, total)| free < total * 0.03);
    let tone = if tight { Tone::Warning } else { Tone::Plain };
    let mut text: Vec<Cell> = Vec::new();
    if run.gpus() > 1 {
        text.extend(["The fullest GPU, number ".into(), named::identity(&gpu), ", had ".into()]);
    } else {
        text.push("The GPU had ".into());
    }
    text.extend([free.figure(Unit::Memory).tone(tone), " free at the peak".into()]);
    let usable = run.usable(&gpu);
    if total.is_there() {
        text.extend([", of ".into(), total.figure(Unit::Memory), " in all".into()]);
        if usable.is_there() {
            text.extend([", of which processes can use ".into(), usable.figure(Unit::Memory)]);
        }
    }
    text.push(".".into());
    Some(text)
}
