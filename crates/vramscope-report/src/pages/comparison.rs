//! Two runs against each other, figure by figure.

use super::figure::{brief, listed};
use super::named::{MOST_ROWS, unit, words as title};
use crate::cell::{Cell, Tone};
use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Finding, Page, Picture, Section, Table, Weight};
use crate::svg::{Bar, bars};
use crate::unit::Unit;

/// A change of less is called the same: two runs of one setup differ by as much.
const SAME: f64 = 0.01;
/// Bars end here, or one figure that was near zero would leave nothing of the others.
const LONGEST_BAR: f64 = 2.0;
/// Figures that people ask for first.
const FIRST: [&str; 5] =
    ["peak_bytes", "tokens_per_second", "mean_latency_ms", "time_to_first_token_median_ms", "kv_cache_tokens"];

/// What a change is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Better,
    Worse,
    /// It says nothing of good or bad.
    Other,
    Same,
    Unknown,
}

/// Whether the sides ran different models: then what is lower or higher is no better or worse.
pub(super) fn other_model(root: &Node<'_>) -> bool {
    root.at("settings").items().iter().any(|setting| setting.at("name").text() == Some("model"))
}

impl Change {
    /// What a change is where only its size can be told.
    fn without_direction(self) -> Self {
        if matches!(self, Self::Better | Self::Worse) { Self::Other } else { self }
    }

    fn between(figure: &Node<'_>, other_model: bool) -> Self {
        if other_model { Self::of(figure).without_direction() } else { Self::of(figure) }
    }

    fn of(figure: &Node<'_>) -> Self {
        let (before, after) = (figure.at("before").number(), figure.at("after").number());
        let (Some(before), Some(after)) = (before, after) else { return Self::Unknown };
        let small = figure.at("relative").number().map_or(before.total_cmp(&after).is_eq(), |share| share.abs() < SAME);
        match figure.at("better").text() {
            _ if small => Self::Same,
            Some("lower") if after < before => Self::Better,
            Some("higher") if after > before => Self::Better,
            Some("lower" | "higher") => Self::Worse,
            _ => Self::Other,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Other => "changed",
            Self::Same => "same",
            Self::Unknown => "–",
        }
    }

    fn cell(self) -> Cell {
        let tone = match self {
            Self::Better => Tone::Good,
            Self::Worse => Tone::Bad,
            Self::Other | Self::Same | Self::Unknown => Tone::Faint,
        };
        Cell::text(self.word()).tone(tone)
    }
}

pub(crate) fn page(document: &Document) -> Page {
    let root = document.root(0);
    let name = |key: &str| brief(root.at(key).text().unwrap_or("a run"));
    let figures = root.at("figures").items();
    let other_model = other_model(&root);
    let mut answer = first(&root);
    if other_model {
        let text = "The two runs are of different models: better and worse do not apply, and figures are only set beside each other.";
        answer.push(Block::Findings(vec![Finding {
            weight: Weight::Note,
            text: text.to_owned(),
            advice: None,
            code: None,
        }]));
    }
    let headline: Vec<(String, Cell)> = FIRST
        .iter()
        .filter_map(|name| figures.iter().find(|figure| figure.at("name").text() == Some(name)))
        .filter(|figure| figure.at("relative").is_there())
        .map(|figure| {
            let change = Change::between(figure, other_model);
            let label = format!("{}: {}", title(figure.at("name").text().unwrap_or("")), change.word());
            (label, figure.at("relative").change(Unit::Share).tone(change.cell().tone))
        })
        .collect();
    if !headline.is_empty() {
        answer.push(Block::Headline(headline));
    }
    answer.extend(sentences(&figures, other_model).into_iter().map(Block::Text));
    let mut sections =
        vec![Section::new(if other_model { "What differs" } else { "What became better and worse" }, answer)];
    sections.push(Section::new("Settings that differ", settings(&root)));
    let mut blocks: Vec<Block> = picture(&figures, other_model).into_iter().collect();
    blocks.push(Block::Table(table(&figures, other_model).at_most(MOST_ROWS)));
    sections.push(Section::new("Every figure", blocks));
    Page {
        title: "Two runs compared".to_owned(),
        about: format!("Before: {}. After: {}.", name("before"), name("after")),
        sections,
    }
}

/// What exceeds its limit, then what makes the comparison doubtful.
pub(super) fn first(root: &Node<'_>) -> Vec<Block> {
    let mut all = Vec::new();
    for exceeded in root.at("exceeded").items() {
        let figure = title(exceeded.at("figure").text().unwrap_or("a figure"));
        let by = exceeded.at("worse_by").number().map_or("became worse from zero".to_owned(), |share| {
            format!("became worse by {}", Unit::Share.show(share))
        });
        let limit = exceeded
            .at("limit")
            .number()
            .map_or(String::new(), |limit| format!(", which is more than its limit of {}", Unit::Share.show(limit)));
        all.push(Finding { weight: Weight::Error, text: format!("{figure} {by}{limit}."), advice: None, code: None });
    }
    for caution in root.at("cautions").items() {
        let text = format!("Doubtful: {}", caution.text().unwrap_or("no word"));
        all.push(Finding { weight: Weight::Warning, text, advice: None, code: None });
    }
    all.truncate(MOST_ROWS);
    if all.is_empty() { Vec::new() } else { vec![Block::Findings(all)] }
}

/// What the sides were set up with, where it differs.
pub(super) fn settings(root: &Node<'_>) -> Vec<Block> {
    let mut table = Table::new("Settings that differ may explain the rest", &["setting", "before", "after"]);
    for setting in root.at("settings").items() {
        let name = setting.at("name").text().unwrap_or("a setting").replace('_', " ");
        table.row([Cell::text(name), setting.at("before").cell(), setting.at("after").cell()]);
    }
    if table.rows.is_empty() {
        return vec![Block::Text("No setting differs, as far as both say.".to_owned())];
    }
    vec![Block::Table(table.at_most(MOST_ROWS))]
}

fn sentences(figures: &[Node<'_>], other_model: bool) -> Vec<String> {
    let of = |wanted: Change| -> Vec<String> {
        let mut all: Vec<(f64, String)> = figures
            .iter()
            .filter(|figure| Change::between(figure, other_model) == wanted)
            .map(|figure| {
                let name = title(figure.at("name").text().unwrap_or("a figure"));
                match figure.at("relative").number() {
                    Some(share) => (share.abs(), format!("{name} ({})", Unit::Share.signed(share))),
                    None => (f64::INFINITY, format!("{name} (from zero)")),
                }
            })
            .collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        all.into_iter().map(|(_, words)| words).collect()
    };
    let (better, worse) = (of(Change::Better), of(Change::Worse));
    let mut said = Vec::new();
    if worse.is_empty() && better.is_empty() && !other_model {
        said.push("No figure that has a better direction changed by 1 % or more.".to_owned());
    }
    if !worse.is_empty() {
        said.push(format!("Worse: {}.", listed(&worse)));
    }
    if !better.is_empty() {
        said.push(format!("Better: {}.", listed(&better)));
    }
    said.push(
        "These are one run each: how much two equal runs differ they do not say. Repeats judged against repeats do \
         (compare --against)."
            .to_owned(),
    );
    said
}

fn table(figures: &[Node<'_>], other_model: bool) -> Table {
    let caption = "Memory is that of all GPUs together; less than 1 % is called the same";
    let mut table =
        Table::new(caption, &["figure", "#before", "#after", "#change", "#in percent", "verdict", "better is"]);
    for figure in figures {
        let name = figure.at("name").text().unwrap_or("");
        let its = unit(name).unwrap_or(Unit::Plain);
        let change = Change::between(figure, other_model);
        let better = figure.at("better").text().filter(|better| *better != "neither");
        table.row([
            Cell::text(title(name)),
            figure.at("before").figure(its),
            figure.at("after").figure(its),
            delta(figure, its),
            figure.at("relative").change(Unit::Share),
            change.cell(),
            better.map_or_else(Cell::absent, Cell::text),
        ]);
    }
    table
}

fn picture(figures: &[Node<'_>], other_model: bool) -> Option<Block> {
    let mut all = Vec::new();
    let mut cut = false;
    let mut most: Option<(f64, String)> = None;
    for figure in figures.iter().take(MOST_ROWS) {
        let Some(share) = figure.at("relative").number() else { continue };
        let change = Change::between(figure, other_model);
        let name = title(figure.at("name").text().unwrap_or(""));
        let colour = match change {
            Change::Better => 3,
            Change::Worse => 5,
            Change::Other | Change::Same | Change::Unknown => 0,
        };
        cut |= share.abs() > LONGEST_BAR;
        let words = format!("{} {}", Unit::Share.signed(share), change.word());
        if matches!(change, Change::Better | Change::Worse) && most.as_ref().is_none_or(|(most, _)| share.abs() > *most)
        {
            most = Some((share.abs(), format!("{name}, {words}")));
        }
        all.push(Bar::new(name, 0.0, share.clamp(-LONGEST_BAR, LONGEST_BAR), colour, words));
    }
    if all.is_empty() {
        return None;
    }
    let largest = most.map_or(String::new(), |(_, words)| format!(" The largest that is good or bad: {words}."));
    let cut = if cut { " Bars end at 200 %." } else { "" };
    let words = format!("By what part each figure changed, as a share of what it was before.{largest}{cut}");
    let svg = bars(&all, Unit::Share);
    Some(Block::Picture(Picture { title: "Changes".to_owned(), words, svg, table: None, sparks: Vec::new() }))
}

/// A figure's change in its own unit; of one in percent that is points, and not percent of it.
fn delta(figure: &Node<'_>, its: Unit) -> Cell {
    let mut cell = figure.at("delta").change(its);
    if matches!(its, Unit::Percent | Unit::Share) && !cell.is_absent() {
        cell.text = format!("{} points", cell.text.trim_end_matches(['%', ' ', '\u{a0}']));
    }
    cell
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::law::{check, fixture};

    #[test]
    fn what_exceeds_its_limit_comes_first_and_better_and_worse_are_words() {
        let mut value = fixture(include_str!("../../tests/data/comparison.json"));
        value["exceeded"] = json!([{"figure": "mean_latency_ms", "worse_by": 0.25, "limit": 0.05}]);
        let html = check(value);
        let at = |words: &str| html.find(words).unwrap_or_else(|| panic!("{words} on the page"));
        assert!(
            at("mean latency became worse by 25 %, which is more than its limit of 5 %") < at("class=\"headline\"")
        );
        assert!(html.contains(">worse</td>") && html.contains(">better</td>"));
    }

    #[test]
    fn different_models_are_neither_better_nor_worse() {
        let mut value = fixture(include_str!("../../tests/data/comparison.json"));
        value["settings"] = json!([{"name": "model", "before": "a", "after": "b"}]);
        let html = check(value);
        assert!(html.contains("better and worse do not apply"));
        assert!(!html.contains(">worse</td>") && !html.contains(">better</td>"));
        assert!(!html.contains("dd class=\"good\"") && !html.contains("dd class=\"bad\""));
    }
}
