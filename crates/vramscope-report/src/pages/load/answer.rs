//! Which level to run, from what the document says, and in words where it says nothing.

use crate::cell::{Cell, Tone};
use crate::node::Node;
use crate::page::{Block, Finding, Weight};
use crate::pages::figure::{derived, listed};
use crate::pages::levels::{self, By, Group, Levels, MOST_FAILED};
use crate::unit::{Unit, digits};

/// What a search asks of a level unless somebody says otherwise (`--slo-share`).
const USUAL_SHARE: f64 = 0.99;
/// Throughput within this of the highest counts as the highest, as in the search.
const AS_GOOD: f64 = 0.95;
/// Of shorter or smaller measurements the high percentiles are few requests.
const SHORTEST: f64 = 5.0;
const FEWEST: u64 = 100;

/// The bounds of `ttft=500ms,tpot=50ms`, in milliseconds; what is not understood is left out.
pub(super) fn bounds(slo: Option<&str>) -> Vec<(String, f64)> {
    let bound = |part: &str| {
        let (name, time) = part.split_once('=')?;
        let time = time.trim();
        let unit = time.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(time.len());
        let (number, unit) = time.split_at(unit);
        let factor = match unit {
            "ms" => 1.0,
            "s" => 1e3,
            "us" => 1e-3,
            "m" => 6e4,
            _ => return None,
        };
        let value = number.trim().parse::<f64>().ok()? * factor;
        (value.is_finite() && value > 0.0).then(|| (name.trim().to_owned(), value))
    };
    slo.map(|slo| slo.split(',').filter_map(bound).collect()).unwrap_or_default()
}

/// First what speaks against the whole, then the figures, then the sentence.
pub(super) fn blocks(root: &Node<'_>, levels: &mut Levels<'_>) -> Vec<Block> {
    let mut blocks = Vec::new();
    let first = doubts(root, levels);
    if !first.is_empty() {
        blocks.push(Block::Findings(first));
    }
    if levels.groups.is_empty() {
        blocks.push(Block::Text("No level was measured, so the document does not say which one to run.".to_owned()));
        return blocks;
    }
    let (group, sentences) = advice(root, levels);
    let headline = headline(root, levels, group);
    let holds = root.path("search/holds").number().filter(|_| root.path("workload/slo").is_there());
    levels.to_run = holds.or(group.map(|group| group.at));
    if !headline.is_empty() {
        blocks.push(Block::Headline(headline));
    }
    blocks.extend(sentences.into_iter().map(Block::Text));
    blocks
}

fn doubts(root: &Node<'_>, levels: &Levels<'_>) -> Vec<Finding> {
    let mut all = Vec::new();
    let finding = |weight, text: String| Finding { weight, text, advice: None, code: None };
    if root.at("stopped").is_true() {
        let cut = levels.all.iter().find(|level| level.at("stopped").is_true());
        let within = cut.map_or_else(String::new, |level| {
            format!(" within the level {}, whose figures are of what was answered until then", levels.name(level))
        });
        let text = format!("The load was stopped before its end{within}; levels that were still to come are missing.");
        all.push(finding(Weight::Warning, text));
    }
    let sum = |path: &str| levels.groups.iter().map(|group| group.sum(path)).fold(0, u64::saturating_add);
    let (sent, failed, unsent) = (sum("requests/sent"), sum("requests/failed"), sum("requests/unsent"));
    if failed > 0 {
        let kinds = levels::failures(&levels.all);
        let why = if kinds.is_empty() { String::new() } else { format!(": {kinds}") };
        let text = format!("{failed} of {sent} requests failed{why}. Latencies are of those that were answered.");
        all.push(Finding { advice: Some(mend(&levels.all)), ..finding(Weight::Error, text) });
    }
    if unsent > 0 {
        let text = format!("{} were not sent: the server went away, or the load was stopped.", many(unsent));
        all.push(finding(Weight::Error, text));
    }
    let limited = |level: &&Node<'_>| level.path("client/is_the_limit").is_true();
    let limited: Vec<String> = levels.all.iter().filter(limited).take(6).map(|level| levels.name(level)).collect();
    if !limited.is_empty() {
        let text = format!("At {} the client may be the limit, not the server.", listed(&limited));
        all.push(finding(Weight::Warning, text));
    }
    all
}

fn many(count: u64) -> String {
    if count == 1 { "1 request".to_owned() } else { format!("{count} requests") }
}

/// What to do about requests that failed.
fn mend(levels: &[Node<'_>]) -> String {
    let met = |kinds: &[&str]| {
        let mut members = levels.iter().flat_map(|level| level.at("failures").members());
        members.any(|(kind, count)| kinds.contains(&kind) && count.count() > Some(0))
    };
    let mut words = Vec::new();
    if met(&["status_429", "status_503"]) {
        words.push("The server refuses requests: lower the rate, or raise the server's limit of requests.");
    }
    if met(&["cut", "stalled", "connect_timed_out"]) {
        words.push("Connections ended before their answers did: the server's log, and time-outs on the way, tell why.");
    }
    if words.is_empty() {
        words.push("Lower the level until none fails, and look for the reason in the server's log.");
    }
    words.join(" ")
}

/// That percentiles of few requests are those of a handful.
pub(super) fn thin(levels: &Levels<'_>) -> Option<Finding> {
    let few = |level: &&Node<'_>| {
        level.at("duration_s").number().is_some_and(|s| s < SHORTEST)
            || level.path("requests/completed").count().is_some_and(|n| n < FEWEST)
    };
    let thin = levels.all.iter().filter(few).count();
    let which = match thin {
        0 => return None,
        all if all == levels.all.len() => "Every measurement".to_owned(),
        1 => "1 measurement".to_owned(),
        some => format!("{some} of {} measurements", levels.all.len()),
    };
    let text = format!(
        "{which} took less than {SHORTEST} s or has fewer than {FEWEST} answered requests: p99 there is that of the slowest one \
         or two, and may be another one next time."
    );
    let advice = Some("Send more requests at each level for a p99 that holds.".to_owned());
    Some(Finding { weight: Weight::Note, text, advice, code: None })
}

/// The level to run with why, or why none can be named.
fn advice<'a, 'd>(root: &Node<'_>, levels: &'a Levels<'d>) -> (Option<&'a Group<'d>>, Vec<String>) {
    let search = root.at("search");
    let slo = root.path("workload/slo").text();
    let name = |at: f64| levels.by.name(at);
    let mut said = Vec::new();
    let mut group = None;
    let (holds, fails) = (search.at("holds").number(), search.at("fails").number());
    if let (Some(slo), Some(holds)) = (slo, holds) {
        let share =
            search.at("share").number().map_or(String::new(), |share| format!("{} of ", Unit::Share.show(share)));
        let fails = fails.map_or_else(String::new, |at| format!(" {} does not.", name(at)));
        said.push(format!(
            "Run {}: it is the highest level at which {share}the requests keep {slo}.{fails}",
            name(holds)
        ));
        group = levels.at(Some(holds));
    } else if let (Some(slo), Some(fails)) = (slo, fails) {
        said.push(format!(
            "No level that was measured keeps {slo}: {} is the lowest that was tried, and does not.",
            name(fails)
        ));
    } else if let Some(slo) = slo {
        let (best, words) = held(levels, slo);
        group = best;
        said.push(words);
    }
    let knee = search.at("knee").number();
    if levels.groups.iter().all(Group::fails) {
        said.push(format!(
            "At every level more than {} of the requests failed, so none of them is named as the one to run.",
            Unit::Share.show(MOST_FAILED)
        ));
        return (None, said);
    }
    match knee {
        Some(at) => said.push(format!("The knee, where throughput is the most for its latency, is at {}.", name(at))),
        None => said.extend(worked_out(levels, search.is_there()).map(|(best, words)| {
            group = group.or(Some(best));
            words
        })),
    }
    group = group.or_else(|| levels.at(knee));
    said.extend(growth(levels, search.at("saturation").number()));
    if slo.is_none() {
        said.push("No bounds were given (--slo), so nothing here says which latency is still good.".to_owned());
    }
    (group, said)
}

/// The levels that have a name, to be marked in pictures.
pub(super) fn named(root: &Node<'_>, levels: &Levels<'_>) -> Vec<(Option<f64>, &'static str)> {
    let search = root.at("search");
    let slo = root.path("workload/slo").text();
    let knee = search.at("knee").number();
    let best = worked_out(levels, false).filter(|_| knee.is_none()).map(|(group, _)| group.at);
    let holds = search.at("holds").number();
    let searched = search.is_there();
    let held = slo.filter(|_| !searched).and_then(|slo| held(levels, slo).0).map(|group| group.at);
    vec![
        (knee, "knee"),
        (best, "most for its latency"),
        (search.at("saturation").number(), "saturated"),
        (holds.or(held), "highest within the bounds"),
    ]
}

/// Without a search: the highest level up to which nearly all requests kept the bounds.
fn held<'a, 'd>(levels: &'a Levels<'d>, slo: &str) -> (Option<&'a Group<'d>>, String) {
    let known: Vec<(&Group<'d>, f64)> =
        levels.groups.iter().filter_map(|group| Some((group, group.good_share()?))).collect();
    let best = known
        .iter()
        .take_while(|(group, share)| *share >= USUAL_SHARE && !group.fails())
        .last()
        .map(|(group, _)| *group);
    let none = "The levels were given rather than searched for (--sweep), so the document names none.";
    let words = match best {
        Some(group) => {
            let next = known.iter().find(|(other, _)| other.at > group.at);
            let next = next.map_or_else(
                || " No higher one was measured.".to_owned(),
                |(next, share)| format!(" At {} it is {}.", levels.by.name(next.at), Unit::Share.show(*share)),
            );
            format!(
                "Run {at}: of the levels measured it is the highest up to which 99 % of the requests keep {slo}.{next} {none}",
                at = levels.by.name(group.at)
            )
        }
        None if known.is_empty() => format!("{none} Nor does it say how many requests kept {slo}."),
        None => {
            let (first, share) = (known[0].0, known[0].1);
            let at = levels.by.name(first.at);
            format!(
                "{none} Even at {at}, the lowest level, only {} of the requests keep {slo}.",
                Unit::Share.show(share)
            )
        }
    };
    (best, words)
}

/// Without a knee in the document: the level with the most throughput over latency, of at least three.
fn worked_out<'a, 'd>(levels: &'a Levels<'d>, searched: bool) -> Option<(&'a Group<'d>, String)> {
    let power = |group: &Group<'d>| {
        let latency = group.mean("e2e/mean_ms").filter(|latency| *latency > 0.0)?;
        Some(group.mean("output_tokens_per_s")? / latency)
    };
    if levels.groups.iter().filter(|group| power(group).is_some()).count() < 3 {
        return None;
    }
    let best = levels.most(power)?;
    let last = levels.groups.last().is_some_and(|last| last.at.total_cmp(&best.at).is_eq());
    let open = if last { " It is the highest that was measured: a higher one may be better." } else { "" };
    let none = if searched { "No knee was found." } else { "No knee was looked for (levels were given)." };
    let words = format!(
        "{none} Of the levels measured, {} has the most output tokens per second for its mean latency \
         (worked out here from the table).{open}",
        levels.by.name(best.at)
    );
    Some((best, words))
}

/// How throughput grows, and whether it has ended.
fn growth(levels: &Levels<'_>, saturation: Option<f64>) -> Option<String> {
    let rate = |group: &Group<'_>| group.mean("output_tokens_per_s");
    let most = levels.most(rate)?;
    let (first, last) = (levels.groups.first()?, levels.groups.last()?);
    let top = rate(most)?;
    let name = |group: &Group<'_>| levels.by.name(group.at);
    if levels.groups.len() < 2 {
        return Some(format!("One level was measured, {}: which other one is better it does not say.", name(first)));
    }
    if let Some(at) = saturation {
        let at = levels.by.name(at);
        return Some(format!(
            "The server is saturated from {at} on: more requests bring no more tokens, only more latency."
        ));
    }
    let enough = levels.groups.iter().find(|group| rate(group) >= Some(top * AS_GOOD))?;
    let times = rate(first)
        .filter(|rate| *rate > 0.0)
        .map(|rate| format!(", {} times those at {}", digits(top / rate), name(first)));
    let times = times.filter(|_| most.at > first.at).unwrap_or_default();
    let end = if enough.at < last.at {
        format!(
            "From {} on, throughput stays within 5 % of that or falls: more requests only wait longer.",
            name(enough)
        )
    } else {
        "It still grows at the highest level, so what the server can do at most is not shown.".to_owned()
    };
    Some(format!("The most output tokens are {} at {}{times}. {end}", Unit::PerSecond.show(top), name(most)))
}

fn headline(root: &Node<'_>, levels: &Levels<'_>, group: Option<&Group<'_>>) -> Vec<(String, Cell)> {
    let search = root.at("search");
    let unit = if levels.by == By::Concurrency { Unit::Count } else { Unit::PerSecond };
    let mut all: Vec<(String, Cell)> = Vec::new();
    let sum = |path: &str| levels.groups.iter().map(|group| group.sum(path)).fold(0, u64::saturating_add);
    let (sent, failed) = (sum("requests/sent"), sum("requests/failed"));
    if failed > 0 && sent > 0 {
        #[expect(clippy::cast_precision_loss, reason = "counts of requests")]
        let share = failed as f64 / sent as f64;
        all.push(("requests failed, of all".to_owned(), Cell::text(Unit::Share.show(share)).tone(Tone::Bad)));
    }
    let level = |key: &str| search.at(key).figure(unit);
    let what = levels.by.axis();
    if root.path("workload/slo").is_there() {
        all.push((format!("keeps the bounds: {what}"), level("holds")));
    }
    all.push((format!("knee: {what}"), level("knee")));
    all.push((format!("saturated from: {what}"), level("saturation")));
    if let Some(most) = levels.most(|group| group.mean("output_tokens_per_s")) {
        let name = format!("most output tokens, at {}", levels.by.name(most.at));
        all.push((name, most.cell("output_tokens_per_s", Unit::PerSecond)));
    }
    if let Some(group) = group.or_else(|| levels.groups.first().filter(|group| !group.fails())) {
        let at = levels.by.name(group.at);
        let mut of =
            |what: &str, path: &str, unit: Unit| all.push((format!("{what}, at {at}"), group.cell(path, unit)));
        of("output tokens", "output_tokens_per_s", Unit::PerSecond);
        of("TTFT p95", "ttft/p95_ms", Unit::Milliseconds);
        of("TPOT p95", "tpot/p95_ms", Unit::Milliseconds);
        of("E2E p95", "e2e/p95_ms", Unit::Milliseconds);
        of("cost of a million output tokens", "cost/per_million_output_tokens", Unit::Plain);
        of("J per output token", "energy/joules_per_output_token", Unit::Plain);
        if group.good_share().is_some() {
            let good = match &group.levels[..] {
                [one] => one.path("goodput/share").figure(Unit::Share),
                _ => derived(group.good_share(), Unit::Share),
            };
            all.push((format!("good requests, at {at}"), good));
        }
    }
    all.retain(|(_, cell)| !cell.is_absent());
    all.dedup_by(|a, b| a.1.source.is_some() && a.1.source == b.1.source);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_read_as_they_are_written() {
        let read = |slo| bounds(Some(slo));
        assert_eq!(read("ttft=500ms,tpot=50ms"), [("ttft".to_owned(), 500.0), ("tpot".to_owned(), 50.0)]);
        assert_eq!(read("e2e=10s, ttft=0.5s"), [("e2e".to_owned(), 10_000.0), ("ttft".to_owned(), 500.0)]);
        for odd in ["", "ttft", "ttft=", "ttft=ms", "ttft=-5ms", "ttft=5parsecs", "=", "ttft=infms", "ttft=1e999ms"] {
            assert!(read(odd).is_empty(), "{odd}");
        }
        assert!(bounds(None).is_empty());
    }
}
