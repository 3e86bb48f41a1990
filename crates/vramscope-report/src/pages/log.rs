//! What an engine's log states.

mod answer;
mod failures;
mod memory;

use super::named::{self, MOST_ROWS};
use crate::cell::Cell;
use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Page, Picture, Section, Table};
use crate::svg::{Plot, Series, Shape};
use crate::unit::Unit;

/// More engines than this in one log have no section of their own.
const MOST_ENGINES: usize = 16;

/// More points than a picture has places for them.
const MOST_POINTS: usize = 1000;

pub(crate) fn page(document: &Document) -> Page {
    let root = document.root(0);
    let engines = root.at("engines").items();
    let mut sections = vec![Section::new("What does it say?", answer::blocks(&root, &engines))];
    let stated = memory::is_stated(&engines);
    for (place, engine) in engines.iter().enumerate().take(MOST_ENGINES) {
        let title = if engines.len() == 1 { "The engine".to_owned() } else { format!("Engine {}", place + 1) };
        sections.push(Section::new(title, one_engine(engine, stated)));
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

/// `stated`: some engine of the log states its memory.
fn one_engine(engine: &Node<'_>, stated: bool) -> Vec<Block> {
    let mut blocks = vec![Block::Sentence(vec![
        "Lines ".into(),
        named::identity(&engine.at("first_line")),
        " to ".into(),
        named::identity(&engine.at("last_line")),
        " of the log.".into(),
    ])];
    // Why a log has no memory stands in the answer.
    let told = if stated { &["corrections", "notes"][..] } else { &["corrections"] };
    for key in told {
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

    use crate::document::Document;
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

    fn told(engines: &serde_json::Value, summary: &serde_json::Value) -> String {
        let value = json!({"schema_version": "1.0", "notes": [], "summary": summary, "engines": engines});
        law::check(value.clone());
        let document = Document::new("a.json", value).unwrap();
        super::page(&document).markdown().replace('\u{a0}', " ")
    }

    fn buffer(kind: &str, place: &str, on_host: bool, bytes: u64) -> serde_json::Value {
        json!({"kind": kind, "place": place, "on_host": on_host, "planned": false, "bytes": bytes, "line": 5})
    }

    #[test]
    fn what_is_on_a_device_goes_before_what_is_on_the_host_and_every_place_has_a_row() {
        let mut plan = buffer("weights", "D0", false, 9 << 30);
        plan["planned"] = json!(true);
        let held = json!([
            plan,
            buffer("weights", "Mapped", true, 1 << 28),
            buffer("weights", "D0", false, 2 << 30),
            buffer("weights", "D1", false, 1 << 30),
            buffer("weights", "D0", false, 1 << 30),
            buffer("kv_cache", "D0", false, 1 << 29)
        ]);
        let text =
            told(&json!([{"first_line": 1, "last_line": 9, "buffers": held}]), &json!({"weights_gib": [0.25, 2.0]}));
        for words in [
            "- Weights on D0: **3.00 GiB**",
            "- KV cache: **0.50 GiB**",
            "| weights | D0 | 3.00 GiB | ",
            "| weights | D1 | 1.00 GiB | ",
            "| weights | Mapped | 0.25 GiB | on the host |",
        ] {
            assert!(text.contains(words), "{words} is not in\n{text}");
        }
        assert!(!text.contains("9.00 GiB"), "a plan is not what is\n{text}");
        let plan = json!([{"first_line": 1, "last_line": 9, "buffers": [plan]}]);
        assert!(told(&plan, &json!({})).contains("- Weights, planned: **9.00 GiB**"));
        let host = json!([{"first_line": 1, "last_line": 9, "buffers": [buffer("kv_cache", "Mapped", true, 1 << 30)]}]);
        assert!(told(&host, &json!({})).contains("- KV cache on Mapped: **1.00 GiB**"));
    }

    #[test]
    fn a_failure_is_said_in_words_then_its_message_then_what_followed_then_the_advice() {
        let mut failure = json!({"kind": "out_of_memory", "message": "E: it failed, line 933", "advice": "Take less.", "line": 2,
            "rank": 0, "activity": "serving", "consequences": [
                {"kind": "out_of_memory", "message": "again", "line": 3}, {"kind": "engine_core_died", "message": "x", "line": 4}]});
        let engines = |failure: &serde_json::Value| json!([{"first_line": 1, "last_line": 9, "failures": [failure]}]);
        let text = told(&engines(&failure), &json!({}));
        let words = "out of memory on rank 0 while serving, line 2: E: it failed, line 933. \
                     What followed from it: out of memory (line 3), engine core died (line 4).";
        let at = text.find(words).unwrap_or_else(|| panic!("{text}"));
        assert!(text.find("Take less.").is_some_and(|advice| advice > at), "{text}");
        failure["ranks"] = json!([{"rank": 0, "line": 2}, {"rank": 3, "line": 7}]);
        assert!(told(&engines(&failure), &json!({})).contains("out of memory on ranks 0, 3 while serving, line 2"));
        let bare = json!({"kind": "other", "message": "", "advice": "", "line": 7});
        assert!(told(&engines(&bare), &json!({})).contains("other, line 7: without a message"));
    }

    #[test]
    fn figures_of_each_engine_and_of_all_say_whose_they_are() {
        let tokens = |worker: &str, count: u64| json!({"key": "kv_tokens", "count": count, "worker": worker, "scope": "all_ranks", "line": 3});
        let engines = json!([{"first_line": 1, "last_line": 9, "figures": [tokens("a", 2_000), tokens("b", 1_990)]}]);
        let mut summary = json!({"weights_gib": [60.12, 60.12], "kv_cache_gib": [100.0, 99.5], "kv_cache_tokens": 3_990,
            "data_parallel_size": 2, "max_concurrency": {"tokens": 1_000, "factor": 3.99}});
        let text = told(&engines, &summary);
        for words in [
            "- Weights of each engine: **60.12 GiB**",
            "- KV cache of each engine: **99.50 GiB to 100.00 GiB**",
            "- Tokens in the KV cache of each engine: **1,990 to 2,000**",
            "- Tokens in the KV cache of all 2 engines: **3,990**",
            "- Requests at once of all 2 engines: **3.99**",
        ] {
            assert!(text.contains(words), "{words} is not in\n{text}");
        }
        summary["data_parallel_size"] = json!(4);
        assert!(told(&engines, &summary).contains("of 2 of 4 engines: **3,990**"));
        // Workers that say the same of one cache are one engine.
        summary["kv_cache_tokens"] = json!(1_990);
        let text = told(&engines, &summary);
        assert!(text.contains("- Tokens in the KV cache: **1,990**") && !text.contains("of each engine"), "{text}");
    }

    #[test]
    fn a_log_without_memory_says_so_and_what_to_do_about_it_once() {
        let mut engine = json!({"first_line": 1, "last_line": 9, "notes": [{"text": "ask it to print more"}],
            "figures": [{"key": "slots", "count": 4, "scope": "per_rank", "line": 2}]});
        let text = told(&json!([engine]), &json!({}));
        let (answer, _) = text.split_once("## The engine").unwrap();
        assert!(
            answer.contains("The log states no figure of memory.") && answer.contains("ask it to print more"),
            "{text}"
        );
        assert_eq!(text.matches("ask it to print more").count(), 1, "{text}");
        engine["figures"] =
            json!([{"key": "weights", "memory": {"bytes": 5, "printed": "5 B"}, "scope": "per_rank", "line": 2}]);
        let text = told(&json!([engine]), &json!({}));
        assert!(!text.contains("no figure of memory") && text.matches("ask it to print more").count() == 1, "{text}");
    }
}
