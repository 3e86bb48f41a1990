//! Errors, intervals and verdicts as a table.

use std::fmt::Write as _;

use vramscope_core::Bytes;
use vramscope_estimate::{Budget, Figure};

use super::recordings::{Known, Recording};
use crate::table::{Align, Table};

/// Half a hundredth of a GiB, to which the log rounds graphs.
const ROUNDED: u64 = 5_368_710;

/// One prediction against its recording.
pub(super) struct Outcome {
    pub(super) run: String,
    weights: Option<Check>,
    activation_peak: Option<Check>,
    kv_cache: Option<Check>,
    blocks: Option<Check>,
    graphs: Option<Check>,
    /// What the engine set aside for them.
    graphs_budgeted: Option<Check>,
    /// The failure predicted and the one that happened.
    verdict: (Option<String>, Option<String>),
}

/// A figure against its truth.
#[derive(Debug, Clone, Copy)]
struct Check {
    /// Per cent of the truth.
    off: f64,
    inside: bool,
    /// Width of the interval in per cent of the truth.
    width: f64,
}

impl Check {
    fn new(figure: &Figure, truth: Known) -> Self {
        let bytes = |n: u64| Bytes::new(n).as_f64();
        let share = |part: f64| if truth.bytes == 0 { 0.0 } else { part / bytes(truth.bytes) * 100.0 };
        let low = figure.low.saturating_sub(truth.within);
        let high = figure.high.saturating_add(truth.within);
        Self {
            off: share(bytes(figure.value) - bytes(truth.bytes)),
            inside: (low..=high).contains(&truth.bytes),
            width: share(bytes(figure.high) - bytes(figure.low)),
        }
    }
}

impl Outcome {
    pub(super) fn new(run: &Recording, budget: &Budget) -> Self {
        let check = |figure: &Figure, truth: Option<Known>| truth.map(|truth| Check::new(figure, truth));
        let truth = &run.truth;
        // An engine that failed has no cache to compare.
        let started = truth.failure.is_none();
        let kv_cache = truth.kv_cache.filter(|_| started);
        let blocks = truth.blocks.filter(|_| started).map(|bytes| Known { bytes, within: 0 });
        Self {
            run: run.run.clone(),
            weights: check(&budget.weights, truth.weights),
            activation_peak: check(&budget.activation_peak, truth.activation_peak),
            kv_cache: check(&budget.kv_cache, kv_cache),
            blocks: check(&budget.num_gpu_blocks, blocks),
            graphs: check(&budget.cuda_graphs, truth.graphs.map(|bytes| Known { bytes, within: ROUNDED })),
            graphs_budgeted: check(
                &budget.cuda_graphs_budgeted,
                truth.graphs_budgeted.filter(|bytes| *bytes > 0).map(|bytes| Known { bytes, within: 0 }),
            ),
            verdict: (budget.verdict.failure.as_ref().map(|f| f.name().to_owned()), truth.failure.clone()),
        }
    }
}

pub(super) fn render(outcomes: &[Outcome], width: usize) -> String {
    let heads = [
        ("run", Align::Left),
        ("weights", Align::Right),
        ("peak", Align::Right),
        ("graphs", Align::Right),
        ("set aside", Align::Right),
        ("KV cache", Align::Right),
        ("verdict", Align::Left),
    ];
    let mut table = Table::new(&heads);
    for outcome in outcomes {
        let per_cent = |check: Option<Check>| check.map_or(String::new(), |c| format!("{:+.3} %{}", c.off, mark(c)));
        let rough = |check: Option<Check>| check.map_or(String::new(), |c| format!("{:+.1} %{}", c.off, mark(c)));
        table.row([
            outcome.run.clone(),
            per_cent(outcome.weights),
            per_cent(outcome.activation_peak),
            rough(outcome.graphs),
            rough(outcome.graphs_budgeted),
            per_cent(outcome.kv_cache),
            verdict(outcome),
        ]);
    }
    let mut text = table.render(width);
    text.push('\n');
    let heads = [
        ("figure", Align::Left),
        ("runs", Align::Right),
        ("median error", Align::Right),
        ("largest", Align::Right),
        ("inside", Align::Right),
        ("mean width", Align::Right),
    ];
    let mut summary = Table::new(&heads);
    let mut row = |name: &str, of: fn(&Outcome) -> Option<Check>| {
        let checks: Vec<Check> = outcomes.iter().filter_map(of).collect();
        summary.row(summarized(name, &checks));
    };
    row("weights", |o| o.weights);
    row("activation peak", |o| o.activation_peak);
    row("KV cache", |o| o.kv_cache);
    row("KV blocks", |o| o.blocks);
    row("graphs", |o| o.graphs);
    row("set aside for graphs", |o| o.graphs_budgeted);
    text.push_str(&summary.render(width));
    let right = outcomes.iter().filter(|o| o.verdict.0 == o.verdict.1).count();
    let _ = writeln!(text, "\n  verdicts right: {right} of {}; * is outside the stated interval", outcomes.len());
    text
}

fn mark(check: Check) -> &'static str {
    if check.inside { "" } else { " *" }
}

fn verdict(outcome: &Outcome) -> String {
    let name = |failure: &Option<String>| failure.clone().unwrap_or_else(|| "starts".to_owned());
    let (predicted, happened) = (name(&outcome.verdict.0), name(&outcome.verdict.1));
    if predicted == happened { happened } else { format!("{predicted}, but: {happened}") }
}

fn summarized(name: &str, checks: &[Check]) -> Vec<String> {
    let mut errors: Vec<f64> = checks.iter().map(|check| check.off.abs()).collect();
    errors.sort_by(f64::total_cmp);
    let count = checks.len();
    let Some(median) = errors.get(count / 2) else { return vec![name.to_owned(), "0".to_owned()] };
    let largest = errors.last().copied().unwrap_or_default();
    let inside = checks.iter().filter(|check| check.inside).count();
    #[expect(clippy::cast_precision_loss, reason = "a count of runs")]
    let mean = checks.iter().map(|check| check.width).sum::<f64>() / count as f64;
    vec![
        name.to_owned(),
        count.to_string(),
        format!("{median:.4} %"),
        format!("{largest:.4} %"),
        format!("{inside} of {count}"),
        format!("{mean:.3} %"),
    ]
}
