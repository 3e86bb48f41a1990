//! What was predicted before the start, beside what came.

use super::peak::confidence;
use crate::cell::{Cell, Tone};
use crate::node::Node;
use crate::page::{Block, Picture, Table};
use crate::pages::named::{self, MOST_ROWS};
use crate::pages::parts;
use crate::pages::run::Run;
use crate::svg::{Bar, bars};
use crate::unit::Unit;

/// More figures than this have no bar of their own.
const MOST_BARS: usize = 40;

/// How what came lies to what was predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    Inside,
    Outside,
}

/// Whether a figure lies in an interval, as far as its printed digits tell.
fn lies(low: f64, high: f64, value: f64, resolution: f64) -> Came {
    if (low - resolution..=high + resolution).contains(&value) { Came::Inside } else { Came::Outside }
}

/// By how much what came may be off since it was printed with few digits: as the fact of this name says, or the part of
/// one GPU.
fn resolution(run: &Run<'_>, name: &str) -> f64 {
    let reported = run.reported();
    let facts = reported.at("facts").items();
    let fact = |name: &str| {
        let one = facts.iter().find(|fact| fact.at("name").text() == Some(name));
        one.and_then(|fact| fact.at("resolution").number())
    };
    let part = || {
        let devices = run.breakdown.at("per_device").items();
        let of = devices.first().map_or_else(|| run.breakdown.at("components"), |device| device.at("components"));
        let part = of.items().into_iter().find(|part| part.at("kind").text() == Some(name));
        part.and_then(|part| part.at("resolution_bytes").number())
    };
    let known = match name {
        // What is taken off a printed amount is as exact as that.
        "activation_peak" => fact(name).or_else(|| fact("available_kv_cache")),
        "kv_cache" => part().or_else(|| fact("available_kv_cache").filter(|_| !has_pool(run))),
        _ => fact(name).or_else(part),
    };
    known.unwrap_or(0.0)
}

/// Whether the KV cache is known in blocks, which are exact.
fn has_pool(run: &Run<'_>) -> bool {
    run.reported().at("num_gpu_blocks").is_there()
}

fn name(one: &Node<'_>) -> String {
    one.at("name").text().map_or_else(|| "a figure".to_owned(), parts::name_of)
}

/// Whether what came is the prediction itself: an engine that ended too early told nothing else.
fn is_taken_over(one: &Node<'_>) -> bool {
    let method = |name: &str| one.at(name).text();
    method("observed_method").is_some() && method("observed_method") == method("predicted_method")
}

pub(super) fn blocks(run: &Run<'_>) -> Vec<Block> {
    let expectation = run.root.at("expectation");
    let heads = [
        "what",
        "#predicted",
        "#least",
        "#most",
        "#came",
        "verdict",
        "#error",
        "how sure",
        "predicted by",
        "came from",
    ];
    // An engine whose prediction is by place has rows of the host; the others are of its devices together.
    let by_place = expectation
        .at("memory")
        .items()
        .iter()
        .any(|one| one.at("name").text().is_some_and(|name| name.starts_with("host_")));
    let of = if by_place { "of the devices, and of the host where it is named" } else { "each of one GPU" };
    let mut table = Table::new(format!("Predicted before the start, beside what came; {of}"), &heads);
    let mut drawn = Vec::new();
    let (mut inside, mut outside) = (0_usize, Vec::new());
    let mut row = |one: &Node<'_>, end: &str, unit: Unit| {
        let at = |name: &str| one.at(&format!("{name}{end}"));
        let number = |name: &str| at(name).number();
        let mut verdict = Cell::absent();
        if let (Some(low), Some(high), Some(value)) = (number("low"), number("high"), number("observed"))
            && !is_taken_over(one)
        {
            match lies(low, high, value, resolution(run, one.at("name").text().unwrap_or_default())) {
                Came::Inside => {
                    inside += 1;
                    verdict = Cell::text("inside").tone(Tone::Good);
                }
                Came::Outside => {
                    outside.push(name(one));
                    verdict = Cell::text(if value < low { "below it" } else { "above it" }).tone(Tone::Warning);
                }
            }
        }
        let words = |name: &str| one.at(name).text().map_or_else(Cell::absent, |text| Cell::text(named::words(text)));
        table.row([
            Cell::text(name(one)).tone(verdict.tone),
            at("predicted").figure(unit),
            at("low").figure(unit),
            at("high").figure(unit),
            at("observed").figure(unit),
            verdict,
            one.at("error_pct").figure(Unit::Percent),
            confidence(&one.at("confidence")),
            words("predicted_method"),
            words("observed_method"),
        ]);
    };
    for one in expectation.at("memory").items().iter().take(MOST_ROWS) {
        // What the engine may use is told to it, and no prediction.
        row(one, "_bytes", Unit::Memory);
        if one.at("name").text() != Some("requested") && !is_taken_over(one) && drawn.len() < MOST_BARS {
            drawn.extend(predicted_bar(one));
        }
    }
    for one in expectation.at("counts").items().iter().take(MOST_ROWS) {
        row(one, "", Unit::Count);
    }
    if table.rows.is_empty() {
        return Vec::new();
    }
    let expected = match (expectation.at("fits").is_there(), expectation.at("fits").is_true()) {
        (true, true) => "The engine was expected to start.".to_owned(),
        (true, false) => {
            let failure =
                expectation.at("failure").text().map_or_else(String::new, |text| format!(" ({})", named::words(text)));
            format!("The engine was expected to refuse to start{failure}.")
        }
        (false, _) => String::new(),
    };
    let words = format!("{expected}{}", counted(inside, &outside));
    if drawn.is_empty() {
        return vec![Block::Text(words.trim().to_owned()), Block::Table(table.without_empty_columns())];
    }
    let words = format!("{words} Bars are what came, whiskers the predicted interval, dashed rules the prediction.");
    vec![Block::Picture(Picture {
        title: "Predicted and measured".to_owned(),
        words: words.trim_start().to_owned(),
        svg: bars(&drawn, Unit::Memory),
        table: Some(table.without_empty_columns()),
        sparks: Vec::new(),
    })]
}

/// How many figures lie inside, and which do not.
fn counted(inside: usize, outside: &[String]) -> String {
    let all = inside + outside.len();
    let digits = "; a figure is inside if its printed digits leave that open";
    match outside {
        _ if all == 0 => " Nothing that was predicted can be held against what came.".to_owned(),
        [] => format!(" All {all} figures that came lie within what was predicted{digits}."),
        _ => format!(
            " {inside} of {all} figures that came lie within what was predicted{digits}. Outside: {}.",
            outside.join(", ")
        ),
    }
}

fn predicted_bar(one: &Node<'_>) -> Option<Bar> {
    let number = |name: &str| one.at(name).number();
    let predicted = number("predicted_bytes")?;
    let observed = number("observed_bytes");
    let part = parts::called(one.at("name").text()?);
    // What is neither predicted nor seen is no bar.
    if predicted == 0.0 && observed.unwrap_or(0.0) == 0.0 {
        return None;
    }
    let words = observed.map_or_else(|| "not seen".to_owned(), |bytes| Unit::Memory.show(bytes));
    let mut bar = Bar::new(name(one), 0.0, observed.unwrap_or(0.0), part.map_or(1, |part| part.colour), words);
    bar.predicted = Some(predicted);
    bar.interval = number("low_bytes").zip(number("high_bytes")).map(|(low, high)| (low.min(high), high.max(low)));
    Some(bar)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    proptest! {
        #[test]
        fn a_figure_within_its_own_digits_of_the_interval_is_inside(
            low in 0.0..1e9f64, wide in 0.0..1e9f64, resolution in 0.0..1e7f64, off in 0.0..2.0f64,
        ) {
            let value = low - resolution * off;
            prop_assert_eq!(lies(low, low + wide, value, resolution) == Came::Inside, value >= low - resolution);
        }
    }

    #[test]
    fn those_outside_are_named_and_those_that_digits_leave_open_are_inside() {
        let one = |name: &str, observed: u64| json!({"name": name, "predicted_bytes": 105, "low_bytes": 100, "high_bytes": 110, "observed_bytes": observed});
        let value = json!({
            "expectation": {"memory": [one("model_weights", 95), one("cuda_graphs", 95), one("kv_cache", 101)]},
            "memory_breakdown": {"components": [{"kind": "model_weights", "resolution_bytes": 5}]}});
        let made = blocks(&Run::new(Node::root(&value, 0)));
        let [Block::Picture(picture)] = made.as_slice() else { panic!("{made:?}") };
        assert!(
            picture.words.contains("2 of 3 figures") && picture.words.contains("Outside: graphs."),
            "{}",
            picture.words
        );
        let said: Vec<&str> =
            picture.table.iter().flat_map(|table| &table.rows).map(|row| row[5].text.as_str()).collect();
        assert_eq!(said, ["inside", "below it", "inside"]);
    }
}
