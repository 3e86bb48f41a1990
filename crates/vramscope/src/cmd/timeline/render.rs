//! A recording's statistics for people: those of every report, and what only a whole file has.

use std::fmt::Write as _;

use vramscope_core::{ByteUnit, Bytes};
use vramscope_timeline::document::{Backend, Call, Coefficient, CorrelationReport, PhaseReport, TimelineReport};

use crate::table::{Align, Table, wrap};
use crate::timeline_report;

/// The whole text.
pub(super) fn table(report: &TimelineReport, backends: &[Backend], width: usize) -> String {
    let mut text = String::new();
    if let Some(lead) = lead(report, backends) {
        for line in wrap(&lead, width) {
            let _ = writeln!(text, "{line}");
        }
    }
    text.push_str(&timeline_report::render(report, width));
    phases(&mut text, &report.phases, width);
    correlations(&mut text, report, width);
    if let Some(cost) = &report.cost {
        calls(&mut text, &cost.calls, width);
    }
    text
}

/// When and by whom it was recorded.
fn lead(report: &TimelineReport, backends: &[Backend]) -> Option<String> {
    let mut parts = Vec::new();
    let start = report.start_unix_ns.and_then(|ns| jiff::Timestamp::from_nanosecond(ns.into()).ok());
    if let Some(start) = start {
        parts.push(format!("begun {} UTC", start.strftime("%Y-%m-%d %H:%M:%S")));
    }
    for backend in backends {
        let driver = backend.driver_version.as_ref().map(|v| format!(", driver {v}")).unwrap_or_default();
        let kind = backend.power_kind.as_ref().map(|kind| format!(", {kind} power")).unwrap_or_default();
        parts.push(format!("by {}{driver}{kind}", backend.name));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn phases(text: &mut String, phases: &[PhaseReport], width: usize) {
    if phases.is_empty() {
        return;
    }
    let right = Align::Right;
    let mut table =
        Table::new(&[("phase", Align::Left), ("from", right), ("length", right), ("peak GiB, all GPUs", right)]);
    for phase in phases {
        let peak = phase.peak_used_bytes.map(|used| format!("{:.2}", Bytes::new(used).in_unit(ByteUnit::GiB)));
        table.row([
            phase.phase.clone(),
            timeline_report::clock(phase.start_s),
            timeline_report::seconds(phase.seconds),
            peak.unwrap_or_else(|| "-".into()),
        ]);
    }
    let _ = write!(text, "\n{}", table.render(width));
}

fn correlations(text: &mut String, report: &TimelineReport, width: usize) {
    if report.devices.iter().all(|device| device.correlations.is_empty()) {
        return;
    }
    let right = Align::Right;
    let heads = [
        ("GPU", right),
        ("go together", Align::Left),
        ("n", right),
        ("worth", right),
        ("Pearson", Align::Left),
        ("Spearman", Align::Left),
    ];
    let mut table = Table::new(&heads);
    let mut said = vec!["in brackets 95 % intervals; worth: as many independent points as the n are worth".to_owned()];
    for device in &report.devices {
        let index = device.device.gpu_index;
        for pair in &device.correlations {
            table.row(correlation(index, pair));
            let why = pair.not_enough.as_ref().or(pair.caution.as_ref());
            said.extend(why.map(|why| format!("GPU {index}, {} and {}: {why}", short(&pair.x), short(&pair.y))));
        }
    }
    let _ = write!(text, "\n{}", table.render(width));
    for line in said.iter().flat_map(|said| wrap(said, width.saturating_sub(2))) {
        let _ = writeln!(text, "  {line}");
    }
}

fn short(metric: &str) -> &str {
    match metric {
        "used_bytes" => "memory",
        "power_mw" => "power",
        "temp_c" => "temperature",
        "util_gpu_pct" => "utilisation",
        other => other,
    }
}

fn correlation(index: u32, pair: &CorrelationReport) -> [String; 6] {
    let shown = |found: Option<Coefficient>| match found {
        Some(found) => format!("{:.2} [{:.2}, {:.2}]", found.value, found.low, found.high),
        None => "-".into(),
    };
    let (pearson, spearman) = match &pair.not_enough {
        Some(_) => ("not enough".to_owned(), "variation".to_owned()),
        None => (shown(pair.pearson), shown(pair.spearman)),
    };
    let worth = pair.effective_n.map_or_else(|| "-".into(), |n| format!("{n:.0}"));
    let names = format!("{}, {}", short(&pair.x), short(&pair.y));
    [index.to_string(), names, pair.n.to_string(), worth, pearson, spearman]
}

fn calls(text: &mut String, calls: &[Call], width: usize) {
    if calls.is_empty() {
        return;
    }
    let right = Align::Right;
    let heads = [
        ("driver call", Align::Left),
        ("calls", right),
        ("p50 us", right),
        ("p99 us", right),
        ("max us", right),
        ("total ms", right),
    ];
    let mut table = Table::new(&heads);
    for call in calls {
        table.row([
            call.call.clone(),
            call.count.to_string(),
            format!("{:.1}", call.time.p50_us),
            format!("{:.1}", call.time.p99_us),
            format!("{:.1}", call.time.max_us),
            format!("{:.1}", call.total_ms),
        ]);
    }
    let _ = write!(text, "\n{}", table.render(width));
}
