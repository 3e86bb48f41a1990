//! Statistics of a recording for people: what `monitor` ends with, from the same report as its JSON.

use std::fmt::Write as _;

use vramscope_timeline::document::{
    Cost, DeviceReport, EnergyReport, GapReport, IdleReport, MetricReport, TimelineReport,
};

use crate::table::{Align, Table, wrap};

/// Idle periods that are listed for each device.
const LISTED: usize = 5;
const GIB: f64 = 1_073_741_824.0;

/// The whole text, for a terminal of this width.
pub(crate) fn render(report: &TimelineReport, width: usize) -> String {
    let mut text = headline(report, width);
    for device in &report.devices {
        text.push_str(&one(device, width));
    }
    gaps(&mut text, &report.gaps);
    if let Some(cost) = &report.cost {
        paragraph(&mut text, "sampling: ", &cost_words(cost), width);
    }
    for note in &report.notes {
        paragraph(&mut text, "note: ", note, width);
    }
    text
}

fn headline(report: &TimelineReport, width: usize) -> String {
    let period = report.period_ms.map(|ms| format!(", one each {} ms", (ms * 1e3).round() / 1e3)).unwrap_or_default();
    let missing = match report.missing {
        0 => "none missing".to_owned(),
        missing => format!("{} missing", counted(missing, "sample")),
    };
    let words = format!("{} recorded: {}{period}, {missing}", seconds(report.seconds), counted(report.ticks, "tick"));
    wrap(&words, width).join("\n") + "\n"
}

fn one(device: &DeviceReport, width: usize) -> String {
    let name = device.device.name.as_deref().unwrap_or("(name not stated)");
    let index = device.device.gpu_index;
    let slice = device.device.partition.as_deref().filter(|partition| partition.starts_with("mig "));
    let slice = slice.map(|slice| format!(" [{slice}]")).unwrap_or_default();
    let mut text = format!("\nGPU {index}  {name}{slice}  {}\n", counted(device.samples, "sample"));
    if device.samples == 0 {
        return text;
    }
    let right = Align::Right;
    let heads = [("", Align::Left), ("min", right), ("mean", right), ("median", right), ("p95", right), ("max", right)];
    let mut table = Table::new(&heads);
    for metric in &device.metrics {
        table.row(row(metric));
    }
    text.push_str(&table.render(width));
    if device.metrics.iter().any(|metric| !metric.exact) {
        text.push_str("  ~ within 0.1 %\n");
    }
    match &device.idle {
        Some(idle) => idle_times(&mut text, idle, width),
        None => text.push_str("  idle: not known, for want of two samples that state a utilisation\n"),
    }
    let energy = device.energy.as_ref().map_or_else(|| "neither counted nor computable".into(), energy_words);
    paragraph(&mut text, "  energy: ", &energy, width);
    text
}

/// What a figure is called, by how much its value is divided, and its decimals.
fn shown(metric: &str) -> (&str, f64, usize) {
    match metric {
        "used_bytes" => ("memory GiB", GIB, 2),
        "power_mw" => ("power W", 1000.0, 1),
        "util_gpu_pct" => ("utilisation %", 1.0, 1),
        "util_mem_pct" => ("memory traffic %", 1.0, 1),
        "temp_c" => ("temperature C", 1.0, 1),
        "temp_mem_c" => ("memory temperature C", 1.0, 1),
        "sm_clock_mhz" => ("shader clock MHz", 1.0, 0),
        "mem_clock_mhz" => ("memory clock MHz", 1.0, 0),
        other => (other, 1.0, 1),
    }
}

fn row(metric: &MetricReport) -> [String; 6] {
    let (name, by, decimals) = shown(&metric.metric);
    let figure = |value: f64| format!("{:.decimals$}", value / by);
    let quantile = |value: f64| format!("{}{}", if metric.exact { "" } else { "~" }, figure(value));
    [
        name.to_owned(),
        figure(metric.min),
        figure(metric.mean),
        quantile(metric.median),
        quantile(metric.p95),
        figure(metric.max),
    ]
}

fn idle_times(text: &mut String, idle: &IdleReport, width: usize) {
    let periods = match idle.periods {
        0 => format!("no period of {} or more", seconds(idle.least_seconds)),
        1 => format!("one period of {} or more", seconds(idle.least_seconds)),
        n => format!("{n} periods of {} or more", seconds(idle.least_seconds)),
    };
    let share = idle.share * 100.0;
    let (observed, threshold) = (seconds(idle.observed_seconds), idle.threshold_pct);
    let said = format!("{share:.1} % of {observed} at a utilisation of {threshold} % or less; {periods}");
    paragraph(text, "  idle: ", &said, width);
    for period in idle.longest.iter().take(LISTED) {
        let _ = writeln!(text, "    from {} for {}", clock(period.start_s), seconds(period.seconds));
    }
    if idle.periods > LISTED as u64 {
        let _ = writeln!(text, "    and {} shorter ones", idle.periods - LISTED as u64);
    }
}

fn energy_words(energy: &EnergyReport) -> String {
    let over = |time: Option<f64>| time.map(|time| format!(" over {}", seconds(time))).unwrap_or_default();
    let counted =
        energy.counter_j.map(|joules| format!("{joules:.1} J by the device's counter{}", over(energy.counter_seconds)));
    let integrated = energy
        .integrated_j
        .map(|joules| format!("{joules:.1} J by integrating power{}", over(energy.integrated_seconds)));
    match (counted, integrated) {
        (Some(counted), Some(integrated)) => format!("{counted} ({integrated})"),
        (Some(counted), None) => counted,
        (None, Some(integrated)) => format!("{integrated}; no counter of the device covers it"),
        (None, None) => "neither counted nor computable".into(),
    }
}

fn gaps(text: &mut String, gaps: &[GapReport]) {
    text.push('\n');
    for gap in gaps {
        let device = gap.gpu_index.map_or_else(|| "all GPUs".into(), |index| format!("GPU {index}"));
        let cause = match gap.cause.as_str() {
            "failed_read" => "readings failed",
            "missed_ticks" => "ticks came too late",
            "device_lost" => "the device was lost",
            "dropped" => "readings could not be kept",
            other => other,
        };
        let (missed, spans) = (counted(gap.missed, "sample"), counted(gap.spans, "span"));
        let _ = writeln!(text, "gap: {device}: {cause}: {missed} in {spans}, {} at most", seconds(gap.longest_s));
    }
}

fn cost_words(cost: &Cost) -> String {
    let mut words = String::new();
    if let Some(cpu_ms) = cost.cpu_ms {
        let _ = write!(words, "{cpu_ms:.1} ms of processor time");
        if cost.wall_ms > 0.0 {
            let _ = write!(words, " ({:.2} % of one core)", cpu_ms / cost.wall_ms * 100.0);
        }
        words.push_str(", ");
    }
    let late = cost.lateness;
    let _ = write!(words, "ticks began {:.2} ms late (p50), {:.2} ms (p99), ", late.p50_us / 1e3, late.p99_us / 1e3);
    let _ = write!(words, "{:.2} ms (max); {} missed, {} not kept", late.max_us / 1e3, cost.missed, cost.dropped);
    if cost.failed > 0 {
        let _ = write!(words, ", {} or parts of them failed", counted(cost.failed, "reading"));
    }
    words
}

fn paragraph(text: &mut String, lead: &str, words: &str, width: usize) {
    let indent = " ".repeat(lead.len());
    for (n, line) in wrap(words, width.saturating_sub(lead.len())).iter().enumerate() {
        let _ = writeln!(text, "{}{line}", if n == 0 { lead } else { &indent });
    }
}

/// `1 sample`, `2 samples`.
fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// A length of time: `40 ms`, `12.3 s`, `4 min 5 s`, `2 h 13 min`.
pub(crate) fn seconds(seconds: f64) -> String {
    // What would read as 0.0 s is some milliseconds, and as 60.0 s a minute.
    if seconds > 0.0 && seconds < 0.0995 {
        return format!("{:.0} ms", seconds * 1e3);
    }
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let whole = std::time::Duration::try_from_secs_f64(seconds.round()).unwrap_or_default().as_secs();
    match whole / 3600 {
        0 => format!("{} min {} s", whole / 60, whole % 60),
        hours => format!("{hours} h {} min", whole / 60 % 60),
    }
}

/// An instant of a recording: `0:07`, `1:02:03`.
pub(crate) fn clock(seconds: f64) -> String {
    let whole = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    let (minutes, rest) = (whole / 60 % 60, whole % 60);
    match whole / 3600 {
        0 => format!("{minutes}:{rest:02}"),
        hours => format!("{hours}:{minutes:02}:{rest:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_people_say_them() {
        let said = ["0.0 s", "40 ms", "99 ms", "0.1 s", "59.9 s", "1 min 0 s", "1 min 1 s", "1 h 1 min"];
        assert_eq!([0.0, 0.04, 0.0994, 0.0996, 59.94, 59.96, 61.0, 3661.0].map(seconds), said);
        assert_eq!([7.9, 61.0, 3723.0].map(clock), ["0:07", "1:01", "1:02:03"]);
    }
}
