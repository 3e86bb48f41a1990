//! A load for people.

use std::fmt::Write as _;

use vramscope_load::document::{
    LatencyDocument, LevelDocument, LoadDocument, MeteredDevice, MeteredDocument, PriceDocument, RequestCounts,
    SearchDocument, Severity,
};

use crate::table::{Align, Table};

/// The whole result.
pub(super) fn table(document: &LoadDocument, width: usize) -> String {
    let mut text = head(document);
    text.push_str(&levels(document, width));
    text.push_str(&latencies(document, width));
    text.push_str(&super::data::table(&document.levels, width));
    if let Some(search) = &document.search {
        text.push_str(&found(search));
    }
    for (level, finding) in document.levels.iter().flat_map(|level| level.findings.iter().map(move |one| (level, one)))
    {
        let word = if finding.severity == Severity::Warning { "warning" } else { "note" };
        let _ = writeln!(text, "  {word} at {}: {}", name(level), finding.message);
    }
    for finding in &document.findings {
        let word = if finding.severity == Severity::Warning { "warning" } else { "note" };
        let _ = writeln!(text, "  {word}: {}", finding.message);
    }
    for line in expense(document.metered.as_ref(), document.price) {
        let _ = writeln!(text, "  {line}");
    }
    if document.stopped {
        text.push_str("  stopped before its end; what was answered until then is above\n");
    }
    text
}

/// Whose energy was read, and at which price tokens are.
pub(super) fn expense(metered: Option<&MeteredDocument>, price: Option<PriceDocument>) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(metered) = metered {
        let named = |device: &MeteredDevice| match &device.name {
            Some(name) => format!("{} ({name})", device.index),
            None => device.index.to_string(),
        };
        let devices: Vec<String> = metered.devices.iter().map(named).collect();
        lines.push(format!(
            "J/tok is of output tokens, by the counters of whole devices, with all that ran on them: {}; {}",
            devices.join(", "),
            metered.because
        ));
    }
    if let Some(price) = price {
        let each = price.per_hour;
        lines
            .push(format!("cost/M is a million output tokens at {each} an hour, if the server does this all the time"));
    }
    lines
}

fn head(document: &LoadDocument) -> String {
    let work = &document.workload;
    let version = document.server_version.as_ref().map(|version| format!(" ({version})")).unwrap_or_default();
    let unit =
        if work.prompts.as_deref() == Some("text") && work.tokens_per_word.is_none() { "words" } else { "tokens" };
    let input = match (&work.dataset, &work.input_len) {
        (Some(data), Some(len)) => format!("{len} {unit}, {},", super::data::said(data)),
        (Some(data), None) => super::data::said(data),
        (None, Some(len)) => format!("{len} {unit}"),
        (None, None) => "given text".to_owned(),
    };
    let output = if work.output_len == "data" { "as many" } else { &work.output_len };
    let model = if work.mix.is_empty() { work.model.clone() } else { work.mix.join(",") };
    let slo = work.slo.as_ref().map(|slo| format!(", good is {slo}")).unwrap_or_default();
    format!(
        "{}{version}: {model}, {}, {input} -> {output} tokens, seed {}{slo}\n",
        document.server, work.endpoint, work.seed
    )
}

fn levels(document: &LoadDocument, width: usize) -> String {
    let with_goodput = document.levels.iter().any(|level| level.goodput.is_some());
    let mut heads = vec![("level", Align::Left), ("sent", Align::Right), ("failed", Align::Right)];
    // Most loads have none of these.
    type Column = (&'static str, fn(&RequestCounts) -> u64);
    const RARE: [Column; 3] =
        [("unsent", |counts| counts.unsent), ("held", |counts| counts.held), ("late", |counts| counts.late)];
    let any = |(_, of): &Column| document.levels.iter().any(|level| of(&level.requests) > 0);
    let rare: Vec<Column> = RARE.into_iter().filter(any).collect();
    heads.extend(rare.iter().map(|(name, _)| (*name, Align::Right)));
    heads.extend([
        ("sent/s", Align::Right),
        ("done/s", Align::Right),
        ("output tok/s", Align::Right),
        ("in flight", Align::Right),
    ]);
    if with_goodput {
        heads.extend([("good", Align::Right), ("good/s", Align::Right)]);
    }
    let with_energy = document.levels.iter().any(|level| level.energy.is_some());
    let with_cost = document.levels.iter().any(|level| level.cost.is_some());
    heads.extend(with_energy.then_some(("J/tok", Align::Right)));
    heads.extend(with_cost.then_some(("cost/M", Align::Right)));
    let mut table = Table::new(&heads);
    for level in &document.levels {
        let counts = &level.requests;
        let mut row = vec![name(level), counts.sent.to_string(), counts.failed.to_string()];
        row.extend(rare.iter().map(|(_, of)| of(counts).to_string()));
        row.extend([
            figure(level.sent_per_s),
            figure(level.completed_per_s),
            figure(level.output_tokens_per_s),
            level.max_in_flight.to_string(),
        ]);
        if let Some(goodput) = level.goodput.filter(|_| with_goodput) {
            row.extend([format!("{:.1} %", goodput.share * 100.0), figure(goodput.per_s)]);
        }
        row.extend(with_energy.then(|| figure(level.energy.and_then(|energy| energy.joules_per_output_token))));
        row.extend(with_cost.then(|| figure(level.cost.and_then(|cost| cost.per_million_output_tokens))));
        table.row(row);
    }
    table.render(width)
}

fn latencies(document: &LoadDocument, width: usize) -> String {
    let mut table = Table::new(&[
        ("level", Align::Left),
        ("TTFT p50", Align::Right),
        ("p95", Align::Right),
        ("p99", Align::Right),
        ("TPOT p50", Align::Right),
        ("p99", Align::Right),
        ("ITL p50", Align::Right),
        ("p99", Align::Right),
        ("E2E p50", Align::Right),
        ("p95", Align::Right),
        ("p99 ms", Align::Right),
    ]);
    let ms = |of: Option<LatencyDocument>, which: fn(&LatencyDocument) -> f64| {
        of.map_or_else(|| "-".to_owned(), |latency| digits(which(&latency)))
    };
    for level in &document.levels {
        table.row([
            name(level),
            ms(level.ttft, |l| l.p50_ms),
            ms(level.ttft, |l| l.p95_ms),
            ms(level.ttft, |l| l.p99_ms),
            ms(level.tpot, |l| l.p50_ms),
            ms(level.tpot, |l| l.p99_ms),
            ms(level.itl, |l| l.p50_ms),
            ms(level.itl, |l| l.p99_ms),
            ms(level.e2e, |l| l.p50_ms),
            ms(level.e2e, |l| l.p95_ms),
            ms(level.e2e, |l| l.p99_ms),
        ]);
    }
    table.render(width)
}

fn found(search: &SearchDocument) -> String {
    let unit = if search.by == "rate" { "requests a second" } else { "in flight" };
    let mut text = String::new();
    if let Some(share) = search.share {
        let _ = match (search.holds, search.fails) {
            (Some(holds), Some(fails)) => writeln!(
                text,
                "  {} {unit} keep the bounds for {:.0} % of the requests; {} do not",
                digits(holds),
                share * 100.0,
                digits(fails)
            ),
            (Some(holds), None) => writeln!(text, "  {} {unit} keep the bounds; more were not tried", digits(holds)),
            _ => writeln!(text, "  no level that was tried keeps the bounds"),
        };
    }
    if let Some(knee) = search.knee {
        let _ = writeln!(text, "  knee at {} {unit}: the most throughput for its latency", digits(knee));
    }
    let _ = match search.saturation {
        Some(saturation) => {
            writeln!(text, "  saturated from {} {unit} on: more brings no more tokens", digits(saturation))
        }
        None => writeln!(text, "  not saturated as far as it was measured"),
    };
    text
}

pub(super) fn name(level: &LevelDocument) -> String {
    let name = match (level.asked.concurrency, level.asked.rate_per_s) {
        (Some(n), _) => format!("{n} in flight"),
        (None, Some(rate)) => format!("{}/s", digits(rate)),
        (None, None) => match level.asked.trace_speed {
            Some(speed) => format!("trace x{}", digits(speed)),
            None => "-".to_owned(),
        },
    };
    if level.repeat > 1 { format!("{name} #{}", level.repeat) } else { name }
}

pub(super) fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), digits)
}

/// A number with three digits that count, or more where it has them before the point.
pub(super) fn digits(value: f64) -> String {
    match value {
        v if v.fract() == 0.0 && v < 1e6 => format!("{v:.0}"),
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}
