//! A server's baseline: how fast one request is, what more in flight bring, what lengths cost.

mod lengths;

use super::figure::{brief, many};
use super::levels::{self, Levels};
use super::load::{engine, metered};
use crate::cell::Cell;
use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Finding, Page, Picture, Section, Table, Weight};
use crate::pages::named::MOST_ROWS;
use crate::svg::{Mark, Plot, Series, Shape};
use crate::unit::{Unit, digits};

/// Verdicts that speak against the figures themselves.
const DOUBTS: [&str; 2] = ["client_is_the_limit", "requests_failed"];
/// Verdicts after which nothing is to be mended.
const GOOD: [&str; 4] = ["steady", "still_scales", "prompt_length_free", "context_free"];
/// Verdicts that name what ends the growth of throughput, or its steadiness.
const LIMITS: [&str; 6] = ["unsteady", "scales_less", "kv_cache_full", "queue", "compute_or_bandwidth", "saturated"];

pub(crate) fn page(document: &Document) -> Page {
    let root = document.root(0);
    let mut sections = vec![Section::new("What bounds this server", answer(&root))];
    sections.extend(latency(&root.at("latency")));
    sections.extend(throughput(&root.at("throughput")));
    sections.extend(lengths::section(&root.at("lengths")));
    let setup = Block::Folded { title: "Server, load and devices".to_owned(), blocks: setup(&root) };
    sections.push(Section::new("How it was set up", [setup]));
    let model = brief(root.at("model").text().unwrap_or("a model"));
    let mut about = format!("Experiments with {}", root.at("server").text().unwrap_or("a server"));
    if let Some(version) = root.at("server_version").text() {
        about.push_str(&format!(" (version {version})"));
    }
    Page { title: format!("Baseline of {model}"), about, sections }
}

fn answer(root: &Node<'_>) -> Vec<Block> {
    let mut findings = Vec::new();
    if root.at("stopped").is_true() {
        let text = "The experiments were stopped before their end: what was measured until then is here.".to_owned();
        findings.push(Finding { weight: Weight::Warning, text, advice: None, code: None });
    }
    for key in ["latency", "throughput", "lengths"] {
        findings.extend(root.at(key).at("verdicts").items().iter().map(verdict));
    }
    for finding in root.at("findings").items() {
        let weight = if finding.at("severity").text() == Some("warning") { Weight::Warning } else { Weight::Note };
        let text = finding.at("message").text().unwrap_or("no word").to_owned();
        findings.push(Finding { weight, text, advice: None, code: finding.at("code").text().map(str::to_owned) });
    }
    // What makes figures doubtful comes before what they say. The sort keeps the order of the rest.
    findings.sort_by_key(|finding| finding.weight != Weight::Error);
    let mut blocks = Vec::new();
    let (one, many) = (root.at("latency"), root.at("throughput"));
    let mut headline = vec![
        ("one request, mean E2E".to_owned(), one.path("e2e/mean_ms").figure(Unit::Milliseconds)),
        ("one request, mean TTFT".to_owned(), one.path("ttft/mean_ms").figure(Unit::Milliseconds)),
        ("one request, output tokens".to_owned(), one.path("output_rate/mean_per_s").figure(Unit::PerSecond)),
        ("knee: requests in flight".to_owned(), many.at("knee").figure(Unit::Count)),
        ("saturated from: requests in flight".to_owned(), many.at("saturation").figure(Unit::Count)),
    ];
    if let Some(most) = most(&many) {
        let at = most.at("concurrency").number().map_or_else(|| "–".to_owned(), digits);
        headline.push((
            format!("most output tokens, at {at} in flight"),
            most.at("output_tokens_per_s").figure(Unit::PerSecond),
        ));
    }
    headline.retain(|(_, cell)| !cell.is_absent());
    if findings.is_empty() && headline.is_empty() {
        blocks.push(Block::Text("Nothing was measured.".to_owned()));
    }
    if !headline.is_empty() {
        blocks.push(Block::Headline(headline));
    }
    blocks.extend(which(&many).map(Block::Text));
    if !findings.is_empty() {
        blocks.push(Block::Findings(findings));
    }
    blocks
}

/// The level with the most output tokens.
fn most<'d>(throughput: &Node<'d>) -> Option<Node<'d>> {
    let rate = |level: &Node<'d>| level.at("output_tokens_per_s").number();
    let levels = throughput.at("levels").items().into_iter().filter(|level| rate(level).is_some());
    levels.max_by(|a, b| rate(a).unwrap_or(0.0).total_cmp(&rate(b).unwrap_or(0.0)))
}

/// How many requests to send together.
fn which(throughput: &Node<'_>) -> Option<String> {
    let most = most(throughput)?;
    let at = most.at("concurrency").number()?;
    let tokens = Unit::PerSecond.show(most.at("output_tokens_per_s").number()?);
    let knee = throughput.at("knee").number();
    let saturation = throughput.at("saturation").number();
    Some(match (knee, saturation) {
        (Some(knee), Some(from)) => format!(
            "Run {} requests in flight for the most throughput for its latency (the knee), or {} for the most throughput: from \
             there on more requests bring no more tokens. The most was {tokens} at {}.",
            digits(knee),
            digits(from),
            digits(at)
        ),
        (Some(knee), None) => format!(
            "Run {} requests in flight for the most throughput for its latency (the knee). Throughput was {tokens} at {} in \
             flight; where it ends is not shown.",
            digits(knee),
            digits(at)
        ),
        (None, Some(from)) => format!(
            "Run {} requests in flight: from there on more requests bring no more tokens. The most was {tokens} at {}.",
            digits(from),
            digits(at)
        ),
        (None, None) => format!(
            "No knee and no saturation were found, for throughput still grew with the highest level measured or there \
             were too few levels: {tokens} at {} in flight. More in flight may bring more.",
            digits(at)
        ),
    })
}

fn verdict(verdict: &Node<'_>) -> Finding {
    let code = verdict.at("code").text();
    let is_one_of = |codes: &[&str]| code.is_some_and(|code| codes.contains(&code));
    let weight = if is_one_of(&DOUBTS) {
        Weight::Error
    } else if is_one_of(&LIMITS) {
        Weight::Warning
    } else if is_one_of(&GOOD) {
        Weight::Good
    } else {
        Weight::Note
    };
    Finding {
        weight,
        text: verdict.at("message").text().unwrap_or("no word").to_owned(),
        advice: verdict.at("advice").text().map(|advice| format!("To try: {advice}")),
        code: code.map(str::to_owned),
    }
}

/// On what the verdicts of an experiment rest.
fn evidence(experiment: &Node<'_>) -> Option<Block> {
    let mut table = Table::new("The figures on which the verdicts rest", &["verdict", "figure", "#value", "unit"]);
    for verdict in experiment.at("verdicts").items() {
        for figure in verdict.at("evidence").items() {
            let code = Cell::text(verdict.at("code").text().unwrap_or("–").replace('_', " "));
            table.row([
                code,
                figure.at("name").cell(),
                figure.at("value").figure(Unit::Plain),
                figure.at("unit").cell(),
            ]);
        }
    }
    let title = "What the verdicts rest on".to_owned();
    (!table.rows.is_empty())
        .then(|| Block::Folded { title, blocks: vec![Block::Table(table.without_empty_columns().at_most(MOST_ROWS))] })
}

/// A mean time with its interval.
fn mean_time(of: &Node<'_>, end: &str, unit: Unit) -> Vec<Cell> {
    let names = ["mean", "ci95_low", "ci95_high", "std", "min", "max"];
    let mut cells: Vec<Cell> = names.iter().map(|name| of.at(&format!("{name}_{end}")).figure(unit)).collect();
    cells.push(of.at("n").figure(Unit::Count));
    cells
}

fn lengths_of(of: &Node<'_>) -> String {
    let len = |key: &str| of.at(key).number().map_or_else(|| "–".to_owned(), |len| Unit::Count.show(len));
    format!(
        "prompts of {} tokens (words, where prompts are text), answers of {} tokens",
        len("input_len"),
        len("output_len")
    )
}

fn latency(latency: &Node<'_>) -> Option<Section> {
    if !latency.is_there() {
        return None;
    }
    let heads = ["figure", "#mean", "#95 % from", "#to", "#deviation", "#least", "#most", "#requests"];
    let mut table = Table::new(format!("One request at a time: {}", lengths_of(latency)), &heads);
    for (key, name) in [("e2e", "E2E"), ("ttft", "TTFT"), ("tpot", "TPOT")] {
        table.row([Cell::text(name)].into_iter().chain(mean_time(&latency.at(key), "ms", Unit::Milliseconds)));
    }
    let rate = mean_time(&latency.at("output_rate"), "per_s", Unit::PerSecond);
    table.row([Cell::text("output tokens")].into_iter().chain(rate));
    let measurement = Levels::new(vec![latency.at("measurement")]);
    let mut blocks = vec![Block::Table(table.without_empty_columns())];
    if latency.at("measurement").is_there() {
        blocks.extend(levels::one_level(&measurement));
    }
    blocks.extend(evidence(latency));
    Some(Section::new("One request at a time", blocks))
}

fn throughput(throughput: &Node<'_>) -> Option<Section> {
    if !throughput.is_there() {
        return None;
    }
    let all = throughput.at("levels").items();
    let caption = format!("More and more requests in flight: {}", lengths_of(throughput));
    let heads = ["#in flight", "#output tokens", "#factor", "#efficiency"];
    let mut table = Table::new(caption, &heads);
    for level in &all {
        table.row([
            level.at("concurrency").figure(Unit::Count),
            level.at("output_tokens_per_s").figure(Unit::PerSecond),
            level.at("factor").figure(Unit::Plain),
            level.at("efficiency").figure(Unit::Share),
        ]);
    }
    let mut blocks: Vec<Block> = growth(throughput, &all).into_iter().collect();
    blocks.push(Block::Table(table.at_most(MOST_ROWS)));
    let measured = Levels::new(all.iter().map(|level| level.at("measurement")).filter(Node::is_there).collect());
    let knee = [(throughput.at("knee").number(), "knee")];
    for key in ["ttft", "tpot", "e2e"] {
        blocks.extend(levels::latencies(&measured, key, None, &knee));
    }
    blocks.extend(levels::front(&measured));
    if let Some(server) = levels::server(&measured) {
        blocks.extend(
            levels::served(&measured, server.clone())
                .map_or_else(|| vec![Block::Table(server.at_most(MOST_ROWS))], |picture| vec![picture]),
        );
    }
    if !measured.all.is_empty() {
        let mut details = vec![Block::Table(levels::percentiles(&measured).at_most(MOST_ROWS))];
        details.push(Block::Table(levels::requests(&measured).at_most(MOST_ROWS)));
        details.extend(levels::energy(&measured).map(|table| Block::Table(table.at_most(MOST_ROWS))));
        details.push(Block::Table(levels::client(&measured).at_most(MOST_ROWS)));
        blocks.push(Block::Folded {
            title: format!("All of {}", many(measured.all.len(), "measurement")),
            blocks: details,
        });
    }
    blocks.extend(evidence(throughput));
    Some(Section::new("Requests in flight", blocks))
}

/// Throughput over requests in flight, beside what it would be if each brought as much as the first.
fn growth(throughput: &Node<'_>, all: &[Node<'_>]) -> Option<Block> {
    let point = |level: &Node<'_>| Some((level.at("concurrency").number()?, level.at("output_tokens_per_s").number()?));
    let points: Vec<(f64, f64)> = all.iter().filter_map(point).collect();
    let (first, last) = (*points.first()?, *points.last()?);
    if points.len() < 2 || first.0 <= 0.0 {
        return None;
    }
    let highest = points.iter().map(|point| point.1).fold(0.0, f64::max);
    // The ideal ends where it leaves the picture.
    let ideal = |at: f64| first.1 * at / first.0;
    let within: Vec<(f64, f64)> =
        points.iter().map(|point| (point.0, ideal(point.0))).filter(|point| point.1 <= highest * 1.3).collect();
    let series = |name: &str, points: Vec<(f64, f64)>, colour| Series {
        name: name.to_owned(),
        points,
        spread: Vec::new(),
        shape: Shape::Line,
        colour,
    };
    let sparks = vec![("output tokens/s".to_owned(), points.iter().map(|point| point.1).collect())];
    let named = [("knee", "knee"), ("saturation", "saturated")];
    let marks = named.iter().filter_map(|(key, word)| Some(Mark::X(throughput.at(key).number()?, (*word).to_owned())));
    let words = format!(
        "Output tokens per second go from {} at {} in flight to {} at {}: {} times the tokens for {} times the requests. The grey \
         line is what it would be if each request brought as much as the first.",
        Unit::PerSecond.show(first.1),
        digits(first.0),
        Unit::PerSecond.show(last.1),
        digits(last.0),
        digits(last.1 / first.1.max(f64::MIN_POSITIVE)),
        digits(last.0 / first.0)
    );
    let plot = Plot {
        x: "requests in flight".to_owned(),
        y: "output tokens per second".to_owned(),
        log_x: true,
        log_y: false,
        marks: marks.collect(),
        series: vec![series("if each brought as much", within, 0), series("measured", points, 1)],
    };
    Some(Block::Picture(Picture { title: "Throughput".to_owned(), words, svg: plot.draw(), table: None, sparks }))
}

fn setup(root: &Node<'_>) -> Vec<Block> {
    let mut table = Table::new("The experiments", &["what", "value"]);
    let mut put = |name: &str, cell: Cell| {
        if !cell.is_absent() {
            table.row([Cell::text(name), cell]);
        }
    };
    for key in ["server", "server_version", "model", "endpoint", "prompts", "seed", "generator"] {
        put(&key.replace('_', " "), root.at(key).cell());
    }
    put("longest prompt and answer together", root.at("max_model_len").figure(Unit::Count));
    put("price per hour", root.path("price/per_hour").figure(Unit::Plain));
    put("price of so many devices", root.path("price/devices").figure(Unit::Count));
    let mut blocks = vec![Block::Table(table)];
    blocks.extend(metered(root));
    blocks.extend(engine(root));
    blocks
}
