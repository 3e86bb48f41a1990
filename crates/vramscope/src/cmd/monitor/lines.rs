//! One line a second for each device.

use super::row::{Part, Says, fit, gib};
use super::watch::{DeviceMoment, Moment};
use crate::timeline_report::clock;

/// The lines of a moment, each with what fits of it.
pub(super) fn lines(moment: &Moment, width: usize) -> Vec<String> {
    let time = clock(moment.now.as_secs_f64());
    moment.devices.iter().map(|device| fit(&parts(&time, device), width)).collect()
}

fn parts(time: &str, device: &DeviceMoment) -> Vec<Part> {
    let mut parts = vec![Part::new(Says::Device, format!("{time:>5} gpu {}", device.device.index))];
    let Some(reading) = &device.reading else {
        parts.push(Part::new(Says::Memory, if device.lost.is_some() { "lost" } else { "no answer" }));
        return parts;
    };
    parts.push(Part::memory(device, 6));
    parts.extend(device.peak.map(|peak| Part::new(Says::Peak, format!("peak {:>6}", gib(peak.reading.used)))));
    parts.extend(device.own.map(|own| Part::new(Says::Own, format!("own {:>6}", gib(own)))));
    let figure = |says, value: Option<u32>, unit: &str, wide: usize| {
        let text = value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        Part::new(says, format!("{text:>wide$} {unit}"))
    };
    parts.push(figure(Says::Power, reading.power_mw.map(|mw| mw.saturating_add(500) / 1000), "W", 4));
    parts.push(figure(Says::Utilization, reading.utilization_pct.map(u32::from), "%", 3));
    parts.push(figure(Says::Temperature, reading.temperature_c, "C", 3));
    parts.push(figure(Says::Clock, reading.sm_clock_mhz, "MHz", 4));
    parts
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use snapbox::{assert_data_eq, str};
    use vramscope_core::{Bytes, Device, DeviceIndex, Reading, Sample};

    use super::*;

    #[test]
    fn a_narrow_line_keeps_memory_power_and_utilisation() {
        let index = DeviceIndex(0);
        let reading = Reading {
            used: Bytes::new(60 << 30),
            total: Some(Bytes::new(80 << 30)),
            power_mw: Some(412_300),
            temperature_c: Some(64),
            utilization_pct: Some(98),
            sm_clock_mhz: Some(1980),
            ..Reading::default()
        };
        let device = DeviceMoment {
            device: Device::unnamed(index),
            reading: Some(reading),
            slow: None,
            energy_mj: None,
            counters: None,
            peak: Some(Sample { at: Duration::ZERO, tick: 0, device: index, reading }),
            most_power_mw: None,
            failed: 0,
            lost: None,
            processes: None,
            own: Some(Bytes::new(58 << 30)),
            own_peak: None,
        };
        let text: Vec<String> = [30, 45, 60, 80, 100].map(|width| fit(&parts("0:01", &device), width)).into();
        assert_data_eq!(
            text.join("\n"),
            str![[r#"
 0:01 gpu 0   60.00 GiB   98 %
 0:01 gpu 0   60.00 GiB   412 W   98 %   64 C
 0:01 gpu 0   60.00 of 80.00 GiB  own  58.00   412 W   98 %
 0:01 gpu 0   60.00 of 80.00 GiB  peak  60.00  own  58.00   412 W   98 %   64 C
 0:01 gpu 0   60.00 of 80.00 GiB  peak  60.00  own  58.00   412 W   98 %   64 C  1980 MHz
"#]]
        );
    }
}
