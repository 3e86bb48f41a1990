//! Many runs beside each other, and the campaign that they are of.

mod answer;
mod grid;
mod series;
mod table;

use super::figure::{common_folder, listed, many};
use crate::document::Document;
use crate::node::Node;
use crate::page::{Block, Page, Section};
use crate::pages::named::MOST_ROWS;

/// The settings along which runs are looked at, each with its words.
const AXES: [(&str, &str); 4] = [
    ("batch_size", "batch size"),
    ("input_len", "prompt length"),
    ("output_len", "answer length"),
    ("tensor_parallel_size", "tensor parallel size"),
];

/// The states of a campaign's run, in the order of its life, with what is said of them.
const STATES: [(&str, &str); 6] = [
    ("complete", "done"),
    ("running", "running"),
    ("pending", "waiting"),
    ("failed", "failed"),
    ("interrupted", "interrupted"),
    ("unfit", "left out, they do not fit"),
];

/// The runs with what is needed of them everywhere.
pub(super) struct Runs<'d> {
    all: Vec<Node<'d>>,
    /// Where their own names begin, in bytes: what all have in common before is left out.
    folder: usize,
    /// The settings in which runs differ, in the order of their names.
    varying: Vec<&'d str>,
}

impl<'d> Runs<'d> {
    fn new(root: &Node<'d>) -> Self {
        let all = root.at("runs").items();
        let names: Vec<&str> = all.iter().filter_map(|run| run.at("name").text()).collect();
        let folder = common_folder(&names);
        let mut keys: Vec<&'d str> =
            all.iter().flat_map(|run| run.at("settings").members()).map(|(name, _)| name).collect();
        keys.sort_unstable();
        keys.dedup();
        let differs = |key: &&str| {
            let mut values = all.iter().map(|run| run.at("settings").at(key).words());
            let first = values.next();
            values.any(|value| Some(value) != first)
        };
        keys.retain(differs);
        Self { varying: keys, folder, all }
    }

    fn name(&self, run: &Node<'_>) -> String {
        let name = run.at("name").text().unwrap_or("a run");
        let short = name.get(self.folder..).filter(|rest| !rest.is_empty()).unwrap_or(name);
        super::figure::brief(short.strip_suffix(".json").unwrap_or(short))
    }

    /// How far a run is: as its campaign says, else as its profile does.
    fn state(run: &Node<'d>) -> Option<&'d str> {
        run.path("campaign/state").text().or_else(|| run.at("status").text())
    }

    /// Whether its figures may be set beside those of others.
    fn is_measured(run: &Node<'_>) -> bool {
        let unfinished = run.path("campaign/state").text().is_some_and(|state| state != "complete");
        run.at("status").text() != Some("failed") && !unfinished
    }

    /// Whether it was tried, and came to nothing.
    fn has_failed(run: &Node<'d>) -> bool {
        Self::state(run) == Some("failed")
    }

    /// A figure of a run that counts.
    fn figure(run: &Node<'_>, name: &str) -> Option<f64> {
        run.at("figures").at(name).number().filter(|_| Self::is_measured(run))
    }

    fn is_campaign(&self) -> bool {
        self.all.iter().any(|run| run.at("campaign").is_there())
    }

    /// How many runs are in each state that any is in.
    fn states(&self) -> Vec<(&'static str, usize)> {
        let count = |state: &str| self.all.iter().filter(|run| Self::state(run) == Some(state)).count();
        STATES.iter().map(|(state, words)| (*words, count(state))).filter(|(_, count)| *count > 0).collect()
    }
}

pub(crate) fn page(document: &Document) -> Page {
    let root = document.root(0);
    let runs = Runs::new(&root);
    let series = series::Line::all(&runs, &root);
    let mut sections = vec![Section::new("What the runs say", answer::blocks(&runs, &series))];
    let findings = answer::findings(&runs);
    if !findings.is_empty() {
        sections.push(Section::new("What went wrong and what is doubtful", [Block::Findings(findings)]));
    }
    for (axis, words) in AXES {
        let blocks = series::pictures(&series, axis, words);
        if !blocks.is_empty() {
            sections.push(Section::new(format!("By {words}"), blocks));
        }
    }
    let grids = grid::pictures(&runs);
    if !grids.is_empty() {
        sections.push(Section::new("Two settings at once", grids));
    }
    sections.extend(series::front(&runs).map(|front| Section::new("Throughput against latency", [front])));
    let mut all = table::fastest(&runs).map(|table| vec![Block::Table(table)]).unwrap_or_default();
    all.push(Block::Table(table::table(&runs).at_most(MOST_ROWS)));
    all.extend(table::common(&runs));
    sections.push(Section::new("All runs", all));
    let kind = if runs.is_campaign() { "Campaign" } else { "Runs" };
    let states = runs.states();
    let told: Vec<String> = states.iter().map(|(words, count)| format!("{count} {words}")).collect();
    let about = if runs.is_campaign() && !told.is_empty() {
        format!("{}: {}.", many(runs.all.len(), "run"), listed(&told))
    } else {
        format!("{}.", many(runs.all.len(), "run"))
    };
    Page { title: format!("{kind} side by side"), about, sections }
}

#[cfg(test)]
mod tests;
