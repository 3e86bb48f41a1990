//! A profile for people.

mod allocator;
mod expectation;
mod served;

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use vramscope_core::{Basis, ByteDelta, Bytes};
use vramscope_schema::v3::{
    Diagnostic, LatencyStats, MemoryBreakdown, PartKind, PhaseInfo, Profile, RunStatus, Severity,
};

use crate::table::{Align, Table, wrap};

/// The whole report, at most `width` columns wide.
pub(crate) fn profile(profile: &Profile, width: usize) -> String {
    let mut text = String::new();
    head(&mut text, profile, width);
    if let Some(breakdown) = &profile.memory_breakdown {
        memory(&mut text, breakdown, profile, width);
        let at = profile.memory_measurements.as_ref().and_then(|points| points.peak.as_ref()?.at_ns);
        allocator::tables(&mut text, breakdown, at, width);
    }
    if let Some(expected) = &profile.expectation {
        expectation::table(&mut text, expected, width);
    }
    served::table(&mut text, profile, width);
    if let Some(phases) = profile.phases.as_deref().filter(|p| !p.is_empty()) {
        phase_table(&mut text, phases, width);
    }
    diagnostics(&mut text, profile.diagnostics.as_deref().unwrap_or_default(), width);
    log_end(&mut text, profile, width);
    notes(&mut text, &profile.metadata.notes, width);
    text
}

/// What the engine said last, where the run did not end well.
fn log_end(text: &mut String, profile: &Profile, width: usize) {
    let well = matches!(profile.metadata.status, None | Some(RunStatus::Complete | RunStatus::Partial));
    let last = profile.raw_logs.as_ref().and_then(|logs| logs.excerpts.last()).filter(|_| !well);
    let Some(last) = last else { return };
    title(text, &format!("The end of {}, from line {}", last.file, last.first_line));
    for line in last.text.lines() {
        paragraph(text, "  ", line, width);
    }
}

/// What ran where, in two lines.
fn head(text: &mut String, profile: &Profile, width: usize) {
    let model = profile.model_info.as_ref();
    let engine = profile.engine_metadata.as_ref();
    let config = profile.run_config.as_ref().and_then(|c| c.engine.as_ref());
    let billions = model.and_then(|m| m.num_parameters).map(count_of_parameters);
    let parallel =
        config.and_then(|c| c.tensor_parallel_size).filter(|n| *n > 1).map(|n| format!("tensor parallel {n}"));
    let version = engine.map(|e| {
        let name = e.engine_type.clone().unwrap_or_default();
        format!("{name} {}", e.engine_version.as_deref().unwrap_or("of unknown version"))
    });
    let name = model.and_then(|m| m.name.clone());
    let architecture = model.and_then(|m| m.architecture.clone());
    let dtype = model.and_then(|m| m.dtype.clone());
    let quantization = model.and_then(|m| m.quantization.clone()).or(config.and_then(|c| c.quantization.clone()));
    let quantization = quantization.filter(|method| method != "none" && dtype.as_ref() != Some(method));
    let eager = config.and_then(|c| c.enforce_eager).filter(|e| *e).map(|_| "eager".to_owned());
    let what: Vec<String> =
        [name, architecture, billions, dtype, quantization, version, parallel, eager].into_iter().flatten().collect();
    if !what.is_empty() {
        paragraph(text, "", &what.join(" · "), width);
    }
    let status = profile.metadata.status.map(|s| match s {
        RunStatus::Partial => format!("run {}: {}", word(s), missing(profile)),
        _ => format!("run {}", word(s)),
    });
    let gpus = profile.gpu_info.as_ref().map(|info| {
        let usable = info.devices.iter().filter_map(|d| d.usable_bytes).max();
        let each = usable.map_or(String::new(), |b| format!(" of {} usable", Bytes::new(b)));
        if info.devices.iter().all(|device| device.vendor.as_deref() == Some("cpu")) {
            return format!("host memory of processes (PSS){each}");
        }
        format!("{} GPU{}{each}", info.devices.len(), if info.devices.len() == 1 { "" } else { "s" })
    });
    let timeline = profile.memory_timeline.as_ref();
    let recorded = timeline.and_then(|t| Some((t.num_samples?, t.period_ms?)));
    let recorded = recorded.map(|(n, period)| format!("{n} samples, one each {:.0} ms", period.get()));
    let rate = profile.latency_stats.as_ref().filter(|_| profile.served_stats.is_none());
    let rate = rate.and_then(|l| l.tokens_per_second).map(|rate| format!("{:.1} tokens/s", rate.get()));
    let latency = profile.latency_stats.as_ref().and_then(latency);
    let facts: Vec<String> = [status, gpus, recorded, latency, rate].into_iter().flatten().collect();
    paragraph(text, "", &facts.join(" · "), width);
}

/// What a run lacks that is neither failed nor complete.
fn missing(profile: &Profile) -> &'static str {
    let has_log = profile.raw_logs.as_ref().is_some_and(|logs| !logs.files.is_empty());
    match (profile.memory_timeline.is_some(), has_log) {
        (false, _) => "nobody recorded the devices",
        (true, false) => "nobody kept the engine's log",
        (true, true) => "its log does not say that it was ready",
    }
}

/// The mean latency with how far the iterations lie apart, where that is known.
fn latency(stats: &LatencyStats) -> Option<String> {
    let mean = stats.mean_latency_ms?.get();
    let percentile = |percent: f64| {
        let found = stats.percentiles.iter().find(|p| (p.percentile.get() - percent).abs() < 0.05);
        found.map(|p| p.latency_ms.get())
    };
    let spread = match (stats.min_latency_ms, stats.max_latency_ms, percentile(10.0), percentile(90.0)) {
        (Some(least), Some(most), ..) => format!(" ({:.1} to {:.1}", least.get(), most.get()),
        (_, _, Some(p10), Some(p90)) => format!(" (p10 {p10:.1}, p90 {p90:.1}"),
        _ => return Some(format!("mean latency {mean:.1} ms")),
    };
    let of =
        stats.num_iterations.map_or(String::new(), |n| format!(" in {n} iteration{}", if n == 1 { "" } else { "s" }));
    Some(format!("mean latency {mean:.1} ms{spread}{of})"))
}

/// `1.24 B parameters`, `0.68 M parameters`.
fn count_of_parameters(n: u64) -> String {
    let n = Bytes::new(n).as_f64();
    if n < 1e7 { format!("{:.2} M parameters", n / 1e6) } else { format!("{:.2} B parameters", n / 1e9) }
}

/// A word of the document's vocabulary.
fn word(value: impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word.replace('_', " "),
        _ => String::new(),
    }
}

fn memory(text: &mut String, breakdown: &MemoryBreakdown, profile: &Profile, width: usize) {
    let when = profile.memory_measurements.as_ref().and_then(|m| m.peak.as_ref()?.at_ns);
    let at = when.map_or(String::new(), |ns| {
        let inside = |p: &&PhaseInfo| p.start_ns <= ns && ns < p.end_ns;
        let phase =
            profile.phases.iter().flatten().find(inside).map_or(String::new(), |p| format!(", {}", word(p.phase)));
        format!(" at {:.2} s{phase}", Bytes::new(ns).as_f64() / 1e9)
    });
    title(text, &format!("Memory at the peak{at}"));
    bar(text, breakdown, width);
    let mut table = Table::new(&[
        ("part", Align::Left),
        ("GiB", Align::Right),
        ("share", Align::Right),
        ("confidence", Align::Left),
        ("source", Align::Left),
    ]);
    let share = |pct: Option<f64>| pct.map_or(String::new(), |p| format!("{p:.1} %"));
    for part in breakdown.components.iter().filter(|part| part.size_bytes > 0) {
        let lines: Vec<String> = part.log_lines.iter().map(u64::to_string).collect();
        let lines = match &lines[..] {
            [] => String::new(),
            [one] => format!(" (line {one})"),
            many => format!(" (lines {})", many.join(", ")),
        };
        let detail = part.detail.clone().unwrap_or_else(|| part.method.clone());
        let confidence = word(part.confidence);
        table.row([
            part_name(part.kind).to_owned(),
            gib(part.size_bytes),
            share(part.share_of_peak_pct),
            confidence,
            format!("{detail}{lines}"),
        ]);
    }
    let of_peak = |bytes: u64| {
        let peak = breakdown.total_measured_bytes.filter(|p| *p > 0);
        share(peak.map(|p| Bytes::new(bytes).as_f64() / Bytes::new(p).as_f64() * 100.0))
    };
    if let Some(baseline) = breakdown.baseline_bytes {
        let after = profile.diagnostics.iter().flatten().any(|found| found.code == "no_baseline");
        let source = if after { "in use after the engine's end" } else { "in use before the engine came" }.to_owned();
        table.row(["baseline".to_owned(), gib(baseline), of_peak(baseline), "measured".to_owned(), source]);
    }
    if let Some(residual) = breakdown.residual_bytes {
        let delta = ByteDelta::new(residual);
        let sign = if residual < 0 { "-" } else { "+" };
        let amount = format!("{sign}{}", gib(delta.magnitude().get()));
        table.row([
            "residual".to_owned(),
            amount,
            share(breakdown.residual_percentage),
            String::new(),
            residual_source(breakdown, delta),
        ]);
    }
    if let Some(peak) = breakdown.total_measured_bytes {
        table.row([
            "= peak".to_owned(),
            gib(peak),
            "100.0 %".to_owned(),
            "measured".to_owned(),
            "the sum, exactly".to_owned(),
        ]);
    }
    text.push_str(&table.render(width));
    places(text, breakdown, profile, width);
}

/// What a residual is; one of nothing beside a part that is what the others leave is no proof.
fn residual_source(breakdown: &MemoryBreakdown, residual: ByteDelta) -> String {
    const LITTLE: Bytes = Bytes::new(8 << 20);
    let left = breakdown.components.iter().find(|part| Basis::is_remainder(&part.method));
    // What the allocator told is no rise over the level of which another part is the rest.
    let told = breakdown.components.iter().any(|part| part.method == Basis::ALLOCATOR_SNAPSHOT);
    match left.filter(|_| residual.magnitude() < LITTLE && !told) {
        Some(part) => format!("as it must be: {} is what the others leave", part_name(part.kind)),
        None => "what no part explains".to_owned(),
    }
}

/// What the engine says that it holds, place by place.
fn places(text: &mut String, breakdown: &MemoryBreakdown, profile: &Profile, width: usize) {
    if breakdown.places.is_empty() {
        return;
    }
    title(text, "What lies where, as the engine says");
    let devices = profile.gpu_info.as_ref().map_or(&[][..], |info| &info.devices);
    let mut table = Table::new(&[
        ("place", Align::Left),
        ("GiB", Align::Right),
        ("measured in", Align::Left),
        ("parts", Align::Left),
    ]);
    for place in &breakdown.places {
        let whose = match (place.on_host, place.software) {
            (true, _) => "host",
            (false, Some(true)) => "software device",
            (false, _) => "device",
        };
        let device = place.gpu.and_then(|gpu| devices.iter().find(|device| device.index == gpu));
        let measured = device.map_or("-".to_owned(), |device| match device.vendor.as_deref() {
            Some("cpu") => "processes (PSS)".to_owned(),
            _ => format!("GPU {}", device.index),
        });
        let parts: Vec<String> = place
            .components
            .iter()
            .map(|part| format!("{} {}", part_name(part.kind), Bytes::new(part.size_bytes)))
            .collect();
        table.row([
            format!("{} ({whose})", place.place.as_deref().unwrap_or("not named")),
            gib(place.size_bytes),
            measured,
            parts.join(", "),
        ]);
    }
    text.push_str(&table.render(width));
}

fn part_name(kind: PartKind) -> &'static str {
    match kind {
        PartKind::ModelWeights => "weights",
        PartKind::KvCache => "KV cache",
        PartKind::RecurrentState => "recurrent state",
        PartKind::Held => "kept beside",
        PartKind::Activations => "activations",
        PartKind::ComputeBuffers => "compute buffers",
        PartKind::OutputBuffers => "output buffers",
        PartKind::CudaGraphs => "graphs",
        PartKind::RuntimeContext => "context",
        PartKind::Collectives => "collectives",
        _ => "other",
    }
}

/// The letter of a part in the bar.
fn part_letter(kind: PartKind) -> char {
    match kind {
        PartKind::ModelWeights => 'w',
        PartKind::KvCache => 'K',
        PartKind::RecurrentState => 'r',
        PartKind::Held => 'k',
        PartKind::Activations => 'a',
        PartKind::ComputeBuffers => 'C',
        PartKind::OutputBuffers => 'O',
        PartKind::CudaGraphs => 'g',
        PartKind::RuntimeContext => 'c',
        PartKind::Collectives => 'x',
        _ => 'o',
    }
}

fn part_color(kind: PartKind) -> AnsiColor {
    match kind {
        PartKind::ModelWeights => AnsiColor::Blue,
        PartKind::KvCache => AnsiColor::Green,
        PartKind::RecurrentState => AnsiColor::Green,
        PartKind::Held => AnsiColor::BrightBlue,
        PartKind::Activations => AnsiColor::Yellow,
        PartKind::ComputeBuffers => AnsiColor::Yellow,
        PartKind::OutputBuffers => AnsiColor::White,
        PartKind::CudaGraphs => AnsiColor::Magenta,
        PartKind::RuntimeContext => AnsiColor::Cyan,
        PartKind::Collectives => AnsiColor::Red,
        _ => AnsiColor::White,
    }
}

/// The parts side by side. Each has a letter of its own, so that the bar reads without colour too.
fn bar(text: &mut String, breakdown: &MemoryBreakdown, width: usize) {
    let Some(peak) = breakdown.total_measured_bytes.filter(|p| *p > 0) else { return };
    let residual = breakdown.residual_bytes.and_then(|r| u64::try_from(r).ok()).unwrap_or(0);
    let dim = Style::new().dimmed();
    let mut parts = vec![('b', "baseline", breakdown.baseline_bytes.unwrap_or(0), dim)];
    for part in &breakdown.components {
        let style = Style::new().fg_color(Some(part_color(part.kind).into()));
        parts.push((part_letter(part.kind), part_name(part.kind), part.size_bytes, style));
    }
    parts.push(('.', "residual", residual, dim));
    let cells = u128::try_from(width.saturating_sub(4)).unwrap_or(76);
    let (mut drawn, mut sum) = (0, 0_u128);
    let mut legend: Vec<String> = Vec::new();
    text.push_str("  ");
    for (letter, name, bytes, style) in parts {
        sum += u128::from(bytes);
        let end = usize::try_from(sum * cells * 2 / u128::from(peak)).unwrap_or(0).div_ceil(2).min(width);
        let cell: String = std::iter::repeat_n(letter, end.saturating_sub(drawn)).collect();
        if end > drawn {
            legend.push(format!("{letter} {name}"));
        }
        drawn = drawn.max(end);
        let _ = write!(text, "{style}{cell}{style:#}");
    }
    text.push('\n');
    paragraph(text, "  ", &legend.join(" · "), width);
    text.push('\n');
}

fn gib(bytes: u64) -> String {
    let text = Bytes::new(bytes).to_string();
    text.trim_end_matches(" GiB").to_owned()
}

fn phase_table(text: &mut String, phases: &[PhaseInfo], width: usize) {
    title(text, "Phases");
    let mut table = Table::new(&[
        ("phase", Align::Left),
        ("start s", Align::Right),
        ("length s", Align::Right),
        ("peak GiB", Align::Right),
        ("mean GiB", Align::Right),
        ("power W", Align::Right),
        ("busy %", Align::Right),
    ]);
    let amount = |bytes: Option<u64>| bytes.map_or("-".to_owned(), gib);
    for phase in phases {
        table.row([
            word(phase.phase),
            format!("{:.2}", Bytes::new(phase.start_ns).as_f64() / 1e9),
            length(phase.duration_s.get()),
            amount(phase.peak_bytes),
            amount(phase.mean_bytes),
            phase.mean_power_w.map_or("-".to_owned(), |w| format!("{:.0}", w.get())),
            phase.mean_utilization_pct.map_or("-".to_owned(), |p| format!("{:.0}", p.get())),
        ]);
    }
    text.push_str(&table.render(width));
}

/// Seconds to a hundredth. A phase that the engine went through at once was seen all the same.
fn length(seconds: f64) -> String {
    if seconds < 0.01 { "<0.01".to_owned() } else { format!("{seconds:.2}") }
}

fn diagnostics(text: &mut String, found: &[Diagnostic], width: usize) {
    if found.is_empty() {
        return;
    }
    title(text, "What to know");
    for diagnostic in found {
        let (label, color) = match diagnostic.severity {
            Severity::Error => ("error", AnsiColor::Red),
            Severity::Warning => ("warning", AnsiColor::Yellow),
            Severity::Info => ("info", AnsiColor::Cyan),
            _ => ("note", AnsiColor::White),
        };
        let style = Style::new().bold().fg_color(Some(color.into()));
        let _ = writeln!(text, "  {style}{label}{style:#} {}", diagnostic.code);
        paragraph(text, "    ", &diagnostic.message, width);
        if let Some(advice) = &diagnostic.advice {
            paragraph(text, "    → ", advice, width);
        }
    }
}

fn notes(text: &mut String, notes: &[String], width: usize) {
    if notes.is_empty() {
        return;
    }
    title(text, "Notes");
    for note in notes {
        paragraph(text, "  - ", note, width);
    }
}

fn title(text: &mut String, words: &str) {
    let bold = Style::new().bold();
    let _ = writeln!(text, "\n{bold}{words}{bold:#}");
}

/// Wrapped text; further lines stand under the first one's text.
fn paragraph(text: &mut String, lead: &str, words: &str, width: usize) {
    let indent = " ".repeat(lead.chars().count());
    let room = width.saturating_sub(indent.len()).max(20);
    for (n, line) in wrap(words, room).iter().enumerate() {
        let _ = writeln!(text, "{}{line}", if n == 0 { lead } else { &indent });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_colour_of_the_bar_reaches_the_terminal() {
        for kind in [
            PartKind::ModelWeights,
            PartKind::KvCache,
            PartKind::RecurrentState,
            PartKind::Held,
            PartKind::Activations,
            PartKind::ComputeBuffers,
            PartKind::OutputBuffers,
            PartKind::CudaGraphs,
            PartKind::RuntimeContext,
            PartKind::Collectives,
        ] {
            let style = Style::new().fg_color(Some(part_color(kind).into()));
            let cell = format!("{style}x{style:#}");
            assert_eq!(crate::output::styled(&cell), cell, "{kind:?}");
        }
    }
}
