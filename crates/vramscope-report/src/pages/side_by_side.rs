//! Several runs beside each other.

use vramscope_core::shortened;

use super::figure::listed;
use super::findings;
use super::named::{self, MOST_ROWS};
use super::parts::{BASELINE, PARTS, Part, RESIDUAL, Sized};
use super::run::Run;
use crate::cell::Cell;
use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Finding, Page, Picture, Section, Table, Weight};
use crate::svg::{Stack, stacks};
use crate::time;
use crate::unit::Unit;

/// With more runs than this each is a row, not a column.
const MOST_COLUMNS: usize = 6;

/// More runs than this have no bar of their own.
const MOST_BARS: usize = 40;

/// More runs than this have no row of their own: a page of them would be megabytes.
const MOST_RUNS: usize = 1000;

/// Names are read at a glance.
const LONGEST_NAME: usize = 60;

/// A run with what it is called here.
struct Named<'d> {
    name: String,
    run: Run<'d>,
}

pub(crate) fn page(documents: &[Document]) -> Page {
    let names = names(documents);
    let mut runs: Vec<Named<'_>> = Vec::new();
    for (place, (document, name)) in documents.iter().zip(names).enumerate() {
        runs.push(Named { name, run: Run::new(document.root(place)) });
    }
    let mut sections = vec![answer(&runs)];
    sections.push(Section::new("Where each peak went", pictures(&runs)));
    sections.push(Section::new("Figures", figures(&runs)));
    let called: Vec<&str> = runs.iter().map(|one| one.name.as_str()).collect();
    sections.extend(time::beside(documents, &called));
    sections.extend(differences(&runs));
    sections.push(Section::new("What to know", to_know(&runs)));
    let models: Vec<&str> = runs.iter().filter_map(|one| one.run.model()).collect();
    let same = models.first().filter(|first| models.len() == runs.len() && models.iter().all(|model| model == *first));
    let title = same.map_or_else(
        || format!("GPU memory of {} runs", runs.len()),
        |model| format!("GPU memory of {} in {} runs", shortened(model, LONGEST_NAME), runs.len()),
    );
    let few: Vec<&str> = runs.iter().take(MOST_COLUMNS).map(|one| one.name.as_str()).collect();
    let more = if runs.len() > few.len() { format!(" and {} more", runs.len() - few.len()) } else { String::new() };
    Page { title, about: format!("Beside each other: {}{more}.", few.join(", ")), sections }
}

/// The shortest names that tell the documents apart: of a file, with its folder, or whole.
fn names(documents: &[Document]) -> Vec<String> {
    let with_folder = |name: &str| {
        let parts: Vec<&str> = name.rsplitn(3, '/').collect();
        match parts.as_slice() {
            [file, folder, ..] => format!("{folder}/{}", file.strip_suffix(".json").unwrap_or(file)),
            _ => super::name_of(name),
        }
    };
    let ways: [&dyn Fn(&str) -> String; 3] = [&super::name_of, &with_folder, &str::to_owned];
    let named = |way: &dyn Fn(&str) -> String| -> Vec<String> {
        documents.iter().map(|document| shortened(&way(document.name()), LONGEST_NAME).into_owned()).collect()
    };
    let apart = |names: &Vec<String>| names.iter().collect::<std::collections::BTreeSet<_>>().len() == names.len();
    let found = ways.iter().map(|way| named(way)).find(apart);
    found.unwrap_or_else(|| {
        let numbered = |(place, name): (usize, String)| format!("{}. {name}", place + 1);
        named(&super::name_of).into_iter().enumerate().map(numbered).collect()
    })
}

fn answer(runs: &[Named<'_>]) -> Section {
    let by = |figure: &dyn Fn(&Run<'_>) -> Option<f64>, most: bool| {
        let known = runs.iter().filter_map(|one| Some((one, figure(&one.run)?)));
        if most { known.max_by(|a, b| a.1.total_cmp(&b.1)) } else { known.min_by(|a, b| a.1.total_cmp(&b.1)) }
            .map(|(one, _)| one)
    };
    let peak = |run: &Run<'_>| run.peak().number();
    let mut blocks = Vec::new();
    let mut headline = vec![("Runs".to_owned(), Cell::text(runs.len().to_string()))];
    let failed = runs.iter().filter(|one| one.run.has_failed()).count();
    if failed > 0 {
        headline.push(("Failed".to_owned(), Cell::text(failed.to_string()).tone(crate::cell::Tone::Bad)));
    }
    let (most, least) = (by(&peak, true), by(&peak, false));
    if let (Some(most), Some(least)) = (most, least) {
        headline.push((format!("Highest peak: {}", most.name), most.run.peak().figure(Unit::Memory)));
        headline.push((format!("Lowest peak: {}", least.name), least.run.peak().figure(Unit::Memory)));
        blocks.extend(apart(most, least).map(Block::Sentence));
    }
    let speed = |run: &Run<'_>| run.root.path("latency_stats/tokens_per_second").number();
    if let Some(fastest) = by(&speed, true) {
        let figure = fastest.run.root.path("latency_stats/tokens_per_second").figure(Unit::Plain);
        headline.push((format!("Most output tokens each second: {}", fastest.name), figure));
    }
    blocks.insert(0, Block::Headline(headline));
    blocks.extend(unlike(runs).map(|finding| Block::Findings(vec![finding])));
    Section::new("Which run took what?", blocks)
}

/// Runs of other models or GPUs are no better and no worse than each other.
fn unlike(runs: &[Named<'_>]) -> Option<Finding> {
    let gpu = |run: &Run<'_>| {
        let device = run.root.path("gpu_info/devices").items().into_iter().next()?;
        Some(format!("{} {}", device.at("name").text()?, device.at("total_bytes").words().unwrap_or_default()))
    };
    let differ = |of: &dyn Fn(&Run<'_>) -> Option<String>| {
        let known: std::collections::BTreeSet<String> = runs.iter().filter_map(|one| of(&one.run)).collect();
        known.len() > 1
    };
    let count = |run: &Run<'_>| Some(run.gpus()).filter(|count| *count > 0).map(|count| count.to_string());
    let mut what = Vec::new();
    if differ(&|run| run.model().map(str::to_owned)) {
        what.push("models".to_owned());
    }
    if differ(&gpu) {
        what.push("GPUs".to_owned());
    }
    if differ(&count) {
        what.push("numbers of GPUs".to_owned());
    }
    (!what.is_empty()).then(|| Finding {
        weight: Weight::Note,
        text: format!(
            "The runs are of different {}: a higher or lower figure is no better or worse run.",
            listed(&what)
        ),
        advice: None,
        code: None,
    })
}

/// In which part the highest and the lowest peak differ most.
fn apart<'d>(most: &Named<'d>, least: &Named<'d>) -> Option<Vec<Cell>> {
    let (more, less) = (most.run.all_parts(), least.run.all_parts());
    // A part that one of them does not state counts as nothing here, and is shown as a dash.
    let differ = |kind: &'d str| {
        let find = |parts: &[Sized<'d>]| parts.iter().find(|part| part.kind == kind).cloned();
        let (a, b) = (find(&more), find(&less));
        let bytes = |part: &Option<Sized<'d>>| part.as_ref().map_or(0.0, Sized::bytes);
        let size = (bytes(&a) - bytes(&b)).abs();
        (a, b, size)
    };
    let kinds = more.iter().chain(&less).map(|part| part.kind);
    let (a, b, size) = kinds.map(differ).max_by(|a, b| a.2.total_cmp(&b.2))?;
    let part = a.as_ref().or(b.as_ref())?;
    let figure = |part: &Option<Sized<'d>>| part.as_ref().map_or_else(Cell::absent, Sized::figure);
    if most.name == least.name || size <= 0.0 {
        return None;
    }
    Some(vec![
        format!("{} has the highest peak, ", most.name).into(),
        most.run.peak().figure(Unit::Memory),
        format!(", and {} the lowest, ", least.name).into(),
        least.run.peak().figure(Unit::Memory),
        format!(". They differ most in {}: ", part.name()).into(),
        figure(&a),
        " against ".into(),
        if b.is_some() { figure(&b) } else { "none".into() },
        ".".into(),
    ])
}

fn pictures(runs: &[Named<'_>]) -> Vec<Block> {
    let mut drawn: Vec<&Named<'_>> = runs.iter().filter(|one| one.run.peak().is_there()).collect();
    let all = drawn.len();
    if all > MOST_BARS {
        let peak = |one: &&Named<'_>| one.run.peak().number().unwrap_or(0.0);
        drawn.sort_by(|a, b| peak(b).total_cmp(&peak(a)));
        drawn.truncate(MOST_BARS);
    }
    if drawn.is_empty() {
        return vec![Block::Text("No run says how much memory was in use.".to_owned())];
    }
    let stack = |one: &&Named<'_>| {
        let parts = one.run.all_parts();
        let said = |part: &Sized<'_>| (part.bytes(), part.colour(), format!("{}: {}", part.name(), part.words()));
        let mut parts: Vec<(f64, usize, String)> = parts.iter().map(said).collect();
        if parts.is_empty() {
            parts.push((one.run.peak().number().unwrap_or(0.0), 9, "not taken apart".to_owned()));
        }
        Stack { name: one.name.clone(), parts, words: one.run.peak().figure(Unit::Memory).text }
    };
    let rows: Vec<Stack> = drawn.iter().map(stack).collect();
    let colours: Vec<(String, usize)> = [BASELINE]
        .iter()
        .chain(PARTS)
        .chain([&RESIDUAL])
        .filter(|part| {
            runs.iter().any(|one| one.run.all_parts().iter().any(|is| is.kind == part.kind && is.bytes() > 0.0))
        })
        .map(|part| (part.name.to_owned(), part.colour))
        .collect();
    let largest = |one: &&Named<'_>| {
        let part = one.run.largest()?;
        Some(format!("{} {}, most of it {}", one.name, one.run.peak().figure(Unit::Memory).text, part.name()))
    };
    let few: Vec<String> = drawn.iter().take(MOST_COLUMNS).filter_map(largest).collect();
    let cut =
        if all > MOST_BARS { format!(" Drawn are the {MOST_BARS} highest of {all} peaks.") } else { String::new() };
    let words = format!("The peak of each run by its parts: {}.{cut}", few.join("; "));
    vec![Block::Picture(Picture {
        title: "Parts of each peak".to_owned(),
        words,
        svg: stacks(&rows, &colours, Unit::Memory),
        table: Some(parts_table(&drawn)),
        sparks: vec![("peaks".to_owned(), drawn.iter().filter_map(|one| one.run.peak().number()).collect())],
    })]
}

fn parts_table(runs: &[&Named<'_>]) -> Table {
    let kinds: Vec<_> = [BASELINE].into_iter().chain(PARTS.iter().copied()).chain([RESIDUAL]).collect();
    let heads: Vec<String> = kinds.iter().map(|part| format!("#{}", part.name)).collect();
    let heads: Vec<&str> = ["run", "#peak"].into_iter().chain(heads.iter().map(String::as_str)).collect();
    let mut table = Table::new("The parts of each peak, of all its GPUs together", &heads);
    for one in runs {
        let parts = one.run.all_parts();
        let figure =
            |kind: &Part| parts.iter().find(|part| part.kind == kind.kind).map_or_else(Cell::absent, Sized::figure);
        let cells = kinds.iter().map(figure);
        let first = [Cell::text(one.name.clone()), one.run.peak().figure(Unit::Memory)];
        table.row(first.into_iter().chain(cells));
    }
    table.without_empty_columns()
}

/// One figure of a run.
type Figure = (&'static str, fn(&Run<'_>) -> Cell);

/// What is asked of each run, most asked first.
const FIGURES: &[Figure] = &[
    ("status", |run| run.status()),
    ("peak", |run| run.peak().figure(Unit::Memory)),
    ("least free on one GPU", |run| run.fullest().map_or_else(Cell::absent, |(_, free, _)| free.figure(Unit::Memory))),
    ("residual", |run| run.residual().change(Unit::Memory)),
    ("KV cache tokens", |run| {
        let known =
            ["total_gpu_kv_cache_tokens", "kv_cache_tokens"].map(|key| run.reported().at(key).figure(Unit::Count));
        known.into_iter().find(|cell| !cell.is_absent()).unwrap_or_else(Cell::absent)
    }),
    ("output tokens each second", |run| run.root.path("latency_stats/tokens_per_second").figure(Unit::Plain)),
    ("median iteration", |run| run.root.path("latency_stats/median_latency_ms").figure(Unit::Milliseconds)),
    ("median first token", |run| {
        run.root.path("served_stats/time_to_first_token/median_ms").figure(Unit::Milliseconds)
    }),
    ("median output token", |run| {
        run.root.path("served_stats/time_per_output_token/median_ms").figure(Unit::Milliseconds)
    }),
    ("energy", |run| run.root.path("memory_timeline/extended/energy/total_j").figure(Unit::Joules)),
    ("took", |run| run.root.path("metadata/duration_s").figure(Unit::Seconds)),
    ("engine", |run| run.root.path("engine_metadata/engine_version").cell()),
    ("GPUs", |run| run.root.path("gpu_info/num_gpus").figure(Unit::Count)),
    ("batch", |run| run.root.path("run_config/workload/batch_size").figure(Unit::Count)),
    ("input", |run| run.root.path("run_config/workload/input_len").figure(Unit::Count)),
    ("output", |run| run.root.path("run_config/workload/output_len").figure(Unit::Count)),
];

fn figures(runs: &[Named<'_>]) -> Vec<Block> {
    if runs.len() <= MOST_COLUMNS {
        let heads: Vec<String> = runs.iter().map(|one| format!("#{}", one.name)).collect();
        let heads: Vec<&str> = [""].into_iter().chain(heads.iter().map(String::as_str)).collect();
        let mut table = Table::new("A column for each run", &heads);
        for (name, figure) in FIGURES {
            let cells: Vec<Cell> = runs.iter().map(|one| figure(&one.run)).collect();
            if cells.iter().any(|cell| !cell.is_absent()) {
                table.row([Cell::text(*name)].into_iter().chain(cells));
            }
        }
        return vec![Block::Table(table)];
    }
    let heads: Vec<String> = FIGURES.iter().map(|(name, _)| format!("#{name}")).collect();
    let heads: Vec<&str> = ["run"].into_iter().chain(heads.iter().map(String::as_str)).collect();
    let mut table = Table::new("A row for each run", &heads);
    for one in runs.iter().take(MOST_RUNS + 1) {
        let first = Cell::text(one.name.clone());
        table.row([first].into_iter().chain(FIGURES.iter().map(|(_, figure)| figure(&one.run))));
    }
    vec![Block::Table(table.without_empty_columns().at_most(MOST_RUNS))]
}

/// The settings in which few runs differ.
fn differences(runs: &[Named<'_>]) -> Option<Section> {
    if runs.len() > MOST_COLUMNS {
        return None;
    }
    // A name that begins with a `#` is no mark of numbers.
    let mut table = Table::new("Settings that are not the same in all runs", &["setting"]);
    table.heads.extend(runs.iter().map(|one| (one.name.clone(), false)));
    for place in ["run_config/engine", "run_config/engine/other", "run_config/workload", "model_info"] {
        let mut names: Vec<&str> = Vec::new();
        for one in runs {
            for (name, value) in one.run.root.path(place).members() {
                if !names.contains(&name)
                    && value.words().is_some()
                    && !name.ends_with("_gb")
                    && names.len() < MOST_ROWS
                {
                    names.push(name);
                }
            }
        }
        for name in names {
            let values: Vec<Node<'_>> = runs.iter().map(|one| one.run.root.path(place).at(name)).collect();
            if values.iter().any(|value| value.words() != values[0].words()) {
                let cells = values.iter().map(|value| named::cell(name, value));
                table.row([Cell::text(named::words(name))].into_iter().chain(cells));
            }
        }
    }
    let block = if table.rows.is_empty() {
        Block::Text("The runs were set up alike, as far as their profiles say.".to_owned())
    } else {
        Block::Table(table.at_most(MOST_ROWS))
    };
    Some(Section::new("What differs", [block]))
}

/// The findings of each run; of many runs the errors and warnings as one table.
fn to_know(runs: &[Named<'_>]) -> Vec<Block> {
    if runs.len() <= MOST_COLUMNS {
        let folded = |one: &Named<'_>| {
            let blocks = findings::blocks(&one.run.root, None);
            let count = findings::of(&one.run.root, None).len();
            let title = format!("{}: {count} to know", one.name);
            (!blocks.is_empty()).then_some(Block::Folded { title, blocks })
        };
        let blocks: Vec<Block> = runs.iter().filter_map(folded).collect();
        return if blocks.is_empty() { vec![Block::Text("Every check was silent.".to_owned())] } else { blocks };
    }
    let mut table = Table::new("Errors and warnings of all runs", &["run", "weight", "what", "what to do"]);
    for (weight, word) in [(Weight::Error, "error"), (Weight::Warning, "warning")] {
        for one in runs {
            for finding in findings::of(&one.run.root, None) {
                if finding.weight == weight {
                    let advice = finding.advice.map_or_else(Cell::absent, Cell::text);
                    table.row([Cell::text(one.name.clone()), Cell::text(word), Cell::text(finding.text), advice]);
                }
            }
        }
    }
    if table.rows.is_empty() {
        return vec![Block::Text("No run has an error or a warning.".to_owned())];
    }
    vec![Block::Table(table.at_most(MOST_ROWS))]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::law;

    fn run(place: u64) -> Value {
        json!({"profiler_version": "3.1", "metadata": {"status": "complete"}, "model_info": {"name": "m"},
            "run_config": {"workload": {"batch_size": place}},
            "memory_breakdown": {"total_measured_bytes": (place + 2) << 30, "baseline_bytes": 0, "residual_bytes": -5,
                "model_weights_bytes": 1_u64 << 30, "kv_cache_bytes": (place + 1) << 30},
            "latency_stats": {"tokens_per_second": 100 + place},
            "diagnostics": [{"code": "c", "severity": "warning", "message": format!("finding {place}")}]})
    }

    fn documents(count: u64) -> Vec<Document> {
        let document = |place: u64| Document::new(format!("runs/{place}/profile.json"), run(place)).unwrap();
        (0..count).map(document).collect()
    }

    #[test]
    fn few_runs_are_columns_and_many_are_rows_and_every_figure_stands_in_its_document() {
        for count in [2, 6, 7, 300] {
            assert!(law::holds(&documents(count)) >= 3 * usize::try_from(count).unwrap());
        }
        let size = page(&documents(300)).html().len();
        assert!(size < 1 << 20, "{size} bytes");
        let size = page(&documents(1000)).html().len();
        assert!(size < 2 << 20, "{size} bytes");
    }

    #[test]
    fn the_highest_and_the_lowest_are_named_with_the_part_in_which_they_differ() {
        let text = page(&documents(3)).markdown();
        assert!(text.contains("2 has the highest peak, 4.00 GiB, and 0 the lowest, 2.00 GiB"), "{text}");
        assert!(text.contains("They differ most in KV cache: 3.00 GiB against 1.00 GiB"), "{text}");
        assert!(text.contains("| batch size | 0 | 1 | 2 |"), "{text}");
    }

    #[test]
    fn runs_of_other_models_or_gpus_are_said_to_be_no_better_or_worse() {
        let text = |models: [&str; 2], gpus: [u64; 2]| {
            let documents: Vec<Document> = (0..2)
                .map(|place| {
                    let mut value = run(1);
                    value["model_info"]["name"] = json!(models[place]);
                    value["gpu_info"] = json!({"num_gpus": gpus[place]});
                    Document::new(format!("{place}.json"), value).unwrap()
                })
                .collect();
            page(&documents).markdown()
        };
        let same = text(["m", "m"], [1, 1]);
        assert!(!same.contains("no better or worse"), "{same}");
        assert!(text(["m", "n"], [1, 1]).contains("different models: a higher"));
        assert!(text(["m", "n"], [1, 2]).contains("different models and numbers of GPUs: a higher"));
    }

    #[test]
    fn runs_have_names_that_tell_them_apart() {
        let named = |list: &[&str]| {
            let documents: Vec<Document> = list.iter().map(|name| Document::new(*name, run(0)).unwrap()).collect();
            names(&documents)
        };
        assert_eq!(named(&["x/a.json", "y/b.json"]), ["a", "b"]);
        assert_eq!(named(&["x/a/profile.json", "y/b/profile.json"]), ["a", "b"]);
        assert_eq!(named(&["x/a.json", "y/a.json"]), ["x/a", "y/a"]);
        assert_eq!(named(&["a.json", "a.json"]), ["1. a", "2. a"]);
    }

    #[test]
    fn hostile_and_empty_runs_stand_beside_others() {
        let hostile = law::with_texts(&run(1), "</script><script>alert(1)</script>");
        let huge = law::with_numbers(&run(1), &json!(u64::MAX));
        let list = [hostile, huge, json!({"profiler_version": "1.0"}), run(3)];
        let document = |(place, value): (usize, &Value)| {
            Document::new(format!("#{place}\u{202e}</script>"), value.clone()).unwrap()
        };
        let documents: Vec<Document> = list.iter().enumerate().map(document).collect();
        law::holds(&documents);
        law::holds(&[documents[2].clone(), documents[2].clone()]);
    }
}
