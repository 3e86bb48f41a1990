//! Comparisons for people.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use vramscope_compare::{
    Against, Better, Change, Check, Difference, Interval, Judged, Outcome, Part, Quantity, SettingChange, Unanswered,
    Verdict,
};

use crate::table::{Align, Table, wrap};

/// Two profiles; with a verdict where limits were set.
pub(super) fn difference(
    before: &str,
    after: &str,
    difference: &Difference,
    verdict: Option<&Verdict>,
    width: usize,
) -> String {
    let mut text = String::new();
    title(&mut text, &format!("{before} -> {after}"), width);
    settings(&mut text, &difference.settings, width);
    text.push('\n');
    let mut table = Table::new(&[
        ("figure", Align::Left),
        ("before", Align::Right),
        ("after", Align::Right),
        ("change", Align::Right),
        ("", Align::Right),
        ("", Align::Left),
    ]);
    for change in &difference.figures {
        let value = |quantity| if change.name.ends_with("_requests") { count(quantity) } else { value(quantity) };
        let shown = |quantity: Option<Quantity>| quantity.map_or("-".to_owned(), value);
        let delta = change.delta().map_or(String::new(), |delta| format!("{}{}", sign(delta), value(delta)));
        let relative = change.relative().map_or(String::new(), |relative| format!("{:+.1} %", relative * 100.0));
        table.row([label(change.name), shown(change.before), shown(change.after), delta, relative, moved(change)]);
    }
    text.push_str(&table.render(width));
    for caution in &difference.cautions {
        paragraph(&mut text, "  note: ", caution, width);
    }
    if let Some(verdict) = verdict {
        limits(&mut text, verdict);
    }
    text
}

fn settings(text: &mut String, settings: &[SettingChange], width: usize) {
    if settings.is_empty() {
        text.push_str("  set up the same, as far as the profiles say\n");
        return;
    }
    let mut table = Table::new(&[("setting", Align::Left), ("before", Align::Left), ("after", Align::Left)]);
    for change in settings {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        table.row([change.name.to_owned(), value(&change.before), value(&change.after)]);
    }
    text.push_str(&table.render(width));
}

/// Repeats against repeats; with a verdict where limits were set.
pub(super) fn against(against: &Against, verdict: Option<&Verdict>, width: usize) -> String {
    let mut text = String::new();
    let [before, after] = against.repeats;
    title(&mut text, &format!("{before} repeats -> {after} repeats"), width);
    settings(&mut text, &against.settings, width);
    text.push('\n');
    let mut table = Table::new(&[
        ("figure", Align::Left),
        ("before", Align::Right),
        ("after", Align::Right),
        ("change", Align::Right),
        ("", Align::Left),
    ]);
    for judged in &against.figures {
        let change = judged.change.map_or(String::new(), |change| match (change.low, change.high) {
            (Some(low), Some(high)) => format!("{:+.1} % … {:+.1} %", low * 100.0, high * 100.0),
            _ => format!("{:+.1} %", change.mean * 100.0),
        });
        let side = |interval: Interval| mean(judged.name, interval);
        table.row([label(judged.name), side(judged.before), side(judged.after), change, said(judged)]);
    }
    let lost = |side: Unanswered| match (side.unanswered, side.requests) {
        (Some(lost), Some(all)) => format!("{lost} of {all}"),
        _ => "not known".to_owned(),
    };
    let [first, second] = against.unanswered.map(lost);
    table.row(["requests not answered".to_owned(), first, second, String::new(), String::new()]);
    text.push_str(&table.render(width));
    let (alarms, margin) = (against.rule.false_alarms * 100.0, against.rule.margin * 100.0);
    let rule = format!(
        "Welch's t on logarithms over repeats; of equal runs any figure is called better or worse in at most {alarms} % of \
         comparisons; a change within {margin} % does not matter"
    );
    paragraph(&mut text, "  rule: ", &rule, width);
    for caution in &against.cautions {
        paragraph(&mut text, "  note: ", caution, width);
    }
    if let Some(verdict) = verdict {
        limits(&mut text, verdict);
    }
    text
}

/// A mean with half the width of its interval.
fn mean(name: &str, interval: Interval) -> String {
    let in_unit = |number: f64| {
        if name.ends_with("_bytes") { gib(number) } else { value(Quantity::Number(number)) }
    };
    match interval.high.map(|high| high - interval.mean) {
        Some(half) if half > 0.0 => format!("{} ±{}", in_unit(interval.mean), in_unit(half)),
        _ => in_unit(interval.mean),
    }
}

fn said(judged: &Judged) -> String {
    match judged.outcome {
        Outcome::Inconclusive => inconclusive(judged),
        outcome => outcome.name().to_owned(),
    }
}

/// Why a figure is inconclusive, and what might tell.
pub(super) fn inconclusive(judged: &Judged) -> String {
    match (&judged.why, judged.repeats_needed) {
        (Some(why), _) => format!("inconclusive: {why}"),
        (None, Some(repeats)) => format!("inconclusive; about {repeats} repeats of each side might tell"),
        (None, None) => "inconclusive".to_owned(),
    }
}

fn limits(text: &mut String, verdict: &Verdict) {
    if verdict.exceeded.is_empty() && verdict.unjudged.is_empty() {
        text.push_str("\nnothing became worse by more than its limit\n");
    }
    let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    for item in &verdict.exceeded {
        let by = if item.worse_by.is_finite() { format!(" by {:.1} %", item.worse_by * 100.0) } else { String::new() };
        let limit = item.limit * 100.0;
        let _ = writeln!(text, "\n{red}exceeded{red:#} {}: worse{by}, the limit is {limit:.1} %", label(item.figure));
    }
}

/// A profile beside what a calculator said.
pub(super) fn check(profile: &str, check: &Check, width: usize) -> String {
    let mut text = String::new();
    title(&mut text, &format!("{profile}, beside the calculator, in GiB"), width);
    let mut table = Table::new(&[
        ("part", Align::Left),
        ("measured", Align::Right),
        ("calculated", Align::Right),
        ("error", Align::Right),
        ("usual", Align::Right),
        ("to agree", Align::Left),
    ]);
    let pool =
        check.parts.iter().any(|part| part.part == Part::TotalOfWorkload || part.part == Part::KvCacheOfWorkload);
    for part in &check.parts {
        let calculated = gib(part.calculated.as_f64());
        table.row([
            part.part.name().replace('_', " "),
            part.measured.map_or("not known".to_owned(), |measured| gib(measured.as_f64())),
            calculated,
            part.relative().map_or("-".to_owned(), |relative| format!("{:+.1} %", relative * 100.0)),
            format!("±{:.0} %", part.part.usual() * 100.0),
            match (part.within(), part.factor()) {
                (Some(true), _) => "as good as usual".to_owned(),
                _ if pool && matches!(part.part, Part::KvCache | Part::Total) => "see of workload".to_owned(),
                (_, Some(factor)) => format!("multiply by {factor:.3}"),
                _ => String::new(),
            },
        ]);
    }
    text.push_str(&table.render(width));
    for caution in &check.cautions {
        paragraph(&mut text, "  note: ", caution, width);
    }
    text
}

/// Whether it moved the right way; a thousandth is nothing, and what came from zero moved.
fn moved(change: &Change) -> String {
    let Some(delta) = change.delta().map(|delta| delta.as_f64()).filter(|delta| *delta != 0.0) else {
        return String::new();
    };
    if change.relative().is_some_and(|relative| relative.abs() < 0.001) {
        return String::new();
    }
    match (change.better, delta > 0.0) {
        (Better::Neither, _) => "",
        (Better::Lower, true) | (Better::Higher, false) => "worse",
        (Better::Lower, false) | (Better::Higher, true) => "better",
    }
    .to_owned()
}

/// The figure's name for people: memory is shown in GiB.
pub(crate) fn label(name: &str) -> String {
    match name.strip_suffix("_bytes") {
        Some(stem) => format!("{} GiB", stem.replace('_', " ")),
        None => name.replace('_', " "),
    }
}

pub(crate) fn value(quantity: Quantity) -> String {
    match quantity {
        Quantity::Memory(bytes) => gib(bytes.as_f64()),
        Quantity::Number(number) if number.abs() >= 1000.0 => format!("{number:.0}"),
        Quantity::Number(number) => format!("{number:.2}"),
    }
}

/// What is counted has no fractions.
fn count(quantity: Quantity) -> String {
    format!("{:.0}", quantity.as_f64())
}

/// A minus brings itself.
fn sign(delta: Quantity) -> &'static str {
    if delta.as_f64() >= 0.0 { "+" } else { "" }
}

fn gib(bytes: f64) -> String {
    format!("{:.2}", bytes / f64::from(1 << 30))
}

fn title(text: &mut String, words: &str, width: usize) {
    let bold = Style::new().bold();
    for line in wrap(words, width) {
        let _ = writeln!(text, "{bold}{line}{bold:#}");
    }
}

/// Wrapped text; further lines stand under the first one's text.
fn paragraph(text: &mut String, lead: &str, words: &str, width: usize) {
    let indent = " ".repeat(lead.len());
    for (n, line) in wrap(words, width.saturating_sub(lead.len()).max(20)).iter().enumerate() {
        let _ = writeln!(text, "{}{line}", if n == 0 { lead } else { &indent });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_rises_from_zero_is_worse() {
        let change = |before, after| {
            let of = |value| Some(Quantity::Number(value));
            Change { name: "mean_latency_ms", better: Better::Lower, before: of(before), after: of(after) }
        };
        assert_eq!(moved(&change(0.0, 3.0)), "worse");
        assert_eq!((moved(&change(0.0, 0.0)), moved(&change(1_000.0, 1_000.5))), (String::new(), String::new()));
        assert_eq!(moved(&change(2.0, 1.0)), "better");
    }
}
