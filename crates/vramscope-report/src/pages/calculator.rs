//! A profile beside what a calculator said.

use super::named;
use crate::cell::{Cell, Tone};
use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Finding, Page, Picture, Section, Table, Weight};
use crate::svg::{Bar, bars};
use crate::unit::Unit;

/// More parts than this no calculator states.
const MOST: usize = 40;

pub(crate) fn page(document: &Document) -> Page {
    let root = document.root(0);
    let parts = root.at("parts").items();
    let judged = |part: &&Node<'_>| part.at("within_usual").is_there();
    let all = parts.iter().filter(judged).count();
    let good = parts.iter().filter(|part| part.at("within_usual").is_true()).count();
    let heads = [
        "part",
        "#measured",
        "#calculated",
        "#off by",
        "#off by %",
        "#usual",
        "within usual",
        "#must be multiplied with",
    ];
    let mut table = Table::new("What was measured, and what the calculator said; of all GPUs together", &heads);
    let mut drawn = Vec::new();
    for part in parts.iter().take(MOST) {
        let name = part.at("part").text().map_or_else(|| "?".to_owned(), named::words);
        let within = part.at("within_usual");
        let tone = if within.is_true() { Tone::Good } else { Tone::Bad };
        let tone = if within.is_there() { tone } else { Tone::Faint };
        table.row([
            Cell::text(name.clone()),
            part.at("measured_bytes").figure(Unit::Memory),
            part.at("calculated_bytes").figure(Unit::Memory),
            part.at("error_bytes").change(Unit::Memory),
            part.at("error_pct").change(Unit::Percent).tone(tone),
            part.at("usual_error_pct").figure(Unit::Percent),
            within.cell().tone(tone),
            part.at("factor").figure(Unit::Plain),
        ]);
        if let Some(calculated) = part.at("calculated_bytes").number() {
            let measured = part.at("measured_bytes");
            let words =
                if measured.is_there() { measured.figure(Unit::Memory).text } else { "not measured".to_owned() };
            let mut bar = Bar::new(name, 0.0, measured.number().unwrap_or(0.0), 1, words);
            bar.predicted = Some(calculated);
            drawn.push(bar);
        }
    }
    let weight = if good == all && all > 0 { Weight::Good } else { Weight::Warning };
    let text = if good == all {
        format!("All {all} parts are no further off than a good calculator usually is.")
    } else {
        format!("{} of {all} parts are further off than a good calculator usually is.", all - good)
    };
    let mut blocks = vec![Block::Findings(vec![Finding { weight, text, advice: None, code: None }])];
    let worst = parts.iter().filter(|part| part.at("error_pct").number().is_some());
    let worst = worst.max_by(|a, b| {
        let size = |part: &Node<'_>| part.at("error_pct").number().unwrap_or(0.0).abs();
        size(a).total_cmp(&size(b))
    });
    if let Some(worst) = worst {
        blocks.push(Block::Sentence(vec![
            "The furthest off is ".into(),
            Cell::text(worst.at("part").text().map_or_else(|| "a part".to_owned(), named::words)),
            ": ".into(),
            worst.at("calculated_bytes").figure(Unit::Memory),
            " calculated, ".into(),
            worst.at("measured_bytes").figure(Unit::Memory),
            " measured (".into(),
            worst.at("error_pct").figure(Unit::Percent),
            ").".into(),
        ]));
    }
    if drawn.is_empty() {
        blocks.push(Block::Table(table.without_empty_columns()));
    } else {
        let said = |bar: &Bar| {
            format!("{} {}, calculated {}", bar.name, bar.words, Unit::Memory.show(bar.predicted.unwrap_or(0.0)))
        };
        let said: Vec<String> = drawn.iter().take(8).map(said).collect();
        let words = format!("Bars are what was measured, dashed rules what the calculator said: {}.", said.join("; "));
        let svg = bars(&drawn, Unit::Memory);
        let sparks = Vec::new();
        blocks.push(Block::Picture(Picture {
            title: "Measured and calculated".to_owned(),
            words,
            svg,
            table: None,
            sparks,
        }));
        blocks.push(Block::Table(table.without_empty_columns()));
    }
    let cautions = root.at("cautions").items();
    let caution = |text: String| Finding { weight: Weight::Note, text, advice: None, code: None };
    let cautions: Vec<Finding> = cautions.iter().take(50).filter_map(Node::words).map(caution).collect();
    if !cautions.is_empty() {
        blocks.push(Block::Findings(cautions));
    }
    let profile = root.at("profile").text().unwrap_or("a profile");
    Page {
        title: "A calculator against a profile".to_owned(),
        about: format!("The profile: {}.", super::name_of(profile)),
        sections: vec![Section::new("How far off is it?", blocks)],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::law;

    #[test]
    fn every_figure_stands_in_the_document_whatever_is_damaged_or_missing() {
        law::of_kind(&json!({"vramscope_calculator_check": 1, "profile": "a/b", "cautions": ["c"], "parts": [
            {"part": "model_weights", "measured_bytes": 10, "calculated_bytes": 9, "error_bytes": -1, "error_pct": -10.0,
             "usual_error_pct": 2.0, "within_usual": false, "factor": 1.1},
            {"part": "total", "calculated_bytes": 9, "usual_error_pct": 2.0}]}));
    }
}
