//! One line a second for each device.

use vramscope_core::{ByteUnit, Bytes};

use super::watch::{DeviceMoment, Moment};
use crate::timeline_report::clock;

/// The lines of a moment; parts that do not fit the width are left out from the right.
pub(super) fn lines(moment: &Moment, width: usize) -> Vec<String> {
    let time = clock(moment.now.as_secs_f64());
    moment.devices.iter().map(|device| fit(&parts(&time, device), width)).collect()
}

/// Joins as many parts as fit, two blanks apart.
pub(super) fn fit(parts: &[String], width: usize) -> String {
    let mut line = String::new();
    let mut used = 0;
    for part in parts {
        let length = part.chars().count();
        let gap = if used == 0 { 0 } else { 2 };
        if used + gap + length > width {
            break;
        }
        line.push_str(&" ".repeat(gap));
        line.push_str(part);
        used += gap + length;
    }
    line
}

fn parts(time: &str, device: &DeviceMoment) -> Vec<String> {
    let mut parts = vec![format!("{time:>5} gpu {}", device.device.index)];
    let Some(reading) = &device.reading else {
        parts.push(if device.lost.is_some() { "lost".into() } else { "no answer".into() });
        return parts;
    };
    parts.push(memory(device));
    if let Some(peak) = device.peak {
        parts.push(format!("peak {:>6}", gib(peak.reading.used)));
    }
    if let Some(own) = device.own {
        parts.push(format!("own {:>6}", gib(own)));
    }
    let figure = |value: Option<u32>, unit: &str, wide: usize| {
        value.map_or_else(|| format!("{:>wide$} {unit}", "-"), |value| format!("{value:>wide$} {unit}"))
    };
    parts.push(figure(reading.power_mw.map(|mw| mw.saturating_add(500) / 1000), "W", 4));
    parts.push(figure(reading.utilization_pct.map(u32::from), "%", 3));
    parts.push(figure(reading.temperature_c, "C", 3));
    parts.push(figure(reading.sm_clock_mhz, "MHz", 4));
    parts
}

/// Memory in use, of the total where it is known.
pub(super) fn memory(device: &DeviceMoment) -> String {
    let used = device.reading.map_or_else(|| "-".into(), |reading| gib(reading.used));
    match device.reading.and_then(|reading| reading.total).or(device.device.total) {
        Some(total) => format!("{used:>6} of {} GiB", gib(total)),
        None => format!("{used:>6} GiB"),
    }
}

/// Gibibytes with two decimals.
pub(super) fn gib(bytes: Bytes) -> String {
    format!("{:.2}", bytes.in_unit(ByteUnit::GiB))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_do_not_fit_are_left_out_from_the_right() {
        let parts = ["abc", "de", "fghi"].map(str::to_owned);
        assert_eq!(
            [3, 6, 7, 12, 13].map(|width| fit(&parts, width)),
            ["abc", "abc", "abc  de", "abc  de", "abc  de  fghi"]
        );
    }
}
