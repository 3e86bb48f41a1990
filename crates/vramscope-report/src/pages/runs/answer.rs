//! What the runs say in a few words: how far they are, which is the best, and which batch size to run.

use super::Runs;
use super::series::Line;
use crate::cell::Cell;
use crate::node::Node;
use crate::page::{Block, Finding, Weight};
use crate::pages::figure::{Grouped, float, listed, many};
use crate::pages::named::unit;
use crate::unit::{Unit, digits};

/// Of more series than these the pictures tell.
const MOST_SERIES: usize = 4;
/// More findings of one kind are counted, not listed.
const MOST_FINDINGS: usize = 20;
/// Figures that differ by less are equal.
const SAME: f64 = 0.01;
/// So many runs are named where something is said of several.
const MOST_NAMES: usize = 5;

pub(super) fn blocks(runs: &Runs<'_>, series: &[Line<'_>]) -> Vec<Block> {
    if runs.all.is_empty() {
        return vec![Block::Text("There is no run yet.".to_owned())];
    }
    let mut headline: Vec<(String, Cell)> =
        vec![("runs".to_owned(), Cell::text(Unit::Count.show(float(runs.all.len()))))];
    if runs.is_campaign() {
        headline
            .extend(runs.states().into_iter().map(|(words, count)| (words.to_owned(), Cell::text(count.to_string()))));
    }
    let mut best = |figure: &str, words: &str, higher: bool| {
        let known = runs.all.iter().filter_map(|run| Some((Runs::figure(run, figure)?, run)));
        let order = |a: &(f64, &Node<'_>), b: &(f64, &Node<'_>)| a.0.total_cmp(&b.0);
        let known: Vec<(f64, &Node<'_>)> = known.collect();
        let (low, high) = (known.iter().copied().min_by(order)?, known.iter().copied().max_by(order)?);
        let run = if higher { high.1 } else { low.1 };
        // Who is first among equals says nothing.
        let same = known.len() > 1 && high.0 - low.0 <= high.0.abs() * SAME;
        let whose = if same { "all runs equal, to 1 %".to_owned() } else { runs.name(run) };
        headline.push((
            format!("{words}: {whose}"),
            run.at("figures").at(figure).figure(unit(figure).unwrap_or(Unit::Plain)),
        ));
        Some(())
    };
    let fastest = best("tokens_per_second", "most tokens", true);
    best("mean_latency_ms", "lowest mean latency", false);
    best("peak_bytes", "most memory at the peak", true);
    let mut blocks = vec![Block::Headline(headline)];
    blocks.extend(progress(runs));
    blocks.extend(batch_size(series, fastest.is_some()));
    blocks
}

/// How far a campaign is.
fn progress(runs: &Runs<'_>) -> Option<Block> {
    if !runs.is_campaign() {
        return None;
    }
    let count = |states: &[&str]| {
        runs.all.iter().filter(|run| Runs::state(run).is_some_and(|state| states.contains(&state))).count()
    };
    let (done, open) = (count(&["complete"]), count(&["running", "pending"]));
    let all = runs.all.len();
    let percent = digits((float(done) / float(all) * 100.0).floor());
    let rest = match open {
        0 => "None is still to come.".to_owned(),
        1 => "1 is still to come: what follows may change with it.".to_owned(),
        _ => format!("{open} are still to come: what follows may change with them."),
    };
    Some(Block::Text(format!("{done} of {all} runs are done ({percent} %). {rest}")))
}

/// Which batch size to run, as far as runs differ in it alone.
fn batch_size(series: &[Line<'_>], any_throughput: bool) -> Vec<Block> {
    let its: Vec<&Line<'_>> =
        series.iter().filter(|one| one.axis() == Some("batch_size") && !one.points.is_empty()).collect();
    if its.is_empty() {
        let words = if any_throughput {
            "No two measured runs differ in the batch size alone, so they do not say which one to run. The most tokens per \
             second above are of the fastest run, whatever else it was set up with."
        } else {
            "No measured run has a throughput, so the runs do not say which batch size to run."
        };
        return vec![Block::Text(words.to_owned())];
    }
    let names = super::series::names(&its);
    let order = super::series::order(&its);
    let told = order.into_iter().take(MOST_SERIES);
    let mut blocks: Vec<Block> = told.map(|place| Block::Text(of_series(its[place], &names[place]))).collect();
    if its.len() > MOST_SERIES {
        let left = its.len() - MOST_SERIES;
        blocks.push(Block::Text(format!("{left} more series by batch size are in the pictures below.")));
    }
    blocks.extend(super::series::left_out(&its, "batch size").map(Block::Text));
    blocks
}

fn of_series(series: &Line<'_>, name: &str) -> String {
    let known: Vec<(f64, f64, Option<f64>)> = series
        .points
        .iter()
        .filter_map(|point| {
            let rate = point.at("tokens_per_second").number()?;
            Some((point.at("value").number()?, rate, point.at("mean_latency_ms").number()))
        })
        .collect();
    let with = if name.is_empty() { String::new() } else { format!("With {name}: ") };
    let most = known.iter().copied().reduce(|most, one| if one.1 > most.1 { one } else { most });
    let (Some(first), Some(last), Some(most)) = (known.first(), known.last(), most) else {
        return format!("{with}the runs by batch size have no throughput, so they do not say which one to run.");
    };
    if known.len() < 2 {
        return format!("{with}throughput is known at batch size {} alone.", digits(first.0));
    }
    let pays = series.slows_at().map(|slows| {
        let before = known.iter().rfind(|one| one.0 < slows);
        let before = before.map_or_else(String::new, |one| {
            let latency =
                one.2.map_or(String::new(), |latency| format!(", {} mean latency", Unit::Milliseconds.show(latency)));
            format!(": {} is the last that keeps up ({}{latency})", digits(one.0), Unit::PerSecond.show(one.1))
        });
        format!("From batch size {} on, less than half of the added load becomes tokens{before}.", digits(slows))
    });
    let times = |a: f64, b: f64| if b > 0.0 { digits(a / b) } else { "–".to_owned() };
    let latency = match (most.2, first.2) {
        (Some(most), Some(first)) => format!(" for {} times the latency", times(most, first)),
        _ => String::new(),
    };
    let compared = if most.0 > first.0 {
        format!(", {} times those at {}{latency}", times(most.1, first.1), digits(first.0))
    } else {
        String::new()
    };
    let end = match pays {
        Some(pays) => format!(" {pays}"),
        None if most.0 >= last.0 => {
            let keeps_up = " Throughput still keeps up at the largest batch size with a finished run";
            let above: Vec<String> = series.failed.iter().filter(|at| **at > last.0).map(|at| digits(*at)).collect();
            if above.is_empty() {
                format!("{keeps_up}: a larger one may be better.")
            } else {
                format!("{keeps_up}. Larger ones were tried and failed: {}.", listed(&above))
            }
        }
        None => String::new(),
    };
    let text = format!(
        "{with}the most tokens are {} at batch size {}{compared}.{end}",
        Unit::PerSecond.show(most.1),
        digits(most.0)
    );
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// What failed, and why figures are doubtful; the same of several runs once.
pub(super) fn findings(runs: &Runs<'_>) -> Vec<Finding> {
    let mut failed: Grouped<String, (String, Option<String>, Vec<String>)> = Grouped::new();
    let mut doubtful: Grouped<String, (String, Vec<String>)> = Grouped::new();
    for run in &runs.all {
        let state = Runs::state(run);
        let why = run.path("campaign/failure").text();
        if why.is_some() || state == Some("failed") || state == Some("interrupted") {
            let state = match state {
                Some("unfit") => "left out",
                Some("interrupted") => "interrupted",
                Some("running") => "running again after a failure",
                Some("complete") => "done after a failure",
                _ => "failed",
            };
            let text = why.map_or_else(|| state.to_owned(), |why| format!("{state}: {why}"));
            let log = run.path("campaign/log").text().map(|log| format!("The engine's log: {log}"));
            failed.entry(text.clone(), || (text, log, Vec::new())).2.push(runs.name(run));
        }
        for caution in run.at("cautions").items() {
            let text = caution.text().unwrap_or("no word").to_owned();
            doubtful.entry(text.clone(), || (text, Vec::new())).1.push(runs.name(run));
        }
    }
    let (failed, doubtful) = (failed.all, doubtful.all);
    let mut all = Vec::new();
    let more = |count: usize, what: &str| Finding {
        weight: Weight::Note,
        text: format!("{} of other kinds: the table and the document have them.", many(count, what)),
        advice: None,
        code: None,
    };
    let left = failed.len().saturating_sub(MOST_FINDINGS);
    for (text, advice, names) in failed.into_iter().take(MOST_FINDINGS) {
        let weight = if text.starts_with("failed") { Weight::Error } else { Weight::Warning };
        all.push(Finding { weight, text: format!("{} {text}", named(&names)), advice, code: None });
    }
    if left > 0 {
        all.push(more(left, "failure"));
    }
    let left = doubtful.len().saturating_sub(MOST_FINDINGS);
    for (text, names) in doubtful.into_iter().take(MOST_FINDINGS) {
        let text = format!("Of {} the figures are doubtful: {text}", named(&names));
        all.push(Finding { weight: Weight::Warning, text, advice: None, code: None });
    }
    if left > 0 {
        all.push(more(left, "caution"));
    }
    all
}

/// A few of the names, and how many there are.
fn named(names: &[String]) -> String {
    if names.len() <= MOST_NAMES {
        return listed(names);
    }
    let shown = names.iter().take(MOST_NAMES).cloned().collect::<Vec<_>>().join(", ");
    format!("{} ({shown}, …)", many(names.len(), "run"))
}
