//! What went wrong, in words.

use crate::node::Node;
use crate::page::{Block, Finding, Weight};
use crate::pages::named;

/// More failures of one engine, and things that followed from one, than this are not listed.
const MOST: usize = 20;

pub(super) fn findings(engines: &[Node<'_>]) -> Option<Block> {
    let mut findings = Vec::new();
    for (place, engine) in engines.iter().enumerate() {
        let whose = if engines.len() > 1 { format!("engine {}: ", place + 1) } else { String::new() };
        for failure in engine.at("failures").items().iter().take(MOST) {
            findings.push(Finding {
                weight: Weight::Error,
                text: format!("{whose}{}", words(failure)),
                advice: failure.at("advice").text().filter(|text| !text.is_empty()).map(str::to_owned),
                code: failure.at("kind").text().map(str::to_owned),
            });
        }
    }
    findings.truncate(60);
    (!findings.is_empty()).then_some(Block::Findings(findings))
}

/// What it was, where and at what, then the engine's own message, then what followed from it.
fn words(failure: &Node<'_>) -> String {
    let kind = failure.at("kind").text().map_or_else(|| "a failure".to_owned(), named::words);
    let during = failure.at("activity").text().map_or_else(String::new, |at| format!(" while {}", named::words(at)));
    let line = failure.at("line").words().map_or_else(String::new, |line| format!(", line {line}"));
    let message = failure.at("message").text().filter(|text| !text.is_empty()).unwrap_or("without a message");
    let mut text = format!("{kind}{}{during}{line}: {message}", on_ranks(failure));
    if let Some(followed) = followed(failure) {
        if !text.ends_with(['.', '!', '?']) {
            text.push('.');
        }
        text.push_str(&followed);
    }
    text
}

/// The ranks that failed.
fn on_ranks(failure: &Node<'_>) -> String {
    let each = failure.at("ranks").items();
    let ranks: Vec<String> = each.iter().filter_map(|one| one.at("rank").words()).collect();
    match (ranks.as_slice(), failure.at("rank").words()) {
        ([], Some(rank)) => format!(" on rank {rank}"),
        ([], None) if each.is_empty() => String::new(),
        ([], None) => format!(" on {} processes", each.len()),
        ([rank], _) if each.len() > 1 => format!(" on rank {rank} and {} more", each.len() - 1),
        ([rank], _) => format!(" on rank {rank}"),
        (ranks, _) if ranks.len() > MOST => format!(" on {} ranks, the first of them {}", ranks.len(), ranks[0]),
        (ranks, _) => format!(" on ranks {}", ranks.join(", ")),
    }
}

fn followed(failure: &Node<'_>) -> Option<String> {
    let all = failure.at("consequences").items();
    let told = |one: &Node<'_>| {
        let kind = one.at("kind").text().map_or_else(|| "a failure".to_owned(), named::words);
        one.at("line").words().map_or_else(|| kind.clone(), |line| format!("{kind} (line {line})"))
    };
    let few: Vec<String> = all.iter().take(MOST).map(told).collect();
    let more = if all.len() > MOST { format!(" and {} more", all.len() - MOST) } else { String::new() };
    (!few.is_empty()).then(|| format!(" What followed from it: {}{more}.", few.join(", ")))
}
