//! What people ask first: what took the memory, when, and why.

use crate::cell::{Cell, Tone};
use crate::node::Node;
use crate::page::{Block, Finding, Section, Weight};
use crate::pages::named;
use crate::pages::parts::{Sized, sum};
use crate::pages::run::{Run, in_words};
use crate::unit::Unit;

pub(super) fn section(run: &Run<'_>) -> Section {
    let mut blocks = Vec::new();
    blocks.extend(ending(run));
    blocks.push(Block::Headline(headline(run)));
    blocks.extend([what(run), residual(run), when(run), free(run)].into_iter().flatten().map(Block::Sentence));
    let numbers = run.root.path("failure/numbers");
    blocks.extend(named::table("The figures of the failure", &[numbers], &[]).map(Block::Table));
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
        Some("partial") => "Some evidence of this run is missing; here is what there is.",
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

fn headline(run: &Run<'_>) -> Vec<(String, Cell)> {
    let peak = run.root.path("memory_measurements/peak/at_ns");
    let phase = peak.number().and_then(|at| run.phase_at(at));
    let largest = run.largest();
    let mut figures = vec![("Peak".to_owned(), run.peak().figure(Unit::Memory))];
    if let Some(part) = &largest {
        figures.push((format!("Largest part: {}", part.name()), part.size.figure(Unit::Memory)));
    }
    figures.push(("Free at the peak".to_owned(), sum(&run.free())));
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
fn share(run: &Run<'_>, part: &Sized<'_>) -> Option<Cell> {
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
    text.push(" Most of it is ".into());
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
    let mut text: Vec<Cell> = if size < 0.0 {
        vec!["The parts claim more than was measured; the residual is ".into()]
    } else {
        vec!["No part explains the rest, the residual of ".into()]
    };
    text.push(residual.figure(Unit::SignedMemory));
    let share = run.breakdown.at("residual_percentage");
    if share.is_there() {
        text.extend([", ".into(), share.figure(Unit::Percent), " of the peak".into()]);
    }
    text.push(".".into());
    Some(text)
}

/// When the peak was, and in which phases memory rose to it.
fn when(run: &Run<'_>) -> Option<Vec<Cell>> {
    let at = run.root.path("memory_measurements/peak/at_ns");
    let instant = at.number()?;
    let mut text: Vec<Cell> =
        vec!["The peak came ".into(), at.figure(Unit::Nanoseconds), " after the recording began".into()];
    let Some(phase) = run.phase_at(instant) else {
        text.push(".".into());
        return Some(text);
    };
    let name = phase.at("phase").text().unwrap_or("?");
    text.push(format!(", in the phase {name}").into());
    text.extend(in_words(name).map(|words| Cell::text(format!(", {words}"))));
    text.push(".".into());
    text.extend(rise(run, instant));
    Some(text)
}

/// The phase with the largest rise of the highest level so far, and what the phase of the peak added to it.
fn rise(run: &Run<'_>, instant: f64) -> Vec<Cell> {
    let before = |phase: &Node<'_>| phase.at("start_ns").number().is_some_and(|start| start <= instant);
    let phases: Vec<Node<'_>> = run.root.at("phases").items().into_iter().filter(before).collect();
    let mut highest: Option<Node<'_>> = None;
    let mut rises: Vec<(Node<'_>, Option<Node<'_>>, f64)> = Vec::new();
    for phase in phases {
        let peak = phase.at("peak_bytes");
        let Some(level) = peak.number() else { continue };
        let from = highest.as_ref().and_then(Node::number).unwrap_or(0.0);
        if highest.is_none() || level > from {
            rises.push((phase, highest.clone(), level - from));
            highest = Some(peak);
        }
    }
    let Some((last, ..)) = rises.last() else { return Vec::new() };
    let last_name = last.at("phase").text();
    let largest = rises.iter().skip(1).max_by(|a, b| a.2.total_cmp(&b.2));
    let Some((phase, Some(from), _)) = largest else { return Vec::new() };
    let name = phase.at("phase").text().unwrap_or("?");
    let mut text: Vec<Cell> = vec![format!(" The largest rise was in the phase {name}, from ").into()];
    text.extend([from.figure(Unit::Memory), " to ".into(), phase.at("peak_bytes").figure(Unit::Memory)]);
    if last_name == Some(name) {
        text.push(".".into());
        return text;
    }
    text.extend(in_words(name).map(|words| Cell::text(format!(", {words}"))));
    text.push("; ".into());
    if let Some((last, Some(from), _)) = rises.last() {
        text.extend([format!("{} raised it from ", last.at("phase").text().unwrap_or("the last phase")).into()]);
        text.extend([from.figure(Unit::Memory), " to the peak of ".into(), last.at("peak_bytes").figure(Unit::Memory)]);
    }
    text.push(".".into());
    text
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
    text.push(free.figure(Unit::Memory).tone(tone));
    if total.is_there() {
        text.extend([" of ".into(), total.figure(Unit::Memory)]);
    }
    text.push(" free at the peak.".into());
    Some(text)
}
