//! What experiments gave, as tables and sentences: shown on a terminal and written as Markdown alike.

use vramscope_load::document::{
    EvidenceDocument, ExperimentDocument, FitDocument, LatencyExperiment, LengthsExperiment, LevelDocument, MeanRate,
    MeanTime, ThroughputExperiment, VerdictDocument,
};

use crate::cmd::load::render::{digits, figure};

/// A table with what is said below it.
pub(super) struct Section {
    pub(super) title: String,
    pub(super) heads: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
    pub(super) said: Vec<String>,
    pub(super) verdicts: Vec<Verdict>,
}

/// A verdict in words.
pub(super) struct Verdict {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) evidence: String,
    pub(super) advice: Option<String>,
}

/// The sections of what was measured.
pub(super) fn of(document: &ExperimentDocument) -> Vec<Section> {
    let unit = if document.prompts.as_deref() == Some("text") { "words" } else { "tokens" };
    let mut sections = Vec::new();
    sections.extend(document.latency.as_ref().map(|one| latency(one, unit)));
    sections.extend(document.throughput.as_ref().map(|one| throughput(one, unit)));
    sections.extend(document.lengths.as_ref().map(|one| lengths(one, unit)));
    sections
}

fn latency(of: &LatencyExperiment, unit: &str) -> Section {
    let mut rows = Vec::new();
    let time = |name: &str, time: Option<MeanTime>| {
        let MeanTime { mean_ms, std_ms, min_ms, max_ms, ci95_low_ms, ci95_high_ms, .. } = time?;
        Some(row(name, [Some(mean_ms), std_ms, Some(min_ms), Some(max_ms)], (ci95_low_ms, ci95_high_ms)))
    };
    rows.extend(time("whole request ms", of.e2e));
    rows.extend(time("TTFT ms", of.ttft));
    rows.extend(time("TPOT ms", of.tpot));
    rows.extend(of.output_rate.map(|rate| {
        let MeanRate { mean_per_s, std_per_s, min_per_s, max_per_s, ci95_low_per_s, ci95_high_per_s, .. } = rate;
        let figures = [Some(mean_per_s), std_per_s, Some(min_per_s), Some(max_per_s)];
        row("output tok/s", figures, (ci95_low_per_s, ci95_high_per_s))
    }));
    let requests = of.measurement.requests;
    let mut said = vec![format!("{} of {} requests answered, one at a time", requests.completed, requests.sent)];
    said.extend(expense(&of.measurement));
    Section {
        title: format!("Latency: {} {unit} -> {} tokens", of.input_len, of.output_len),
        heads: heads(&["figure", "mean", "deviation", "min", "max", "mean lies in (95 %, t)"]),
        rows,
        said,
        verdicts: verdicts(&of.verdicts),
    }
}

fn row(name: &str, figures: [Option<f64>; 4], interval: (Option<f64>, Option<f64>)) -> Vec<String> {
    let interval = match interval {
        (Some(low), Some(high)) => format!("{} to {}", significant(low), significant(high)),
        _ => "-".to_owned(),
    };
    let figures = figures.into_iter().map(figure);
    std::iter::once(name.to_owned()).chain(figures).chain([interval]).collect()
}

fn throughput(of: &ThroughputExperiment, unit: &str) -> Section {
    let levels = || of.levels.iter().map(|level| &level.measurement);
    let with_server = levels().any(|level| level.server.is_some());
    let with_energy = levels().any(|level| level.energy.is_some());
    let with_cost = levels().any(|level| level.cost.is_some());
    let mut names = vec!["in flight", "output tok/s", "factor", "efficiency", "TTFT", "TPOT", "E2E"];
    names.extend(with_server.then_some("waiting"));
    names.extend(with_energy.then_some("J/tok"));
    names.extend(with_cost.then_some("cost/M"));
    let rows = of.levels.iter().map(|level| {
        let one = &level.measurement;
        let mut row = vec![
            level.concurrency.to_string(),
            figure(level.output_tokens_per_s),
            level.factor.map_or_else(|| "-".to_owned(), |factor| format!("{factor:.2}x")),
            level.efficiency.map_or_else(|| "-".to_owned(), |part| format!("{:.0} %", part * 100.0)),
            figure(one.ttft.map(|latency| latency.p50_ms)),
            figure(one.tpot.map(|latency| latency.p50_ms)),
            figure(one.e2e.map(|latency| latency.p50_ms)),
        ];
        if with_server {
            row.push(figure(one.server.and_then(|server| server.waiting_mean)));
        }
        if with_energy {
            row.push(figure(one.energy.and_then(|energy| energy.joules_per_output_token)));
        }
        if with_cost {
            row.push(figure(one.cost.and_then(|cost| cost.per_million_output_tokens)));
        }
        row
    });
    let mut said = vec!["times are medians in ms".to_owned()];
    said.extend(of.knee.map(|knee| format!("knee at {} in flight: the most throughput for its latency", digits(knee))));
    said.push(match of.saturation {
        Some(level) => format!("saturated from {} in flight on: more brings no more tokens", digits(level)),
        None => "not saturated as far as it was measured".to_owned(),
    });
    Section {
        title: format!("Throughput: {} {unit} -> {} tokens", of.input_len, of.output_len),
        heads: heads(&names),
        rows: rows.collect(),
        said,
        verdicts: verdicts(&of.verdicts),
    }
}

fn lengths(of: &LengthsExperiment, unit: &str) -> Section {
    let time = |time: Option<MeanTime>| match time {
        Some(MeanTime { mean_ms, std_ms: Some(std), .. }) => format!("{} ± {}", digits(mean_ms), digits(std)),
        other => figure(other.map(|time| time.mean_ms)),
    };
    let rows = of.cells.iter().map(|one| {
        vec![
            one.input_len.to_string(),
            one.output_len.to_string(),
            one.measurement.requests.completed.to_string(),
            time(one.ttft),
            time(one.tpot),
            time(one.e2e),
            figure(one.output_rate.map(|rate| rate.mean_per_s)),
        ]
    });
    let said = [("prefill", &of.prefill), ("decode", &of.decode)].map(|(name, fit)| match fit {
        Some(fit) => format!("{name}: {}", formula(fit)),
        None => format!("{name}: no fit; it takes requests of different lengths, and answers of more than one token"),
    });
    Section {
        title: "Sequence lengths, one request at a time".to_owned(),
        heads: heads(&[
            &format!("prompt {unit}"),
            "output tokens",
            "requests",
            "TTFT ms",
            "TPOT ms",
            "E2E ms",
            "output tok/s",
        ]),
        rows: rows.collect(),
        said: said.to_vec(),
        verdicts: verdicts(&of.verdicts),
    }
}

/// A fit with its coefficients, their errors and how well it fits.
fn formula(fit: &FitDocument) -> String {
    let coefficients: Vec<String> = fit
        .coefficients
        .iter()
        .map(|one| format!("{} = {} ± {} {}", one.name, significant(one.value), significant(one.std_error), one.unit))
        .collect();
    let r2 = fit.r2.map(|r2| format!("R² {r2:.3}, ")).unwrap_or_default();
    format!(
        "{}; {} (± standard error); {r2}residual {} ms, {} requests",
        fit.formula,
        coefficients.join(", "),
        significant(fit.residual_std_ms),
        fit.n
    )
}

/// Energy and cost of a measurement, where they are known.
fn expense(level: &LevelDocument) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(energy) = level.energy {
        let each = figure(energy.joules_per_output_token);
        said.push(format!("energy: {each} J an output token, {} W on average", digits(energy.mean_watts)));
    }
    if let Some(cost) = level.cost.and_then(|cost| cost.per_million_output_tokens) {
        said.push(format!("cost: {} a million output tokens", digits(cost)));
    }
    said
}

fn verdicts(of: &[VerdictDocument]) -> Vec<Verdict> {
    let figures = |evidence: &EvidenceDocument| {
        let unit = if evidence.unit.is_empty() { String::new() } else { format!(" {}", evidence.unit) };
        format!("{} {}{unit}", evidence.name, significant(evidence.value))
    };
    of.iter()
        .map(|one| Verdict {
            code: one.code.clone(),
            message: one.message.clone(),
            evidence: one.evidence.iter().map(figures).collect::<Vec<_>>().join(", "),
            advice: one.advice.clone(),
        })
        .collect()
}

fn heads(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// A number with three digits that count, however small it is.
fn significant(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || (0.1..1e6).contains(&size) || !value.is_finite() {
        return if value < 0.0 { format!("-{}", digits(size)) } else { digits(value) };
    }
    if size >= 1e-4 {
        let text = format!("{value:.6}");
        let zeros = text.trim_start_matches(['-', '0', '.']);
        let kept = text.len() - zeros.len() + zeros.len().min(3);
        return text[..kept].to_owned();
    }
    format!("{value:.2e}")
}

#[cfg(test)]
mod tests {
    use super::significant;

    #[test]
    fn a_number_keeps_three_digits_that_count() {
        for (value, text) in [
            (0.0, "0"),
            (12.345, "12.3"),
            (0.5, "0.50"),
            (0.012_345, "0.0123"),
            (0.000_123_4, "0.000123"),
            (0.000_012_34, "1.23e-5"),
            (-0.012_345, "-0.0123"),
            (-3.5, "-3.50"),
        ] {
            assert_eq!(significant(value), text);
        }
    }
}
