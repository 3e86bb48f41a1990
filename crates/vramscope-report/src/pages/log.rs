//! What an engine's log states.

use super::named::{self, MOST_ROWS};
use crate::cell::Cell;
use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Finding, Page, Picture, Section, Table, Weight};
use crate::svg::{Plot, Series, Shape};
use crate::unit::Unit;

/// More engines than this in one log have no section of their own.
const MOST_ENGINES: usize = 16;

/// More points than a picture has places for them.
const MOST_POINTS: usize = 1000;

/// Bytes of a GiB, in which the summary has memory as it was printed.
const GIB: f64 = 1_073_741_824.0;

pub(crate) fn page(document: &Document) -> Page {
    let root = document.root(0);
    let engines = root.at("engines").items();
    let mut sections = vec![Section::new("What does it say?", answer(&root, &engines))];
    for (place, engine) in engines.iter().enumerate().take(MOST_ENGINES) {
        let title = if engines.len() == 1 { "The engine".to_owned() } else { format!("Engine {}", place + 1) };
        sections.push(Section::new(title, one_engine(engine)));
    }
    if engines.len() > MOST_ENGINES {
        let text =
            format!("The first {MOST_ENGINES} of {} engines have a section; all are in the document.", engines.len());
        sections.push(Section::new("More engines", [Block::Text(text)]));
    }
    let words = ["engine_version", "engine_generation", "model"];
    let words = words.iter().filter_map(|key| root.at("summary").at(key).text().map(str::to_owned));
    let words: Vec<String> = [super::name_of(document.name())].into_iter().chain(words).collect();
    let about = words.join("; ");
    Page { title: "What an engine's log says".to_owned(), about, sections }
}

/// An amount that the summary has in GiB, or the first of several.
fn gib(value: &Node<'_>) -> Cell {
    let first = if value.number().is_some() { Some(value.clone()) } else { value.items().into_iter().next() };
    let Some(first) = first else { return Cell::absent() };
    let mut cell = first.figure(Unit::Plain);
    if let Some(amount) = first.number() {
        cell.text = Unit::Memory.show(amount * GIB);
    }
    cell
}

fn answer(root: &Node<'_>, engines: &[Node<'_>]) -> Vec<Block> {
    let summary = root.at("summary");
    let mut blocks = Vec::new();
    let mut findings = Vec::new();
    for engine in engines {
        for failure in engine.at("failures").items().iter().take(20) {
            findings.push(Finding {
                weight: Weight::Error,
                text: failure.at("message").text().unwrap_or("a failure without a message").to_owned(),
                advice: failure.at("advice").text().filter(|text| !text.is_empty()).map(str::to_owned),
                code: failure.at("kind").text().map(str::to_owned),
            });
        }
    }
    findings.truncate(60);
    if !findings.is_empty() {
        blocks.push(Block::Findings(findings));
    }
    let figures = [
        ("Weights", gib(&summary.at("weights_gib"))),
        ("KV cache", gib(&summary.at("kv_cache_gib"))),
        ("Tokens in the KV cache", summary.at("kv_cache_tokens").figure(Unit::Count)),
        ("Requests at once", summary.path("max_concurrency/factor").figure(Unit::Plain)),
        ("Of so many tokens", summary.path("max_concurrency/tokens").figure(Unit::Count)),
        ("Graphs", gib(&summary.at("cuda_graph_gib"))),
        ("The engine started in", summary.at("init_engine_secs").figure(Unit::Seconds)),
    ];
    let figures: Vec<(String, Cell)> =
        figures.into_iter().filter(|(_, cell)| !cell.is_absent()).map(|(name, cell)| (name.to_owned(), cell)).collect();
    if !figures.is_empty() {
        blocks.push(Block::Headline(figures));
    }
    let memory = ["weights_gib", "kv_cache_gib", "cuda_graph_gib", "weights_workers", "kv_cache_workers"];
    blocks.extend(named::table("The log in short", std::slice::from_ref(&summary), &memory).map(Block::Table));
    let bench = summary.path("bench/numbers");
    blocks.extend(named::table("What the benchmark printed", &[bench], &[]).map(Block::Table));
    for note in root.at("notes").items().iter().take(50) {
        blocks.extend(note.at("text").text().map(|text| Block::Text(text.to_owned())));
    }
    if blocks.is_empty() {
        blocks.push(Block::Text("The log states nothing that is known.".to_owned()));
    }
    blocks
}

fn one_engine(engine: &Node<'_>) -> Vec<Block> {
    let mut blocks = vec![Block::Sentence(vec![
        "Lines ".into(),
        named::identity(&engine.at("first_line")),
        " to ".into(),
        named::identity(&engine.at("last_line")),
        " of the log.".into(),
    ])];
    for key in ["corrections", "notes"] {
        let texts = engine.at(key).items();
        blocks.extend(
            texts.iter().take(50).filter_map(|note| note.at("text").text()).map(|text| Block::Text(text.to_owned())),
        );
    }
    let mut events = Table::new("What happened", &["event", "at", "#took", "#log line"]);
    for event in engine.at("events").items().iter().take(MOST_ROWS + 1) {
        let name = event.at("event").text().map_or_else(Cell::absent, |name| Cell::text(named::words(name)));
        let took = event.at("took_secs").figure(Unit::Seconds);
        events.row([name, event.at("at").cell(), took, named::identity(&event.at("line"))]);
    }
    if !events.rows.is_empty() {
        blocks.push(Block::Table(events.without_empty_columns().at_most(MOST_ROWS)));
    }
    blocks.extend(reports(&engine.at("reports")).map(Block::Picture));
    let figures = figures(engine);
    if !figures.rows.is_empty() {
        let table = figures.without_empty_columns().at_most(MOST_ROWS);
        blocks.push(Block::Folded { title: "Every figure as printed".to_owned(), blocks: vec![Block::Table(table)] });
    }
    let mut settings = Table::new("Settings that bear on memory and time", &["setting", "value", "from", "#log line"]);
    for setting in engine.at("settings").items().iter().take(MOST_ROWS + 1) {
        let value = setting.at("value").cell();
        let from = setting.at("source").cell();
        settings.row([setting.at("name").cell(), value, from, named::identity(&setting.at("line"))]);
    }
    if !settings.rows.is_empty() {
        let table = settings.at_most(MOST_ROWS);
        blocks.push(Block::Folded { title: "Settings".to_owned(), blocks: vec![Block::Table(table)] });
    }
    blocks
}

fn figures(engine: &Node<'_>) -> Table {
    let heads = ["figure", "#value", "printed", "of", "#rank", "worker", "#log line"];
    let mut table = Table::new("Every figure as printed, in order", &heads);
    for figure in engine.at("figures").items().iter().take(MOST_ROWS + 1) {
        let key = figure.at("key").text().unwrap_or("?");
        // A value stands under the name of its kind: bytes, a count, a number or a text.
        let bytes = figure.path("memory/bytes");
        let number = ["count", "number"].iter().map(|kind| figure.at(kind)).find(Node::is_there);
        let value = if bytes.is_there() {
            bytes.figure(Unit::Memory)
        } else {
            number.map_or_else(|| figure.at("text").cell(), |number| named::cell(key, &number))
        };
        table.row([
            Cell::text(named::words(key)),
            value,
            figure.path("memory/printed").cell(),
            figure.at("scope").text().map_or_else(Cell::absent, |scope| Cell::text(named::words(scope))),
            named::identity(&figure.at("rank")),
            figure.at("worker").cell(),
            named::identity(&figure.at("line")),
        ]);
    }
    table
}

/// What the periodic reports say of requests and the KV cache.
fn reports(reports: &Node<'_>) -> Option<Picture> {
    let series = reports.at("series").items();
    if series.len() < 3 {
        return None;
    }
    let step = series.len().div_ceil(MOST_POINTS);
    let line = |key: &str, name: &str, colour: usize| {
        let mut points = Vec::new();
        for (place, report) in series.iter().enumerate().step_by(step) {
            #[expect(clippy::cast_precision_loss, reason = "a number of reports")]
            points.extend(report.at(key).number().map(|value| (place as f64 + 1.0, value)));
        }
        Series { name: name.to_owned(), points, spread: Vec::new(), shape: Shape::Line, colour }
    };
    let all =
        [line("running", "running", 1), line("waiting", "waiting", 2), line("kv_usage_pct", "KV cache in use, %", 3)];
    let drawn: Vec<Series> = all.into_iter().filter(|series| !series.points.is_empty()).collect();
    let sparks = drawn.iter().map(|series| (series.name.clone(), series.points.iter().map(|point| point.1).collect()));
    let sparks = sparks.collect();
    let heads =
        ["#line", "at", "#running", "#waiting", "#KV cache", "#prompt tokens", "#generated tokens", "#prefix hits"];
    let mut table = Table::new("The periodic reports", &heads);
    for report in series.iter().take(MOST_ROWS + 1) {
        table.row([
            named::identity(&report.at("line")),
            report.at("at").cell(),
            report.at("running").figure(Unit::Count),
            report.at("waiting").figure(Unit::Count),
            report.at("kv_usage_pct").figure(Unit::Percent),
            report.at("prompt_tokens_per_second").figure(Unit::PerSecond),
            report.at("generation_tokens_per_second").figure(Unit::PerSecond),
            report.at("prefix_hit_pct").figure(Unit::Percent),
        ]);
    }
    let words = format!(
        "{} reports: at most {} requests were running, and at most {} of the KV cache was in use.",
        series.len(),
        reports.at("peak_running").figure(Unit::Count).text,
        reports.at("peak_kv_usage_pct").figure(Unit::Percent).text
    );
    let plot = Plot { x: "report".to_owned(), y: "requests, %".to_owned(), series: drawn, ..Plot::default() };
    let table = Some(table.without_empty_columns().at_most(MOST_ROWS));
    Some(Picture { title: "Requests over the log".to_owned(), words, svg: plot.draw(), table, sparks })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::law;

    #[test]
    fn every_figure_stands_in_the_document_whatever_is_damaged_or_missing() {
        let report = json!({"line": 7, "at": "t", "running": 3, "waiting": 1, "kv_usage_pct": 5.0});
        law::of_kind(&json!({"schema_version": "1.0", "notes": [{"text": "n"}],
            "summary": {"engine_version": "1", "model": "m", "weights_gib": [2.5], "kv_cache_gib": 7.5, "kv_cache_tokens": 9,
                "max_concurrency": {"tokens": 5, "factor": 1.5}, "bench": {"type": "latency", "numbers": {"mean_s": 1.5}}},
            "engines": [{"first_line": 1, "last_line": 9, "notes": [{"text": "n"}],
                "figures": [{"key": "weights", "memory": {"bytes": 5, "printed": "5 B"}, "scope": "this_rank", "rank": 0, "line": 3},
                    {"key": "max_model_len", "count": 5, "line": 3}, {"key": "x", "number": 1.5}, {"key": "y", "text": "t"}],
                "settings": [{"name": "model", "value": "m", "source": "config", "line": 2}],
                "events": [{"event": "load_began", "at": "t", "took_secs": 1.5, "line": 4}],
                "failures": [{"kind": "k", "message": "m", "advice": "a", "line": 5}],
                "reports": {"peak_running": 3, "peak_kv_usage_pct": 5.0, "series": [report, report, report, report]}}]}));
    }
}
