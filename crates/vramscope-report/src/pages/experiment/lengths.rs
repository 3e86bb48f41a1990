//! What prompts and answers of several lengths cost.

use super::evidence;
use crate::cell::{Cell, Tone};
use crate::node::Node;
use crate::page::{Block, Picture, Section, Table};
use crate::pages::named::MOST_ROWS;

use crate::svg::{Heat, HeatCell, Plot, Series, Shape};
use crate::unit::{Unit, digits};

/// More columns or rows than this have no room for their figures.
const MOST_LENGTHS: usize = 24;

pub(super) fn section(lengths: &Node<'_>) -> Option<Section> {
    if !lengths.is_there() {
        return None;
    }
    let cells = lengths.at("cells").items();
    let mut blocks = Vec::new();
    blocks.extend(heat(&cells, "e2e", "Time of a request", "From sending to the last token, mean"));
    blocks.extend(heat(&cells, "tpot", "Time of a further token", "Mean time per output token after the first"));
    blocks.extend(prefill(&cells, &lengths.at("prefill")));
    for (key, name) in
        [("prefill", "Prefill: the time to the first token"), ("decode", "Decode: the time of a further token")]
    {
        blocks.extend(fit(&lengths.at(key), name));
    }
    blocks.push(Block::Table(table(&cells).at_most(MOST_ROWS)));
    blocks.extend(evidence(lengths));
    Some(Section::new("Lengths", blocks))
}

fn table(cells: &[Node<'_>]) -> Table {
    let heads = [
        "#prompt",
        "#answer",
        "#TTFT",
        "#95 % from",
        "#to",
        "#TPOT",
        "#E2E",
        "#95 % from",
        "#to",
        "#output tokens",
        "#requests",
    ];
    let mut table =
        Table::new("Means of each pair of lengths, in tokens (prompts in words where they are text)", &heads);
    for cell in cells {
        let time = |path: &str| cell.path(path).figure(Unit::Milliseconds);
        table.row([
            cell.at("input_len").figure(Unit::Count),
            cell.at("output_len").figure(Unit::Count),
            time("ttft/mean_ms"),
            time("ttft/ci95_low_ms"),
            time("ttft/ci95_high_ms"),
            time("tpot/mean_ms"),
            time("e2e/mean_ms"),
            time("e2e/ci95_low_ms"),
            time("e2e/ci95_high_ms"),
            cell.path("output_rate/mean_per_s").figure(Unit::PerSecond),
            cell.path("e2e/n").figure(Unit::Count),
        ]);
    }
    table.without_empty_columns()
}

/// The different values of a key, lowest first.
fn values(cells: &[Node<'_>], key: &str) -> Vec<u64> {
    let mut all: Vec<u64> = cells.iter().filter_map(|cell| cell.at(key).count()).collect();
    all.sort_unstable();
    all.dedup();
    all.truncate(MOST_LENGTHS);
    all
}

/// A time over prompt and answer lengths.
fn heat(cells: &[Node<'_>], key: &str, title: &str, what: &str) -> Option<Block> {
    let (inputs, outputs) = (values(cells, "input_len"), values(cells, "output_len"));
    let at = |input: u64, output: u64| {
        let its = |cell: &&Node<'_>| {
            cell.at("input_len").count() == Some(input) && cell.at("output_len").count() == Some(output)
        };
        cells.iter().find(its).map(|cell| cell.at(key).at("mean_ms"))
    };
    let known: Vec<(f64, u64, u64)> = inputs
        .iter()
        .flat_map(|input| outputs.iter().map(|output| (*input, *output)))
        .filter_map(|(input, output)| Some((at(input, output)?.number()?, input, output)))
        .collect();
    let least = known.iter().min_by(|a, b| a.0.total_cmp(&b.0))?;
    let most = known.iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
    if inputs.len() + outputs.len() < 3 {
        return None;
    }
    let heads: Vec<String> =
        std::iter::once("prompt".to_owned()).chain(outputs.iter().map(|len| format!("#answer {len}"))).collect();
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let mut table = Table::new(format!("{what}, by prompt (rows) and answer (columns) in tokens"), &heads);
    let mut grid = Heat {
        x: "answer, tokens".to_owned(),
        y: "prompt, tokens".to_owned(),
        columns: outputs.iter().map(ToString::to_string).collect(),
        rows: inputs.iter().map(ToString::to_string).collect(),
        cells: Vec::new(),
    };
    for input in &inputs {
        let figures: Vec<Option<Node<'_>>> = outputs.iter().map(|output| at(*input, *output)).collect();
        let cell = |figure: &Option<Node<'_>>| {
            let value = figure.as_ref()?.number()?;
            Some(HeatCell { value, text: Unit::Milliseconds.show(value) })
        };
        grid.cells.push(figures.iter().map(cell).collect());
        let shown =
            |figure: &Option<Node<'_>>| figure.as_ref().map_or_else(Cell::absent, |one| one.figure(Unit::Milliseconds));
        table.row([Cell::text(input.to_string())].into_iter().chain(figures.iter().map(shown)));
    }
    let words = format!(
        "{what}: from {} (prompt {}, answer {}) to {} (prompt {}, answer {}).",
        Unit::Milliseconds.show(least.0),
        least.1,
        least.2,
        Unit::Milliseconds.show(most.0),
        most.1,
        most.2
    );
    let svg = grid.draw();
    Some(Block::Picture(Picture { title: title.to_owned(), words, svg, table: Some(table), sparks: Vec::new() }))
}

/// The time to the first token over the length of the prompt, with the line that was fitted.
fn prefill(cells: &[Node<'_>], fit: &Node<'_>) -> Option<Block> {
    let point = |cell: &Node<'_>| {
        let ttft = cell.at("ttft");
        let mean = ttft.at("mean_ms").number()?;
        let ends = (ttft.at("ci95_low_ms").number().unwrap_or(mean), ttft.at("ci95_high_ms").number().unwrap_or(mean));
        Some((cell.at("input_len").number()?, mean, ends))
    };
    let known: Vec<(f64, f64, (f64, f64))> = cells.iter().filter_map(point).collect();
    let (low, high) = known.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), one| (low.min(one.0), high.max(one.0)));
    if known.len() < 2 || low >= high {
        return None;
    }
    let mut series = vec![Series {
        name: "measured, with the 95 % interval of the mean".to_owned(),
        points: known.iter().map(|one| (one.0, one.1)).collect(),
        spread: known.iter().map(|one| one.2).collect(),
        shape: Shape::Points,
        colour: 1,
    }];
    let coefficient = |name: &str| {
        let all = fit.at("coefficients").items();
        all.iter().find(|one| one.at("name").text() == Some(name)).and_then(|one| one.at("value").number())
    };
    let mut words =
        "The time to the first token over the length of the prompt; answers of all lengths together.".to_owned();
    if let (Some(a), Some(b)) = (coefficient("a"), coefficient("b")) {
        let c = coefficient("c").unwrap_or(0.0);
        let (from, to) = (fit.at("from_tokens").number().unwrap_or(low), fit.at("to_tokens").number().unwrap_or(high));
        let at = |share: f64| {
            let input = from + (to - from) * share;
            (input, a + b * input + c * input * input)
        };
        series.push(Series {
            name: "fitted".to_owned(),
            points: (0..=20_u8).map(|step| at(f64::from(step) / 20.0)).collect(),
            spread: Vec::new(),
            shape: Shape::Curve,
            colour: 2,
        });
        words.push_str(&format!(
            " The fit: {} ms whatever the prompt, and {} ms for each token of it, from {} to {} tokens.",
            digits(a),
            digits(b),
            digits(from),
            digits(to)
        ));
    }
    let mut table = Table::new("Mean time to the first token", &["#prompt", "#answer", "#TTFT", "#95 % from", "#to"]);
    for cell in cells {
        let time = |path: &str| cell.path(path).figure(Unit::Milliseconds);
        let length = |key: &str| cell.at(key).figure(Unit::Count);
        table.row([
            length("input_len"),
            length("output_len"),
            time("ttft/mean_ms"),
            time("ttft/ci95_low_ms"),
            time("ttft/ci95_high_ms"),
        ]);
    }
    let plot = Plot { x: "prompt, tokens".to_owned(), y: "TTFT, ms".to_owned(), series, ..Plot::default() };
    let title = "First token by prompt".to_owned();
    let table = Some(table.at_most(MOST_ROWS));
    Some(Block::Picture(Picture { title, words, svg: plot.draw(), table, sparks: Vec::new() }))
}

/// A fit with its errors.
fn fit(fit: &Node<'_>, name: &str) -> Vec<Block> {
    if !fit.is_there() {
        return Vec::new();
    }
    let formula = fit.at("formula").text().unwrap_or("–");
    let heads = ["coefficient", "what it is", "#value", "#standard error", "unit", "told from zero"];
    let mut table = Table::new(format!("{name}: {formula}"), &heads);
    for one in fit.at("coefficients").items() {
        let told = if one.at("differs_from_zero").is_true() {
            Cell::text("yes")
        } else {
            Cell::text("no").tone(Tone::Warning)
        };
        table.row([
            one.at("name").cell(),
            one.at("meaning").cell(),
            one.at("value").figure(Unit::Plain),
            one.at("std_error").figure(Unit::Plain),
            one.at("unit").cell(),
            told,
        ]);
    }
    let quality = vec![
        ("R²".to_owned(), fit.at("r2").figure(Unit::Plain)),
        ("deviation left".to_owned(), fit.at("residual_std_ms").figure(Unit::Milliseconds)),
        ("requests".to_owned(), fit.at("n").figure(Unit::Count)),
        ("tried from, tokens".to_owned(), fit.at("from_tokens").figure(Unit::Count)),
        ("to, tokens".to_owned(), fit.at("to_tokens").figure(Unit::Count)),
    ];
    let mut about = Table::new("How well it fits; beyond these lengths it was not tried", &["what", "#figure"]);
    for (name, cell) in quality.into_iter().filter(|(_, cell)| !cell.is_absent()) {
        about.row([Cell::text(name), cell]);
    }
    vec![Block::Table(table), Block::Table(about)]
}
